// Translations of scripts: of the page's catalog, with variables and plurals; in English without one.
import assert from "node:assert/strict";
import { test } from "node:test";

async function load(lang, ...catalogs) {
  globalThis.document = {
    documentElement: { lang },
    querySelectorAll: () => catalogs.map((catalog) => ({ textContent: JSON.stringify(catalog) })),
  };
  return import(`../../cwz_web/static/i18n.js?${lang}`);
}

test("without a catalog, messages are English", async () => {
  const { _, ngettext } = await load("en-US");
  assert.equal(_("Added %(name)s", { name: "A %(name)s $& B" }), "Added A %(name)s $& B");
  assert.equal(ngettext("%(count)s icon", "%(count)s icons", 1), "1 icon");
  assert.equal(ngettext("%(count)s icon", "%(count)s icons", 1234), "1,234 icons");
});

test("messages of several catalogs are translated, and numbers are formatted", async () => {
  const catalog = { "%(count)s icon": ["%(count)s icône", "%(count)s icônes"] };
  const { _, formatNumber, ngettext } = await load("fr", { Saved: "Enregistré" }, catalog);
  assert.equal(_("Saved"), "Enregistré");
  assert.equal(_("Saving"), "Saving");
  assert.equal(ngettext("%(count)s icon", "%(count)s icons", 0), "0 icône"); // zero is singular in French
  assert.equal(ngettext("%(count)s icon", "%(count)s icons", 2), "2 icônes");
  assert.equal(formatNumber(1234.5), "1\u202f234,5");
});

test("a name of Object.prototype is no message", async () => {
  const { _ } = await load("de", {});
  assert.equal(_("constructor"), "constructor");
});

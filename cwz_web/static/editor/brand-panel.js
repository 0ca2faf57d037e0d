// The brand panel: colors, fonts, logos and text styles of the workspace, applied to the selection by their names.

import { _ } from "../i18n.js";
import { addLogo, applyColor, applyToTexts, referenceTo } from "./brand.js";

/** @typedef {import("./editor.js").Editor} Editor */

/** @param {Editor} editor */
export function installBrandPanel(editor) {
  const panel = /** @type {HTMLElement} */ (editor.root.querySelector("#panel-brand"));
  /** @type {import("./brand.js").Brand} */
  const brand = editor.start.brand;
  const group = "Brand";

  /**
   * Change the selected layers, or say why nothing has changed.
   * @param {string} kind
   * @param {string} name
   * @param {string} needed
   * @param {(copy: import("./model.js").TemplateDocument) => string[]} change
   */
  function apply(kind, name, needed, change) {
    /** @type {string[]} */
    let names = [];
    editor.edit(`${kind} ${name} of ${editor.selection.join(", ")}`, (copy) => { names = change(copy); });
    if (names.length) editor.announce(_("%(name)s applied to %(names)s", { name, names: names.join(", ") }));
    else editor.toast(needed);
  }

  const unlocked = () => editor.selection.filter((name) => editor.isUnlocked(name));
  const actions = {
    color: brand.colors.map(({ name }) => ({
      name, run: () => apply("Color", name, _("Select a layer with a color first."), (copy) => applyColor(copy, unlocked(), referenceTo(name))),
    })),
    font: brand.fonts.map(({ name }) => ({
      name, run: () => apply("Font", name, _("Select a text first."), (copy) => applyToTexts(copy, unlocked(), { font: referenceTo(name) })),
    })),
    style: brand.styles.map(({ name, ...values }) => ({
      name,
      run: () => apply("Style", name, _("Select a text first."), (copy) => applyToTexts(copy, unlocked(), { ...values, style: referenceTo(name) })),
    })),
    logo: brand.logos.map((logo) => ({
      name: logo.name,
      run: () => {
        let added = "";
        editor.edit(`add logo ${logo.name}`, (copy) => { added = addLogo(copy, logo); });
        editor.select([added]);
        editor.announce(_("Logo %(name)s added", { name: logo.name }));
      },
    })),
  };
  /** @type {{[kind: string]: (name: string) => string}} */
  const labels = {
    color: (name) => _("Brand color: %(name)s", { name }),
    font: (name) => _("Brand font: %(name)s", { name }),
    style: (name) => _("Brand style: %(name)s", { name }),
    logo: (name) => _("Brand logo: %(name)s", { name }),
  };
  for (const [kind, entries] of Object.entries(actions)) {
    for (const { name, run } of entries) {
      editor.commands.add({ id: `brand-${kind}-${name}`, label: labels[kind](name), group, run });
    }
  }
  panel.addEventListener("click", (event) => {
    const button = /** @type {Element} */ (event.target).closest("button[data-brand-kind]");
    if (!(button instanceof HTMLButtonElement)) return;
    const { brandKind, brandName } = button.dataset;
    const entries = actions[/** @type {keyof typeof actions} */ (brandKind)];
    entries.find(({ name }) => name === brandName)?.run();
  });
  for (const swatch of /** @type {NodeListOf<HTMLElement>} */ (panel.querySelectorAll("[data-swatch]"))) {
    swatch.style.setProperty("--color", swatch.dataset.swatch ?? "");
  }
}

// The draft between the page and the server: who may continue after a session has ended.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Session } from "../../cwz_web/static/editor/session.js";

/** @param {{redirected?: boolean, text: string}} answer */
async function resume(answer) {
  const session = { start: { account: "0a-1", csrf: "00", page: "/" }, setSaveState() {}, async refresh() {} };
  globalThis.fetch = /** @type {any} */ (async () => ({ redirected: false, ...answer, text: async () => answer.text }));
  const problem = await Session.prototype.resume.call(/** @type {any} */ (session));
  return { problem, csrf: session.start.csrf };
}

test("the same account continues with the token of its new session", async () => {
  assert.deepEqual(await resume({ text: '{"account": "0a-1", "csrf": "ff"}' }), { problem: "", csrf: "ff" });
});

test("the changes of one account are not saved by another", async () => {
  const { problem, csrf } = await resume({ text: '{"account": "0b-2", "csrf": "ff"}' });
  assert.match(problem, /another account/);
  assert.equal(csrf, "00");
});

test("a page of a user who is signed out is none to continue with", async () => {
  assert.match((await resume({ redirected: true, text: '"account": "0a-1", "csrf": "ff"' })).problem, /signed out/);
  assert.match((await resume({ text: "Sign in" })).problem, /signed out/);
});

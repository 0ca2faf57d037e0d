// The session: a change that the server refuses, since there are too many, is stored and sent again.
import assert from "node:assert/strict";
import { mock, test } from "node:test";

const stored = new Map();
Object.assign(globalThis, {
  addEventListener() {},
  document: { addEventListener() {} },
  localStorage: {
    getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => stored.set(key, value), removeItem: (key) => stored.delete(key),
  },
});
const { Session } = await import("../../cwz_web/static/editor/session.js");

const START = { operations: "/operations", page: "/editor", account: "1", csrf: "x", base: "a", document: { layers: [], fields: [] } };
const REFUSED = { status: 429, headers: new Headers({ "Retry-After": "30" }) };

function answer() {
  const state = { base: "b", document: null, layers: [] };
  return { status: 200, ok: true, redirected: false, headers: new Headers(), formData: async () => new Map([["state", JSON.stringify(state)]]) };
}

test("too many changes are stored, explained and sent again", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const bodies = [];
  const answers = [REFUSED, REFUSED, answer()];
  globalThis.fetch = async (_, { body }) => {
    bodies.push(body);
    return answers.shift();
  };
  const session = new Session(START, { digests: () => [], add: async () => {} });
  session.edit("width", { layers: [], fields: [{ name: "title" }] });
  for (let pause = 1; pause < 3; pause++) {
    while (bodies.length < pause || session.saveState !== "failed") await new Promise(setImmediate);
    assert.match(session.failure, /Too many changes, next try in 30 s/);
    assert.equal(JSON.parse([...stored.values()][0]).document.fields.length, 1);
    await new Promise(setImmediate);
    mock.timers.tick(30_000);
  }
  while (session.saveState !== "saved") await new Promise(setImmediate);
  assert.equal(new Set(bodies).size, 1);
  assert.equal(bodies.length, 3);
  assert.equal(session.unsent, 0);
  assert.equal(stored.size, 0);
  mock.timers.reset();
});

test("an undo that waits does not undo what is changed after it", async () => {
  const bodies = [];
  const [plain, named] = [START.document, { layers: [], fields: [{ name: "title" }] }];
  const states = [null, plain, null];
  globalThis.fetch = async (_, { body }) => {
    bodies.push(JSON.parse(body));
    const state = { base: "b", document: states[bodies.length - 1], layers: [] };
    return { ...answer(), formData: async () => new Map([["state", JSON.stringify(state)]]) };
  };
  const session = new Session({ ...START, feeds: [] }, { digests: () => [], add: async () => {} });
  session.edit("field", named);
  session.act("undo");
  session.edit("more", { ...named, canvas: { width: 9 } });
  while (bodies.length < 3 || session.saveState !== "saved") await new Promise(setImmediate);
  assert.deepEqual(bodies.map((each) => each.action ?? each.operations.map(({ path }) => path)), [["/fields/0"], "undo", ["/canvas"]]);
  assert.deepEqual(session.document, { ...plain, canvas: { width: 9 } });
});

test("a change that waits for a check of the image is not shown as saved", async () => {
  let finish = () => {};
  globalThis.fetch = async (_, { body }) => {
    if (JSON.parse(body).checks) await new Promise((resolve) => { finish = resolve; });
    return answer();
  };
  const session = new Session({ ...START, feeds: [] }, { digests: () => [], add: async () => {} });
  const check = session.enqueue(() => session.check());
  await new Promise(setImmediate);
  session.edit("field", { layers: [], fields: [{ name: "title" }] });
  assert.equal(session.saveState, "saving");
  finish();
  await check;
  while (session.saveState !== "saved") await new Promise(setImmediate);
});

// The session: a change that the server refuses, since there are too many, is stored and sent again.
import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";

const stored = new Map();
Object.assign(globalThis, {
  addEventListener() {},
  document: { addEventListener() {} },
  localStorage: {
    getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => stored.set(key, value), removeItem: (key) => stored.delete(key),
  },
});
Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
const { Session } = await import("../../cwz_web/static/editor/session.js");

const START = { operations: "/operations", page: "/editor", account: "1", csrf: "x", base: "a", document: { layers: [], fields: [] } };
const DOCUMENT = { layers: [], fields: [{ name: "title" }] };
const REFUSED = { status: 429, headers: new Headers({ "Retry-After": "30" }) };

function answer() {
  const state = { base: "b", document: null, layers: [] };
  return { status: 200, ok: true, redirected: false, headers: new Headers(), formData: async () => new Map([["state", JSON.stringify(state)]]) };
}

function refusal(status, detail) {
  return { status, headers: new Headers({ "Content-Type": "application/problem+json" }), json: async () => ({ detail }) };
}

/** A session whose requests are answered in order; `bodies` are the requests, without those for a page. */
function open(answers, page = '{"account": "1", "csrf": "x"}') {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  const bodies = [], tokens = [];
  globalThis.fetch = async (_, { body, headers }) => {
    if (!body) return { redirected: !page, text: async () => page };
    bodies.push(JSON.parse(body));
    tokens.push(headers["X-CSRF-Token"]);
    return answers.length > 1 ? answers.shift() : answers[0];
  };
  const start = { ...structuredClone(START), feeds: [] };
  return { session: new Session(start, { digests: () => [], add: async () => {} }), bodies, tokens };
}

afterEach(() => {
  mock.timers.reset();
  stored.clear();
});

test("a change that is refused for good is shown and dropped, and the next one is sent", async () => {
  const { session, bodies } = open([refusal(413, "A change can have at most 2 MB"), answer()]);
  const messages = [];
  session.addEventListener("invalid", ({ detail }) => messages.push(detail));
  const refused = session.submit({ do: "table" }, [], "").catch((error) => error.message);
  session.submit({ do: "field" }, [], "");
  assert.equal(await refused, "A change can have at most 2 MB");
  await session.queue;
  assert.deepEqual(bodies.map(({ form }) => form.do), ["table", "field"]);
  assert.equal(session.saveState, "saved");

  const { session: other } = open([refusal(413, "Too long"), answer()]);
  other.addEventListener("invalid", ({ detail }) => messages.push(detail));
  other.edit("width", DOCUMENT);
  await other.queue;
  assert.deepEqual(messages, ["Too long"]);
  assert.equal(other.document, other.saved.document);
  assert.equal(other.saveState, "saved");
});

for (const [status, reason] of [[403, /no longer edit/], [404, /no longer exists/], [402, /read-only/]]) {
  test(`an answer ${status} is explained, without further attempts, and lets the user discard`, async () => {
    const { session, bodies } = open([refusal(status, "")]);
    session.state = { hasDraft: false };
    session.edit("width", DOCUMENT);
    session.submit({ do: "field" }, [], "");
    await session.queue;
    assert.match(session.failure, reason);
    assert.equal(session.saveState, "failed");
    const count = bodies.length;
    mock.timers.tick(60_000);
    await session.queue;
    assert.equal(bodies.length, count);
    assert.equal(session.unsent, 2);
    assert.equal(stored.size, 1);
    assert.equal(await session.discard(), true);
    assert.equal(session.unsent, 0);
    assert.equal(session.document, session.saved.document);
    assert.equal(session.saveState, "saved");
    assert.equal(stored.size, 0);
    assert.equal(bodies.length, count);
  });
}

test("a change that always fails does not prevent a discard", async () => {
  const { session, bodies } = open([refusal(500, "Failed"), refusal(500, "Failed"), answer()]);
  session.state = { hasDraft: true };
  const dropped = session.submit({ do: "field" }, [], "");
  await session.queue;
  assert.equal(session.saveState, "failed");
  assert.equal(await session.discard(), false);
  assert.equal(await dropped, undefined);
  assert.equal(await session.discard(), true);
  await session.queue;
  assert.deepEqual(bodies.map(({ form, action }) => form?.do ?? action), ["field", "discard", "discard"]);
});

test("the token of a session that was begun in another tab is used", async () => {
  const { session, tokens } = open([refusal(400, "Expired"), answer()], '{"account": "1", "csrf": "ff"}');
  session.edit("width", DOCUMENT);
  await session.queue;
  assert.deepEqual(tokens, ["x", "ff"]);
  assert.equal(session.saveState, "saved");
});

for (const page of ["", '{"account": "2", "csrf": "ff"}']) {
  test(`changes are not dropped because of the session of ${page ? "another account" : "nobody"}`, async () => {
    const { session, tokens } = open([refusal(400, "Expired")], page);
    session.submit({ do: "field" }, [], "");
    await session.queue;
    assert.equal(session.saveState, "signed-out");
    assert.equal(session.unsent, 1);
    assert.deepEqual(tokens, ["x"]);
  });
}

test("another conflict than that of the draft is tried again", async () => {
  const { session, bodies } = open([refusal(409, "Changed"), answer()]);
  session.edit("width", DOCUMENT);
  await session.queue;
  assert.equal(session.saveState, "failed");
  mock.timers.tick(5000);
  await session.queue;
  assert.equal(session.saveState, "saved");
  assert.equal(bodies.length, 2);
});

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

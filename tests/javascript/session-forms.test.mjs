// The session: forms of the designer that could not be sent wait, and are sent in order with other changes.
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

const stored = new Map();
const listeners = new Map();
Object.assign(globalThis, {
  addEventListener: (type, listener) => listeners.set(type, listener),
  document: { addEventListener() {} },
  localStorage: {
    get length() { return stored.size; }, key: (at) => [...stored.keys()][at],
    getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => stored.set(key, value), removeItem: (key) => stored.delete(key),
  },
});
/** The locks of a browser: a page has its own until it is closed. */
class Locks {
  queues = new Map();
  releases = new Map();

  request(name, work) {
    const closed = () => new Promise((resolve) => this.releases.set(name, resolve));
    this.queues.set(name, (this.queues.get(name) ?? Promise.resolve()).then(() => Promise.race([work(), closed()])));
    return this.queues.get(name);
  }

  close(session) {
    this.releases.get(session.storageKey)();
  }
}

let locks;
Object.defineProperty(globalThis, "navigator", { get: () => ({ locks }), configurable: true });
const { Session } = await import("../../cwz_web/static/editor/session.js");

const LAYER = { name: "Word", x: 1, size: 20 };
const START = {
  operations: "/operations", page: "/editor", account: "1", csrf: "x", base: "0", document: { layers: [LAYER], fields: [] }, feeds: [],
};
const OFFLINE = () => Promise.reject(new Error("offline"));
const FAILED = async () => ({ status: 500, headers: new Headers() });
const SIGNED_OUT = async () => ({ status: 200, redirected: true, headers: new Headers() });

beforeEach(() => {
  stored.clear();
  locks = new Locks();
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
});

/** A server that changes the layer as forms and operations ask for; `bodies` are the changes that it was sent. */
class Server {
  bodies = [];
  document = START.document;
  revision = 0;
  condition = "old";

  answer = async (url, options) => {
    if (!options.body) return { redirected: false, text: async () => '{"account": "1", "csrf": "ff"}' };
    const body = JSON.parse(options.body);
    if (body.form || body.operations?.length || body.action) this.bodies.push(body);
    if (body.form?.size === "1") return { status: 422, headers: new Headers(), json: async () => ({ detail: "Too small", errors: { size: "Enter 6" } }) };
    if (body.form) this.change(body.form.do === "properties" ? body.form : {});
    for (const { path, value } of body.operations ?? []) this.change({ [path.split("/").at(-1)]: value });
    return this.state(body);
  };

  change({ do: _, ...values }) {
    this.revision++;
    const numbers = Object.entries(values).map(([name, value]) => [name, name === "name" ? value : Number(value)]);
    this.document = { ...this.document, layers: [{ ...this.document.layers[0], ...Object.fromEntries(numbers) }] };
  }

  state(body) {
    const state = { base: String(this.revision), document: this.document, layers: [], layer: body.form ? this.document.layers[0].name : "" };
    if (body.form?.do === "condition") Object.assign(state, { condition: body.form.expression, replaced: body.form.was !== this.condition });
    this.condition = state.condition ?? this.condition;
    return { status: 200, ok: true, redirected: false, headers: new Headers(), formData: async () => new Map([["state", JSON.stringify(state)]]) };
  }
}

function start(fetch) {
  globalThis.fetch = fetch;
  return new Session(structuredClone(START), { digests: () => [], add: async () => {} });
}

async function until(condition) {
  for (let turn = 0; turn < 200; turn++) {
    if (condition()) return;
    await new Promise(setImmediate);
  }
  assert.fail("it does not happen");
}

function submit(session, values, key = "properties") {
  return session.submit({ do: "properties", ...values }, Object.keys(values), "Word", key);
}

function moved(session, x) {
  return { ...session.document, layers: [{ ...session.document.layers[0], x }] };
}

for (const [state, refused] of [["offline", OFFLINE], ["failed", FAILED], ["signed-out", SIGNED_OUT]]) {
  test(`a form that was ${state} waits and is sent later`, async () => {
    const server = new Server();
    const session = start(refused);
    const states = [];
    const answer = submit(session, { size: "44" });
    await until(() => session.saveState === state);
    session.addEventListener("save", () => states.push([session.saveState, session.unsent]));
    assert.equal(session.unsent, 1);
    let isWarned = false;
    listeners.get("beforeunload")({ preventDefault: () => { isWarned = true; } });
    assert.equal(isWarned, true);
    globalThis.fetch = server.answer;
    if (state === "signed-out") assert.equal(await session.resume(), "");
    else session.retry();
    assert.equal((await answer).layer, "Word");
    await until(() => session.saveState === "saved");
    assert.deepEqual(server.bodies.map(({ form, changed, layer }) => [form.size, changed, layer]), [["44", ["size"], "Word"]]);
    assert.deepEqual(states.filter(([each, unsent]) => each === "saved" && unsent), []);
    assert.equal(session.document.layers[0].size, 44);
    assert.equal(session.unsent, 0);
    assert.equal(stored.size, 0);
  });
}

test("changes that could not be sent are sent again every five seconds, however many there are", async () => {
  let requests = 0;
  const session = start(() => {
    requests++;
    return OFFLINE();
  });
  async function wait(seconds) {
    for (let second = 0; second < seconds; second++) {
      mock.timers.tick(1000);
      await session.queue;
    }
  }

  for (const x of ["1", "12", "123"]) {
    submit(session, { x });
    await session.queue;
    await wait(1);
  }
  requests = 0;
  await wait(20);
  assert.equal(requests, 4);
});

test("forms are sent in order with other changes, and a later one replaces an earlier one", async () => {
  const server = new Server();
  const session = start(OFFLINE);
  const replaced = submit(session, { size: "4" });
  submit(session, { size: "44" });
  submit(session, { x: "50" });
  session.edit("x", moved(session, 80));
  session.submit({ do: "field", name: "a" }, ["name"], "Word");
  session.submit({ do: "field", name: "b" }, ["name"], "Word");
  await session.queue;
  assert.equal(await replaced, undefined);
  assert.equal(session.unsent, 5);
  globalThis.fetch = server.answer;
  session.retry();
  await until(() => session.saveState === "saved");
  const sent = server.bodies.map(({ form, operations }) => form ?? operations);
  assert.deepEqual(sent, [
    { do: "properties", size: "44" }, { do: "properties", x: "50" }, [{ op: "replace", path: "/layers/0/x", value: 80 }],
    { do: "field", name: "a" }, { do: "field", name: "b" },
  ]);
  assert.deepEqual(session.document.layers[0], { name: "Word", x: 80, size: 44 });
});

test("a form that is refused later says why, and the others are sent", async () => {
  const server = new Server();
  const session = start(OFFLINE);
  const refused = submit(session, { size: "1" }).catch((error) => error);
  submit(session, { x: "5" });
  await session.queue;
  globalThis.fetch = server.answer;
  session.retry();
  assert.deepEqual((await refused).errors, { size: "Enter 6" });
  await until(() => session.saveState === "saved");
  assert.equal(session.document.layers[0].x, 5);
});

test("forms are about a layer that they rename, and about the size that was shown", async () => {
  const server = new Server();
  const session = start(OFFLINE);
  submit(session, { name: "Title" });
  session.view.size = "story";
  submit(session, { x: "5" });
  await session.queue;
  globalThis.fetch = server.answer;
  session.retry();
  await until(() => session.saveState === "saved");
  assert.deepEqual(server.bodies.map(({ layer, size }) => [layer, size]), [["Word", "default"], ["Title", "story"]]);
});

test("an undo comes after the forms that were sent before it", async () => {
  const server = new Server();
  const session = start(server.answer);
  submit(session, { x: "5" });
  session.act("undo");
  submit(session, { x: "6" });
  await until(() => session.saveState === "saved");
  assert.deepEqual(server.bodies.map(({ action, form }) => action ?? form.x), ["5", "undo", "6"]);
});

for (const has of ["", "out"]) {
  test(`forms of a page that was closed are sent by the next one, with${has} locks`, async () => {
    if (has) locks = undefined;
    const server = new Server();
    const session = start(OFFLINE);
    await session.open();
    submit(session, { size: "44" });
    session.edit("x", moved(session, 80));
    await session.queue;
    if (!has) locks.close(session);
    const next = start(server.answer);
    await next.open();
    await until(() => next.saveState === "saved" && next.document.layers[0].size === 44);
    assert.deepEqual(next.document.layers[0], { name: "Word", x: 80, size: 44 });
    assert.equal(stored.size, 0);
  });
}

test("forms of a page that is open are sent by this page only", async () => {
  const server = new Server();
  const session = start(OFFLINE);
  await session.open();
  session.submit({ do: "add" }, [], "Word");
  await session.queue;
  const other = start(server.answer);
  await other.open();
  globalThis.fetch = OFFLINE;
  submit(other, { size: "44" });
  await other.queue;
  assert.equal(stored.size, 2);
  globalThis.fetch = server.answer;
  session.retry();
  other.retry();
  await until(() => session.saveState === "saved" && other.saveState === "saved");
  locks.close(session);
  await until(() => !stored.size);
  assert.deepEqual(server.bodies.map(({ form }) => form.do).sort(), ["add", "properties"]);
});

test("forms of a page that is closed later are sent by one of the others", async () => {
  const server = new Server();
  const session = start(OFFLINE);
  await session.open();
  session.submit({ do: "add" }, [], "Word");
  session.edit("x", moved(session, 80));
  await session.queue;
  const others = [start(server.answer), start(server.answer)];
  for (const each of others) await each.open();
  others[0].edit("size", { ...START.document, layers: [{ ...LAYER, size: 30 }] });
  locks.close(session);
  await until(() => others[0].document.layers[0].x === 80 && others.every((each) => each.saveState === "saved"));
  assert.deepEqual(server.document.layers, [{ name: "Word", x: 80, size: 30 }]);
  assert.equal(server.bodies.filter(({ form }) => form).length, 1);
  assert.equal(stored.size, 0);
});

test("forms that wait are stored in order with other changes, and without copies of the document", async () => {
  const server = new Server();
  const session = start(OFFLINE);
  const text = "a".repeat(10_000);
  session.document = session.saved.document = server.document = { ...session.document, text };
  for (let each = 0; each < 20; each++) session.submit({ do: "field", name: String(each) }, ["name"], "Word");
  session.edit("x", moved(session, 80));
  submit(session, { size: "44" });
  await session.queue;
  assert.ok([...stored.values()].join("").length < 3 * text.length);
  const next = start(server.answer);
  next.document = next.saved.document = server.document;
  await next.open();
  await until(() => next.saveState === "saved");
  const sent = server.bodies.map(({ form, operations }) => form ? Object.values(form).join(" ") : operations);
  assert.deepEqual(sent.slice(-3), ["field 19", [{ op: "replace", path: "/layers/0/x", value: 80 }], "properties 44"]);
  assert.equal(sent.length, 22);
});

test("a condition that replaces that of another window is named once", async () => {
  const server = new Server();
  const session = start(server.answer);
  let replaced = 0;
  session.addEventListener("replaced", () => replaced++);
  server.condition = "theirs";
  for (const expression of ["a", "ab"]) session.submit({ do: "condition", was: "old", expression }, ["expression"], "Word");
  await session.queue;
  assert.deepEqual(server.bodies.map(({ form }) => form.was), ["old", "a"]);
  assert.equal(replaced, 1);
});

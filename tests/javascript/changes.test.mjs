// Differences and merges of documents.
import assert from "node:assert/strict";
import { test } from "node:test";

import { applyOperations, findOperations, isEqual, mergeDocuments } from "../../cwz_web/static/editor/changes.js";

/** A generator of numbers from 0 to 1 that gives the same ones in each run (mulberry32). */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Apply operations as RFC 6902 says. */
function apply(document, operations) {
  let result = structuredClone(document);
  for (const { op, path, value } of operations) {
    const keys = path.split("/").slice(1).map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = keys.pop();
    if (last === undefined) {
      result = value;
      continue;
    }
    const parent = keys.reduce((each, key) => each[key], result);
    if (!Array.isArray(parent)) {
      if (op === "remove") delete parent[last];
      else parent[last] = value;
    } else if (op === "remove") parent.splice(Number(last), 1);
    else if (op === "add") parent.splice(Number(last), 0, value);
    else parent[Number(last)] = value;
  }
  return result;
}

const NAMES = ["Title", "Price", "Photo", "Badge", "a/b~c"];

function makeLayers(next, depth = 0) {
  const names = NAMES.filter(() => next() < 0.6).sort(() => next() - 0.5);
  return names.map((name) => ({
    name: depth ? `${name} ${depth}` : name,
    x: Math.floor(next() * 3),
    points: next() < 0.3 ? [[0, 1], [1, Math.floor(next() * 2)]] : [],
    ...(next() < 0.3 && depth < 2 ? { layers: makeLayers(next, depth + 1) } : {}),
  }));
}

function makeDocument(next) {
  return { canvas: { width: Math.floor(next() * 3), background: next() < 0.5 ? null : "#fff" }, layers: makeLayers(next) };
}

test("operations turn a document into the other one", () => {
  const next = random(1);
  for (let round = 0; round < 300; round++) {
    const [from, to] = [makeDocument(next), makeDocument(next)];
    const operations = findOperations(from, to);
    for (const each of [apply, applyOperations]) assert.deepEqual(each(from, operations), to);
  }
});

test("operations on a key __proto__ change the value of this key", () => {
  const [none, one, two] = ["{}", '{"__proto__": {"x": 1}}', '{"__proto__": {"x": 2}}'].map((text) => JSON.parse(text));
  for (const [from, to] of [[none, one], [one, two], [two, none]]) {
    assert.deepEqual(Object.entries(applyOperations(from, findOperations(from, to))), Object.entries(to));
  }
  assert.equal({}.x, undefined);
});

test("equal documents differ by nothing", () => {
  const document = makeDocument(random(2));
  assert.deepEqual(findOperations(document, structuredClone(document)), []);
  assert.ok(isEqual(document, structuredClone(document)));
});

test("a change of one value is one small operation", () => {
  const from = { layers: [{ name: "Title", x: 1 }, { name: "Price", x: 2 }] };
  const to = { layers: [{ name: "Title", x: 1 }, { name: "Price", x: 3 }] };
  assert.deepEqual(findOperations(from, to), [{ op: "replace", path: "/layers/1/x", value: 3 }]);
});

test("a merge with an unchanged side is the other side", () => {
  const next = random(3);
  for (let round = 0; round < 200; round++) {
    const [base, other] = [makeDocument(next), makeDocument(next)];
    for (const [mine, theirs] of [[base, other], [other, base], [other, other]]) {
      const merged = mergeDocuments(base, mine, theirs);
      assert.deepEqual(merged, { document: other, conflicts: [] });
    }
  }
});

test("changes of different layers and values are both kept", () => {
  const base = { layers: [{ name: "Title", x: 1, y: 1 }, { name: "Price", x: 2 }] };
  const mine = { layers: [{ name: "Title", x: 5, y: 1 }, { name: "Price", x: 2 }] };
  const theirs = { layers: [{ name: "Price", x: 9 }, { name: "Title", x: 1, y: 7 }, { name: "New", x: 0 }] };
  assert.deepEqual(mergeDocuments(base, mine, theirs), {
    document: { layers: [{ name: "Price", x: 9 }, { name: "Title", x: 5, y: 7 }, { name: "New", x: 0 }] },
    conflicts: [],
  });
});

test("what both changed is mine, and is named", () => {
  const base = { layers: [{ name: "Title", x: 1 }] };
  const merged = mergeDocuments(base, { layers: [{ name: "Title", x: 2 }] }, { layers: [{ name: "Title", x: 3 }] });
  assert.deepEqual(merged, { document: { layers: [{ name: "Title", x: 2 }] }, conflicts: ["Title: x"] });
});

for (const name of ["__proto__", "constructor"]) {
  test(`a key ${name} is merged like any other`, () => {
    const [none, one, two] = ["{}", `{"${name}": 1}`, `{"${name}": 2}`].map((text) => JSON.parse(text));
    for (const [base, mine, theirs, merged] of [[none, one, none, one], [none, none, one, one], [one, none, one, none], [one, two, one, two]]) {
      assert.deepEqual(Object.entries(mergeDocuments(base, mine, theirs).document), Object.entries(merged));
    }
  });
}

test("a layer that one removed and the other changed stays", () => {
  const base = { layers: [{ name: "Title", x: 1 }] };
  for (const [mine, theirs] of [[[], [{ name: "Title", x: 3 }]], [[{ name: "Title", x: 3 }], []]]) {
    const merged = mergeDocuments(base, { layers: mine }, { layers: theirs });
    assert.deepEqual(merged, { document: { layers: [{ name: "Title", x: 3 }] }, conflicts: ["Title"] });
  }
});

test("layers that one removed are removed", () => {
  const base = { layers: [{ name: "Title" }, { name: "Price" }] };
  const merged = mergeDocuments(base, { layers: [{ name: "Price" }] }, { layers: [{ name: "Title" }, { name: "Price" }, { name: "New" }] });
  assert.deepEqual(merged, { document: { layers: [{ name: "Price" }, { name: "New" }] }, conflicts: [] });
});

test("a name that both gave to a new layer occurs once", () => {
  const next = random(4);
  for (let round = 0; round < 300; round++) {
    const [base, mine, theirs] = [makeDocument(next), makeDocument(next), makeDocument(next)];
    const names = mergeDocuments(base, mine, theirs).document.layers.map((layer) => layer.name);
    assert.equal(new Set(names).size, names.length);
  }
});

// Layers on the clipboard: what comes along, where it goes, and what is refused.
import assert from "node:assert/strict";
import { test } from "node:test";

import { applyStyle, InvalidClipError, pasteClip, readClip, styleOf, usedFields, writeClip } from "../../cwz_web/static/editor/clips.js";
import { findLayer } from "../../cwz_web/static/editor/model.js";

const BASE = { x: 0, y: 0, width: 10, height: 10, anchor: "top-left", rotation: 0, opacity: 1, hidden: false, locked: false };

function layer(name, values = {}) {
  return { ...BASE, type: "shape", name, ...values };
}

function makeDocument(layers, values = {}) {
  return { canvas: { width: 500, height: 400, background: null }, fields: [], layers, sizes: [], ...values };
}

const SHOWN = { size: "default", frames: {} };

/** Copy layers of a document into another one. */
function transfer(from, names, to, place = {}) {
  const clip = readClip(writeClip(from, names, { size: "default", frames: {} }, "/w/demo"));
  return pasteClip(to, clip, { to: "", index: 99, delta: { x: 0, y: 0 }, shown: SHOWN, ...place });
}

const FIELDS = [{ name: "title", type: "text" }, { name: "price", type: "money" }, { name: "stock", type: "number" }, { name: "other", type: "text" }, { name: "photos", type: "list" }];
const COMPUTED = [{ name: "badge", value: 'translate(label, "words")' }, { name: "label", value: "stock < 5 ? 'few' : ''" }, { name: "unused", value: "other" }];
const TABLES = { words: { few: "wenige" }, more: {} };

test("the fields that layers use come along, also those of computed fields, conditions and repeated stacks", () => {
  const source = makeDocument([], { fields: FIELDS, computed: COMPUTED, tables: TABLES });
  const used = (...layers) => usedFields(source, layers);
  assert.deepEqual(used(layer("other", { text: "other {{ title | upper }}" })).fields.map((each) => each.name), ["title"]);
  const { fields, computed, tables } = used(layer("Badge", { text: "{{badge}}", show_if: { field: "price", is: "filled" } }));
  assert.deepEqual(fields.map((each) => each.name), ["price", "stock"]);
  assert.deepEqual(computed.map((each) => each.name), ["badge", "label"]);
  assert.deepEqual(Object.keys(tables), ["words"]);
  const stack = layer("Stack", { type: "stack", repeat: { field: "photos" }, layers: [layer("In", { bound: { color: "stock > 1 ? '#111111' : '#222222'" } })] });
  assert.deepEqual(used(stack).fields.map((each) => each.name), ["stock", "photos"]);
});

test("a target keeps the fields that it has", () => {
  const source = makeDocument([layer("A", { text: "{{ title }} {{ price }}" })], { fields: FIELDS });
  const target = makeDocument([], { fields: [{ name: "title", type: "number" }] });
  assert.deepEqual(transfer(source, ["A"], target), { names: ["A"], fields: ["price"] });
  assert.deepEqual(target.fields, [{ name: "title", type: "number" }, { name: "price", type: "money" }]);
});

test("masks come along, and copies have names of their own", () => {
  const source = makeDocument([layer("Mask"), layer("Photo", { mask: { layer: "Mask" } })]);
  const target = makeDocument([layer("Mask")]);
  assert.deepEqual(transfer(source, ["Photo"], target).names, ["Mask 2", "Photo"]);
  assert.equal(findLayer(target, "Photo").mask.layer, "Mask 2");
});

test("overrides come along into sizes of the same name and the same width and height", () => {
  const size = (width, overrides) => ({ name: "story", width, height: 900, overrides });
  const source = () => makeDocument([layer("A", { x: 5 })], { sizes: [size(500, { A: { x: 50, width: 7 } })] });
  const same = makeDocument([layer("A")], { sizes: [size(500, { A: { x: 1 } })] });
  transfer(source(), ["A"], same, { delta: { x: 10, y: 0 } });
  assert.deepEqual(same.sizes[0].overrides, { A: { x: 1 }, "A 2": { x: 60, width: 7 } });
  assert.equal(findLayer(same, "A 2").x, 15);
  const other = makeDocument([layer("A")], { sizes: [size(600, { A: { x: 1 } })] });
  transfer(source(), ["A"], other);
  assert.deepEqual(other.sizes[0].overrides, { A: { x: 1 } });
});

test("a layer that filled its stack has the size and the place at which it was shown", () => {
  const inner = layer("A", { sizing: { width: "fill", height: "fixed" } });
  const source = makeDocument([layer("Stack", { type: "stack", layers: [inner] })]);
  const frames = { A: { x: 100, y: 50, width: 180, height: 10, rotation: 0 } };
  const clip = readClip(writeClip(source, ["A"], { size: "default", frames }, "/w/demo"));
  const target = makeDocument([]);
  pasteClip(target, clip, { to: "", index: 0, delta: { x: 1, y: 2 }, shown: SHOWN });
  const { x, y, width, sizing } = target.layers[0];
  assert.deepEqual({ x, y, width, sizing }, { x: 11, y: 47, width: 180, sizing: { width: "fixed", height: "fixed" } });
});

test("layers are pasted into containers", () => {
  const group = layer("Group", { type: "group", x: 100, y: 100, width: 100, height: 100, layers: [layer("In")] });
  const stack = layer("Stack", { type: "stack", layers: [layer("First"), layer("Last")] });
  const target = makeDocument([group, stack]);
  const shown = { size: "default", frames: { Group: { x: 150, y: 150, width: 100, height: 100, rotation: 0 } } };
  const source = makeDocument([layer("A", { x: 120, y: 130, pins: { horizontal: "right", vertical: "top" } })]);
  transfer(source, ["A"], target, { to: "Group", index: 0, shown });
  assert.deepEqual(group.layers.map((each) => each.name), ["A", "In"]);
  assert.deepEqual([group.layers[0].x, group.layers[0].y, group.layers[0].pins], [20, 30, undefined]);
  transfer(source, ["A"], target, { to: "Stack", index: 1, shown });
  assert.deepEqual(stack.layers.map((each) => each.name), ["First", "A 2", "Last"]);
});

test("another text is not a clip", () => {
  for (const text of ["", "Hello", "{}", '{"layers": []}']) assert.equal(readClip(text), null);
});

test("what is not a complete clip is refused", () => {
  const good = JSON.parse(writeClip(makeDocument([layer("A")]), ["A"], SHOWN, "/w/demo"));
  assert.ok(readClip(JSON.stringify(good)));
  const deep = Array.from({ length: 12 }).reduce((inner, _, at) => layer(`G${at}`, { type: "group", layers: [inner] }), layer("A"));
  const changes = [
    { version: 2 }, { layers: [] }, { layers: [{ name: "A" }] }, { layers: [layer("A", { type: "script" })] }, { layers: [layer("A", { x: "1" })] },
    { layers: [layer("B")] }, { layers: [deep], frames: { G11: good.frames.A } }, { layers: Array(300).fill(layer("A")) },
    { frames: null }, { frames: { A: { x: null } } }, { sizes: [{ name: "a", overrides: [] }] }, { fields: [{}] }, { tables: null }, { computed: 3 },
  ];
  for (const change of changes) assert.throws(() => readClip(JSON.stringify({ ...good, ...change })), InvalidClipError, JSON.stringify(change).slice(0, 80));
  assert.throws(() => readClip(JSON.stringify(good).slice(0, -9)), /incompletely/);
  assert.throws(() => readClip(JSON.stringify(good) + " ".repeat(5) + "x".repeat(2_000_000)), /too large/);
});

test("a style has what a layer looks like, and nothing of what it shows or where it is", () => {
  const values = { color: "#ff0000", size: 30, text: "A", x: 5, strike: true, bound: { color: "brand", x: "left" } };
  const document = makeDocument([layer("A", { type: "text", ...values }), layer("B", { type: "text", text: "B", size: 10, underline: true, bound: { y: "top", size: "large" } })]);
  applyStyle(document, "B", styleOf(findLayer(document, "A")));
  const { color, size, text, x, strike, underline, bound } = findLayer(document, "B");
  assert.deepEqual({ color, size, text, x, strike, underline, bound }, { color: "#ff0000", size: 30, text: "B", x: 0, strike: true, underline: undefined, bound: { y: "top", color: "brand" } });
});

test("another type of layer takes of a style what all types have", () => {
  const document = makeDocument([layer("A", { type: "text", size: 30, opacity: 0.5, radius: 9 }), layer("B", { fill: "#123456" })]);
  applyStyle(document, "B", styleOf(findLayer(document, "A")));
  const { opacity, radius, fill, size } = findLayer(document, "B");
  assert.deepEqual({ opacity, radius, fill, size }, { opacity: 0.5, radius: 9, fill: "#123456", size: undefined });
});

// Stacks from layers: what is guessed from where they lie.
import assert from "node:assert/strict";
import { test } from "node:test";

import { findLayer } from "../../cwz_web/static/editor/model.js";
import { alignmentOf, arrangementOf, directionOf, paddingOf, stackLayers } from "../../cwz_web/static/editor/stacking.js";

function box(left, top, width, height) {
  return { left, top, width, height };
}

function layer(name, [x, y, width, height], values = {}) {
  return { name, type: "shape", x, y, width, height, anchor: "top-left", rotation: 0, opacity: 1, hidden: false, locked: false, ...values };
}

function makeDocument(layers, sizes = []) {
  return { canvas: { width: 1000, height: 800, background: null }, fields: [], layers, sizes };
}

function framesOf(layers) {
  return Object.fromEntries(layers.map(({ name, x, y, width, height }) => [name, { x: x + width / 2, y: y + height / 2, width, height, rotation: 0 }]));
}

test("layers beside each other are a row, layers below each other a column", () => {
  assert.equal(directionOf([box(0, 0, 50, 90), box(60, 10, 50, 20)]), "row");
  assert.equal(directionOf([box(0, 0, 50, 20), box(0, 30, 90, 20)]), "column");
  // They overlap in both ways: along the longer way.
  assert.equal(directionOf([box(0, 0, 50, 50), box(10, 40, 50, 50)]), "column");
});

test("the gap is the usual one, and never negative", () => {
  assert.equal(arrangementOf([box(0, 0, 10, 10), box(0, 22, 10, 10), box(0, 44, 10, 10), box(0, 90, 10, 10)]).gap, 12);
  assert.equal(arrangementOf([box(0, 0, 10, 10), box(0, 8, 10, 10)]).gap, 0);
  assert.equal(arrangementOf([box(0, 0, 10, 10)]).gap, 16);
});

test("gaps that differ visibly are known", () => {
  const [first, ...others] = [box(0, 0, 10, 10), box(0, 22, 10, 10), box(0, 50, 10, 10)];
  assert.ok(arrangementOf([first, ...others]).isEven);
  assert.ok(!arrangementOf([first, ...others, box(0, 90, 10, 10)]).isEven);
  // They overlap visibly.
  assert.ok(!arrangementOf([box(0, 0, 10, 40), box(0, 20, 10, 40)]).isEven);
});

test("layers are in the order in which they lie", () => {
  assert.deepEqual(arrangementOf([box(0, 60, 10, 10), box(0, 0, 10, 10), box(0, 30, 10, 10)]).order, [1, 2, 0]);
});

test("the alignment is the edge that layers share", () => {
  assert.equal(alignmentOf([box(5, 0, 50, 10), box(5, 20, 90, 10)], "column"), "start");
  assert.equal(alignmentOf([box(25, 0, 50, 10), box(5, 20, 90, 10)], "column"), "center");
  assert.equal(alignmentOf([box(45, 0, 50, 10), box(5, 20, 90, 10)], "column"), "end");
  assert.equal(alignmentOf([box(0, 10, 50, 30), box(60, 20, 50, 10)], "row"), "center");
});

test("a padding is one only if left and top are alike", () => {
  assert.equal(paddingOf({ left: 20, top: 20, right: 20, bottom: 80 }), 20);
  assert.equal(paddingOf({ left: 20, top: 40, right: 20, bottom: 40 }), undefined);
  assert.equal(paddingOf({ left: -5, top: -5, right: 20, bottom: 40 }), undefined);
  assert.equal(paddingOf({ left: 20, top: 20, right: 0, bottom: 40 }), undefined);
});

test("layers become a stack at their place", () => {
  const layers = [layer("B", [100, 140, 80, 20]), layer("Other", [0, 0, 9, 9]), layer("A", [100, 100, 60, 30], { pins: null })];
  const document = makeDocument(layers, [{ name: "wide", width: 900, height: 90, overrides: { A: { x: 10, y: 10 }, B: { x: 90, y: 12, width: 50 } } }]);
  const made = stackLayers(document, ["A", "B"], { size: "default", frames: framesOf(layers) });
  assert.deepEqual(made, { name: "Stack", isEven: true });
  assert.deepEqual(document.layers.map((each) => each.name), ["Other", "Stack"]);
  const stack = findLayer(document, "Stack");
  const { x, y, width, height, direction, gap, padding, align, sizing } = stack;
  assert.deepEqual({ x, y, width, height }, { x: 100, y: 100, width: 80, height: 60 });
  assert.deepEqual({ direction, gap, padding, align, sizing }, { direction: "column", gap: 10, padding: 0, align: "start", sizing: { width: "hug", height: "hug" } });
  assert.deepEqual(stack.layers.map((each) => each.name), ["A", "B"]);
  // In the other size they lie in a row.
  assert.deepEqual(document.sizes[0].overrides, { Stack: { x: 10, y: 10, width: 130, height: 30, direction: "row", gap: 20 }, B: { width: 50 } });
});

test("a rectangle around the layers is the background of the stack", () => {
  const layers = [
    layer("Card", [50, 50, 200, 120], { shape: "rectangle", fill: "#ffffff", radius: 12 }), layer("A", [70, 70, 100, 30]), layer("B", [70, 120, 160, 30]),
  ];
  const document = makeDocument(layers);
  stackLayers(document, ["A", "B", "Card"], { size: "default", frames: framesOf(layers) });
  const [stack] = document.layers;
  assert.equal(document.layers.length, 1);
  assert.deepEqual([stack.padding, stack.gap, stack.background, stack.radius], [20, 20, "#ffffff", 12]);
  assert.deepEqual([stack.x, stack.y, stack.width, stack.height], [50, 50, 200, 120]);
  assert.deepEqual(stack.sizing, { width: "hug", height: "hug" });
  assert.deepEqual(stack.layers.map((each) => each.name), ["A", "B"]);
});

test("a layer that others lie on without one padding stays below the stack", () => {
  const layers = [layer("Photo", [0, 0, 500, 500]), layer("A", [70, 170, 100, 30]), layer("B", [70, 220, 160, 30])];
  const document = makeDocument(layers);
  stackLayers(document, ["Photo", "A", "B"], { size: "default", frames: framesOf(layers) });
  assert.deepEqual(document.layers.map((each) => each.name), ["Photo", "Stack"]);
  const { x, y, width, height, gap, padding } = document.layers[1];
  assert.deepEqual({ x, y, width, height, gap, padding }, { x: 70, y: 170, width: 160, height: 80, gap: 20, padding: 0 });
});

test("a text hugs its lines, and fills a column that is as wide", () => {
  const text = { type: "text", size: 40, line_height: 1.2, valign: "top", align: "start", fit: "shrink", text: "Title" };
  const layers = [layer("Title", [100, 100, 400, 120], text), layer("Line", [100, 160, 400, 4])];
  const document = makeDocument(layers);
  const inks = { Title: box(103, 110, 90, 29) };
  stackLayers(document, ["Title", "Line"], { size: "default", frames: framesOf(layers), inks });
  const [stack] = document.layers;
  assert.deepEqual(stack.layers[0].sizing, { height: "hug", width: "fill" });
  assert.deepEqual([stack.width, stack.sizing.width, stack.gap], [400, "fixed", 12]);
});

test("a text in a row hugs its letters, so that the gap is the visible one", () => {
  const text = { type: "text", size: 40, line_height: 1.2, valign: "top", align: "start", text: "9" };
  const layers = [layer("Price", [100, 100, 300, 48], text), layer("Badge", [200, 100, 60, 48])];
  const document = makeDocument(layers);
  stackLayers(document, ["Price", "Badge"], { size: "default", frames: framesOf(layers), inks: { Price: box(102, 110, 78, 30) } });
  const [stack] = document.layers;
  assert.deepEqual([stack.direction, stack.gap, stack.layers[0].sizing], ["row", 20, { height: "hug", width: "hug" }]);
});

test("a layer with a mask is in a group with it, which a stack can have", () => {
  const layers = [layer("Mask", [0, 0, 50, 50]), layer("Photo", [0, 0, 80, 50], { mask: { layer: "Mask" } }), layer("Line", [0, 60, 80, 4])];
  const document = makeDocument(layers);
  stackLayers(document, ["Photo", "Line"], { size: "default", frames: framesOf(layers) });
  assert.deepEqual(document.layers[0].layers.map((each) => each.name), ["Group", "Line"]);
});

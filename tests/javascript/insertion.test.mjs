// Where a stack takes a layer.
import assert from "node:assert/strict";
import { test } from "node:test";

import { insertionAt } from "../../cwz_web/static/editor/insertion.js";

function item(name, left, top, width, height) {
  return { name, frame: { x: left + width / 2, y: top + height / 2, width, height, rotation: 0 } };
}

const FRAME = { x: 100, y: 60, width: 200, height: 120, rotation: 0 };
const COLUMN = { direction: "column", gap: 10, padding: 10 };
const LAYERS = [item("A", 10, 10, 50, 20), item("B", 10, 40, 50, 20), item("C", 10, 70, 50, 20)];

test("a column takes a layer above the first one whose middle is below the pointer", () => {
  const before = (y) => insertionAt(COLUMN, FRAME, LAYERS, { x: 30, y }).before;
  assert.deepEqual([-50, 19, 21, 49, 51, 81, 500].map(before), ["A", "A", "B", "B", "C", "", ""]);
});

test("the mark is in the middle of the gap", () => {
  assert.deepEqual(insertionAt(COLUMN, FRAME, LAYERS, { x: 0, y: 35 }).mark, [{ x: 10, y: 35 }, { x: 190, y: 35 }]);
  assert.equal(insertionAt(COLUMN, FRAME, LAYERS, { x: 0, y: 0 }).mark[0].y, 5);
  assert.equal(insertionAt(COLUMN, FRAME, LAYERS, { x: 0, y: 110 }).mark[0].y, 95);
});

test("a row takes a layer by its horizontal position, and a mirrored one the other way round", () => {
  const row = { direction: "row", gap: 10, padding: 0 };
  const layers = [item("A", 0, 0, 40, 20), item("B", 50, 0, 40, 20)];
  const mirrored = [item("A", 160, 0, 40, 20), item("B", 110, 0, 40, 20)];
  assert.deepEqual([10, 30, 45, 90].map((x) => insertionAt(row, FRAME, layers, { x, y: 5 }).before), ["A", "B", "B", ""]);
  assert.deepEqual([190, 170, 155, 110].map((x) => insertionAt(row, FRAME, mirrored, { x, y: 5 }).before), ["A", "B", "B", ""]);
  assert.equal(insertionAt(row, FRAME, mirrored, { x: 155, y: 5 }).mark[0].x, 155);
});

test("a row that wraps takes a layer in the nearest line", () => {
  const row = { direction: "row", gap: 10, padding: 0, wrap: true };
  const layers = [item("A", 0, 0, 90, 20), item("B", 100, 0, 90, 30), item("C", 0, 40, 90, 20)];
  const at = (x, y) => insertionAt(row, FRAME, layers, { x, y });
  assert.deepEqual([at(95, 5).before, at(195, 5).before, at(10, 45).before, at(100, 99).before], ["B", "C", "C", ""]);
  assert.deepEqual(at(195, 5).mark.map((each) => each.y), [0, 30]);
});

test("an empty stack takes a layer at its start", () => {
  assert.deepEqual(insertionAt(COLUMN, FRAME, [], { x: 30, y: 99 }), { before: "", mark: [{ x: 10, y: 10 }, { x: 190, y: 10 }] });
});

test("a rotated stack has its own directions", () => {
  const turned = { ...FRAME, rotation: 90 };
  // Down in the stack is to the left on the canvas.
  const layers = [{ name: "A", frame: { x: 140, y: 0, width: 50, height: 20, rotation: 90 } }];
  assert.equal(insertionAt(COLUMN, turned, layers, { x: 150, y: 60 }).before, "A");
  assert.equal(insertionAt(COLUMN, turned, layers, { x: 130, y: 60 }).before, "");
});

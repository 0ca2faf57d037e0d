// Alignment, equal gaps and tidying up.
import assert from "node:assert/strict";
import { test } from "node:test";

import { align, distribute, edgesOf, tidy } from "../../cwz_web/static/editor/alignment.js";

function frame(left, top, width, height, rotation = 0) {
  return { x: left + width / 2, y: top + height / 2, width, height, rotation };
}

/** The left and top of frames after their moves. */
function moved(frames, deltas) {
  return Object.fromEntries(Object.entries(frames).map(([name, { x, y, width, height }]) => {
    return [name, [x - width / 2 + deltas[name].x, y - height / 2 + deltas[name].y]];
  }));
}

const FRAMES = { A: frame(10, 20, 30, 40), B: frame(100, 50, 60, 20) };

test("layers are aligned to an edge or the middle of their box", () => {
  const box = edgesOf(Object.values(FRAMES));
  assert.deepEqual(box, { left: 10, right: 160, top: 20, bottom: 70 });
  const after = (edge) => moved(FRAMES, align(FRAMES, edge, box));
  assert.deepEqual(after("left"), { A: [10, 20], B: [10, 50] });
  assert.deepEqual(after("right"), { A: [130, 20], B: [100, 50] });
  assert.deepEqual(after("center"), { A: [70, 20], B: [55, 50] });
  assert.deepEqual(after("top"), { A: [10, 20], B: [100, 20] });
  assert.deepEqual(after("bottom"), { A: [10, 30], B: [100, 50] });
  assert.deepEqual(after("middle"), { A: [10, 25], B: [100, 35] });
});

test("a rotated layer is aligned by what is visible of it", () => {
  const frames = { A: frame(0, 0, 100, 20, 90) };
  assert.deepEqual(align(frames, "left", { left: 0, right: 500, top: 0, bottom: 500 }), { A: { x: -40, y: 0 } });
});

test("distributed layers have equal gaps, and the outermost ones stay", () => {
  const frames = { A: frame(0, 0, 10, 10), B: frame(12, 5, 20, 10), C: frame(90, 9, 10, 10) };
  assert.deepEqual(moved(frames, distribute(frames, "x")), { A: [0, 0], B: [40, 5], C: [90, 9] });
  const down = { A: frame(0, 0, 10, 10), B: frame(0, 80, 10, 20), C: frame(0, 11, 10, 10) };
  assert.deepEqual(moved(down, distribute(down, "y")), { A: [0, 0], B: [0, 80], C: [0, 40] });
});

test("a crooked row gets the usual gap and one edge", () => {
  const frames = { A: frame(0, 0, 10, 10), B: frame(22, 0, 10, 10), C: frame(43, 1, 10, 10), D: frame(66, 0, 10, 10) };
  assert.deepEqual(moved(frames, tidy(frames)), { A: [0, 0], B: [22, 0], C: [44, 0], D: [66, 0] });
});

test("a crooked column gets the usual gap and one edge", () => {
  const frames = { A: frame(5, 0, 10, 10), B: frame(5, 20, 30, 10), C: frame(6, 43, 10, 10) };
  assert.deepEqual(moved(frames, tidy(frames)), { A: [5, 0], B: [5, 22], C: [5, 44] });
});

test("layers in rows become a grid of the usual gaps", () => {
  const frames = {
    A: frame(0, 0, 20, 20), B: frame(31, 2, 20, 20), C: frame(60, 1, 20, 20), D: frame(1, 32, 20, 20), E: frame(29, 30, 20, 20),
  };
  assert.deepEqual(moved(frames, tidy(frames)), { A: [0, 0], B: [29, 0], C: [58, 0], D: [0, 28], E: [29, 28] });
});

test("a tidy arrangement stays as it is", () => {
  const frames = { A: frame(0, 0, 20, 20), B: frame(30, 0, 20, 20), C: frame(0, 30, 20, 20), D: frame(30, 30, 20, 20) };
  for (const { x, y } of Object.values(tidy(frames))) assert.deepEqual([Math.abs(x), Math.abs(y)], [0, 0]);
});

test("names of layers can be those of properties of all objects", () => {
  const entries = [["__proto__", frame(0, 0, 20, 20)], ["toString", frame(31, 2, 20, 20)], ["C", frame(1, 32, 20, 20)]];
  const deltas = tidy(Object.fromEntries(entries));
  assert.deepEqual(Object.keys(deltas), ["__proto__", "toString", "C"]);
});

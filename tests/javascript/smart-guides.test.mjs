// Alignment of a box with others.
import assert from "node:assert/strict";
import { test } from "node:test";

import { align, boxAround, unite } from "../../cwz_web/static/editor/smart-guides.js";

const box = (left, top, width = 100, height = 50) => ({ left, top, width, height });

test("edges and middles attract", () => {
  const other = box(200, 200);
  for (const [left, expected] of [[203, -3], [97, 3], [298, 2], [252, -2], [148, 2]]) {
    assert.equal(align(box(left, 0), [other], [], "x", 5).delta, expected, `from ${left}`);
  }
});

test("the nearest one attracts, and a far one does not", () => {
  assert.equal(align(box(0, 0), [box(4, 100), box(2, 300)], [], "x", 5).delta, 2);
  assert.deepEqual(align(box(0, 0), [box(20, 100, 7)], [], "x", 5), { delta: 0, lines: [], gaps: [] });
});

test("a line goes through all that is aligned", () => {
  const { lines } = align(box(1, 0), [box(0, 100, 300), box(0, 400, 70)], [], "x", 5);
  assert.deepEqual(lines, [{ axis: "x", at: 0, start: 0, end: 450 }]);
});

test("guides attract", () => {
  assert.equal(align(box(0, 0), [], [52], "x", 5).delta, 2);
  assert.equal(align(box(0, 0), [], [52], "y", 5).delta, 2);
});

test("a box snaps to the gap of its neighbors", () => {
  const others = [box(0, 0, 40), box(60, 0, 40)];
  const { delta, gaps } = align(box(123, 10, 33, 20), others, [], "x", 5);
  assert.equal(delta, -3);
  assert.deepEqual(gaps.map(({ start, end }) => [start, end]), [[40, 60], [100, 120]]);
});

test("a box snaps to the middle of a gap, and to the left of a row", () => {
  assert.equal(align(box(98, 0, 30), [box(0, 0, 40), box(180, 0, 47)], [], "x", 5).delta, -3);
  assert.equal(align(box(-48, 0, 30), [box(0, 0, 40), box(60, 0, 47)], [], "x", 5).delta, -2);
});

test("boxes in another row have no gap with it", () => {
  const others = [box(0, 300, 40), box(61, 300, 40)];
  assert.deepEqual(align(box(125, 10, 33, 20), others, [], "x", 3).gaps, []);
});

test("an aligned box is aligned again without a move", () => {
  for (let left = -20; left < 300; left += 7) {
    const others = [box(0, 0, 40), box(61, 0, 47), box(200, 30, 31)];
    const { delta } = align(box(left, 10, 33, 20), others, [90], "x", 6);
    assert.equal(align(box(left + delta, 10, 33, 20), others, [90], "x", 6).delta, 0);
  }
});

test("a rotated frame has a box around it", () => {
  const around = boxAround({ x: 50, y: 50, width: 100, height: 20, rotation: 90 });
  assert.deepEqual([around.left, around.top, around.width, around.height].map(Math.round), [40, 0, 20, 100]);
  assert.deepEqual(unite([box(0, 0), box(150, 100)]), { left: 0, top: 0, width: 250, height: 150 });
});

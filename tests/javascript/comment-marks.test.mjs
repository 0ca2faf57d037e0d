// The places of the marks of commented layers.
import assert from "node:assert/strict";
import { test } from "node:test";

import { placeMarks } from "../../cwz_web/static/editor/comment-marks.js";

const FRAME = { x: 50, y: 40, width: 100, height: 80, rotation: 0 };
const zoomed = ({ x, y }) => ({ x: x * 2 + 10, y: y * 2 + 20 });

test("a mark is at the upper right corner of a layer, in pixels of the window", () => {
  assert.deepEqual(placeMarks([FRAME, { ...FRAME, rotation: 90 }], zoomed), [{ x: 210, y: 20 }, { x: 190, y: 0 }]);
});

test("marks of layers with the same corner are beside each other", () => {
  const points = placeMarks([FRAME, FRAME, { ...FRAME, x: 55 }], zoomed);
  assert.deepEqual(points.map(({ y }) => y), [20, 20, 20]);
  const [first, second, third] = points.map(({ x }) => x);
  assert.ok(second - first >= 30 && third - second >= 30);
});

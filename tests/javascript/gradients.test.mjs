// Gradients: where their stops are, and what is changed by dragging them.
import assert from "node:assert/strict";
import { test } from "node:test";

import { addStop, angleAt, handlesOf, moveStop, offsetAt, pointAt, recolor, removeStop } from "../../cwz_web/static/editor/gradients.js";

const BOX = { width: 300, height: 120 };
const make = (more) => ({ type: "linear", start: "#000000", middle: null, end: "#ffffff", angle: 0, ...more });

test("a point of a gradient has its offset and its angle", () => {
  for (const type of ["linear", "radial", "conic"]) {
    for (let angle = 0; angle < 360; angle += 17) {
      const gradient = make({ type, angle });
      for (const offset of [0, 0.25, 0.5, 0.9]) {
        const found = offsetAt(gradient, BOX, pointAt(gradient, BOX, offset));
        assert.ok(Math.abs(found - offset) < 0.002 || (type === "conic" && !offset && found > 0.998), `${type} ${angle} ${offset}`);
      }
      if (type === "radial") continue;
      const isStart = type === "conic";
      assert.equal(angleAt(gradient, BOX, pointAt(gradient, BOX, isStart ? 0 : 1), isStart), angle);
      assert.equal(angleAt(gradient, BOX, pointAt(gradient, BOX, 0), true), angle);
    }
  }
});

test("a horizontal gradient runs from the left edge to the right one", () => {
  assert.deepEqual(pointAt(make(), BOX, 0), { x: -150, y: -0 });
  assert.deepEqual(pointAt(make(), BOX, 1), { x: 150, y: 0 });
});

test("an added stop has the color of its place", () => {
  const named = addStop({ ...make(), start: "brand:ink" }, 0.5, (color) => (color === "brand:ink" ? "#000000" : color));
  assert.deepEqual([named.start, named.stops], ["brand:ink", addStop(make(), 0.5).stops]);
  const added = addStop(make(), 0.5);
  assert.deepEqual(added.stops, [{ offset: 0.5, color: "#808080" }]);
  assert.deepEqual(addStop(added, 0.25).stops, [{ offset: 0.25, color: "#404040" }, { offset: 0.5, color: "#808080" }]);
  assert.deepEqual(removeStop(added, 0), make());
  let full = make();
  for (let at = 1; at < 10; at++) full = addStop(full, at / 10);
  assert.equal(full.stops.length, 6);
});

test("a stop stays between its neighbors", () => {
  const gradient = make({ stops: [{ offset: 0.2, color: "#111111" }, { offset: 0.6, color: "#222222" }] });
  assert.equal(moveStop(gradient, 0, 0.9).stops[0].offset, 0.6);
  assert.equal(moveStop(gradient, 1, 0).stops[1].offset, 0.2);
});

test("each handle is recolored, and a middle is a stop", () => {
  const gradient = make({ middle: "#ff0000" });
  assert.deepEqual(handlesOf(gradient).map((each) => each.offset), [0, 0.5, 1]);
  assert.equal(recolor(gradient, -1, "#123456").start, "#123456");
  assert.equal(recolor(gradient, 1, "#123456").end, "#123456");
  assert.deepEqual(recolor(gradient, 0, "#123456"), make({ stops: [{ offset: 0.5, color: "#123456" }] }));
});

// Photos in boxes.
import assert from "node:assert/strict";
import { test } from "node:test";

import { focusOf, placePhoto } from "../../cwz_web/static/editor/cropping.js";

const BOX = { width: 200, height: 300 };

test("a photo fills its box wherever it is dragged", () => {
  for (const photo of [{ width: 600, height: 300 }, { width: 100, height: 900 }, { width: 200, height: 300 }]) {
    for (const zoom of [1, 1.7, 10]) {
      for (const focus of [[0, 0], [0.5, 0.5], [0.2, 0.9], [1, 1]]) {
        const placed = placePhoto(BOX, photo, focus, zoom);
        assert.ok(placed.left <= 0 && placed.top <= 0, JSON.stringify(placed));
        assert.ok(placed.left + placed.width >= BOX.width - 1e-9 && placed.top + placed.height >= BOX.height - 1e-9);
        const again = placePhoto(BOX, photo, focusOf(BOX, placed, focus), zoom);
        assert.ok(Math.abs(again.left - placed.left) <= placed.width / 1000 && Math.abs(again.top - placed.top) <= placed.height / 1000);
      }
    }
  }
});

test("a photo that was dragged to the right shows more of its left", () => {
  const placed = placePhoto(BOX, { width: 600, height: 300 }, [0.5, 0.5], 1);
  assert.deepEqual(placed, { left: -200, top: -0, width: 600, height: 300 });
  assert.deepEqual(focusOf(BOX, { ...placed, left: placed.left + 60 }, [0.5, 0.5]), [0.4, 0.5]);
  assert.deepEqual(focusOf(BOX, { ...placed, left: 900 }, [0.5, 0.3]), [0.167, 0.3]);
});

// The look of a text that is edited in place, in elements that only remember their styles.
import assert from "node:assert/strict";
import { test } from "node:test";

import { TextView } from "../../cwz_web/static/editor/text-view.js";

/** @param {any} background */
function dressedFrame(background) {
  const part = () => ({ style: {}, removeAttribute() {} });
  const editor = { document: { brand: { colors: { ink: "#101418" } } }, start: {}, session: {} };
  const view = Object.assign(Object.create(TextView.prototype), { editor, box: part(), frame: part() });
  view.dressBox({ font: "Inter", size: 40, color: "#000000", background }, 1);
  return view.frame.style;
}

test("a background is shown in the colors of the brand", () => {
  const backgrounds = ["#ffffff", "brand:ink", { type: "linear", start: "brand:ink", end: "#ffffff" }, undefined, null];
  const shown = backgrounds.map((background) => dressedFrame(background).background);
  assert.deepEqual(shown, ["#ffffff", "#101418", "#101418", "none", "none"]);
});

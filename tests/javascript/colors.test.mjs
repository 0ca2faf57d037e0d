// Colors and their conversion.
import assert from "node:assert/strict";
import { test } from "node:test";

import { findColors, fromHsv, mixColors, readColor, toHsv } from "../../cwz_web/static/editor/colors.js";

test("a color is the same after its conversion", () => {
  for (let number = 0; number < 0x1000000; number += 4099) {
    const color = `#${number.toString(16).padStart(6, "0")}`;
    assert.equal(fromHsv(toHsv(color)), color);
  }
  for (const color of ["#00000000", "#ff880080", "#ffffff"]) assert.equal(fromHsv(toHsv(color)), color);
});

test("typed colors are read in every form", () => {
  const forms = { "#F80": "#ff8800", f80c: "#ff8800cc", " #ff8800 ": "#ff8800", "#ff8800ff": "#ff8800", red: null, "#12345": null, "": null };
  for (const [text, color] of Object.entries(forms)) assert.equal(readColor(text), color, text);
});

test("the middle of two colors is mixed, with its opacity", () => {
  assert.equal(mixColors("#000000", "#ffffff", 0.5), "#808080");
  assert.equal(mixColors("#ff0000", "#ff000000", 0.5), "#ff000080");
});

test("the colors of a document are each found once, the most frequent one first", () => {
  const layers = [{ color: "#112233" }, { fill: { start: "#AABBCC", end: "#112233" }, text: "a #999999 b" }];
  assert.deepEqual(findColors({ canvas: { background: "#ffffff" }, layers, fields: [], sizes: [] }), ["#112233", "#ffffff", "#aabbcc"]);
});

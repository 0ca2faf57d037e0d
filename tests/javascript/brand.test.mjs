import assert from "node:assert/strict";
import { test } from "node:test";

import { addLogo, applyColor, applyToTexts, colorOf, entryOf } from "../../cwz_web/static/editor/brand.js";

const document = () => ({
  canvas: { width: 400, height: 200 },
  sizes: [],
  brand: { colors: { ink: "#101418" } },
  layers: [
    { type: "shape", name: "Box", fill: "#ffffff", bound: { fill: "color" } },
    { type: "group", name: "Group", layers: [{ type: "text", name: "Title", color: "#000000", gradient: { start: "#000000" } }] },
    { type: "image", name: "Logo", source: "" },
  ],
});

test("a reference is the document's value, else that of the workspace, else black", () => {
  const brand = { colors: [{ name: "ink", color: "#ffffff" }, { name: "sea", color: "#00aa55" }], fonts: [], logos: [], styles: [] };
  const colors = ["#123456", "brand:ink", "brand:sea", "brand:gone"].map((color) => colorOf(document(), color, brand));
  assert.deepEqual(["#123456", "brand:ink", "", null].map(entryOf), ["", "ink", "", ""]);
  assert.deepEqual(colors, ["#123456", "#101418", "#00aa55", "#000000"]);
});

test("a color goes to the main color of layers, and replaces what decided about it", () => {
  const copy = document();
  assert.deepEqual(applyColor(copy, ["Box", "Title", "Logo"], "brand:ink"), ["Box", "Title"]);
  assert.deepEqual(copy.layers[0], { type: "shape", name: "Box", fill: "brand:ink" });
  assert.deepEqual(copy.layers[1].layers[0], { type: "text", name: "Title", color: "brand:ink" });
});

test("styles and fonts go to texts only, and replace what decided about their values", () => {
  const copy = document();
  assert.deepEqual(applyToTexts(copy, ["Box", "Title"], { style: "brand:title", size: 40 }), ["Title"]);
  assert.equal(copy.layers[0].size, undefined);
  assert.equal(copy.layers[1].layers[0].size, 40);
  const text = { type: "text", name: "Text", color: "#000000", gradient: { start: "#000000" }, bound: { color: "ink", hidden: "sold" } };
  applyToTexts({ ...copy, layers: [text] }, ["Text"], { style: "brand:title", color: "brand:ink" });
  assert.deepEqual(text, { type: "text", name: "Text", color: "brand:ink", bound: { hidden: "sold" }, style: "brand:title" });
});

test("a logo keeps its proportions, in the middle, under a name that is not taken", () => {
  const copy = document();
  assert.equal(addLogo(copy, { name: "mark", width: 1000, height: 250 }), "Logo 2");
  const { source, x, y, width, height } = copy.layers.at(-1);
  assert.deepEqual([source, x, y, width, height], ["brand:mark", 150, 88, 100, 25]);
});

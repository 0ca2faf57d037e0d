import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { bindList, containerToAddTo, imageLayer, nameLayers, scaleFor, scaleLayer, textLayer } from "../../cwz_web/static/editor/elements.js";
import { walkLayers } from "../../cwz_web/static/editor/model.js";

const address = new URL("../../cwz_web/static/editor/elements.json", import.meta.url);
const elements = JSON.parse(readFileSync(address, "utf8")).flatMap((group) => group.elements);
const find = (id) => structuredClone(elements.find((each) => each.id === id));
const makeDocument = (values) => ({ canvas: { width: 1080, height: 1080 }, layers: [], fields: [], sizes: [], ...values });

test("an element fits the smaller side of the canvas and the container", () => {
  const { layer } = find("heading");
  assert.equal(scaleFor({ width: 540, height: 2000 }, layer), 0.5);
  assert.equal(scaleFor({ width: 1080, height: 1080 }, layer, layer.width / 4), 0.25);
});

test("all lengths of an element are scaled, those of layers in it too", () => {
  const button = scaleLayer(find("button").layer, 0.5);
  assert.deepEqual([button.width, button.height, button.gap, button.padding, button.radius], [150, 48, 7, 14, 10]);
  assert.deepEqual([button.layers[0].size, button.layers[1].width], [20, 20]);
  const price = scaleLayer(find("price").bound.layer, 0.5);
  assert.deepEqual([price.size, price.min_size], [32, 16]);
  const card = scaleLayer(find("card").layer, 2);
  assert.deepEqual([card.border.width, card.shadow.blur], [4, 48]);
});

test("tiny canvases get valid elements", () => {
  for (const layer of elements.flatMap(({ layer, bound }) => (bound ? [layer, bound.layer] : [layer]))) {
    for (const { name, width, height, size = 6, min_size: least = 6 } of walkLayers([scaleLayer(layer, 0.1)])) {
      assert.ok(width >= 1 && height >= 1 && least >= 6 && size >= least, name);
    }
  }
});

test("an element gets names that the template does not have", () => {
  const document = makeDocument({ layers: [{ name: "Badge text" }, { name: "Badge" }] });
  const { layer } = find("badge");
  nameLayers(document, layer);
  assert.deepEqual([...walkLayers([layer])].map((each) => each.name), ["Badge 2", "Badge text 2"]);
});

test("a grid repeats the template's list, or brings one of its own", () => {
  const { layer, field } = find("photo-grid");
  const own = makeDocument({ fields: [{ name: "shots", type: "list" }] });
  bindList(own, layer, field);
  assert.equal(layer.repeat.field, "shots");
  const none = makeDocument({ fields: [{ name: "photos", type: "text" }] });
  bindList(none, layer, field);
  assert.equal(layer.repeat.field, "photos_2");
  assert.deepEqual(none.fields.map((each) => each.name), ["photos", "photos_2"]);
});

test("an upload keeps its aspect ratio, and its name without the ending", () => {
  const canvas = { width: 1080, height: 1080 };
  const layer = imageLayer({ name: " Blue  shoe.final.jpeg", reference: "upload:0", width: 4000, height: 1000 }, canvas);
  assert.deepEqual([layer.name, layer.width, layer.height, layer.source], ["Blue shoe.final", 648, 162, "upload:0"]);
});

test("an upload is not enlarged", () => {
  for (const side of [1080, 540, 2160]) {
    const canvas = { width: side, height: side };
    const small = imageLayer({ name: "logo.png", reference: "upload:0", width: 200, height: 100 }, canvas);
    assert.equal(scaleLayer(small, scaleFor(canvas, small)).width, 200);
  }
});

test("a click adds to the selected container or beside the selected layer, but not to a badge", () => {
  const badge = { ...find("badge").layer };
  const column = { name: "Column", type: "stack", direction: "column", sizing: { width: "hug", height: "hug" }, layers: [badge, { name: "Last", type: "text" }] };
  const document = makeDocument({ layers: [column, { ...badge, name: "Other", layers: [{ name: "Other text", type: "text" }] }, { name: "Alone", type: "text" }] });
  assert.deepEqual(containerToAddTo(document, "Column"), { to: "Column", before: undefined });
  for (const name of ["Badge", "Badge text"]) assert.deepEqual(containerToAddTo(document, name), { to: "Column", before: "Last" });
  for (const name of ["Other", "Other text", "Alone", "Missing"]) assert.equal(containerToAddTo(document, name), undefined);
});

test("a text has room for its lines, those that it breaks into too", () => {
  const [one, long] = [textLayer("SALE"), textLayer(`${"word ".repeat(20)}\nend`)];
  assert.deepEqual([one.width, one.height, one.max_lines], [648, 65, 2]);
  assert.deepEqual([long.height, long.max_lines], [389, 7]);
  const most = textLayer("\n".repeat(200));
  assert.deepEqual([most.height, most.max_lines], [1080, 50]);
});

// Groups and moves between containers: nothing moves, in any size.
import assert from "node:assert/strict";
import { test } from "node:test";

import { groupLayers, moveLayers, ungroupLayers } from "../../cwz_web/static/editor/grouping.js";
import { findLayer, locate } from "../../cwz_web/static/editor/model.js";
import { boundsOf, frameOnCanvas, placesIn, sizeNames, withMasks } from "../../cwz_web/static/editor/sizes.js";

const BASE = { x: 0, y: 0, width: 10, height: 10, anchor: "top-left", rotation: 0, opacity: 1, hidden: false, locked: false };

function shape(name, values) {
  return { ...BASE, type: "shape", name, ...values };
}

function makeDocument(layers, overrides = {}) {
  return {
    canvas: { width: 1000, height: 800, background: null },
    fields: [],
    layers,
    sizes: [
      { name: "story", width: 900, height: 1600, overrides },
      { name: "banner", width: 728, height: 90, overrides: {} },
    ],
  };
}

function framesOf(document, names) {
  return Object.fromEntries(sizeNames(document).map((size) => {
    const places = placesIn(document, size);
    return [size, names.map((name) => {
      const { x, y, width, height, rotation } = frameOnCanvas(document, places, name);
      const [right, down] = [x, y].map((each) => Math.round(each * 1e6) / 1e6);
      return [name, right, down, width, height, rotation, places.get(name).size];
    })];
  }));
}

function keepsPlaces(document, names, change) {
  const before = framesOf(document, names);
  const shown = { size: "default", frames: {} };
  const result = change(shown);
  assert.deepEqual(framesOf(document, names), before);
  return result;
}

test("grouped layers stay where they are in each size", () => {
  const document = makeDocument(
    [
      shape("Back", { width: 1000, height: 800 }),
      shape("A", { x: 101, y: 51, width: 33, height: 21, anchor: "center" }),
      shape("Between", { x: 3 }),
      shape("B", { x: 200, y: 80, width: 50, height: 41, rotation: 30, anchor: "bottom-right" }),
      shape("Top", { x: 9 }),
    ],
    { A: { x: 7, width: 50 }, B: { y: 1200, anchor: "top" } },
  );
  const name = keepsPlaces(document, ["A", "B"], (shown) => groupLayers(document, ["B", "A"], shown));
  assert.equal(name, "Group");
  assert.deepEqual(document.layers.map((each) => each.name), ["Back", "Between", "Group", "Top"]);
  assert.deepEqual(findLayer(document, "Group").layers.map((each) => each.name), ["A", "B"]);
  // The group has the box of its layers.
  for (const size of sizeNames(document)) {
    const places = placesIn(document, size);
    const { left, top, width, height } = places.get("Group");
    const bounds = boundsOf(["A", "B"].map((each) => frameOnCanvas(document, places, each)));
    assert.deepEqual({ left, top, width, height }, bounds);
  }
});

for (const pins of [
  { horizontal: "right", vertical: "bottom" }, { horizontal: "both", vertical: "center" }, { horizontal: "scale", vertical: "scale" },
]) {
  test(`grouped layers follow the canvas by the pins ${Object.values(pins).join(" and ")}`, () => {
    const text = { ...shape("Title", { x: 400, y: 300, width: 211, height: 77, pins }), type: "text", size: 41, min_size: 17 };
    const document = makeDocument([shape("A", { x: 100, y: 50, width: 33, height: 21, pins }), text]);
    keepsPlaces(document, ["A", "Title"], (shown) => groupLayers(document, ["A", "Title"], shown));
    assert.deepEqual(findLayer(document, "Group").pins, pins);
  });
}

test("layers with different pins stay where they are, too", () => {
  const document = makeDocument([
    shape("A", { x: 100, y: 50, pins: { horizontal: "right", vertical: "top" } }),
    shape("B", { x: 300, y: 90, pins: { horizontal: "both", vertical: "scale" } }),
    shape("C", { x: 500, y: 20 }),
  ]);
  keepsPlaces(document, ["A", "B", "C"], (shown) => groupLayers(document, ["A", "B", "C"], shown));
});

test("a group in a rotated group keeps places exactly", () => {
  const inner = [shape("A", { x: 11, y: 7 }), shape("B", { x: 50, y: 60, rotation: 15 }), shape("C", { x: 1 })];
  const document = makeDocument([{ ...shape("Outer", { x: 300, y: 200, width: 200, height: 150, rotation: 33 }), type: "group", layers: inner }]);
  keepsPlaces(document, ["A", "B", "C"], (shown) => groupLayers(document, ["A", "B"], shown));
  assert.deepEqual(locate(document, "A").containers.map((each) => each.name), ["Outer", "Group"]);
});

test("layers of different containers are grouped in that of the highest one", () => {
  const document = makeDocument([
    { ...shape("Card", { x: 100, y: 100, width: 200, height: 200 }), type: "group", layers: [shape("In", { x: 5, y: 6 })] },
    shape("Free", { x: 400, y: 500 }),
  ]);
  keepsPlaces(document, ["In", "Free"], (shown) => groupLayers(document, ["In", "Free"], shown));
  assert.deepEqual(findLayer(document, "Group").layers.map((each) => each.name), ["In", "Free"]);
});

test("masks come along", () => {
  const layers = [shape("Mask"), shape("A", { mask: { layer: "Mask" } }), shape("B", { mask: { layer: "Mask" } }), shape("C")];
  const document = makeDocument(layers);
  assert.deepEqual(withMasks(document, ["A"]), ["Mask", "A", "B"]);
  groupLayers(document, ["B"], { size: "default", frames: {} });
  assert.deepEqual(document.layers.map((each) => each.name), ["Group", "C"]);
});

test("a position that an expression decides counts from where it did", () => {
  const document = makeDocument([shape("A", { x: 100, y: 50, bound: { x: "left" } }), shape("B", { x: 300, y: 90 })]);
  keepsPlaces(document, ["A", "B"], (shown) => groupLayers(document, ["A", "B"], shown));
  assert.equal(findLayer(document, "Group").x, 0);
  assert.equal(findLayer(document, "Group").y, 50);
});

test("layers of a stack are grouped where they are shown, and fill it as before", () => {
  const layers = [
    shape("A", { width: 50, height: 20, sizing: { width: "fill", height: "fixed" } }), shape("B", { width: 30, height: 20 }),
  ];
  const document = makeDocument([{ ...shape("Stack", { x: 100, y: 100, width: 200, height: 60 }), type: "stack", direction: "column", layers }]);
  const frames = {
    Stack: { x: 200, y: 130, width: 200, height: 60, rotation: 0 },
    A: { x: 200, y: 110, width: 200, height: 20, rotation: 0 },
    B: { x: 115, y: 140, width: 30, height: 20, rotation: 0 },
  };
  groupLayers(document, ["A", "B"], { size: "default", frames });
  const group = findLayer(document, "Group");
  assert.deepEqual([group.width, group.height, group.sizing], [200, 50, { width: "fill" }]);
  assert.deepEqual(group.layers.map((each) => [each.x, each.y, each.width]), [[0, 0, 200], [0, 30, 30]]);
  assert.equal(group.layers[0].pins.horizontal, "both");
});

test("a layer stays where it is in another group and in another size", () => {
  const document = makeDocument(
    [
      { ...shape("Card", { x: 100, y: 100, width: 200, height: 200 }), type: "group", layers: [shape("In", { x: 5, y: 6 })] },
      shape("Free", { x: 400, y: 500 }),
    ],
    { Card: { x: 20 }, Free: { x: 77, y: 99 } },
  );
  keepsPlaces(document, ["Free"], (shown) => moveLayers(document, ["Free"], "Card", 0, shown));
  assert.deepEqual(findLayer(document, "Card").layers.map((each) => each.name), ["Free", "In"]);
  keepsPlaces(document, ["In"], (shown) => moveLayers(document, ["In"], "", 9, shown));
  assert.equal(document.layers.at(-1).name, "In");
});

test("a layer that leaves a stack is where it is shown, with the size that it has there", () => {
  const layers = [shape("A", { sizing: { width: "fill", height: "fixed" } })];
  const document = makeDocument([{ ...shape("Stack", { x: 100, y: 100, width: 200, height: 60 }), type: "stack", direction: "column", layers }]);
  const frames = { Stack: { x: 200, y: 130, width: 200, height: 60, rotation: 0 }, A: { x: 500, y: 310, width: 180, height: 10, rotation: 0 } };
  moveLayers(document, ["A"], "", 1, { size: "default", frames });
  const { x, y, width, height, sizing } = findLayer(document, "A");
  assert.deepEqual({ x, y, width, height, sizing }, { x: 410, y: 305, width: 180, height: 10, sizing: { width: "fixed", height: "fixed" } });
});

test("a layer in a stack has no position of its own", () => {
  const document = makeDocument([{ ...shape("Stack"), type: "stack", layers: [shape("A"), shape("B")] }, shape("C", { x: 4 })], { C: { x: 7 }, A: { size: 4 } });
  moveLayers(document, ["C"], "Stack", 1, { size: "default", frames: {} });
  assert.deepEqual(findLayer(document, "Stack").layers.map((each) => each.name), ["A", "C", "B"]);
  assert.deepEqual(document.sizes[0].overrides, { A: { size: 4 } });
});

test("ungrouped layers stay where they are in each size", () => {
  const pins = { horizontal: "right", vertical: "bottom" };
  const text = { ...shape("Title", { x: 10, y: 90, width: 90, height: 30, pins: { horizontal: "scale", vertical: "scale" } }), type: "text", size: 40 };
  const layers = [shape("A", { x: 5, y: 6, width: 50, height: 20 }), shape("B", { x: 80, y: 70, width: 30, height: 20, anchor: "center" }), text];
  const group = { ...shape("Card", { x: 100, y: 100, width: 200, height: 200, rotation: 90, pins }), type: "group", layers };
  const document = makeDocument([shape("Back"), group, shape("Top")], { Card: { x: 20, width: 100, height: 300 }, A: { y: 9 } });
  const names = keepsPlaces(document, ["A", "B", "Title"], (shown) => ungroupLayers(document, "Card", shown));
  assert.deepEqual(names, ["A", "B", "Title"]);
  assert.deepEqual(document.layers.map((each) => each.name), ["Back", "A", "B", "Title", "Top"]);
  assert.deepEqual(findLayer(document, "B").pins, pins);
  assert.ok(!("Card" in document.sizes[0].overrides));
});

test("layers of an ungrouped stack are where they are shown, and in proportion in other sizes", () => {
  const layers = [shape("A", { width: 50, height: 20, sizing: { width: "fill", height: "fixed" } }), shape("B", { width: 30, height: 20 })];
  const stack = { ...shape("Stack", { x: 100, y: 100, width: 200, height: 60 }), type: "stack", direction: "column", layers };
  const document = makeDocument([stack], { Stack: { x: 40, y: 50 } });
  document.sizes[0] = { ...document.sizes[0], width: 500, height: 400 };
  const frames = {
    Stack: { x: 200, y: 130, width: 200, height: 60, rotation: 0 },
    A: { x: 200, y: 110, width: 200, height: 20, rotation: 0 },
    B: { x: 115, y: 140, width: 30, height: 20, rotation: 0 },
  };
  ungroupLayers(document, "Stack", { size: "default", frames });
  const [a, b] = document.layers;
  assert.deepEqual([a.x, a.y, a.width, a.sizing.width], [100, 100, 200, "fixed"]);
  assert.deepEqual([b.x, b.y, b.width], [100, 130, 30]);
  assert.deepEqual(document.sizes[0].overrides.B, { x: 40, y: 65, width: 15, height: 10 });
});

test("masks that are not beside their layers any more are removed", () => {
  const inner = { ...shape("Inner"), type: "group", layers: [shape("Mask"), shape("A", { mask: { layer: "Mask" } })] };
  const kept = makeDocument([inner]);
  ungroupLayers(kept, "Inner", { size: "default", frames: {} });
  assert.deepEqual(findLayer(kept, "A").mask, { layer: "Mask" });
  const document = makeDocument([{ ...shape("Stack"), type: "stack", layers: [inner] }, shape("B", { mask: { layer: "Gone" } })]);
  ungroupLayers(document, "Inner", { size: "default", frames: {} });
  assert.deepEqual(findLayer(document, "Stack").layers.map((each) => [each.name, each.mask]), [["Mask", undefined], ["A", undefined]]);
});

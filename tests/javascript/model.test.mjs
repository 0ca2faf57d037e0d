// Changes of documents, and where layers are.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  anchorPoint, insertLayers, locate, outermost, removeLayers, renameLayer, setValues, unusedName,
} from "../../cwz_web/static/editor/model.js";
import { freePlace, normalizeAngle, valuesInParent, valuesOfFrame, valuesOfMove } from "../../cwz_web/static/editor/placing.js";

function makeDocument() {
  return {
    canvas: { width: 100, height: 100 },
    fields: [],
    layers: [
      { name: "Title", type: "text", x: 1, y: 2 },
      { name: "Card", type: "group", layers: [{ name: "Photo", type: "image" }, { name: "Badge", type: "shape", mask: { layer: "Photo" } }] },
    ],
    sizes: [{ name: "story", width: 90, height: 160, overrides: { Photo: { x: 7 }, Title: { x: 5 } } }],
  };
}

test("a layer is found with its containers", () => {
  const spot = locate(makeDocument(), "Badge");
  assert.equal(spot.index, 1);
  assert.deepEqual(spot.containers.map((each) => each.name), ["Card"]);
  assert.equal(locate(makeDocument(), "Nothing"), undefined);
});

test("a size has its own position, but no text of its own", () => {
  const document = makeDocument();
  setValues(document, "Title", { x: 9, text: "New" }, "story");
  assert.equal(document.layers[0].x, 1);
  assert.equal(document.layers[0].text, "New");
  assert.deepEqual(document.sizes[0].overrides.Title, { x: 9 });
});

for (const name of ["__proto__", "constructor"]) {
  test(`a layer can be called ${name}, and no other object changes`, () => {
    const document = makeDocument();
    renameLayer(document, "Title", name);
    setValues(document, name, { x: 9 }, "story");
    assert.equal({}.x, undefined);
    assert.deepEqual(Object.entries(document.sizes[0].overrides), [["Photo", { x: 7 }], [name, { x: 9 }]]);
    renameLayer(document, "Photo", "Product");
    const [copy] = insertLayers(document, [locate(document, name).layer], { siblings: document.layers, index: 0 });
    assert.deepEqual(Object.keys(document.sizes[0].overrides), [name, "Product", copy]);
    removeLayers(document, [name]);
    setValues(document, copy, { x: undefined }, "story");
    assert.deepEqual(document.sizes[0].overrides, { Product: { x: 7 }, [copy]: {} });
  });
}

test("removed layers leave no overrides behind", () => {
  const document = makeDocument();
  removeLayers(document, ["Card", "Photo"]);
  assert.deepEqual(document.layers.map((each) => each.name), ["Title"]);
  assert.deepEqual(document.sizes[0].overrides, { Title: { x: 5 } });
});

test("what refers to a renamed layer follows it", () => {
  const document = makeDocument();
  renameLayer(document, "Photo", "Product");
  assert.deepEqual(document.sizes[0].overrides.Product, { x: 7 });
  assert.equal(locate(document, "Badge").layer.mask.layer, "Product");
});

test("copies have names of their own, and masks among themselves", () => {
  const document = makeDocument();
  const names = insertLayers(document, [locate(document, "Card").layer], { siblings: document.layers, index: 2 });
  assert.deepEqual(names, ["Card 2"]);
  assert.deepEqual(document.layers[2].layers.map((each) => each.name), ["Photo 2", "Badge 2"]);
  assert.equal(document.layers[2].layers[1].mask.layer, "Photo 2");
  assert.deepEqual(document.sizes[0].overrides["Photo 2"], { x: 7 });
});

test("names are numbered, and not longer than allowed", () => {
  const document = makeDocument();
  assert.equal(unusedName(document, "New"), "New");
  assert.equal(unusedName(document, "Title"), "Title 2");
  document.layers.push({ name: "x".repeat(60), type: "text" });
  assert.ok(unusedName(document, "x".repeat(60)).length <= 60);
});

test("a layer in a selected container is not selected twice", () => {
  assert.deepEqual(outermost(makeDocument(), ["Card", "Photo", "Title"]), ["Card", "Title"]);
});

const OWN = { x: 10, y: 20, width: 30, height: 40, rotation: 0, anchor: "top-left", left: 10, top: 20 };
const SHOWN = { width: 30, height: 40, center: [25, 40], rotation: 0, own: OWN };

test("a move adds to the position", () => {
  assert.deepEqual(valuesOfMove(SHOWN, { x: 5, y: -3 }), { x: 15, y: 17 });
});

test("a move in a rotated group is along its own axes", () => {
  // The group is rotated by 90 degrees, so that right on the canvas is up in it.
  assert.deepEqual(valuesOfMove({ ...SHOWN, rotation: 90 }, { x: 5, y: 0 }), { x: 10, y: 15 });
});

test("a frame that was not changed gives the same values", () => {
  for (const anchor of ["top-left", "center", "bottom-right", "top"]) {
    const { x, y } = anchorPoint({ left: 10, top: 20, width: 31, height: 41 }, anchor);
    const own = { ...OWN, x, y, width: 31, height: 41, anchor };
    const shown = { width: 31, height: 41, center: [25.5, 40.5], rotation: 0, own };
    const values = valuesOfFrame(shown, { x: 25.5, y: 40.5, width: 31, height: 41, rotation: 0 });
    assert.deepEqual(values, { x, y, width: 31, height: 41, rotation: 0 });
  }
});

test("a frame that grows to the right keeps its left edge", () => {
  const values = valuesOfFrame(SHOWN, { x: 30, y: 40, width: 40, height: 40, rotation: 0 });
  assert.deepEqual(values, { x: 10, y: 20, width: 40, height: 40, rotation: 0 });
});

test("a layer keeps its place on the canvas in another container", () => {
  const frame = { x: 25, y: 40, width: 30, height: 40, rotation: 0 };
  assert.deepEqual(valuesInParent(frame, undefined, "top-left"), { x: 10, y: 20, rotation: 0 });
  const group = { x: 50, y: 50, width: 80, height: 60, rotation: 0 };
  assert.deepEqual(valuesInParent(frame, group, "top-left"), { x: 0, y: 0, rotation: 0 });
  const rotated = valuesInParent(frame, { ...group, rotation: 90 }, "top-left");
  assert.equal(rotated.rotation, -90);
});

test("angles are between -180 and 180", () => {
  assert.deepEqual([0, 180, -180, 190, 720, -0, 12.34].map(normalizeAngle), [0, 180, 180, -170, 0, 0, 12.3]);
});

test("new layers do not pile up", () => {
  const taken = [{ x: 100, y: 50 }];
  taken.push(freePlace({ x: 103, y: 50 }, taken));
  taken.push(freePlace({ x: 100, y: 50 }, taken));
  assert.deepEqual(taken.slice(1), [{ x: 127, y: 74 }, { x: 148, y: 98 }]);
  assert.deepEqual(freePlace({ x: 400, y: 50 }, taken), { x: 400, y: 50 });
});

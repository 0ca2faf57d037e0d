import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { addField, bindElement, findOffers, layerOf } from "../../cwz_web/static/editor/fields.js";

const url = new URL("../../cwz_web/static/editor/elements.json", import.meta.url);
const elements = JSON.parse(readFileSync(url, "utf8")).flatMap((group) => group.elements);
const find = (id) => elements.find((each) => each.id === id);
const makeDocument = (values) => ({ canvas: { width: 1080, height: 1080 }, layers: [], fields: [], sizes: [], ...values });
const field = (name, type = "text") => ({ name, label: name, type, default: "" });

test("fields of the template are offered before the columns that it lacks", () => {
  const document = makeDocument({ fields: [field("title"), field("accent", "color")], computed: [{ name: "sum", value: "1" }] });
  const offers = findOffers(document, [field("title"), field("photo", "image"), field("sum")]);
  assert.deepEqual(offers.map(({ name, isNew }) => [name, isNew]), [["title", false], ["photo", true]]);
});

test("a field is placed as what it shows", () => {
  assert.deepEqual([layerOf(field("photo", "image")).type, layerOf(field("photo", "image")).source], ["image", "{{ photo }}"]);
  assert.equal(layerOf(field("title")).max_lines, 2);
  const document = makeDocument();
  for (let count = 0; count < 2; count++) addField(document, { ...field("price"), locale: null });
  assert.deepEqual(document.fields, [field("price")]);
});

test("a price shows the fields of the template or the feed, whatever they are called", () => {
  const document = makeDocument({ fields: [field("sale_price")] });
  const layer = bindElement(document, [field("compare_at_price")], find("price"));
  assert.deepEqual(layer.spans.map((each) => each.text), ["{{ sale_price }} ", "{{ compare_at_price }}"]);
  assert.deepEqual(document.fields.map((each) => each.name), ["sale_price", "compare_at_price"]);
});

test("without a feed, an element brings fields with the texts that it shows", () => {
  const document = makeDocument();
  const layer = bindElement(document, null, find("badge"));
  assert.deepEqual(document.fields.map((each) => [each.name, each.default]), [["price", "€79"], ["old_price", "€99"]]);
  assert.deepEqual(document.computed, [{ name: "discount", value: "percent_off(old_price, price)" }]);
  assert.deepEqual([layer.show_if, layer.layers[0].text], [{ field: "discount" }, "−{{ discount }}%"]);
  bindElement(document, null, find("badge"));
  assert.deepEqual([document.fields.length, document.computed.length], [2, 1]);
});

test("a computed field of another meaning keeps its name", () => {
  const document = makeDocument({ fields: [field("discount")] });
  const layer = bindElement(document, null, find("badge"));
  assert.deepEqual([document.computed[0].name, layer.show_if.field], ["discount_2", "discount_2"]);
});

test("an element of fields that the feed lacks keeps its own texts", () => {
  const document = makeDocument();
  const layer = bindElement(document, [field("title")], find("rating-row"));
  assert.deepEqual([document.fields, layer.layers[0].value, layer.show_if], [[], "4.5", undefined]);
});

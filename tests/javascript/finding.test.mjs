// Search in the command palette.
import assert from "node:assert/strict";
import { test } from "node:test";

import { findEntries } from "../../cwz_web/static/editor/finding.js";

const ENTRIES = [
  ["Align left", "Align"], ["Group", "Arrange"], ["Ungroup", "Arrange"], ["Pausenbrot größer", "Layer"], ["Old price", "Layer"], ["Price", "Layer"], ["Label", "Layer"],
].map(([label, group]) => ({ label, group, run: () => {} }));

function find(query, limit = 10) {
  return findEntries(ENTRIES, query, limit).map((each) => each.label);
}

test("the beginning of a name is better than that of a word, and that is better than a part", () => {
  assert.deepEqual(find("group"), ["Group", "Ungroup"]);
  assert.deepEqual(find("price"), ["Price", "Old price"]);
});

test("all words must be found, in the name or the group", () => {
  assert.deepEqual(find("layer old"), ["Old price"]);
  assert.deepEqual(find("left group"), []);
});

test("case and accents make no difference", () => {
  assert.deepEqual(find("páusen GROß"), ["Pausenbrot größer"]);
});

test("an empty query lists everything in its order, up to the limit", () => {
  assert.deepEqual(find(" ", 2), ["Align left", "Group"]);
});

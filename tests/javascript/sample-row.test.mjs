// The remembered row of a feed: what is no longer there is not shown.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readSampleRow } from "../../cwz_web/static/editor/sample-row.js";

const FEEDS = [{ id: "a", rows: 12 }, { id: "empty", rows: 0 }];

test("a remembered row is within its feed", () => {
  const read = (value) => readSampleRow(JSON.stringify(value), FEEDS);
  assert.deepEqual(read({ feed: "a", row: 7 }), { feed: "a", row: 7 });
  assert.deepEqual(read({ feed: "a", row: 99 }), { feed: "a", row: 12 });
  assert.deepEqual(read({ feed: "a", row: "x" }), { feed: "a", row: 1 });
  assert.deepEqual(read({ feed: "empty", row: 3 }), { feed: "empty", row: 1 });
});

test("without the feed there are the default values", () => {
  for (const text of [null, "{", "3", JSON.stringify({ feed: "gone", row: 2 })]) {
    assert.deepEqual(readSampleRow(text, FEEDS), { feed: null, row: 1 });
  }
});

// The parts of a text: formatting never changes the text.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  clearParts, commonStyle, findBindings, findProblem, formatParts, joinText, mergeParts, readParts, replaceParts, writeParts,
} from "../../cwz_web/static/editor/spans.js";

/** A generator of numbers from 0 to 1 that gives the same ones in each run (mulberry32). */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const WORDS = ["Now ", "{{ price }}", "–20 % ", "", "{{ name | upper }}", "á\n", "😀"];
const VALUES = [
  { weight: 700 }, { italic: true }, { color: "#ff0000" }, { weight: undefined }, { position: "super", scale: undefined },
  { scale: 1.5 }, { highlight: "#ffee00" }, { bound: { color: "brand" } }, { color: undefined },
];

const pick = (next, list) => list[Math.floor(next() * list.length)];
const makeParts = (next) => Array.from({ length: 5 }, () => ({ text: pick(next, WORDS), style: next() < 0.5 ? {} : { weight: 700 } }));

/** Ranges that begin and end between characters. */
function makeRange(next, text) {
  const ends = [0];
  for (const character of text) ends.push(ends.at(-1) + character.length);
  return [pick(next, ends), pick(next, ends)].sort((a, b) => a - b);
}

function isMinimal(parts) {
  return parts.every((part) => part.text) && parts.every((part, at) => !at || JSON.stringify(part.style) !== JSON.stringify(parts[at - 1].style));
}

test("formatting keeps the text, twice is once, and equal neighbors are one part", () => {
  const next = random(1);
  for (let round = 0; round < 2000; round++) {
    const parts = mergeParts(makeParts(next));
    const text = joinText(parts);
    const [start, end] = makeRange(next, text);
    const values = pick(next, VALUES);
    const once = formatParts(parts, start, end, values);
    assert.equal(joinText(once), text);
    assert.deepEqual(formatParts(once, start, end, values), once);
    assert.ok(isMinimal(once), JSON.stringify(once));
    assert.equal(joinText(clearParts(once, start, end)), text);
    // No binding is in two parts.
    assert.deepEqual(once.flatMap((part) => findBindings(part.text).map((each) => each.raw)), findBindings(text).map((each) => each.raw));
  }
});

test("what is formatted and cleared is as before", () => {
  const next = random(2);
  for (let round = 0; round < 300; round++) {
    const parts = [{ text: joinText(makeParts(next)) || "x", style: {} }];
    const [start, end] = makeRange(next, parts[0].text);
    assert.deepEqual(clearParts(formatParts(parts, start, end, pick(next, VALUES)), start, end), parts);
  }
});

test("written parts are read as they were", () => {
  const next = random(3);
  for (let round = 0; round < 500; round++) {
    let parts = mergeParts(makeParts(next));
    for (let at = 0; at < 3; at++) parts = formatParts(parts, ...makeRange(next, joinText(parts)), pick(next, VALUES));
    const layer = { name: "T", weight: 400, color: "#111111" };
    writeParts(layer, parts);
    assert.equal(joinText(readParts(layer)), joinText(parts));
    const again = structuredClone(layer);
    writeParts(again, readParts(layer));
    assert.deepEqual(again, layer);
  }
});

test("a text in one style is a text again, and the layer has the style", () => {
  const layer = { name: "T", text: "Sale now", weight: 400 };
  writeParts(layer, formatParts(readParts(layer), 0, 4, { weight: 700 }));
  assert.deepEqual(layer.spans.map(({ text, weight }) => [text, weight]), [["Sale", 700], [" now", null]]);
  assert.equal(layer.text, null);
  writeParts(layer, formatParts(readParts(layer), 4, 8, { weight: 700 }));
  assert.deepEqual(layer, { name: "T", text: "Sale now", weight: 700 });
});

test("what all parts have is the layer's", () => {
  const layer = { name: "T", text: "Sale now", weight: 400, font: "Inter" };
  writeParts(layer, [{ text: "Sale", style: { font: "Lora", weight: 700 } }, { text: " now", style: { font: "Lora" } }]);
  assert.deepEqual([layer.font, ...layer.spans.map((span) => span.font)], ["Lora", null, null]);
});

test("a style that no layer has stays in a span", () => {
  const layer = { name: "T", text: "Sale" };
  writeParts(layer, formatParts(readParts(layer), 0, 4, { highlight: "#ffee00" }));
  assert.equal(layer.spans.length, 1);
});

test("a color in the place of an expression or a gradient stays in a span", () => {
  for (const own of [{ bound: { color: "brand" } }, { gradient: { start: "#000000", end: "#ffffff" } }]) {
    const layer = { name: "T", text: "Sale", color: "#111111", ...own };
    writeParts(layer, formatParts(readParts(layer), 0, 4, { color: "#111111" }));
    assert.equal(layer.spans[0].color, "#111111");
  }
});

test("a chosen color takes the place of a span's expression", () => {
  const bound = formatParts([{ text: "Sale", style: {} }], 0, 4, { bound: { color: "brand", weight: "heavy" } });
  assert.deepEqual(formatParts(bound, 0, 4, { color: "#ff0000" }), [
    { text: "Sale", style: { color: "#ff0000", bound: { weight: "heavy" } } },
  ]);
});

test("a replaced range has the new text", () => {
  const next = random(4);
  for (let round = 0; round < 500; round++) {
    const parts = mergeParts(makeParts(next));
    const text = joinText(parts);
    const at = pick(next, [0, ...findBindings(text).flatMap((each) => [each.start, each.end]), text.length]);
    assert.equal(joinText(replaceParts(parts, at, at, "new")), `${text.slice(0, at)}new${text.slice(at)}`);
  }
  const bold = [{ text: "ab", style: { weight: 700 } }, { text: "cd", style: {} }];
  assert.deepEqual(replaceParts(bold, 2, 2, "!"), [{ text: "ab!", style: { weight: 700 } }, { text: "cd", style: {} }]);
});

test("a range within a binding is all of it", () => {
  const parts = [{ text: "a{{ price }}b", style: {} }];
  assert.deepEqual(formatParts(parts, 0, 4, { italic: true }).map((part) => part.text), ["a{{ price }}", "b"]);
  assert.equal(joinText(replaceParts(parts, 3, 5, "")), "ab");
});

test("the common style is what all of a range have", () => {
  const parts = [{ text: "ab", style: { weight: 700 } }, { text: "cd", style: { weight: 700, italic: true } }];
  const style = commonStyle({ name: "T", color: "#222222" }, parts, 0, 4);
  assert.deepEqual([style.weight, style.italic, style.color, style.scale], [700, undefined, "#222222", 1]);
});

test("bindings that the server refuses are named", () => {
  const check = (text) => findProblem(text, ["price"], ["upper", "money"]);
  for (const text of ["", "a } b", "{{ price }}", '{{ price | money("EUR", "de") | upper }}']) assert.equal(check(text), "");
  assert.match(check("a {{ price"), /not closed/);
  assert.match(check("{{ cost }}"), /no field cost/);
  assert.match(check("{{ price | shout }}"), /no filter shout/);
  assert.match(check("{{ 1 + 1 }}"), /not a field/);
});

// The editable element of a text: shows its parts, and turns what the browser selects into positions of the text.
// A binding is a chip that cannot be edited.

import { findBindings, joinText } from "./spans.js";

/** @typedef {import("./spans.js").Part} Part */
/** @typedef {import("./spans.js").Style} Style */

// The size of superscripts and subscripts as the engine has them, and the height of capital letters of most fonts.
const SCRIPT_SCALE = 0.6;
const SUBSCRIPT_DEPTH = 0.16;
const CAP_HEIGHT = 0.72;
// Something for the caret to be in beside a chip.
const FILLER = "\u200b";

/**
 * Show parts of a text in an element.
 * @param {HTMLElement} box
 * @param {Part[]} parts
 * @param {(name: string) => string} labelOf returns the label of a field
 * @param {(element: HTMLElement, style: Style) => void} dress gives an element the style of a part
 */
export function showParts(box, parts, labelOf, dress) {
  /** @type {Node[]} */
  const nodes = [];
  for (const { text, style } of parts) {
    let at = 0;
    for (const binding of [...findBindings(text), undefined]) {
      const plain = text.slice(at, binding?.start ?? text.length);
      if (plain) nodes.push(createRun(plain, style, dress));
      if (!binding) break;
      if (!nodes.length || isChip(nodes.at(-1))) nodes.push(createFiller());
      nodes.push(createChip(binding, labelOf, style, dress));
      at = binding.end;
    }
  }
  if (isChip(nodes.at(-1))) nodes.push(createFiller());
  // A line break at the end, and an empty text, have no line of their own otherwise.
  if (!parts.length || joinText(parts).endsWith("\n")) nodes.push(document.createElement("br"));
  box.replaceChildren(...nodes);
}

/** @param {Node | undefined} node */
function isChip(node) {
  return node instanceof HTMLElement && node.dataset.raw !== undefined;
}

function createFiller() {
  const filler = document.createElement("span");
  filler.dataset.filler = "";
  filler.textContent = FILLER;
  return filler;
}

/**
 * @param {string} text
 * @param {Style} style
 * @param {(element: HTMLElement, style: Style) => void} dress
 */
function createRun(text, style, dress) {
  const run = document.createElement("span");
  run.dataset.run = "";
  run.textContent = text;
  dress(run, style);
  return run;
}

/**
 * @param {import("./spans.js").Binding} binding
 * @param {(name: string) => string} labelOf
 * @param {Style} style
 * @param {(element: HTMLElement, style: Style) => void} dress
 */
function createChip({ raw, name, filters }, labelOf, style, dress) {
  const chip = document.createElement("span");
  chip.className = "chip";
  chip.contentEditable = "false";
  chip.dataset.raw = raw;
  chip.title = raw;
  chip.textContent = labelOf(name) + (filters ? ` | ${filters}` : "");
  dress(chip, style);
  return chip;
}

/**
 * Return the scale and the rise of each part, as the engine computes them.
 * @param {Part[]} parts
 * @returns {{scale: number, rise: number}[]} relative to the layer's font size
 */
export function measureParts(parts) {
  let beside = 1;
  return parts.map(({ style }) => {
    const isNormal = !style.position || style.position === "normal";
    const scale = style.scale ?? (isNormal ? 1 : SCRIPT_SCALE * beside);
    const rise = isNormal ? 0 : style.position === "sub" ? -SUBSCRIPT_DEPTH * beside : Math.max(CAP_HEIGHT * (beside - scale), 0);
    if (isNormal) beside = scale;
    return { scale, rise };
  });
}

/**
 * Return how long the text of an element is.
 * @param {Node} node
 */
function lengthOf(node) {
  if (!(node instanceof HTMLElement)) return 0;
  if (node.dataset.raw !== undefined) return node.dataset.raw.length;
  return node.dataset.run === undefined ? 0 : (node.textContent ?? "").length;
}

/**
 * Return the position in the text of a point of the document.
 * @param {HTMLElement} box
 * @param {Node} node
 * @param {number} offset
 */
export function positionOf(box, node, offset) {
  let total = 0;
  const children = [...box.childNodes];
  for (const [at, child] of children.entries()) {
    if (node === box && at >= offset) return total;
    const length = lengthOf(child);
    if (child.contains(node)) {
      if (isChip(child)) return total + (offset > 0 ? length : 0);
      if (!length) return total;
      return total + (node instanceof Text ? Math.min(offset, length) : offset > 0 ? length : 0);
    }
    total += length;
  }
  return total;
}

/**
 * Return the point of the document of a position in the text.
 * @param {HTMLElement} box
 * @param {number} position
 * @returns {[Node, number]}
 */
export function pointOf(box, position) {
  let total = 0;
  /** @type {[Node, number] | undefined} */
  let found;
  for (const [at, child] of [...box.childNodes].entries()) {
    const length = lengthOf(child);
    const text = child.firstChild;
    if (text instanceof Text && !isChip(child)) {
      const isFiller = !length;
      if (isFiller && position === total) found ??= [text, FILLER.length];
      else if (!isFiller && position >= total && position <= total + length) return [text, position - total];
    }
    total += length;
    if (position < total) return found ?? [box, at];
  }
  return found ?? [box, box.childNodes.length - (box.lastChild instanceof HTMLBRElement ? 1 : 0)];
}

// The parts of a text that have a style of their own, as a text layer's `spans`. Positions are those of the joined text.
// A binding (`{{ field }}`) is in one part: a position within it stands for all of it. No DOM.

import { _ } from "../i18n.js";

/** @typedef {import("./model.js").Layer} Layer */
/** @typedef {{[key: string]: any}} Style what differs from the layer, such as {weight: 700}; `bound` are expressions */
/** @typedef {{text: string, style: Style}} Part */
/** @typedef {{start: number, end: number, raw: string, name: string, filters: string}} Binding */

const BINDING = /\{\{(.*?)\}\}/gs;
// A binding that the server accepts, but for the names of fields and filters.
const ARGUMENT = `(?:"[^"]*"|'[^']*'|\\d+)`;
const FILTER = `\\|\\s*[a-z_]+\\s*(?:\\(\\s*(?:${ARGUMENT}(?:\\s*,\\s*${ARGUMENT})*)?\\s*\\))?\\s*`;
const VALID = new RegExp(`^\\s*((?:item\\.)?[A-Za-z_][A-Za-z0-9_]{0,62})\\s*((?:${FILTER})*)$`);
// The values of a span that the layer can have as well, with what it has without them.
const OF_LAYER = /** @type {{[key: string]: any}} */ ({
  font: "Inter", weight: 400, italic: false, color: "#111111", gradient: null, strike: false, underline: false,
});
// All values of a span as the server writes them, so that it does not answer the document again.
const WRITTEN = {
  font: null, weight: null, italic: null, scale: null, color: null, gradient: null, strike: null, underline: null,
  position: "normal", highlight: null,
};
export const MAX_SPANS = 30;
export const MAX_TEXT = 2000;

/**
 * Return the parts of a layer's text.
 * @param {Layer} layer
 * @returns {Part[]}
 */
export function readParts(layer) {
  if (!layer.spans?.length) return layer.text ? [{ text: layer.text, style: {} }] : [];
  return layer.spans.map((/** @type {Style} */ span) => {
    const { text, ...rest } = span;
    return { text, style: withoutUnset(rest) };
  });
}

/**
 * Write the parts of a text into a layer of a copy of a document. A text in one style is `text` again.
 * @param {Layer} layer the copy, which changes
 * @param {Part[]} parts
 */
export function writeParts(layer, parts) {
  const written = mergeParts(parts);
  for (const [key, value] of Object.entries(written[0]?.style ?? {})) {
    // What all parts have is the layer's.
    const isCommon = written.length > 1 && written.every(({ style }) => isSame(style[key], value) && !(key in (style.bound ?? {})));
    if (isCommon && canHave(layer, { [key]: value })) layer[key] = value;
  }
  const merged = mergeParts(written.map(({ text, style }) => ({ text, style: withoutInherited(layer, style) })));
  const { text, style } = merged[0] ?? { text: "", style: {} };
  if (merged.length < 2 && canHave(layer, style)) {
    for (const [key, value] of Object.entries(style)) layer[key] = value;
    layer.text = text;
    delete layer.spans;
    return;
  }
  layer.text = null;
  layer.spans = merged.map((each) => ({ ...WRITTEN, ...each.style, text: each.text }));
}

/**
 * Return whether a layer can have a style as its own.
 * @param {Layer} layer
 * @param {Style} style
 */
function canHave(layer, style) {
  // A color beside a gradient of the layer, or in the place of an expression, is only that of a span.
  const isOpen = (/** @type {string} */ key) => !(key in (layer.bound ?? {})) && !(key === "color" && layer.gradient);
  return Object.keys(style).every((key) => key in OF_LAYER && isOpen(key));
}

/** @param {Style} style */
function withoutUnset(style) {
  const { bound, position, ...rest } = style;
  const set = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null && value !== undefined));
  if (position && position !== "normal") set.position = position;
  if (bound && Object.keys(bound).length) set.bound = bound;
  return set;
}

/**
 * Return a style without what the layer has as well.
 * @param {Layer} layer
 * @param {Style} style
 */
function withoutInherited(layer, style) {
  const kept = { ...style };
  for (const [key, value] of Object.entries(style)) {
    const isPlain = key in OF_LAYER && key !== "gradient" && canHave(layer, { [key]: value });
    if (isPlain && !style.bound?.[key] && value === (layer[key] ?? OF_LAYER[key])) delete kept[key];
  }
  if (kept.scale === 1 && !kept.position) delete kept.scale;
  return kept;
}

/**
 * Join neighbors of the same style, and drop parts without text.
 * @param {Part[]} parts
 * @returns {Part[]}
 */
export function mergeParts(parts) {
  /** @type {Part[]} */
  const merged = [];
  for (const part of parts) {
    if (!part.text) continue;
    const style = withoutUnset(part.style);
    const last = merged.at(-1);
    if (last && isSame(last.style, style)) last.text += part.text;
    else merged.push({ text: part.text, style });
  }
  return merged;
}

/**
 * @param {any} a
 * @param {any} b
 * @returns {boolean}
 */
function isSame(a, b) {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || !a || !b) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => key in b && isSame(a[key], b[key]));
}

/** @param {Part[]} parts */
export function joinText(parts) {
  return parts.map((part) => part.text).join("");
}

/**
 * Return the bindings of a text.
 * @param {string} text
 * @returns {Binding[]}
 */
export function findBindings(text) {
  return [...text.matchAll(BINDING)].map((match) => {
    const [name, ...filters] = match[1].split("|");
    const start = /** @type {number} */ (match.index);
    return { start, end: start + match[0].length, raw: match[0], name: name.trim(), filters: filters.join("|").trim() };
  });
}

/**
 * Return a range that has no part of a binding.
 * @param {string} text
 * @param {number} start
 * @param {number} end
 * @returns {[number, number]}
 */
export function widenRange(text, start, end) {
  let [first, last] = [Math.min(start, end), Math.max(start, end)];
  if (first === last) return [first, last];
  for (const binding of findBindings(text)) {
    if (first > binding.start && first < binding.end) first = binding.start;
    if (last > binding.start && last < binding.end) last = binding.end;
  }
  return [first, last];
}

/**
 * Return what is wrong with the bindings of a text; empty if nothing is.
 * @param {string} text
 * @param {string[]} names those of the fields
 * @param {string[]} filters those of the filters
 */
export function findProblem(text, names, filters) {
  for (const { raw, name } of findBindings(text)) {
    const match = VALID.exec(raw.slice(2, -2));
    if (!match) return _("%(text)s is not a field. Write it as {{ name }} or {{ name | filter }}", { text: raw });
    if (!names.includes(name) && !name.startsWith("item.")) return _("The template has no field %(field)s", { field: name });
    const unknown = match[2].split("|").slice(1).map((each) => /^\s*([a-z_]*)/.exec(each)?.[1] ?? "");
    const wrong = unknown.find((each) => !filters.includes(each));
    if (wrong !== undefined) return _("%(text)s: there is no filter %(filter)s", { text: raw, filter: wrong });
  }
  const rest = text.replace(BINDING, "");
  return rest.includes("{{") ? _("A field is not closed. Add }} or remove {{") : "";
}

/**
 * Return the parts of a range, with the text before and after it.
 * @param {Part[]} parts
 * @param {number} start
 * @param {number} end
 */
function splitParts(parts, start, end) {
  const split = { before: /** @type {Part[]} */ ([]), inside: /** @type {Part[]} */ ([]), after: /** @type {Part[]} */ ([]) };
  let at = 0;
  for (const { text, style } of parts) {
    const [first, last] = [start - at, end - at].map((each) => Math.min(Math.max(each, 0), text.length));
    split.before.push({ text: text.slice(0, first), style });
    split.inside.push({ text: text.slice(first, last), style });
    split.after.push({ text: text.slice(last), style });
    at += text.length;
  }
  return split;
}

/**
 * Change the style of a range. The text stays.
 * @param {Part[]} parts
 * @param {number} start
 * @param {number} end
 * @param {Style} values what changes; undefined for what is that of the layer again; `bound` are further expressions
 * @returns {Part[]}
 */
export function formatParts(parts, start, end, values) {
  const { before, inside, after } = splitParts(parts, ...widenRange(joinText(parts), start, end));
  const formatted = inside.map(({ text, style }) => ({ text, style: changeStyle(style, values) }));
  return mergeParts([...before, ...formatted, ...after]);
}

/**
 * @param {Style} style
 * @param {Style} values
 * @returns {Style}
 */
export function changeStyle(style, values) {
  const { bound, ...rest } = values;
  // A value that is chosen takes the place of an expression.
  const kept = Object.entries(style.bound ?? {}).filter(([key]) => !(key in rest));
  return withoutUnset({ ...style, ...rest, bound: { ...Object.fromEntries(kept), ...bound } });
}

/**
 * Make a range look like the layer.
 * @param {Part[]} parts
 * @param {number} start
 * @param {number} end
 */
export function clearParts(parts, start, end) {
  const { before, inside, after } = splitParts(parts, ...widenRange(joinText(parts), start, end));
  return mergeParts([...before, ...inside.map(({ text }) => ({ text, style: {} })), ...after]);
}

/**
 * Replace the text of a range. The new text has the style of what was there, or of what is before it.
 * @param {Part[]} parts
 * @param {number} start
 * @param {number} end
 * @param {string} text
 * @param {Style} [style]
 */
export function replaceParts(parts, start, end, text, style) {
  const [first, last] = widenRange(joinText(parts), start, end);
  const { before, after } = splitParts(parts, first, last);
  const own = style ?? styleAt(parts, first, last);
  return mergeParts([...before, { text, style: own }, ...after]);
}

/**
 * Return the style that text has that is typed at a range.
 * @param {Part[]} parts
 * @param {number} start
 * @param {number} end
 * @returns {Style}
 */
export function styleAt(parts, start, end) {
  const at = start === end ? Math.max(start - 1, 0) : start;
  let length = 0;
  for (const { text, style } of parts) {
    length += text.length;
    if (at < length) return style;
  }
  return parts.at(-1)?.style ?? {};
}

/**
 * Return the values that all of a range have; undefined for those that differ within it.
 * @param {Layer} layer
 * @param {Part[]} parts
 * @param {number} start
 * @param {number} end
 * @returns {Style}
 */
export function commonStyle(layer, parts, start, end) {
  const { inside } = splitParts(parts, ...widenRange(joinText(parts), start, end));
  const styles = start === end ? [styleAt(parts, start, end)] : inside.filter((part) => part.text).map((part) => part.style);
  const own = Object.fromEntries(Object.entries(OF_LAYER).map(([key, value]) => [key, layer[key] ?? value]));
  const [first, ...more] = styles.map((style) => ({ ...own, scale: 1, position: "normal", highlight: null, ...style }));
  /** @type {Style} */
  const common = { ...(first ?? own) };
  for (const key of Object.keys(common)) {
    if (!more.every((style) => isSame(/** @type {Style} */ (style)[key], common[key]))) common[key] = undefined;
  }
  return common;
}

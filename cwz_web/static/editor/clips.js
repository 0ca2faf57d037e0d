// Layers and styles as a text that the system clipboard can hold, and back. The server checks what is pasted, as it checks
// every change; what is checked here is what this page itself relies on. No DOM.

import { _ } from "../i18n.js";
import { DEFAULT_SIZE, findLayer, insertLayers, locate, outermost, overrideOf, walkLayers } from "./model.js";
import { valuesInParent } from "./placing.js";
import { frameOnCanvas, placesIn, removePositions, setInSize, withMasks } from "./sizes.js";

/** @typedef {import("./model.js").TemplateDocument} TemplateDocument */
/** @typedef {import("./model.js").Layer} Layer */
/** @typedef {import("./stage.js").Frame} Frame */
/** @typedef {import("./stage.js").Point} Point */
/** @typedef {import("./grouping.js").Shown} Shown */
/**
 * Copied layers. `frames` are those on the canvas of the outermost layers, `sizes` their overrides.
 * @typedef {{connectwyze: "layers", version: 1, workspace: string, layers: Layer[], frames: {[name: string]: Frame},
 *   sizes: import("./model.js").Size[], fields: any[], computed: any[], tables: {[name: string]: any}}} Clip
 */
/** @typedef {{to: string, index: number, delta: Point, shown: Shown}} Place the container, and by how much frames move */
/** @typedef {{names: string[], fields: string[]}} Pasted the outermost layers, and the fields that were added */

const MARK = '{"connectwyze":"layers"';
const MAX_LENGTH = 1_500_000;
const MAX_LAYERS = 200;
const MAX_DEPTH = 8;
const MAX_SIZES = 12;
const TYPES = new Set(["text", "image", "shape", "code", "rating", "group", "stack"]);
const BINDING = /\{\{([^{}]*)\}\}/g;
const IDENTIFIER = /[A-Za-z_][A-Za-z0-9_]*/g;
const NUMBERS = /** @type {const} */ (["x", "y", "width", "height", "rotation"]);
const SIDES = /** @type {const} */ (["width", "height"]);

export class InvalidClipError extends Error {}

/**
 * Return layers as a text, with the fields that they use.
 * @param {TemplateDocument} document
 * @param {string[]} names
 * @param {Shown} shown
 * @param {string} workspace the path of the workspace, whose uploads the layers use
 */
export function writeClip(document, names, shown, workspace) {
  const copied = outermost(document, withMasks(document, names));
  const layers = copied.map((name) => /** @type {Layer} */ (findLayer(document, name)));
  const places = placesIn(document, shown.size, shown.frames);
  const frames = Object.fromEntries(copied.map((name) => [name, shown.frames[name] ?? frameOnCanvas(document, places, name) ?? middleOf(document, name)]));
  const inside = new Set([...walkLayers(layers)].map((each) => each.name));
  const sizes = document.sizes.map(({ name, width, height, overrides }) => {
    return { name, width, height, overrides: Object.fromEntries(Object.entries(overrides).filter(([each]) => inside.has(each))) };
  });
  return JSON.stringify({ connectwyze: "layers", version: 1, workspace, layers, frames, sizes, ...usedFields(document, layers) });
}

/**
 * @param {TemplateDocument} document
 * @param {string} name
 * @returns {Frame}
 */
function middleOf(document, name) {
  const { width, height } = /** @type {Layer} */ (findLayer(document, name));
  return { x: document.canvas.width / 2, y: document.canvas.height / 2, width, height, rotation: 0 };
}

/**
 * Return the fields, computed fields and tables that layers use.
 * @param {TemplateDocument} document
 * @param {Layer[]} layers
 */
export function usedFields(document, layers) {
  const used = new Set(layers.flatMap((each) => identifiersOf(each)));
  const all = document.computed ?? [];
  /** @type {{name: string, value: string}[]} */
  let computed = [];
  for (let count = -1; count < computed.length;) {
    count = computed.length;
    computed = all.filter((each) => used.has(each.name));
    for (const each of computed) for (const name of each.value.match(IDENTIFIER) ?? []) used.add(name);
  }
  const tables = Object.fromEntries(Object.entries(document.tables ?? {}).filter(([name]) => used.has(name)));
  return { fields: document.fields.filter((each) => used.has(each.name)), computed, tables };
}

/**
 * Return what could be the name of a field in the texts and the expressions of a part of a document.
 * @param {any} part
 * @param {boolean} isExpression
 * @returns {string[]}
 */
function identifiersOf(part, isExpression = false) {
  if (typeof part === "string") {
    const texts = isExpression ? [part] : [...part.matchAll(BINDING)].map((each) => each[1]);
    return texts.flatMap((text) => text.match(IDENTIFIER) ?? []);
  }
  if (Array.isArray(part)) return part.flatMap((each) => identifiersOf(each, isExpression));
  if (typeof part !== "object" || part === null) return [];
  const keys = new Set(["bound", "show_if", "repeat"]);
  return Object.entries(part).flatMap(([key, value]) => identifiersOf(value, isExpression || keys.has(key)));
}

/**
 * Return the copied layers of a text; null if it is another text.
 * @param {string} text
 * @returns {Clip | null}
 * @throws {InvalidClipError} it cannot be used.
 */
export function readClip(text) {
  const trimmed = text.trim();
  if (!trimmed.startsWith(MARK)) return null;
  if (trimmed.length > MAX_LENGTH) throw new InvalidClipError(_("These layers are too large to be pasted. Copy fewer at once"));
  let clip;
  try {
    clip = JSON.parse(trimmed);
  } catch {
    throw new InvalidClipError(_("These layers were copied incompletely. Copy them again"));
  }
  if (clip.version !== 1) throw new InvalidClipError(_("These layers were copied from another version of the editor. Reload both pages"));
  if (!isValid(clip)) throw new InvalidClipError(_("These layers cannot be read. Copy them again"));
  return clip;
}

/** @param {any} clip */
function isValid({ layers, frames, sizes, fields, computed, tables, workspace }) {
  const isNamed = (/** @type {any} */ each) => typeof each?.name === "string";
  return Array.isArray(layers) && layers.length > 0 && areLayers(layers, 1) && [...walkLayers(layers)].length <= MAX_LAYERS
    && typeof frames === "object" && frames !== null && layers.every(({ name }) => Object.hasOwn(frames, name) && NUMBERS.every((key) => Number.isFinite(frames[name]?.[key])))
    && Array.isArray(sizes) && sizes.length <= MAX_SIZES && sizes.every((each) => isNamed(each) && areOverrides(each.overrides))
    && Array.isArray(fields) && fields.every(isNamed) && Array.isArray(computed) && computed.every(isNamed)
    && typeof tables === "object" && tables !== null && typeof workspace === "string";
}

/**
 * @param {any} layers
 * @param {number} depth
 * @returns {boolean}
 */
function areLayers(layers, depth) {
  return Array.isArray(layers) && layers.length <= MAX_LAYERS && depth <= MAX_DEPTH && layers.every((each) => {
    const isLayer = typeof each?.name === "string" && each.name !== "__proto__" && TYPES.has(each.type) && typeof each.anchor === "string";
    return isLayer && NUMBERS.every((key) => Number.isFinite(each[key])) && (each.layers === undefined || areLayers(each.layers, depth + 1));
  });
}

/** @param {any} overrides */
function areOverrides(overrides) {
  return typeof overrides === "object" && overrides !== null && !Array.isArray(overrides)
    && Object.values(overrides).every((each) => typeof each === "object" && each !== null);
}

/**
 * Put copied layers into a copy of a document, with the fields that it lacks.
 * @param {TemplateDocument} document the copy, which changes
 * @param {Clip} clip
 * @param {Place} place
 * @returns {Pasted}
 */
export function pasteClip(document, clip, { to, index, delta, shown }) {
  const fields = addFields(document, clip);
  const target = to ? findLayer(document, to) : undefined;
  const siblings = target?.layers ?? document.layers;
  const at = Math.min(Math.max(index, 0), siblings.length);
  const names = insertLayers(document, clip.layers, { siblings, index: at });
  const pasted = siblings.slice(at, at + names.length);
  takeOverrides(document, clip, pasted);
  const parent = to ? shown.frames[to] : undefined;
  for (const [number, layer] of pasted.entries()) {
    const frame = clip.frames[clip.layers[number].name];
    if (target) delete layer.pins;
    if (target?.type === "stack") removePositions(document, layer.name);
    else placePasted(document, layer, { ...frame, x: frame.x + delta.x, y: frame.y + delta.y }, { parent, delta, size: shown.size });
  }
  return { names, fields };
}

/**
 * @param {TemplateDocument} document the copy, which changes
 * @param {Clip} clip
 */
function addFields(document, clip) {
  const taken = new Set([...document.fields, ...(document.computed ?? [])].map((each) => each.name));
  const isNew = (/** @type {{name: string}} */ each) => !taken.has(each.name);
  const [fields, computed] = [clip.fields.filter(isNew), clip.computed.filter(isNew)];
  document.fields.push(...structuredClone(fields));
  if (computed.length) document.computed = [...(document.computed ?? []), ...structuredClone(computed)];
  for (const [name, table] of Object.entries(clip.tables)) {
    if (name === "__proto__" || Object.hasOwn(document.tables ?? {}, name)) continue;
    document.tables = { ...document.tables, [name]: structuredClone(table) };
  }
  return [...fields, ...computed].map((each) => each.name);
}

/**
 * Give pasted layers the overrides that they had in sizes of the same name and the same width and height.
 * @param {TemplateDocument} document the copy, which changes
 * @param {Clip} clip
 * @param {Layer[]} pasted
 */
function takeOverrides(document, clip, pasted) {
  const originals = [...walkLayers(clip.layers)];
  const copies = [...walkLayers(pasted)];
  for (const size of document.sizes) {
    const same = clip.sizes.find((each) => each.name === size.name && each.width === size.width && each.height === size.height);
    originals.forEach(({ name }, at) => {
      const own = same && Object.hasOwn(same.overrides, name) ? same.overrides[name] : undefined;
      if (own) size.overrides = { ...size.overrides, [copies[at].name]: structuredClone(own) };
      else delete size.overrides[copies[at].name];
    });
  }
}

/**
 * @param {TemplateDocument} document the copy, which changes
 * @param {Layer} layer
 * @param {Frame} frame
 * @param {{parent: Frame | undefined, delta: Point, size: string}} place
 */
function placePasted(document, layer, frame, { parent, delta, size }) {
  const filling = SIDES.filter((side) => layer.sizing?.[side] === "fill");
  if (filling.length) layer.sizing = { ...layer.sizing, ...Object.fromEntries(filling.map((side) => [side, "fixed"])) };
  for (const side of filling) layer[side] = Math.max(Math.round(frame[side]), 1);
  for (const { name, overrides } of document.sizes) {
    const own = name !== size && Object.hasOwn(overrides, layer.name) ? overrides[layer.name] : {};
    if (own.x != null) own.x = Math.round(own.x + delta.x);
    if (own.y != null) own.y = Math.round(own.y + delta.y);
  }
  const anchor = placesIn(document, size).get(layer.name)?.anchor ?? layer.anchor;
  const { rotation, x, y } = valuesInParent(frame, parent, anchor);
  layer.rotation = rotation;
  const isOwn = document.sizes.some((each) => each.name === size && overrideOf(each, layer.name)?.x != null);
  const base = isOwn ? { x: layer.x + delta.x, y: layer.y + delta.y } : { x, y };
  setInSize(document, layer.name, base, DEFAULT_SIZE);
  setInSize(document, layer.name, { x, y }, size);
}

// What a layer looks like, without what it shows and where it is.
const STYLE = [
  "opacity", "blend", "radius", "border", "shadow", "fill", "stroke_width", "font", "weight", "italic", "size", "min_size",
  "max_size", "fit", "balance", "color", "gradient", "strike", "underline", "figures", "align", "valign", "line_height",
  "letter_spacing", "paragraph_gap", "list_style", "bullet", "case", "hyphens", "language", "stroke", "background", "padding",
  "hug", "box", "trim_padding", "grayscale", "adjust", "duotone", "fade", "outline", "empty", "gap", "justify",
];
// What every type of layer can have.
const COMMON = new Set(["opacity", "blend", "radius", "border", "shadow"]);

/**
 * Return the style of a layer.
 * @param {Layer} layer
 * @returns {{type: string, values: {[key: string]: any}, bound: {[key: string]: string}}}
 */
export function styleOf(layer) {
  const values = Object.fromEntries(STYLE.flatMap((key) => (Object.hasOwn(layer, key) ? [[key, layer[key]]] : [])));
  return { type: layer.type, values: structuredClone(values), bound: Object.fromEntries(Object.entries(layer.bound ?? {}).filter(([key]) => STYLE.includes(key))) };
}

/**
 * Give a layer a style, as far as its type has it.
 * @param {TemplateDocument} document the copy, which changes
 * @param {string} name
 * @param {ReturnType<typeof styleOf>} style
 */
export function applyStyle(document, name, { type, values, bound }) {
  const layer = locate(document, name)?.layer;
  if (!layer) return;
  const isSame = layer.type === type;
  const can = (/** @type {string} */ key) => isSame || COMMON.has(key);
  for (const key of STYLE.filter(can)) {
    if (Object.hasOwn(values, key)) layer[key] = structuredClone(values[key]);
    // A value that is left out is the default.
    else if (Object.hasOwn(layer, key)) delete layer[key];
  }
  const kept = Object.entries(layer.bound ?? {}).filter(([key]) => !STYLE.includes(key) || !can(key));
  const all = Object.fromEntries([...kept, ...Object.entries(bound).filter(([key]) => can(key))]);
  if (Object.keys(all).length) layer.bound = all;
  else delete layer.bound;
}

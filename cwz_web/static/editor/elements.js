// Elements that the user adds, as layers: scaled to the canvas and with names of their own. No DOM.

import { locate, unusedName, walkLayers } from "./model.js";

/** @typedef {import("./model.js").Layer} Layer */
/** @typedef {import("./model.js").TemplateDocument} TemplateDocument */
/**
 * An element of elements.json: a layer for a canvas of 1080 × 1080, and the list that it repeats, if any.
 * @typedef {{id: string, label: string, layer: Layer, field?: TemplateDocument["fields"][number]}} Element
 */

const DESIGNED_SIDE = 1080;
const LARGEST = 0.6 * DESIGNED_SIDE;
const TEXT_SIZE = 54;
const LINE_HEIGHT = 1.2;
/** About how wide a character is, compared with the font size. */
const CHARACTER_WIDTH = 0.55;
const MAX_LINES = 50;
const SCALES = [0.1, 4];
const MIN_FONT_SIZE = 6;
const WHOLE = ["x", "y", "width", "height", "size", "min_size", "gap", "padding"];
const BROKEN = ["radius", "stroke_width"];
const OWN = { x: 0, y: 0, anchor: "top-left", rotation: 0, opacity: 1, hidden: false, locked: false };

/**
 * Return the factor by which an element fits a canvas, and the width of the container that takes it.
 * @param {{width: number, height: number}} canvas
 * @param {{width: number}} layer
 * @param {number} [room] the width of the container
 */
export function scaleFor(canvas, layer, room = Number.POSITIVE_INFINITY) {
  const scale = Math.min(canvas.width, canvas.height) / DESIGNED_SIDE;
  const [least, most] = SCALES;
  return Math.min(Math.max(scale, least), most, Math.max(room / layer.width, least));
}

/**
 * Return a layer with all of its lengths multiplied.
 * @param {Layer} layer
 * @param {number} scale
 * @returns {Layer}
 */
export function scaleLayer(layer, scale) {
  const scaled = scaleLengths({ ...OWN, ...layer }, scale);
  for (const key of ["size", "min_size"]) if (scaled[key]) scaled[key] = Math.max(scaled[key], MIN_FONT_SIZE);
  for (const side of ["width", "height"]) scaled[side] = Math.max(scaled[side], 1);
  if (scaled.border) scaled.border = { ...scaled.border, width: scaled.border.width * scale };
  if (scaled.shadow) scaled.shadow = scaleLengths(scaled.shadow, scale, ["y", "blur"]);
  if (scaled.layers) scaled.layers = scaled.layers.map((/** @type {Layer} */ each) => scaleLayer(each, scale));
  return scaled;
}

/**
 * @param {any} part
 * @param {number} scale
 * @param {string[]} whole
 */
function scaleLengths(part, scale, whole = WHOLE) {
  const scaled = { ...part };
  for (const key of whole) if (key in scaled) scaled[key] = Math.round(scaled[key] * scale);
  for (const key of BROKEN) if (key in scaled) scaled[key] *= scale;
  return scaled;
}

/**
 * Give a layer, and those in it, names that a document does not have.
 * @param {TemplateDocument} document
 * @param {Layer} layer a copy, which changes
 */
export function nameLayers(document, layer) {
  const taken = new Set();
  for (const each of walkLayers([layer])) {
    each.name = unusedName(document, each.name, taken);
    taken.add(each.name);
  }
}

/**
 * Let a stack repeat a list of the document; add the element's own if there is none.
 * @param {TemplateDocument} document a copy, which changes
 * @param {Layer} layer a copy, which changes
 * @param {Element["field"]} field
 */
export function bindList(document, layer, field) {
  if (!field || !layer.repeat) return;
  let name = document.fields.find((each) => each.type === "list")?.name;
  if (!name) {
    const taken = new Set([...document.fields, ...(document.computed ?? [])].map((each) => each.name));
    name = field.name;
    for (let number = 2; taken.has(name); number++) name = `${field.name}_${number}`;
    document.fields.push({ ...field, name });
  }
  layer.repeat = { ...layer.repeat, field: name };
}

/**
 * Return the container that a click adds to, and the layer before which it does: the selected container, or the one of
 * the selected layer. A row that hugs its content, such as a badge, is complete.
 * @param {TemplateDocument} document
 * @param {string} name the selected layer
 * @returns {{to: string, before?: string} | undefined} undefined for the canvas
 */
export function containerToAddTo(document, name) {
  const spot = locate(document, name);
  if (!spot) return undefined;
  const path = [...spot.containers, spot.layer];
  const container = path.filter((each) => each.layers && !isComplete(each)).at(-1);
  if (!container?.layers) return undefined;
  const inner = path[path.indexOf(container) + 1];
  return { to: container.name, before: inner && container.layers[container.layers.indexOf(inner) + 1]?.name };
}

/** @param {Layer} layer */
function isComplete({ type, direction, sizing }) {
  return type === "stack" && direction === "row" && sizing?.width === "hug" && sizing?.height === "hug";
}

/**
 * Return the layer of an uploaded image, with its aspect ratio, at most 60 % as large as the canvas, and not enlarged.
 * @param {{name: string, reference: string, width: number, height: number}} upload
 * @param {{width: number, height: number}} canvas
 * @returns {Layer}
 */
export function imageLayer({ name, reference, width, height }, canvas) {
  const sharpest = 1 / scaleFor(canvas, { width });
  const scale = Math.min(LARGEST / width, LARGEST / height, sharpest);
  const sides = { width: Math.max(Math.round(width * scale), 1), height: Math.max(Math.round(height * scale), 1) };
  return { ...OWN, type: "image", name: layerName(name), ...sides, source: reference };
}

/**
 * Return a text layer, 60 % as wide as the canvas and with room for its lines.
 * @param {string} text
 * @returns {Layer}
 */
export function textLayer(text) {
  const perLine = Math.floor(LARGEST / (TEXT_SIZE * CHARACTER_WIDTH));
  const lines = text.split("\n").reduce((sum, line) => sum + Math.max(Math.ceil(line.length / perLine), 1), 0);
  const height = Math.min(Math.ceil(Math.min(lines, MAX_LINES) * TEXT_SIZE * LINE_HEIGHT), DESIGNED_SIDE);
  const maxLines = Math.min(lines + 1, MAX_LINES);
  return { ...OWN, type: "text", name: "Text", width: LARGEST, height, text, size: TEXT_SIZE, max_lines: maxLines };
}

/**
 * Return the name of a file as that of a layer.
 * @param {string} name
 */
function layerName(name) {
  return name.replace(/\.[a-z0-9]{2,5}$/i, "").replace(/\s+/g, " ").trim().slice(0, 50).trim() || "Image";
}

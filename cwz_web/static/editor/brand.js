// References to the brand, such as `brand:primary`, as the editor shows and applies them. No DOM.

import { insertLayers, setOwn, walkLayers } from "./model.js";

/** @typedef {import("./model.js").TemplateDocument} TemplateDocument */
/** @typedef {{font: string, weight: number, size: number, color: string, line_height: number}} Style */
/**
 * @typedef {{colors: {name: string, color: string}[], fonts: {name: string, font: string}[],
 *   logos: {name: string, reference: string, thumbnail: string, width: number, height: number}[],
 *   styles: ({name: string} & Style)[]}} Brand
 */

const PREFIX = "brand:";
const LOGO_PART = 0.25;

/** @param {string} name */
export const referenceTo = (name) => PREFIX + name;

/**
 * Return the name of the entry that a value refers to; empty if it refers to none.
 * @param {string | null | undefined} value
 */
export const entryOf = (value) => (value?.startsWith(PREFIX) ? value.slice(PREFIX.length) : "");

/**
 * Return a color of a document as CSS knows it. The document has the values of the brand that it uses.
 * @param {any} document
 * @param {string} color
 * @param {Brand} [brand] of the workspace, for an entry that the document has only just begun to use
 */
export function colorOf(document, color, brand) {
  const name = entryOf(color);
  if (!name) return color;
  return document.brand?.colors?.[name] ?? brand?.colors.find((each) => each.name === name)?.color ?? "#000000";
}

/**
 * Return the property that is a layer's main color; undefined if it has none.
 * @param {any} layer
 */
function mainColor(layer) {
  return { text: "color", code: "color", rating: "color", shape: "fill", stack: "background" }[/** @type {string} */ (layer.type)];
}

/**
 * Give layers of a copy of a document a color, and return the names of those that have one.
 * @param {TemplateDocument} copy
 * @param {string[]} names
 * @param {string} reference
 */
export function applyColor(copy, names, reference) {
  const changed = [...walkLayers(copy.layers)].filter((layer) => names.includes(layer.name) && mainColor(layer));
  for (const layer of changed) {
    setOwn(layer, /** @type {string} */ (mainColor(layer)), reference);
    if (layer.type === "text") delete layer.gradient;
  }
  return changed.map((layer) => layer.name);
}

/**
 * Give text layers of a copy of a document values, and return their names.
 * @param {TemplateDocument} copy
 * @param {string[]} names
 * @param {{[key: string]: any}} values
 */
export function applyToTexts(copy, names, values) {
  const texts = [...walkLayers(copy.layers)].filter((layer) => names.includes(layer.name) && layer.type === "text");
  for (const layer of texts) {
    for (const [property, value] of Object.entries(values)) setOwn(layer, property, value);
    if ("color" in values) delete layer.gradient;
  }
  return texts.map((layer) => layer.name);
}

/**
 * Add a logo in the middle of the canvas of a copy of a document, and return the name of its layer.
 * @param {TemplateDocument} copy
 * @param {{name: string, width: number, height: number}} logo
 */
export function addLogo(copy, logo) {
  const { width, height } = copy.canvas;
  const scale = Math.min((width * LOGO_PART) / logo.width, (height * LOGO_PART) / logo.height);
  const [w, h] = [logo.width, logo.height].map((side) => Math.max(Math.round(side * scale), 1));
  const layer = {
    type: "image", name: "Logo", source: referenceTo(logo.name), fit: "contain",
    x: Math.round((width - w) / 2), y: Math.round((height - h) / 2), width: w, height: h,
  };
  const [name] = insertLayers(copy, [/** @type {any} */ (layer)], { siblings: copy.layers, index: copy.layers.length });
  return name;
}

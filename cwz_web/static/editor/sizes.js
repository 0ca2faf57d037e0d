// Where the layers of a document are in each of its sizes: by their values, pins and overrides. No DOM.
// The rules are those of imaging/pins.py and imaging/documents.py.

import { DEFAULT_SIZE, anchorPoint, locate, ownOverride, walkLayers } from "./model.js";

/** @typedef {import("./model.js").TemplateDocument} TemplateDocument */
/** @typedef {import("./model.js").Layer} Layer */
/** @typedef {import("./stage.js").Frame} Frame */
/** @typedef {{width: number, height: number}} Sides */
/**
 * A layer in its container in one size. Font sizes are those of texts.
 * @typedef {{left: number, top: number, width: number, height: number, rotation: number, anchor: string, x: number,
 *   y: number, size?: number, min_size?: number | null}} Place
 */
/** @typedef {{[key: string]: any}} Values */

const MIN_FONT_SIZE = 6;
const MAX_SIDE = 4096;
const SIDES = /** @type {const} */ (["width", "height"]);
const OVERRIDDEN = /** @type {const} */ (["x", "y", "width", "height", "anchor", "size", "min_size"]);

/** @param {TemplateDocument} document */
export function sizeNames(document) {
  return [DEFAULT_SIZE, ...document.sizes.map((each) => each.name)];
}

/**
 * Return where each layer is in its container.
 * @param {TemplateDocument} document
 * @param {string} size
 * @param {{[name: string]: Sides}} measured the sizes of layers that a row shows, for sides that their content decides
 * @returns {Map<string, Place>}
 */
export function placesIn(document, size, measured = {}) {
  const sized = document.sizes.find((each) => each.name === size);
  /** @type {Map<string, Place>} */
  const places = new Map();
  /**
   * @param {Layer[]} layers
   * @param {Sides} before
   * @param {Sides} now
   */
  const walk = (layers, before, now) => {
    for (const layer of layers) {
      const override = sized && Object.hasOwn(sized.overrides, layer.name) ? sized.overrides[layer.name] : {};
      const values = { ...pinned(layer, before, now), ...existing(override) };
      places.set(layer.name, placeOf({ ...layer, ...values, ...flexibleSides(layer, measured) }));
      if (layer.type === "group") walk(layer.layers ?? [], layer, /** @type {any} */ ({ ...layer, ...values }));
      else walk(layer.layers ?? [], before, now);
    }
  };
  walk(document.layers, document.canvas, sized ?? document.canvas);
  return places;
}

/** @param {Values} override */
function existing(override) {
  return Object.fromEntries(OVERRIDDEN.flatMap((key) => (override[key] == null ? [] : [[key, override[key]]])));
}

/**
 * @param {Layer} layer
 * @param {{[name: string]: Sides}} measured
 */
function flexibleSides(layer, measured) {
  if (!Object.hasOwn(measured, layer.name)) return {};
  const sides = measured[layer.name];
  return Object.fromEntries(SIDES.flatMap((side) => (isFlexible(layer, side) ? [[side, sides[side]]] : [])));
}

/**
 * @param {Layer} layer
 * @param {"width" | "height"} side
 */
export function isFlexible(layer, side) {
  return (layer.sizing?.[side] ?? "fixed") !== "fixed";
}

/**
 * @param {Values} values
 * @returns {Place}
 */
function placeOf(values) {
  const { x = 0, y = 0, width, height, anchor = "top-left", rotation = 0, size, min_size } = values;
  const { x: right, y: down } = anchorPoint({ left: 0, top: 0, width, height }, anchor);
  return { left: x - right, top: y - down, width, height, rotation, anchor, x, y, size, min_size };
}

/**
 * @param {Layer} layer
 * @param {Sides} before
 * @param {Sides} now
 * @returns {Values}
 */
function pinned(layer, before, now) {
  if (!layer.pins || (before.width === now.width && before.height === now.height)) return {};
  const { left, top, width: ownWidth, height: ownHeight, anchor } = placeOf(layer);
  const { horizontal, vertical } = layer.pins;
  const [newLeft, width] = pin(horizontal, left, ownWidth, before.width, now.width);
  const [newTop, height] = pin(vertical, top, ownHeight, before.height, now.height);
  const box = { left: newLeft, top: newTop, width, height };
  const fonts = layer.type === "text" ? scaledFonts(layer, before, now) : {};
  return { ...anchorPoint(box, anchor), width, height, ...fonts };
}

/**
 * @param {string} kind
 * @param {number} start
 * @param {number} length
 * @param {number} before
 * @param {number} now
 * @returns {[number, number]} the position and the length along one axis
 */
function pin(kind, start, length, before, now) {
  if (kind === "right" || kind === "bottom") return [start + now - before, length];
  if (kind === "center") return [start + roundHalfEven((now - before) / 2), length];
  if (kind === "both") return [start, Math.max(length + now - before, 1)];
  if (kind === "scale") return [roundHalfEven((start * now) / before), Math.max(roundHalfEven((length * now) / before), 1)];
  return [start, length];
}

/**
 * @param {Layer} layer
 * @param {Sides} before
 * @param {Sides} now
 */
function scaledFonts(layer, before, now) {
  const ratios = [];
  if (layer.pins.horizontal === "scale") ratios.push(now.width / before.width);
  if (layer.pins.vertical === "scale") ratios.push(now.height / before.height);
  const ratio = ratios.length ? Math.min(...ratios) : 1;
  /** @type {Values} */
  const fonts = {};
  for (const key of ["size", "min_size"]) {
    if (layer[key] != null) fonts[key] = Math.max(roundHalfEven(layer[key] * ratio), MIN_FONT_SIZE);
  }
  return fonts;
}

/** @param {number} value */
function roundHalfEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 ? floor + 1 : floor;
}

/**
 * Return where a layer is on the canvas; undefined if a stack around it decides that.
 * @param {TemplateDocument} document
 * @param {Map<string, Place>} places
 * @param {string} name
 * @returns {Frame | undefined}
 */
export function frameOnCanvas(document, places, name) {
  const containers = locate(document, name)?.containers ?? [];
  const place = places.get(name);
  if (!place || containers.some((each) => each.type === "stack")) return undefined;
  let frame = frameOf(place);
  for (const container of [...containers].reverse()) {
    frame = frameOutside(frame, frameOf(/** @type {Place} */ (places.get(container.name))));
  }
  return frame;
}

/**
 * Return where a frame in a container is outside it.
 * @param {Frame} frame relative to the upper left corner of the container
 * @param {Frame} container
 * @returns {Frame}
 */
export function frameOutside(frame, container) {
  const turn = (container.rotation * Math.PI) / 180;
  const [dx, dy] = [frame.x - container.width / 2, frame.y - container.height / 2];
  return {
    ...frame,
    x: container.x + dx * Math.cos(turn) - dy * Math.sin(turn),
    y: container.y + dx * Math.sin(turn) + dy * Math.cos(turn),
    rotation: frame.rotation + container.rotation,
  };
}

/**
 * @param {Place} place
 * @returns {Frame}
 */
export function frameOf({ left, top, width, height, rotation }) {
  return { x: left + width / 2, y: top + height / 2, width, height, rotation };
}

/**
 * Set values of a layer so that it has them in a size, by overrides in other sizes than the default one.
 * @param {TemplateDocument} document the copy, which changes
 * @param {string} name
 * @param {Values} values
 * @param {string} size
 */
export function setInSize(document, name, values, size) {
  const layer = locate(document, name)?.layer;
  const sized = document.sizes.find((each) => each.name === size);
  if (!layer) return;
  const clamped = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, clamp(key, value)]));
  if (!sized) return void Object.assign(layer, clamped);
  const now = /** @type {Values} */ (placesIn(document, size).get(name));
  for (const [key, value] of Object.entries(clamped)) {
    if (value == null || value === now[key]) continue;
    ownOverride(sized, name)[key] = value;
  }
}

/**
 * @param {string} key
 * @param {any} value
 */
function clamp(key, value) {
  if (key === "x" || key === "y") return Math.min(Math.max(value, -MAX_SIDE), MAX_SIDE);
  if (key === "width" || key === "height") return Math.min(Math.max(value, 1), MAX_SIDE);
  return value;
}

/**
 * Remove overrides of positions, which mean nothing in a stack.
 * @param {TemplateDocument} document the copy, which changes
 * @param {string} name
 */
export function removePositions(document, name) {
  for (const size of document.sizes) {
    const override = Object.hasOwn(size.overrides, name) ? size.overrides[name] : undefined;
    if (!override) continue;
    delete override.x;
    delete override.y;
    delete override.anchor;
    if (Object.values(override).every((value) => value == null)) delete size.overrides[name];
  }
}

/**
 * Return the smallest box around frames, in whole pixels.
 * @param {Frame[]} frames
 */
export function boundsOf(frames) {
  const corners = frames.map(outline);
  const left = Math.floor(Math.min(...corners.map((each) => each.left)));
  const top = Math.floor(Math.min(...corners.map((each) => each.top)));
  const right = Math.ceil(Math.max(...corners.map((each) => each.right)));
  const bottom = Math.ceil(Math.max(...corners.map((each) => each.bottom)));
  return { left, top, width: Math.max(right - left, 1), height: Math.max(bottom - top, 1) };
}

/**
 * Return the edges of a frame that may be rotated.
 * @param {Frame} frame
 */
export function outline({ x, y, width, height, rotation }) {
  const turn = (rotation * Math.PI) / 180;
  const [cos, sin] = rotation % 180 ? [Math.abs(Math.cos(turn)), Math.abs(Math.sin(turn))] : [1, 0];
  // A hundredth of a pixel is the noise of sines, not an edge.
  const across = round((width * cos + height * sin) / 2);
  const down = round((width * sin + height * cos) / 2);
  return { left: x - across, right: x + across, top: y - down, bottom: y + down };
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 100) / 100;
}

/**
 * Return names with those of the layers that are their masks, or that they mask, in the order of the document.
 * @param {TemplateDocument} document
 * @param {string[]} names
 */
export function withMasks(document, names) {
  const chosen = new Set(names);
  const layers = [...walkLayers(document.layers)];
  for (const layer of layers) {
    const mask = layer.mask?.layer;
    if (!mask || !(chosen.has(layer.name) || chosen.has(mask))) continue;
    chosen.add(layer.name);
    chosen.add(mask);
  }
  // A mask can have several layers, which one pass finds after their mask only.
  for (const layer of layers) if (chosen.has(layer.mask?.layer)) chosen.add(layer.name);
  return layers.map((each) => each.name).filter((name) => chosen.has(name));
}

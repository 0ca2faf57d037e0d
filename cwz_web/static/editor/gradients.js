// The geometry and the colors of gradients, as the engine renders them. Points are relative to the center of the box.
// No DOM.

import { mixColors } from "./colors.js";

/** @typedef {{offset: number, color: string}} Stop */
/**
 * @typedef {{type: "linear" | "radial" | "conic", start: string, middle?: string | null, stops?: Stop[], end: string,
 *   angle: number}} Gradient
 */
/** @typedef {{x: number, y: number}} Point */
/** @typedef {{width: number, height: number}} Box */
/** A stop of a gradient: -1 is its start, and its last index its end. */
/** @typedef {{index: number, offset: number, color: string}} Handle */

export const MAX_STOPS = 6;
// How far the stops of a conic gradient are from its center, relative to the smaller side.
const RING = 0.36;

/**
 * A gradient of a layer: of its fill, its background, its letters, or the first one of its spans.
 * @param {{[key: string]: any}} layer
 * @returns {{value: Gradient, isOfLetters: boolean} | undefined}
 */
export function gradientOf(layer) {
  const key = propertyOf(layer);
  const value = key ? layer[key] : spanGradient(layer);
  return value && { value, isOfLetters: key === "gradient" || !key };
}

/**
 * Replace the gradient of a layer; spans that share one keep sharing it.
 * @param {{[key: string]: any}} layer a layer of a copy of the document, which changes
 * @param {Gradient} changed
 */
export function setGradient(layer, changed) {
  const key = propertyOf(layer);
  if (key) layer[key] = changed;
  const before = JSON.stringify(spanGradient(layer));
  for (const span of key ? [] : layer.spans) if (JSON.stringify(span.gradient) === before) span.gradient = changed;
}

/** @param {{[key: string]: any}} layer */
function propertyOf(layer) {
  return ["fill", "gradient", "background"].find((key) => typeof layer[key] === "object" && layer[key]?.type && !layer.bound?.[key]);
}

/** @param {{[key: string]: any}} layer */
function spanGradient(layer) {
  return layer.spans?.find((/** @type {any} */ span) => span.gradient)?.gradient;
}

/**
 * Return the stops between the start and the end.
 * @param {Gradient} gradient
 * @returns {Stop[]}
 */
export function stopsOf(gradient) {
  return gradient.middle ? [{ offset: 0.5, color: gradient.middle }] : gradient.stops ?? [];
}

/**
 * @param {Gradient} gradient
 * @returns {Handle[]}
 */
export function handlesOf(gradient) {
  const stops = stopsOf(gradient);
  return [
    { index: -1, offset: 0, color: gradient.start },
    ...stops.map((stop, index) => ({ index, ...stop })),
    { index: stops.length, offset: 1, color: gradient.end },
  ];
}

/**
 * Return where an offset of a gradient is.
 * @param {Gradient} gradient
 * @param {Box} box
 * @param {number} offset
 * @returns {Point}
 */
export function pointAt({ type, angle }, { width, height }, offset) {
  // The corner is at the end of a radial gradient.
  if (type === "radial") return { x: (width / 2) * offset, y: (height / 2) * offset };
  const turn = ((type === "conic" ? angle + Math.min(offset, 0.97) * 360 : angle) * Math.PI) / 180;
  if (type === "conic") {
    const radius = Math.min(width, height) * RING;
    return { x: Math.cos(turn) * radius, y: Math.sin(turn) * radius };
  }
  return { x: Math.cos(turn) * (offset - 0.5) * width, y: Math.sin(turn) * (offset - 0.5) * height };
}

/**
 * Return the offset of a gradient that is closest to a point.
 * @param {Gradient} gradient
 * @param {Box} box
 * @param {Point} point
 */
export function offsetAt(gradient, box, point) {
  if (gradient.type === "conic") {
    const turn = (Math.atan2(point.y, point.x) * 180) / Math.PI - gradient.angle;
    return round((((turn % 360) + 360) % 360) / 360);
  }
  const [from, to] = [pointAt(gradient, box, 0), pointAt(gradient, box, 1)];
  const line = { x: to.x - from.x, y: to.y - from.y };
  const along = (point.x - from.x) * line.x + (point.y - from.y) * line.y;
  return round(Math.min(Math.max(along / (line.x ** 2 + line.y ** 2), 0), 1));
}

/**
 * Return the angle at which a gradient starts or ends at a point.
 * @param {Gradient} gradient
 * @param {Box} box
 * @param {Point} point
 * @param {boolean} isStart
 * @param {number} step degrees that the angle is a multiple of
 */
export function angleAt(gradient, { width, height }, point, isStart, step = 1) {
  const isConic = gradient.type === "conic";
  const [x, y] = isConic ? [point.x, point.y] : [point.x / width, point.y / height];
  const turn = (Math.atan2(y, x) * 180) / Math.PI + (isStart && !isConic ? 180 : 0);
  const angle = (Math.round(turn / step) * step) % 360;
  return angle < 0 ? angle + 360 : angle;
}

/**
 * @param {Gradient} gradient
 * @param {number} index
 * @param {number} offset
 * @returns {Gradient}
 */
export function moveStop(gradient, index, offset) {
  const stops = stopsOf(gradient);
  const [low, high] = [stops[index - 1]?.offset ?? 0, stops[index + 1]?.offset ?? 1];
  const moved = Math.min(Math.max(round(offset), low), high);
  return withStops(gradient, stops.map((stop, at) => (at === index ? { ...stop, offset: moved } : stop)));
}

/**
 * Add a stop that changes no color.
 * @param {Gradient} gradient
 * @param {number} offset
 * @param {(color: string) => string} [resolve] returns the value of a color, which can be one of the brand
 * @returns {Gradient}
 */
export function addStop(gradient, offset, resolve = (color) => color) {
  const stops = stopsOf(gradient);
  if (stops.length >= MAX_STOPS) return gradient;
  const handles = handlesOf(gradient);
  const after = handles.findIndex((each) => each.offset > offset);
  const [low, high] = [handles[Math.max(after, 1) - 1], handles[after] ?? handles[handles.length - 1]];
  const color = mixColors(resolve(low.color), resolve(high.color), (offset - low.offset) / (high.offset - low.offset || 1));
  return withStops(gradient, [...stops, { offset: round(offset), color }].sort((a, b) => a.offset - b.offset));
}

/**
 * @param {Gradient} gradient
 * @param {number} index
 * @returns {Gradient}
 */
export function removeStop(gradient, index) {
  return withStops(gradient, stopsOf(gradient).filter((_, at) => at !== index));
}

/**
 * @param {Gradient} gradient
 * @param {number} index
 * @param {string} color
 * @returns {Gradient}
 */
export function recolor(gradient, index, color) {
  const stops = stopsOf(gradient);
  if (index < 0) return { ...gradient, start: color };
  if (index >= stops.length) return { ...gradient, end: color };
  return withStops(gradient, stops.map((stop, at) => (at === index ? { ...stop, color } : stop)));
}

/**
 * @param {Gradient} gradient
 * @param {Stop[]} stops
 * @returns {Gradient}
 */
function withStops(gradient, stops) {
  const { stops: _, ...rest } = gradient;
  return { ...rest, middle: null, ...(stops.length ? { stops } : {}) };
}

/** @param {number} offset */
function round(offset) {
  return Math.round(offset * 1000) / 1000;
}

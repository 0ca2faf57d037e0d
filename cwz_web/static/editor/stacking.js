// A stack from layers that lie beside or below each other: its direction, gap, padding and alignment. No DOM.

import { DEFAULT_SIZE, locate, ownOverride } from "./model.js";
import {
  collect, groupLayers, localPlaces, newContainer, ownLengths, sharedPins, wrap,
} from "./grouping.js";
import { boundsOf, frameOf, removePositions, setInSize } from "./sizes.js";

/** @typedef {import("./model.js").TemplateDocument} TemplateDocument */
/** @typedef {import("./model.js").Layer} Layer */
/** @typedef {import("./model.js").Box} Box */
/** @typedef {import("./grouping.js").Shown} Shown */
/** @typedef {import("./sizes.js").Place} Place */
/** @typedef {"row" | "column"} Direction */
/** @typedef {"start" | "center" | "end"} Alignment */
/**
 * How boxes lie.
 * @typedef {{direction: Direction, order: number[], gap: number, isEven: boolean,
 *   align: Alignment, bounds: Box}} Arrangement
 */

const MAX_GAP = 4096;
const MAX_PADDING = 500;
// By how much the insets of a background may differ, in pixels, to be one padding.
const TOLERANCE = 2;
// By how much the gaps of layers may differ, in pixels, to become one invisibly.
const GAP_TOLERANCE = 8;
const FIRST_GAP = 16;
const LENGTHS = /** @type {const} */ ({ row: ["left", "width"], column: ["top", "height"] });

/**
 * Return how boxes lie: in a row or a column, in which order, and how far apart.
 * @param {Box[]} boxes
 * @param {Direction} [direction] the one that they are taken to have
 * @returns {Arrangement}
 */
export function arrangementOf(boxes, direction = directionOf(boxes)) {
  const [start, length] = LENGTHS[direction];
  const order = boxes.map((_, at) => at).sort((a, b) => boxes[a][start] + boxes[a][length] / 2 - boxes[b][start] - boxes[b][length] / 2);
  const gaps = order.slice(1).map((at, before) => {
    const previous = boxes[order[before]];
    return boxes[at][start] - previous[start] - previous[length];
  });
  const gap = gaps.length ? Math.min(Math.max(Math.round(median(gaps)), 0), MAX_GAP) : FIRST_GAP;
  const isEven = gaps.every((each) => Math.abs(each - gap) <= GAP_TOLERANCE);
  const bounds = boundsOf(boxes.map((each) => frameOf(/** @type {any} */ ({ ...each, rotation: 0 }))));
  return { direction, order, gap, isEven, align: alignmentOf(boxes, direction), bounds };
}

/**
 * Return along which axis boxes overlap less.
 * @param {Box[]} boxes
 * @returns {Direction}
 */
export function directionOf(boxes) {
  const [across, down] = [overlap(boxes, "row"), overlap(boxes, "column")];
  if (across !== down) return across < down ? "row" : "column";
  return spread(boxes, "row") > spread(boxes, "column") ? "row" : "column";
}

/**
 * @param {Box[]} boxes
 * @param {Direction} direction
 */
function overlap(boxes, direction) {
  const [start, length] = LENGTHS[direction];
  const sorted = [...boxes].sort((a, b) => a[start] - b[start]);
  let [end, sum] = [Number.NEGATIVE_INFINITY, 0];
  for (const box of sorted) {
    sum += Math.max(Math.min(end, box[start] + box[length]) - box[start], 0);
    end = Math.max(end, box[start] + box[length]);
  }
  return sum;
}

/**
 * @param {Box[]} boxes
 * @param {Direction} direction
 */
function spread(boxes, direction) {
  const [start, length] = LENGTHS[direction];
  const middles = boxes.map((each) => each[start] + each[length] / 2);
  return Math.max(...middles) - Math.min(...middles);
}

/**
 * Return by which edge boxes are aligned across a direction, or by their middles.
 * @param {Box[]} boxes
 * @param {Direction} direction
 * @returns {Alignment}
 */
export function alignmentOf(boxes, direction) {
  const [start, length] = LENGTHS[direction === "row" ? "column" : "row"];
  const distance = (/** @type {number} */ part) => {
    const values = boxes.map((each) => each[start] + each[length] * part);
    const middle = median(values);
    return values.reduce((sum, value) => sum + Math.abs(value - middle), 0);
  };
  const choices = /** @type {[Alignment, number][]} */ ([["start", distance(0)], ["center", distance(0.5)], ["end", distance(1)]]);
  return choices.reduce((best, each) => (each[1] < best[1] - 0.5 ? each : best))[0];
}

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Put layers of a copy of a document into a new stack, in the direction in which they lie.
 * @param {TemplateDocument} document the copy, which changes
 * @param {string[]} names
 * @param {Shown} shown
 * @returns {{name: string, isEven: boolean}} the name of the stack, empty if there are no layers; and whether they had
 *   one gap
 */
export function stackLayers(document, names, shown) {
  const together = groupMasks(document, collect(document, names, shown), shown);
  if (!together.length) return { name: "", isEven: true };
  const parent = locate(document, together[0])?.containers.at(-1);
  const places = localPlaces(document, together, shown);
  const designed = /** @type {Map<string, Place>} */ (places.get(DEFAULT_SIZE));
  const ground = groundOf(document, together, designed);
  const content = together.filter((name) => name !== ground);
  const background = ground ? backgroundOf(document, ground, content, designed) : undefined;
  const layers = content.map((name) => /** @type {Layer} */ (locate(document, name)?.layer));
  const now = /** @type {Map<string, Place>} */ (places.get(shown.size) ?? places.get(DEFAULT_SIZE));
  const stack = newContainer(document, "stack");
  wrap(document, background ? together : content, stack);
  const boxes = hugTexts(layers, now, shown, parent);
  const arrangement = arrangementOf(boxes);
  stack.layers = arrangement.order.map((at) => layers[at]);
  Object.assign(stack, { direction: arrangement.direction, align: arrangement.align, justify: "start", wrap: false, clip: false });
  if (background) takeBackground(stack, background);
  const pins = sharedPins(layers);
  if (pins) stack.pins = pins;
  for (const layer of layers) delete layer.pins;
  sizeStack(stack, layers, boxes, arrangement, background && now.get(background.name));
  for (const [size, local] of places) {
    const own = size === shown.size ? boxes : content.map((name) => /** @type {Place} */ (local.get(name)));
    placeStack(document, stack, { names: content, local, boxes: own, size, background: background?.name });
  }
  for (const name of content) removePositions(document, name);
  if (background) for (const size of document.sizes) delete size.overrides[background.name];
  return { name: stack.name, isEven: arrangement.isEven };
}

/**
 * Put layers with masks into groups with these, since a stack cannot have them.
 * @param {TemplateDocument} document the copy, which changes
 * @param {string[]} names
 * @param {Shown} shown
 */
function groupMasks(document, names, shown) {
  const masks = new Set(names.map((name) => locate(document, name)?.layer.mask?.layer).filter(Boolean));
  let rest = names;
  for (const mask of masks) {
    const pair = rest.filter((name) => name === mask || locate(document, name)?.layer.mask?.layer === mask);
    const group = groupLayers(document, pair, shown);
    rest = [...rest.filter((name) => !pair.includes(name)), group];
  }
  return rest;
}

/**
 * Return the lowest layer if all others lie on it: it is not one of the layers that follow each other. The box of a text
 * is often larger than its letters, so that what is in it is beside them.
 * @param {TemplateDocument} document
 * @param {string[]} names from the lowest to the highest
 * @param {Map<string, Place>} local
 */
function groundOf(document, [lowest, ...others], local) {
  if (!others.length || locate(document, lowest)?.layer.type === "text") return undefined;
  const insets = insetsOf(/** @type {Place} */ (local.get(lowest)), boxAround(others, local));
  return Math.min(...Object.values(insets)) >= 0 ? lowest : undefined;
}

/**
 * Return the layer that others lie on if it can be the background of their stack: a rectangle with one padding.
 * @param {TemplateDocument} document
 * @param {string} ground
 * @param {string[]} others
 * @param {Map<string, Place>} local
 */
function backgroundOf(document, ground, others, local) {
  const layer = locate(document, ground)?.layer;
  if (layer?.type !== "shape" || (layer.shape ?? "rectangle") !== "rectangle" || !layer.fill) return undefined;
  const isPlain = !layer.show_if && !layer.rotation && !Object.keys(layer.bound ?? {}).length && (layer.blend ?? "normal") === "normal";
  const insets = insetsOf(/** @type {Place} */ (local.get(ground)), boxAround(others, local));
  return isPlain && paddingOf(insets) !== undefined ? layer : undefined;
}

/**
 * @param {string[]} names
 * @param {Map<string, Place>} local
 */
function boxAround(names, local) {
  return boundsOf(names.map((name) => frameOf(/** @type {Place} */ (local.get(name)))));
}

/**
 * @param {Box} outer
 * @param {Box} inner
 */
function insetsOf(outer, inner) {
  const [left, top] = [inner.left - outer.left, inner.top - outer.top];
  return { left, top, right: outer.width - inner.width - left, bottom: outer.height - inner.height - top };
}

/**
 * Return the padding of content that begins as far from the left as from the top; undefined if it does not.
 * @param {{left: number, top: number, right: number, bottom: number}} insets
 */
export function paddingOf({ left, top, right, bottom }) {
  const isOne = Math.abs(left - top) <= TOLERANCE && Math.min(right, bottom) >= left - TOLERANCE;
  return isOne && left >= 0 && left <= MAX_PADDING ? Math.min(left, top) : undefined;
}

/**
 * @param {Layer} stack
 * @param {Layer} background
 */
function takeBackground(stack, background) {
  stack.background = background.fill;
  for (const key of ["radius", "border", "shadow"]) if (background[key]) stack[key] = background[key];
  if (background.opacity !== 1) stack.opacity = background.opacity;
}

/**
 * Let texts be as large as their content, and return the boxes that layers have then.
 * @param {Layer[]} layers
 * @param {Map<string, Place>} local
 * @param {Shown} shown
 * @param {Layer | undefined} parent
 * @returns {Box[]}
 */
function hugTexts(layers, local, shown, parent) {
  const isStack = parent?.type === "stack";
  const hugged = layers.map((layer) => (isStack ? undefined : huggedText(layer, local, shown)));
  const places = layers.map((layer) => /** @type {Place} */ (local.get(layer.name)));
  const direction = directionOf(places.map((place, at) => hugged[at] ?? place));
  return places.map((place, at) => {
    const box = hugged[at];
    if (!box) return place;
    const isRow = direction === "row";
    layers[at].sizing = { ...layers[at].sizing, height: "hug", ...(isRow ? { width: "hug" } : {}) };
    return isRow ? box : { ...box, left: place.left, width: place.width };
  });
}

/**
 * @param {Layer} layer
 * @param {Map<string, Place>} local
 * @param {Shown} shown
 */
function huggedText(layer, local, shown) {
  const place = /** @type {Place} */ (local.get(layer.name));
  const ink = shown.inks && Object.hasOwn(shown.inks, layer.name) ? shown.inks[layer.name] : undefined;
  const frame = shown.frames[layer.name];
  if (!ink || !frame || !canHug(layer, frame)) return undefined;
  const [right, down] = [place.left - frame.x + frame.width / 2, place.top - frame.y + frame.height / 2];
  return huggedBox(layer, place, { ...ink, left: ink.left + right, top: ink.top + down });
}

/**
 * Return whether the tile of a text shows its letters only, so that it says how large they are.
 * @param {Layer} layer
 * @param {import("./stage.js").Frame} frame
 */
function canHug(layer, frame) {
  const isFixed = (layer.sizing?.width ?? "fixed") === "fixed" && (layer.sizing?.height ?? "fixed") === "fixed";
  const isPlain = !layer.background && !layer.border && !layer.shadow && !layer.stroke && !layer.padding;
  const isShrinking = (layer.fit ?? "shrink") === "shrink";
  return layer.type === "text" && isFixed && isPlain && isShrinking && !layer.spans?.length && frame.rotation === 0;
}

/**
 * Return the box of a text that hugs its letters; undefined if the text was reduced, since it would grow.
 * @param {Layer} layer
 * @param {Place} place
 * @param {Box} ink
 * @returns {Box | undefined}
 */
function huggedBox(layer, place, ink) {
  const size = place.size ?? layer.size;
  const line = size * (layer.line_height ?? 1.2);
  // The ink of one line is lower than the line, and higher than a quarter of the letters.
  const lines = Math.max(Math.round((ink.height + line - size * 0.9) / line), 1);
  const height = Math.ceil(lines * line);
  if (height > place.height) return undefined;
  const free = place.height - height;
  const top = place.top + ({ middle: Math.round(free / 2), bottom: free }[/** @type {string} */ (layer.valign)] ?? 0);
  const isStart = !["center", "end"].includes(layer.align) && ink.left >= place.left;
  const left = isStart ? place.left : ink.left;
  return { left, top, width: Math.max(ink.left + ink.width - left, 1), height };
}

/**
 * Decide how a stack and the texts in it get their sizes. A text that is as wide as its column fills it, and the column
 * has this width then, whatever the text says.
 * @param {Layer} stack
 * @param {Layer[]} layers
 * @param {Box[]} boxes
 * @param {Arrangement} arrangement
 * @param {Box | undefined} outer the box of the background
 */
function sizeStack(stack, layers, boxes, { direction, bounds }, outer) {
  const fillsStack = (/** @type {"width" | "height"} */ side) => layers.some((each) => each.sizing?.[side] === "fill");
  stack.sizing = { width: fillsStack("width") ? "fill" : "hug", height: fillsStack("height") ? "fill" : "hug" };
  if (outer) {
    const insets = insetsOf(outer, bounds);
    const padding = paddingOf(insets) ?? 0;
    if (Math.abs(insets.right - padding) > TOLERANCE) stack.sizing.width = "fixed";
    if (Math.abs(insets.bottom - padding) > TOLERANCE) stack.sizing.height = "fixed";
  }
  if (direction === "row") return;
  layers.forEach((layer, at) => {
    if (layer.type !== "text" || layer.sizing?.height !== "hug" || boxes[at].width < bounds.width) return;
    layer.sizing = { ...layer.sizing, width: "fill" };
    stack.sizing.width = "fixed";
  });
}

/**
 * Place a stack where its layers were in a size, in the direction in which they lay there.
 * @param {TemplateDocument} document the copy, which changes
 * @param {Layer} stack
 * @param {{names: string[], local: Map<string, Place>, boxes: Box[], size: string, background?: string}} before
 */
function placeStack(document, stack, { names, local, boxes, size, background }) {
  const shared = size === DEFAULT_SIZE ? stack.direction : directionOf(boxes);
  const { gap, bounds } = arrangementOf(boxes, shared);
  const outer = background ? local.get(background) : undefined;
  const padding = outer ? paddingOf(insetsOf(outer, bounds)) ?? stack.padding ?? 0 : 0;
  const { left, top, width, height } = outer ?? bounds;
  setInSize(document, stack.name, { x: left, y: top, width, height }, size);
  setStacking(document, stack, { gap, padding, direction: shared }, size);
  for (const layer of stack.layers ?? []) {
    if (names.includes(layer.name)) setInSize(document, layer.name, ownLengths(layer, /** @type {Place} */ (local.get(layer.name))), size);
  }
}

/**
 * @param {TemplateDocument} document the copy, which changes
 * @param {Layer} stack
 * @param {{[key: string]: any}} values
 * @param {string} size
 */
function setStacking(document, stack, values, size) {
  const sized = document.sizes.find((each) => each.name === size);
  if (!sized) return void Object.assign(stack, values);
  for (const [key, value] of Object.entries(values)) {
    if (stack[key] === value) continue;
    ownOverride(sized, stack.name)[key] = value;
  }
}

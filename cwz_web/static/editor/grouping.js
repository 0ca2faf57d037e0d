// Groups from layers, and layers into other containers, without that anything moves in any size. No DOM.

import { DEFAULT_SIZE, anchorPoint, findLayer, locate, unusedName, walkLayers } from "./model.js";
import { valuesInParent } from "./placing.js";
import {
  boundsOf, frameOf, frameOnCanvas, frameOutside, isFlexible, placesIn, removePositions, setInSize, sizeNames, withMasks,
} from "./sizes.js";

/** @typedef {import("./model.js").TemplateDocument} TemplateDocument */
/** @typedef {import("./model.js").Layer} Layer */
/** @typedef {import("./stage.js").Frame} Frame */
/** @typedef {import("./sizes.js").Place} Place */
/**
 * What the stage shows: the frames of layers on the canvas, in one size. `inks` are the boxes of their tiles.
 * @typedef {{size: string, frames: {[name: string]: Frame}, inks?: {[name: string]: import("./model.js").Box}}} Shown
 */

const SIDES = /** @type {const} */ (["width", "height"]);
const AXES = /** @type {const} */ ({ width: "horizontal", height: "vertical" });

/**
 * Put layers of a copy of a document into a new group, where they are.
 * @param {TemplateDocument} document the copy, which changes
 * @param {string[]} names
 * @param {Shown} shown
 * @returns {string} the name of the group; empty if there are no layers
 */
export function groupLayers(document, names, shown) {
  const together = collect(document, names, shown);
  if (!together.length) return "";
  const parent = locate(document, together[0])?.containers.at(-1);
  const places = localPlaces(document, together, shown);
  const group = newContainer(document, "group");
  wrap(document, together, group);
  const layers = /** @type {Layer[]} */ (group.layers);
  group.pins = sharedPins(layers);
  if (!group.pins) delete group.pins;
  followGroup(group, layers, parent);
  for (const [size, local] of places) placeInGroup(document, group, local, size);
  return group.name;
}

/**
 * Bring layers into one container: that of the highest one. Masks come along.
 * @param {TemplateDocument} document the copy, which changes
 * @param {string[]} names
 * @param {Shown} shown
 */
export function collect(document, names, shown) {
  const together = withMasks(document, names).filter((name, _, all) => {
    return !locate(document, name)?.containers.some((each) => all.includes(each.name));
  });
  const last = together.length ? locate(document, together[together.length - 1]) : undefined;
  const parent = last?.containers.at(-1)?.name ?? "";
  for (const name of together) {
    const spot = locate(document, name);
    if (!spot || (spot.containers.at(-1)?.name ?? "") === parent) continue;
    const top = /** @type {import("./model.js").Spot} */ (locate(document, together[together.length - 1]));
    moveLayers(document, [name], parent, top.index, shown);
  }
  return together;
}

/**
 * Return where layers of one container are in it, by size.
 * @param {TemplateDocument} document
 * @param {string[]} names
 * @param {Shown} shown
 * @returns {Map<string, Map<string, Place>>}
 */
export function localPlaces(document, names, shown) {
  const parent = locate(document, names[0])?.containers.at(-1);
  const isStack = parent?.type === "stack";
  const outer = parent && shown.frames[parent.name];
  return new Map(sizeNames(document).map((size) => {
    const places = placesIn(document, size, shown.frames);
    const entries = names.map((name) => {
      const place = /** @type {Place} */ (places.get(name));
      return /** @type {[string, Place]} */ ([name, isStack ? placeInStack(place, shown.frames[name], outer) : place]);
    });
    return [size, new Map(entries)];
  }));
}

/**
 * Return where a stack shows a layer. What it does not show is at its upper left corner.
 * @param {Place} place
 * @param {Frame | undefined} frame
 * @param {Frame | undefined} stack
 * @returns {Place}
 */
function placeInStack(place, frame, stack) {
  if (!frame || !stack) return { ...place, left: 0, top: 0, ...anchorPoint({ ...place, left: 0, top: 0 }, place.anchor) };
  const { x: left, y: top } = valuesInParent(frame, stack, "top-left");
  return { ...place, left, top, ...anchorPoint({ ...place, left, top }, place.anchor) };
}

/**
 * Return an empty container with a name that is not taken.
 * @param {TemplateDocument} document
 * @param {"group" | "stack"} type
 * @returns {Layer}
 */
export function newContainer(document, type) {
  const name = unusedName(document, type === "group" ? "Group" : "Stack");
  const box = { x: 0, y: 0, width: 1, height: 1, anchor: "top-left", rotation: 0 };
  return { type, name, ...box, opacity: 1, hidden: false, locked: false, layers: [] };
}

/**
 * Put a container around layers, at the place of the highest one.
 * @param {TemplateDocument} document the copy, which changes
 * @param {string[]} names layers of one container
 * @param {Layer} container
 */
export function wrap(document, names, container) {
  const { siblings, index } = /** @type {import("./model.js").Spot} */ (locate(document, names[names.length - 1]));
  const isIn = (/** @type {Layer} */ each) => names.includes(each.name);
  const below = siblings.slice(0, index).filter(isIn).length;
  container.layers = siblings.filter(isIn);
  siblings.splice(0, siblings.length, ...siblings.filter((each) => !isIn(each)));
  siblings.splice(index - below, 0, container);
}

/**
 * Return the pins that all layers have, which are those of their container, too.
 * @param {Layer[]} layers
 */
export function sharedPins(layers) {
  const [first] = layers;
  const isShared = layers.every((each) => each.pins && JSON.stringify(each.pins) === JSON.stringify(first.pins));
  return isShared ? { ...first.pins } : undefined;
}

/**
 * Let layers follow the size of their new group as they have followed that of their container.
 * @param {Layer} group
 * @param {Layer[]} layers
 * @param {Layer | undefined} parent
 */
function followGroup(group, layers, parent) {
  for (const layer of layers) {
    const pins = { horizontal: "left", vertical: "top" };
    for (const side of SIDES) {
      const axis = AXES[side];
      const own = group.pins?.[axis];
      if (own === "both" || own === "scale") pins[axis] = own;
      if (layer.sizing?.[side] !== "fill" || parent?.type !== "stack") continue;
      layer.sizing = { ...layer.sizing, [side]: "fixed" };
      group.sizing = { ...group.sizing, [side]: "fill" };
      pins[axis] = "both";
    }
    if (pins.horizontal !== "left" || pins.vertical !== "top") layer.pins = pins;
    else delete layer.pins;
  }
}

/**
 * Give a group the box of its layers in a size, and keep the layers where they are in it.
 * @param {TemplateDocument} document the copy, which changes
 * @param {Layer} group
 * @param {Map<string, Place>} local where the layers were, in the container of the group
 * @param {string} size
 */
function placeInGroup(document, group, local, size) {
  const box = boundsOf([...local.values()].map(frameOf));
  const layers = /** @type {Layer[]} */ (group.layers);
  const margin = Math.max(...layers.map((each) => textMargin(each, local.get(each.name))));
  // A position that an expression decides counts from the corner of the container.
  if (layers.some((each) => each.bound?.x)) Object.assign(box, { left: 0, width: Math.max(box.left + box.width, 1) });
  if (layers.some((each) => each.bound?.y)) Object.assign(box, { top: 0, height: Math.max(box.top + box.height, 1) });
  const { left, top } = box;
  setInSize(document, group.name, { x: left, y: top, width: box.width + margin, height: box.height }, size);
  for (const layer of layers) {
    const place = /** @type {Place} */ (local.get(layer.name));
    setInSize(document, layer.name, { x: place.x - left, y: place.y - top, ...ownLengths(layer, place) }, size);
  }
}

/**
 * Return the room that a text needs beside its ink to be laid out as before, as imaging/editing.py has it.
 * @param {Layer} layer
 * @param {Place | undefined} place
 */
function textMargin(layer, place) {
  return layer.type === "text" && layer.sizing?.width === "hug" ? 2 * Math.floor((place?.size ?? layer.size) / 8) : 0;
}

/**
 * Return the lengths and the font sizes of a layer that its content does not decide.
 * @param {Layer} layer
 * @param {Place} place
 */
export function ownLengths(layer, place) {
  /** @type {{[key: string]: any}} */
  const values = {};
  for (const side of SIDES) if (!isFlexible(layer, side)) values[side] = place[side];
  return { ...values, ...fontsOf(layer, place) };
}

/**
 * Return the font sizes of a text.
 * @param {Layer} layer
 * @param {Place | undefined} place
 */
function fontsOf(layer, place) {
  /** @type {{size?: number, min_size?: number}} */
  const values = {};
  if (layer.type !== "text" || !place) return values;
  if (place.size != null) values.size = place.size;
  if (place.min_size != null) values.min_size = place.min_size;
  return values;
}

/**
 * Move layers into a container, where they are on the canvas in each size; a stack places them itself.
 * @param {TemplateDocument} document the copy, which changes
 * @param {string[]} names layers in the order that they get
 * @param {string} to the name of the container; empty for the canvas
 * @param {number} index before which of its layers, counted without those that are moved
 * @param {Shown} shown
 * @param {import("./stage.js").Point} delta by how much they move on the canvas of the shown size
 */
export function moveLayers(document, names, to, index, shown, delta = { x: 0, y: 0 }) {
  const before = sizeNames(document).map((size) => ({ size, places: placesIn(document, size, shown.frames) }));
  const frames = new Map(before.map(({ size, places }) => [size, new Map(names.map((name) => {
    const frame = frameIn(document, places, name, size, shown);
    const isMoving = frame && (size === shown.size || followsDefault(document, name, size, shown));
    return [name, isMoving ? { ...frame, x: frame.x + delta.x, y: frame.y + delta.y } : frame];
  }))]));
  const outer = new Map(before.map(({ size, places }) => [size, to ? frameIn(document, places, to, size, shown) : undefined]));
  const moved = names.flatMap((name) => takeOut(document, name, to) ?? []);
  const target = to ? findLayer(document, to) : undefined;
  const siblings = target ? target.layers ?? [] : document.layers;
  siblings.splice(Math.min(Math.max(index, 0), siblings.length), 0, ...moved);
  for (const { name } of moved) removePositions(document, name);
  if (target?.type === "stack") return;
  for (const [size, own] of frames) {
    for (const layer of moved) {
      const frame = own.get(layer.name);
      if (!frame || (to && !outer.get(size))) continue;
      placeFrame(document, layer, frame, outer.get(size), size);
    }
  }
}

/**
 * Replace a group or a stack of a copy of a document by its layers, which stay where they are in each size. Where a stack
 * places its layers in another size than the shown one is not known: they are taken to be in proportion.
 * @param {TemplateDocument} document the copy, which changes
 * @param {string} name
 * @param {Shown} shown
 * @returns {string[]} the names of the layers
 */
export function ungroupLayers(document, name, shown) {
  const { layer: container, siblings, index, containers } = /** @type {import("./model.js").Spot} */ (locate(document, name));
  const parent = containers.at(-1);
  const layers = container.layers ?? [];
  const before = sizeNames(document).map((size) => {
    const places = placesIn(document, size, shown.frames);
    const frames = layers.map((each) => frameIn(document, places, each.name, size, shown) ?? frameInStack(document, places, each.name, size, shown));
    const outer = parent && frameIn(document, places, parent.name, size, shown);
    return { size, frames, outer, fonts: layers.map((each) => fontsOf(each, places.get(each.name))) };
  });
  siblings.splice(index, 1, ...layers);
  for (const size of document.sizes) delete size.overrides[name];
  for (const layer of layers) {
    if (parent?.type !== "stack") fixFilling(layer);
    if (container.pins && parent?.type !== "stack") layer.pins = { ...container.pins };
    else delete layer.pins;
    if (parent?.type === "stack") removePositions(document, layer.name);
  }
  removeLostMasks(document);
  for (const { size, frames, outer, fonts } of parent?.type === "stack" ? [] : before) {
    for (const [at, layer] of layers.entries()) {
      const frame = frames[at];
      if (frame && (outer || !parent)) placeFrame(document, layer, frame, outer, size);
      setInSize(document, layer.name, fonts[at], size);
    }
  }
  return layers.map((each) => each.name);
}

/**
 * Return where a layer of a stack is on the canvas of a size that is not shown.
 * @param {TemplateDocument} document
 * @param {Map<string, Place>} places
 * @param {string} name
 * @param {string} size
 * @param {Shown} shown
 * @returns {Frame | undefined}
 */
function frameInStack(document, places, name, size, shown) {
  const stack = locate(document, name)?.containers.at(-1);
  const outer = stack && frameOnCanvas(document, places, stack.name);
  const [frame, around] = [shown.frames[name], shown.frames[stack?.name ?? ""]];
  if (!stack || !outer || !frame || !around) return undefined;
  const ratio = stack.pins ? 1 : scaleOf(document, size) / scaleOf(document, shown.size);
  const { x, y, rotation } = valuesInParent(frame, around, "top-left");
  const box = { left: x * ratio, top: y * ratio, width: frame.width * ratio, height: frame.height * ratio, rotation };
  return frameOutside(frameOf(/** @type {Place} */ (box)), outer);
}

/**
 * @param {TemplateDocument} document
 * @param {string} size
 */
function scaleOf({ canvas, sizes }, size) {
  const sized = sizes.find((each) => each.name === size) ?? canvas;
  return Math.min(sized.width / canvas.width, sized.height / canvas.height);
}

/**
 * Remove the masks of layers that are not beside them, and those in stacks.
 * @param {TemplateDocument} document the copy, which changes
 */
function removeLostMasks(document) {
  for (const layer of walkLayers(document.layers)) {
    const mask = layer.mask?.layer;
    if (!mask) continue;
    const { siblings, containers } = /** @type {import("./model.js").Spot} */ (locate(document, layer.name));
    if (containers.at(-1)?.type === "stack" || !siblings.some((each) => each.name === mask)) delete layer.mask;
  }
}

/**
 * Let the sides of a layer that filled a stack have lengths of their own.
 * @param {Layer} layer
 */
function fixFilling(layer) {
  const filling = SIDES.filter((side) => layer.sizing?.[side] === "fill");
  if (!filling.length) return;
  layer.sizing = { ...layer.sizing, ...Object.fromEntries(filling.map((side) => [side, "fixed"])) };
}

/**
 * @param {TemplateDocument} document
 * @param {string} name
 * @param {string} to
 */
function takeOut(document, name, to) {
  const spot = locate(document, name);
  if (!spot) return undefined;
  const from = spot.containers.at(-1);
  spot.siblings.splice(spot.index, 1);
  const { layer } = spot;
  const isInStack = Boolean(to && findLayer(document, to)?.type === "stack");
  if (!isInStack) fixFilling(layer);
  if ((from?.name ?? "") !== to) delete layer.pins;
  return layer;
}

/**
 * Return where a layer is on the canvas: as it is shown if this is the size, otherwise by the document.
 * @param {TemplateDocument} document
 * @param {Map<string, Place>} places
 * @param {string} name
 * @param {string} size
 * @param {Shown} shown
 */
function frameIn(document, places, name, size, shown) {
  if (size === shown.size && shown.frames[name]) return shown.frames[name];
  const designed = frameOnCanvas(document, places, name);
  // The default values are those that every size begins with, so that they are known for layers of stacks, too.
  return designed ?? (size === DEFAULT_SIZE ? shown.frames[name] : undefined);
}

/**
 * Return whether a layer moves in a size because it has no position of its own there.
 * @param {TemplateDocument} document
 * @param {string} name
 * @param {string} size
 * @param {Shown} shown
 */
function followsDefault(document, name, size, shown) {
  const overrides = document.sizes.find((each) => each.name === size)?.overrides ?? {};
  const own = Object.hasOwn(overrides, name) ? overrides[name] : {};
  return (shown.size === DEFAULT_SIZE || size === DEFAULT_SIZE) && own.x == null && own.y == null;
}

/**
 * @param {TemplateDocument} document the copy, which changes
 * @param {Layer} layer
 * @param {Frame} frame
 * @param {Frame | undefined} parent
 * @param {string} size
 */
function placeFrame(document, layer, frame, parent, size) {
  const { rotation, ...position } = valuesInParent(frame, parent, placesIn(document, size).get(layer.name)?.anchor ?? layer.anchor);
  const lengths = Object.fromEntries(SIDES.flatMap((side) => (isFlexible(layer, side) ? [] : [[side, Math.round(frame[side])]])));
  if (size === DEFAULT_SIZE) layer.rotation = rotation;
  setInSize(document, layer.name, { ...position, ...lengths }, size);
}

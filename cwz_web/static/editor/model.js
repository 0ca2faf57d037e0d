// The template document as the editor changes it. Functions that change return a changed copy.

/** @typedef {import("./changes.js").Json} Json */
/** @typedef {import("./changes.js").JsonObject} JsonObject */

/**
 * A layer of a document. Containers have `layers`.
 * @typedef {{name: string, type: string, x: number, y: number, width: number, height: number, anchor: string,
 *   rotation: number, opacity: number, blend?: string, hidden: boolean, locked: boolean, layers?: Layer[],
 *   [key: string]: any}} Layer
 */
/** @typedef {{name: string, width: number, height: number, overrides: {[name: string]: {[key: string]: any}}}} Size */
/**
 * @typedef {{version: number, canvas: {width: number, height: number, background: any}, layers: Layer[],
 *   fields: {name: string, label: string, type: string, default: string}[], sizes: Size[],
 *   computed?: {name: string, value: string}[], [key: string]: any}} TemplateDocument
 */
/** @typedef {{siblings: Layer[], index: number, layer: Layer, containers: Layer[]}} Spot */
/** @typedef {{left: number, top: number, width: number, height: number}} Box */

export const DEFAULT_SIZE = "default";
// The values of a layer that a size has of its own.
const OVERRIDABLE = new Set([
  "x", "y", "width", "height", "anchor", "size", "min_size", "max_lines", "gap", "padding", "direction", "hidden",
]);
const MAX_NAME = 60;

/**
 * Return where a layer is in a document, or undefined.
 * @param {TemplateDocument} document
 * @param {string} name
 * @returns {Spot | undefined}
 */
export function locate(document, name) {
  return locateIn(document.layers, name, []);
}

/**
 * @param {Layer[]} layers
 * @param {string} name
 * @param {Layer[]} containers
 * @returns {Spot | undefined}
 */
function locateIn(layers, name, containers) {
  for (const [index, layer] of layers.entries()) {
    if (layer.name === name) return { siblings: layers, index, layer, containers };
    const found = layer.layers && locateIn(layer.layers, name, [...containers, layer]);
    if (found) return found;
  }
  return undefined;
}

/**
 * @param {TemplateDocument} document
 * @param {string} name
 */
export function findLayer(document, name) {
  return locate(document, name)?.layer;
}

/**
 * Yield layers and the layers in them, each container before its content.
 * @param {Layer[]} layers
 * @returns {Generator<Layer>}
 */
export function* walkLayers(layers) {
  for (const layer of layers) {
    yield layer;
    if (layer.layers) yield* walkLayers(layer.layers);
  }
}

/**
 * Return the direct containers of a layer, the innermost one last.
 * @param {TemplateDocument} document
 * @param {string} name
 */
export function containerOf(document, name) {
  return locate(document, name)?.containers.at(-1);
}

/**
 * Return a copy of a document that a function has changed.
 * @param {TemplateDocument} document
 * @param {(copy: TemplateDocument) => void} change
 * @returns {TemplateDocument}
 */
export function changed(document, change) {
  const copy = structuredClone(document);
  change(copy);
  return copy;
}

/**
 * Set a property of a layer, which then comes no longer from an expression.
 * @param {Layer} layer a layer of a copy of a document, which changes
 * @param {string} property
 * @param {any} value
 */
export function setOwn(layer, property, value) {
  layer[property] = value;
  if (!layer.bound) return;
  delete layer.bound[property];
  if (!Object.keys(layer.bound).length) delete layer.bound;
}

/**
 * Return what a size overrides of a layer, whose name can be that of a property of all objects.
 * @param {Size} size
 * @param {string} name
 */
export function overrideOf(size, name) {
  return Object.hasOwn(size.overrides, name) ? size.overrides[name] : undefined;
}

/**
 * Return the same to change it, empty if there is nothing yet.
 * @param {Size} size a part of a copy of a document, which changes
 * @param {string} name
 */
export function ownOverride(size, name) {
  // An assignment to __proto__ would not add a key.
  if (!overrideOf(size, name)) size.overrides = { ...size.overrides, [name]: {} };
  return size.overrides[name];
}

/**
 * Set values of a layer in a copy of a document. What a size can override changes in this size only.
 * @param {TemplateDocument} document the copy, which changes
 * @param {string} name
 * @param {{[key: string]: any}} values
 * @param {string} size
 */
export function setValues(document, name, values, size = DEFAULT_SIZE) {
  const layer = findLayer(document, name);
  if (!layer) return;
  const sized = size === DEFAULT_SIZE ? undefined : document.sizes.find((each) => each.name === size);
  for (const [key, value] of Object.entries(values)) {
    if (sized && OVERRIDABLE.has(key)) {
      const overrides = ownOverride(sized, name);
      if (value === undefined) delete overrides[key];
      else overrides[key] = value;
    } else if (value === undefined) delete layer[key];
    else layer[key] = value;
  }
}

/**
 * Remove layers, and their overrides, from a copy of a document.
 * @param {TemplateDocument} document the copy, which changes
 * @param {string[]} names
 */
export function removeLayers(document, names) {
  for (const name of names) {
    const spot = locate(document, name);
    if (!spot) continue;
    const removed = [...walkLayers([spot.layer])].map((each) => each.name);
    spot.siblings.splice(spot.index, 1);
    for (const size of document.sizes) for (const each of removed) delete size.overrides[each];
  }
}

/**
 * Rename a layer in a copy of a document, with its overrides and the masks that refer to it.
 * @param {TemplateDocument} document the copy, which changes
 * @param {string} name
 * @param {string} renamed
 */
export function renameLayer(document, name, renamed) {
  const layer = findLayer(document, name);
  if (!layer) return;
  layer.name = renamed;
  for (const size of document.sizes) {
    const { [name]: override, ...others } = size.overrides;
    if (Object.hasOwn(size.overrides, name)) size.overrides = { ...others, [renamed]: override };
  }
  for (const each of walkLayers(document.layers)) if (each.mask?.layer === name) each.mask.layer = renamed;
}

/**
 * Return a name that no layer of a document has.
 * @param {TemplateDocument} document
 * @param {string} wanted
 * @param {Set<string>} [more] further names that are taken
 */
export function unusedName(document, wanted, more = new Set()) {
  const taken = new Set([...walkLayers(document.layers)].map((each) => each.name));
  const isTaken = (/** @type {string} */ name) => taken.has(name) || more.has(name);
  if (!isTaken(wanted)) return wanted;
  const base = wanted.replace(/ \d+$/, "").slice(0, MAX_NAME - 5);
  let number = 2;
  while (isTaken(`${base} ${number}`)) number++;
  return `${base} ${number}`;
}

/**
 * Insert copies of layers into a copy of a document, with names that are not taken.
 * @param {TemplateDocument} document the copy, which changes
 * @param {Layer[]} layers
 * @param {{siblings: Layer[], index: number}} spot where they are inserted
 * @returns {string[]} the names of the inserted layers, without those in them
 */
export function insertLayers(document, layers, spot) {
  const copies = structuredClone(layers);
  const taken = new Set();
  /** @type {Map<string, string>} */
  const renamed = new Map();
  for (const each of walkLayers(copies)) {
    const name = unusedName(document, each.name, taken);
    renamed.set(each.name, name);
    each.name = name;
    taken.add(name);
  }
  for (const each of walkLayers(copies)) {
    if (each.mask?.layer && renamed.has(each.mask.layer)) each.mask.layer = renamed.get(each.mask.layer);
  }
  spot.siblings.splice(spot.index, 0, ...copies);
  for (const size of document.sizes) {
    for (const [old, name] of renamed) {
      const override = overrideOf(size, old);
      if (override) size.overrides = { ...size.overrides, [name]: structuredClone(override) };
    }
  }
  return copies.map((each) => each.name);
}

/**
 * Return names without those of layers that are in a container of which the name is there too.
 * @param {TemplateDocument} document
 * @param {string[]} names
 */
export function outermost(document, names) {
  return names.filter((name) => {
    const spot = locate(document, name);
    return spot && !spot.containers.some((each) => names.includes(each.name));
  });
}

/**
 * Return the position of a box's anchor.
 * @param {Box} box
 * @param {string} anchor
 */
export function anchorPoint(box, anchor) {
  const x = anchor.includes("left") ? 0 : anchor.includes("right") ? box.width : Math.floor(box.width / 2);
  const y = anchor.includes("top") ? 0 : anchor.includes("bottom") ? box.height : Math.floor(box.height / 2);
  return { x: box.left + x, y: box.top + y };
}

// Adding elements to the template: by a click, in the middle of the view or beside the selection, or dragged to a place.

import { _ } from "../i18n.js";
import { bindList, containerToAddTo, nameLayers, scaleFor, scaleLayer } from "./elements.js";
import { addField, bindElement } from "./fields.js";
import { anchorPoint, findLayer, overrideOf, setValues } from "./model.js";
import { freePlace, valuesInParent } from "./placing.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./model.js").Layer} Layer */
/** @typedef {import("./model.js").TemplateDocument} TemplateDocument */
/** @typedef {import("./stage.js").Point} Point */
/**
 * A layer to add: with the list that it repeats, or with a variant that shows fields, or for a new field.
 * @typedef {{layer: Layer, field?: import("./elements.js").Element["field"], bound?: import("./fields.js").BoundElement,
 *   shows?: import("./fields.js").Field}} Fragment
 */
/** @typedef {{to: string, before?: string}} Target `to` is a container; empty for the canvas */
/**
 * What happens to an item that is dragged from a panel onto the stage.
 * @typedef {{over: (point: Point, event: MouseEvent) => void, drop: (point: Point, event: MouseEvent) => void,
 *   clear: () => void}} DragHandlers
 */

const MIN_DISTANCE = 4;

/**
 * Add a layer, and select it.
 * @param {Editor} editor
 * @param {Fragment} fragment
 * @param {{point?: Point, target?: Target}} [place] the middle of the view, in the selected container, by default
 */
export function addFragment(editor, fragment, { point, target = targetOf(editor) } = {}) {
  const { stage } = editor;
  const { layer, frame, container } = fit(editor, bind(editor, fragment), target);
  const center = point ? (container ? point : onCanvas(stage, layer, point)) : freeCenter(editor, frame, container);
  editor.edit(`add ${layer.name}`, (copy) => {
    bindElement(copy, columnsOf(editor), fragment);
    if (fragment.shows) addField(copy, fragment.shows);
    bindList(copy, layer, fragment.field);
    nameLayers(copy, layer);
    const siblings = (container ? findLayer(copy, container.name)?.layers : undefined) ?? copy.layers;
    const at = siblings.findIndex((each) => each.name === target.before);
    siblings.splice(at < 0 ? siblings.length : at, 0, layer);
    if (container?.type !== "stack") place(editor, copy, layer, center, frame);
  });
  editor.select([layer.name]);
  const { name } = layer;
  editor.announce(container ? _("Added %(name)s to %(container)s", { name, container: container.name }) : _("Added %(name)s", { name }));
}

/**
 * Return the layer of a fragment with the fields that it shows. What it adds to the document for them is not kept.
 * @param {Editor} editor
 * @param {Fragment} fragment
 */
function bind(editor, fragment) {
  return bindElement(structuredClone(editor.document), columnsOf(editor), fragment);
}

/**
 * Return a new layer as large as the canvas or its container takes it.
 * @param {Editor} editor
 * @param {Layer} bound
 * @param {Target} target
 */
function fit(editor, bound, target) {
  const { stage } = editor;
  const frame = target.to ? stage.find(target.to)?.frame : undefined;
  const container = frame && findLayer(editor.document, target.to);
  const scale = scaleFor(stage, bound, frame?.width);
  return { layer: scaleLayer(bound, scale), frame, container };
}

/** @param {Editor} editor */
function columnsOf(editor) {
  return editor.session.view.feed ? editor.columns : null;
}

/**
 * Return what happens to a fragment that is dragged onto the stage: an outline shows where it goes, aligned with other
 * layers, or a mark where a stack takes it.
 * @param {Editor} editor
 * @param {Fragment} fragment
 * @returns {DragHandlers}
 */
export function fragmentDrop(editor, fragment) {
  const { stage } = editor;
  const bound = bind(editor, fragment);
  const find = (/** @type {Point} */ point, /** @type {MouseEvent} */ event) => {
    const target = editor.dropper?.offer(point) ?? { to: "" };
    const { layer, container } = fit(editor, bound, target);
    const { width, height } = layer;
    if (container?.type === "stack") return { target, point, frame: undefined };
    const { x, y } = container ? point : onCanvas(stage, layer, point);
    const by = editor.snapper?.snapNew({ left: x - width / 2, top: y - height / 2, width, height }, event) ?? { x: 0, y: 0 };
    const center = { x: x + by.x, y: y + by.y };
    return { target, point: center, frame: { ...center, width, height, rotation: 0 } };
  };
  const clear = () => {
    editor.dropper?.clear();
    editor.snapper?.clear();
    stage.outline();
  };
  return {
    over: (point, event) => {
      editor.snapper?.clear();
      stage.outline(find(point, event).frame);
    },
    drop: (point, event) => {
      const found = find(point, event);
      clear();
      addFragment(editor, fragment, found);
    },
    clear,
  };
}

/**
 * Center a new layer at a point of the canvas.
 * @param {Editor} editor
 * @param {TemplateDocument} copy
 * @param {Layer} layer
 * @param {Point} center
 * @param {import("./stage.js").Frame | undefined} parent
 */
function place(editor, copy, layer, center, parent) {
  const { width, height } = layer;
  const { x, y } = valuesInParent({ ...center, width, height, rotation: parent?.rotation ?? 0 }, parent, layer.anchor);
  // Other sizes have it at the same part of their canvas.
  const { canvas } = copy;
  const fraction = { x: center.x / editor.stage.width, y: center.y / editor.stage.height };
  const elsewhere = { x: Math.round(fraction.x * canvas.width - width / 2), y: Math.round(fraction.y * canvas.height - height / 2) };
  Object.assign(layer, parent ? { x, y } : elsewhere);
  setValues(copy, layer.name, { x, y }, editor.size);
}

/**
 * Return where a click adds a layer: in the selected container, or after the selected layer in its own.
 * @param {Editor} editor
 * @returns {Target}
 */
function targetOf(editor) {
  const target = editor.selection.length === 1 ? containerToAddTo(editor.document, editor.selection[0]) : undefined;
  return target && editor.isUnlocked(target.to) && editor.stage.find(target.to) ? target : { to: "" };
}

/**
 * Return the center of a layer that is dropped at a point: one that is not larger than the canvas stays on it.
 * @param {{width: number, height: number}} canvas
 * @param {{width: number, height: number}} layer
 * @param {Point} point
 */
function onCanvas(canvas, layer, point) {
  const inside = (/** @type {number} */ at, /** @type {number} */ side, /** @type {number} */ all) => (
    side > all ? at : Math.min(Math.max(at, side / 2), all - side / 2)
  );
  return { x: inside(point.x, layer.width, canvas.width), y: inside(point.y, layer.height, canvas.height) };
}

/**
 * Return where a click adds a layer: in the middle of the view or of a container, beside what is there already.
 * @param {Editor} editor
 * @param {import("./stage.js").Frame | undefined} frame of the container
 * @param {Layer | undefined} container
 */
function freeCenter(editor, frame, container) {
  const siblings = container?.layers ?? editor.document.layers;
  const taken = siblings.map((layer) => editor.stage.find(layer.name)?.frame ?? designedCenter(editor, layer, frame));
  return freePlace(frame ?? viewCenter(editor), taken);
}

/**
 * Return where the center of a layer is that the server has not answered yet.
 * @param {Editor} editor
 * @param {Layer} layer
 * @param {import("./stage.js").Frame | undefined} parent
 */
function designedCenter({ document, size }, layer, parent) {
  const sized = document.sizes.find((each) => each.name === size);
  const { x, y, width, height, anchor } = { ...layer, ...(sized && overrideOf(sized, layer.name)) };
  const from = anchorPoint({ left: 0, top: 0, width, height }, anchor);
  const corner = parent ? { x: parent.x - parent.width / 2, y: parent.y - parent.height / 2 } : { x: 0, y: 0 };
  return { x: corner.x + x - from.x + width / 2, y: corner.y + y - from.y + height / 2 };
}

/** @param {Editor} editor */
function viewCenter({ stage }) {
  const { left, top, width, height } = stage.container.getBoundingClientRect();
  const { x, y } = stage.toCanvas(/** @type {any} */ ({ clientX: left + width / 2, clientY: top + height / 2 }));
  return { x: Math.min(Math.max(x, 0), stage.width), y: Math.min(Math.max(y, 0), stage.height) };
}

/**
 * Let the mouse drag items of a panel onto the stage. With touch, where a panel scrolls, a tap adds them.
 * @param {Editor} editor
 * @param {HTMLElement} panel
 * @param {string} selector
 * @param {(item: HTMLElement) => DragHandlers | undefined} handlersOf
 */
export function installDragging(editor, panel, selector, handlersOf) {
  let isDragged = false;
  panel.addEventListener("dragstart", (event) => event.preventDefault());
  panel.addEventListener("pointerdown", (start) => {
    isDragged = false;
    const item = /** @type {HTMLElement} */ (start.target).closest(selector);
    if (start.button !== 0 || start.pointerType === "touch" || !(item instanceof HTMLElement)) return;
    const handlers = handlersOf(item);
    if (handlers) follow(editor, start, item, handlers, () => { isDragged = true; });
  });
  // The click that ends a drag on the item itself adds nothing.
  panel.addEventListener("click", (event) => {
    if (!isDragged || !event.detail) return;
    isDragged = false;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, { capture: true });
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} start
 * @param {HTMLElement} item
 * @param {DragHandlers} handlers
 * @param {() => void} begin
 */
function follow(editor, start, item, handlers, begin) {
  const { stage } = editor;
  const stop = new AbortController();
  const options = { signal: stop.signal, capture: true };
  /** @type {HTMLElement | undefined} */
  let ghost;
  const end = () => {
    stop.abort();
    ghost?.remove();
    handlers.clear();
  };
  addEventListener("pointermove", (event) => {
    if (!ghost && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) < MIN_DISTANCE) return;
    if (!ghost) begin();
    ghost ??= showGhost(editor, item);
    ghost.style.left = `${event.clientX}px`;
    ghost.style.top = `${event.clientY}px`;
    if (isOver(editor, event)) handlers.over(stage.toCanvas(event), event);
    else handlers.clear();
  }, options);
  addEventListener("pointerup", (event) => {
    if (ghost && isOver(editor, event)) handlers.drop(stage.toCanvas(event), event);
    end();
  }, options);
  addEventListener("pointercancel", end, options);
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopImmediatePropagation();
    end();
  }, options);
}

/**
 * @param {Editor} editor
 * @param {HTMLElement} item
 */
function showGhost(editor, item) {
  const ghost = document.createElement("div");
  ghost.className = "drag-ghost";
  ghost.setAttribute("aria-hidden", "true");
  ghost.append(/** @type {Node} */ ((item.querySelector("svg, img") ?? item).cloneNode(true)));
  editor.root.append(ghost);
  return ghost;
}

/**
 * @param {Editor} editor
 * @param {{clientX: number, clientY: number}} event
 */
function isOver(editor, { clientX, clientY }) {
  const { left, right, top, bottom } = editor.stage.container.getBoundingClientRect();
  return clientX >= left && clientX < right && clientY >= top && clientY < bottom;
}

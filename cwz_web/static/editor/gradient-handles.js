// The handles of a gradient on the stage: its angle, and stops that are added, dragged, removed and recolored.

import { _ } from "../i18n.js";
import { colorOf, entryOf } from "./brand.js";
import {
  MAX_STOPS, addStop, angleAt, gradientOf, handlesOf, moveStop, offsetAt, pointAt, recolor, removeStop, setGradient, stopsOf,
} from "./gradients.js";
import { findLayer } from "./model.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./gradients.js").Gradient} Gradient */
/** @typedef {import("./gradients.js").Handle} Handle */

const SNAP = 15;
const MIN_DISTANCE = 3;
const INSET = 20;

/** @param {Editor} editor */
export function installGradients(editor) {
  const { stage } = editor;
  const layerOf = () => (editor.selection.length === 1 ? findLayer(editor.document, editor.selection[0]) : undefined);
  const element = document.createElement("div");
  element.className = "gradient-handles";
  element.hidden = true;
  stage.container.append(element);
  /** Whether the handle was dragged since it was pressed. */
  let isMoving = false;
  const line = document.createElement("div");
  line.className = "gradient-line";
  line.title = _("Click to add a color");

  const found = () => gradientOf(layerOf() ?? {});
  const resolve = (/** @type {string} */ color) => colorOf(editor.document, color, editor.start.brand);
  /** @returns {Gradient} */
  const gradient = () => /** @type {any} */ (found()).value;

  /** Return the box of the layer, smaller by the room that the handles of its frame need. */
  function frame() {
    const entry = stage.find(editor.selection[0]);
    const box = entry && (found()?.isOfLetters ? inkOf(entry) : entry.frame);
    const inner = (/** @type {number} */ side) => Math.max(side - (2 * INSET) / stage.zoom, side / 2);
    return box && { ...box, width: inner(box.width), height: inner(box.height) };
  }

  /** @param {Gradient} changed */
  function change(changed) {
    const [name] = editor.selection;
    editor.edit(`gradient of ${name}`, (copy) => {
      const layer = findLayer(copy, name);
      if (layer) setGradient(layer, changed);
    });
  }

  /**
   * Return a point of the window, relative to the center of the box, before its rotation.
   * @param {{clientX: number, clientY: number}} event
   */
  function toBox(event) {
    const box = /** @type {import("./stage.js").Frame} */ (frame());
    const point = stage.toCanvas(event);
    const turn = (-box.rotation * Math.PI) / 180;
    const [dx, dy] = [point.x - box.x, point.y - box.y];
    return { x: dx * Math.cos(turn) - dy * Math.sin(turn), y: dx * Math.sin(turn) + dy * Math.cos(turn) };
  }

  function show() {
    const box = frame();
    const isShown = Boolean(box && found() && editor.isUnlocked(editor.selection[0]) && !stage.concealed);
    element.hidden = !isShown;
    if (!box || !isShown) return;
    const at = stage.toContainer(box);
    const now = gradient();
    element.style.left = `${at.x}px`;
    element.style.top = `${at.y}px`;
    element.style.transform = `rotate(${box.rotation}deg)`;
    showLine(now, box);
    const handles = handlesOf(now);
    while (element.children.length - 1 > handles.length) element.lastElementChild?.remove();
    if (!line.parentNode) element.append(line);
    for (const [position, handle] of handles.entries()) showHandle(handle, position, now, box);
  }

  /**
   * @param {Gradient} now
   * @param {import("./stage.js").Frame} box
   */
  function showLine(now, box) {
    line.hidden = now.type === "conic";
    const [from, to] = [pointAt(now, box, 0), pointAt(now, box, 1)];
    const length = Math.hypot(to.x - from.x, to.y - from.y) * stage.zoom;
    line.style.width = `${length}px`;
    line.style.transform = `translate(${from.x * stage.zoom}px, ${from.y * stage.zoom}px) rotate(${Math.atan2(to.y - from.y, to.x - from.x)}rad)`;
  }

  /**
   * @param {Handle} handle
   * @param {number} position
   * @param {Gradient} now
   * @param {import("./stage.js").Frame} box
   */
  function showHandle(handle, position, now, box) {
    let button = /** @type {HTMLButtonElement | undefined} */ (element.children[position + 1]);
    if (!button) {
      button = document.createElement("button");
      button.type = "button";
      element.append(button);
    }
    const point = pointAt(now, box, handle.offset);
    const isEnd = handle.index === stopsOf(now).length;
    const name = handle.index < 0 ? _("Start") : isEnd ? _("End") : _("Stop at %(place)s", { place: `${Math.round(handle.offset * 100)}%` });
    button.dataset.index = String(handle.index);
    button.classList.toggle("is-stop", handle.index >= 0 && !isEnd);
    button.style.left = `${point.x * stage.zoom}px`;
    button.style.top = `${point.y * stage.zoom}px`;
    button.style.setProperty("--color", resolve(handle.color));
    button.setAttribute("aria-label", _("%(name)s of the gradient, %(color)s", { name, color: entryOf(handle.color) || handle.color }));
    button.title = handle.index >= 0 && !isEnd
      ? _("%(name)s. Drag to move, click for the color, Delete removes it", { name })
      : _("%(name)s. Drag to move, click for the color", { name });
  }

  /** @param {number} index */
  function pick(index) {
    const button = /** @type {HTMLElement} */ (element.querySelector(`[data-index="${index}"]`));
    const { color } = /** @type {Handle} */ (handlesOf(gradient()).find((each) => each.index === index));
    editor.pickColor?.({ anchor: button, value: color, label: _("Gradient color"), choose: (chosen) => change(recolor(gradient(), index, chosen)) });
  }

  /**
   * @param {PointerEvent} start
   * @param {number} index
   */
  function drag(start, index) {
    const stop = new AbortController();
    const { signal } = stop;
    isMoving = false;
    addEventListener("pointermove", (event) => {
      if (!isMoving && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) < MIN_DISTANCE) return;
      isMoving = true;
      const box = frame();
      if (box) change(moved(gradient(), index, toBox(event), box, event.shiftKey ? SNAP : 1));
    }, { signal });
    for (const type of ["pointerup", "pointercancel"]) addEventListener(type, () => stop.abort(), { signal });
  }

  element.addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    const box = frame();
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.button !== 0 || !box) return;
    if (target !== line) return drag(event, Number(target.dataset.index));
    const offset = offsetAt(gradient(), box, toBox(event));
    const added = addStop(gradient(), offset, resolve);
    if (added === gradient()) return editor.toast(_("A gradient can have at most %(limit)s stops", { limit: MAX_STOPS }));
    change(added);
    drag(event, stopsOf(added).findIndex((each) => each.offset === offset));
  });
  element.addEventListener("keydown", (event) => {
    const index = Number(/** @type {HTMLElement} */ (event.target).dataset.index);
    const changedGradient = pressed(event, gradient(), index, resolve);
    if (event.key === "Enter" || event.key === " ") event.stopPropagation();  // a click
    if (!changedGradient) return;
    change(changedGradient);
    event.preventDefault();
    event.stopPropagation();
    const now = gradient();
    const kept = Math.min(index, stopsOf(now).length);
    const focused = /** @type {HTMLElement | null} */ (element.querySelector(`[data-index="${kept}"]`));
    focused?.focus();
    editor.announce(_("%(name)s, angle %(angle)s", { name: focused?.getAttribute("aria-label") ?? "", angle: now.angle }));
  });
  // A popover that is opened before the click is closed by it.
  element.addEventListener("click", (event) => {
    const { index } = /** @type {HTMLElement} */ (event.target).dataset;
    if (index !== undefined && !isMoving) pick(Number(index));
  });
  element.addEventListener("dblclick", (event) => event.stopPropagation());
  editor.addEventListener("select", show);
  editor.addEventListener("dragging", () => { element.hidden = true; });
  editor.session.addEventListener("document", show);
  for (const type of ["camera", "shown"]) stage.addEventListener(type, show);
  stage.addEventListener("transform", () => { element.hidden = true; });
}

/**
 * Return the box of the letters of a text, over which their gradient extends: its tile is as large.
 * @param {import("./stage.js").Entry} entry
 * @returns {import("./stage.js").Frame}
 */
function inkOf({ frame, layer: { tile, center } }) {
  if (!tile || frame.rotation) return frame;
  const { x, y, width, height } = tile;
  return { x: x + width / 2 + frame.x - center[0], y: y + height / 2 + frame.y - center[1], width, height, rotation: 0 };
}

/**
 * Return a gradient after one of its handles was dragged to a point.
 * @param {Gradient} gradient
 * @param {number} index
 * @param {import("./gradients.js").Point} point
 * @param {import("./gradients.js").Box} box
 * @param {number} step
 */
function moved(gradient, index, point, box, step) {
  const count = stopsOf(gradient).length;
  if (index >= 0 && index < count) return moveStop(gradient, index, offsetAt(gradient, box, point));
  return gradient.type === "radial" ? gradient : { ...gradient, angle: angleAt(gradient, box, point, index < 0, step) };
}

/**
 * Return a gradient after a key at one of its handles; undefined if the key does nothing.
 * @param {KeyboardEvent} event
 * @param {Gradient} gradient
 * @param {number} index
 * @param {(color: string) => string} resolve
 * @returns {Gradient | undefined}
 */
function pressed(event, gradient, index, resolve) {
  const stops = stopsOf(gradient);
  const isStop = index >= 0 && index < stops.length;
  const by = /** @type {{[key: string]: number}} */ ({ ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 })[event.key];
  if (by && isStop) return moveStop(gradient, index, stops[index].offset + by * (event.shiftKey ? 0.1 : 0.01));
  if (by) return { ...gradient, angle: (gradient.angle + by * (event.shiftKey ? SNAP : 1) + 360) % 360 };
  if (event.key === "Delete" || event.key === "Backspace") return isStop ? removeStop(gradient, index) : gradient;
  if (event.key !== "+" && event.key !== "Insert") return undefined;
  const handles = handlesOf(gradient);
  const at = Math.min(handles.findIndex((each) => each.index === index), handles.length - 2);
  return addStop(gradient, (handles[at].offset + handles[at + 1].offset) / 2, resolve);
}

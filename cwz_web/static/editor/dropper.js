// Dragging layers into and out of stacks and groups on the stage, with a mark where a stack takes them.

import { _ } from "../i18n.js";
import { shownOf } from "./arrange.js";
import { moveLayers } from "./grouping.js";
import { insertionAt } from "./insertion.js";
import * as Konva from "./konva.js";
import { containerOf, findLayer, insertLayers, locate, outermost } from "./model.js";
import { boundsOf, placesIn, withMasks } from "./sizes.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./model.js").Layer} Layer */
/** @typedef {import("./stage.js").Point} Point */
/** @typedef {{to: string, before: string, mark?: [Point, Point]}} Target `before` is empty for the end */

// A group of this part of the canvas is a background, which takes layers only from within.
const BACKGROUND_PART = 0.9;

/** @param {Editor} editor */
export function installDropper(editor) {
  const { stage } = editor;
  const line = new Konva.Line({ strokeWidth: 3, strokeScaleEnabled: false, lineCap: "round", listening: false, visible: false });
  const box = new Konva.Rect({ strokeWidth: 2, strokeScaleEnabled: false, dash: [6, 4], listening: false, visible: false });
  stage.overlay.add(box, line);
  /** @type {Target | undefined} */
  let target;

  function clear() {
    target = undefined;
    box.visible(false);
    line.visible(false);
    stage.overlay.batchDraw();
  }

  /** @param {Target} found */
  function show({ to, mark }) {
    const frame = to ? stage.find(to)?.frame : undefined;
    box.visible(Boolean(frame));
    if (frame) {
      const { x, y, width, height, rotation } = frame;
      box.setAttrs({ x, y, width, height, rotation, offsetX: width / 2, offsetY: height / 2, stroke: stage.accent });
    }
    line.visible(Boolean(mark));
    if (mark) line.points(mark.flatMap(({ x, y }) => [x, y]));
    if (stage.accent) line.stroke(stage.accent);
    stage.highlight("");
    stage.overlay.batchDraw();
  }

  editor.dropper = {
    over: (selection, point, event) => {
      const names = draggedNames(editor, selection);
      target = names.length ? findTarget(editor, names, point, event) : undefined;
      if (target) show(target);
      else clear();
      return target !== undefined;
    },
    drop: (selection, delta, event) => {
      const found = target;
      clear();
      if (!found) return false;
      drop(editor, draggedNames(editor, selection), found, delta, event.altKey);
      return true;
    },
    offer: (point) => {
      target = targetAt(editor, containerAt(editor, [], point), [], point);
      show(target);
      return target;
    },
    clear,
  };
  installKeys(editor);
}

/**
 * @param {Editor} editor
 * @param {string[]} selection
 */
function draggedNames(editor, selection) {
  return outermost(editor.document, selection).filter((name) => editor.isUnlocked(name));
}

/**
 * Return the container that takes dragged layers; undefined if they only move in the one that they have.
 * @param {Editor} editor
 * @param {string[]} names
 * @param {Point} point
 * @param {PointerEvent} event
 * @returns {Target | undefined}
 */
function findTarget(editor, names, point, event) {
  const { document } = editor;
  const parents = new Set(names.map((name) => containerOf(document, name)?.name ?? ""));
  const isInStack = names.some((name) => containerOf(document, name)?.type === "stack");
  if (event.ctrlKey || event.metaKey) return isInStack ? { to: outsideStacks(editor, names[0]), before: "" } : undefined;
  const to = containerAt(editor, names, point);
  const isStack = findLayer(document, to)?.type === "stack";
  if (!isStack && !isInStack && parents.has(to)) return undefined;
  return targetAt(editor, to, event.altKey ? [] : names, point);
}

/**
 * Return where a container takes layers at a point.
 * @param {Editor} editor
 * @param {string} to
 * @param {string[]} leaving layers that will not be where they are
 * @param {Point} point
 * @returns {Target}
 */
function targetAt(editor, to, leaving, point) {
  const container = to ? findLayer(editor.document, to) : undefined;
  return container?.type === "stack" ? { to, ...insertionIn(editor, container, leaving, point) } : { to, before: "" };
}

/**
 * Return the innermost container around a layer that is no stack.
 * @param {Editor} editor
 * @param {string} name
 */
function outsideStacks(editor, name) {
  const containers = locate(editor.document, name)?.containers ?? [];
  return [...containers].reverse().find((each) => each.type !== "stack")?.name ?? "";
}

/**
 * Return the container of what is at a point, below the dragged layers.
 * @param {Editor} editor
 * @param {string[]} names
 * @param {Point} point
 */
function containerAt(editor, names, point) {
  const { document, stage } = editor;
  const dragged = new Set(names);
  for (const { name } of stage.layersAt(point)) {
    const entry = stage.find(name);
    const spot = locate(document, name);
    if (!entry || !spot || stage.isWithin(entry, dragged)) continue;
    const around = spot.layer.layers ? [...spot.containers, spot.layer] : spot.containers;
    if (!around.length) return "";
    const taking = around.filter((each) => takes(editor, each, names)).at(-1);
    if (taking) return taking.name;
  }
  return "";
}

/**
 * Return whether a container takes layers.
 * @param {Editor} editor
 * @param {Layer} container
 * @param {string[]} names
 */
function takes(editor, container, names) {
  const { document, stage } = editor;
  const frame = stage.find(container.name)?.frame;
  if (!frame || !editor.isUnlocked(container.name)) return false;
  if (names.length && names.every((name) => containerOf(document, name)?.name === container.name)) return true;
  // A layer with a mask needs it beside it, at a position of its own.
  if (container.type === "stack") return withMasks(document, names).length === names.length && !names.some((name) => findLayer(document, name)?.mask?.layer);
  const bounds = boundsOf(names.flatMap((name) => stage.find(name)?.frame ?? []));
  const isLarger = frame.width * frame.height > bounds.width * bounds.height;
  return isLarger && (frame.width * frame.height < BACKGROUND_PART * stage.width * stage.height || editor.scope === container.name);
}

/**
 * @param {Editor} editor
 * @param {Layer} stack
 * @param {string[]} leaving layers that will not be where they are
 * @param {Point} point
 */
function insertionIn(editor, stack, leaving, point) {
  const layers = (stack.layers ?? []).flatMap(({ name }) => {
    const frame = leaving.includes(name) ? undefined : editor.stage.find(name)?.frame;
    return frame ? [{ name, frame }] : [];
  });
  const frame = /** @type {import("./stage.js").Frame} */ (editor.stage.find(stack.name)?.frame);
  return insertionAt(/** @type {any} */ (inSize(editor, stack)), frame, layers, point);
}

/**
 * Return a stack with its values in the shown size.
 * @param {Editor} editor
 * @param {Layer} stack
 */
function inSize(editor, stack) {
  const overrides = editor.document.sizes.find((each) => each.name === editor.size)?.overrides ?? {};
  const own = Object.hasOwn(overrides, stack.name) ? overrides[stack.name] : {};
  return { ...stack, ...Object.fromEntries(Object.entries(own).filter(([, value]) => value != null)) };
}

/**
 * @param {Editor} editor
 * @param {string[]} names
 * @param {Target} target
 * @param {Point} delta
 * @param {boolean} isCopy
 */
function drop(editor, names, { to, before }, delta, isCopy) {
  const shown = shownOf(editor);
  let moved = names;
  if (!isCopy) editor.stage.commitMove(names, delta);
  editor.edit(`${isCopy ? "duplicate" : "move"} ${names.join(", ")}`, (copy) => {
    if (isCopy) {
      moved = names.flatMap((name) => copyBeside(copy, name));
      moved.forEach((name, at) => { shown.frames[name] = shown.frames[names[at]]; });
    }
    const siblings = (to ? findLayer(copy, to)?.layers : copy.layers) ?? [];
    const others = siblings.filter((each) => !moved.includes(each.name));
    moveLayers(copy, moved, to, indexIn(copy, others, names[0], before), shown, delta);
  }, { moves: !isCopy });
  for (const name of moved) rememberPlace(editor, name);
  editor.select(moved);
  const [shownNames, container] = [names.join(", "), to || _("the canvas")];
  editor.announce(isCopy
    ? _("Duplicated %(names)s into %(container)s", { names: shownNames, container })
    : _("Moved %(names)s into %(container)s", { names: shownNames, container }));
}

/**
 * @param {import("./model.js").TemplateDocument} copy
 * @param {string} name
 */
function copyBeside(copy, name) {
  const spot = locate(copy, name);
  return spot ? insertLayers(copy, [spot.layer], { siblings: spot.siblings, index: spot.index + 1 }) : [];
}

/**
 * Return the index among layers: before one of them, above the container that was left, or at the end.
 * @param {import("./model.js").TemplateDocument} copy
 * @param {Layer[]} layers
 * @param {string} name
 * @param {string} before
 */
function indexIn(copy, layers, name, before) {
  const at = layers.findIndex((each) => each.name === before);
  if (at >= 0) return at;
  const around = locate(copy, name)?.containers.map((each) => each.name) ?? [];
  const left = before ? -1 : layers.findIndex((each) => around.includes(each.name));
  return left < 0 ? layers.length : left + 1;
}

/**
 * Keep where a layer is in its new container until the server answers, so that the next move counts from there.
 * @param {Editor} editor
 * @param {string} name
 */
function rememberPlace(editor, name) {
  const entry = editor.stage.find(name);
  const place = placesIn(editor.document, editor.size).get(name);
  if (!entry || !place) return;
  const { x, y, width, height, rotation, anchor, left, top } = place;
  const parent = containerOf(editor.document, name)?.name ?? "";
  entry.layer = { ...entry.layer, parent, center: [entry.frame.x, entry.frame.y], own: { x, y, width, height, rotation, anchor, left, top } };
}

/**
 * Let the arrow keys move layers of a stack along it.
 * @param {Editor} editor
 */
function installKeys(editor) {
  for (const key of ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]) {
    const nudge = editor.commands.get(`nudge-${key}`);
    editor.commands.add({ ...nudge, run: (event) => (isOneOfStack(editor) ? step(editor, key) : nudge.run(event)) });
  }
}

/** @param {Editor} editor */
function isOneOfStack(editor) {
  return editor.selection.length === 1 && containerOf(editor.document, editor.selection[0])?.type === "stack";
}

/**
 * @param {Editor} editor
 * @param {string} key
 */
function step(editor, key) {
  const [name] = editor.selection;
  const stack = /** @type {Layer} */ (containerOf(editor.document, name));
  const isRow = /** @type {any} */ (inSize(editor, stack)).direction === "row";
  if (isRow !== (key === "ArrowLeft" || key === "ArrowRight") || !editor.isUnlocked(name)) return;
  const by = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
  const names = (stack.layers ?? []).map((each) => each.name);
  const at = names.indexOf(name);
  const to = Math.min(Math.max(at + by, 0), names.length - 1);
  editor.edit(`order ${name}`, (copy) => {
    const siblings = findLayer(copy, stack.name)?.layers ?? [];
    siblings.splice(to, 0, ...siblings.splice(at, 1));
  });
  editor.announce(_("%(name)s is %(place)s of %(count)s", { name, place: to + 1, count: names.length }));
}

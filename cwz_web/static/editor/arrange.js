// Commands that arrange layers: group, stack, align, distribute, tidy up.

import { _ } from "../i18n.js";
import { align, distribute, edgesOf, tidy } from "./alignment.js";
import { groupLayers, ungroupLayers } from "./grouping.js";
import { containerOf, findLayer, outermost, setValues } from "./model.js";
import { moveOnCanvas } from "./pointer.js";
import { stackLayers } from "./stacking.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./alignment.js").Edge} Edge */
/** @typedef {import("./alignment.js").Deltas} Deltas */
/** @typedef {import("./grouping.js").Shown} Shown */

/** @type {[Edge, string, string, string][]} the edge, the name of the step, the label and the keys */
const EDGES = [
  ["left", "align left", _("Align left"), "Alt+A"],
  ["center", "align horizontal centers", _("Align horizontal centers"), "Alt+H"],
  ["right", "align right", _("Align right"), "Alt+D"],
  ["top", "align top", _("Align top"), "Alt+W"],
  ["middle", "align vertical centers", _("Align vertical centers"), "Alt+V"],
  ["bottom", "align bottom", _("Align bottom"), "Alt+S"],
];

/** @param {Editor} editor */
export function installArrange(editor) {
  const { commands, root } = editor;
  const toolbar = /** @type {HTMLElement} */ (root.querySelector("#arrange"));
  const several = /** @type {HTMLElement} */ (toolbar.querySelector("[data-several]"));
  const hasUnlocked = () => unlockedNames(editor).length > 0;
  const hasMovable = (/** @type {number} */ count) => () => Object.keys(movableFrames(editor)).length >= count;

  /**
   * @param {string[]} names
   * @param {string} container
   * @param {string} done
   */
  function finish(names, container, done) {
    editor.select([container]);
    editor.announce(`${done}: ${names.join(", ")}`);
  }

  function group() {
    const [names, shown] = [unlockedNames(editor), shownOf(editor)];
    let name = "";
    editor.edit(`group ${names.join(", ")}`, (copy) => { name = groupLayers(copy, names, shown); });
    finish(names, name, _("Grouped"));
  }

  function ungroup() {
    const names = containerNames();
    const repeated = names.find((name) => findLayer(editor.document, name)?.repeat);
    if (repeated) return editor.toast(_("%(name)s repeats its layers for each entry of a list. Choose no list for it first.", { name: repeated }));
    const shown = shownOf(editor);
    /** @type {string[]} */
    let layers = [];
    editor.edit(`ungroup ${names.join(", ")}`, (copy) => { layers = names.flatMap((name) => ungroupLayers(copy, name, shown)); });
    editor.select(layers);
    editor.announce(_("Ungrouped %(names)s", { names: names.join(", ") }));
  }

  function containerNames() {
    return unlockedNames(editor).filter((name) => findLayer(editor.document, name)?.layers);
  }

  function stack() {
    const [names, shown] = [unlockedNames(editor), shownOf(editor)];
    let made = { name: "", isEven: true };
    editor.edit(`stack ${names.join(", ")}`, (copy) => { made = stackLayers(copy, names, shown); });
    finish(names, made.name, _("Stacked"));
    if (!made.isEven) editor.toast(_("The layers had different gaps. A stack has one: the usual one. Stack layers that belong together first to keep different gaps."));
  }

  commands.add(
    { id: "group", label: _("Group"), group: "Arrange", keys: ["Mod+G"], run: group, isEnabled: hasUnlocked },
    { id: "ungroup", label: _("Ungroup"), group: "Arrange", keys: ["Mod+Shift+G"], run: ungroup, isEnabled: () => containerNames().length > 0 },
    { id: "stack", label: _("Stack"), group: "Arrange", keys: ["Shift+A"], run: stack, isEnabled: hasUnlocked },
  );
  for (const [edge, step, label, keys] of EDGES) {
    commands.add({ id: `align-${edge}`, label, group: "Align", keys: [keys], run: () => alignTo(editor, edge, step, label), isEnabled: hasMovable(1) });
  }
  commands.add(
    { id: "distribute-x", label: _("Distribute horizontally"), group: "Align", keys: ["Alt+Shift+H"], run: () => moveEach(editor, "distributed", _("Distributed"), distribute(movableFrames(editor), "x")), isEnabled: hasMovable(3) },
    { id: "distribute-y", label: _("Distribute vertically"), group: "Align", keys: ["Alt+Shift+V"], run: () => moveEach(editor, "distributed", _("Distributed"), distribute(movableFrames(editor), "y")), isEnabled: hasMovable(3) },
    { id: "tidy", label: _("Tidy up"), group: "Align", keys: ["Alt+Shift+T"], run: () => moveEach(editor, "tidied up", _("Tidied up"), tidy(movableFrames(editor))), isEnabled: hasMovable(2) },
  );
  editor.addEventListener("select", () => {
    toolbar.hidden = editor.selection.length === 0;
    several.hidden = editor.selection.length < 2;
  });
}

/** @param {Editor} editor */
function unlockedNames(editor) {
  return outermost(editor.document, editor.selection).filter((name) => editor.isUnlocked(name));
}

/**
 * Return the frames of the selected layers that can be moved.
 * @param {Editor} editor
 */
function movableFrames(editor) {
  return Object.fromEntries(outermost(editor.document, editor.selection).flatMap((name) => {
    const entry = editor.stage.find(name);
    return entry && editor.isMovable(name) ? [[name, entry.frame]] : [];
  }));
}

/**
 * Return what the stage shows.
 * @param {Editor} editor
 * @returns {Shown}
 */
export function shownOf(editor) {
  const entries = [...editor.stage.entries.values()].filter((each) => !each.layer.instance);
  const inks = entries.flatMap(({ layer: { name, tile }, matrix }) => {
    const [, , , , x, y] = matrix.getMatrix();
    return tile ? [[name, { left: tile.x + x, top: tile.y + y, width: tile.width, height: tile.height }]] : [];
  });
  return { size: editor.size, frames: Object.fromEntries(entries.map((each) => [each.layer.name, each.frame])), inks: Object.fromEntries(inks) };
}

/**
 * Align the selected layers to their edges, or one layer to its container.
 * @param {Editor} editor
 * @param {Edge} edge
 * @param {string} step
 * @param {string} label
 */
function alignTo(editor, edge, step, label) {
  const frames = movableFrames(editor);
  const names = Object.keys(frames);
  const parent = names.length === 1 ? containerOf(editor.document, names[0]) : undefined;
  const outer = parent && editor.stage.find(parent.name)?.frame;
  const { width, height } = editor.stage;
  const canvas = { left: 0, top: 0, right: width, bottom: height };
  const box = names.length > 1 ? edgesOf(Object.values(frames)) : outer ? edgesOf([outer]) : canvas;
  moveEach(editor, step, label, align(frames, edge, box));
}

/**
 * Move layers by a distance of their own each.
 * @param {Editor} editor
 * @param {string} step
 * @param {string} done
 * @param {Deltas} deltas
 */
function moveEach(editor, step, done, deltas) {
  const moves = Object.entries(deltas).flatMap(([name, { x, y }]) => {
    const delta = { x: Math.round(x), y: Math.round(y) };
    return moveOnCanvas(editor, [name], delta).map(({ values }) => ({ name, delta, values }));
  });
  for (const { name, delta, values } of moves) {
    editor.stage.commitMove([name], delta);
    editor.remember(name, values);
  }
  const names = moves.map((each) => each.name).join(", ");
  editor.edit(`${step} ${names}`, (copy) => {
    for (const { name, values } of moves) setValues(copy, name, values, editor.size);
  }, { moves: true });
  editor.announce(`${done}: ${names}`);
}

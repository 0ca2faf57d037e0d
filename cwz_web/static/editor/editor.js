// The editor: connects the draft, the stage and the panels. scripts/bundle.mjs makes one script of all modules.

import { _ } from "../i18n.js";
import "./trusted-types.js";
import { installArrange } from "./arrange.js";
import { installBrandPanel } from "./brand-panel.js";
import { installColors } from "./color-picker.js";
import { installClipboard } from "./clipboard.js";
import { installComments } from "./comments.js";
import { Commands } from "./commands.js";
import { installDataPanel } from "./data-panel.js";
import { installDropper } from "./dropper.js";
import { installCrop } from "./crop.js";
import { addEditorCommands } from "./editor-commands.js";
import { installElements } from "./elements-panel.js";
import { installFields } from "./fields-panel.js";
import { installFonts } from "./font-picker.js";
import { Fonts } from "./fonts.js";
import { installGradients } from "./gradient-handles.js";
import { installLayerPanel } from "./layer-panel.js";
import {
  DEFAULT_SIZE, changed, containerOf, findLayer, locate, insertLayers, outermost, removeLayers, setValues,
} from "./model.js";
import { installMenus } from "./menus.js";
import { valuesInParent, valuesOfFrame } from "./placing.js";
import { installPointer, moveOnCanvas } from "./pointer.js";
import { installProperties } from "./properties.js";
import { Session } from "./session.js";
import { installSnapping } from "./snapping.js";
import { Stage } from "./stage.js";
import { installTabs } from "./tabs.js";
import { installText } from "./text-editing.js";
import { Tiles } from "./tiles.js";
import { installTopBar } from "./top-bar.js";
import { installUploads } from "./uploads-panel.js";

/** @typedef {import("./model.js").TemplateDocument} TemplateDocument */
/** @typedef {import("./stage.js").Point} Point */
/**
 * Aligns what is dragged with other layers, and shows guides.
 * @typedef {{snapMove: (names: string[], delta: Point, event: PointerEvent) => Point,
 *   snapNew: (box: import("./model.js").Box, event: MouseEvent) => Point, clear: () => void}} Snapper
 */
/**
 * Puts what is dragged into a stack or a group.
 * @typedef {{over: (names: string[], point: Point, event: PointerEvent) => boolean,
 *   drop: (names: string[], delta: Point, event: PointerEvent) => boolean, clear: () => void,
 *   offer: (point: Point) => {to: string, before: string}}} Dropper `offer` returns where a new layer goes
 */

const TOAST_MS = 6000;

/**
 * Events: "select" (the selection has changed), "dragging" (detail: names and delta), "comments" (their numbers have
 * changed), "comment" (the user comments; detail: the name of the layer).
 */
export class Editor extends EventTarget {
  /** @param {HTMLElement} root */
  constructor(root) {
    super();
    this.root = root;
    const start = JSON.parse(/** @type {HTMLElement} */ (document.getElementById("editor-start")).textContent ?? "");
    this.start = start;
    this.tiles = new Tiles();
    this.session = new Session(start, this.tiles);
    this.stage = new Stage(/** @type {HTMLDivElement} */ (root.querySelector("#stage")), this.tiles);
    this.commands = new Commands();
    /** @type {string[]} */
    this.selection = [];
    /** The container whose layers are selected by a click; empty for the canvas. */
    this.scope = "";
    /** @type {Snapper | undefined} */
    this.snapper = undefined;
    /** @type {Dropper | undefined} */
    this.dropper = undefined;
    /** @type {(() => void) | undefined} */
    this.cancelDrag = undefined;
    /** Opens the color picker. */
    /** @type {((request: import("./color-picker.js").ColorRequest) => void) | undefined} */
    this.pickColor = undefined;
    /** Whether Ctrl (or Command) is held, which holds snapping off. */
    this.isModifierDown = false;
    for (const type of /** @type {const} */ (["keydown", "keyup"])) {
      addEventListener(type, (event) => { this.isModifierDown = event.ctrlKey || event.metaKey; }, { capture: true });
    }
    /** Opens the font picker. */
    /** @type {((request: import("./font-picker.js").FontRequest) => void) | undefined} */
    this.pickFont = undefined;
    /** Uploads an image and adds it as a layer. */
    /** @type {((file: File, point?: Point) => Promise<void>) | undefined} */
    this.addImageFile = undefined;
    this.fonts = new Fonts(start.fonts);
    /** How many open comments layers have. */
    /** @type {Map<string, number>} */
    this.openComments = new Map(Object.entries(start.openComments));
    /** What the columns of the chosen feed offer. */
    /** @type {import("./fields.js").Field[]} */
    this.columns = [];
    this.status = /** @type {HTMLElement} */ (root.querySelector("#announcements"));
    this.session.addEventListener("state", (event) => {
      this.stage.show(/** @type {CustomEvent} */ (event).detail);
      this.updateSelection();
    });
    this.session.addEventListener("document", () => this.keepSelection());
    this.session.addEventListener("invalid", (event) => this.toast(/** @type {CustomEvent} */ (event).detail));
    this.session.addEventListener("conflict", (event) => this.explainConflict(/** @type {CustomEvent} */ (event).detail));
    this.session.addEventListener("replaced", () => {
      this.toast(_("Another window had changed this condition. Your change has replaced it."), "undo");
    });
    this.stage.addEventListener("missing", () => this.session.refresh());
    this.stage.addEventListener("transformed", (event) => this.resize(/** @type {CustomEvent} */ (event).detail));
    addEventListener("keydown", (event) => this.commands.handleKey(event));
    addEditorCommands(this);
  }

  get size() {
    return this.session.view.size;
  }

  get document() {
    return this.session.document;
  }

  // Selection

  /** @param {string[]} names */
  select(names) {
    this.selection = names.filter((name) => locate(this.document, name));
    if (this.selection.length) this.scope = containerOf(this.document, this.selection[0])?.name ?? "";
    this.updateSelection();
    this.emit("select");
  }

  updateSelection() {
    const isEach = (/** @type {(name: string) => boolean} */ test) => this.selection.length > 0 && this.selection.every(test);
    this.stage.select(this.selection, {
      isMovable: isEach((name) => this.isMovable(name)),
      isResizable: isEach((name) => this.isUnlocked(name)),
      isRotatable: isEach((name) => this.isUnlocked(name)),
    });
  }

  /** Drop what no longer exists from the selection. */
  keepSelection() {
    const kept = this.selection.filter((name) => locate(this.document, name));
    if (this.scope && !locate(this.document, this.scope)) this.scope = "";
    if (kept.length === this.selection.length) return;
    this.selection = kept;
    this.updateSelection();
    this.emit("select");
  }

  /** @param {string} name */
  isUnlocked(name) {
    const spot = locate(this.document, name);
    return Boolean(spot && !spot.layer.locked && !spot.containers.some((each) => each.locked));
  }

  /**
   * Return whether a layer has a position of its own.
   * @param {string} name
   */
  isMovable(name) {
    return this.isUnlocked(name) && containerOf(this.document, name)?.type !== "stack";
  }

  /** Return the layers that a click or a marquee can select now. */
  selectableNames() {
    const siblings = this.scope ? findLayer(this.document, this.scope)?.layers ?? [] : this.document.layers;
    return siblings.map((each) => each.name).filter((name) => this.isUnlocked(name));
  }

  /**
   * Return the layer that a click at a point selects: in the entered container, or its container on the canvas.
   * @param {Point} point
   * @param {boolean} isDeep whether to select the innermost layer
   */
  targetAt(point, isDeep = false) {
    const names = this.stage.layersAt(point).map((each) => each.name).filter((name) => this.isUnlocked(name));
    if (isDeep) return names[0] ?? "";
    const scopes = this.scope ? [...(locate(this.document, this.scope)?.containers.map((each) => each.name) ?? []), this.scope] : [];
    for (const scope of [...scopes.reverse(), ""]) {
      for (const name of names) {
        const containers = locate(this.document, name)?.containers ?? [];
        const path = [...containers.map((each) => each.name), name];
        const at = scope ? path.indexOf(scope) : -1;
        if (scope && at < 0) continue;
        if (path[at + 1]) return path[at + 1];
      }
    }
    return "";
  }

  /**
   * Enter the container at a point, or edit the layer there.
   * @param {Point} point
   */
  enterAt(point) {
    const name = this.targetAt(point);
    const layer = name && findLayer(this.document, name);
    if (!layer) return;
    if (!layer.layers) return this.emit("edit", name);
    this.scope = name;
    const inner = this.targetAt(point);
    if (inner && inner !== name) this.select([inner]);
  }

  /** Clear the selection and leave the entered container. */
  leave() {
    this.scope = "";
    this.select([]);
  }

  // Changes

  /**
   * Change the document.
   * @param {string} name names the change, for undo
   * @param {(copy: TemplateDocument) => void} change
   * @param {{moves?: boolean}} [options]
   */
  edit(name, change, options) {
    this.session.edit(name, changed(this.document, change), options);
  }

  /**
   * @param {string[]} names
   * @param {Point} delta on the canvas
   */
  move(names, delta) {
    if (!names.length || (!delta.x && !delta.y)) return this.stage.cancelPreview();
    const moves = moveOnCanvas(this, names, delta);
    this.stage.commitMove(names, delta);
    for (const { name, values } of moves) this.remember(name, values);
    this.edit(`move ${names.join(", ")}`, (copy) => {
      for (const { name, values } of moves) setValues(copy, name, values, this.size);
    }, { moves: true });
    this.announce(_("Moved %(names)s by %(x)s, %(y)s", { names: names.join(", "), x: delta.x, y: delta.y }));
  }

  /** @param {{[name: string]: import("./stage.js").Frame}} frames */
  resize(frames) {
    const names = Object.keys(frames);
    this.edit(`resize ${names.join(", ")}`, (copy) => {
      for (const [name, frame] of Object.entries(frames)) {
        const shown = this.stage.find(name)?.layer;
        const layer = findLayer(copy, name);
        if (!shown || !layer) continue;
        setValues(copy, name, this.valuesOfResize(copy, name, shown, frame), this.size);
      }
    }, { moves: true });
  }

  /**
   * @param {TemplateDocument} copy
   * @param {string} name
   * @param {import("./session.js").ShownLayer} shown
   * @param {import("./stage.js").Frame} frame
   */
  valuesOfResize(copy, name, shown, frame) {
    const values = /** @type {{[key: string]: any}} */ (valuesOfFrame(shown, frame));
    const layer = /** @type {import("./model.js").Layer} */ (findLayer(copy, name));
    const sides = /** @type {const} */ (["width", "height"]).filter((side) => Math.abs(values[side] - shown[side]) >= 1);
    for (const side of /** @type {const} */ (["width", "height"])) if (!sides.includes(side)) delete values[side];
    // A side that was pulled has this length, whatever the content.
    const flexible = sides.filter((side) => layer.sizing && (layer.sizing[side] ?? "fixed") !== "fixed");
    if (flexible.length) values.sizing = { ...layer.sizing, ...Object.fromEntries(flexible.map((side) => [side, "fixed"])) };
    if (containerOf(copy, name)?.type === "stack") {
      delete values.x;
      delete values.y;
    }
    if (values.rotation === shown.own.rotation) delete values.rotation;
    return values;
  }

  /**
   * Keep where a layer is until the server answers.
   * @param {string} name
   * @param {{x: number, y: number}} values
   */
  remember(name, values) {
    const entry = this.stage.find(name);
    if (!entry) return;
    const { own } = entry.layer;
    const moved = { x: values.x - own.x, y: values.y - own.y };
    entry.layer = {
      ...entry.layer,
      center: [entry.frame.x, entry.frame.y],
      own: { ...own, ...values, left: own.left + moved.x, top: own.top + moved.y },
    };
  }

  /**
   * Change the values of a layer that gets another container, so that it stays where it is on the canvas.
   * @param {import("./model.js").Layer} layer a layer of a copy of the document
   * @param {import("./model.js").Layer | undefined} from its container until now; undefined for the canvas
   * @param {import("./model.js").Layer | undefined} to its new container
   */
  placeInParent(layer, from, to) {
    if (from?.name === to?.name || to?.type === "stack") return;
    const shown = this.stage.find(layer.name);
    if (!shown) return;
    const { frame } = shown;
    const sides = /** @type {const} */ (["width", "height"]);
    const flexible = sides.filter((side) => (layer.sizing?.[side] ?? "fixed") === "fill");
    if (flexible.length) layer.sizing = { ...layer.sizing, ...Object.fromEntries(flexible.map((side) => [side, "fixed"])) };
    layer.width = Math.round(frame.width);
    layer.height = Math.round(frame.height);
    Object.assign(layer, valuesInParent(frame, to && this.stage.find(to.name)?.frame, layer.anchor));
  }

  remove() {
    const names = outermost(this.document, this.selection).filter((name) => this.isUnlocked(name));
    if (!names.length) return;
    this.edit(`remove ${names.join(", ")}`, (copy) => removeLayers(copy, names));
    this.announce(_("Removed %(names)s", { names: names.join(", ") }));
  }

  /** @param {Point} [delta] */
  duplicate(delta = { x: 24, y: 24 }) {
    const names = outermost(this.document, this.selection);
    /** @type {string[]} */
    const copies = [];
    this.edit(`duplicate ${names.join(", ")}`, (copy) => {
      for (const name of names) {
        const spot = locate(copy, name);
        const shown = this.stage.find(name)?.layer;
        if (!spot) continue;
        const [added] = insertLayers(copy, [spot.layer], { siblings: spot.siblings, index: spot.index + 1 });
        copies.push(added);
        if (shown && spot.containers.at(-1)?.type !== "stack") {
          const [{ values }] = moveOnCanvas(this, [name], delta);
          setValues(copy, added, values, this.size);
        }
      }
    });
    this.select(copies);
    this.announce(_("Duplicated %(names)s", { names: names.join(", ") }));
  }

  /**
   * Move the selected layers up or down in their order.
   * @param {"forward" | "backward" | "front" | "back"} where
   */
  reorder(where) {
    const names = outermost(this.document, this.selection);
    const isUp = where === "forward" || where === "front";
    this.edit(`order ${names.join(", ")}`, (copy) => {
      for (const name of isUp ? [...names].reverse() : names) {
        const spot = locate(copy, name);
        if (!spot) continue;
        const last = spot.siblings.length - 1;
        const to = { forward: spot.index + 1, backward: spot.index - 1, front: last, back: 0 }[where];
        spot.siblings.splice(spot.index, 1);
        spot.siblings.splice(Math.min(Math.max(to, 0), last), 0, spot.layer);
      }
    });
  }

  /** @param {"hidden" | "locked"} flag */
  toggle(flag) {
    const names = this.selection;
    const isOn = !names.every((name) => findLayer(this.document, name)?.[flag]);
    this.edit(`${flag} ${names.join(", ")}`, (copy) => {
      for (const name of names) setValues(copy, name, { [flag]: isOn }, flag === "hidden" ? this.size : DEFAULT_SIZE);
    });
  }

  // Messages

  /** @param {string[]} conflicts */
  explainConflict(conflicts) {
    const parts = conflicts.slice(0, 3).join("; ");
    const toast = /** @type {HTMLElement} */ (this.root.querySelector("#toast"));
    // A toast that offers something, such as to undo what has replaced another window's change, says more than this.
    if (!conflicts.length && !toast.hidden && toast.querySelector("button")) return;
    this.toast(conflicts.length
      ? _("This template was changed in another window. Both changed %(parts)s: your change was kept.", { parts })
      : _("This template was changed in another window. Your changes were kept."));
  }

  /**
   * @param {string} message
   * @param {string} command that the user may want now
   */
  toast(message, command = "") {
    const toast = /** @type {HTMLElement} */ (this.root.querySelector("#toast"));
    toast.textContent = message;
    toast.hidden = false;
    if (command) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.command = command;
      button.textContent = this.commands.get(command).label;
      button.addEventListener("click", () => { toast.hidden = true; });
      toast.append(" ", button);
    }
    clearTimeout(Number(toast.dataset.timer));
    toast.dataset.timer = String(setTimeout(() => { toast.hidden = true; }, TOAST_MS));
  }

  /** @param {string} message */
  announce(message) {
    this.status.textContent = message;
  }

  /**
   * @param {string} type
   * @param {any} [detail]
   */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

const root = document.getElementById("editor");
if (root) {
  const editor = new Editor(root);
  installPointer(editor);
  installArrange(editor);
  installDropper(editor);
  installClipboard(editor);
  installLayerPanel(editor);
  installProperties(editor);
  installColors(editor);
  installFonts(editor);
  installGradients(editor);
  installText(editor);
  installCrop(editor);
  installSnapping(editor);
  installTabs(root);
  installDataPanel(editor);
  installMenus(editor);
  installElements(editor);
  installFields(editor);
  installUploads(editor);
  installBrandPanel(editor);
  installComments(editor);
  installTopBar(editor);  // after the commands of its buttons
  // For tests, which compare the stage with the rendered image.
  Object.assign(root, { editor });
  editor.session.open();
}

// The crop of a photo on the stage: the whole photo is shown, and is dragged and zoomed in its box.

import { _ } from "../i18n.js";
import { combination } from "./commands.js";
import { MAX_ZOOM, focusOf, placePhoto } from "./cropping.js";
import { findLayer } from "./model.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./model.js").Layer} Layer */

const STEP = 0.01;
const LARGE_STEP = 0.1;
const SAVE_MS = 150;

/** @param {Editor} editor */
export function installCrop(editor) {
  new Crop(editor);
}

class Crop {
  /** @param {Editor} editor */
  constructor(editor) {
    this.editor = editor;
    const part = (/** @type {string} */ selector) => /** @type {any} */ (editor.root.querySelector(selector));
    /** @type {HTMLElement} */
    this.frame = part("#crop-frame");
    /** @type {HTMLElement} */
    this.toolbar = part("#crop-toolbar");
    /** @type {HTMLSelectElement} */
    this.fit = part("#crop-fit");
    /** @type {HTMLInputElement} */
    this.zoom = part("#crop-zoom");
    /** @type {HTMLCanvasElement[]} the whole photo, and its part in the box */
    this.photos = [...this.frame.querySelectorAll("canvas")];
    editor.stage.container.append(this.frame);
    this.name = "";
    /** @type {[number, number]} */
    this.focus = [0.5, 0.5];
    this.timer = 0;
    this.listen();
  }

  get layer() {
    return findLayer(this.editor.document, this.name);
  }

  listen() {
    const { editor, frame, toolbar } = this;
    editor.addEventListener("edit", (event) => this.open(/** @type {CustomEvent} */ (event).detail));
    for (const type of ["camera", "shown"]) editor.stage.addEventListener(type, () => this.show());
    editor.addEventListener("select", () => this.name && editor.selection[0] !== this.name && this.close());
    editor.session.addEventListener("document", () => this.name && !this.layer && this.close());
    addEventListener("pointerdown", (event) => {
      const isInside = /** @type {Element} */ (event.target).closest("#crop-frame, #crop-toolbar");
      if (this.name && !isInside) this.close();
    }, { capture: true });
    frame.addEventListener("pointerdown", (event) => this.drag(event));
    frame.addEventListener("dblclick", (event) => event.stopPropagation());
    frame.addEventListener("keydown", (event) => this.handleKey(event));
    toolbar.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") this.close();
    });
    this.fit.addEventListener("change", () => this.change((layer) => { layer.fit = this.fit.value; }));
    this.zoom.addEventListener("input", () => this.zoomTo(Number(this.zoom.value)));
    toolbar.addEventListener("click", (event) => {
      const button = /** @type {Element} */ (event.target).closest("button");
      if (button?.value === "done") return this.close();
      if (!button) return;
      this.focus = [0.5, 0.5];
      this.change((layer) => { layer.focus = button.value; });
    });
  }

  /** @param {string} name */
  async open(name) {
    const { editor } = this;
    const layer = findLayer(editor.document, name);
    if (layer?.type !== "image" || !editor.isUnlocked(name)) return;
    if (editor.selection[0] !== name || editor.selection.length > 1) editor.select([name]);
    const query = new URLSearchParams({ layer: name, row: String(editor.session.view.row) });
    if (editor.session.view.feed) query.set("feed", editor.session.view.feed);
    // The server knows a layer that has just been added only once it is saved.
    await editor.session.queue;
    const response = await fetch(`${editor.start.photo}?${query}`).catch(() => null);
    if (!response?.ok) return editor.toast(_("This photo is not available. Choose another image or row."));
    const bitmap = await createImageBitmap(await response.blob());
    for (const canvas of this.photos) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
      canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
    }
    bitmap.close();
    this.name = name;
    this.focus = Array.isArray(layer.focus) ? /** @type {[number, number]} */ ([...layer.focus]) : [0.5, 0.5];
    this.frame.setAttribute("aria-label", _("Crop of %(name)s. Arrow keys move the photo, plus and minus zoom, Escape ends.", { name }));
    this.show();
    this.frame.focus({ preventScroll: true });
  }

  close() {
    if (!this.name) return;
    this.save();
    this.name = "";
    this.frame.hidden = true;
    this.toolbar.hidden = true;
    this.editor.stage.conceal("");
    this.editor.stage.container.focus({ preventScroll: true });
  }

  /** Show the photo over its layer. */
  show() {
    const { layer, frame, toolbar } = this;
    const box = this.editor.stage.find(this.name)?.frame;
    if (!layer || !box) return;
    const isCover = layer.fit === "cover";
    frame.hidden = !isCover;
    toolbar.hidden = false;
    this.editor.stage.conceal(isCover ? this.name : "");
    this.fit.value = layer.fit;
    this.zoom.value = String(layer.zoom ?? 1);
    for (const each of toolbar.querySelectorAll("[data-cover]")) /** @type {HTMLInputElement} */ (each).disabled = !isCover;
    for (const each of toolbar.querySelectorAll("button[aria-pressed]")) {
      each.setAttribute("aria-pressed", String(/** @type {HTMLButtonElement} */ (each).value === layer.focus));
    }
    const { zoom } = this.editor.stage;
    const at = this.editor.stage.toContainer(box);
    Object.assign(frame.style, {
      left: `${at.x}px`, top: `${at.y}px`, width: `${box.width * zoom}px`, height: `${box.height * zoom}px`,
      transform: `translate(-50%, -50%) rotate(${box.rotation}deg)`,
    });
    frame.style.setProperty("--box-radius", layer.mask === "circle" ? "50%" : `${(layer.radius ?? 0) * zoom}px`);
    const placed = placePhoto(box, this.photos[0], this.focus, layer.zoom ?? 1);
    for (const canvas of this.photos) {
      for (const key of /** @type {const} */ (["left", "top", "width", "height"])) canvas.style[key] = `${placed[key] * zoom}px`;
    }
    this.placeToolbar(at.x - (box.width * zoom) / 2, at.y + (box.height * zoom) / 2 + 12);
  }

  /**
   * Put the toolbar at a point of the stage, as far as there is room.
   * @param {number} left
   * @param {number} top
   */
  placeToolbar(left, top) {
    const { clientWidth, clientHeight } = this.editor.stage.container;
    const { offsetWidth: width, offsetHeight: height } = this.toolbar;
    this.toolbar.style.left = `${Math.max(Math.min(left, clientWidth - width - 8), 8)}px`;
    this.toolbar.style.top = `${Math.max(Math.min(top, clientHeight - height - 8), 8)}px`;
  }

  /** @param {(layer: Layer) => void} change */
  change(change) {
    this.save();
    const { name } = this;
    this.editor.edit(`crop of ${name}`, (copy) => {
      const layer = findLayer(copy, name);
      if (layer) change(layer);
    });
    this.show();
  }

  /** @param {[number, number]} focus */
  focusOn(focus) {
    this.focus = focus;
    this.show();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), SAVE_MS);
  }

  /** Save the focal point, if it was moved. */
  save() {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = 0;
    const { name, focus } = this;
    this.editor.edit(`crop of ${name}`, (copy) => {
      const layer = findLayer(copy, name);
      if (layer) layer.focus = focus;
    });
    this.editor.announce(_("Focal point at %(point)s", { point: focus.map((each) => `${Math.round(each * 100)}%`).join(", ") }));
  }

  /** @param {number} zoom */
  zoomTo(zoom) {
    const value = Math.round(Math.min(Math.max(zoom, 1), MAX_ZOOM) * 100) / 100;
    this.change((layer) => {
      if (value > 1) layer.zoom = value;
      else delete layer.zoom;
    });
  }

  /** @param {PointerEvent} start */
  drag(start) {
    if (start.button !== 0) return;
    start.stopPropagation();
    const { layer } = this;
    const box = this.editor.stage.find(this.name)?.frame;
    if (!layer || !box) return;
    if (layer.bound?.focus) return this.editor.toast(_("An expression decides about the focal point"));
    const placed = placePhoto(box, this.photos[0], this.focus, layer.zoom ?? 1);
    const turn = (-box.rotation * Math.PI) / 180;
    const stop = new AbortController();
    const { signal } = stop;
    addEventListener("pointermove", (event) => {
      const [dx, dy] = [event.clientX - start.clientX, event.clientY - start.clientY].map((each) => each / this.editor.stage.zoom);
      const left = placed.left + dx * Math.cos(turn) - dy * Math.sin(turn);
      const top = placed.top + dx * Math.sin(turn) + dy * Math.cos(turn);
      this.focusOn(focusOf(box, { ...placed, left, top }, this.focus));
    }, { signal });
    for (const type of ["pointerup", "pointercancel"]) addEventListener(type, () => stop.abort(), { signal });
  }

  /** @param {KeyboardEvent} event */
  handleKey(event) {
    const moves = /** @type {{[key: string]: [number, number]}} */ ({ ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] });
    const move = moves[event.key];
    const { layer } = this;
    const box = this.editor.stage.find(this.name)?.frame;
    if (!layer || !box || event.key === "Tab") return;
    const zoom = layer.zoom ?? 1;
    if (["Escape", "Enter", "Mod+Enter"].includes(combination(event))) this.close();
    else if (event.key === "+" || event.key === "=") this.zoomTo(zoom + LARGE_STEP);
    else if (event.key === "-") this.zoomTo(zoom - LARGE_STEP);
    else if (move && !layer.bound?.focus) {
      const step = event.shiftKey ? LARGE_STEP : STEP;
      const placed = placePhoto(box, this.photos[0], this.focus, zoom);
      const [left, top] = [placed.left + move[0] * step * placed.width, placed.top + move[1] * step * placed.height];
      this.focusOn(focusOf(box, { ...placed, left, top }, this.focus));
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

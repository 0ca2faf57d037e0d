// The color picker: a popover of all color inputs of the editor. What is chosen is on the stage at once.

import { _ } from "../i18n.js";
import { colorOf, entryOf, referenceTo } from "./brand.js";
import { findColors, fromHsv, readColor, toHsv } from "./colors.js";
import { findLayer } from "./model.js";

/** @typedef {import("./editor.js").Editor} Editor */
/**
 * `field` is the field or expression that decides about the color now; `bind` is called with the name of a field, or
 * with "" for the color itself. `value` and what is chosen can be a color of the brand, by its name.
 * @typedef {{anchor: HTMLElement, value: string, label: string, choose: (color: string) => void, clear?: () => void,
 *   field?: string, bind?: (field: string) => void, close?: () => void}} ColorRequest
 */

const NEW_FIELD = "+";
const STEP = 0.01;
const LARGE_STEP = 0.1;

/** @param {Editor} editor */
export function installColors(editor) {
  const picker = new ColorPicker(editor);
  editor.pickColor = (request) => picker.open(request);
  const panel = /** @type {HTMLElement} */ (editor.root.querySelector("#properties"));
  panel.addEventListener("click", (event) => {
    const swatch = /** @type {Element} */ (event.target).closest("input[type=color]");
    if (!(swatch instanceof HTMLInputElement)) return;
    event.preventDefault();
    picker.open(requestOf(editor, panel, swatch));
  });
}

/**
 * @param {Editor} editor
 * @param {HTMLElement} panel
 * @param {HTMLInputElement} swatch
 * @returns {ColorRequest}
 */
function requestOf(editor, panel, swatch) {
  const id = swatch.dataset.color ?? "";
  const find = () => /** @type {HTMLInputElement} */ (panel.querySelector(`#${CSS.escape(id)}`));
  const [name] = editor.selection;
  const layer = name ? findLayer(editor.document, name) : undefined;
  // A gradient has no field: only one color has.
  const property = find().name.replace(/^(fill|background)\.start$/, "$1");
  const canBind = layer && ["color", "fill", "background"].includes(property) && (property === "color" || typeof layer[property] === "string");
  return {
    anchor: swatch,
    value: find().value || "#000000",
    label: panel.querySelector(`label[for="${CSS.escape(id)}"]`)?.textContent?.trim() ?? _("Color"),
    choose: (color) => {
      const input = find();
      input.value = color;
      const own = panel.querySelector(`input[data-color="${CSS.escape(id)}"]`);
      if (own instanceof HTMLInputElement) own.value = colorOf(editor.document, color, editor.start.brand).slice(0, 7);
      input.dispatchEvent(new Event("input", { bubbles: true }));
    },
    field: canBind ? layer.bound?.[property] : undefined,
    bind: canBind ? (field) => bindProperty(editor, name, property, field) : undefined,
  };
}

/**
 * Let a field decide about a property, whose value is the default; or no field.
 * @param {Editor} editor
 * @param {string} name
 * @param {string} property
 * @param {string} field
 */
function bindProperty(editor, name, property, field) {
  editor.edit(`${property} of ${name}`, (copy) => {
    const layer = findLayer(copy, name);
    if (!layer) return;
    const { [property]: _, ...rest } = layer.bound ?? {};
    const bound = field ? { ...rest, [property]: field } : rest;
    if (Object.keys(bound).length) layer.bound = bound;
    else delete layer.bound;
  });
}

class ColorPicker {
  /** @param {Editor} editor */
  constructor(editor) {
    this.editor = editor;
    this.element = /** @type {HTMLElement} */ (editor.root.querySelector("#color-picker"));
    this.area = this.part("[role=slider]");
    this.hue = /** @type {HTMLInputElement} */ (this.part("#color-hue"));
    this.alpha = /** @type {HTMLInputElement} */ (this.part("#color-alpha"));
    this.hex = /** @type {HTMLInputElement} */ (this.part("#color-hex"));
    this.dropper = this.part("[data-dropper]");
    this.fields = /** @type {HTMLSelectElement} */ (this.part("#color-field"));
    this.color = toHsv("#000000");
    /** The name of the brand's color, if it is one. */
    this.entry = "";
    /** @type {ColorRequest | undefined} */
    this.request = undefined;
    this.listen();
  }

  /**
   * @param {string} selector
   * @returns {HTMLElement}
   */
  part(selector) {
    return /** @type {HTMLElement} */ (this.element.querySelector(selector));
  }

  listen() {
    const { area, hue, alpha, hex, element } = this;
    area.addEventListener("pointerdown", (event) => {
      area.setPointerCapture(event.pointerId);
      this.pickAt(event);
    });
    area.addEventListener("pointermove", (event) => area.hasPointerCapture(event.pointerId) && this.pickAt(event));
    area.addEventListener("keydown", (event) => this.moveBy(event));
    hue.addEventListener("input", () => this.choose({ hue: Number(hue.value) }));
    alpha.addEventListener("input", () => this.choose({ alpha: Number(alpha.value) / 100 }));
    hex.addEventListener("input", () => {
      const color = readColor(hex.value);
      hex.setAttribute("aria-invalid", String(!color));
      if (color) this.choose(toHsv(color), { isTyped: true });
    });
    element.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape" || (event.key === "Enter" && event.target === hex)) {
        event.preventDefault();
        element.hidePopover();
      }
    });
    element.addEventListener("click", (event) => {
      const button = /** @type {Element} */ (event.target).closest("button");
      if (button?.dataset.color) this.choose(toHsv(button.dataset.color), { entry: button.dataset.entry });
      if (button?.hasAttribute("data-clear")) {
        this.request?.clear?.();
        element.hidePopover();
      }
    });
    element.addEventListener("toggle", (event) => {
      if (/** @type {ToggleEvent} */ (event).newState !== "closed") return;
      const { request } = this;
      this.request = undefined;
      request?.close?.();
      if (request && !request.close && document.activeElement === document.body) request.anchor.focus();
    });
    this.fields.addEventListener("change", () => this.bind());
    if ("EyeDropper" in globalThis) {
      this.dropper.hidden = false;
      this.dropper.addEventListener("click", async () => {
        const dropper = new /** @type {any} */ (globalThis).EyeDropper();
        const picked = await dropper.open().catch(() => null);
        if (picked) this.choose(toHsv(picked.sRGBHex));
      });
    }
  }

  /** @param {ColorRequest} request */
  open(request) {
    this.element.hidePopover();
    this.request = request;
    this.color = toHsv(colorOf(this.editor.document, request.value, this.editor.start.brand));
    this.entry = entryOf(request.value);
    this.element.setAttribute("aria-label", request.label);
    this.part("[data-clear]").hidden = !request.clear;
    this.showSwatches("[data-document]", findColors(this.editor.document).map((color) => ({ color, name: color })));
    this.showSwatches("[data-brand]", this.editor.start.brand.colors, { isBrand: true });
    this.showFields();
    this.show();
    this.element.showPopover();
    this.place(request.anchor);
    this.area.focus();
  }

  /** @param {HTMLElement} anchor */
  place(anchor) {
    const at = anchor.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const left = Math.min(at.left, innerWidth - width - 8);
    const below = at.bottom + 6;
    const top = below + height <= innerHeight - 8 ? below : Math.max(at.top - height - 6, 8);
    this.element.style.left = `${Math.max(left, 8)}px`;
    this.element.style.top = `${Math.min(top, Math.max(innerHeight - height - 8, 8))}px`;
  }

  /**
   * @param {string} selector
   * @param {{color: string, name: string}[]} colors
   * @param {{isBrand?: boolean}} [options]
   */
  showSwatches(selector, colors, { isBrand = false } = {}) {
    const section = this.part(selector);
    section.hidden = !colors.length;
    section.querySelector("div")?.replaceChildren(...colors.map(({ color, name }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "swatch";
      button.dataset.color = color;
      if (isBrand) button.dataset.entry = name;
      button.title = name;
      button.setAttribute("aria-label", name);
      button.style.setProperty("--color", color);
      return button;
    }));
  }

  showFields() {
    const { request, editor, fields } = this;
    this.part("[data-field]").hidden = !request?.bind;
    const names = editor.document.fields.filter((each) => each.type === "color").map(({ name, label }) => ({ name, label }));
    const current = request?.field ?? "";
    if (current && !names.some(({ name }) => name === current)) names.push({ name: current, label: current });
    fields.replaceChildren(
      new Option(_("No field"), ""), ...names.map(({ name, label }) => new Option(label, name)), new Option(_("New field…"), NEW_FIELD),
    );
    fields.value = current;
  }

  bind() {
    const { request, editor } = this;
    if (!request?.bind) return;
    let field = this.fields.value;
    if (field === NEW_FIELD) {
      field = newFieldName(editor, `${editor.selection[0] ?? "text"} color`);
      const label = field.replaceAll("_", " ");
      const added = { name: field, label: label[0].toUpperCase() + label.slice(1), type: "color", default: fromHsv(this.color) };
      editor.edit(`field ${field}`, (copy) => void copy.fields.push(added));
    }
    request.bind(field);
    request.field = field;
    this.showFields();
    editor.announce(field ? _("The field %(field)s decides about the color", { field }) : _("No field decides about the color"));
  }

  /** @param {PointerEvent} event */
  pickAt(event) {
    const box = this.area.getBoundingClientRect();
    const part = (/** @type {number} */ at, /** @type {number} */ length) => Math.min(Math.max(at / length, 0), 1);
    this.choose({ saturation: part(event.clientX - box.left, box.width), value: 1 - part(event.clientY - box.top, box.height) });
  }

  /** @param {KeyboardEvent} event */
  moveBy(event) {
    const moves = /** @type {{[key: string]: [number, number]}} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] });
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const step = event.shiftKey ? LARGE_STEP : STEP;
    const [saturation, value] = [this.color.saturation + move[0] * step, this.color.value + move[1] * step];
    this.choose({ saturation: Math.min(Math.max(saturation, 0), 1), value: Math.min(Math.max(value, 0), 1) });
  }

  /**
   * @param {Partial<import("./colors.js").Hsv>} change
   * @param {{isTyped?: boolean, entry?: string}} [options] entry: the name of the brand's color that it is
   */
  choose(change, { isTyped = false, entry = "" } = {}) {
    this.color = { ...this.color, ...change };
    this.entry = entry;
    this.show({ isTyped });
    this.request?.choose(entry ? referenceTo(entry) : fromHsv(this.color));
  }

  show({ isTyped = false } = {}) {
    const { hue, saturation, value, alpha } = this.color;
    const css = this.element.style;
    const percent = (/** @type {number} */ part) => `${Math.round(part * 100)}%`;
    css.setProperty("--hue", String(hue));
    css.setProperty("--color", fromHsv(this.color));
    css.setProperty("--opaque", fromHsv({ ...this.color, alpha: 1 }));
    css.setProperty("--x", percent(saturation));
    css.setProperty("--y", percent(1 - value));
    this.part("[data-entry-name]").textContent = this.entry && `: ${this.entry}`;
    for (const swatch of /** @type {NodeListOf<HTMLElement>} */ (this.element.querySelectorAll("[data-entry]"))) {
      swatch.setAttribute("aria-pressed", String(swatch.dataset.entry === this.entry));
    }
    this.area.setAttribute("aria-valuenow", String(Math.round(saturation * 100)));
    this.area.setAttribute("aria-valuetext", _("Saturation %(saturation)s, brightness %(value)s", { saturation: percent(saturation), value: percent(value) }));
    this.hue.value = String(Math.round(hue));
    this.alpha.value = String(Math.round(alpha * 100));
    if (!isTyped) {
      this.hex.value = fromHsv(this.color);
      this.hex.removeAttribute("aria-invalid");
    }
  }
}

/**
 * Return a name for a field that the document does not have.
 * @param {Editor} editor
 * @param {string} wanted
 */
function newFieldName(editor, wanted) {
  const base = wanted.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, "_").replace(/^[_0-9]+|_+$/g, "").slice(0, 50) || "color";
  const { fields, computed = [] } = editor.document;
  const taken = new Set([...fields, ...computed].map((each) => each.name));
  let name = base;
  for (let number = 2; taken.has(name); number++) name = `${base}_${number}`;
  return name;
}

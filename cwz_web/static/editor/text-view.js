// The look of a text that is edited in place: the element over the layer as the engine renders it, and the toolbar.

import { _ } from "../i18n.js";
import { colorOf } from "./brand.js";
import { familyOf } from "./fonts.js";
import { measureParts, positionOf, showParts } from "./text-box.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./model.js").Layer} Layer */
/** @typedef {import("./spans.js").Part} Part */
/** @typedef {import("./spans.js").Style} Style */

const DISTANCE = 12;
const MARGIN = 8;

export class TextView {
  /** @param {Editor} editor */
  constructor(editor) {
    this.editor = editor;
    this.frame = /** @type {HTMLElement} */ (editor.root.querySelector("#text-frame"));
    this.box = /** @type {HTMLElement} */ (editor.root.querySelector("#text-box"));
    this.toolbar = /** @type {HTMLElement} */ (editor.root.querySelector("#text-toolbar"));
    this.problem = /** @type {HTMLElement} */ (editor.root.querySelector("#text-problem"));
    // Within the stage, so that the wheel pans and zooms it.
    editor.stage.container.append(this.frame);
  }

  /** @param {string} name */
  open(name) {
    this.frame.hidden = false;
    this.toolbar.hidden = false;
    this.box.setAttribute("aria-label", _("Text of %(name)s", { name }));
    this.editor.stage.conceal(name);
  }

  close() {
    for (const part of [this.frame, this.toolbar, this.problem]) part.hidden = true;
    this.editor.stage.conceal("");
    const focused = document.activeElement;
    if (focused === document.body || focused === this.box || this.toolbar.contains(focused)) {
      this.editor.stage.container.focus({ preventScroll: true });
    }
  }

  /**
   * Return whether an element is beside the text and what belongs to it.
   * @param {Element} target
   */
  isOutside(target) {
    return !target.closest("#text-frame, #text-toolbar, #field-list, [popover]");
  }

  /** @param {string} message */
  showProblem(message) {
    this.problem.textContent = message;
    this.problem.hidden = !message;
    if (message) this.placeToolbar();
  }

  caretBox() {
    const selection = getSelection();
    const box = selection?.rangeCount ? selection.getRangeAt(0).getBoundingClientRect() : undefined;
    return box?.height ? box : this.box.getBoundingClientRect();
  }

  /**
   * Show which fields are selected.
   * @param {[number, number]} range
   */
  markChips([start, end]) {
    for (const [at, child] of [...this.box.childNodes].entries()) {
      if (!(child instanceof HTMLElement) || child.dataset.raw === undefined) continue;
      const from = positionOf(this.box, this.box, at);
      child.classList.toggle("is-selected", start <= from && end >= from + child.dataset.raw.length);
    }
  }

  /**
   * @param {Layer} layer
   * @param {Part[]} parts
   */
  render(layer, parts) {
    const measures = measureParts(parts);
    const largest = largestScale(parts);
    let at = -1;
    /** @type {Style | undefined} */
    let last;
    const labels = new Map(this.editor.document.fields.map((each) => [each.name, each.label]));
    showParts(this.box, parts, (name) => labels.get(name) ?? name, (element, style) => {
      if (style !== last) at++;
      last = style;
      this.dress(element, layer, style, measures[at], largest);
    });
    this.dressBox(layer, largest);
  }

  /**
   * Return the value of a color, which can be one of the brand.
   * @param {string} color
   */
  colorValue(color) {
    return colorOf(this.editor.document, color, this.editor.start.brand);
  }

  /**
   * Return a color of the layer, or of a field that decides about it in this row.
   * @param {Layer} layer
   */
  colorOf(layer) {
    const bound = layer.bound?.color;
    const value = bound && this.editor.session.state?.values[bound];
    return value || this.colorValue(layer.gradient?.start || layer.color);
  }

  /**
   * @param {HTMLElement} element
   * @param {Layer} layer
   * @param {Style} style
   * @param {{scale: number, rise: number}} measure
   * @param {number} largest
   */
  dress(element, layer, style, { scale, rise }, largest) {
    const css = element.style;
    const lines = [(style.underline ?? layer.underline) && "underline", (style.strike ?? layer.strike) && "line-through"];
    css.fontFamily = `"${familyOf(style.font ?? layer.font)}"`;
    css.fontWeight = String(style.weight ?? layer.weight);
    css.fontStyle = style.italic ?? layer.italic ? "italic" : "normal";
    const own = style.gradient?.start ?? style.color;
    css.color = own ? this.colorValue(own) : this.colorOf(layer);
    css.textDecorationLine = lines.filter(Boolean).join(" ") || "none";
    css.backgroundColor = style.highlight ? this.colorValue(style.highlight) : "";
    // The lines are as high as the largest part needs, whatever is in them.
    css.fontSize = `${scale / largest}em`;
    css.lineHeight = scale === largest && !rise ? "inherit" : "0";
    css.verticalAlign = rise ? `${rise / scale}em` : "baseline";
  }

  /**
   * @param {Layer} layer
   * @param {number} largest
   */
  dressBox(layer, largest) {
    const css = this.box.style;
    css.fontFamily = `"${familyOf(layer.font)}"`;
    css.fontWeight = String(layer.weight);
    css.textAlign = layer.align;
    css.letterSpacing = layer.letter_spacing ? `${layer.letter_spacing}px` : "normal";
    css.textTransform = { upper: "uppercase", lower: "lowercase", title: "capitalize" }[/** @type {string} */ (layer.case)] ?? "none";
    css.color = this.colorOf(layer);
    css.caretColor = this.colorOf(layer);
    css.webkitTextStroke = layer.stroke ? `${layer.stroke.width * 2}px ${this.colorValue(layer.stroke.color)}` : "";
    css.lineHeight = String(layer.line_height);
    css.whiteSpace = layer.max_lines === 1 ? "pre" : "pre-wrap";
    this.box.dir = layer.direction ?? "auto";
    if (layer.language && layer.language !== "auto") this.box.lang = layer.language;
    else this.box.removeAttribute("lang");
    const frame = this.frame.style;
    frame.justifyContent = { top: "flex-start", middle: "center", bottom: "flex-end" }[/** @type {string} */ (layer.valign)] ?? "";
    frame.padding = `${layer.padding ?? 0}px`;
    frame.borderRadius = `${layer.radius ?? 0}px`;
    frame.background = layer.background ? this.colorValue(layer.background.start ?? layer.background) : "none";
    css.fontSize = `${layer.size * largest}px`;
  }

  /**
   * Put the element over the layer.
   * @param {import("./stage.js").Entry} entry
   */
  place({ frame, image, layer }) {
    const { x, y, width, height, rotation } = frame;
    const at = this.editor.stage.toContainer({ x, y });
    const css = this.frame.style;
    css.left = `${at.x}px`;
    css.top = `${at.y}px`;
    css.width = `${width}px`;
    css.height = `${height}px`;
    css.transform = `translate(-50%, -50%) rotate(${rotation}deg) scale(${this.editor.stage.zoom})`;
    this.frame.classList.toggle("is-over", !image && Boolean(layer.parent));
    this.placeToolbar();
  }

  /** Put the toolbar above the layer, or below it if there is no room. */
  placeToolbar() {
    const around = /** @type {HTMLElement} */ (this.toolbar.offsetParent ?? document.body).getBoundingClientRect();
    const box = this.frame.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.toolbar;
    const above = box.top - around.top - height - DISTANCE;
    const top = above >= MARGIN ? above : Math.min(box.bottom - around.top + DISTANCE, around.height - height - MARGIN);
    const left = Math.max(Math.min(box.left - around.left, around.width - width - MARGIN), MARGIN);
    this.toolbar.style.left = `${left}px`;
    this.toolbar.style.top = `${Math.max(top, MARGIN)}px`;
    this.problem.style.left = `${left}px`;
    const free = top - this.problem.offsetHeight - 4;
    this.problem.style.top = `${free >= MARGIN ? free : Math.max(top, MARGIN) + height + 4}px`;
  }

  /**
   * Choose the font size as the engine does: the largest at which the text fits.
   * @param {Layer} layer
   * @param {Part[]} parts
   */
  fit(layer, parts) {
    const largest = largestScale(parts);
    const [low, high] = [Math.min(layer.min_size ?? layer.size, layer.size), layer.max_size ?? layer.size];
    const height = this.frame.clientHeight - 2 * (layer.padding ?? 0);
    const width = this.frame.clientWidth - 2 * (layer.padding ?? 0);
    const isFree = layer.sizing && (layer.sizing.width === "hug" || layer.sizing.height === "hug");
    const fits = (/** @type {number} */ size) => {
      this.box.style.fontSize = `${size * largest}px`;
      const lines = Math.round(this.box.scrollHeight / (size * largest * layer.line_height));
      return this.box.scrollHeight <= height + 1 && this.box.scrollWidth <= width + 1 && lines <= layer.max_lines;
    };
    if (low === high || isFree || !["shrink", "grow", undefined].includes(layer.fit)) return void fits(layer.size);
    let [from, to] = [low, high];
    while (from < to) {
      const middle = Math.ceil((from + to) / 2);
      if (fits(middle)) from = middle;
      else to = middle - 1;
    }
    fits(from);
  }
}

/** @param {Part[]} parts */
function largestScale(parts) {
  return parts.length ? Math.max(...measureParts(parts).map((each) => each.scale)) : 1;
}

// Text in place: an editable element exactly over the layer, whose tile is hidden meanwhile. What is typed is changed in
// the parts of the text (spans.js) and shown from there: the browser changes nothing in the element on its own.

import { combination } from "./commands.js";
import { addField } from "./fields.js";
import { FieldList, fieldNames, findOpenBinding } from "./field-list.js";
import { colorOf } from "./brand.js";
import { familyOf } from "./fonts.js";
import { findLayer } from "./model.js";
import {
  MAX_SPANS, MAX_TEXT, clearParts, changeStyle, commonStyle, findBindings, findProblem, formatParts, joinText, mergeParts,
  readParts, replaceParts, styleAt, widenRange, writeParts,
} from "./spans.js";
import { measureParts, pointOf, positionOf, showParts } from "./text-box.js";
import { installTextToolbar } from "./text-toolbar.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./model.js").Layer} Layer */
/** @typedef {import("./spans.js").Part} Part */
/** @typedef {import("./spans.js").Style} Style */
/** @typedef {{parts: Part[], range: [number, number]}} Step */

const SAVE_MS = 150;
const MAX_STEPS = 200;

/** @param {Editor} editor */
export function installText(editor) {
  const editing = new TextEditing(editor);
  installTextToolbar(editing);
}

/** Events: "range" (the selection or its style has changed), "open", "close". */
export class TextEditing extends EventTarget {
  /** @param {Editor} editor */
  constructor(editor) {
    super();
    this.editor = editor;
    this.fonts = editor.fonts;
    this.frame = /** @type {HTMLElement} */ (editor.root.querySelector("#text-frame"));
    this.box = /** @type {HTMLElement} */ (editor.root.querySelector("#text-box"));
    this.toolbar = /** @type {HTMLElement} */ (editor.root.querySelector("#text-toolbar"));
    this.problem = /** @type {HTMLElement} */ (editor.root.querySelector("#text-problem"));
    // Within the stage, so that the wheel pans and zooms it.
    editor.stage.container.append(this.frame);
    this.name = "";
    /** @type {Part[]} */
    this.parts = [];
    /** @type {[number, number]} anchor and focus */
    this.range = [0, 0];
    /** The style of what is typed next, if it was chosen without a selection. */
    /** @type {Style | undefined} */
    this.pending = undefined;
    /** @type {Step[]} */
    this.undoSteps = [];
    /** @type {Step[]} */
    this.redoSteps = [];
    /** @type {string[]} the fields to add to the template */
    this.newFields = [];
    this.timer = 0;
    /** Whether an input method changes the element, so that its positions are not those of the text. */
    this.isComposing = false;
    this.written = "";
    this.isWarned = false;
    this.list = new FieldList(editor, (option, open) => this.insertOption(option, open));
    this.listen();
    this.addCommands();
  }

  get isOpen() {
    return this.name !== "";
  }

  /** @returns {[number, number]} */
  get ordered() {
    const [anchor, focus] = this.range;
    return anchor < focus ? [anchor, focus] : [focus, anchor];
  }

  /** @returns {Layer | undefined} */
  get layer() {
    return findLayer(this.editor.document, this.name);
  }

  listen() {
    const { editor, box } = this;
    editor.addEventListener("edit", (event) => this.open(/** @type {CustomEvent} */ (event).detail));
    editor.stage.addEventListener("camera", () => this.place());
    editor.stage.addEventListener("shown", () => this.place());
    editor.session.addEventListener("document", () => this.follow());
    editor.addEventListener("select", () => {
      if (this.isOpen && editor.selection[0] !== this.name) this.close({ isForced: true });
    });
    addEventListener("pointerdown", (event) => this.isOpen && this.isOutside(/** @type {Element} */ (event.target)) && this.close(), { capture: true });
    document.addEventListener("selectionchange", () => this.readSelection());
    box.addEventListener("beforeinput", (event) => this.input(event));
    box.addEventListener("compositionstart", () => {
      this.readSelection();
      this.isComposing = true;
    });
    box.addEventListener("compositionend", (event) => {
      this.isComposing = false;
      // The browser has put it into the element: show the text from its parts again.
      this.insert(/** @type {CompositionEvent} */ (event).data);
      this.render();
    });
    box.addEventListener("keydown", (event) => this.handleKey(event));
    for (const type of /** @type {const} */ (["copy", "cut"])) box.addEventListener(type, (event) => this.copy(event));
    box.addEventListener("paste", (event) => {
      event.preventDefault();
      event.stopPropagation();
      this.readSelection();
      this.insert((event.clipboardData?.getData("text/plain") ?? "").replace(/\r\n?/g, "\n"));
    });
    box.addEventListener("click", (event) => {
      const chip = /** @type {HTMLElement} */ (event.target).closest("[data-raw]");
      if (!chip?.parentNode) return;
      const start = positionOf(box, box, [...box.childNodes].indexOf(/** @type {ChildNode} */ (chip)));
      this.select(start, start + (/** @type {HTMLElement} */ (chip).dataset.raw ?? "").length);
    });
    this.frame.addEventListener("dblclick", (event) => event.stopPropagation());
  }

  /** @param {Element} target */
  isOutside(target) {
    return !target.closest("#text-frame, #text-toolbar, #field-list, [popover]");
  }

  // Opening and closing

  /** @param {string} name */
  open(name) {
    const layer = findLayer(this.editor.document, name);
    if (layer?.type !== "text" || !this.editor.stage.find(name) || !this.editor.isUnlocked(name)) return;
    if (this.isOpen) this.close({ isForced: true });
    this.name = name;
    if (this.editor.selection.length !== 1 || this.editor.selection[0] !== name) this.editor.select([name]);
    this.parts = mergeParts(readParts(layer));
    this.written = JSON.stringify(this.parts);
    this.undoSteps = [];
    this.redoSteps = [];
    this.newFields = [];
    this.isWarned = false;
    this.frame.hidden = false;
    this.toolbar.hidden = false;
    this.box.setAttribute("aria-label", `Text of ${name}`);
    this.editor.stage.conceal(name);
    this.loadFonts();
    this.render();
    this.box.focus({ preventScroll: true });
    this.select(0, joinText(this.parts).length);
    this.emit("open");
    this.editor.announce(`Editing the text of ${name}. Escape ends, Tab goes to the format.`);
  }

  /** @param {{isForced?: boolean}} [options] isForced: drop what the server would refuse */
  close({ isForced = false } = {}) {
    if (!this.isOpen) return;
    const problem = this.findProblem();
    if (problem && !isForced && !this.isWarned) {
      this.isWarned = true;
      return this.showProblem(`${problem}. Correct it, or end again to go back to the last valid text.`);
    }
    this.save();
    this.name = "";
    this.frame.hidden = true;
    this.toolbar.hidden = true;
    this.problem.hidden = true;
    this.list.hide(this.box);
    this.editor.stage.conceal("");
    if (document.activeElement === document.body || this.box === document.activeElement || this.toolbar.contains(document.activeElement)) {
      this.editor.stage.container.focus({ preventScroll: true });
    }
    this.emit("close");
  }

  // The document

  findProblem() {
    const names = fieldNames(this.editor, this.name).map((field) => field.name);
    return findProblem(joinText(this.parts), [...names, ...this.newFields], Object.keys(this.editor.start.filters));
  }

  /** @param {string} message */
  showProblem(message) {
    this.problem.textContent = message;
    this.problem.hidden = !message;
    if (message) this.placeToolbar();
  }

  saveLater() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), SAVE_MS);
  }

  save() {
    clearTimeout(this.timer);
    const now = JSON.stringify(this.parts);
    if (!this.isOpen || now === this.written || this.findProblem()) return;
    this.written = now;
    const { name, parts, newFields } = this;
    this.editor.edit(`text of ${name}`, (copy) => {
      const layer = findLayer(copy, name);
      if (layer) writeParts(layer, parts);
      const text = joinText(parts);
      for (const { name: used } of findBindings(text)) {
        const offered = this.editor.columns.find((each) => each.name === used);
        if (offered) addField(copy, offered);
        else if (newFields.includes(used)) addField(copy, { name: used, label: used, type: "text", default: "" });
      }
    });
  }

  /** Show what has changed elsewhere. */
  follow() {
    if (!this.isOpen) return;
    const { layer } = this;
    if (!layer) return this.close({ isForced: true });
    const isTyping = JSON.stringify(this.parts) !== this.written;
    const parts = mergeParts(readParts(layer));
    const own = { ...layer };
    writeParts(own, this.parts);
    if (isTyping || JSON.stringify(mergeParts(readParts(own))) === JSON.stringify(parts)) return;
    this.readSelection();
    this.parts = parts;
    this.written = JSON.stringify(parts);
    this.render();
  }

  // Changes

  /**
   * @param {Part[]} parts
   * @param {number} start
   * @param {number} [end]
   * @param {{isContinued?: boolean}} [options] isContinued: one step with the change before
   */
  change(parts, start, end = start, { isContinued = false } = {}) {
    if (parts.length > MAX_SPANS) return this.editor.toast(`A text can have at most ${MAX_SPANS} styles`);
    if (!isContinued) this.undoSteps.push({ parts: this.parts, range: this.range });
    this.undoSteps.splice(0, Math.max(this.undoSteps.length - MAX_STEPS, 0));
    this.redoSteps = [];
    this.parts = parts;
    this.range = [start, end];
    this.isWarned = false;
    this.showProblem("");
    this.render();
    this.saveLater();
    this.updateList();
  }

  /**
   * Replace what is selected.
   * @param {string} text
   * @param {[number, number]} [range]
   */
  insert(text, range = this.ordered) {
    const whole = joinText(this.parts);
    const [start, end] = widenRange(whole, ...range);
    const room = MAX_TEXT - (whole.length - (end - start));
    if (text.length > room) this.editor.toast(`A text can have at most ${MAX_TEXT} characters`);
    const inserted = text.slice(0, Math.max(room, 0));
    if (!inserted && start === end) return;
    const style = this.pending && inserted ? changeStyle(styleAt(this.parts, start, end), this.pending) : undefined;
    this.pending = undefined;
    this.change(replaceParts(this.parts, start, end, inserted, style), start + inserted.length);
  }

  /**
   * Change the style of the selection, or of what is typed next.
   * @param {Style} values
   * @param {{isContinued?: boolean}} [options]
   */
  format(values, options) {
    this.readSelection();
    const [start, end] = this.ordered;
    if (start === end) {
      this.pending = { ...this.pending, ...values };
      return this.emit("range");
    }
    const [anchor, focus] = this.range;
    this.change(formatParts(this.parts, start, end, values), anchor, focus, options);
    this.loadFonts();
    this.emit("range");
  }

  clearFormat() {
    const [start, end] = this.ordered;
    const [anchor, focus] = this.range;
    this.pending = undefined;
    const all = /** @type {const} */ ([0, joinText(this.parts).length]);
    this.change(clearParts(this.parts, ...(start === end ? all : /** @type {const} */ ([start, end]))), anchor, focus);
    this.emit("range");
  }

  /**
   * Choose a color of the selection.
   * @param {"color" | "highlight"} key
   */
  pickColor(key) {
    const style = this.style();
    let isContinued = false;
    const format = (/** @type {Style} */ values) => {
      this.format(values, { isContinued });
      isContinued = true;
    };
    this.editor.pickColor?.({
      anchor: /** @type {HTMLElement} */ (this.toolbar.querySelector(`[data-command="text-${key}"]`)),
      value: style[key] ?? (key === "color" ? this.layer?.color : "#fff3a0"),
      label: key === "color" ? "Text color" : "Highlight",
      choose: (color) => format(key === "color" ? { color, gradient: undefined } : { highlight: color }),
      clear: () => format({ [key]: undefined }),
      field: style.bound?.[key],
      bind: (field) => format(field ? { bound: { [key]: field } } : { [key]: style[key] ?? undefined }),
      close: () => this.focus(),
    });
  }

  pickFont() {
    const style = this.style();
    this.editor.pickFont?.({
      anchor: /** @type {HTMLElement} */ (this.toolbar.querySelector("[data-command=text-font]")),
      value: style.font ?? "",
      weight: style.weight ?? 0,
      choose: (font) => this.format({ font }),
      chooseWeight: (weight) => this.format({ weight }),
      close: () => this.focus(),
    });
  }

  /** Give the focus back to the text, with its selection. */
  focus() {
    if (!this.isOpen) return;
    this.box.focus({ preventScroll: true });
    this.select(...this.range);
  }

  /** Return the style of the selection; undefined values differ within it. */
  style() {
    const common = commonStyle(/** @type {Layer} */ (this.layer), this.parts, ...this.ordered);
    return this.pending ? { ...common, ...this.pending } : common;
  }

  /** @param {boolean} isBack */
  step(isBack) {
    const [from, to] = isBack ? [this.undoSteps, this.redoSteps] : [this.redoSteps, this.undoSteps];
    const step = from.pop();
    if (!step) return;
    to.push({ parts: this.parts, range: this.range });
    this.parts = step.parts;
    this.range = step.range;
    this.render();
    this.saveLater();
    this.emit("range");
  }

  /**
   * @param {import("./field-list.js").Option} option
   * @param {import("./field-list.js").OpenBinding} open
   */
  insertOption(option, open) {
    const text = joinText(this.parts);
    const typed = text.slice(open.start, open.end).replace(/^(\{\{|@)\s*/, "");
    if (option.kind === "new") this.newFields.push(option.value);
    const inner = option.kind === "filter" ? `${typed.slice(0, typed.lastIndexOf("|")).trim()} | ${option.value}` : option.value;
    const raw = `{{ ${inner} }}`;
    this.change(replaceParts(this.parts, open.start, open.end, raw), open.start + raw.length);
    this.list.hide(this.box);
    this.editor.announce(`${option.label} inserted`);
  }

  /** Open the list of fields at the caret. */
  startField() {
    const [start] = this.ordered;
    const before = joinText(this.parts).slice(0, start);
    this.box.focus({ preventScroll: true });
    this.insert(/[\p{L}\p{N}._-]$/u.test(before) ? "{{ " : "@");
  }

  updateList() {
    const [start, end] = this.range;
    const open = start === end ? findOpenBinding(joinText(this.parts), start) : undefined;
    this.list.show(open, this.name, this.caretBox(), this.box);
  }

  caretBox() {
    const selection = getSelection();
    const box = selection?.rangeCount ? selection.getRangeAt(0).getBoundingClientRect() : undefined;
    return box?.height ? box : this.box.getBoundingClientRect();
  }

  // What the browser wants to do

  /** @param {InputEvent} event */
  input(event) {
    if (event.inputType === "insertCompositionText" || event.isComposing) return;
    event.preventDefault();
    this.readSelection();
    const { inputType: type } = event;
    const styles = /** @type {{[type: string]: string}} */ ({ formatBold: "text-bold", formatItalic: "text-italic", formatUnderline: "text-underline" });
    if (type in styles) return this.editor.commands.run(styles[type]);
    if (type === "historyUndo" || type === "historyRedo") return this.step(type === "historyUndo");
    if (type.startsWith("delete")) return this.insert("", this.rangeToDelete(event));
    if (type === "insertParagraph" || type === "insertLineBreak") return this.insert("\n");
    const text = event.data ?? event.dataTransfer?.getData("text/plain") ?? "";
    const target = type === "insertReplacementText" ? this.targetOf(event) : undefined;
    if (text === "|" && this.openFilter()) return;
    this.insert(text.replace(/\r\n?/g, "\n"), target ?? this.ordered);
  }

  /**
   * Continue a selected field with a filter.
   * @returns {boolean} whether a field was selected
   */
  openFilter() {
    const [start, end] = this.ordered;
    const text = joinText(this.parts);
    const binding = findBindings(text).find((each) => each.start === start && each.end === end);
    if (!binding) return false;
    const open = `{{ ${text.slice(start + 2, end - 2).trim()} | `;
    this.change(replaceParts(this.parts, start, end, open), start + open.length);
    return true;
  }

  /**
   * @param {InputEvent} event
   * @returns {[number, number] | undefined}
   */
  targetOf(event) {
    const [target] = event.getTargetRanges();
    if (!target) return undefined;
    const start = positionOf(this.box, target.startContainer, target.startOffset);
    return [start, positionOf(this.box, target.endContainer, target.endOffset)];
  }

  /**
   * @param {InputEvent} event
   * @returns {[number, number]}
   */
  rangeToDelete(event) {
    const [start, end] = this.ordered;
    if (start !== end) return [start, end];
    if (event.inputType === "deleteContentBackward") return [this.neighbor(start, -1), start];
    if (event.inputType === "deleteContentForward") return [start, this.neighbor(start, 1)];
    return this.targetOf(event) ?? [start, end];
  }

  /**
   * Return the position before or after the next character or field.
   * @param {number} position
   * @param {-1 | 1} by
   */
  neighbor(position, by) {
    const text = joinText(this.parts);
    const binding = findBindings(text).find((each) => (by < 0 ? each.end : each.start) === position);
    if (binding) return by < 0 ? binding.start : binding.end;
    const segments = [...new Intl.Segmenter().segment(by < 0 ? text.slice(0, position) : text.slice(position))];
    const character = (by < 0 ? segments.at(-1) : segments[0])?.segment ?? "";
    return position + by * character.length;
  }

  /** @param {KeyboardEvent} event */
  handleKey(event) {
    this.readSelection();
    if (this.list.handleKey(event, this.box)) return;
    const pressed = combination(event);
    if (event.isComposing) return;
    if (pressed === "Escape" || pressed === "Mod+Enter") {
      event.preventDefault();
      event.stopPropagation();
      return this.close();
    }
    if (pressed === "Tab") {
      event.preventDefault();
      return /** @type {HTMLElement | null} */ (this.toolbar.querySelector("button:not(:disabled), select, input"))?.focus();
    }
    if (this.moveOverField(event)) return event.preventDefault();
    const keys = /** @type {{[keys: string]: () => void}} */ ({ "Mod+Z": () => this.step(true), "Mod+Shift+Z": () => this.step(false), "Mod+Y": () => this.step(false) });
    const command = this.editor.commands.list().find((each) => each.group === "Text" && each.keys?.includes(pressed));
    const run = keys[pressed] ?? (command && (() => command.run(event)));
    if (!run) return;
    event.preventDefault();
    event.stopPropagation();
    run();
  }

  /**
   * Move the caret over a field at once.
   * @param {KeyboardEvent} event
   * @returns {boolean} whether there was one beside the caret
   */
  moveOverField(event) {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key) || event.ctrlKey || event.metaKey || event.altKey) return false;
    const isForward = (event.key === "ArrowRight") === (getComputedStyle(this.box).direction === "ltr");
    const [anchor, focus] = this.range;
    if (anchor !== focus && !event.shiftKey) return false;
    const text = joinText(this.parts);
    const isBeside = findBindings(text).some((each) => each.start === focus || each.end === focus);
    if (!isBeside) return false;
    const to = this.neighbor(focus, isForward ? 1 : -1);
    this.select(event.shiftKey ? anchor : to, to);
    return true;
  }

  /** @param {ClipboardEvent} event */
  copy(event) {
    event.preventDefault();
    event.stopPropagation();
    this.readSelection();
    const [start, end] = this.ordered;
    event.clipboardData?.setData("text/plain", joinText(this.parts).slice(start, end));
    if (event.type === "cut" && start !== end) this.insert("");
  }

  // What is shown

  /**
   * @param {number} anchor
   * @param {number} focus
   */
  select(anchor, focus) {
    const isSame = this.range[0] === anchor && this.range[1] === focus;
    this.range = [anchor, focus];
    getSelection()?.setBaseAndExtent(...pointOf(this.box, anchor), ...pointOf(this.box, focus));
    if (!isSame) this.pending = undefined;
    this.markChips();
    this.emit("range");
  }

  /** Read what the user has selected: the browser's event about it comes later than the next key. */
  readSelection() {
    const selection = getSelection();
    if (!this.isOpen || this.isComposing || !selection?.anchorNode || !selection.focusNode || document.activeElement !== this.box) return;
    if (!this.box.contains(selection.anchorNode) || !this.box.contains(selection.focusNode)) return;
    const anchor = positionOf(this.box, selection.anchorNode, selection.anchorOffset);
    const focus = positionOf(this.box, selection.focusNode, selection.focusOffset);
    if (anchor === this.range[0] && focus === this.range[1]) return;
    this.range = [anchor, focus];
    this.pending = undefined;
    this.markChips();
    this.updateList();
    this.emit("range");
  }

  markChips() {
    const [start, end] = this.ordered;
    for (const [at, child] of [...this.box.childNodes].entries()) {
      if (!(child instanceof HTMLElement) || child.dataset.raw === undefined) continue;
      const from = positionOf(this.box, this.box, at);
      child.classList.toggle("is-selected", start <= from && end >= from + child.dataset.raw.length);
    }
  }

  render() {
    if (!this.isOpen || this.isComposing || !this.layer) return;
    const layer = this.layer;
    const measures = measureParts(this.parts);
    const largest = Math.max(...measures.map((each) => each.scale), ...(this.parts.length ? [] : [1]));
    let at = -1;
    /** @type {Style | undefined} */
    let last;
    const labels = new Map(this.editor.document.fields.map((each) => [each.name, each.label]));
    showParts(this.box, this.parts, (name) => labels.get(name) ?? name, (element, style) => {
      if (style !== last) at++;
      last = style;
      this.dress(element, layer, style, measures[at], largest);
    });
    this.dressBox(layer, largest);
    this.place();
    this.fit(layer, largest);
    if (document.activeElement === this.box) {
      getSelection()?.setBaseAndExtent(...pointOf(this.box, this.range[0]), ...pointOf(this.box, this.range[1]));
    }
    this.markChips();
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
    frame.background = typeof layer.background === "string" ? layer.background : layer.background?.start ?? "none";
    css.fontSize = `${layer.size * largest}px`;
  }

  /**
   * Choose the font size as the engine does: the largest at which the text fits.
   * @param {Layer} layer
   * @param {number} largest
   */
  fit(layer, largest) {
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

  /** Put the element over the layer. */
  place() {
    if (!this.isOpen) return;
    const entry = this.editor.stage.find(this.name);
    if (!entry) return this.close({ isForced: true });
    const { x, y, width, height, rotation } = entry.frame;
    const at = this.editor.stage.toContainer({ x, y });
    const css = this.frame.style;
    css.left = `${at.x}px`;
    css.top = `${at.y}px`;
    css.width = `${width}px`;
    css.height = `${height}px`;
    css.transform = `translate(-50%, -50%) rotate(${rotation}deg) scale(${this.editor.stage.zoom})`;
    this.frame.classList.toggle("is-over", !entry.image && Boolean(entry.layer.parent));
    this.placeToolbar();
  }

  /** Put the toolbar above the layer, or below it if there is no room. */
  placeToolbar() {
    const around = /** @type {HTMLElement} */ (this.toolbar.offsetParent ?? document.body).getBoundingClientRect();
    const box = this.frame.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.toolbar;
    const above = box.top - around.top - height - 12;
    const top = above >= 8 ? above : Math.min(box.bottom - around.top + 12, around.height - height - 8);
    const left = Math.max(Math.min(box.left - around.left, around.width - width - 8), 8);
    this.toolbar.style.left = `${left}px`;
    this.toolbar.style.top = `${Math.max(top, 8)}px`;
    this.problem.style.left = `${left}px`;
    const free = top - this.problem.offsetHeight - 4;
    this.problem.style.top = `${free >= 8 ? free : Math.max(top, 8) + height + 4}px`;
  }

  async loadFonts() {
    const { layer } = this;
    if (!layer) return;
    const styles = [{}, ...this.parts.map((part) => part.style)];
    await Promise.all(styles.map((/** @type {Style} */ style) => (
      this.fonts.load(style.font ?? layer.font, style.weight ?? layer.weight, style.italic ?? layer.italic)
    )));
    this.readSelection();
    this.render();
  }

  addCommands() {
    const isEnabled = () => this.isOpen;
    const toggle = (/** @type {string} */ key, /** @type {any} */ on, /** @type {any} */ off) => () => this.format({ [key]: this.style()[key] === on ? off : on });
    const place = (/** @type {string} */ position) => () => (
      this.format({ position: this.style().position === position ? undefined : position, scale: undefined })
    );
    const bold = () => this.format({ weight: (this.style().weight ?? 0) >= 600 ? 400 : 700 });
    const group = "Text";
    this.editor.commands.add(
      { id: "text-bold", label: "Bold", group, keys: ["Mod+B"], run: bold, isEnabled },
      { id: "text-italic", label: "Italic", group, keys: ["Mod+I"], run: toggle("italic", true, false), isEnabled },
      { id: "text-underline", label: "Underline", group, keys: ["Mod+U"], run: toggle("underline", true, false), isEnabled },
      { id: "text-strike", label: "Strike through", group, keys: ["Mod+Shift+X"], run: toggle("strike", true, false), isEnabled },
      { id: "text-super", label: "Superscript", group, keys: ["Mod+."], run: place("super"), isEnabled },
      { id: "text-sub", label: "Subscript", group, keys: ["Mod+,"], run: place("sub"), isEnabled },
      { id: "text-font", label: "Font", group, run: () => this.pickFont(), isEnabled },
      { id: "text-color", label: "Text color", group, run: () => this.pickColor("color"), isEnabled },
      { id: "text-highlight", label: "Highlight", group, run: () => this.pickColor("highlight"), isEnabled },
      { id: "text-field", label: "Insert field", group, keys: ["Mod+J"], run: () => this.startField(), isEnabled },
      { id: "text-clear", label: "Clear formatting", group, keys: ["Mod+\\"], run: () => this.clearFormat(), isEnabled },
    );
  }

  /** @param {string} type */
  emit(type) {
    this.dispatchEvent(new CustomEvent(type));
  }
}

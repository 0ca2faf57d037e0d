// Text in place: an editable element exactly over the layer, whose tile is hidden meanwhile. What is typed is changed in
// the parts of the text (spans.js) and shown from there: the browser changes nothing in the element on its own.

import { _, formatNumber } from "../i18n.js";
import { addField } from "./fields.js";
import { FieldList, fieldNames, findOpenBinding } from "./field-list.js";
import { findLayer } from "./model.js";
import {
  MAX_SPANS, MAX_TEXT, changeStyle, clearParts, commonStyle, findBindings, findProblem, formatParts, joinText, mergeParts,
  readParts, replaceParts, styleAt, widenRange, writeParts,
} from "./spans.js";
import { pointOf, positionOf } from "./text-box.js";
import { addTextCommands } from "./text-commands.js";
import { TextInput } from "./text-input.js";
import { installTextToolbar } from "./text-toolbar.js";
import { TextView } from "./text-view.js";

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
  new TextInput(editing);
  addTextCommands(editing);
  installTextToolbar(editing);
}

/** Events: "range" (the selection or its style has changed), "open", "close". */
export class TextEditing extends EventTarget {
  /** @param {Editor} editor */
  constructor(editor) {
    super();
    this.editor = editor;
    this.fonts = editor.fonts;
    this.view = new TextView(editor);
    this.box = this.view.box;
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
    const { editor, view } = this;
    editor.addEventListener("edit", (event) => this.open(/** @type {CustomEvent} */ (event).detail));
    editor.stage.addEventListener("camera", () => this.place());
    editor.stage.addEventListener("shown", () => this.place());
    editor.session.addEventListener("document", () => this.follow());
    editor.addEventListener("select", () => {
      if (this.isOpen && editor.selection[0] !== this.name) this.close({ isForced: true });
    });
    addEventListener("pointerdown", (event) => {
      if (this.isOpen && view.isOutside(/** @type {Element} */ (event.target))) this.close();
    }, { capture: true });
    document.addEventListener("selectionchange", () => this.readSelection());
    view.frame.addEventListener("dblclick", (event) => event.stopPropagation());
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
    this.view.open(name);
    this.loadFonts();
    this.render();
    this.box.focus({ preventScroll: true });
    this.select(0, joinText(this.parts).length);
    this.emit("open");
    this.editor.announce(_("Editing the text of %(name)s. Escape ends, Tab goes to the format.", { name }));
  }

  /** @param {{isForced?: boolean}} [options] isForced: drop what the server would refuse */
  close({ isForced = false } = {}) {
    if (!this.isOpen) return;
    const problem = this.findProblem();
    if (problem && !isForced && !this.isWarned) {
      this.isWarned = true;
      return this.view.showProblem(_("%(problem)s. Correct it, or end again to go back to the last valid text.", { problem }));
    }
    this.save();
    this.name = "";
    this.list.hide(this.box);
    this.view.close();
    this.emit("close");
  }

  // The document

  findProblem() {
    const names = fieldNames(this.editor, this.name).map((field) => field.name);
    return findProblem(joinText(this.parts), [...names, ...this.newFields], Object.keys(this.editor.start.filters));
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
    if (parts.length > MAX_SPANS) return this.editor.toast(_("A text can have at most %(limit)s styles", { limit: MAX_SPANS }));
    if (!isContinued) this.undoSteps.push({ parts: this.parts, range: this.range });
    this.undoSteps.splice(0, Math.max(this.undoSteps.length - MAX_STEPS, 0));
    this.redoSteps = [];
    this.parts = parts;
    this.range = [start, end];
    this.isWarned = false;
    this.view.showProblem("");
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
    if (text.length > room) this.editor.toast(_("A text can have at most %(limit)s characters", { limit: formatNumber(MAX_TEXT) }));
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

  // Fields

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
    this.editor.announce(_("%(name)s inserted", { name: option.label }));
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
    this.list.show(open, this.name, this.view.caretBox(), this.box);
  }

  // The selection

  /**
   * @param {number} anchor
   * @param {number} focus
   */
  select(anchor, focus) {
    const isSame = this.range[0] === anchor && this.range[1] === focus;
    this.range = [anchor, focus];
    this.restoreSelection();
    if (!isSame) this.pending = undefined;
    this.view.markChips(this.ordered);
    this.emit("range");
  }

  /** Select in the element what is selected in the text. */
  restoreSelection() {
    const [anchor, focus] = this.range;
    getSelection()?.setBaseAndExtent(...pointOf(this.box, anchor), ...pointOf(this.box, focus));
  }

  /** Give the focus back to the text, with its selection. */
  focus() {
    if (!this.isOpen) return;
    this.box.focus({ preventScroll: true });
    this.select(...this.range);
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
    this.view.markChips(this.ordered);
    this.updateList();
    this.emit("range");
  }

  // What is shown

  render() {
    const { layer } = this;
    if (!this.isOpen || this.isComposing || !layer) return;
    this.view.render(layer, this.parts);
    this.place();
    this.view.fit(layer, this.parts);
    if (document.activeElement === this.box) this.restoreSelection();
    this.view.markChips(this.ordered);
  }

  place() {
    if (!this.isOpen) return;
    const entry = this.editor.stage.find(this.name);
    if (!entry) return this.close({ isForced: true });
    this.view.place(entry);
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

  /** @param {string} type */
  emit(type) {
    this.dispatchEvent(new CustomEvent(type));
  }
}

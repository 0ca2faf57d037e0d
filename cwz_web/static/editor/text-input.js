// What the user does in the element of a text: typing, deleting, keys and the clipboard become changes of its parts.

import { combination } from "./commands.js";
import { findBindings, joinText, replaceParts } from "./spans.js";
import { positionOf } from "./text-box.js";

/** @typedef {import("./text-editing.js").TextEditing} TextEditing */

export class TextInput {
  /** @param {TextEditing} editing */
  constructor(editing) {
    this.editing = editing;
    this.box = editing.view.box;
    this.listen();
  }

  listen() {
    const { box, editing } = this;
    box.addEventListener("beforeinput", (event) => this.input(event));
    box.addEventListener("compositionstart", () => {
      editing.readSelection();
      editing.isComposing = true;
    });
    box.addEventListener("compositionend", (event) => {
      editing.isComposing = false;
      // The browser has put it into the element: show the text from its parts again.
      editing.insert(/** @type {CompositionEvent} */ (event).data);
      editing.render();
    });
    box.addEventListener("keydown", (event) => this.handleKey(event));
    for (const type of /** @type {const} */ (["copy", "cut"])) box.addEventListener(type, (event) => this.copy(event));
    box.addEventListener("paste", (event) => {
      event.preventDefault();
      event.stopPropagation();
      editing.readSelection();
      editing.insert(withLineFeeds(event.clipboardData?.getData("text/plain") ?? ""));
    });
    box.addEventListener("click", (event) => {
      const chip = /** @type {HTMLElement} */ (event.target).closest("[data-raw]");
      if (!chip?.parentNode) return;
      const start = positionOf(box, box, [...box.childNodes].indexOf(/** @type {ChildNode} */ (chip)));
      editing.select(start, start + (/** @type {HTMLElement} */ (chip).dataset.raw ?? "").length);
    });
  }

  /** @param {InputEvent} event */
  input(event) {
    if (event.inputType === "insertCompositionText" || event.isComposing) return;
    event.preventDefault();
    this.editing.readSelection();
    const { inputType: type } = event;
    const styles = /** @type {{[type: string]: string}} */ ({ formatBold: "text-bold", formatItalic: "text-italic", formatUnderline: "text-underline" });
    if (type in styles) return this.editing.editor.commands.run(styles[type]);
    if (type === "historyUndo" || type === "historyRedo") return this.editing.step(type === "historyUndo");
    if (type.startsWith("delete")) return this.editing.insert("", this.rangeToDelete(event));
    if (type === "insertParagraph" || type === "insertLineBreak") return this.editing.insert("\n");
    const text = event.data ?? event.dataTransfer?.getData("text/plain") ?? "";
    const target = type === "insertReplacementText" ? this.targetOf(event) : undefined;
    if (text === "|" && this.openFilter()) return;
    this.editing.insert(withLineFeeds(text), target ?? this.editing.ordered);
  }

  /**
   * Continue a selected field with a filter.
   * @returns {boolean} whether a field was selected
   */
  openFilter() {
    const [start, end] = this.editing.ordered;
    const text = joinText(this.editing.parts);
    const binding = findBindings(text).find((each) => each.start === start && each.end === end);
    if (!binding) return false;
    const open = `{{ ${text.slice(start + 2, end - 2).trim()} | `;
    this.editing.change(replaceParts(this.editing.parts, start, end, open), start + open.length);
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
    const [start, end] = this.editing.ordered;
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
    const text = joinText(this.editing.parts);
    const binding = findBindings(text).find((each) => (by < 0 ? each.end : each.start) === position);
    if (binding) return by < 0 ? binding.start : binding.end;
    const segments = [...new Intl.Segmenter().segment(by < 0 ? text.slice(0, position) : text.slice(position))];
    const character = (by < 0 ? segments.at(-1) : segments[0])?.segment ?? "";
    return position + by * character.length;
  }

  /** @param {KeyboardEvent} event */
  handleKey(event) {
    this.editing.readSelection();
    if (this.editing.list.handleKey(event, this.box)) return;
    const pressed = combination(event);
    if (event.isComposing) return;
    if (pressed === "Escape" || pressed === "Mod+Enter") {
      event.preventDefault();
      event.stopPropagation();
      return this.editing.close();
    }
    if (pressed === "Tab") {
      event.preventDefault();
      return /** @type {HTMLElement | null} */ (this.editing.view.toolbar.querySelector("button:not(:disabled), select, input"))?.focus();
    }
    if (this.moveOverField(event)) return event.preventDefault();
    const keys = /** @type {{[keys: string]: () => void}} */ ({ "Mod+Z": () => this.editing.step(true), "Mod+Shift+Z": () => this.editing.step(false), "Mod+Y": () => this.editing.step(false) });
    const command = this.editing.editor.commands.list().find((each) => each.group === "Text" && each.keys?.includes(pressed));
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
    const [anchor, focus] = this.editing.range;
    if (anchor !== focus && !event.shiftKey) return false;
    const text = joinText(this.editing.parts);
    const isBeside = findBindings(text).some((each) => each.start === focus || each.end === focus);
    if (!isBeside) return false;
    const to = this.neighbor(focus, isForward ? 1 : -1);
    this.editing.select(event.shiftKey ? anchor : to, to);
    return true;
  }

  /** @param {ClipboardEvent} event */
  copy(event) {
    event.preventDefault();
    event.stopPropagation();
    this.editing.readSelection();
    const [start, end] = this.editing.ordered;
    event.clipboardData?.setData("text/plain", joinText(this.editing.parts).slice(start, end));
    if (event.type === "cut" && start !== end) this.editing.insert("");
  }
}

/** @param {string} text */
function withLineFeeds(text) {
  return text.replace(/\r\n?/g, "\n");
}

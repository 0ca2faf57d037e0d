// The list of fields and filters that `@` or `{{` opens while a text is typed. The focus stays in the text.

import { _, inSentence } from "../i18n.js";
import { findOffers } from "./fields.js";
import { containerOf, locate } from "./model.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {{value: string, label: string, help: string, kind: "field" | "filter" | "new"}} Option */
/**
 * What is typed: from the `@` or `{{` to the caret.
 * @typedef {{start: number, end: number, name: string, filter: string | null}} OpenBinding
 */

const MAX_OPTIONS = 30;
const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,62}$/;

/**
 * Return the binding that is being typed before the caret, if there is one.
 * @param {string} text
 * @param {number} caret
 * @returns {OpenBinding | undefined}
 */
export function findOpenBinding(text, caret) {
  const before = text.slice(0, caret);
  const open = before.lastIndexOf("{{");
  if (open >= 0 && !before.slice(open).includes("}}")) return readOpen(before, open, 2);
  const at = before.lastIndexOf("@");
  // An email address has a letter before its @.
  if (at < 0 || /[\p{L}\p{N}._-]$/u.test(before.slice(0, at)) || !/^@[\w.]*(\s*\|[^\n]*)?$/.test(before.slice(at))) return undefined;
  return readOpen(before, at, 1);
}

/**
 * @param {string} before
 * @param {number} start
 * @param {number} length of what opens it
 * @returns {OpenBinding | undefined}
 */
function readOpen(before, start, length) {
  const typed = before.slice(start + length);
  if (typed.includes("\n")) return undefined;
  const pipe = typed.lastIndexOf("|");
  return {
    start, end: before.length, name: (pipe < 0 ? typed : typed.slice(0, pipe)).trim(),
    filter: pipe < 0 ? null : typed.slice(pipe + 1).trim(),
  };
}

/** @type {{[type: string]: string}} */
const TYPES = {
  boolean: _("Boolean"), color: _("Color"), date: _("Date"), image: _("Image"), list: _("List"), money: _("Money"), number: _("Number"),
  text: _("Text"),
};

/** @param {string} type */
function typeName(type) {
  return inSentence(TYPES[type] ?? type);
}

/**
 * Return the names that a layer's text can use, with their labels.
 * @param {Editor} editor
 * @param {string} layer
 */
export function fieldNames(editor, layer) {
  const { document } = editor;
  const fields = document.fields.map(({ name, label, type }) => ({ name, label, help: typeName(type) }));
  const columns = findOffers(document, editor.columns).filter(({ isNew }) => isNew);
  const offered = columns.map(({ name, label, type }) => ({ name, label, help: _("%(type)s of the feed", { type: typeName(type) }) }));
  const computed = (document.computed ?? []).map(({ name }) => ({ name, label: name, help: _("computed") }));
  const containers = [...(locate(document, layer)?.containers ?? []), containerOf(document, layer)];
  const entry = containers.some((each) => each?.repeat?.field) ? ["item", "index", "count"] : [];
  return [...fields, ...computed, ...offered, ...entry.map((name) => ({ name, label: name, help: _("of the repeated entry") }))];
}

export class FieldList {
  /**
   * @param {Editor} editor
   * @param {(option: Option, open: OpenBinding) => void} choose
   */
  constructor(editor, choose) {
    this.editor = editor;
    this.choose = choose;
    this.element = /** @type {HTMLElement} */ (editor.root.querySelector("#field-list"));
    /** @type {Option[]} */
    this.options = [];
    this.active = 0;
    /** @type {OpenBinding | undefined} */
    this.open = undefined;
    // The text keeps the focus.
    this.element.addEventListener("pointerdown", (event) => event.preventDefault());
    this.element.addEventListener("click", (event) => {
      const item = /** @type {HTMLElement} */ (event.target).closest("[data-at]");
      if (item instanceof HTMLElement) this.pick(Number(item.dataset.at));
    });
  }

  get isOpen() {
    return !this.element.hidden;
  }

  /**
   * Show what fits to what is typed, or hide the list.
   * @param {OpenBinding | undefined} open
   * @param {string} layer
   * @param {DOMRect} at where the caret is
   * @param {HTMLElement} box the text, which controls the list
   */
  show(open, layer, at, box) {
    const before = this.open;
    this.open = open;
    this.options = open ? this.findOptions(open, layer) : [];
    this.element.hidden = !this.options.length;
    if (!open || !this.options.length) {
      box.removeAttribute("aria-activedescendant");
      return;
    }
    if (before?.start !== open.start || before?.filter === null !== (open.filter === null)) this.active = 0;
    this.render(box);
    this.place(at);
  }

  /**
   * @param {OpenBinding} open
   * @param {string} layer
   * @returns {Option[]}
   */
  findOptions(open, layer) {
    const isLike = (/** @type {string[]} */ texts, /** @type {string} */ typed) => texts.some((each) => each.toLowerCase().includes(typed.toLowerCase()));
    if (open.filter !== null) {
      const { filter } = open;
      const examples = Object.entries(/** @type {{[name: string]: string}} */ (this.editor.start.filters));
      return examples.filter(([name]) => isLike([name], filter.split("(")[0]))
        .map(([name, example]) => ({ value: example, label: name, help: example === name ? "" : example, kind: "filter" }));
    }
    const names = fieldNames(this.editor, layer);
    /** @type {Option[]} */
    const options = names.filter(({ name, label }) => isLike([name, label], open.name)).slice(0, MAX_OPTIONS)
      .map(({ name, label, help }) => ({ value: name, label, help: label === name ? help : `${name}, ${help}`, kind: "field" }));
    if (NAME.test(open.name) && !names.some(({ name }) => name === open.name)) {
      options.push({ value: open.name, label: _("New field “%(name)s”", { name: open.name }), help: typeName("text"), kind: "new" });
    }
    return options;
  }

  /** @param {HTMLElement} box */
  render(box) {
    this.active = Math.min(this.active, this.options.length - 1);
    this.element.replaceChildren(...this.options.map(({ label, help }, at) => {
      const item = document.createElement("li");
      item.id = `field-option-${at}`;
      item.dataset.at = String(at);
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", String(at === this.active));
      const name = document.createElement("span");
      name.textContent = label;
      const more = document.createElement("span");
      more.className = "muted small";
      more.textContent = help;
      item.append(name, more);
      return item;
    }));
    box.setAttribute("aria-activedescendant", `field-option-${this.active}`);
    this.element.children[this.active]?.scrollIntoView({ block: "nearest" });
  }

  /** @param {DOMRect} at */
  place(at) {
    const { element } = this;
    const around = /** @type {HTMLElement} */ (element.offsetParent ?? document.body).getBoundingClientRect();
    const left = Math.min(at.left - around.left, around.width - element.offsetWidth - 8);
    const below = at.bottom - around.top + 4;
    const isAbove = below + element.offsetHeight > around.height && at.top - around.top > element.offsetHeight;
    element.style.left = `${Math.max(left, 8)}px`;
    element.style.top = `${isAbove ? at.top - around.top - element.offsetHeight - 4 : below}px`;
  }

  /**
   * Move in the list, choose from it, or close it.
   * @param {KeyboardEvent} event
   * @param {HTMLElement} box
   * @returns {boolean} whether the key was for the list
   */
  handleKey(event, box) {
    if (!this.isOpen || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return false;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const by = event.key === "ArrowDown" ? 1 : -1;
      this.active = (this.active + by + this.options.length) % this.options.length;
      this.render(box);
    } else if (event.key === "Enter" || event.key === "Tab") this.pick(this.active);
    else if (event.key === "Escape") this.hide(box);
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  /** @param {HTMLElement} box */
  hide(box) {
    this.element.hidden = true;
    this.open = undefined;
    box.removeAttribute("aria-activedescendant");
  }

  /** @param {number} at */
  pick(at) {
    const option = this.options[at];
    if (option && this.open) this.choose(option, this.open);
  }
}

// The font picker: a popover with a search and each font in its own letters. The focus stays in the search.

import { _, ngettext } from "../i18n.js";
import { familyOf, weightsOf } from "./fonts.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./fonts.js").Font} Font */
/**
 * @typedef {{anchor: HTMLElement, value: string, weight: number, choose: (reference: string) => void,
 *   chooseWeight: (weight: number) => void, close?: () => void}} FontRequest
 */

const RECENT = "editor:fonts";
const MAX_RECENT = 5;
const OPENING_KEYS = ["Enter", " ", "ArrowDown", "ArrowUp"];

/** @param {Editor} editor */
export function installFonts(editor) {
  const picker = new FontPicker(editor);
  editor.pickFont = (request) => picker.open(request);
  const panel = /** @type {HTMLElement} */ (editor.root.querySelector("#properties"));
  const open = (/** @type {Event} */ event) => {
    const select = event.target;
    if (!(select instanceof HTMLSelectElement) || select.name !== "font") return;
    event.preventDefault();
    select.focus();  // where the popover gives the focus back to
    const find = (/** @type {string} */ name) => /** @type {HTMLSelectElement} */ (panel.querySelector(`select[name=${name}]`));
    const change = (/** @type {string} */ name, /** @type {string} */ value) => {
      find(name).value = value;
      find(name).dispatchEvent(new Event("change", { bubbles: true }));
    };
    picker.open({
      anchor: select,
      value: select.value,
      weight: Number(find("weight").value),
      choose: (reference) => change("font", reference),
      chooseWeight: (weight) => change("weight", String(weight)),
    });
  };
  panel.addEventListener("mousedown", open);
  panel.addEventListener("keydown", (event) => OPENING_KEYS.includes(event.key) && open(event));
}

/** @returns {string[]} */
function readRecent() {
  try {
    return JSON.parse(localStorage.getItem(RECENT) ?? "[]");
  } catch {
    return [];
  }
}

/** @param {string} reference */
function keepRecent(reference) {
  try {
    localStorage.setItem(RECENT, JSON.stringify([reference, ...readRecent().filter((each) => each !== reference)].slice(0, MAX_RECENT)));
  } catch {
    // Without storage, no font is recent.
  }
}

class FontPicker {
  /** @param {Editor} editor */
  constructor(editor) {
    this.fonts = editor.fonts;
    this.element = /** @type {HTMLElement} */ (editor.root.querySelector("#font-picker"));
    this.search = /** @type {HTMLInputElement} */ (this.element.querySelector("input"));
    this.list = /** @type {HTMLElement} */ (this.element.querySelector("[role=listbox]"));
    this.weights = /** @type {HTMLElement} */ (this.element.querySelector("[data-weights]"));
    /** @type {Font[]} in the order of the list */
    this.shown = [];
    this.active = 0;
    /** @type {FontRequest | undefined} */
    this.request = undefined;
    // A font is loaded when its row can be seen.
    this.observer = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        this.observer.unobserve(target);
        this.fonts.load(/** @type {HTMLElement} */ (target).dataset.font ?? "");
      }
    }, { root: this.list });
    this.listen();
  }

  listen() {
    const { element, search, list, weights } = this;
    search.addEventListener("input", () => this.render());
    element.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") element.hidePopover();
      else if (event.target === search && this.handleKey(event)) event.preventDefault();
    });
    list.addEventListener("click", (event) => {
      const option = /** @type {Element} */ (event.target).closest("[role=option]");
      if (option instanceof HTMLElement) this.choose(Number(option.dataset.at));
    });
    weights.addEventListener("click", (event) => {
      const button = /** @type {Element} */ (event.target).closest("button");
      if (!button || !this.request) return;
      this.request.weight = Number(button.value);
      this.request.chooseWeight(this.request.weight);
      this.showWeights();
    });
    element.addEventListener("toggle", (event) => {
      if (/** @type {ToggleEvent} */ (event).newState !== "closed") return;
      const { request } = this;
      this.request = undefined;
      if (request?.close) request.close();
      else if (document.activeElement === document.body) request?.anchor.focus();
    });
  }

  /** @param {FontRequest} request */
  async open(request) {
    this.element.hidePopover();
    this.request = request;
    this.search.value = "";
    this.all = await this.fonts.all();
    this.element.showPopover();
    this.render();
    const current = this.shown.findIndex((font) => font.reference === request.value);
    this.activate(Math.max(current, 0));
    this.place(request.anchor);
    this.search.focus();
  }

  /** @param {HTMLElement} anchor */
  place(anchor) {
    const at = anchor.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.element;
    this.element.style.left = `${Math.max(Math.min(at.left, innerWidth - width - 8), 8)}px`;
    this.element.style.top = `${Math.max(Math.min(at.bottom + 6, innerHeight - height - 8), 8)}px`;
  }

  /** @returns {[string, Font[]][]} */
  groups() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (/** @type {Font} */ font) => {
      const text = [font.name, ...font.scripts].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    };
    const fonts = (this.all ?? []).filter(fits);
    const recent = readRecent().flatMap((reference) => fonts.find((font) => font.reference === reference) ?? []);
    return [
      [_("Recent"), recent],
      [_("Uploaded"), fonts.filter((font) => font.isUploaded && !recent.includes(font))],
      [_("Built-in"), fonts.filter((font) => !font.isUploaded && !recent.includes(font))],
    ];
  }

  render() {
    this.shown = [];
    this.observer.disconnect();
    const rows = this.groups().flatMap(([title, fonts]) => {
      if (!fonts.length) return [];
      const head = document.createElement("li");
      head.setAttribute("role", "presentation");
      head.className = "muted small";
      head.textContent = title;
      return [head, ...fonts.map((font) => this.createRow(font))];
    });
    if (!rows.length) {
      const none = document.createElement("li");
      none.setAttribute("role", "presentation");
      none.textContent = _("No font has this name or language");
      rows.push(none);
    }
    this.list.replaceChildren(...rows);
    this.activate(0);
    this.showWeights();
  }

  /** @param {Font} font */
  createRow(font) {
    const row = document.createElement("li");
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(font.reference === this.request?.value));
    row.id = `font-option-${this.shown.length}`;
    row.dataset.at = String(this.shown.length);
    row.dataset.font = font.reference;
    const name = document.createElement("span");
    name.textContent = font.name;
    name.style.fontFamily = `"${familyOf(font.reference)}", var(--font)`;
    const more = document.createElement("span");
    more.className = "muted small";
    const weights = font.isUploaded ? "" : ngettext("%(count)s weight", "%(count)s weights", weightsOf(font).length);
    more.textContent = [weights, ...font.scripts.filter((each) => each !== "Latin")].filter(Boolean).join(", ");
    row.append(name, more);
    this.shown.push(font);
    this.observer.observe(row);
    return row;
  }

  /** @param {number} at */
  activate(at) {
    this.active = at;
    for (const row of this.list.querySelectorAll("[role=option]")) row.classList.toggle("is-active", row.id === `font-option-${at}`);
    this.search.setAttribute("aria-activedescendant", `font-option-${at}`);
    this.list.querySelector(".is-active")?.scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  handleKey(event) {
    const count = this.shown.length;
    const to = /** @type {{[key: string]: number}} */ ({ ArrowDown: this.active + 1, ArrowUp: this.active - 1 })[event.key];
    if (to !== undefined && count) this.activate((to + count) % count);
    else if (event.key === "Enter") {
      this.choose(this.active);
      this.element.hidePopover();
    } else return false;
    return true;
  }

  /** @param {number} at */
  choose(at) {
    const font = this.shown[at];
    if (!font || !this.request) return;
    keepRecent(font.reference);
    this.request.value = font.reference;
    this.request.choose(font.reference);
    for (const row of this.list.querySelectorAll("[role=option]")) {
      row.setAttribute("aria-selected", String(/** @type {HTMLElement} */ (row).dataset.font === font.reference));
    }
    this.activate(at);
    this.showWeights();
  }

  /** Show the weights that the chosen font has. */
  showWeights() {
    const { request } = this;
    const font = this.all?.find((each) => each.reference === request?.value);
    const weights = font && !font.isUploaded ? weightsOf(font) : [];
    this.weights.hidden = weights.length < 2;
    this.weights.replaceChildren(...weights.map((weight) => {
      const button = document.createElement("button");
      button.type = "button";
      button.value = String(weight);
      button.textContent = String(weight);
      button.setAttribute("aria-pressed", String(weight === request?.weight));
      return button;
    }));
  }
}

// What the properties panel must not lose when its forms are loaded again: the focus, open groups, the scroll position,
// and what the server has refused.

import { _ } from "../i18n.js";

/** @typedef {import("./session.js").InvalidChangeError} InvalidChangeError */
/** @typedef {{values: Map<string, string | boolean>, error: InvalidChangeError}} Refusal */
/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Control */

// The server's name of the error that says which field a template lacks.
const MISSING_FIELD = "missing-field";

export class PanelState {
  /**
   * @param {HTMLElement} panel
   * @param {HTMLElement} scroller
   */
  constructor(panel, scroller) {
    this.panel = panel;
    this.scroller = scroller;
    /** @type {Map<string, boolean>} whether the user has opened a group, by its ID */
    this.groups = new Map();
    /** @type {Map<string, number>} by the type of what the forms are about */
    this.scrolls = new Map();
    /** @type {Map<string, Refusal>} by the form */
    this.refusals = new Map();
    /** What the forms are about: a layer, and its type. */
    this.subject = "";
    this.type = "";
    /** @type {{id: string, range: [number | null, number | null] | null} | undefined} */
    this.focus = undefined;
    panel.addEventListener("click", (event) => {
      const group = /** @type {Element} */ (event.target).closest("summary")?.parentElement;
      if (group instanceof HTMLDetailsElement && group.id) this.groups.set(group.id, !group.open);
    });
    panel.addEventListener("change", () => showApplicable(panel));
  }

  /** Remember what a swap could lose. */
  save() {
    const active = document.activeElement;
    this.focus = undefined;
    if (active?.id && this.panel.contains(active)) this.focus = { id: active.id, range: rangeOf(active) };
    this.scrolls.set(this.type, this.scroller.scrollTop);
  }

  /**
   * Restore it after the swap.
   * @param {string} subject
   * @param {string} type
   */
  restore(subject, type) {
    const isSame = subject === this.subject;
    this.subject = subject;
    this.type = type;
    if (!isSame) this.refusals.clear();
    // A change of its attributes does not change a control that the user has changed.
    for (const control of controlsOf(this.panel)) if (!isSame || !isTyped(control)) reset(control);
    for (const [id, isOpen] of this.groups) {
      const group = document.getElementById(id);
      if (group instanceof HTMLDetailsElement) group.open = isOpen;
    }
    for (const form of this.panel.querySelectorAll("form")) {
      const refusal = this.refusals.get(keyOf(form));
      if (refusal) showRefusal(form, refusal);
    }
    showApplicable(this.panel);
    this.restoreFocus();
    this.scroller.scrollTop = this.scrolls.get(type) ?? 0;
  }

  restoreFocus() {
    if (!this.focus || this.panel.contains(document.activeElement)) return;
    const field = document.getElementById(this.focus.id);
    field?.focus({ preventScroll: true });
    if (this.focus.range && field instanceof HTMLInputElement) field.setSelectionRange(...this.focus.range);
  }

  /**
   * Show why the server has refused a form, until it accepts it or another layer is selected.
   * @param {HTMLFormElement} form
   * @param {InvalidChangeError} error
   */
  refuse(form, error) {
    const changed = controlsOf(form).filter((control) => control.name && isChanged(control));
    const values = new Map(changed.map((control) => [control.name, readValue(control)]));
    const refusal = { values, error };
    this.refusals.set(keyOf(form), refusal);
    showRefusal(form, refusal);
  }

  /** @param {HTMLFormElement} form */
  accept(form) {
    this.refusals.delete(keyOf(form));
    clearErrors(form);
  }
}

/**
 * Show the fields that do something with the values of the form, as the server does, and those it has refused.
 * @param {HTMLElement} panel
 */
function showApplicable(panel) {
  for (const field of /** @type {NodeListOf<HTMLElement>} */ (panel.querySelectorAll("[data-need]"))) {
    const { need = "", values = "" } = field.dataset;
    const control = /** @type {Control | null | undefined} */ (field.closest("form")?.elements.namedItem(need));
    if (!control) continue;
    const value = isCheck(control) ? (control.checked ? control.value : "") : control.value;
    field.hidden = !values.split(" ").includes(value) && !field.querySelector("[aria-invalid]");
  }
}

/** @param {HTMLFormElement} form */
function keyOf(form) {
  const what = form.elements.namedItem("do");
  return `${form.getAttribute("action")} ${what instanceof HTMLInputElement ? what.value : ""}`;
}

/** @param {HTMLElement} within */
function controlsOf(within) {
  return /** @type {Control[]} */ ([...within.querySelectorAll("input:not([type=hidden], [type=file]), select, textarea")]);
}

/**
 * Return whether the user is typing into a control.
 * @param {Control} control
 */
function isTyped(control) {
  return control === document.activeElement && !(control instanceof HTMLSelectElement) && !isCheck(control);
}

/**
 * @param {Control} control
 * @returns {control is HTMLInputElement}
 */
function isCheck(control) {
  return control instanceof HTMLInputElement && (control.type === "checkbox" || control.type === "radio");
}

/** @param {Control} control */
function readValue(control) {
  return isCheck(control) ? control.checked : control.value;
}

/** @param {Control} control */
function readDefault(control) {
  if (control instanceof HTMLSelectElement) return ([...control.options].find((each) => each.defaultSelected) ?? control.options[0])?.value ?? "";
  return isCheck(control) ? control.defaultChecked : control.defaultValue;
}

/** @param {Control} control */
function isChanged(control) {
  return readValue(control) !== readDefault(control);
}

/** @param {Control} control */
function reset(control) {
  if (isChanged(control)) setValue(control, readDefault(control));
}

/**
 * @param {Control} control
 * @param {string | boolean} value
 */
function setValue(control, value) {
  if (isCheck(control)) control.checked = Boolean(value);
  else control.value = String(value);
}

/** @param {Element} field */
function rangeOf(field) {
  const isText = field instanceof HTMLTextAreaElement || (field instanceof HTMLInputElement && field.selectionStart !== null);
  return isText ? /** @type {[number | null, number | null]} */ ([field.selectionStart, field.selectionEnd]) : null;
}

/**
 * @param {HTMLFormElement} form
 * @param {Refusal} refusal
 */
function showRefusal(form, { values, error }) {
  clearErrors(form);
  for (const control of controlsOf(form)) {
    const value = values.get(control.name);
    if (value !== undefined && !isTyped(control)) setValue(control, value);
  }
  const entries = Object.entries(error.errors);
  for (const [name, message] of entries.length ? entries : [["", error.message]]) showError(form, name, message);
}

/**
 * @param {HTMLFormElement} form
 * @param {string} name of the field; empty for the form
 * @param {string} message
 */
function showError(form, name, message) {
  if (name === MISSING_FIELD) return offerField(form, message);
  const field = name ? form.elements.namedItem(name) : null;
  const text = document.createElement("p");
  text.className = "error";
  text.dataset.liveError = "";
  text.setAttribute("role", "alert");
  text.textContent = message;
  if (!(field instanceof HTMLElement)) return form.prepend(text);
  text.id = `${field.id}-live-error`;
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", text.id);
  (field.closest(".field") ?? form).append(text);
  const group = field.closest("details");
  if (group) group.open = true;
}

/**
 * Offer to add the field that a layer uses and the template lacks.
 * @param {HTMLFormElement} form
 * @param {string} field
 */
function offerField(form, field) {
  const text = document.createElement("div");
  text.className = "error";
  text.dataset.liveError = "";
  text.setAttribute("role", "alert");
  const add = document.createElement("button");
  add.name = "add";
  add.value = field;
  add.textContent = _("Add field %(field)s", { field });
  text.append(`${_("The template has no field %(field)s", { field })}. `, add);
  form.prepend(text);
}

/** @param {HTMLFormElement} form */
function clearErrors(form) {
  for (const each of form.querySelectorAll("[data-live-error]")) each.remove();
  for (const each of form.querySelectorAll("[aria-invalid]")) {
    each.removeAttribute("aria-invalid");
    each.removeAttribute("aria-describedby");
  }
}

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
    /** @type {Set<string>} the controls that the user has changed since they were loaded or sent */
    this.touched = new Set();
    /** @type {Map<string, string | boolean>} what was sent of controls since they were loaded */
    this.accepted = new Map();
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
    for (const type of ["input", "change"]) panel.addEventListener(type, (event) => this.touch(/** @type {Control} */ (event.target)));
  }

  /**
   * Remember that the user has changed a form: also what is typed back is a change of what was sent meanwhile.
   * @param {Control} control
   */
  touch({ form }) {
    if (form) for (const name of this.changesOf(form)) this.touched.add(`${keyOf(form)} ${name}`);
  }

  /**
   * Return the names of the controls of a form that the user has changed.
   * @param {HTMLFormElement} form
   * @returns {string[]}
   */
  changesOf(form) {
    const prefix = keyOf(form);
    const isOwn = (/** @type {Control} */ each) => {
      const key = `${prefix} ${each.name}`;
      return this.touched.has(key) || readValue(each) !== (this.accepted.get(key) ?? readDefault(each));
    };
    return controlsOf(form).filter((each) => each.name && isOwn(each)).map((each) => each.name);
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
   * @param {import("./session.js").Waiting[]} waiting forms that the server does not have yet
   */
  restore(subject, type, waiting) {
    const isSame = subject === this.subject;
    const active = /** @type {Control} */ (document.activeElement);
    const typing = isSame && active?.form && isTyped(active) ? `${keyOf(active.form)} ${active.name}` : "";
    this.touched = new Set(this.touched.has(typing) ? [typing] : []);
    this.accepted.clear();
    this.subject = subject;
    this.type = type;
    if (!isSame) this.refusals.clear();
    // A change of its attributes does not change a control that the user has changed.
    for (const control of controlsOf(this.panel)) if (!this.touched.size || control !== active) reset(control);
    for (const [id, isOpen] of this.groups) {
      const group = document.getElementById(id);
      if (group instanceof HTMLDetailsElement) group.open = isOpen;
    }
    for (const form of this.panel.querySelectorAll("form")) {
      for (const each of waiting) if (each.form && each.key === keyOf(form)) showWaiting(form, each.form);
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
    const changed = this.changesOf(form);
    const values = new Map(controlsOf(form).filter(({ name }) => changed.includes(name)).map((control) => [control.name, readValue(control)]));
    const refusal = { values, error };
    this.refusals.set(keyOf(form), refusal);
    showRefusal(form, refusal);
  }

  /**
   * The server has accepted a form: what is changed from now on is another change.
   * @param {HTMLFormElement} form
   * @param {{[field: string]: string}} fields
   * @param {string[]} changed
   * @param {import("./session.js").Waiting[]} waiting forms that the server does not have yet
   */
  accept(form, fields, changed, waiting) {
    this.refusals.delete(keyOf(form));
    clearErrors(form);
    for (const control of controlsOf(form)) {
      const { name } = control, key = `${keyOf(form)} ${name}`;
      if (!changed.includes(name)) continue;
      const sent = isCheck(control) ? name in fields : fields[name];
      const isWaiting = waiting.some((each) => each.key === keyOf(form) && each.form?.changed.includes(name));
      this.accepted.set(key, sent);
      if (!isWaiting && readValue(control) === sent) this.touched.delete(key);
    }
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

/**
 * Return what no other form of the panel has: its URL and its hidden fields, but for what it has shown.
 * @param {HTMLFormElement} form
 */
export function keyOf(form) {
  const hidden = /** @type {HTMLInputElement[]} */ ([...form.querySelectorAll("input[type=hidden]:not([name=csrf_token], [name=was])")]);
  return [form.getAttribute("action"), ...hidden.map((each) => each.value)].join(" ");
}

/**
 * Show what the user has changed in a form that the server does not have yet.
 * @param {HTMLFormElement} form
 * @param {import("./session.js").FormRequest} request
 */
function showWaiting(form, { form: fields, changed }) {
  for (const control of controlsOf(form)) {
    if (!changed.includes(control.name) || isTyped(control)) continue;
    setValue(control, isCheck(control) ? control.name in fields : fields[control.name] ?? "");
  }
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

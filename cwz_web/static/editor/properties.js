// The properties of the selection: forms that the server renders, sent while the user types.

import { _, ngettext } from "../i18n.js";
import { findLayer } from "./model.js";
import { keyOf, PanelState } from "./panel-state.js";
import { InvalidChangeError } from "./session.js";

/** @typedef {import("./editor.js").Editor} Editor */

const TYPING_MS = 80;
const LOAD_MS = 60;

/** @param {Editor} editor */
export function installProperties(editor) {
  const { root, session } = editor;
  const panel = /** @type {HTMLElement} */ (root.querySelector("#properties"));
  const several = /** @type {HTMLElement} */ (root.querySelector("#several"));
  const state = new PanelState(panel, /** @type {HTMLElement} */ (panel.closest(".editor-right")));
  let timer = 0;
  let loaded = "";

  /** Load the forms, unless the user is typing into them. */
  function load({ isForced = false } = {}) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const isSeveral = editor.selection.length > 1;
      several.hidden = !isSeveral;
      panel.hidden = isSeveral;
      const count = editor.selection.length;
      several.querySelector("[data-count]")?.replaceChildren(ngettext("%(count)s layer selected", "%(count)s layers selected", count));
      if (isSeveral) return;
      const query = new URLSearchParams({ layer: editor.selection[0] ?? "", size: editor.size, row: String(session.view.row) });
      if (session.view.feed) query.set("feed", session.view.feed);
      const address = `${editor.start.properties}?${query}`;
      const key = `${address} ${session.saved.base}`;
      if (key === loaded || (!isForced && isTypingHere() && address === loaded.split(" ")[0])) return;
      loaded = key;
      const [subject = ""] = editor.selection;
      shown = { subject, type: findLayer(editor.document, subject)?.type ?? "" };
      htmx.ajax("GET", address, { source: panel, target: "#properties", swap: "innerMorph" });
    }, LOAD_MS);
  }

  // Requests of the panel replace each other, so that a swap shows what was asked for last.
  let shown = { subject: "", type: "" };
  panel.addEventListener("htmx:before:swap", (event) => event.target === panel && state.save());
  panel.addEventListener("htmx:after:swap", (event) => event.target === panel && state.restore(shown.subject, shown.type, session.forms));

  function isTypingHere() {
    const active = document.activeElement;
    return Boolean(active && panel.contains(active) && active.matches("input:not([type=checkbox]), textarea"));
  }

  /**
   * @param {HTMLFormElement} form
   * @param {HTMLElement | null} [submitter]
   */
  async function send(form, submitter = null) {
    if (form.enctype === "multipart/form-data") return upload(form);
    const data = new FormData(form);
    const button = submitter instanceof HTMLButtonElement && submitter.name ? submitter : null;
    if (button) data.set(button.name, button.value);
    /** @type {{[field: string]: string}} */
    const fields = {};
    for (const [name, value] of data) if (typeof value === "string" && name !== "csrf_token") fields[name] = value;
    const key = keyOf(form);
    const changed = state.changesOf(form);
    // The forms are about this layer until others are loaded, whatever is selected meanwhile.
    const { subject } = state;
    try {
      const answer = await session.submit(fields, changed, subject, form.dataset.live && !button ? key : "");
      if (!answer) return;
      const { layer: renamed } = answer;
      if (key === keyOf(form)) state.accept(form, fields, changed, session.forms);
      const isCondition = fields.do === "condition" && state.subject === subject;
      /** @type {NodeListOf<HTMLInputElement>} */
      const shown = panel.querySelectorAll("input[name=was]");
      if (isCondition) for (const was of shown) was.value = answer.condition ?? "";
      if (fields.do === "add-size") session.show({ size: editor.document.sizes.at(-1)?.name });
      if (renamed && state.subject === subject) state.subject = renamed;
      // Unless another layer was selected meanwhile.
      const isSelected = editor.selection.length < 2 && (editor.selection[0] ?? "") === subject;
      if (isSelected && renamed && renamed !== subject) editor.select([renamed]);
    } catch (error) {
      if (!(error instanceof InvalidChangeError)) throw error;
      if (subject === (editor.selection[0] ?? "")) state.refuse(form, error);
    }
  }

  /** @param {HTMLFormElement} form */
  async function upload(form) {
    const response = await fetch(form.action, { method: "POST", body: new FormData(form) });
    if (!response.ok) editor.toast(_("The file cannot be used. Choose a JPEG, PNG, WebP, GIF, AVIF or SVG image."));
    await session.refresh();
    load({ isForced: true });
  }

  panel.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest("[data-edit-text]");
    if (button) editor.emit("edit", editor.selection[0]);
  });
  let sending = 0;
  panel.addEventListener("input", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target instanceof HTMLInputElement && target.dataset.color) {
      const text = /** @type {HTMLInputElement} */ (panel.querySelector(`#${CSS.escape(target.dataset.color)}`));
      text.value = target.value + (text.value.startsWith("#") ? text.value.slice(7, 9) : "");
    }
    const form = target.closest("form");
    if (!form?.dataset.live || target instanceof HTMLSelectElement) return;
    showMixing(target);
    clearTimeout(sending);
    sending = setTimeout(() => send(form), TYPING_MS);
  });
  panel.addEventListener("change", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const form = target.closest("form");
    if (!form?.dataset.live) return;
    clearTimeout(sending);
    send(form).then(() => {
      if (target instanceof HTMLSelectElement || target.matches("[type=checkbox]")) load({ isForced: true });
    });
  });
  panel.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(sending);
    const form = /** @type {HTMLFormElement} */ (event.target);
    send(form, event.submitter).then(() => load({ isForced: true }));
  });

  /**
   * Show opacity and blend modes at once.
   * @param {HTMLElement} target
   */
  function showMixing(target) {
    const [name] = editor.selection;
    if (!(target instanceof HTMLInputElement) || !name || target.name !== "opacity") return;
    const opacity = Number(target.value);
    if (opacity >= 0 && opacity <= 1) editor.stage.mix(name, { opacity });
  }

  function reload() {
    loaded = "";
    load({ isForced: true });
  }

  editor.addEventListener("fonts", reload);
  session.addEventListener("drop", reload);  // what was typed into the forms is not sent any more
  editor.addEventListener("select", () => load());
  session.addEventListener("state", () => load());
  load();
}

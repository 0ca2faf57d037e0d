// The fields in the data panel: those of the template and the columns of the chosen feed, to place on the canvas.

import { _ } from "../i18n.js";
import { addFragment, fragmentDrop, installDragging } from "./adding.js";
import { addField, findOffers, layerOf } from "./fields.js";
import { findLayer } from "./model.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./fields.js").Field} Field */

const MAX_SAMPLE = 60;

/** @param {Editor} editor */
export function installFields(editor) {
  const { root, session } = editor;
  const list = /** @type {HTMLElement} */ (root.querySelector("#field-offers"));
  /** @type {string | null} the feed of the columns */
  let feedOfColumns = null;
  let shown = "";

  async function loadColumns() {
    const { feed } = session.view;
    feedOfColumns = feed;
    editor.columns = [];
    if (!feed) return;
    const response = await fetch(`${editor.start.columns}?${new URLSearchParams({ feed })}`).catch(() => null);
    if (!response?.ok || feed !== session.view.feed) return;
    editor.columns = (await response.json()).fields;
    show();
  }

  function show() {
    const values = session.state?.values ?? {};
    const offers = findOffers(editor.document, editor.columns).map((field) => ({ ...field, sample: values[field.name] ?? field.default }));
    const now = JSON.stringify(offers);
    if (now === shown) return;
    shown = now;
    const focused = [...list.querySelectorAll("button")].find((each) => each === document.activeElement)?.dataset.field;
    list.replaceChildren(...offers.map(createItem));
    [...list.querySelectorAll("button")].find((each) => each.dataset.field === focused)?.focus();
  }

  /** @param {Field & {sample: string}} offer */
  function createItem({ name, label, type, sample }) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.field = name;
    button.title = _("Add %(name)s", { name: label });
    const icon = /** @type {HTMLTemplateElement} */ (document.getElementById(`icon-${type === "image" ? "image" : "text"}`));
    const text = document.createElement("span");
    text.textContent = label;
    const value = document.createElement("span");
    value.className = "muted small";
    value.textContent = type === "image" ? "" : sample.slice(0, MAX_SAMPLE);
    button.append(icon.content.cloneNode(true), text, value);
    const item = document.createElement("li");
    item.append(button);
    return item;
  }

  /**
   * @param {HTMLElement} item
   * @returns {import("./adding.js").Fragment | undefined}
   */
  function fragmentOf(item) {
    const field = findOffers(editor.document, editor.columns).find(({ name }) => name === item.dataset.field);
    return field && { layer: layerOf(field), shows: field };
  }

  list.addEventListener("click", (event) => {
    const item = /** @type {HTMLElement} */ (event.target).closest("[data-field]");
    const fragment = item instanceof HTMLElement && fragmentOf(item);
    if (fragment && !fillImage(editor, fragment)) addFragment(editor, fragment);
  });
  installDragging(editor, list, "[data-field]", (item) => {
    const fragment = fragmentOf(item);
    return fragment && fragmentDrop(editor, fragment);
  });
  session.addEventListener("state", () => {
    if (session.view.feed !== feedOfColumns) loadColumns();
    show();
  });
  show();
}

/**
 * Show an image field in the selected image, if that one is empty.
 * @param {Editor} editor
 * @param {import("./adding.js").Fragment} fragment
 * @returns {boolean} whether it does
 */
function fillImage(editor, { layer, shows }) {
  const [name] = editor.selection;
  const selected = editor.selection.length === 1 ? findLayer(editor.document, name) : undefined;
  if (layer.type !== "image" || selected?.type !== "image" || !shows || !editor.isUnlocked(name)) return false;
  if (selected.source || selected.bound?.source) return false;
  editor.edit(`image of ${name}`, (copy) => {
    addField(copy, shows);
    const image = findLayer(copy, name);
    if (image) image.source = layer.source;
  });
  editor.announce(_("%(name)s shows %(shown)s", { name, shown: shows.label }));
  return true;
}

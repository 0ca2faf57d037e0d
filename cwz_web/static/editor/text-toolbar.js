// The toolbar of a text that is edited in place: shows and changes the style of the selected characters.

import { _ } from "../i18n.js";
import { weightsOf } from "./fonts.js";

/** @typedef {import("./text-editing.js").TextEditing} TextEditing */

const WEIGHTS = /** @type {{[weight: number]: string}} */ ({
  100: _("Thin"), 200: _("Extra light"), 300: _("Light"), 400: _("Regular"), 500: _("Medium"), 600: _("Semibold"), 700: _("Bold"),
  800: _("Extra bold"), 900: _("Black"),
});

/** @param {TextEditing} editing */
export function installTextToolbar(editing) {
  const { toolbar } = editing.view;
  const part = (/** @type {string} */ id) => /** @type {any} */ (toolbar.querySelector(id));
  /** @type {HTMLSelectElement} */
  const weight = part("#text-weight");
  /** @type {HTMLInputElement} */
  const scale = part("#text-scale");
  const pressed = /** @type {{[command: string]: (style: any) => boolean}} */ ({
    "text-bold": (style) => style.weight >= 600, "text-italic": (style) => style.italic === true,
    "text-underline": (style) => style.underline === true, "text-strike": (style) => style.strike === true,
    "text-super": (style) => style.position === "super", "text-sub": (style) => style.position === "sub",
  });

  async function show() {
    if (!editing.isOpen || !editing.layer) return;
    const style = editing.style();
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (toolbar.querySelectorAll("[data-command]"))) {
      const { command = "" } = button.dataset;
      button.disabled = false;
      if (command in pressed) button.setAttribute("aria-pressed", String(pressed[command](style)));
    }
    toolbar.style.setProperty("--text-color", style.color ? editing.view.colorValue(style.color) : "transparent");
    toolbar.style.setProperty("--highlight", style.highlight ? editing.view.colorValue(style.highlight) : "transparent");
    scale.value = style.scale === undefined ? "" : String(Math.round(style.scale * 100));
    scale.placeholder = style.scale === undefined ? _("Mixed") : "";
    await showWeights(style.font, style.weight);
  }

  /**
   * @param {string | undefined} reference
   * @param {number | undefined} current
   */
  async function showWeights(reference, current) {
    const font = reference ? await editing.fonts.find(reference) : undefined;
    part("#text-font-name").textContent = font?.name ?? (reference ? _("Removed font") : _("Mixed"));
    const weights = font && !font.isUploaded ? weightsOf(font) : Object.keys(WEIGHTS).map(Number);
    if (current && !weights.includes(current)) weights.push(current);
    const options = weights.sort((a, b) => a - b).map((each) => new Option(WEIGHTS[each] ?? String(each), String(each)));
    weight.replaceChildren(...(current ? [] : [new Option(_("Mixed"), "")]), ...options);
    weight.value = current ? String(current) : "";
  }

  // Buttons leave the focus, and with it the selection, in the text.
  toolbar.addEventListener("pointerdown", (event) => {
    if (/** @type {HTMLElement} */ (event.target).closest("button")) event.preventDefault();
  });
  toolbar.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key !== "Escape") return;
    event.preventDefault();
    editing.focus();
  });
  weight.addEventListener("change", () => weight.value && editing.format({ weight: Number(weight.value) }));
  scale.addEventListener("change", () => {
    const value = Math.min(Math.max(Number(scale.value) || 100, 10), 400) / 100;
    editing.format({ scale: value });
  });
  editing.addEventListener("open", show);
  editing.addEventListener("range", show);
}

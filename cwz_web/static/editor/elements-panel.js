// The elements panel: texts, shapes, codes, layouts and icons to add.

import { _, inSentence, ngettext } from "../i18n.js";
import { addFragment, fragmentDrop, installDragging } from "./adding.js";
import { searchWhileTyping } from "./searching.js";
import { openPanel } from "./tabs.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./adding.js").Fragment} Fragment */

const ICON_SIDE = 160;
const ICON_COLOR = "#1f2937";
/** The keys of elements by their ids, as design tools have them. */
const KEYS = /** @type {{[id: string]: string[]}} */ ({ heading: ["T"], image: ["I"], rectangle: ["R"], ellipse: ["O"], line: ["L"] });

/** @param {Editor} editor */
export function installElements(editor) {
  const panel = /** @type {HTMLElement} */ (editor.root.querySelector("#panel-elements"));
  /** @type {Map<string, import("./elements.js").Element>} */
  const elements = new Map(editor.start.elements.map((/** @type {any} */ each) => [each.id, each]));

  /** @param {HTMLElement} item */
  function fragmentOf(item) {
    const { element, icon } = item.dataset;
    return icon ? iconFragment(icon) : elements.get(element ?? "");
  }

  panel.addEventListener("click", (event) => {
    const item = /** @type {HTMLElement} */ (event.target).closest("[data-element], [data-icon]");
    const fragment = item instanceof HTMLElement && fragmentOf(item);
    if (fragment) addFragment(editor, fragment);
  });
  installDragging(editor, panel, "[data-element], [data-icon]", (item) => {
    const fragment = fragmentOf(item);
    return fragment && fragmentDrop(editor, fragment);
  });
  for (const { id, label, ...fragment } of elements.values()) {
    editor.commands.add({
      id: `add-${id}`, label: _("Add %(name)s", { name: inSentence(label) }), group: "Add", keys: KEYS[id], run: () => addFragment(editor, fragment),
    });
  }
  editor.commands.add({
    id: "elements", label: _("Show elements"), group: "Add", keys: ["Shift+E"], run: () => {
      openPanel(editor.root, "elements");
      panel.querySelector("button")?.focus();
    },
  });
  installIconSearch(editor);
}

/** @param {Editor} editor */
function installIconSearch(editor) {
  const search = /** @type {HTMLInputElement} */ (editor.root.querySelector("#icon-search"));
  const icons = /** @type {HTMLElement} */ (editor.root.querySelector("#icons"));
  searchWhileTyping(search, async () => {
    const query = new URLSearchParams({ text: search.value });
    await htmx.ajax("GET", `${editor.start.icons}?${query}`, { source: icons, target: "#icons", swap: "innerHTML" });
    editor.announce(ngettext("%(count)s icon", "%(count)s icons", icons.querySelectorAll("button").length));
  });
}

/**
 * @param {string} icon
 * @returns {Fragment}
 */
function iconFragment(icon) {
  const layer = { type: "shape", name: icon.replaceAll("-", " "), shape: "icon", icon, width: ICON_SIDE, height: ICON_SIDE, fill: ICON_COLOR };
  return { layer: /** @type {any} */ (layer) };
}

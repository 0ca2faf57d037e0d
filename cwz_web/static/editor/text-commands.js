// The commands that format a text while it is edited in place.

import { _ } from "../i18n.js";

/** @typedef {import("./text-editing.js").TextEditing} TextEditing */
/** @typedef {import("./spans.js").Style} Style */

/** @param {TextEditing} editing */
export function addTextCommands(editing) {
  const isEnabled = () => editing.isOpen;
  const toggle = (/** @type {string} */ key, /** @type {any} */ on, /** @type {any} */ off) => () => editing.format({ [key]: editing.style()[key] === on ? off : on });
  const place = (/** @type {string} */ position) => () => (
    editing.format({ position: editing.style().position === position ? undefined : position, scale: undefined })
  );
  const bold = () => editing.format({ weight: (editing.style().weight ?? 0) >= 600 ? 400 : 700 });
  const group = "Text";
  editing.editor.commands.add(
    { id: "text-bold", label: _("Bold"), group, keys: ["Mod+B"], run: bold, isEnabled },
    { id: "text-italic", label: _("Italic"), group, keys: ["Mod+I"], run: toggle("italic", true, false), isEnabled },
    { id: "text-underline", label: _("Underline"), group, keys: ["Mod+U"], run: toggle("underline", true, false), isEnabled },
    { id: "text-strike", label: _("Strike through"), group, keys: ["Mod+Shift+X"], run: toggle("strike", true, false), isEnabled },
    { id: "text-super", label: _("Superscript"), group, keys: ["Mod+."], run: place("super"), isEnabled },
    { id: "text-sub", label: _("Subscript"), group, keys: ["Mod+,"], run: place("sub"), isEnabled },
    { id: "text-font", label: _("Font"), group, run: () => pickFont(editing), isEnabled },
    { id: "text-color", label: _("Text color"), group, run: () => pickColor(editing, "color"), isEnabled },
    { id: "text-highlight", label: _("Highlight"), group, run: () => pickColor(editing, "highlight"), isEnabled },
    { id: "text-field", label: _("Insert field"), group, keys: ["Mod+J"], run: () => editing.startField(), isEnabled },
    { id: "text-clear", label: _("Clear formatting"), group, keys: ["Mod+\\"], run: () => editing.clearFormat(), isEnabled },
  );
}

/**
 * Choose a color of the selection.
 * @param {TextEditing} editing
 * @param {"color" | "highlight"} key
 */
function pickColor(editing, key) {
  const style = editing.style();
  let isContinued = false;
  const format = (/** @type {Style} */ values) => {
    editing.format(values, { isContinued });
    isContinued = true;
  };
  editing.editor.pickColor?.({
    anchor: /** @type {HTMLElement} */ (editing.view.toolbar.querySelector(`[data-command="text-${key}"]`)),
    value: style[key] ?? (key === "color" ? editing.layer?.color : "#fff3a0"),
    label: key === "color" ? _("Text color") : _("Highlight"),
    choose: (color) => format(key === "color" ? { color, gradient: undefined } : { highlight: color }),
    clear: () => format({ [key]: undefined }),
    field: style.bound?.[key],
    bind: (field) => format(field ? { bound: { [key]: field } } : { [key]: style[key] ?? undefined }),
    close: () => editing.focus(),
  });
}

/** @param {TextEditing} editing */
function pickFont(editing) {
  const style = editing.style();
  editing.editor.pickFont?.({
    anchor: /** @type {HTMLElement} */ (editing.view.toolbar.querySelector("[data-command=text-font]")),
    value: style.font ?? "",
    weight: style.weight ?? 0,
    choose: (font) => editing.format({ font }),
    chooseWeight: (weight) => editing.format({ weight }),
    close: () => editing.focus(),
  });
}

// The commands of the editor that belong to no panel or tool: selection, order, view and the draft.

import { _ } from "../i18n.js";
import { findLayer, outermost, walkLayers } from "./model.js";

/** @typedef {import("./editor.js").Editor} Editor */

const NUDGE = 1;
const LARGE_NUDGE = 10;

/** @param {Editor} editor */
export function addEditorCommands(editor) {
  const discardDialog = /** @type {HTMLDialogElement} */ (editor.root.querySelector("#discard-dialog"));
  const hasSelection = () => editor.selection.length > 0;
  const one = () => editor.selection.length === 1;
  const nudge = (/** @type {number} */ x, /** @type {number} */ y) => () => {
    editor.move(outermost(editor.document, editor.selection).filter((name) => editor.isMovable(name)), { x, y });
  };
  editor.commands.add(
    { id: "undo", label: _("Undo"), group: "Edit", keys: ["Mod+Z"], run: () => editor.session.act("undo"), isEnabled: () => editor.session.state?.canUndo || editor.session.unsent > 0 },
    { id: "redo", label: _("Redo"), group: "Edit", keys: ["Mod+Shift+Z", "Mod+Y"], run: () => editor.session.act("redo"), isEnabled: () => Boolean(editor.session.state?.canRedo) },
    { id: "duplicate", label: _("Duplicate"), group: "Edit", keys: ["Mod+D"], run: () => editor.duplicate(), isEnabled: hasSelection },
    { id: "remove", label: _("Delete"), group: "Edit", keys: ["Delete", "Backspace"], run: () => editor.remove(), isEnabled: hasSelection },
    { id: "select-all", label: _("Select all"), group: "Select", keys: ["Mod+A"], run: () => editor.select(editor.selectableNames()) },
    { id: "select-none", label: _("Select nothing"), group: "Select", keys: ["Escape"], run: () => (editor.scope && editor.selection.length ? editor.select([editor.scope]) : editor.leave()) },
    { id: "enter", label: _("Edit text or enter group"), group: "Select", keys: ["Enter"], run: () => enter(editor), isEnabled: one },
    { id: "next", label: _("Select next layer"), group: "Select", keys: ["Tab"], run: () => selectNext(editor, 1), isHidden: true },
    { id: "previous", label: _("Select previous layer"), group: "Select", keys: ["Shift+Tab"], run: () => selectNext(editor, -1), isHidden: true },
    { id: "forward", label: _("Bring forward"), group: "Arrange", keys: ["Mod+]"], run: () => editor.reorder("forward"), isEnabled: hasSelection },
    { id: "backward", label: _("Send backward"), group: "Arrange", keys: ["Mod+["], run: () => editor.reorder("backward"), isEnabled: hasSelection },
    { id: "front", label: _("Bring to front"), group: "Arrange", keys: ["Mod+Alt+]"], run: () => editor.reorder("front"), isEnabled: hasSelection },
    { id: "back", label: _("Send to back"), group: "Arrange", keys: ["Mod+Alt+["], run: () => editor.reorder("back"), isEnabled: hasSelection },
    { id: "lock", label: _("Lock or unlock"), group: "Arrange", keys: ["Mod+Shift+L"], run: () => editor.toggle("locked"), isEnabled: hasSelection },
    { id: "hide", label: _("Hide or show"), group: "Arrange", keys: ["Mod+Shift+H"], run: () => editor.toggle("hidden"), isEnabled: hasSelection },
    { id: "zoom-in", label: _("Zoom in"), group: "View", keys: ["+", "=", "Mod+="], run: () => editor.stage.zoomTo(editor.stage.zoom * 1.25) },
    { id: "zoom-out", label: _("Zoom out"), group: "View", keys: ["-", "Mod+-"], run: () => editor.stage.zoomTo(editor.stage.zoom / 1.25) },
    { id: "zoom-100", label: _("Zoom to 100%"), group: "View", keys: ["Shift+0", "Mod+0"], run: () => editor.stage.center(1, { x: editor.stage.width / 2, y: editor.stage.height / 2 }) },
    { id: "zoom-fit", label: _("Zoom to fit"), group: "View", keys: ["Shift+1"], run: () => editor.stage.fit() },
    { id: "zoom-selection", label: _("Zoom to selection"), group: "View", keys: ["Shift+2"], run: () => editor.stage.fitTo(editor.selection.flatMap((name) => editor.stage.find(name)?.frame ?? [])), isEnabled: hasSelection },
    { id: "publish", label: _("Publish"), group: "Template", keys: ["Mod+Enter"], run: () => editor.session.act("publish"), isEnabled: () => Boolean(editor.session.state?.hasDraft) },
    { id: "discard", label: _("Discard changes"), group: "Template", run: () => discardDialog.showModal(), isEnabled: () => Boolean(editor.session.state?.hasDraft) || editor.session.canDrop },
  );
  for (const [key, x, y, label, largeLabel] of /** @type {const} */ ([
    ["ArrowLeft", -1, 0, _("Move left"), _("Move left by 10")], ["ArrowRight", 1, 0, _("Move right"), _("Move right by 10")],
    ["ArrowUp", 0, -1, _("Move up"), _("Move up by 10")], ["ArrowDown", 0, 1, _("Move down"), _("Move down by 10")],
  ])) {
    editor.commands.add(
      { id: `nudge-${key}`, label, group: "Arrange", keys: [key], run: nudge(x * NUDGE, y * NUDGE), isEnabled: hasSelection, isHidden: true },
      { id: `nudge-10-${key}`, label: largeLabel, group: "Arrange", keys: [`Shift+${key}`], run: nudge(x * LARGE_NUDGE, y * LARGE_NUDGE), isEnabled: hasSelection, isHidden: true },
    );
  }
}

/**
 * Select the highest layer of the selected container, or edit the selected layer.
 * @param {Editor} editor
 */
function enter(editor) {
  const [name] = editor.selection;
  const inner = findLayer(editor.document, name)?.layers?.at(-1);
  if (inner) editor.select([inner.name]);
  else editor.emit("edit", name);
}

/**
 * @param {Editor} editor
 * @param {-1 | 1} by
 */
function selectNext(editor, by) {
  const names = [...walkLayers(editor.document.layers)].map((each) => each.name);
  if (!names.length) return;
  const at = names.indexOf(editor.selection[0]);
  editor.select([names[(at + by + names.length) % names.length]]);
  editor.announce(_("%(name)s selected", { name: editor.selection[0] }));
}

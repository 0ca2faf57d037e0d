// Copy, cut and paste: layers between templates, windows and browsers, images and texts of other programs, and styles.

import { _, formatNumber } from "../i18n.js";
import { addFragment } from "./adding.js";
import { shownOf } from "./arrange.js";
import { InvalidClipError, applyStyle, pasteClip, readClip, styleOf, writeClip } from "./clips.js";
import { isTyping } from "./commands.js";
import { textLayer } from "./elements.js";
import { findLayer, locate, outermost } from "./model.js";
import { boundsOf } from "./sizes.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./model.js").Layer} Layer */
/** @typedef {import("./stage.js").Point} Point */
/** @typedef {import("./clips.js").Clip} Clip */

const STYLE_KEY = "editor:style";
const OFFSET = 24;
const MAX_TEXT = 2000;
const NO_ACCESS = _("This browser does not let the page read the clipboard. Use the keys to paste");

/** @param {Editor} editor */
export function installClipboard(editor) {
  const { stage, commands } = editor;
  const hasSelection = () => editor.selection.length > 0;
  /** @type {Point | undefined} */
  let pointer;
  let isInPlace = false;

  stage.container.addEventListener("pointermove", (event) => { pointer = event.pointerType === "touch" ? undefined : stage.toCanvas(event); });
  stage.container.addEventListener("pointerleave", () => { pointer = undefined; });
  addEventListener("keydown", (event) => { isInPlace = event.shiftKey; }, { capture: true });

  for (const type of /** @type {const} */ (["copy", "cut"])) {
    addEventListener(type, (event) => {
      if (!hasSelection() || isElsewhere(event) || !document.getSelection()?.isCollapsed) return;
      event.clipboardData?.setData("text/plain", copiedText(editor));
      event.preventDefault();
      finishCopy(editor, type === "cut");
    });
  }
  addEventListener("paste", (event) => {
    if (isElsewhere(event) || !event.clipboardData) return;
    event.preventDefault();
    const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
    paste(file, event.clipboardData.getData("text/plain"), isInPlace);
  });

  /**
   * @param {Blob | undefined} image
   * @param {string} text
   * @param {boolean} inPlace
   */
  function paste(image, text, inPlace) {
    const at = inPlace ? undefined : pointer;
    try {
      const clip = readClip(text);
      if (clip) return pasteLayers(editor, clip, inPlace, at);
    } catch (error) {
      if (!(error instanceof InvalidClipError)) throw error;
      return editor.toast(error.message);
    }
    if (image) return void pasteImage(editor, image, at);
    if (text.trim()) pasteText(editor, text.trim(), at);
  }

  /** @param {boolean} isCut */
  async function copyByCommand(isCut) {
    await navigator.clipboard.writeText(copiedText(editor));
    finishCopy(editor, isCut);
  }

  /** @param {boolean} inPlace */
  async function pasteByCommand(inPlace) {
    try {
      const [item] = await navigator.clipboard.read();
      const type = item?.types.find((each) => each.startsWith("image/"));
      const text = item?.types.includes("text/plain") ? await (await item.getType("text/plain")).text() : "";
      paste(type ? await item.getType(type) : undefined, text, inPlace);
    } catch {
      editor.toast(NO_ACCESS);
    }
  }

  commands.add(
    { id: "copy", label: _("Copy"), group: "Edit", keys: ["Mod+C"], isNative: true, run: () => copyByCommand(false), isEnabled: hasSelection },
    { id: "cut", label: _("Cut"), group: "Edit", keys: ["Mod+X"], isNative: true, run: () => copyByCommand(true), isEnabled: hasSelection },
    { id: "paste", label: _("Paste"), group: "Edit", keys: ["Mod+V"], isNative: true, run: () => pasteByCommand(false) },
    { id: "paste-in-place", label: _("Paste in place"), group: "Edit", keys: ["Mod+Shift+V"], isNative: true, run: () => pasteByCommand(true) },
    { id: "copy-style", label: _("Copy style"), group: "Edit", keys: ["Mod+Alt+C"], run: () => copyStyle(editor), isEnabled: () => editor.selection.length === 1 },
    { id: "paste-style", label: _("Paste style"), group: "Edit", keys: ["Mod+Alt+V"], run: () => pasteStyle(editor), isEnabled: () => hasSelection() && localStorage.getItem(STYLE_KEY) !== null },
  );
}

/**
 * Return whether the clipboard belongs to a field or a dialog.
 * @param {Event} event
 */
function isElsewhere(event) {
  return event.defaultPrevented || !(event.target instanceof Element) || isTyping(/** @type {any} */ (event));
}

/** @param {Editor} editor */
function workspaceOf(editor) {
  return editor.start.page.split("/templates/")[0];
}

/** @param {Editor} editor */
function copiedText(editor) {
  return writeClip(editor.document, editor.selection, shownOf(editor), workspaceOf(editor));
}

/**
 * @param {Editor} editor
 * @param {boolean} isCut
 */
function finishCopy(editor, isCut) {
  const names = outermost(editor.document, editor.selection).join(", ");
  if (isCut) editor.remove();
  editor.announce(isCut ? _("Cut %(names)s", { names }) : _("Copied %(names)s", { names }));
}

/**
 * Return where new layers go: into the entered container, above the selected layer.
 * @param {Editor} editor
 * @param {boolean} hasMask
 */
function placeOf(editor, hasMask = false) {
  const container = editor.scope ? findLayer(editor.document, editor.scope) : undefined;
  const canTake = container && editor.isUnlocked(container.name) && !(hasMask && container.type === "stack");
  const to = canTake ? container.name : "";
  const siblings = canTake ? container.layers ?? [] : editor.document.layers;
  const at = siblings.findIndex((each) => editor.selection.includes(each.name));
  return { to, index: at < 0 ? siblings.length : at + 1 };
}

/**
 * @param {Editor} editor
 * @param {Clip} clip
 * @param {boolean} inPlace
 * @param {Point | undefined} at where the middle of the layers is to be; where they were without it
 */
function pasteLayers(editor, clip, inPlace, at) {
  const delta = distanceOf(editor, clip, inPlace, at);
  const place = placeOf(editor, clip.layers.some((each) => each.mask?.layer));
  /** @type {import("./clips.js").Pasted} */
  let pasted = { names: [], fields: [] };
  editor.edit(`paste ${clip.layers.map((each) => each.name).join(", ")}`, (copy) => {
    pasted = pasteClip(copy, clip, { ...place, delta, shown: shownOf(editor) });
  });
  editor.select(pasted.names);
  const notes = [];
  if (pasted.fields.length) notes.push(_("Added the fields %(names)s", { names: pasted.fields.join(", ") }));
  const hasUploads = clip.workspace !== workspaceOf(editor) && JSON.stringify(clip.layers).includes('"upload:');
  if (hasUploads) notes.push(_("Upload the images and fonts of the other workspace here, too"));
  if (notes.length) editor.toast(`${notes.join(". ")}.`);
  editor.announce(_("Pasted %(names)s", { names: pasted.names.join(", ") }));
}

/**
 * @param {Editor} editor
 * @param {Clip} clip
 * @param {boolean} inPlace
 * @param {Point | undefined} at
 * @returns {Point}
 */
function distanceOf(editor, clip, inPlace, at) {
  const { left, top, width, height } = boundsOf(Object.values(clip.frames));
  const { width: right, height: bottom } = editor.stage;
  const middle = at ?? { x: right / 2, y: bottom / 2 };
  const isVisible = left < right && top < bottom && left + width > 0 && top + height > 0;
  if (at || !isVisible) return { x: Math.round(middle.x - left - width / 2), y: Math.round(middle.y - top - height / 2) };
  // A copy exactly above its original looks as if nothing was pasted.
  const hasOriginal = clip.layers.some((each) => locate(editor.document, each.name));
  return !inPlace && hasOriginal ? { x: OFFSET, y: OFFSET } : { x: 0, y: 0 };
}

/**
 * @param {Editor} editor
 * @param {Blob} image
 * @param {Point | undefined} at
 */
function pasteImage(editor, image, at) {
  editor.announce(_("Uploading the image"));
  const name = image instanceof File && image.name ? image.name : _("Pasted image");
  editor.addImageFile?.(new File([image], name, { type: image.type }), at);
}

/**
 * @param {Editor} editor
 * @param {string} text
 * @param {Point | undefined} at
 */
function pasteText(editor, text, at) {
  if (text.length > MAX_TEXT) return editor.toast(_("A text can have at most %(limit)s characters. This one has %(length)s.", { limit: formatNumber(MAX_TEXT), length: formatNumber(text.length) }));
  addFragment(editor, { layer: textLayer(text) }, { point: at });
}

/** @param {Editor} editor */
function copyStyle(editor) {
  const layer = findLayer(editor.document, editor.selection[0]);
  if (!layer) return;
  try {
    localStorage.setItem(STYLE_KEY, JSON.stringify(styleOf(layer)));
    editor.announce(_("Copied the style of %(name)s", { name: layer.name }));
  } catch {
    editor.toast(_("This browser has no room for the style. Allow the site to store data"));
  }
}

/** @param {Editor} editor */
function pasteStyle(editor) {
  const style = JSON.parse(localStorage.getItem(STYLE_KEY) ?? "null");
  const names = editor.selection.filter((name) => editor.isUnlocked(name));
  if (!style || !names.length) return;
  editor.edit(`style of ${names.join(", ")}`, (copy) => {
    for (const name of names) applyStyle(copy, name, style);
  });
  editor.announce(_("Pasted the style into %(names)s", { names: names.join(", ") }));
}

// The uploads panel: the images and fonts of the workspace, uploaded, searched, added and dragged onto the canvas.

import { _ } from "../i18n.js";
import { Uploader, acceptFiles } from "../uploader.js";
import { addFragment, fragmentDrop, installDragging } from "./adding.js";
import { applyToTexts } from "./brand.js";
import { imageLayer } from "./elements.js";
import { findLayer, setOwn } from "./model.js";
import { searchWhileTyping } from "./searching.js";
import { openPanel } from "./tabs.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./stage.js").Point} Point */
/** @typedef {import("../uploader.js").Upload} Upload */

const STEP = 32;

/** @param {Editor} editor */
export function installUploads(editor) {
  const { root, stage } = editor;
  const panel = /** @type {HTMLElement} */ (root.querySelector("#panel-uploads"));
  const list = /** @type {HTMLElement} */ (root.querySelector("#upload-list"));
  const search = /** @type {HTMLInputElement} */ (root.querySelector("#upload-search"));
  const input = /** @type {HTMLInputElement} */ (root.querySelector("#upload-files"));
  const uploader = new Uploader(/** @type {any} */ (editor.start), /** @type {HTMLElement} */ (root.querySelector("#upload-queue")));
  let isLoaded = false;

  function load() {
    isLoaded = true;
    const query = new URLSearchParams({ name: search.value });
    return htmx.ajax("GET", `${editor.start.uploads}/panel?${query}`, { source: list, target: "#upload-list", swap: "innerHTML" });
  }

  /**
   * @param {Iterable<File> | null} files
   * @param {(upload: Upload, number: number) => void} [stored] called for each image that is stored
   * @returns {Promise<string | undefined>} why the first file that is not stored is not
   */
  async function upload(files, stored) {
    if (!files) return undefined;
    let fonts = 0;
    const [failure] = await uploader.upload([...files], (each, number) => {
      if (each.kind === "font") fonts++;
      else stored?.(each, number);
    });
    if (fonts) {
      editor.fonts.list = undefined;
      editor.emit("fonts");
    }
    search.value = "";
    await load();
    return failure;
  }

  root.addEventListener("tab", (event) => {
    if (/** @type {CustomEvent} */ (event).detail === "tab-uploads" && !isLoaded) load();
  });
  searchWhileTyping(search, load);
  input.addEventListener("change", async () => {
    await upload(input.files);
    input.value = "";
  });
  list.addEventListener("click", (event) => {
    const item = /** @type {HTMLElement} */ (event.target).closest("[data-upload-id]");
    if (item instanceof HTMLElement) use(editor, readItem(item));
  });
  installDragging(editor, list, "[data-kind=image]", (item) => imageDrop(editor, readItem(item)));
  acceptFiles(panel, (files) => upload(files));
  editor.addImageFile = async (file, point) => {
    const failure = await upload([file], (each) => addFragment(editor, { layer: imageLayer(each, stage) }, { point }));
    if (failure) editor.toast(failure);
  };
  acceptFiles(stage.container, (files, event) => {
    openPanel(root, "uploads");
    const point = stage.toCanvas(/** @type {any} */ (event));
    upload(files, (each, number) => {
      const at = { x: point.x + number * STEP, y: point.y + number * STEP };
      if (number) fragmentDrop(editor, { layer: imageLayer(each, stage) }).drop(at, event);
      else imageDrop(editor, each).drop(at, event);
    });
  });
  editor.commands.add({
    id: "upload", label: _("Upload files"), group: "Add", run: () => {
      openPanel(root, "uploads");
      input.click();
    },
  });
}

/**
 * @param {HTMLElement} item
 * @returns {Upload}
 */
function readItem({ dataset, children }) {
  const name = children[1]?.firstElementChild?.textContent ?? "";
  const [width, height] = [Number(dataset.width), Number(dataset.height)];
  return { id: dataset.uploadId ?? "", name, kind: /** @type {Upload["kind"]} */ (dataset.kind), reference: dataset.address ?? "", width, height };
}

/**
 * Add an uploaded image, or set an uploaded font.
 * @param {Editor} editor
 * @param {Upload} upload
 */
function use(editor, upload) {
  if (upload.kind === "image") return addFragment(editor, { layer: imageLayer(upload, editor.stage) });
  const names = editor.selection.filter((name) => findLayer(editor.document, name)?.type === "text" && editor.isUnlocked(name));
  if (!names.length) return editor.toast(_("Select a text first, then add the font."));
  editor.edit(`font ${names.join(", ")}`, (copy) => {
    applyToTexts(copy, names, { font: upload.reference });
  });
  editor.announce(_("%(names)s is in %(font)s", { names: names.join(", "), font: upload.name }));
}

/**
 * Return what an uploaded image does on the canvas: it replaces the image there, or becomes a layer.
 * @param {Editor} editor
 * @param {Upload} upload
 */
function imageDrop(editor, upload) {
  const replaced = (/** @type {Point} */ point, /** @type {MouseEvent} */ event) => {
    const name = event.altKey ? "" : editor.targetAt(point, true);
    return findLayer(editor.document, name)?.type === "image" ? name : "";
  };
  const added = fragmentDrop(editor, { layer: imageLayer(upload, editor.stage) });
  const clear = () => {
    added.clear();
    editor.stage.highlight("");
  };
  return {
    over: (/** @type {Point} */ point, /** @type {MouseEvent} */ event) => {
      const name = replaced(point, event);
      if (name) clear();
      editor.stage.highlight(name);
      if (!name) added.over(point, event);
    },
    clear,
    drop: (/** @type {Point} */ point, /** @type {MouseEvent} */ event) => {
      const name = replaced(point, event);
      clear();
      if (!name) return added.drop(point, event);
      editor.edit(`image of ${name}`, (copy) => {
        const image = findLayer(copy, name);
        if (image) setOwn(image, "source", upload.reference);
      });
      editor.select([name]);
      editor.announce(_("%(name)s shows %(shown)s", { name, shown: upload.name }));
    },
  };
}

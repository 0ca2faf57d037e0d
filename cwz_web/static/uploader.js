// Sends files to the workspace's uploads one after the other, and shows how far they are: for the editor and the page.

import { _ } from "./i18n.js";

/** @typedef {{id: string, name: string, kind: "image" | "font", reference: string, width: number, height: number}} Upload */

const MAX_FILES = 20;
const MESSAGES = /** @type {{[status: number]: string}} */ ({
  0: _("There is no connection. Try again later"),
  402: _("The plan allows no more uploads. Delete one permanently, or upgrade the plan"),
  413: _("The file is too large"),
  429: _("Too many uploads at the moment. Try again in a minute"),
  503: _("Too many uploads at the moment. Try again in a minute"),
});

export class Uploader {
  /**
   * @param {{uploads: string, maxUploadBytes: number, csrf: string}} start `csrf` can change
   * @param {HTMLElement} list where the progress is shown
   * @param {{keepsStored?: boolean}} [options] keepsStored: files that are stored stay in the list until the next ones
   */
  constructor(start, list, { keepsStored = false } = {}) {
    this.start = start;
    this.list = list;
    this.keepsStored = keepsStored;
    /** @type {Promise<unknown>} */
    this.queue = Promise.resolve();
  }

  /**
   * Upload files; those that are not stored stay in the list with the reason.
   * @param {File[]} files
   * @param {(upload: Upload, number: number) => void} stored called for each file that is stored
   * @returns {Promise<string[]>} why files are not stored
   */
  async upload(files, stored) {
    for (const old of this.list.querySelectorAll(".is-done")) old.remove();
    if (files.length > MAX_FILES) return [this.showRow(_("Files")).fail(_("Choose at most %(limit)s files at once", { limit: MAX_FILES }))];
    /** @type {string[]} */
    const failures = [];
    const work = files.map((file, number) => {
      const row = this.showRow(file.name);
      this.queue = this.queue.then(async () => {
        const { upload, failure } = await this.send(file, row);
        if (upload) stored(upload, number);
        else failures.push(failure);
      });
      return this.queue;
    });
    await Promise.all(work);
    return failures;
  }

  /** @param {string} name */
  showRow(name) {
    const row = document.createElement("li");
    const label = document.createElement("span");
    const state = document.createElement("span");
    const bar = document.createElement("progress");
    label.textContent = name;
    label.className = "name";
    state.textContent = _("Waiting");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", _("Upload of %(name)s", { name }));
    row.append(label, bar, state);
    this.list.append(row);
    this.list.hidden = false;
    const finish = (/** @type {string} */ message, /** @type {string} */ css) => {
      bar.remove();
      row.classList.add("is-done");
      state.className = css;
      state.textContent = message;
      return message;
    };
    return {
      bar,
      state,
      done: () => {
        if (this.keepsStored) finish(_("Uploaded"), "muted");
        else row.remove();
        this.list.hidden = this.list.childElementCount === 0;
      },
      fail: (/** @type {string} */ message) => finish(message, "error"),
    };
  }

  /**
   * @param {File} file
   * @param {ReturnType<Uploader["showRow"]>} row
   * @returns {Promise<{upload: Upload | null, failure: string}>} no upload if it is not stored
   */
  send(file, row) {
    const { maxUploadBytes } = this.start;
    if (file.size > maxUploadBytes) {
      return Promise.resolve({ upload: null, failure: row.fail(_("The file is larger than %(limit)s MB", { limit: maxUploadBytes / 1024 ** 2 })) });
    }
    const body = new FormData();
    body.append("csrf_token", this.start.csrf);
    body.append("file", file);
    const request = new XMLHttpRequest();
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      row.bar.value = loaded / total;
      if (loaded < total) return;
      row.bar.removeAttribute("value");
      row.state.textContent = _("Checking");
    });
    row.state.textContent = _("Uploading");
    return new Promise((resolve) => {
      request.addEventListener("loadend", () => {
        const upload = readUpload(request);
        if (upload) row.done();
        resolve({ upload, failure: upload ? "" : row.fail(explainFailure(request)) });
      });
      request.open("POST", `${this.start.uploads}/file`);
      request.send(body);
    });
  }
}

/**
 * @param {XMLHttpRequest} request
 * @returns {Upload | null}
 */
function readUpload(request) {
  const isJson = request.getResponseHeader("Content-Type")?.includes("json");
  return request.status === 200 && isJson ? JSON.parse(request.responseText) : null;
}

/** @param {XMLHttpRequest} request */
function explainFailure(request) {
  if (request.status === 422) return JSON.parse(request.responseText).error;
  return MESSAGES[request.status] ?? _("The file could not be uploaded. If your session has ended, sign in again and reload the page");
}

/**
 * Let files of the computer be dropped on an element.
 * @param {HTMLElement} element
 * @param {(files: FileList, event: DragEvent) => void} drop
 * @param {HTMLElement} [marked] the element that shows it
 */
export function acceptFiles(element, drop, marked = element) {
  const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  element.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    marked.classList.add("is-target");
  });
  element.addEventListener("dragleave", (event) => {
    if (!element.contains(/** @type {Node | null} */ (event.relatedTarget))) marked.classList.remove("is-target");
  });
  element.addEventListener("drop", (event) => {
    marked.classList.remove("is-target");
    if (!event.dataTransfer || !hasFiles(event)) return;
    event.preventDefault();
    drop(event.dataTransfer.files, event);
  });
}

// Sends files to the workspace's uploads one after the other, and shows how far they are.

/** @typedef {{id: string, name: string, kind: "image" | "font", reference: string, width: number, height: number}} Upload */

const MAX_FILES = 20;

export class Uploader {
  /**
   * @param {{uploads: string, maxUploadBytes: number, csrf: string}} start
   * @param {HTMLElement} list where the progress is shown
   */
  constructor(start, list) {
    this.start = start;
    this.list = list;
    /** @type {Promise<unknown>} */
    this.queue = Promise.resolve();
  }

  /**
   * Upload files; those that are not stored stay in the list with the reason.
   * @param {File[]} files
   * @param {(upload: Upload, number: number) => void} stored called for each file that is stored
   */
  async upload(files, stored) {
    for (const old of this.list.querySelectorAll(".is-done")) old.remove();
    if (files.length > MAX_FILES) return this.showRow("Files").fail(`Choose at most ${MAX_FILES} files at once`);
    const work = files.map((file, number) => {
      const row = this.showRow(file.name);
      this.queue = this.queue.then(async () => {
        const upload = await this.send(file, row);
        if (upload) stored(upload, number);
      });
      return this.queue;
    });
    await Promise.all(work);
  }

  /** @param {string} name */
  showRow(name) {
    const row = document.createElement("li");
    const label = document.createElement("span");
    const state = document.createElement("span");
    const bar = document.createElement("progress");
    label.textContent = name;
    label.className = "name";
    state.textContent = "Waiting";
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `Upload of ${name}`);
    row.append(label, bar, state);
    this.list.append(row);
    this.list.hidden = false;
    return {
      bar,
      state,
      done: () => {
        row.remove();
        this.list.hidden = this.list.childElementCount === 0;
      },
      fail: (/** @type {string} */ message) => {
        bar.remove();
        row.classList.add("is-done");
        state.className = "error";
        state.textContent = message;
      },
    };
  }

  /**
   * @param {File} file
   * @param {ReturnType<Uploader["showRow"]>} row
   * @returns {Promise<Upload | null>} null if it is not stored
   */
  send(file, row) {
    const { maxUploadBytes } = this.start;
    if (file.size > maxUploadBytes) {
      row.fail(`The file is larger than ${maxUploadBytes / 1024 ** 2} MB`);
      return Promise.resolve(null);
    }
    const body = new FormData();
    body.append("csrf_token", this.start.csrf);
    body.append("file", file);
    const request = new XMLHttpRequest();
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      row.bar.value = loaded / total;
      if (loaded < total) return;
      row.bar.removeAttribute("value");
      row.state.textContent = "Checking";
    });
    row.state.textContent = "Uploading";
    return new Promise((resolve) => {
      request.addEventListener("loadend", () => {
        const upload = readUpload(request);
        if (upload) row.done();
        else row.fail(explainFailure(request));
        resolve(upload);
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
  if (request.status === 0) return "There is no connection. Try again later";
  if (request.status === 402) return "The plan allows no more uploads. Delete one permanently, or upgrade the plan";
  if (request.status === 413) return "The file is too large";
  if (request.status === 429 || request.status === 503) return "Too many uploads at the moment. Try again in a minute";
  return "The file could not be uploaded. Sign in again in another tab if your session has ended";
}

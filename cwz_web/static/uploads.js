// What the page "Uploads" adds to its form: dropping files on the page, and sending them one by one, with their progress.
// Without it, the form sends all chosen files at once.

import { Uploader, acceptFiles } from "./uploader.js";

const form = /** @type {HTMLFormElement | null} */ (document.querySelector("[data-upload-form]"));

/**
 * @param {HTMLFormElement} form
 */
function installForm(form) {
  const input = /** @type {HTMLInputElement} */ (form.elements.namedItem("file"));
  const { uploads = "", maxBytes } = form.dataset;
  const start = { uploads, maxUploadBytes: Number(maxBytes), csrf: String(new FormData(form).get("csrf_token")) };
  const queue = /** @type {HTMLElement} */ (form.querySelector(".upload-queue"));
  const uploader = new Uploader(start, queue, { keepsStored: true });

  /** @param {FileList} files */
  async function upload(files) {
    let stored = 0;
    await uploader.upload([...files], () => { stored++; });
    if (!stored) return;
    document.getElementById("no-uploads")?.remove();
    document.getElementById("uploads")?.dispatchEvent(new CustomEvent("uploaded"));
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.files) upload(input.files);
    form.reset();
  });
  acceptFiles(document.documentElement, upload, form);
}

if (form) installForm(form);

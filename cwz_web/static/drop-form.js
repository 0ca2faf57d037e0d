// What a form with one file adds with script: a file that is chosen, or dropped anywhere on the page, is sent at once.
// Without it, the form has a button.

import { acceptFiles } from "./uploader.js";

const form = /** @type {HTMLFormElement} */ (document.querySelector("[data-drop-form]"));
const input = /** @type {HTMLInputElement} */ (form.elements.namedItem("file"));

/** @param {boolean} isSending */
function show(isSending) {
  /** @type {HTMLElement} */ (form.querySelector("[data-drop-progress]")).hidden = !isSending;
}

function send() {
  show(true);
  form.requestSubmit();
}

/** @type {HTMLElement} */ (form.querySelector("[data-drop-submit]")).hidden = true;
// A file can be chosen before this script has loaded. One that the browser restores has been sent before.
const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
if (navigation.type === "navigate" && input.files?.length) send();
input.addEventListener("change", () => { if (input.files?.length) send(); });
acceptFiles(document.documentElement, (files) => {
  const one = new DataTransfer();
  one.items.add(files[0]);
  input.files = one.files;
  send();
}, form);
// The browser may show the page again as it was left.
addEventListener("pageshow", (event) => { if (event.persisted) show(false); });

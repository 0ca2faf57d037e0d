// What a form with one file adds with script: a file that is chosen, or dropped anywhere on the page, is sent at once.
// Without it, the form has a button.
"use strict";

{
  const form = document.querySelector("[data-drop-form]");
  const input = form.querySelector("input[type=file]");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");

  function send() {
    form.querySelector("[data-drop-progress]").hidden = false;
    form.requestSubmit();
  }

  form.querySelector("[data-drop-submit]").hidden = true;
  input.addEventListener("change", () => { if (input.files.length) send(); });
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    form.classList.add("is-target");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) form.classList.remove("is-target");
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    form.classList.remove("is-target");
    const [file] = event.dataTransfer.files, files = new DataTransfer();
    files.items.add(file);
    input.files = files.files;
    send();
  });
}

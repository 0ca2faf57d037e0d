// What the page "Uploads" adds to its form: dropping files on the page, and sending them one by one, with their progress.
// Without it, the form sends all chosen files at once.
"use strict";

const form = document.querySelector("[data-upload-form]");
const queue = form?.querySelector(".upload-queue");
const waiting = [];
let isSending = false;

function addRow(file) {
  const row = document.createElement("li"), name = document.createElement("span"), state = document.createElement("span");
  name.textContent = file.name;
  name.className = "name";
  state.textContent = "Waiting";
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", `Upload of ${file.name}`);
  row.append(name, bar, state);
  queue.append(row);
  queue.hidden = false;
  return { row, bar, state };
}

function finish(shown, message, isError) {
  shown.bar.remove();
  shown.state.textContent = message;
  shown.state.className = isError ? "error" : "muted";
}

function errorMessage(request) {
  if (request.status === 422) return JSON.parse(request.responseText).error;
  if (request.status === 413) return "The file is too large";
  if (request.status === 429 || request.status === 503) return "Too many uploads at the moment. Try again in a minute";
  if (request.status === 402) return "The plan allows no more uploads. Delete one permanently, or upgrade the plan";
  return "The file could not be uploaded. Reload the page and try again";
}

function send({ file, shown }) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest(), body = new FormData();
    body.append("csrf_token", form.elements.csrf_token.value);
    body.append("file", file);
    request.upload.addEventListener("progress", (event) => {
      shown.bar.value = event.loaded / event.total;
      if (event.loaded === event.total) {
        shown.bar.removeAttribute("value");
        shown.state.textContent = "Checking";
      }
    });
    request.addEventListener("loadend", () => {
      const isStored = request.status === 200;
      finish(shown, isStored ? "Uploaded" : errorMessage(request), !isStored);
      resolve(isStored);
    });
    request.open("POST", form.dataset.uploadUrl);
    shown.state.textContent = "Uploading";
    request.send(body);
  });
}

async function sendWaiting() {
  if (isSending) return;
  isSending = true;
  let stored = 0;
  while (waiting.length) stored += await send(waiting.shift());
  isSending = false;
  if (!stored) return;
  document.getElementById("no-uploads")?.remove();
  document.getElementById("uploads").dispatchEvent(new CustomEvent("uploaded"));
}

function add(files) {
  for (const file of files) {
    const shown = addRow(file);
    if (file.size > Number(form.dataset.maxBytes)) finish(shown, `The file is larger than ${form.dataset.maxBytes / 1024 ** 2} MB`, true);
    else waiting.push({ file, shown });
  }
  sendWaiting();
}

if (form) {
  const input = form.elements.file;
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    queue.replaceChildren();
    add(input.files);
    form.reset();
  });
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
    queue.replaceChildren();
    add(event.dataTransfer.files);
  });
}

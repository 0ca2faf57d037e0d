// What the designer adds for the mouse and the keyboard: moving and resizing on the image, dragging layers in their
// list, undo by keys, and color pickers. Everything it does is typed into the page's own forms; without it they do all.
"use strict";

const POSITION = ["x", "y"], SIZE = ["width", "height"];
const STEP = 1, BIG_STEP = 10, MIN_SIZE = 4;
const field = (name) => document.querySelector(`.properties [name="${name}"]`);
const number = (name) => Number(field(name).value) || 0;

function announce(element, type) {
  element.dispatchEvent(new Event(type, { bubbles: true }));
}

function setBox(box, names) {
  for (const name of names) field(name).value = Math.round(box[name]);
}

// Where the box begins, compared with the layer's anchor.
function anchorOffset(width, height) {
  const anchor = field("anchor").value;
  const dx = anchor.includes("left") ? 0 : anchor.includes("right") ? width : width / 2;
  const dy = anchor.includes("top") ? 0 : anchor.includes("bottom") ? height : height / 2;
  return { dx, dy };
}

function resized(start, dx, dy, handle) {
  const width = Math.max(start.width + (handle[0] === "1" ? dx : -dx), MIN_SIZE);
  const height = Math.max(start.height + (handle[1] === "1" ? dy : -dy), MIN_SIZE);
  const before = anchorOffset(start.width, start.height), after = anchorOffset(width, height);
  const left = start.x - before.dx + (handle[0] === "1" ? 0 : start.width - width);
  const top = start.y - before.dy + (handle[1] === "1" ? 0 : start.height - height);
  return { x: left + after.dx, y: top + after.dy, width, height };
}

// The position as entered, and the size as placed: the content can decide about it.
function read(group) {
  const outline = group.querySelector(".selected"), side = (name) => Number(outline.getAttribute(name));
  return { x: number("x"), y: number("y"), width: side("width"), height: side("height") };
}

function updateOverlay(group, box) {
  const { dx, dy } = anchorOffset(box.width, box.height);
  const [left, top] = [box.x - dx, box.y - dy];
  const outline = group.querySelector(".selected");
  for (const [name, value] of Object.entries({ x: left, y: top, width: box.width, height: box.height })) outline.setAttribute(name, value);
  for (const handle of group.querySelectorAll(".handle")) {
    const half = handle.getAttribute("width") / 2, [right, low] = handle.dataset.handle;
    handle.setAttribute("x", left + box.width * right - half);
    handle.setAttribute("y", top + box.height * low - half);
  }
  group.setAttribute("transform", `rotate(${number("rotation")} ${left + box.width / 2} ${top + box.height / 2})`);
}

function point(frame, event) {
  return new DOMPoint(event.clientX, event.clientY).matrixTransform(frame.getScreenCTM().inverse());
}

document.addEventListener("pointerdown", (event) => {
  const group = event.target.closest("#selected-layer[data-movable]");
  if (!group || event.button !== 0) return;
  event.preventDefault();
  group.focus();
  // Positions are relative to the group that the layer is in.
  const frame = group.parentNode, start = read(group), from = point(frame, event), handle = event.target.dataset.handle;
  const names = handle ? [...POSITION, ...SIZE] : POSITION;
  const angle = handle ? -number("rotation") * Math.PI / 180 : 0;
  let moved = false;

  function move(event) {
    const to = point(frame, event), right = to.x - from.x, down = to.y - from.y;
    // A handle of a turned layer follows the layer's own sides.
    const dx = right * Math.cos(angle) - down * Math.sin(angle), dy = right * Math.sin(angle) + down * Math.cos(angle);
    const box = handle ? resized(start, dx, dy, handle) : { ...start, x: start.x + dx, y: start.y + dy };
    moved = true;
    setBox(box, names);
    updateOverlay(group, box);
    announce(field("x"), "input");
  }

  function end() {
    document.removeEventListener("pointermove", move);
    document.removeEventListener("pointerup", end);
    document.removeEventListener("pointercancel", end);
    if (moved) announce(field("x"), "change");
  }

  document.addEventListener("pointermove", move);
  document.addEventListener("pointerup", end);
  document.addEventListener("pointercancel", end);
});

function nudge(event, group) {
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!direction || (event.altKey && !("resizable" in group.dataset))) return;
  event.preventDefault();
  const step = event.shiftKey ? BIG_STEP : STEP, start = read(group);
  const [dx, dy] = direction.map((part) => part * step);
  const box = event.altKey ? resized(start, dx, dy, "11") : { ...start, x: start.x + dx, y: start.y + dy };
  setBox(box, event.altKey ? [...POSITION, ...SIZE] : POSITION);
  updateOverlay(group, box);
  announce(field("x"), "input");
}

document.addEventListener("keydown", (event) => {
  const group = event.target.closest?.("#selected-layer[data-movable]");
  if (group) nudge(event, group);
  const typing = event.target.closest?.("input, textarea, select");
  if (typing || !(event.ctrlKey || event.metaKey)) return;
  const key = event.key.toLowerCase();
  const button = key === "z" && !event.shiftKey ? "[data-undo]" : key === "y" || key === "z" ? "[data-redo]" : null;
  if (!button) return;
  event.preventDefault();
  document.querySelector(button)?.click();
});

// Layers in their list: each can be dragged within its own container.
let dragged = null;

function dropTarget(event) {
  const siblings = dragged ? [...dragged.parentElement.children] : [];
  return siblings.find((item) => item !== dragged && item.contains(event.target));
}

document.addEventListener("dragstart", (event) => {
  dragged = event.target.closest?.("li[data-index]");
  if (dragged) event.dataTransfer.effectAllowed = "move";
});
document.addEventListener("dragover", (event) => {
  if (dropTarget(event)) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  const target = dropTarget(event);
  if (!target) return;
  event.preventDefault();
  const form = document.querySelector("form.reorder-form");
  form.querySelector("[data-dragged]").value = dragged.dataset.name;
  form.querySelector("[data-dropped]").value = target.dataset.index;
  form.requestSubmit();
});
document.addEventListener("dragend", () => { dragged = null; });

// A color picker beside a color that is typed.
document.addEventListener("input", (event) => {
  const name = event.target.dataset?.color;
  if (!name) return;
  const typed = document.getElementById(name);
  const opacity = typed.value.length === 9 && typed.value.startsWith("#") ? typed.value.slice(7) : "";
  typed.value = event.target.value + opacity;
  announce(typed, "input");
});

// What the user has changed counts as changed, also when it is typed back before the page shows the change.
document.addEventListener("input", (event) => {
  const form = event.target.form, shown = form?.elements.shown;
  if (!shown) return;
  const values = JSON.parse(shown.value), typed = new FormData(form);
  for (const name in values) if ((typed.get(name) ?? "") !== values[name]) values[name] = null;
  shown.value = JSON.stringify(values);
});

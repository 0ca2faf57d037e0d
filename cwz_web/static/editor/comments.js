// The comments panel: the comments of the template, those of the selected layer first. The server renders them. Layers
// with open comments have a mark on the stage and in the tree of layers.

import { _, ngettext } from "../i18n.js";
import { placeMarks } from "./comment-marks.js";
import { openPanel } from "./tabs.js";

/** @typedef {import("./editor.js").Editor} Editor */

/** @param {Editor} editor */
export function installComments(editor) {
  const { root } = editor;
  const panel = /** @type {HTMLElement} */ (root.querySelector("#panel-comments"));
  const source = /** @type {HTMLElement} */ (panel.firstElementChild);
  let shown = "";
  /** @type {Promise<unknown>} */
  let loading = Promise.resolve();
  /** @type {Element | null} the form that changes a comment now */
  let changing = null;
  let loads = 0;

  /** Return whether the user writes a comment, which another list would replace. */
  function isTyping() {
    const text = /** @type {HTMLTextAreaElement | null} */ (panel.querySelector("#comment-text"));
    return Boolean(text?.value.trim() || panel.querySelector("details[open] textarea"));
  }

  /** Show the comments of the selected layer, unless a comment is being written. */
  function show() {
    const [layer = ""] = editor.selection;
    if (panel.hidden || isTyping() || changing || shown === `:${layer}`) return;
    shown = `:${layer}`;
    const query = new URLSearchParams({ layer });
    loads++;
    loading = htmx.ajax("GET", `${editor.start.comments}?${query}`, { source, target: "#comments-list", swap: "outerHTML" });
  }

  /** @param {string} name a layer, or empty for the whole template */
  async function write(name) {
    if (name) editor.select([name]);
    openPanel(root, "comments");
    await loading;
    /** @type {HTMLElement | null} */ (panel.querySelector("#comment-text"))?.focus();
  }

  // The answer to a change is the newest list: a list that was requested earlier must not replace it.
  panel.addEventListener("htmx:before:request", ({ target }) => {
    if (target === source) return;
    changing = /** @type {Element} */ (target);
    if (!loads) return;
    shown = "";
    source.dispatchEvent(new CustomEvent("htmx:abort"));
  });
  document.addEventListener("htmx:finally:request", (event) => {
    const { sourceElement } = /** @type {CustomEvent} */ (event).detail.ctx;
    if (sourceElement === source) loads--;
    if (!changing || sourceElement !== changing) return;
    changing = null;
    show();
  });
  root.addEventListener("tab", () => {
    shown = "";  // others may have written since
    show();
  });
  editor.addEventListener("select", show);
  // A renamed layer keeps its comments.
  editor.session.addEventListener("state", (event) => {
    if (!setOpenComments(editor, new Map(Object.entries(/** @type {CustomEvent} */ (event).detail.openComments)))) return;
    shown = "";
    show();
  });
  editor.addEventListener("comment", (event) => write(/** @type {CustomEvent} */ (event).detail));
  panel.addEventListener("click", (event) => {
    const layer = /** @type {HTMLElement} */ (event.target).closest("[data-comment-layer]");
    if (!(layer instanceof HTMLElement)) return;
    event.preventDefault();
    editor.select([layer.dataset.commentLayer ?? ""]);
  });
  let hadFocus = false;
  root.addEventListener("focusin", (event) => { hadFocus = panel.contains(/** @type {Node} */ (event.target)); });
  new MutationObserver(() => {
    readOpenComments(editor, panel);
    // The focused button is gone with its comment.
    const items = /** @type {HTMLElement | null} */ (panel.querySelector("#comment-items"));
    if (hadFocus && document.activeElement === document.body) items?.focus();
  }).observe(panel, { childList: true, subtree: true });
  editor.commands.add({ id: "comment", label: _("Comment"), group: "Edit", keys: ["C"], run: () => write(editor.selection[0] ?? "") });
  installMarks(editor);
}

/**
 * Count the open comments that the panel shows, which are all of the template.
 * @param {Editor} editor
 * @param {HTMLElement} panel
 */
function readOpenComments(editor, panel) {
  if (!panel.querySelector("#comment-items")) return;
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const each of /** @type {NodeListOf<HTMLElement>} */ (panel.querySelectorAll("[data-open-comment]"))) {
    const layer = each.dataset.openComment ?? "";
    if (layer) counts.set(layer, (counts.get(layer) ?? 0) + 1);
  }
  if (!setOpenComments(editor, counts)) return;
  const count = [...counts.values()].reduce((sum, each) => sum + each, 0);
  editor.announce(_("%(comments)s on layers", { comments: describeCount(count) }));
}

/**
 * @param {Editor} editor
 * @param {Map<string, number>} counts
 * @returns {boolean} whether they have changed
 */
function setOpenComments(editor, counts) {
  const { openComments } = editor;
  if (counts.size === openComments.size && [...counts].every(([name, count]) => openComments.get(name) === count)) return false;
  editor.openComments = counts;
  editor.emit("comments");
  return true;
}

/** @param {number} count */
export function describeCount(count) {
  return ngettext("%(count)s open comment", "%(count)s open comments", count);
}

/**
 * Show the marks of commented layers on the stage.
 * @param {Editor} editor
 */
function installMarks(editor) {
  const { stage, root } = editor;
  const element = document.createElement("div");
  element.className = "comment-marks";
  stage.container.append(element);
  const icon = /** @type {HTMLTemplateElement} */ (root.querySelector("#icon-comment"));

  function show() {
    const frames = [...editor.openComments.keys()].flatMap((name) => {
      const frame = stage.find(name)?.frame;
      return frame ? [{ name, frame }] : [];
    });
    element.hidden = Boolean(stage.concealed);
    while (element.children.length > frames.length) element.lastElementChild?.remove();
    const points = placeMarks(frames.map((each) => each.frame), (point) => stage.toContainer(point));
    for (const [at, { name }] of frames.entries()) showMark(at, name, points[at]);
  }

  /**
   * @param {number} at
   * @param {string} name
   * @param {import("./stage.js").Point} point
   */
  function showMark(at, name, point) {
    let mark = /** @type {HTMLButtonElement | undefined} */ (element.children[at]);
    if (!mark) {
      mark = document.createElement("button");
      mark.type = "button";
      mark.className = "comment-mark";
      mark.append(icon.content.cloneNode(true), document.createElement("span"));
      element.append(mark);
    }
    const count = editor.openComments.get(name) ?? 0;
    /** @type {HTMLElement} */ (mark.lastElementChild).textContent = String(count);
    mark.dataset.layer = name;
    mark.setAttribute("aria-label", _("%(comments)s on %(name)s", { comments: describeCount(count), name }));
    mark.style.left = `${point.x}px`;
    mark.style.top = `${point.y}px`;
  }

  element.addEventListener("pointerdown", (event) => event.stopPropagation());
  element.addEventListener("click", (event) => {
    const mark = /** @type {HTMLElement} */ (event.target).closest("button");
    if (mark) editor.emit("comment", mark.dataset.layer);
  });
  element.addEventListener("dblclick", (event) => event.stopPropagation());
  for (const type of ["comments", "select"]) editor.addEventListener(type, show);
  editor.addEventListener("dragging", () => { element.hidden = true; });
  for (const type of ["camera", "shown"]) stage.addEventListener(type, show);
  stage.addEventListener("transform", () => { element.hidden = true; });
}

// The comments panel: the comments of the template, those of the selected layer first. The server renders them.

/** @typedef {import("./editor.js").Editor} Editor */

/** @param {Editor} editor */
export function installComments(editor) {
  const { root } = editor;
  const panel = /** @type {HTMLElement} */ (root.querySelector("#panel-comments"));
  let shown = "";

  function isTyping() {
    const text = panel.querySelector("textarea");
    return Boolean(text?.value.trim());
  }

  /** Show the comments of the selected layer, unless a comment is being written. */
  function show() {
    const [layer = ""] = editor.selection;
    if (panel.hidden || isTyping() || shown === `:${layer}`) return;
    shown = `:${layer}`;
    const query = new URLSearchParams({ layer });
    htmx.ajax("GET", `${editor.start.comments}?${query}`, { target: "#comments-list", swap: "outerHTML" });
  }

  root.addEventListener("tab", () => {
    shown = "";  // others may have written since
    show();
  });
  editor.addEventListener("select", show);
  panel.addEventListener("click", (event) => {
    const layer = /** @type {HTMLElement} */ (event.target).closest("[data-comment-layer]");
    if (!(layer instanceof HTMLElement)) return;
    event.preventDefault();
    editor.select([layer.dataset.commentLayer ?? ""]);
  });
}

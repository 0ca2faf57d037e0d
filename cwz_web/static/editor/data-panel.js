// The data panel: find a row of a feed, step through rows, and see the design in the rows that stress it and in all sizes.

import { _ } from "../i18n.js";
import { searchWhileTyping } from "./searching.js";

/** @typedef {import("./editor.js").Editor} Editor */

const REDRAW_MS = 800;
const MAX_VALUE = 120;
// Images that the server refuses, since there are too many, are requested again for longer than the limit lasts.
const RETRY_MS = 6000;
const MAX_RETRIES = 12;

/** @param {Editor} editor */
export function installDataPanel(editor) {
  const { root, session } = editor;
  const search = /** @type {HTMLInputElement} */ (root.querySelector("#row-search"));
  const found = /** @type {HTMLElement} */ (root.querySelector("#found-rows"));
  const strip = /** @type {HTMLElement} */ (root.querySelector("#strip"));
  const stripTitle = /** @type {HTMLElement} */ (root.querySelector("#strip-title"));
  const stripContent = /** @type {HTMLElement} */ (root.querySelector("#strip-content"));
  const values = /** @type {HTMLElement} */ (root.querySelector("#row-fields"));
  const needsFeed = /** @type {HTMLElement} */ (root.querySelector("#needs-feed"));
  /** @type {"" | "rows" | "sizes"} */
  let shown = "";
  /** @type {string | null} the feed of the rows that are listed */
  let feedOfRows = null;
  let timer = 0;
  let drawn = "";

  function findRows() {
    const { feed } = session.view;
    feedOfRows = feed;
    needsFeed.hidden = Boolean(feed);
    search.disabled = !feed;
    if (!feed) return found.replaceChildren();
    const query = new URLSearchParams({ feed, text: search.value });
    htmx.ajax("GET", `${editor.start.rows}?${query}`, { source: found, target: "#found-rows", swap: "innerHTML" });
  }

  function showValues() {
    const labels = new Map(editor.document.fields.map((field) => [field.name, field.label]));
    values.replaceChildren(...Object.entries(session.state?.values ?? {}).flatMap(([name, text]) => {
      const term = document.createElement("dt");
      term.textContent = labels.get(name) ?? name;
      const value = document.createElement("dd");
      value.textContent = text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text || "–";
      return [term, value];
    }));
  }

  /** Show the strip again once nothing has changed for a moment. */
  function drawStrip() {
    clearTimeout(timer);
    if (!shown) return;
    timer = setTimeout(() => {
      const key = JSON.stringify([shown, session.saved.base, session.view.feed, shown === "sizes" && session.view.row, editor.size]);
      if (key === drawn) return;
      drawn = key;
      if (shown === "sizes") drawSizes();
      else drawRows();
    }, drawn ? REDRAW_MS : 0);
  }

  async function drawRows() {
    const { feed } = session.view;
    if (!feed) {
      stripContent.textContent = editor.start.feeds.length
        ? _("Choose sample data at the top to see the design with its most difficult rows.")
        : _("Import a feed first, on the page Feeds, to see the design with its most difficult rows.");
      return;
    }
    const query = new URLSearchParams({ feed, size: editor.size });
    await htmx.ajax("GET", `${editor.start.stress}?${query}`, { source: stripContent, target: "#strip-content", swap: "innerHTML" });
    await checkRows(feed);
  }

  /**
   * Mark the images that have issues, one after the other.
   * @param {string} feed
   */
  async function checkRows(feed) {
    const { base } = session.saved;
    for (const mark of /** @type {NodeListOf<HTMLElement>} */ (stripContent.querySelectorAll("[data-findings-row]"))) {
      const query = new URLSearchParams({ feed, size: editor.size, row: mark.dataset.findingsRow ?? "1" });
      const response = await fetchPatiently(`${editor.start.findings}?${query}`);
      if (!response?.ok || base !== session.saved.base || !mark.isConnected) return;
      const { messages } = await response.json();
      mark.textContent = messages.length ? `${messages.length} ${messages.length === 1 ? "issue" : "issues"}` : "";
      mark.title = messages.join("\n");
    }
  }

  function drawSizes() {
    const { canvas, sizes } = editor.document;
    const all = [{ name: "default", width: canvas.width, height: canvas.height }, ...sizes];
    const list = document.createElement("ul");
    list.className = "strip";
    for (const size of all) {
      const query = new URLSearchParams({ draft: session.saved.base.slice(0, 16), size: size.name, width: "320", row: String(session.view.row) });
      if (session.view.feed) query.set("feed", session.view.feed);
      const image = new Image(size.width, size.height);
      image.src = `${editor.start.preview}?${query}`;
      image.alt = "";
      const label = document.createElement("span");
      label.className = "strip-label";
      label.textContent = `${size.width} × ${size.height}`;
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.size = size.name;
      button.setAttribute("aria-pressed", String(size.name === editor.size));
      button.append(image, label);
      const item = document.createElement("li");
      item.append(button);
      list.append(item);
    }
    stripContent.replaceChildren(list);
  }

  /** @param {Event} event an image of the strip that was not loaded */
  function retryImage({ target }) {
    if (!(target instanceof HTMLImageElement)) return;
    const count = Number(target.dataset.retries ?? 0) + 1;
    if (count > MAX_RETRIES) return;
    target.dataset.retries = String(count);
    editor.announce(_("Too many images at once. They follow in a moment"));
    setTimeout(() => { if (target.isConnected) target.src = String(target.src); }, RETRY_MS);
  }

  /** @param {"rows" | "sizes"} what */
  function toggleStrip(what) {
    shown = shown === what ? "" : what;
    strip.hidden = !shown;
    root.classList.toggle("has-strip", Boolean(shown));
    stripTitle.textContent = shown === "sizes" ? _("All sizes") : _("Difficult rows");
    drawn = "";
    drawStrip();
  }

  /** @param {Event} event */
  function choose(event) {
    const button = /** @type {HTMLElement} */ (event.target).closest("button[data-row], button[data-size]");
    if (!(button instanceof HTMLElement)) return;
    if (button.dataset.size) session.show({ size: button.dataset.size });
    else {
      const row = Number(button.dataset.row);
      /** @type {HTMLInputElement} */ (root.querySelector("#row")).value = String(row);
      session.show({ row });
    }
  }

  searchWhileTyping(search, findRows);
  found.addEventListener("click", choose);
  stripContent.addEventListener("click", choose);
  stripContent.addEventListener("error", retryImage, true);  // it does not bubble
  root.querySelector("#strip-close")?.addEventListener("click", () => shown && toggleStrip(shown));
  session.addEventListener("state", () => {
    if (session.view.feed !== feedOfRows) findRows();
    showValues();
    drawStrip();
  });
  const step = (/** @type {number} */ by) => () => root.querySelector(by > 0 ? "#row-next" : "#row-previous")?.dispatchEvent(new MouseEvent("click"));
  editor.commands.add(
    { id: "stress", label: _("Difficult rows"), group: "View", keys: ["Shift+D"], run: () => toggleStrip("rows") },
    { id: "sizes", label: _("All sizes"), group: "View", keys: ["Shift+Z"], run: () => toggleStrip("sizes") },
    { id: "next-row", label: _("Next row"), group: "View", keys: ["Alt+ArrowRight"], run: step(1), isEnabled: () => Boolean(session.view.feed) },
    { id: "previous-row", label: _("Previous row"), group: "View", keys: ["Alt+ArrowLeft"], run: step(-1), isEnabled: () => Boolean(session.view.feed) },
  );
  findRows();
}

/**
 * Fetch a URL, again as long as there are too many requests; null without a connection.
 * @param {string} url
 */
async function fetchPatiently(url) {
  for (;;) {
    const response = await fetch(url).catch(() => null);
    if (response?.status !== 429) return response;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

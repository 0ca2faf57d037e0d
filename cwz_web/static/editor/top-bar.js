// The bar at the top: size, undo and redo, zoom, the sample row, the state of saving, and publishing.

import { _, ngettext } from "../i18n.js";

/** @typedef {import("./editor.js").Editor} Editor */

const ZOOMS = { fit: 0, "25": 0.25, "50": 0.5, "100": 1, "200": 2, "400": 4 };

/** @param {Editor} editor */
export function installTopBar(editor) {
  const { root, session, stage, commands } = editor;
  /**
   * @template {HTMLElement} T
   * @param {string} selector
   * @returns {T}
   */
  const part = (selector) => /** @type {T} */ (root.querySelector(selector));
  /** @type {HTMLSelectElement} */
  const sizes = part("#size");
  /** @type {HTMLSelectElement} */
  const feeds = part("#feed");
  /** @type {HTMLInputElement} */
  const row = part("#row");
  /** @type {HTMLSelectElement} */
  const zoom = part("#zoom");
  const save = part("#save-state");
  const signIn = /** @type {HTMLDialogElement} */ (part("#sign-in-dialog"));
  const discard = /** @type {HTMLDialogElement} */ (part("#discard-dialog"));

  root.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest("[data-command]");
    if (button instanceof HTMLElement) commands.run(button.dataset.command ?? "");
  });

  function showSizes() {
    const { canvas, sizes: more } = editor.document;
    const options = [{ name: "default", width: canvas.width, height: canvas.height }, ...more];
    sizes.replaceChildren(...options.map(({ name, width, height }) => {
      const isNamed = name !== "default" && name !== `${width}x${height}`;
      return new Option(isNamed ? `${name} (${width} × ${height})` : `${width} × ${height}`, name, false, name === editor.size);
    }));
  }

  function showButtons() {
    for (const button of root.querySelectorAll("[data-command]")) {
      const command = commands.get(/** @type {HTMLElement} */ (button).dataset.command ?? "");
      if (button instanceof HTMLButtonElement) button.disabled = !(command.isEnabled?.() ?? true);
    }
    const { state } = session;
    if (state) part("#version").textContent = state.hasDraft ? _("Not published") : _("Version %(version)s", { version: state.version });
  }

  function showSaveState() {
    const texts = {
      saved: _("Saved"),
      saving: _("Saving…"),
      offline: session.unsent
        ? ngettext("Offline. %(count)s change will be saved later", "Offline. %(count)s changes will be saved later", session.unsent)
        : _("Offline"),
      "signed-out": _("Signed out"),
      failed: _("Not saved. %(reason)s", { reason: session.failure || _("Trying again") }),
    };
    save.textContent = texts[session.saveState];
    save.title = texts[session.saveState];  // it can be cut
    save.dataset.state = session.saveState;
    part("#discard-unsent").hidden = !session.canDrop;
    if (session.saveState === "signed-out" && !signIn.open) signIn.showModal();
    if (session.saveState === "saved" && signIn.open) signIn.close();
    showButtons();
  }

  function showFeed() {
    const feed = feeds.selectedOptions[0];
    row.disabled = !feed?.value;
    row.max = feed?.dataset.rows ?? "1";
    for (const id of ["#row-previous", "#row-next"]) /** @type {HTMLButtonElement} */ (part(id)).disabled = !feed?.value;
  }

  /** @param {number} number */
  function showRow(number) {
    const last = Number(row.max) || 1;
    row.value = String(Math.min(Math.max(number, 1), last));
    session.show({ row: Number(row.value) });
  }

  sizes.addEventListener("change", () => session.show({ size: sizes.value }));
  feeds.addEventListener("change", () => {
    showFeed();
    row.value = "1";
    session.show({ feed: feeds.value || null, row: 1 });
  });
  row.addEventListener("change", () => showRow(Number(row.value) || 1));
  part("#row-previous").addEventListener("click", () => showRow(Number(row.value) - 1));
  part("#row-next").addEventListener("click", () => showRow(Number(row.value) + 1));
  zoom.addEventListener("change", () => {
    const value = ZOOMS[/** @type {keyof typeof ZOOMS} */ (zoom.value)];
    if (value) stage.zoomTo(value);
    else stage.fit();
    zoom.blur();
  });
  stage.addEventListener("camera", () => {
    const percent = `${Math.round(stage.zoom * 100)}%`;
    const current = zoom.options[0];
    current.textContent = percent;
    zoom.value = "";
  });
  part("#sign-in-continue").addEventListener("click", async () => {
    const problem = await session.resume();
    if (problem) part("#sign-in-help").textContent = problem;
  });
  discard.addEventListener("close", async () => {
    if (discard.returnValue !== "discard") return;
    const hadDraft = session.state?.hasDraft;
    if (!(await session.discard())) return editor.toast(_("The draft could not be discarded. Try again later."));
    editor.toast(hadDraft ? _("Changes discarded. Undo brings them back.") : _("Changes that were not saved are discarded."));
  });
  for (const type of ["state", "document"]) session.addEventListener(type, showButtons);
  session.addEventListener("state", showSizes);
  session.addEventListener("save", showSaveState);
  session.addEventListener("findings", () => {
    const { findings } = session;
    const issues = part("#findings");
    issues.hidden = findings.length === 0;
    part("#findings-count").textContent = ngettext("%(count)s issue", "%(count)s issues", findings.length);
    part("#findings-list").replaceChildren(...findings.map(({ layer, message }) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = layer || _("Row");
      button.addEventListener("click", () => editor.select([layer]));
      item.append(button, ` ${message}`);
      return item;
    }));
  });
  session.addEventListener("state", () => {
    const error = part("#stage-error");
    error.textContent = session.state?.error ?? "";
    error.hidden = !session.state?.error;
  });
  editor.addEventListener("select", showButtons);
  installName(editor);
  feeds.value = session.view.feed ?? "";
  row.value = String(session.view.row);
  showSizes();
  showFeed();
  showButtons();
}

/**
 * Rename the template in place. htmx sends the form when the name has changed.
 * @param {Editor} editor
 */
function installName(editor) {
  const form = /** @type {HTMLFormElement} */ (editor.root.querySelector("#template-name"));
  const find = () => /** @type {HTMLInputElement} */ (form.querySelector("input[name=name]"));
  form.addEventListener("keydown", (event) => {
    const input = find();
    if (event.target !== input || event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
    event.preventDefault();
    if (event.key === "Escape") input.value = form.querySelector("h1")?.textContent ?? "";
    input.blur();
  });
  form.addEventListener("htmx:after:swap", () => {
    const input = find();
    if (input.getAttribute("aria-invalid")) return input.focus();
    input.value = input.defaultValue;  // as the server has stored it
    document.title = document.title.replace(/^.*(?= · [^·]*$)/, () => _("Edit %(name)s", { name: input.value }));
    editor.announce(_("Renamed the template to %(name)s", { name: input.value }));
  });
}

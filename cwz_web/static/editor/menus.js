// The context menu, the command palette and the sheet of shortcuts: all of them list the commands of the editor.

import { _ } from "../i18n.js";
import { addFragment } from "./adding.js";
import { describeKeys, groupLabel } from "./commands.js";
import { findOffers, layerOf } from "./fields.js";
import { findEntries } from "./finding.js";
import { DEFAULT_SIZE, walkLayers } from "./model.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./commands.js").Command} Command */
/** @typedef {import("./finding.js").Entry} Entry */
/** @typedef {import("./stage.js").Point} Point */

const MENU_GROUPS = ["Edit", "Arrange"];
const MAX_LAYERS_HERE = 6;
const MAX_ENTRIES = 60;
const LONG_PRESS_MS = 500;
const LONG_PRESS_DISTANCE = 8;
const MARGIN = 8;

/** @param {Editor} editor */
export function installMenus(editor) {
  const menu = new ContextMenu(editor);
  installPalette(editor);
  installShortcuts(editor);
  editor.commands.add({
    id: "context-menu", label: _("Open the menu of the selection"), group: "View", keys: ["Shift+F10", "ContextMenu"],
    isHidden: true, run: () => menu.openAtSelection(),
  });
}

class ContextMenu {
  /** @param {Editor} editor */
  constructor(editor) {
    this.editor = editor;
    this.menu = /** @type {HTMLElement} */ (editor.root.querySelector("#context-menu"));
    /** What has the focus again when the menu is closed. */
    this.opener = /** @type {Element | null} */ (null);
    const { container } = editor.stage;
    const tree = /** @type {HTMLElement} */ (editor.root.querySelector("#layer-tree"));
    container.addEventListener("contextmenu", (event) => this.openOnStage(event));
    container.addEventListener("pointerdown", (event) => this.waitForLongPress(event));
    tree.addEventListener("contextmenu", (event) => this.openOnTree(event));
    this.menu.addEventListener("keydown", (event) => this.handleKey(event));
    this.menu.addEventListener("contextmenu", (event) => event.preventDefault());
    addEventListener("pointerdown", (event) => !this.menu.contains(/** @type {Node} */ (event.target)) && this.close(false), { capture: true });
    addEventListener("blur", () => this.close(false));
    editor.stage.addEventListener("camera", () => this.close(false));
  }

  /** @param {MouseEvent} event */
  openOnStage(event) {
    event.preventDefault();
    this.openAt(event, this.editor.stage.toCanvas(event));
  }

  /**
   * @param {{clientX: number, clientY: number}} at in the window
   * @param {Point} point on the canvas
   */
  openAt(at, point) {
    const { editor } = this;
    const name = editor.targetAt(point);
    if (!name) editor.leave();
    else if (!editor.selection.includes(name)) editor.select([name]);
    const layers = [...new Set(editor.stage.layersAt(point).map((each) => each.name))].filter((each) => editor.isUnlocked(each));
    this.open(at, layers.length > 1 ? layers.slice(0, MAX_LAYERS_HERE) : []);
  }

  /** @param {MouseEvent} event */
  openOnTree(event) {
    const item = /** @type {HTMLElement} */ (event.target).closest("[role=treeitem]");
    if (!(item instanceof HTMLElement)) return;
    event.preventDefault();
    const name = item.dataset.name ?? "";
    if (!this.editor.selection.includes(name)) this.editor.select([name]);
    this.open(event, []);
  }

  openAtSelection() {
    const { stage, selection } = this.editor;
    const frame = selection.length ? stage.find(selection[0])?.frame : undefined;
    const at = stage.toContainer(frame ?? { x: stage.width / 2, y: stage.height / 2 });
    const box = stage.container.getBoundingClientRect();
    this.open({ clientX: box.left + at.x, clientY: box.top + at.y }, []);
  }

  /** @param {PointerEvent} start */
  waitForLongPress(start) {
    if (start.pointerType !== "touch" || !start.isPrimary) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      stop.abort();
      this.editor.cancelDrag?.();
      this.openAt(start, this.editor.stage.toCanvas(start));
    }, LONG_PRESS_MS);
    const cancel = () => {
      clearTimeout(timer);
      stop.abort();
    };
    const { signal } = stop;
    addEventListener("pointermove", (event) => {
      if (Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > LONG_PRESS_DISTANCE) cancel();
    }, { signal });
    addEventListener("pointerup", cancel, { signal });
    addEventListener("pointercancel", cancel, { signal });
    addEventListener("pointerdown", (event) => event !== start && cancel(), { signal });
  }

  /**
   * @param {{clientX: number, clientY: number}} at
   * @param {string[]} layers those under the pointer
   */
  open(at, layers) {
    const { editor, menu } = this;
    if (menu.hidden) this.opener = document.activeElement;
    const commands = editor.commands.list().filter((each) => each.isEnabled?.() ?? true);
    const groups = MENU_GROUPS.map((group) => commands.filter((each) => each.group === group).map((each) => this.createItem(each.label, each.keys?.[0], () => each.run())));
    if (layers.length) groups.push(layers.map((name) => this.createItem(_("Select %(name)s", { name }), undefined, () => editor.select([name]))));
    menu.replaceChildren(...groups.filter((each) => each.length).flatMap((items, number) => {
      const line = document.createElement("hr");
      return number ? [line, ...items] : items;
    }));
    menu.hidden = false;
    const { width, height } = menu.getBoundingClientRect();
    menu.style.left = `${Math.max(Math.min(at.clientX, innerWidth - width - MARGIN), MARGIN)}px`;
    menu.style.top = `${Math.max(Math.min(at.clientY, innerHeight - height - MARGIN), MARGIN)}px`;
    this.items()[0]?.focus();
  }

  /**
   * @param {string} label
   * @param {string | undefined} keys
   * @param {() => void} run
   */
  createItem(label, keys, run) {
    const item = document.createElement("button");
    item.type = "button";
    item.setAttribute("role", "menuitem");
    item.tabIndex = -1;
    item.append(label);
    if (keys) item.append(keyboard(keys));
    item.addEventListener("click", () => {
      this.close(true);
      run();
    });
    item.addEventListener("pointerenter", () => item.focus());
    return item;
  }

  items() {
    return /** @type {HTMLElement[]} */ ([...this.menu.querySelectorAll("[role=menuitem]")]);
  }

  /** @param {KeyboardEvent} event */
  handleKey(event) {
    const items = this.items();
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const letter = event.key.length === 1 && !event.ctrlKey && !event.metaKey ? event.key.toLowerCase() : "";
    const found = letter.trim() ? [...items.slice(at + 1), ...items].find((each) => each.textContent?.toLowerCase().startsWith(letter)) : undefined;
    if (event.key === "ArrowDown") items[(at + 1) % items.length]?.focus();
    else if (event.key === "ArrowUp") items[(at - 1 + items.length) % items.length]?.focus();
    else if (event.key === "Home") items[0]?.focus();
    else if (event.key === "End") items.at(-1)?.focus();
    else if (event.key === "Escape" || event.key === "Tab") this.close(true);
    else if (found) found.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {boolean} isBack whether what had the focus gets it again */
  close(isBack) {
    if (this.menu.hidden) return;
    this.menu.hidden = true;
    if (isBack && this.opener instanceof HTMLElement && this.opener.isConnected && this.opener !== document.body) this.opener.focus({ preventScroll: true });
    else if (isBack) this.editor.stage.container.focus({ preventScroll: true });
  }
}

/**
 * @param {string} keys
 */
function keyboard(keys) {
  const text = document.createElement("kbd");
  text.textContent = describeKeys(keys);
  return text;
}

/** @param {Editor} editor */
function installPalette(editor) {
  const dialog = /** @type {HTMLDialogElement} */ (editor.root.querySelector("#palette"));
  const input = /** @type {HTMLInputElement} */ (dialog.querySelector("input"));
  const list = /** @type {HTMLElement} */ (dialog.querySelector("[role=listbox]"));
  const none = /** @type {HTMLElement} */ (dialog.querySelector("[data-none]"));
  /** @type {Entry[]} */
  let all = [];
  /** @type {Entry[]} */
  let found = [];
  let active = 0;

  function show() {
    found = findEntries(all, input.value, MAX_ENTRIES);
    active = 0;
    none.hidden = found.length > 0;
    list.replaceChildren(...found.map((entry, at) => drawEntry(entry, at)));
    mark();
  }

  /**
   * @param {Entry} entry
   * @param {number} at
   */
  function drawEntry(entry, at) {
    const option = document.createElement("li");
    option.id = `palette-${at}`;
    option.setAttribute("role", "option");
    const group = document.createElement("span");
    group.className = "muted small";
    group.textContent = groupLabel(entry.group);
    const label = document.createElement("span");
    label.className = "label";
    label.textContent = entry.label;
    option.append(label, group);
    if (entry.keys) option.append(keyboard(entry.keys));
    option.addEventListener("click", () => run(entry));
    return option;
  }

  function mark() {
    [...list.children].forEach((option, at) => {
      option.setAttribute("aria-selected", String(at === active));
      if (at === active) option.scrollIntoView({ block: "nearest" });
    });
    if (found.length) input.setAttribute("aria-activedescendant", `palette-${active}`);
    else input.removeAttribute("aria-activedescendant");
  }

  /** @param {Entry | undefined} entry */
  function run(entry) {
    if (!entry) return;
    dialog.close();
    entry.run();
  }

  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter") run(found[active]);
    else if (step && found.length) active = (active + step + found.length) % found.length;
    else return;
    event.preventDefault();
    mark();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  editor.commands.add({
    id: "palette", label: _("Search commands, layers, sizes and fields"), group: "View", keys: ["Mod+K"],
    run: () => {
      all = entriesOf(editor);
      input.value = "";
      dialog.showModal();
      show();
    },
  });
}

/**
 * Return what the palette can do now.
 * @param {Editor} editor
 * @returns {Entry[]}
 */
function entriesOf(editor) {
  const commands = editor.commands.list().filter((each) => each.id !== "palette" && (each.isEnabled?.() ?? true));
  const { canvas, sizes, layers } = editor.document;
  const all = [{ name: DEFAULT_SIZE, width: canvas.width, height: canvas.height }, ...sizes];
  return [
    ...commands.map((each) => ({ label: each.label, group: each.group, keys: each.keys?.[0], run: () => each.run() })),
    ...[...walkLayers(layers)].map(({ name }) => ({ label: name, group: "Layer", run: () => editor.select([name]) })),
    ...all.map(({ name, width, height }) => ({ label: `${name} ${width} × ${height}`, group: "Size", run: () => void editor.session.show({ size: name }) })),
    ...findOffers(editor.document, editor.columns).map((field) => ({ label: _("Add %(name)s", { name: field.label }), group: "Field", run: () => addFragment(editor, { layer: layerOf(field), shows: field }) })),
  ];
}

/** @param {Editor} editor */
function installShortcuts(editor) {
  const dialog = /** @type {HTMLDialogElement} */ (editor.root.querySelector("#shortcuts"));
  const place = /** @type {HTMLElement} */ (dialog.querySelector("[data-commands]"));
  for (const key of /** @type {NodeListOf<HTMLElement>} */ (dialog.querySelectorAll("[data-keys]"))) key.textContent = describeKeys(key.dataset.keys ?? "");
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  editor.commands.add({
    id: "shortcuts", label: _("Keyboard shortcuts"), group: "View", keys: ["?"],
    run: () => {
      place.replaceChildren(...drawShortcuts([...editor.commands.commands.values()].filter((each) => each.keys?.length)));
      dialog.showModal();
    },
  });
}

/** @param {Command[]} commands */
function drawShortcuts(commands) {
  return [...new Set(commands.map((each) => each.group))].map((group) => {
    const section = document.createElement("section");
    const title = document.createElement("h3");
    title.textContent = groupLabel(group);
    const list = document.createElement("dl");
    for (const { label, keys } of commands.filter((each) => each.group === group)) {
      const row = document.createElement("div");
      const name = document.createElement("dt");
      name.textContent = label;
      const value = document.createElement("dd");
      value.append(...(keys ?? []).slice(0, 2).map(keyboard));
      row.append(name, value);
      list.append(row);
    }
    section.append(title, list);
    return section;
  });
}

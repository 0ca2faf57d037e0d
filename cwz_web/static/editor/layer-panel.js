// The tree of layers: select, order, rename, lock and hide. It shows the document of this page, so it works offline, too.

import { _, inSentence } from "../i18n.js";
import { describeCount } from "./comments.js";
import { findLayer, locate, renameLayer, unusedName } from "./model.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./model.js").Layer} Layer */

/** @type {{[type: string]: string}} */
const TYPES = {
  code: _("Code"), group: _("Group"), image: _("Image"), rating: _("Rating"), shape: _("Shape"), stack: _("Stack"), text: _("Text"),
};

/** @param {Editor} editor */
export function installLayerPanel(editor) {
  const { root, session } = editor;
  const tree = /** @type {HTMLElement} */ (root.querySelector("#layer-tree"));
  const empty = /** @type {HTMLElement} */ (root.querySelector("#no-layers"));
  /** @type {Set<string>} */
  const folded = new Set();
  let focused = "";
  let dragged = "";
  // What the tree shows, to which most changes of the document make no difference.
  let drawn = "";

  /** @param {string} name */
  function icon(name) {
    const template = /** @type {HTMLTemplateElement} */ (root.querySelector(`#icon-${name}`));
    return template.content.cloneNode(true);
  }

  function draw() {
    // A layer is being renamed: the rest of its name would go to the shortcuts.
    if (tree.querySelector("input")) return;
    const hadFocus = tree.contains(document.activeElement);
    const absent = new Set(session.state?.absent.map((each) => each.name));
    const findings = new Set(session.findings.map((each) => each.layer));
    const { selection, openComments } = editor;
    const content = [outline(editor.document.layers), absent, findings, selection, focused, folded, openComments];
    const shown = JSON.stringify(content.map((each) => [...each]));
    if (shown === drawn) return;
    drawn = shown;
    empty.hidden = editor.document.layers.length > 0;
    tree.replaceChildren(...drawLayers(editor.document.layers, 1, false, absent, findings));
    const items = [...tree.querySelectorAll("[role=treeitem]")];
    const current = items.find((each) => /** @type {HTMLElement} */ (each).dataset.name === focused) ?? items[0];
    if (current instanceof HTMLElement) {
      current.tabIndex = 0;
      if (hadFocus) current.focus({ preventScroll: true });
    }
  }

  /**
   * Return what the tree shows of layers.
   * @param {Layer[]} layers
   * @returns {unknown[]}
   */
  function outline(layers) {
    return layers.map(({ name, type, locked, hidden, layers: inner }) => [name, type, locked, hidden, inner && outline(inner)]);
  }

  /**
   * @param {Layer[]} layers
   * @param {number} level
   * @param {boolean} isStack
   * @param {Set<string>} absent
   * @param {Set<string>} findings
   * @returns {HTMLElement[]}
   */
  function drawLayers(layers, level, isStack, absent, findings) {
    // The highest layer first; a stack shows its layers in their order.
    const ordered = isStack ? layers : [...layers].reverse();
    return ordered.map((layer) => {
      const item = document.createElement("li");
      item.setAttribute("role", "treeitem");
      item.setAttribute("aria-level", String(level));
      item.setAttribute("aria-selected", String(editor.selection.includes(layer.name)));
      item.setAttribute("aria-label", describe(layer, absent, findings));
      item.dataset.name = layer.name;
      item.tabIndex = -1;
      item.draggable = !layer.locked;
      item.classList.toggle("is-hidden", layer.hidden || absent.has(layer.name));
      item.append(drawRow(layer, level, findings));
      if (layer.layers) {
        const isOpen = !folded.has(layer.name);
        item.setAttribute("aria-expanded", String(isOpen));
        if (isOpen && layer.layers.length) {
          const group = document.createElement("ul");
          group.setAttribute("role", "group");
          group.append(...drawLayers(layer.layers, level + 1, layer.type === "stack", absent, findings));
          item.append(group);
        }
      }
      return item;
    });
  }

  /**
   * @param {Layer} layer
   * @param {Set<string>} absent
   * @param {Set<string>} findings
   */
  function describe(layer, absent, findings) {
    const comments = editor.openComments.get(layer.name);
    const notes = [layer.locked && _("locked"), layer.hidden && _("hidden"), findings.has(layer.name) && _("has issues")];
    if (comments) notes.push(describeCount(comments));
    if (!layer.hidden && absent.has(layer.name)) notes.push(_("not shown for this row"));
    return [layer.name, inSentence(TYPES[layer.type] ?? layer.type), ...notes.filter(Boolean)].join(", ");
  }

  /**
   * @param {Layer} layer
   * @param {number} level
   * @param {Set<string>} findings
   */
  function drawRow(layer, level, findings) {
    const row = document.createElement("div");
    row.className = "layer-row";
    row.style.paddingInlineStart = `${(level - 1) * 16 + 4}px`;
    const fold = document.createElement("span");
    fold.className = "fold";
    if (layer.layers) fold.append(icon(folded.has(layer.name) ? "folded" : "unfolded"));
    const name = document.createElement("span");
    name.className = "layer-name";
    name.textContent = layer.name;
    row.append(fold, icon(layer.type), name);
    if (findings.has(layer.name)) {
      const mark = document.createElement("span");
      mark.className = "issue-mark";
      mark.append(icon("issue"));
      row.append(mark);
    }
    const comments = editor.openComments.get(layer.name);
    if (comments) row.append(commentMark(layer.name, comments));
    row.append(layer.hidden
      ? toggle(layer, "hidden", "eye-off", _("Show"), _("Show %(name)s", { name: layer.name }))
      : toggle(layer, "hidden", "eye", _("Hide"), _("Hide %(name)s", { name: layer.name })));
    row.append(layer.locked
      ? toggle(layer, "locked", "lock", _("Unlock"), _("Unlock %(name)s", { name: layer.name }))
      : toggle(layer, "locked", "lock-open", _("Lock"), _("Lock %(name)s", { name: layer.name })));
    return row;
  }

  /**
   * @param {string} name
   * @param {number} count
   */
  function commentMark(name, count) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "comment-mark";
    // The keyboard uses the command of the selected layer.
    button.tabIndex = -1;
    button.title = describeCount(count);
    button.setAttribute("aria-label", _("%(comments)s on %(name)s", { comments: describeCount(count), name }));
    button.append(icon("comment"), String(count));
    return button;
  }

  /**
   * @param {Layer} layer
   * @param {"hidden" | "locked"} flag
   * @param {string} iconName
   * @param {string} title
   * @param {string} label
   */
  function toggle(layer, flag, iconName, title, label) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "square";
    // The keyboard uses the commands of the selected layer.
    button.tabIndex = -1;
    button.title = title;
    button.setAttribute("aria-label", label);
    button.dataset.flag = flag;
    button.classList.toggle("is-on", Boolean(layer[flag]));
    button.append(icon(iconName));
    return button;
  }

  /** @param {EventTarget | null} target */
  function nameAt(target) {
    const item = /** @type {HTMLElement} */ (target).closest("[role=treeitem]");
    return item instanceof HTMLElement ? item.dataset.name ?? "" : "";
  }

  tree.addEventListener("click", (event) => {
    const name = nameAt(event.target);
    const target = /** @type {HTMLElement} */ (event.target);
    const button = target.closest("button[data-flag]");
    if (!name) return;
    focused = name;
    if (target.closest(".comment-mark")) return editor.emit("comment", name);
    if (button instanceof HTMLElement) {
      const flag = /** @type {"hidden" | "locked"} */ (button.dataset.flag);
      const before = editor.selection;
      editor.selection = [name];
      editor.toggle(flag);
      editor.selection = before;
      return;
    }
    if (target.closest(".fold")?.firstChild) return fold(name, !folded.has(name));
    if (event.shiftKey || event.ctrlKey || event.metaKey) {
      const isIn = editor.selection.includes(name);
      editor.select(isIn ? editor.selection.filter((each) => each !== name) : [...editor.selection, name]);
    } else editor.select([name]);
  });

  tree.addEventListener("dblclick", (event) => {
    const name = nameAt(event.target);
    if (name && !(/** @type {HTMLElement} */ (event.target).closest("button, .fold"))) rename(name);
  });

  /**
   * @param {string} name
   * @param {boolean} isFolded
   */
  function fold(name, isFolded) {
    if (isFolded) folded.add(name);
    else folded.delete(name);
    draw();
  }

  /** @param {string} name */
  function rename(name) {
    const item = [...tree.querySelectorAll("[role=treeitem]")].find((each) => /** @type {HTMLElement} */ (each).dataset.name === name);
    const label = item?.querySelector(".layer-name");
    if (!label) return;
    const input = document.createElement("input");
    input.type = "text";
    input.maxLength = 60;
    input.value = name;
    input.setAttribute("aria-label", _("New name of %(name)s", { name }));
    label.replaceWith(input);
    drawn = "";
    input.focus();
    input.select();
    let isDone = false;
    const finish = (/** @type {boolean} */ isKept) => {
      if (isDone) return;
      isDone = true;
      const wanted = input.value.trim();
      if (isKept && wanted && wanted !== name && findLayer(editor.document, name)) {
        const renamed = unusedName(editor.document, wanted);
        editor.selection = editor.selection.map((each) => (each === name ? renamed : each));
        focused = renamed;
        editor.edit(`rename ${name}`, (copy) => renameLayer(copy, name, renamed));
      }
      input.remove();
      draw();
      tree.querySelector("[tabindex='0']") instanceof HTMLElement && /** @type {HTMLElement} */ (tree.querySelector("[tabindex='0']")).focus();
    };
    input.addEventListener("blur", () => finish(true));
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") finish(true);
      if (event.key === "Escape") finish(false);
    });
  }

  tree.addEventListener("keydown", (event) => {
    const items = /** @type {HTMLElement[]} */ ([...tree.querySelectorAll("[role=treeitem]")]);
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (at < 0) return;
    const name = items[at].dataset.name ?? "";
    const layer = findLayer(editor.document, name);
    const focus = (/** @type {HTMLElement | undefined} */ item) => {
      if (!item) return;
      focused = item.dataset.name ?? "";
      editor.select([focused]);
    };
    if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      const isStack = locate(editor.document, name)?.containers.at(-1)?.type === "stack";
      editor.reorder((event.key === "ArrowUp") === isStack ? "backward" : "forward");
    } else if (event.key === "ArrowDown") focus(items[at + 1]);
    else if (event.key === "ArrowUp") focus(items[at - 1]);
    else if (event.key === "Home") focus(items[0]);
    else if (event.key === "End") focus(items.at(-1));
    else if (event.key === "ArrowRight" && layer?.layers) folded.has(name) ? fold(name, false) : focus(items[at + 1]);
    else if (event.key === "ArrowLeft" && layer?.layers && !folded.has(name)) fold(name, true);
    else if (event.key === "ArrowLeft") {
      const parent = locate(editor.document, name)?.containers.at(-1)?.name;
      focus(items.find((each) => each.dataset.name === parent));
    } else if (event.key === "F2") rename(name);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  tree.addEventListener("dragstart", (event) => {
    dragged = nameAt(event.target);
    event.dataTransfer?.setData("text/plain", dragged);
    event.stopPropagation();
  });
  tree.addEventListener("dragover", (event) => {
    if (!dragged) return;
    const place = placeAt(event);
    clearMarks();
    if (!place) return;
    event.preventDefault();
    place.item.classList.add(`drop-${place.where}`);
  });
  tree.addEventListener("dragleave", clearMarks);
  tree.addEventListener("dragend", () => {
    dragged = "";
    clearMarks();
  });
  tree.addEventListener("drop", (event) => {
    const place = placeAt(event);
    clearMarks();
    if (!place || !dragged) return;
    event.preventDefault();
    moveTo(dragged, place.name, place.where);
    dragged = "";
  });

  function clearMarks() {
    for (const each of tree.querySelectorAll(".drop-before, .drop-after, .drop-inside")) {
      each.classList.remove("drop-before", "drop-after", "drop-inside");
    }
  }

  /** @param {DragEvent} event */
  function placeAt(event) {
    const item = /** @type {HTMLElement} */ (event.target).closest("[role=treeitem]");
    const row = item?.querySelector(".layer-row");
    if (!(item instanceof HTMLElement) || !row) return null;
    const name = item.dataset.name ?? "";
    const spot = locate(editor.document, name);
    if (!spot || name === dragged || spot.containers.some((each) => each.name === dragged)) return null;
    const box = row.getBoundingClientRect();
    const part = (event.clientY - box.top) / box.height;
    /** @type {"before" | "after" | "inside"} */
    let where = part < 0.5 ? "before" : "after";
    if (spot.layer.layers && part > 0.25 && part < 0.75) where = "inside";
    return { item, name, where };
  }

  /**
   * Move a layer beside or into another one. Where it is on the canvas stays as it is.
   * @param {string} name
   * @param {string} target
   * @param {"before" | "after" | "inside"} where as listed
   */
  function moveTo(name, target, where) {
    editor.edit(`move ${name}`, (copy) => {
      const spot = locate(copy, name);
      if (!spot) return;
      spot.siblings.splice(spot.index, 1);
      const to = locate(copy, target);
      if (!to) return;
      const parent = where === "inside" ? to.layer : to.containers.at(-1);
      editor.placeInParent(spot.layer, spot.containers.at(-1), parent);
      if (where === "inside") {
        const layers = to.layer.layers ?? [];
        layers.splice(to.layer.type === "stack" ? 0 : layers.length, 0, spot.layer);
        return;
      }
      const isStack = parent?.type === "stack";
      to.siblings.splice(to.index + ((where === "before") === isStack ? 0 : 1), 0, spot.layer);
    });
  }

  for (const type of ["document", "state", "findings"]) session.addEventListener(type, draw);
  editor.addEventListener("comments", draw);
  editor.addEventListener("select", () => {
    focused = editor.selection[0] ?? focused;
    draw();
    tree.querySelector("[aria-selected=true] .layer-row")?.scrollIntoView({ block: "nearest" });
  });
  draw();
}

// Commands: what the toolbar, the keyboard, the context menu and the command palette can do.

import { _ } from "../i18n.js";

/**
 * @typedef {{id: string, label: string, group: string, keys?: string[], run: (event?: Event) => void,
 *   isEnabled?: () => boolean, isHidden?: boolean, isNative?: boolean}} Command
 * `keys` are combinations such as "Mod+Shift+Z": Mod is Ctrl, or Command on a Mac. A hidden command is in no list.
 * The keys of a native command are left to the browser, whose event it handles.
 */

/** @type {{[group: string]: string}} */
const GROUPS = {
  Add: _("Add"), Align: _("Align"), Arrange: _("Arrange"), Brand: _("Brand"), Edit: _("Edit"), Field: _("Field"), Layer: _("Layer"),
  Select: _("Select"), Size: _("Size"), Template: _("Template"), Text: _("Text"), View: _("View"),
};
const IS_MAC = navigator.platform.startsWith("Mac");

/** @param {string} group */
export function groupLabel(group) {
  return GROUPS[group] ?? group;
}

export class Commands {
  constructor() {
    /** @type {Map<string, Command>} */
    this.commands = new Map();
  }

  /** @param {Command[]} commands */
  add(...commands) {
    for (const command of commands) this.commands.set(command.id, command);
  }

  list() {
    return [...this.commands.values()].filter((command) => !command.isHidden);
  }

  /** @param {string} id */
  get(id) {
    const command = this.commands.get(id);
    if (!command) throw new Error(`Unknown command: ${id}`);
    return command;
  }

  /** @param {string} id */
  run(id) {
    const command = this.get(id);
    if (command.isEnabled?.() ?? true) command.run();
  }

  /**
   * Run the command of a key, unless the user types into a field.
   * @param {KeyboardEvent} event
   */
  handleKey(event) {
    if (event.defaultPrevented || isTyping(event)) return;
    const pressed = combination(event);
    // They activate the focused button or link.
    const isActivation = pressed === "Enter" || pressed === "Space";
    if (isActivation && /** @type {HTMLElement} */ (event.target).closest("button, a[href], summary")) return;
    for (const command of this.commands.values()) {
      if (command.isNative || !command.keys?.includes(pressed) || !(command.isEnabled?.() ?? true)) continue;
      event.preventDefault();
      command.run(event);
      return;
    }
  }
}

/**
 * Return whether a key belongs to a field or to a dialog.
 * @param {KeyboardEvent} event
 */
export function isTyping(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  return Boolean(target.closest("input, textarea, select, [contenteditable], dialog[open], [role=menu]"));
}

/** @param {KeyboardEvent} event */
export function combination(event) {
  const parts = [];
  if (IS_MAC ? event.metaKey : event.ctrlKey) parts.push("Mod");
  if (event.altKey) parts.push("Alt");
  // With Alt, a Mac has other characters on its keys.
  const key = event.altKey && /^Key[A-Z]$/.test(event.code) ? event.code.slice(3) : event.key;
  const isLetter = /^[a-z]$/i.test(key);
  // Shift is a part of the characters that need it, such as "?".
  if (event.shiftKey && (isLetter || event.key.length > 1 || /^Digit/.test(event.code))) parts.push("Shift");
  const isDigit = event.shiftKey && /^Digit/.test(event.code);
  parts.push(isLetter ? key.toUpperCase() : isDigit ? event.code.slice(5) : event.key === " " ? "Space" : event.key);
  return parts.join("+");
}

/**
 * Return a combination as people of this system write it.
 * @param {string} keys
 */
export function describeKeys(keys) {
  const names = /** @type {{[key: string]: string}} */ ({
    Mod: IS_MAC ? "⌘" : _("Ctrl"), Alt: IS_MAC ? "⌥" : "Alt", Shift: IS_MAC ? "⇧" : _("Shift"),
    ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: _("Esc"), Delete: _("Del"), ContextMenu: _("Menu"),
    Space: _("Space"),
  });
  return keys.split("+").map((key) => names[key] ?? key).join(IS_MAC ? "" : "+");
}

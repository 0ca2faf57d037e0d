// The tabs of the left panel (ARIA Authoring Practices: tabs with manual activation by arrow keys).

/** @param {HTMLElement} root */
export function installTabs(root) {
  const tabs = /** @type {HTMLButtonElement[]} */ ([...root.querySelectorAll("[role=tab]")]);

  /** @param {HTMLButtonElement} tab */
  function open(tab) {
    for (const each of tabs) {
      const isOpen = each === tab;
      each.setAttribute("aria-selected", String(isOpen));
      each.tabIndex = isOpen ? 0 : -1;
      const panel = document.getElementById(each.getAttribute("aria-controls") ?? "");
      if (panel) panel.hidden = !isOpen;
    }
    root.dispatchEvent(new CustomEvent("tab", { detail: tab.id }));
  }

  for (const [at, tab] of tabs.entries()) {
    tab.addEventListener("click", () => open(tab));
    tab.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      const next = tabs[(at + by + tabs.length) % tabs.length];
      next.focus();
      open(next);
    });
  }
}

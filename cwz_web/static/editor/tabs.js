// The tabs of the left panel (ARIA Authoring Practices: tabs with manual activation by arrow keys). In a narrow window,
// a button shows the panels as a sheet at the bottom.

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
  installSheet(root);
}

/**
 * Show a panel; in a narrow window, in its sheet.
 * @param {HTMLElement} root
 * @param {string} name
 */
export function openPanel(root, name) {
  const toggle = root.querySelector("#panels-toggle");
  if (toggle instanceof HTMLElement && toggle.offsetParent && !root.classList.contains("has-panels")) toggle.click();
  /** @type {HTMLElement} */ (root.querySelector(`#tab-${name}`)).click();
}

/** @param {HTMLElement} root */
function installSheet(root) {
  const toggle = /** @type {HTMLElement} */ (root.querySelector("#panels-toggle"));
  const show = (/** @type {boolean} */ isOpen) => {
    root.classList.toggle("has-panels", isOpen);
    toggle.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) /** @type {HTMLElement | null} */ (root.querySelector("[role=tab][aria-selected=true]"))?.focus();
  };
  toggle.addEventListener("click", () => show(!root.classList.contains("has-panels")));
  root.querySelector("#panels")?.addEventListener("keydown", (event) => {
    if (/** @type {KeyboardEvent} */ (event).key !== "Escape" || !root.classList.contains("has-panels")) return;
    event.stopPropagation();
    show(false);
    toggle.focus();
  });
}

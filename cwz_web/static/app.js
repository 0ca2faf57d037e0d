// The script of all pages: theme, density of tables, copy buttons, the API key in code examples, menus, toasts, search and shortcuts.
import { _ } from "./i18n.js";

const narrow = matchMedia("(max-width: 56rem)");
const menu = document.getElementById("menu");

function fitMenu() {
  if (menu) menu.open = !narrow.matches;
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme === "dark" || (root.dataset.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = dark ? "light" : "dark";
  remember("theme", root.dataset.theme);
}

function switchDensity() {
  const root = document.documentElement, isCompact = root.dataset.density !== "compact";
  root.dataset.density = isCompact ? "compact" : "comfortable";
  for (const button of document.querySelectorAll("[data-density-switch]")) button.ariaPressed = String(isCompact);
  remember("density", root.dataset.density);
}

function remember(name, value) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${name}=${value}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
}

async function copy(button) {
  const label = button.querySelector("span");
  await navigator.clipboard.writeText(button.closest(".copy").querySelector("code").textContent);
  label.textContent = _("Copied");
  setTimeout(() => { label.textContent = _("Copy"); }, 2000);
}

// Copy the URLs of the selected images. Without this script, the button shows them as a text.
async function copyUrls(button) {
  const label = button.querySelector("span");
  const urls = Array.from(document.querySelectorAll("input[data-url]:checked"), (input) => input.dataset.url);
  await navigator.clipboard.writeText(urls.join("\n"));
  label.textContent = _("Copied");
  setTimeout(() => { label.textContent = _("Copy URLs"); }, 2000);
}

// Put the API key that is typed on the API page into its code examples. It is neither stored nor sent.
function fillKey(input) {
  for (const code of document.querySelectorAll(".example code")) {
    code.dataset.plain ??= code.textContent;
    code.textContent = code.dataset.plain.replaceAll(input.dataset.keyPlaceholder, input.value.trim() || input.dataset.keyPlaceholder);
  }
}

// Load an image again that the server refused since it renders too many others.
const RETRIES = 3;
function retry(image) {
  const tries = Number(image.dataset.retry || 0);
  if (tries >= RETRIES) return;
  image.dataset.retry = String(tries + 1);
  setTimeout(() => { image.src = image.getAttribute("src"); }, 1500 * (tries + 1));
}

// Errors of images do not bubble.
document.addEventListener("error", (event) => {
  if (event.target instanceof HTMLImageElement && "retry" in event.target.dataset) retry(event.target);
}, true);
document.addEventListener("input", (event) => {
  if (event.target.matches("[data-key-placeholder]")) fillKey(event.target);
});
// A select that is narrower than what is chosen says it whole under the pointer.
document.addEventListener("pointerover", ({ target }) => {
  if (!(target instanceof HTMLSelectElement) || (target.title && !("chosen" in target.dataset))) return;
  target.dataset.chosen = "";
  target.title = target.selectedOptions[0]?.label ?? "";
});
document.addEventListener("click", (event) => {
  const urls = event.target.closest("[data-copy-urls]");
  if (urls && navigator.clipboard) {
    event.preventDefault();
    copyUrls(urls);
  }
  const button = event.target.closest("[data-theme-switch], [data-density-switch], [data-copy]");
  if (!button) return;
  if ("themeSwitch" in button.dataset) switchTheme();
  else if ("densitySwitch" in button.dataset) switchDensity();
  else copy(button);
});

const search = document.getElementById("search-dialog");

// What went wrong with a request of htmx is said in a toast, and the page keeps what it shows.
function showToast(message, link) {
  search?.close(); // a modal dialog would cover the toast
  const toast = document.createElement("div");
  toast.className = "toast";
  toast.setAttribute("role", "alert");
  toast.append(message);
  if (link) {
    const anchor = document.createElement("a");
    anchor.href = link.path;
    anchor.textContent = link.label;
    toast.append(anchor);
  }
  const toasts = document.querySelector(".toasts") ?? document.createElement("div");
  toasts.className = "toasts";
  toasts.replaceChildren(toast);
  document.body.append(toasts);
  removeLater(toast);
}

// A toast with the pointer or the focus stays.
const TOAST_TIME = 10000;
function removeLater(toast) {
  setTimeout(() => { if (toast.matches(":hover, :focus-within")) removeLater(toast); else toast.remove(); }, TOAST_TIME);
}

// Screen readers announce what is added to the page, but not what it came with.
function showNotices() {
  for (const notice of document.querySelectorAll("[data-notice]")) {
    const parts = [...notice.childNodes];
    delete notice.dataset.notice;
    notice.replaceChildren();
    setTimeout(() => notice.append(...parts), 100);
    removeLater(notice);
  }
}
document.addEventListener("htmx:after:swap", showNotices);
showNotices();

// A zip that was requested in this tab is downloaded as soon as it is ready. Without this script its link stays.
const ZIP_PATH = "zip";
function downloadZip() {
  if (sessionStorage.getItem(ZIP_PATH) !== location.pathname || document.querySelector("[data-zip=pending]")) return;
  sessionStorage.removeItem(ZIP_PATH);
  document.querySelector("[data-zip=ready]")?.click();
}
document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-zip=request]")) sessionStorage.setItem(ZIP_PATH, location.pathname);
});
document.addEventListener("htmx:after:swap", downloadZip);
downloadZip();

const CHARACTERS = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&#34;": '"', "&#39;": "'" };

function titleOf(page) {
  const title = /<h1>([^<]+)/.exec(page)?.[1] ?? _("Something went wrong");
  return title.replace(/&(?:amp|lt|gt|#34|#39);/g, (escaped) => CHARACTERS[escaped]);
}

document.addEventListener("htmx:before:swap", (event) => {
  const { ctx } = event.detail, response = ctx.response.raw;
  const isSignIn = response.redirected && new URL(response.url).pathname === "/signin";
  // An error is a page of its own, but for the page of a form with errors, of which the request selects a part.
  const isError = response.status >= 400 && !(response.status === 422 && ctx.select) && /<html/.test(ctx.text);
  if (!isSignIn && !isError) return;
  event.preventDefault();
  const next = encodeURIComponent(location.pathname + location.search);
  if (isSignIn) showToast(_("Your session has ended."), { label: _("Sign in again"), path: `/signin?next=${next}` });
  else showToast(`${titleOf(ctx.text)}.`);
});
document.addEventListener("htmx:error", (event) => {
  if (event.detail.ctx) showToast(_("The server cannot be reached. Try again when you are online."));
});

// The search opens with Ctrl-K; arrow keys move between its results.
function openSearch() {
  search.showModal();
  search.querySelector("input").select();
}

function moveInResults(step) {
  const links = [...search.querySelectorAll("a")];
  const position = links.indexOf(document.activeElement) + step;
  (links[position] ?? search.querySelector("input")).focus();
}

if (search) {
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openSearch();
    }
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      moveInResults(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Escape") {
      event.preventDefault(); // a browser would only empty the field first
      search.close();
    } else if (event.key === "Enter" && event.target instanceof HTMLInputElement) {
      event.preventDefault();
      search.querySelector("a")?.click();
    }
  });
  search.addEventListener("click", (event) => { if (event.target === search) search.close(); });
  document.querySelector("[data-search]").addEventListener("click", (event) => {
    event.preventDefault();
    openSearch();
  });
}
// A panel beside a list opens when htmx has filled it.
document.addEventListener("htmx:after:swap", (event) => {
  const panel = event.detail.ctx.target?.closest?.("[popover]");
  if (!panel || panel.matches(":popover-open")) return;
  panel.showPopover();
  panel.focus();
});

// The focus stays on the zip while another control takes the place of its button: morphing keeps it on the same one only.
let isOnZip = false;
document.addEventListener("htmx:before:swap", () => { isOnZip = Boolean(document.activeElement?.closest("[data-zip]")); });
document.addEventListener("htmx:after:swap", () => {
  if (!isOnZip || document.activeElement !== document.body) return;
  document.querySelector("[data-zip]:is(a, p), [data-zip] button")?.focus({ preventScroll: true });
});

// Menus close with Escape, which returns the focus to their button, and with a click elsewhere.
const OPEN_MENUS = ".card-menu[open], .column-menu[open], .switcher[open], .disclosure[open]";
addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && document.querySelector(OPEN_MENUS);
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
});
addEventListener("click", (event) => {
  for (const open of document.querySelectorAll(OPEN_MENUS)) open.open = open.contains(event.target);
});

// The rules of a campaign and the fields of a channel are put in order by dragging, or with buttons.
let dragged = null;
const ruleAt = (event) => event.target.closest?.("[data-sortable] > li");
document.addEventListener("dragstart", (event) => {
  dragged = event.target.closest?.("[data-sortable] [draggable]")?.closest("[data-sortable] > li") ?? null;
  dragged?.classList.add("is-dragged");
});
document.addEventListener("dragover", (event) => {
  const over = dragged && ruleAt(event);
  for (const marked of document.querySelectorAll(".is-target")) marked.classList.toggle("is-target", marked === over);
  if (!over || over === dragged) return;
  event.preventDefault();
  over.classList.add("is-target");
});
document.addEventListener("drop", (event) => {
  const over = dragged && ruleAt(event), form = document.getElementById("move-rule");
  if (!over || over === dragged) return;
  event.preventDefault();
  if (over.parentElement.dataset.sortable === "fields") { // sent in their order with the form
    over[dragged.compareDocumentPosition(over) & Node.DOCUMENT_POSITION_FOLLOWING ? "after" : "before"](dragged);
    return;
  }
  if (!form) return;
  form.elements.number.value = dragged.dataset.number;
  form.elements.place.value = [...over.parentElement.children].indexOf(over);
  form.requestSubmit();
});
document.addEventListener("dragend", () => {
  for (const each of document.querySelectorAll(".is-dragged, .is-target")) each.classList.remove("is-dragged", "is-target");
  dragged = null;
});

// Shortcuts: templates/_shortcuts.jinja2 lists them. Those of single keys can be turned off, for speech input.
const single = document.querySelector("[data-single-keys]");
const shortcuts = single?.closest("dialog");
let isGoing = false;

function pressKey(key) {
  if (isGoing) document.querySelector(`[data-go="${CSS.escape(key)}"]`)?.click();
  else if (key === "?") shortcuts.showModal();
  else if (key === "/") document.querySelector("main [role=search] input[type=search]")?.focus();
  else return key === "g";
  return false;
}

if (single) {
  single.checked = !document.cookie.includes("single_keys=off");
  single.addEventListener("change", () => remember("single_keys", single.checked ? "on" : "off"));
  addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, select, textarea, [contenteditable], dialog");
    if (isTyping || !single.checked || event.ctrlKey || event.metaKey || event.altKey || event.key === "Shift") return;
    if (event.key === "/" || event.key === "?") event.preventDefault();
    isGoing = pressKey(event.key);
  });
}

// Tabs that do not fit scroll: the current one is in sight.
for (const current of document.querySelectorAll(".tabs [aria-current]")) {
  const tabs = current.closest(".tabs"), place = tabs.getBoundingClientRect(), own = current.getBoundingClientRect();
  tabs.scrollLeft += own.left + own.width / 2 - place.left - place.width / 2;
}
narrow.addEventListener("change", fitMenu);
fitMenu();

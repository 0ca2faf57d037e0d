// The script of all pages: the theme button, copy buttons, the API key in code examples, and the menu.
"use strict";

const narrow = matchMedia("(max-width: 56rem)");
const menu = document.getElementById("menu");

function fitMenu() {
  if (menu) menu.open = !narrow.matches;
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme === "dark" || (root.dataset.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = dark ? "light" : "dark";
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `theme=${root.dataset.theme}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
}

async function copy(button) {
  const label = button.querySelector("span");
  await navigator.clipboard.writeText(button.closest(".copy").querySelector("code").textContent);
  label.textContent = "Copied";
  setTimeout(() => { label.textContent = "Copy"; }, 2000);
}

// Copy the URLs of the selected images. Without this script, the button shows them as a text.
async function copyUrls(button) {
  const label = button.querySelector("span");
  const urls = Array.from(document.querySelectorAll("input[data-url]:checked"), (input) => input.dataset.url);
  await navigator.clipboard.writeText(urls.join("\n"));
  label.textContent = "Copied";
  setTimeout(() => { label.textContent = "Copy URLs"; }, 2000);
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
document.addEventListener("click", (event) => {
  const urls = event.target.closest("[data-copy-urls]");
  if (urls && navigator.clipboard) {
    event.preventDefault();
    copyUrls(urls);
  }
  const button = event.target.closest("[data-theme-switch], [data-copy]");
  if (!button) return;
  if ("themeSwitch" in button.dataset) switchTheme(); else copy(button);
});
narrow.addEventListener("change", fitMenu);
fitMenu();

// Submits a form that leaves its user nothing to decide as soon as it is shown. Without it, the form has a button.

const form = /** @type {HTMLFormElement} */ (document.querySelector("[data-submit-form]"));
let isSent = false;

// A token is valid once: a click while the form is being sent would end in an error.
form.addEventListener("submit", (event) => {
  if (isSent) event.preventDefault();
  isSent = true;
});
// After "back" and "reload", the form has been sent before.
const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
if (navigation.type === "navigate") form.requestSubmit();
// The browser may show the page again as it was left.
addEventListener("pageshow", (event) => { if (event.persisted) isSent = false; });

// Searches of the panels, which run while the user types.

const TYPING_MS = 250;

/**
 * Search when the user stops typing for a moment.
 * @param {HTMLInputElement} input
 * @param {() => void} search
 */
export function searchWhileTyping(input, search) {
  let timer = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, TYPING_MS);
  });
}

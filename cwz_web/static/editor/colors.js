// Colors as documents have them: `#rrggbb` or `#rrggbbaa`. No DOM.

/** @typedef {{hue: number, saturation: number, value: number, alpha: number}} Hsv hue up to 360, the others up to 1 */

const COLOR = /^#(?:[0-9a-f]{6}|[0-9a-f]{8})$/i;
const MAX_COLORS = 24;

/**
 * Return a typed color as documents have it; null if it is none. Short forms such as `f00` are accepted.
 * @param {string} text
 */
export function readColor(text) {
  const digits = text.trim().replace(/^#/, "").toLowerCase();
  const long = /^[0-9a-f]{3,4}$/.test(digits) ? digits.replace(/./g, "$&$&") : digits;
  return COLOR.test(`#${long}`) ? `#${long.replace(/^(.{6})ff$/, "$1")}` : null;
}

/**
 * @param {string} color
 * @returns {Hsv}
 */
export function toHsv(color) {
  const [r, g, b, alpha = 1] = (readColor(color)?.slice(1).match(/../g) ?? ["0", "0", "0"]).map((each) => parseInt(each, 16) / 255);
  const value = Math.max(r, g, b);
  const range = value - Math.min(r, g, b);
  let hue = 0;
  if (range && value === r) hue = ((g - b) / range + 6) % 6;
  else if (range) hue = value === g ? (b - r) / range + 2 : (r - g) / range + 4;
  return { hue: hue * 60, saturation: value ? range / value : 0, value, alpha };
}

/** @param {Hsv} color */
export function fromHsv({ hue, saturation, value, alpha }) {
  const channel = (/** @type {number} */ offset) => {
    const at = (offset + hue / 60) % 6;
    return value - value * saturation * Math.max(0, Math.min(at, 4 - at, 1));
  };
  const parts = [channel(5), channel(3), channel(1), ...(alpha < 1 ? [alpha] : [])];
  return `#${parts.map((each) => Math.round(each * 255).toString(16).padStart(2, "0")).join("")}`;
}

/**
 * Return a color between two others.
 * @param {string} from
 * @param {string} to
 * @param {number} part 0 to 1
 */
export function mixColors(from, to, part) {
  const [a, b] = [from, to].map((each) => (each.length === 9 ? each : `${each}ff`).slice(1).match(/../g) ?? []);
  const mixed = a.map((each, at) => Math.round(parseInt(each, 16) * (1 - part) + parseInt(b[at], 16) * part));
  return readColor(mixed.map((each) => each.toString(16).padStart(2, "0")).join("")) ?? from;
}

/**
 * Return the colors of a document, the most frequent ones first.
 * @param {any} document
 */
export function findColors(document) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  const walk = (/** @type {any} */ value) => {
    if (typeof value === "string") {
      if (COLOR.test(value)) counts.set(value.toLowerCase(), (counts.get(value.toLowerCase()) ?? 0) + 1);
    } else if (value && typeof value === "object") Object.values(value).forEach(walk);
  };
  walk({ canvas: document.canvas, layers: document.layers, fields: document.fields });
  return [...counts].sort((a, b) => b[1] - a[1]).slice(0, MAX_COLORS).map(([color]) => color);
}

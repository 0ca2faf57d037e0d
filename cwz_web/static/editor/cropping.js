// Where a photo is that fills a box: it is as small as possible, times its zoom, and its focal point is in the middle of
// the box as far as the photo reaches. No DOM.

/** @typedef {{width: number, height: number}} Size */
/** @typedef {{left: number, top: number, width: number, height: number}} Placed the photo, relative to the box */

export const MAX_ZOOM = 10;

/**
 * @param {Size} box
 * @param {Size} photo
 * @param {[number, number]} focus
 * @param {number} zoom
 * @returns {Placed}
 */
export function placePhoto(box, photo, focus, zoom) {
  const scale = Math.max(box.width / photo.width, box.height / photo.height) * zoom;
  const [width, height] = [photo.width * scale, photo.height * scale];
  const start = (/** @type {number} */ side, /** @type {number} */ whole, /** @type {number} */ at) => (
    -Math.min(Math.max(whole * at - side / 2, 0), Math.max(whole - side, 0))
  );
  return { left: start(box.width, width, focus[0]), top: start(box.height, height, focus[1]), width, height };
}

/**
 * Return the focal point of a photo that was dragged to a place. Along a side that fits, it stays.
 * @param {Size} box
 * @param {Placed} placed
 * @param {[number, number]} focus the focal point until now
 * @returns {[number, number]}
 */
export function focusOf(box, { left, top, width, height }, focus) {
  const along = (/** @type {number} */ side, /** @type {number} */ whole, /** @type {number} */ at, /** @type {number} */ old) => {
    if (whole - side < 0.5) return old;
    const inside = Math.min(Math.max(-at, 0), whole - side);
    return Math.round(((inside + side / 2) / whole) * 1000) / 1000;
  };
  return [along(box.width, width, left, focus[0]), along(box.height, height, top, focus[1])];
}

// Where the marks of commented layers are on the stage. No DOM.

import { outline } from "./sizes.js";

/** @typedef {import("./stage.js").Frame} Frame */
/** @typedef {import("./stage.js").Point} Point */

// How wide a mark is, with a space beside it.
const STEP = 44;
const NEAR = 12;

/**
 * Return the places of marks: at the upper right corners of the frames, and beside each other where these are the same.
 * @param {Frame[]} frames
 * @param {(point: Point) => Point} toContainer from the canvas to the window
 * @returns {Point[]}
 */
export function placeMarks(frames, toContainer) {
  /** @type {Point[]} */
  const points = [];
  for (const frame of frames) {
    const { right, top } = outline(frame);
    const point = toContainer({ x: right, y: top });
    const isTaken = () => points.some((each) => Math.abs(each.x - point.x) < STEP && Math.abs(each.y - point.y) < NEAR);
    while (isTaken()) point.x += STEP;
    points.push(point);
  }
  return points;
}

// From where the user has put a layer on the canvas to the values of the layer. No DOM.

import { anchorPoint } from "./model.js";

// As far apart as a copy and what is copied.
const STEP = 24;

/** @typedef {import("./session.js").ShownLayer} ShownLayer */
/** @typedef {import("./stage.js").Frame} Frame */

/**
 * Return a distance on the canvas as the container of a layer sees it, which can be rotated.
 * @param {ShownLayer} shown
 * @param {{x: number, y: number}} delta
 */
export function toContainer(shown, delta) {
  const turn = ((shown.own.rotation - shown.rotation) * Math.PI) / 180;
  return {
    x: delta.x * Math.cos(turn) - delta.y * Math.sin(turn),
    y: delta.x * Math.sin(turn) + delta.y * Math.cos(turn),
  };
}

/**
 * Return the values of a layer that was moved on the canvas.
 * @param {ShownLayer} shown
 * @param {{x: number, y: number}} delta
 */
export function valuesOfMove(shown, delta) {
  const inner = toContainer(shown, delta);
  return { x: shown.own.x + Math.round(inner.x), y: shown.own.y + Math.round(inner.y) };
}

/**
 * Return the values of a layer that was moved, resized or rotated.
 * @param {ShownLayer} shown
 * @param {Frame} frame where it is now
 */
export function valuesOfFrame(shown, frame) {
  const { own } = shown;
  const delta = toContainer(shown, { x: frame.x - shown.center[0], y: frame.y - shown.center[1] });
  const width = Math.max(Math.round(frame.width), 1);
  const height = Math.max(Math.round(frame.height), 1);
  const center = { x: own.left + shown.width / 2 + delta.x, y: own.top + shown.height / 2 + delta.y };
  const box = { left: Math.round(center.x - width / 2), top: Math.round(center.y - height / 2), width, height };
  const { x, y } = anchorPoint(box, own.anchor);
  const rotation = normalizeAngle(own.rotation + frame.rotation - shown.rotation);
  return { x, y, width, height, rotation };
}

/**
 * Return the values of a layer that is somewhere on the canvas, in another container.
 * @param {Frame} frame where it is
 * @param {Frame | undefined} parent where the container is; undefined for the canvas
 * @param {string} anchor
 */
export function valuesInParent(frame, parent, anchor) {
  let center = { x: frame.x, y: frame.y };
  if (parent) {
    const turn = (-parent.rotation * Math.PI) / 180;
    const [dx, dy] = [frame.x - parent.x, frame.y - parent.y];
    center = {
      x: dx * Math.cos(turn) - dy * Math.sin(turn) + parent.width / 2,
      y: dx * Math.sin(turn) + dy * Math.cos(turn) + parent.height / 2,
    };
  }
  const [width, height] = [Math.round(frame.width), Math.round(frame.height)];
  const box = { left: Math.round(center.x - width / 2), top: Math.round(center.y - height / 2), width, height };
  return { ...anchorPoint(box, anchor), rotation: normalizeAngle(frame.rotation - (parent?.rotation ?? 0)) };
}

/**
 * Return an angle as more than -180 and at most 180 degrees, rounded to a tenth.
 * @param {number} angle
 */
export function normalizeAngle(angle) {
  const turned = (((angle % 360) + 360) % 360);
  const rounded = Math.round((turned > 180 ? turned - 360 : turned) * 10) / 10;
  return Object.is(rounded, -0) ? 0 : rounded;
}

/**
 * Return a place for a new layer: where it would go, or down right of it as far as another layer has its center there.
 * @param {{x: number, y: number}} center
 * @param {{x: number, y: number}[]} taken the centers of other layers
 */
export function freePlace(center, taken) {
  const isNear = (/** @type {number} */ by) => taken.some((each) => (
    Math.abs(each.x - center.x - by) < STEP / 2 && Math.abs(each.y - center.y - by) < STEP / 2
  ));
  let by = 0;
  while (isNear(by)) by += STEP;
  return { x: center.x + by, y: center.y + by };
}

// Distances by which layers are aligned, distributed and tidied up. Frames and distances are on the canvas. No DOM.

import { alignmentOf, directionOf, median } from "./stacking.js";
import { outline } from "./sizes.js";

/** @typedef {import("./stage.js").Frame} Frame */
/** @typedef {import("./stage.js").Point} Point */
/** @typedef {{left: number, right: number, top: number, bottom: number}} Edges */
/** @typedef {{[name: string]: Frame}} Frames */
/** @typedef {{[name: string]: Point}} Deltas */
/** @typedef {"left" | "center" | "right" | "top" | "middle" | "bottom"} Edge */
/** @typedef {"x" | "y"} Axis */

const ENDS = /** @type {const} */ ({ x: ["left", "right"], y: ["top", "bottom"] });

/**
 * Return the edges around frames.
 * @param {Frame[]} frames
 * @returns {Edges}
 */
export function edgesOf(frames) {
  const all = frames.map(outline);
  return {
    left: Math.min(...all.map((each) => each.left)),
    right: Math.max(...all.map((each) => each.right)),
    top: Math.min(...all.map((each) => each.top)),
    bottom: Math.max(...all.map((each) => each.bottom)),
  };
}

/**
 * Return by how much each frame moves to lie at an edge, or in the middle, of a box.
 * @param {Frames} frames
 * @param {Edge} edge
 * @param {Edges} box
 * @returns {Deltas}
 */
export function align(frames, edge, box) {
  return mapFrames(frames, (own) => {
    if (edge === "center") return { x: (box.left + box.right - own.left - own.right) / 2, y: 0 };
    if (edge === "middle") return { x: 0, y: (box.top + box.bottom - own.top - own.bottom) / 2 };
    const distance = box[edge] - own[edge];
    return edge === "left" || edge === "right" ? { x: distance, y: 0 } : { x: 0, y: distance };
  });
}

/**
 * Return by how much frames move to have equal gaps between the outermost ones, which stay.
 * @param {Frames} frames
 * @param {Axis} axis
 * @returns {Deltas}
 */
export function distribute(frames, axis) {
  const sorted = sortAlong(frames, axis);
  const [start, end] = ENDS[axis];
  const first = sorted[0].own;
  const room = Math.max(...sorted.map((each) => each.own[end])) - first[start];
  const used = sorted.reduce((sum, { own }) => sum + own[end] - own[start], 0);
  return line(sorted, axis, first[start], (room - used) / Math.max(sorted.length - 1, 1));
}

/**
 * Return by how much frames move to be a row, a column or a grid with equal gaps.
 * @param {Frames} frames
 * @returns {Deltas}
 */
export function tidy(frames) {
  const names = Object.keys(frames);
  const rows = rowsOf(frames, names);
  if (rows.length === 1 || rows.every((row) => row.length === 1)) return tidyLine(frames);
  return tidyGrid(frames, rows);
}

/**
 * @param {Frames} frames
 * @returns {Deltas}
 */
function tidyLine(frames) {
  const boxes = Object.values(frames).map(boxOf);
  const direction = directionOf(boxes);
  /** @type {Axis} */
  const axis = direction === "row" ? "x" : "y";
  const sorted = sortAlong(frames, axis);
  const along = line(sorted, axis, sorted[0].own[ENDS[axis][0]], gapOf(sorted.map((each) => each.own), axis));
  const at = alignmentOf(boxes, direction);
  const edge = /** @type {Edge} */ ((direction === "row"
    ? { start: "top", center: "middle", end: "bottom" } : { start: "left", center: "center", end: "right" })[at]);
  const across = align(frames, edge, edgesOf(Object.values(frames)));
  return Object.fromEntries(Object.keys(frames).map((name) => {
    return [name, axis === "x" ? { x: along[name].x, y: across[name].y } : { x: across[name].x, y: along[name].y }];
  }));
}

/**
 * @param {Frames} frames
 * @param {string[][]} rows names by row, from left to right
 * @returns {Deltas}
 */
function tidyGrid(frames, rows) {
  const columns = Math.max(...rows.map((row) => row.length));
  const own = (/** @type {string} */ name) => outline(frames[name]);
  const inColumn = Array.from({ length: columns }, (_, at) => rows.flatMap((row) => row[at] ?? []).map(own));
  const widths = inColumn.map((column) => Math.max(...column.map((each) => each.right - each.left)));
  const heights = rows.map((row) => Math.max(...row.map(own).map((each) => each.bottom - each.top)));
  const across = median(rows.filter((row) => row.length > 1).map((row) => gapOf(row.map(own), "x")));
  const rowEdges = rows.map((row) => edgesOf(row.map((name) => frames[name])));
  const down = gapOf(rowEdges, "y");
  const { left, top } = edgesOf(Object.values(frames));
  let y = top;
  // No assignment to a key: a layer can be called __proto__.
  return Object.fromEntries(rows.flatMap((row, at) => {
    let x = left;
    const deltas = row.map((name, column) => {
      const delta = { x: Math.round(x) - own(name).left, y: Math.round(y) - own(name).top };
      x += widths[column] + across;
      return [name, delta];
    });
    y += heights[at] + down;
    return deltas;
  }));
}

/**
 * Return names by row: what overlaps the middle of a row belongs to it.
 * @param {Frames} frames
 * @param {string[]} names
 * @returns {string[][]}
 */
function rowsOf(frames, names) {
  /** @type {{names: string[], middle: number}[]} */
  const rows = [];
  for (const name of [...names].sort((a, b) => frames[a].y - frames[b].y)) {
    const { top, bottom } = outline(frames[name]);
    const row = rows.find((each) => top <= each.middle && each.middle <= bottom);
    if (row) row.names.push(name);
    else rows.push({ names: [name], middle: frames[name].y });
  }
  return rows.map((row) => row.names.sort((a, b) => frames[a].x - frames[b].x));
}

/**
 * Return the usual gap between boxes that follow each other, at least 0.
 * @param {Edges[]} sorted
 * @param {Axis} axis
 */
function gapOf(sorted, axis) {
  const [start, end] = ENDS[axis];
  const gaps = sorted.slice(1).map((each, at) => each[start] - sorted[at][end]);
  return gaps.length ? Math.max(Math.round(median(gaps)), 0) : 0;
}

/**
 * @param {Frames} frames
 * @param {Axis} axis
 */
function sortAlong(frames, axis) {
  return Object.entries(frames).map(([name, frame]) => ({ name, own: outline(frame) }))
    .sort((a, b) => a.own[ENDS[axis][0]] + a.own[ENDS[axis][1]] - b.own[ENDS[axis][0]] - b.own[ENDS[axis][1]]);
}

/**
 * @param {{name: string, own: Edges}[]} sorted
 * @param {Axis} axis
 * @param {number} begin
 * @param {number} gap
 * @returns {Deltas}
 */
function line(sorted, axis, begin, gap) {
  const [start, end] = ENDS[axis];
  let at = begin;
  return Object.fromEntries(sorted.map(({ name, own }) => {
    const distance = Math.round(at) - own[start];
    at += own[end] - own[start] + gap;
    return [name, axis === "x" ? { x: distance, y: 0 } : { x: 0, y: distance }];
  }));
}

/**
 * @param {Frames} frames
 * @param {(own: Edges) => Point} change
 * @returns {Deltas}
 */
function mapFrames(frames, change) {
  return Object.fromEntries(Object.entries(frames).map(([name, frame]) => [name, change(outline(frame))]));
}

/** @param {Frame} frame */
function boxOf(frame) {
  const { left, right, top, bottom } = outline(frame);
  return { left, top, width: right - left, height: bottom - top };
}

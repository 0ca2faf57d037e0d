// Where a stack takes a layer that is dragged over it, and where the mark of this place is. No DOM.

/** @typedef {import("./stage.js").Frame} Frame */
/** @typedef {import("./stage.js").Point} Point */
/** @typedef {import("./model.js").Layer} Layer */
/** @typedef {{name: string, start: number, end: number, near: number, far: number}} Item a layer along and across a stack */
/** @typedef {{before: string, mark: [Point, Point]}} Insertion `before` is empty at the end; the mark is on the canvas */

/**
 * Return where a stack takes a layer.
 * @param {{direction: string, gap?: number, padding?: number, wrap?: boolean}} stack as it is in the shown size
 * @param {Frame} frame that of the stack
 * @param {{name: string, frame: Frame}[]} layers the layers that it shows, in their order
 * @param {Point} point the pointer, on the canvas
 * @returns {Insertion}
 */
export function insertionAt(stack, frame, layers, point) {
  const isRow = stack.direction === "row";
  const padding = stack.padding ?? 0;
  const items = layers.map((each) => itemOf(each, frame, isRow));
  const at = inside(frame, point);
  const [along, across] = isRow ? [at.x, at.y] : [at.y, at.x];
  const [length, depth] = isRow ? [frame.width, frame.height] : [frame.height, frame.width];
  const lines = stack.wrap ? linesOf(items) : [items];
  const number = nearestLine(lines, across);
  const line = lines[number] ?? [];
  const isMirrored = line.length > 1 && line[0].start > line[1].start;
  const isBefore = (/** @type {Item} */ item) => (along < (item.start + item.end) / 2) !== isMirrored;
  const found = line.findIndex(isBefore);
  const index = found < 0 ? line.length : found;
  const position = markAt(line, index, { gap: stack.gap ?? 0, padding, length, isMirrored });
  const [near, far] = stack.wrap && line.length
    ? [Math.min(...line.map((each) => each.near)), Math.max(...line.map((each) => each.far))]
    : [padding, depth - padding];
  const ends = [near, far].map((side) => outside(frame, isRow ? { x: position, y: side } : { x: side, y: position }));
  const before = line[index]?.name ?? lines[number + 1]?.[0]?.name ?? "";
  return { before, mark: /** @type {[Point, Point]} */ (ends) };
}

/**
 * @param {{name: string, frame: Frame}} layer
 * @param {Frame} stack
 * @param {boolean} isRow
 * @returns {Item}
 */
function itemOf({ name, frame }, stack, isRow) {
  const { x, y } = inside(stack, frame);
  const [along, across] = isRow ? [x, y] : [y, x];
  const [length, depth] = isRow ? [frame.width, frame.height] : [frame.height, frame.width];
  return { name, start: along - length / 2, end: along + length / 2, near: across - depth / 2, far: across + depth / 2 };
}

/**
 * Return the lines of a stack that wraps: a layer that is beyond all layers of a line begins another one.
 * @param {Item[]} items
 */
function linesOf(items) {
  /** @type {Item[][]} */
  const lines = [];
  for (const item of items) {
    const line = lines.at(-1);
    if (line && item.near < Math.max(...line.map((each) => each.far))) line.push(item);
    else lines.push([item]);
  }
  return lines;
}

/**
 * @param {Item[][]} lines
 * @param {number} across
 */
function nearestLine(lines, across) {
  const distances = lines.map((line) => {
    const near = Math.min(...line.map((each) => each.near));
    const far = Math.max(...line.map((each) => each.far));
    return Math.max(near - across, across - far, 0);
  });
  return Math.max(distances.indexOf(Math.min(...distances)), 0);
}

/**
 * @param {Item[]} line
 * @param {number} index
 * @param {{gap: number, padding: number, length: number, isMirrored: boolean}} stack
 */
function markAt(line, index, { gap, padding, length, isMirrored }) {
  const [previous, next] = isMirrored ? [line[index], line[index - 1]] : [line[index - 1], line[index]];
  if (previous && next) return (previous.end + next.start) / 2;
  if (next) return Math.max(next.start - gap / 2, padding / 2);
  if (previous) return Math.min(previous.end + gap / 2, length - padding / 2);
  return padding;
}

/**
 * Return a point of the canvas relative to the upper left corner of a frame.
 * @param {Frame} frame
 * @param {Point} point
 */
function inside(frame, point) {
  const turn = (-frame.rotation * Math.PI) / 180;
  const [dx, dy] = [point.x - frame.x, point.y - frame.y];
  return {
    x: dx * Math.cos(turn) - dy * Math.sin(turn) + frame.width / 2,
    y: dx * Math.sin(turn) + dy * Math.cos(turn) + frame.height / 2,
  };
}

/**
 * Return where a point of a frame is on the canvas.
 * @param {Frame} frame
 * @param {Point} point
 */
function outside(frame, point) {
  const turn = (frame.rotation * Math.PI) / 180;
  const [dx, dy] = [point.x - frame.width / 2, point.y - frame.height / 2];
  return { x: frame.x + dx * Math.cos(turn) - dy * Math.sin(turn), y: frame.y + dx * Math.sin(turn) + dy * Math.cos(turn) };
}

// Alignment of a box with others: edges, middles and equal gaps. No DOM.
// One axis at a time: a span is what a box covers of an axis, across is what it covers of the other one.

/** @typedef {{left: number, top: number, width: number, height: number}} Box */
/** @typedef {{start: number, end: number}} Span */
/** @typedef {{own: Span, across: Span}} Part */
/**
 * A line through what is aligned, or the gaps that are equal.
 * @typedef {{axis: "x" | "y", at: number, start: number, end: number}} Line
 * @typedef {{axis: "x" | "y", start: number, end: number, at: number}} Gap
 */
/** @typedef {{delta: number, lines: Line[], gaps: Gap[]}} Alignment */

const TOLERANCE = 0.5;

/**
 * Return the axis-aligned box around a frame, which can be rotated.
 * @param {{x: number, y: number, width: number, height: number, rotation: number}} frame
 * @returns {Box}
 */
export function boxAround({ x, y, width, height, rotation }) {
  const angle = (rotation * Math.PI) / 180;
  const [cosine, sine] = [Math.abs(Math.cos(angle)), Math.abs(Math.sin(angle))];
  const [across, down] = [width * cosine + height * sine, width * sine + height * cosine];
  return { left: x - across / 2, top: y - down / 2, width: across, height: down };
}

/**
 * Return the box around boxes.
 * @param {Box[]} boxes
 * @returns {Box}
 */
export function unite(boxes) {
  const left = Math.min(...boxes.map((box) => box.left));
  const top = Math.min(...boxes.map((box) => box.top));
  const right = Math.max(...boxes.map((box) => box.left + box.width));
  const bottom = Math.max(...boxes.map((box) => box.top + box.height));
  return { left, top, width: right - left, height: bottom - top };
}

/**
 * @param {Box} box
 * @param {"x" | "y"} axis
 * @returns {Part}
 */
function partOf(box, axis) {
  const x = { start: box.left, end: box.left + box.width };
  const y = { start: box.top, end: box.top + box.height };
  return axis === "x" ? { own: x, across: y } : { own: y, across: x };
}

/** @param {Span} span */
function pointsOf({ start, end }) {
  return [start, (start + end) / 2, end];
}

/**
 * Return by how much to move a box along an axis so that it is aligned, and what it is aligned with then.
 * @param {Box} box
 * @param {Box[]} others what it can be aligned with
 * @param {number[]} guides positions on the axis
 * @param {"x" | "y"} axis
 * @param {number} threshold how far it may move
 * @returns {Alignment}
 */
export function align(box, others, guides, axis, threshold) {
  const moving = partOf(box, axis);
  const parts = others.map((other) => partOf(other, axis));
  const candidates = [];
  for (const point of pointsOf(moving.own)) {
    for (const target of [...parts.flatMap((part) => pointsOf(part.own)), ...guides]) candidates.push(target - point);
  }
  candidates.push(...gapsOf(moving, parts).map((gap) => gap.delta));
  const near = candidates.filter((delta) => Math.abs(delta) <= threshold);
  if (!near.length) return { delta: 0, lines: [], gaps: [] };
  const delta = near.reduce((best, each) => (Math.abs(each) < Math.abs(best) ? each : best));
  const moved = { own: { start: moving.own.start + delta, end: moving.own.end + delta }, across: moving.across };
  return { delta, lines: linesOf(moved, parts, guides, axis), gaps: equalGapsOf(moved, parts, axis) };
}

/**
 * Return the positions at which gaps between neighbors are equal.
 * @param {Part} moving
 * @param {Part[]} parts
 */
function gapsOf(moving, parts) {
  const { own } = moving;
  const length = own.end - own.start;
  const row = neighborsOf(moving, parts);
  const found = [];
  for (const [at, first] of row.entries()) {
    for (const second of row.slice(at + 1, at + 2)) {
      const gap = second.own.start - first.own.end;
      if (gap <= 0) continue;
      found.push({ delta: second.own.end + gap - own.start });
      found.push({ delta: first.own.start - gap - own.end });
      if (gap > length) found.push({ delta: (first.own.end + second.own.start - length) / 2 - own.start });
    }
  }
  return found;
}

/**
 * Return the boxes that are beside a box, in their order along the axis.
 * @param {Part} moving
 * @param {Part[]} parts
 */
function neighborsOf(moving, parts) {
  return parts
    .filter(({ across }) => across.start < moving.across.end && across.end > moving.across.start)
    .sort((a, b) => a.own.start - b.own.start);
}

/**
 * @param {Part} moved
 * @param {Part[]} parts
 * @param {number[]} guides
 * @param {"x" | "y"} axis
 * @returns {Line[]}
 */
function linesOf(moved, parts, guides, axis) {
  /** @type {Map<number, Line>} */
  const lines = new Map();
  for (const point of pointsOf(moved.own)) {
    const aligned = parts.filter((part) => pointsOf(part.own).some((target) => Math.abs(target - point) < TOLERANCE));
    const isOnGuide = guides.some((guide) => Math.abs(guide - point) < TOLERANCE);
    if (!aligned.length && !isOnGuide) continue;
    const spans = [moved.across, ...aligned.map((part) => part.across)];
    const start = Math.min(...spans.map((span) => span.start));
    const end = Math.max(...spans.map((span) => span.end));
    lines.set(Math.round(point * 10), { axis, at: point, start, end });
  }
  return [...lines.values()];
}

/**
 * @param {Part} moved
 * @param {Part[]} parts
 * @param {"x" | "y"} axis
 * @returns {Gap[]}
 */
function equalGapsOf(moved, parts, axis) {
  const row = [...neighborsOf(moved, parts), moved].sort((a, b) => a.own.start - b.own.start);
  const gaps = row.slice(1).map((part, at) => {
    const across = { start: Math.max(part.across.start, row[at].across.start), end: Math.min(part.across.end, row[at].across.end) };
    const isOwn = part === moved || row[at] === moved;
    return { start: row[at].own.end, end: part.own.start, at: (across.start + across.end) / 2, isOwn };
  });
  const own = gaps.filter((gap) => gap.isOwn && gap.end > gap.start);
  const isEqual = (/** @type {{start: number, end: number}} */ a, /** @type {{start: number, end: number}} */ b) =>
    Math.abs(a.end - a.start - (b.end - b.start)) < TOLERANCE;
  const equal = gaps.filter((gap) => {
    const compared = own.includes(gap) ? gaps : own;
    return compared.some((each) => each !== gap && isEqual(each, gap));
  });
  return equal.map(({ start, end, at }) => ({ axis, start, end, at }));
}

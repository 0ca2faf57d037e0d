// What is dragged or resized snaps to other layers, the canvas, guides and the grid. Ctrl (or Command) holds it off.
// Also the aids themselves: rulers, guides, grid and safe areas. They are this browser's, not the template's.

import { _ } from "../i18n.js";
import * as Konva from "./konva.js";
import { align, boxAround, unite } from "./smart-guides.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./stage.js").Point} Point */
/** @typedef {import("./smart-guides.js").Box} Box */
/** @typedef {import("./smart-guides.js").Line} Line */
/** @typedef {import("./smart-guides.js").Gap} Gap */
/** @typedef {{isSnapping: boolean, hasRulers: boolean, hasGrid: boolean, hasSafeArea: boolean, grid: number,
 *   guides: {x: number[], y: number[]}}} Aids */

// In pixels of the screen.
const THRESHOLD = 6;
const RULER = 20;
const MIN_TICK = 60;
const GUIDE_REACH = 5;
const LABEL_SIZE = 11;
const LABEL_DISTANCE = 4;
// What apps cover of a story: the top with the account, and the bottom with the answer (fractions of the height).
const STORY = { top: 0.14, bottom: 0.2, side: 0.06 };
const SAFE_SIDE = 0.05;

/** @param {Editor} editor */
export function installSnapping(editor) {
  const { stage, commands, root } = editor;
  const key = `editor-aids:${editor.start.operations}`;
  /** @type {Aids} */
  const aids = { isSnapping: true, hasRulers: false, hasGrid: false, hasSafeArea: false, grid: 20, guides: { x: [], y: [] }, ...readAids() };
  const marks = new Konva.Group();
  stage.guides.add(marks);
  const lasting = new Konva.Group();
  stage.guides.add(lasting);

  /** @returns {Partial<Aids>} */
  function readAids() {
    try {
      return JSON.parse(localStorage.getItem(key) ?? "{}");
    } catch {
      return {};
    }
  }

  function keepAids() {
    try {
      localStorage.setItem(key, JSON.stringify(aids));
    } catch {
      // They last as long as the page.
    }
    drawAids();
  }

  /**
   * Return what the layers can be aligned with.
   * @param {Set<string>} names the layers that move
   * @returns {Box[]}
   */
  function findOthers(names) {
    const boxes = [{ left: 0, top: 0, width: stage.width, height: stage.height }];
    for (const entry of stage.entries.values()) {
      const isRelative = stage.isWithin(entry, names) || [...names].some((name) => isAround(entry.layer.name, name));
      if (!isRelative) boxes.push(boxAround(entry.frame));
    }
    return boxes;
  }

  /**
   * @param {string} container
   * @param {string} name
   * @returns {boolean}
   */
  function isAround(container, name) {
    const entry = stage.find(name);
    return Boolean(entry?.layer.parent && (entry.layer.parent === container || isAround(container, entry.layer.parent)));
  }

  /** @param {"x" | "y"} axis */
  function guidesOf(axis) {
    return aids.hasRulers ? aids.guides[axis] : [];
  }

  /**
   * Return what aligns a box.
   * @param {Box} box
   * @param {Set<string>} names
   */
  function snapBox(box, names) {
    const threshold = THRESHOLD / stage.zoom;
    const others = findOthers(names);
    const x = align(box, others, guidesOf("x"), "x", threshold);
    const y = align(box, others, guidesOf("y"), "y", threshold);
    if (aids.hasGrid && !x.lines.length && !x.gaps.length) x.delta = toGrid(box.left) - box.left;
    if (aids.hasGrid && !y.lines.length && !y.gaps.length) y.delta = toGrid(box.top) - box.top;
    return { x, y };
  }

  /** @param {number} position */
  function toGrid(position) {
    return Math.round(position / aids.grid) * aids.grid;
  }

  editor.snapper = {
    snapMove(names, delta, event) {
      clearMarks();
      if (!aids.isSnapping || event.ctrlKey || event.metaKey || !names.length) return delta;
      const frames = names.flatMap((name) => stage.find(name)?.frame ?? []);
      const around = unite(frames.map(boxAround));
      const box = { ...around, left: around.left + delta.x, top: around.top + delta.y };
      const found = snapBox(box, new Set(names));
      // With Shift, a move is along one axis.
      const isHeld = (/** @type {"x" | "y"} */ axis) => event.shiftKey && delta[axis] === 0;
      const snapped = {
        x: isHeld("x") ? 0 : Math.round(delta.x + found.x.delta),
        y: isHeld("y") ? 0 : Math.round(delta.y + found.y.delta),
      };
      drawMarks([...found.x.lines, ...found.y.lines], [...found.x.gaps, ...found.y.gaps]);
      return snapped;
    },
    snapNew(box, event) {
      clearMarks();
      if (!aids.isSnapping || event.ctrlKey || event.metaKey) return { x: 0, y: 0 };
      const { x, y } = snapBox(box, new Set());
      drawMarks([...x.lines, ...y.lines], [...x.gaps, ...y.gaps]);
      return { x: x.delta, y: y.delta };
    },
    clear: clearMarks,
  };

  // Konva gives the boxes in pixels of the container.
  stage.transformer.boundBoxFunc((_old, box) => {
    clearMarks();
    const isHeldOff = editor.isModifierDown;
    const anchor = stage.transformer.getActiveAnchor() ?? "";
    if (!aids.isSnapping || isHeldOff || box.rotation || anchor === "rotater" || editor.selection.length !== 1) return box;
    const origin = stage.toContainer({ x: 0, y: 0 });
    const own = {
      left: (box.x - origin.x) / stage.zoom, top: (box.y - origin.y) / stage.zoom,
      width: box.width / stage.zoom, height: box.height / stage.zoom,
    };
    const names = new Set(editor.selection);
    const snapped = { ...own };
    const lines = [];
    for (const [axis, start, length, before, after] of /** @type {const} */ ([
      ["x", "left", "width", "left", "right"], ["y", "top", "height", "top", "bottom"],
    ])) {
      const isStart = anchor.includes(before);
      if (!isStart && !anchor.includes(after)) continue;
      const edge = { ...own, [start]: isStart ? own[start] : own[start] + own[length], [length]: 0 };
      const found = align(edge, findOthers(names), guidesOf(axis), axis, THRESHOLD / stage.zoom);
      if (!found.lines.length) continue;
      lines.push(...found.lines);
      if (isStart) {
        snapped[start] += found.delta;
        snapped[length] -= found.delta;
      } else snapped[length] += found.delta;
    }
    if (snapped.width < 1 || snapped.height < 1) return box;
    drawMarks(lines, []);
    return {
      ...box, x: snapped.left * stage.zoom + origin.x, y: snapped.top * stage.zoom + origin.y,
      width: snapped.width * stage.zoom, height: snapped.height * stage.zoom,
    };
  });
  stage.addEventListener("transformed", clearMarks);

  function clearMarks() {
    if (!marks.hasChildren()) return;
    marks.destroyChildren();
    stage.overlay.batchDraw();
  }

  /**
   * @param {Line[]} lines
   * @param {Gap[]} gaps
   */
  function drawMarks(lines, gaps) {
    for (const { axis, at, start, end } of lines) {
      marks.add(createLine(axis === "x" ? [at, start, at, end] : [start, at, end, at]));
    }
    for (const { axis, start, end, at } of gaps) {
      marks.add(createLine(axis === "x" ? [start, at, end, at] : [at, start, at, end]));
      const middle = (start + end) / 2, beside = at + LABEL_DISTANCE / stage.zoom;
      marks.add(createLabel(axis, String(Math.round(end - start)), axis === "x" ? { x: middle, y: beside } : { x: beside, y: middle }));
    }
    stage.overlay.batchDraw();
  }

  function markColor() {
    return stage.readColor("guide-color");
  }

  /**
   * Return a text below a horizontal gap, or to the right of a vertical one. (Konva's own texts are much more script.)
   * @param {"x" | "y"} axis
   * @param {string} text
   * @param {Point} position
   */
  function createLabel(axis, text, position) {
    return new Konva.Shape({
      ...position,
      fill: markColor(),
      sceneFunc: (context, shape) => {
        context.setAttr("font", `${LABEL_SIZE / stage.zoom}px sans-serif`);
        context.setAttr("textAlign", axis === "x" ? "center" : "left");
        context.setAttr("textBaseline", axis === "x" ? "top" : "middle");
        context.setAttr("fillStyle", shape.fill());
        context.fillText(text, 0, 0);
      },
    });
  }

  /** @param {number[]} points */
  function createLine(points) {
    return new Konva.Line({ points, stroke: markColor(), strokeWidth: 1, strokeScaleEnabled: false });
  }

  // Rulers, guides, grid and safe areas

  const rulers = { x: createRuler("x"), y: createRuler("y") };

  /** @param {"x" | "y"} axis */
  function createRuler(axis) {
    const ruler = document.createElement("canvas");
    ruler.className = `ruler ruler-${axis}`;
    ruler.setAttribute("aria-hidden", "true");
    stage.container.after(ruler);
    ruler.addEventListener("pointerdown", (event) => dragGuide(event, axis === "x" ? "y" : "x", -1));
    return ruler;
  }

  /**
   * Drag a new guide out of a ruler, or move one. It is removed when it is dropped on the ruler.
   * @param {PointerEvent} start
   * @param {"x" | "y"} axis
   * @param {number} index of the guide; -1 for a new one
   */
  function dragGuide(start, axis, index) {
    start.preventDefault();
    start.stopPropagation();
    const stop = new AbortController();
    const guides = aids.guides[axis];
    let at = index < 0 ? guides.push(0) - 1 : index;
    const move = (/** @type {PointerEvent} */ event) => {
      guides[at] = Math.round(stage.toCanvas(event)[axis]);
      drawAids();
    };
    move(start);
    addEventListener("pointermove", move, { signal: stop.signal });
    addEventListener("pointerup", (event) => {
      stop.abort();
      const box = stage.container.getBoundingClientRect();
      const isOnRuler = axis === "x" ? event.clientX < box.left + RULER : event.clientY < box.top + RULER;
      if (isOnRuler) guides.splice(at, 1);
      at = -1;
      keepAids();
    }, { signal: stop.signal });
  }

  // Before the stage selects what is below a guide.
  stage.container.addEventListener("pointerdown", (event) => {
    if (!aids.hasRulers || event.button) return;
    const point = stage.toCanvas(event);
    for (const axis of /** @type {const} */ (["x", "y"])) {
      const index = aids.guides[axis].findIndex((guide) => Math.abs(guide - point[axis]) * stage.zoom < GUIDE_REACH);
      if (index >= 0 && !editor.targetAt(point)) return dragGuide(event, axis, index);
    }
  }, { capture: true });

  function drawAids() {
    lasting.destroyChildren();
    if (aids.hasGrid) drawGrid();
    if (aids.hasSafeArea) drawSafeArea();
    if (aids.hasRulers) drawGuides();
    for (const axis of /** @type {const} */ (["x", "y"])) {
      rulers[axis].hidden = !aids.hasRulers;
      if (aids.hasRulers) drawRuler(rulers[axis], axis);
    }
    stage.overlay.batchDraw();
  }

  function drawGrid() {
    let step = aids.grid;
    while (step * stage.zoom < 8) step *= 2;
    const options = { stroke: markColor(), strokeWidth: 1, strokeScaleEnabled: false, opacity: 0.18 };
    for (let x = step; x < stage.width; x += step) lasting.add(new Konva.Line({ points: [x, 0, x, stage.height], ...options }));
    for (let y = step; y < stage.height; y += step) lasting.add(new Konva.Line({ points: [0, y, stage.width, y], ...options }));
  }

  function drawSafeArea() {
    const { width, height } = stage;
    const isStory = height / width > 1.6;
    const [top, bottom, side] = isStory
      ? [STORY.top * height, STORY.bottom * height, STORY.side * width]
      : [SAFE_SIDE * height, SAFE_SIDE * height, SAFE_SIDE * width];
    lasting.add(new Konva.Rect({
      x: side, y: top, width: width - 2 * side, height: height - top - bottom,
      stroke: markColor(), strokeWidth: 1, strokeScaleEnabled: false, dash: [6, 4],
    }));
  }

  function drawGuides() {
    const reach = 10_000;
    for (const x of aids.guides.x) lasting.add(createLine([x, -reach, x, reach]));
    for (const y of aids.guides.y) lasting.add(createLine([-reach, y, reach, y]));
  }

  /**
   * @param {HTMLCanvasElement} ruler
   * @param {"x" | "y"} axis
   */
  function drawRuler(ruler, axis) {
    const isAcross = axis === "x";
    const ratio = devicePixelRatio;
    const length = isAcross ? stage.container.clientWidth : stage.container.clientHeight;
    ruler.width = (isAcross ? length : RULER) * ratio;
    ruler.height = (isAcross ? RULER : length) * ratio;
    const context = /** @type {CanvasRenderingContext2D} */ (ruler.getContext("2d"));
    const style = getComputedStyle(ruler);
    context.scale(ratio, ratio);
    context.fillStyle = style.backgroundColor;
    context.fillRect(0, 0, length, length);
    context.fillStyle = context.strokeStyle = style.color;
    context.font = "10px sans-serif";
    const origin = stage.toContainer({ x: 0, y: 0 })[axis];
    const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000].find((each) => each * stage.zoom >= MIN_TICK) ?? 5000;
    for (let value = Math.floor(-origin / stage.zoom / step) * step; value * stage.zoom + origin < length; value += step) {
      const at = Math.round(value * stage.zoom + origin) + 0.5;
      context.beginPath();
      if (isAcross) {
        context.moveTo(at, 0);
        context.lineTo(at, RULER);
        context.fillText(String(value), at + 3, 10);
      } else {
        context.moveTo(0, at);
        context.lineTo(RULER, at);
        context.save();
        context.translate(10, at + 3);
        context.rotate(Math.PI / 2);
        context.fillText(String(value), 0, 0);
        context.restore();
      }
      context.stroke();
    }
  }

  const toggle = (/** @type {"isSnapping" | "hasRulers" | "hasGrid" | "hasSafeArea"} */ aid) => () => {
    aids[aid] = !aids[aid];
    keepAids();
    editor.announce(aids[aid] ? _("On") : _("Off"));
    showSwitches();
  };
  commands.add(
    { id: "snapping", label: _("Snap to layers"), group: "View", keys: ["Mod+Shift+;", "Mod+:"], run: toggle("isSnapping") },
    { id: "rulers", label: _("Rulers and guides"), group: "View", keys: ["Shift+R"], run: toggle("hasRulers") },
    { id: "grid", label: _("Grid"), group: "View", keys: ["Mod+'"], run: toggle("hasGrid") },
    { id: "safe-area", label: _("Safe area"), group: "View", keys: ["Shift+S"], run: toggle("hasSafeArea") },
    { id: "clear-guides", label: _("Remove all guides"), group: "View", run: () => {
      aids.guides = { x: [], y: [] };
      keepAids();
    } },
  );

  function showSwitches() {
    for (const [id, aid] of /** @type {const} */ ([
      ["snapping", "isSnapping"], ["rulers", "hasRulers"], ["grid", "hasGrid"], ["safe-area", "hasSafeArea"],
    ])) root.querySelector(`[data-command="${id}"]`)?.setAttribute("aria-pressed", String(aids[aid]));
  }

  stage.addEventListener("camera", drawAids);
  stage.addEventListener("shown", drawAids);
  drawAids();
  showSwitches();
}

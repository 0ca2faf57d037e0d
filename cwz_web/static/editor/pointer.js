// The pointer on the stage: select, move, marquee, enter groups, pan and zoom.

import { outermost } from "./model.js";
import { valuesOfMove } from "./placing.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./stage.js").Point} Point */

const MIN_DISTANCE = 3;
const WHEEL_ZOOM = 0.0025;

/** @param {Editor} editor */
export function installPointer(editor) {
  const { stage } = editor;
  const { container } = stage;
  let isSpaceDown = false;
  let isPanning = false;
  /** @type {Map<number, PointerEvent>} */
  const touches = new Map();
  /** @type {(() => void) | undefined} ends what the first finger does */
  let cancelTouch;

  addEventListener("keydown", () => delete container.dataset.pointer, { capture: true });
  addEventListener("keydown", (event) => {
    const isField = /** @type {HTMLElement} */ (event.target).closest("input, textarea, select, button, a, [contenteditable]");
    if (event.key !== " " || isField) return;
    isSpaceDown = true;
    container.classList.add("is-pannable");
    event.preventDefault();
  });
  addEventListener("keyup", (event) => {
    if (event.key !== " ") return;
    isSpaceDown = false;
    container.classList.remove("is-pannable");
  });

  stage.konva.on("pointerdown", (konvaEvent) => {
    const event = /** @type {PointerEvent} */ (/** @type {any} */ (konvaEvent.evt));
    // A handle of the frame.
    if (konvaEvent.target !== stage.konva) return;
    container.dataset.pointer = "";
    container.focus({ preventScroll: true });
    if (event.pointerType === "touch") {
      touches.set(event.pointerId, event);
      if (touches.size === 2) return pinch(event);
    }
    if (event.button === 1 || isSpaceDown) return pan(event);
    if (event.button === 0) press(event);
  });

  stage.konva.on("pointermove", () => {
    if (isPanning || editor.cancelDrag) return stage.highlight("");
    const name = editor.targetAt(stage.pointer());
    stage.highlight(name);
  });
  container.addEventListener("pointerleave", () => stage.highlight(""));

  stage.konva.on("dblclick dbltap", () => editor.enterAt(stage.pointer()));

  container.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = container.getBoundingClientRect();
    const at = { x: event.clientX - box.left, y: event.clientY - box.top };
    if (event.ctrlKey || event.metaKey) {
      stage.zoomTo(stage.zoom * Math.exp(-event.deltaY * WHEEL_ZOOM * (event.deltaMode ? 16 : 1)), at);
    } else {
      stage.pan(event.shiftKey ? { x: -event.deltaY, y: 0 } : { x: -event.deltaX, y: -event.deltaY });
    }
  }, { passive: false });

  /**
   * Follow a pointer until it is released.
   * @param {PointerEvent} start
   * @param {{move: (event: PointerEvent) => void, end?: (event: PointerEvent) => void, cancel?: () => void}} handlers
   */
  function follow(start, { move, end, cancel }) {
    const stop = new AbortController();
    const { signal } = stop;
    const isOwn = (/** @type {PointerEvent} */ event) => event.pointerId === start.pointerId;
    const finish = (/** @type {(() => void) | undefined} */ then) => {
      stop.abort();
      touches.delete(start.pointerId);
      then?.();
    };
    addEventListener("pointermove", (event) => isOwn(event) && move(event), { signal });
    addEventListener("pointerup", (event) => isOwn(event) && finish(() => end?.(event)), { signal });
    addEventListener("pointercancel", (event) => isOwn(event) && finish(cancel), { signal });
    addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopImmediatePropagation();
      finish(cancel);
    }, { signal, capture: true });
    return () => finish(cancel);
  }

  /** @param {PointerEvent} start */
  function pan(start) {
    isPanning = true;
    container.classList.add("is-panning");
    let last = start;
    const end = () => {
      isPanning = false;
      container.classList.remove("is-panning");
    };
    follow(start, {
      move: (event) => {
        stage.pan({ x: event.clientX - last.clientX, y: event.clientY - last.clientY });
        last = event;
      },
      end,
      cancel: end,
    });
  }

  /**
   * Pan with one finger beside the layers; a tap selects nothing.
   * @param {PointerEvent} start
   */
  function panByTouch(start) {
    let last = start;
    let isMoving = false;
    cancelTouch = follow(start, {
      move: (event) => {
        isMoving ||= Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) >= MIN_DISTANCE;
        if (!isMoving) return;
        stage.pan({ x: event.clientX - last.clientX, y: event.clientY - last.clientY });
        last = event;
      },
      end: () => {
        cancelTouch = undefined;
        if (!isMoving) editor.leave();
      },
      cancel: () => { cancelTouch = undefined; },
    });
  }

  /** @param {PointerEvent} second */
  function pinch(second) {
    const [a, b] = [...touches.values()];
    editor.cancelDrag?.();
    cancelTouch?.();
    const points = new Map([[a.pointerId, a], [b.pointerId, b]]);
    const measure = () => {
      const [one, two] = [...points.values()];
      const box = container.getBoundingClientRect();
      return {
        distance: Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY),
        x: (one.clientX + two.clientX) / 2 - box.left,
        y: (one.clientY + two.clientY) / 2 - box.top,
      };
    };
    let last = measure();
    const move = (/** @type {PointerEvent} */ event) => {
      points.set(event.pointerId, event);
      const now = measure();
      stage.pan({ x: now.x - last.x, y: now.y - last.y });
      if (last.distance) stage.zoomTo((stage.zoom * now.distance) / last.distance, now);
      last = now;
    };
    follow(a, { move });
    follow(second, { move });
  }

  /** @param {PointerEvent} start */
  function press(start) {
    const point = stage.toCanvas(start);
    const name = editor.targetAt(point, start.ctrlKey || start.metaKey);
    const isToggle = start.shiftKey;
    if (!name && start.pointerType === "touch") return panByTouch(start);
    if (!name) return marquee(start, point);
    const wasSelected = editor.selection.includes(name);
    if (isToggle) editor.select(wasSelected ? editor.selection.filter((each) => each !== name) : [...editor.selection, name]);
    else if (!wasSelected) editor.select([name]);
    if (editor.selection.includes(name)) drag(start, point, () => {
      if (!isToggle && wasSelected && editor.selection.length > 1) editor.select([name]);
    });
  }

  /**
   * Move the selected layers.
   * @param {PointerEvent} start
   * @param {Point} point
   * @param {() => void} click what a release without a move does
   */
  function drag(start, point, click) {
    const dragged = outermost(editor.session.document, editor.selection).filter((name) => editor.isUnlocked(name));
    const names = dragged.filter((name) => editor.isMovable(name));
    let isMoving = false;
    let delta = { x: 0, y: 0 };
    const cancel = () => {
      editor.cancelDrag = undefined;
      stage.cancelPreview();
      editor.snapper?.clear();
      editor.dropper?.clear();
    };
    editor.cancelDrag = follow(start, {
      move: (event) => {
        if (!isMoving && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) < MIN_DISTANCE) return;
        if (!names.length && !editor.dropper) return;
        isMoving = true;
        const now = stage.toCanvas(event);
        delta = { x: Math.round(now.x - point.x), y: Math.round(now.y - point.y) };
        if (event.shiftKey) delta = Math.abs(delta.x) > Math.abs(delta.y) ? { x: delta.x, y: 0 } : { x: 0, y: delta.y };
        const isDropping = editor.dropper?.over(editor.selection, now, event) ?? false;
        if (isDropping) editor.snapper?.clear();
        else if (editor.snapper) delta = editor.snapper.snapMove(names, delta, event);
        stage.previewMove(isDropping ? dragged : names, delta);
        editor.emit("dragging", { names, delta });
      },
      end: (event) => {
        editor.cancelDrag = undefined;
        editor.snapper?.clear();
        if (!isMoving) return click();
        if (editor.dropper?.drop(editor.selection, delta, event)) return stage.cancelPreview();
        if (event.altKey) {
          stage.cancelPreview();
          editor.duplicate(delta);
        } else {
          editor.move(names, delta);
        }
      },
      cancel,
    });
  }

  /**
   * Select the layers in a rectangle.
   * @param {PointerEvent} start
   * @param {Point} point
   */
  function marquee(start, point) {
    const before = start.shiftKey ? editor.selection : [];
    const box = document.createElement("div");
    box.className = "marquee";
    let isMoving = false;
    follow(start, {
      move: (event) => {
        if (!isMoving && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) < MIN_DISTANCE) return;
        if (!isMoving) container.append(box);
        isMoving = true;
        const now = stage.toCanvas(event);
        const [left, right] = [Math.min(point.x, now.x), Math.max(point.x, now.x)];
        const [top, bottom] = [Math.min(point.y, now.y), Math.max(point.y, now.y)];
        const [a, b] = [stage.toContainer({ x: left, y: top }), stage.toContainer({ x: right, y: bottom })];
        box.style.left = `${a.x}px`;
        box.style.top = `${a.y}px`;
        box.style.width = `${b.x - a.x}px`;
        box.style.height = `${b.y - a.y}px`;
        const inside = editor.selectableNames().filter((name) => {
          const frame = stage.find(name)?.frame;
          if (!frame) return false;
          return frame.x - frame.width / 2 < right && frame.x + frame.width / 2 > left
            && frame.y - frame.height / 2 < bottom && frame.y + frame.height / 2 > top;
        });
        editor.select([...new Set([...before, ...inside])]);
      },
      end: () => {
        box.remove();
        if (!isMoving && !start.shiftKey) editor.leave();
      },
      cancel: () => {
        box.remove();
        editor.select(before);
      },
    });
  }
}

/**
 * Return the document with layers moved by a distance on the canvas.
 * @param {Editor} editor
 * @param {string[]} names
 * @param {Point} delta
 */
export function moveOnCanvas(editor, names, delta) {
  return names.flatMap((name) => {
    const shown = editor.stage.find(name)?.layer;
    return shown ? [{ name, values: valuesOfMove(shown, delta) }] : [];
  });
}

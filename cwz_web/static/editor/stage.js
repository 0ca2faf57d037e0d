// The stage: tiles on a canvas that pans and zooms, and the frames of the selected layers.
// It shows a move or a resize at once by transforming the tiles; the exact tiles follow from the server.

import * as Konva from "./konva.js";

/** @typedef {import("./session.js").State} State */
/** @typedef {import("./session.js").ShownLayer} ShownLayer */
/** @typedef {import("./tiles.js").Tiles} Tiles */
/** @typedef {{x: number, y: number}} Point */
/**
 * The box of a layer on the canvas.
 * @typedef {{x: number, y: number, width: number, height: number, rotation: number}} Frame x and y of its center
 */
/**
 * A layer on the stage.
 * @typedef {{key: string, layer: ShownLayer, frame: Frame, matrix: Konva.Transform, group: Konva.Group,
 *   image: Konva.Image | null}} Entry
 */

const MIN_ZOOM = 0.05;
const MAX_ZOOM = 16;
const FIT_MARGIN = 48;
const ROTATION_SNAPS = [0, 45, 90, 135, 180, 225, 270, 315];

/**
 * Events: "camera" (zoom or position), "transform" and "transformed" (handles are dragged; detail: frames by name),
 * "missing" (a tile is not there), "shown" (after a new state).
 */
export class Stage extends EventTarget {
  /**
   * @param {HTMLDivElement} container
   * @param {Tiles} tiles
   */
  constructor(container, tiles) {
    super();
    this.container = container;
    this.tiles = tiles;
    this.konva = new Konva.Stage({ container, width: container.clientWidth, height: container.clientHeight });
    this.paper = new Konva.Layer({ listening: false });
    this.image = new Konva.Layer({ listening: false });
    this.overlay = new Konva.Layer();
    this.konva.add(this.paper, this.image, this.overlay);
    this.sheet = new Konva.Rect({ shadowBlur: 24, shadowOpacity: 0.18, shadowColor: "#000000" });
    this.paper.add(this.sheet);
    this.canvas = new Konva.Group();
    this.image.add(this.canvas);
    this.background = new Konva.Image({ image: undefined });
    /** @type {Map<string, Entry>} by name and instance, from the lowest to the highest */
    this.entries = new Map();
    this.width = 1;
    this.height = 1;
    /** @type {string[]} */
    this.selected = [];
    this.hovered = "";
    /** The layer whose tile is hidden while its content is edited in place. */
    this.concealed = "";
    /** Whether the whole canvas is shown, and stays so when the window changes. */
    this.isFitted = true;
    /** The layers whose move or resize is shown, until the exact tiles arrive. */
    /** @type {{names: string[], matrix: Konva.Transform} | null} */
    this.active = null;
    this.hover = new Konva.Rect({ listening: false, strokeScaleEnabled: false, strokeWidth: 2, visible: false });
    this.frames = new Konva.Group();
    this.guides = new Konva.Group({ listening: false });
    this.transformer = this.createTransformer();
    this.overlay.add(this.hover, this.frames, this.guides, this.transformer);
    new ResizeObserver(() => this.resize()).observe(container);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.applyColors());
    new MutationObserver(() => this.applyColors()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    this.applyColors();
  }

  get zoom() {
    return this.konva.scaleX();
  }

  /** @returns {Konva.Transformer} */
  createTransformer() {
    const transformer = new Konva.Transformer({
      rotationSnaps: ROTATION_SNAPS,
      rotationSnapTolerance: 4,
      keepRatio: false,
      flipEnabled: false,
      ignoreStroke: true,
      anchorSize: 10,
      anchorCornerRadius: 2,
      rotateAnchorOffset: 28,
      borderStrokeWidth: 2,
    });
    transformer.on("transformstart", () => this.emit("transformstart"));
    transformer.on("transform", () => {
      this.showTransform();
      this.emit("transform", this.readFrames());
    });
    transformer.on("transformend", () => {
      const frames = this.readFrames();
      this.commitTransform();
      this.emit("transformed", frames);
    });
    return transformer;
  }

  applyColors() {
    const accent = this.readColor("accent-color");
    this.accent = accent;
    this.hover.stroke(accent);
    this.transformer.borderStroke(accent);
    this.transformer.anchorStroke(accent);
    this.sheet.fill("#ffffff");
    this.overlay.batchDraw();
    this.emit("camera");
  }

  /**
   * Return the color of a class as a canvas can parse it: a variable can be a light-dark().
   * @param {string} name
   */
  readColor(name) {
    const probe = document.createElement("span");
    probe.className = name;
    this.container.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  }

  resize() {
    this.konva.size({ width: this.container.clientWidth, height: this.container.clientHeight });
    if (this.isFitted) this.fit();
    else this.emit("camera");
  }

  /**
   * Show what the server has rendered.
   * @param {State} state
   */
  show(state) {
    if (state.width !== this.width || state.height !== this.height) {
      this.width = state.width;
      this.height = state.height;
      this.canvas.clip({ x: 0, y: 0, width: state.width, height: state.height });
      this.sheet.size({ width: state.width, height: state.height });
      this.fit();
    }
    let isMissing = this.showBackground(state);
    const old = this.entries;
    this.entries = new Map();
    for (const layer of state.layers) {
      const key = `${layer.name}#${layer.instance}`;
      const entry = this.createEntry(key, layer, old.get(key));
      this.entries.set(key, entry);
      old.delete(key);
      if (layer.tile && !entry.image) isMissing = true;
    }
    for (const entry of old.values()) entry.group.destroy();
    this.canvas.removeChildren();
    this.canvas.add(this.background, ...[...this.entries.values()].map((entry) => entry.group));
    this.tiles.prune(new Set([...state.layers.map((each) => each.tile?.digest ?? ""), state.background?.digest ?? ""]));
    if (this.active) this.preview(this.active.names, this.active.matrix);
    this.image.batchDraw();
    if (!this.transformer.isTransforming()) this.drawFrames();
    this.drawHover();
    if (isMissing) this.emit("missing");
    this.emit("shown");
  }

  /** @param {State} state */
  showBackground(state) {
    const bitmap = state.background ? this.tiles.get(state.background.digest) : undefined;
    this.background.image(bitmap);
    this.background.visible(Boolean(bitmap));
    this.sheet.opacity(bitmap ? 1 : 0);
    this.container.classList.toggle("is-transparent", !bitmap);
    return Boolean(state.background && !bitmap);
  }

  /**
   * @param {string} key
   * @param {ShownLayer} layer
   * @param {Entry | undefined} old
   * @returns {Entry}
   */
  createEntry(key, layer, old) {
    const group = old?.group ?? new Konva.Group();
    const bitmap = layer.tile ? this.tiles.get(layer.tile.digest) : undefined;
    let image = old?.image ?? null;
    if (!bitmap && image) {
      image.destroy();
      image = null;
    }
    if (bitmap && layer.tile) {
      if (!image) {
        image = new Konva.Image({ image: bitmap });
        group.add(image);
      }
      const blend = /** @type {GlobalCompositeOperation} */ (layer.blend === "normal" ? "source-over" : layer.blend);
      image.setAttrs({ image: bitmap, x: layer.tile.x, y: layer.tile.y, width: bitmap.width, height: bitmap.height });
      image.opacity(layer.opacity);
      image.visible(layer.name !== this.concealed);
      image.globalCompositeOperation(blend);
    }
    const [x, y] = layer.center;
    const frame = { x, y, width: layer.width, height: layer.height, rotation: layer.rotation };
    const entry = { key, layer, frame, matrix: new Konva.Transform(), group, image };
    applyMatrix(group, entry.matrix);
    return entry;
  }

  /**
   * Return the first instance of a layer.
   * @param {string} name
   */
  find(name) {
    return this.entries.get(`${name}#0`);
  }

  /**
   * Hide the tile of a layer that is edited in place.
   * @param {string} name empty for none
   */
  conceal(name) {
    this.concealed = name;
    for (const entry of this.entries.values()) entry.image?.visible(entry.layer.name !== name);
    this.image.batchDraw();
  }

  /**
   * Return whether a layer is one of these, or in one of them.
   * @param {Entry} entry
   * @param {Set<string>} names
   */
  isWithin(entry, names) {
    /** @type {Entry | undefined} */
    let each = entry;
    while (each) {
      if (names.has(each.layer.name)) return true;
      each = each.layer.parent ? this.find(each.layer.parent) : undefined;
    }
    return false;
  }

  /**
   * Return layers with all layers in them.
   * @param {string[]} names
   */
  entriesWithin(names) {
    const own = new Set(names);
    return [...this.entries.values()].filter((entry) => this.isWithin(entry, own));
  }

  /**
   * Show layers transformed, with the layers in them.
   * @param {string[]} names
   * @param {Konva.Transform} matrix
   */
  preview(names, matrix) {
    this.active = { names, matrix };
    for (const entry of this.entriesWithin(names)) applyMatrix(entry.group, matrix.copy().multiply(entry.matrix));
    this.image.batchDraw();
  }

  /**
   * Show layers moved.
   * @param {string[]} names
   * @param {Point} delta
   */
  previewMove(names, delta) {
    this.preview(names, new Konva.Transform([1, 0, 0, 1, delta.x, delta.y]));
    for (const node of this.frames.getChildren()) {
      const entry = this.find(node.name());
      if (entry && names.includes(node.name())) node.position({ x: entry.frame.x + delta.x, y: entry.frame.y + delta.y });
    }
    this.transformer.forceUpdate();
  }

  cancelPreview() {
    for (const entry of this.entries.values()) applyMatrix(entry.group, entry.matrix);
    this.active = null;
    this.image.batchDraw();
    this.drawFrames();
  }

  /**
   * Keep a move as it is shown, until the exact tiles arrive.
   * @param {string[]} names
   * @param {Point} delta
   */
  commitMove(names, delta) {
    const matrix = new Konva.Transform([1, 0, 0, 1, delta.x, delta.y]);
    for (const entry of this.entriesWithin(names)) {
      entry.matrix = matrix.copy().multiply(entry.matrix);
      entry.frame = { ...entry.frame, x: entry.frame.x + delta.x, y: entry.frame.y + delta.y };
    }
    this.active = null;
    this.drawFrames();
  }

  /** Return the frames of the selected layers as the handles have left them. */
  readFrames() {
    return Object.fromEntries(this.frames.getChildren().map((node) => [node.name(), {
      x: node.x(),
      y: node.y(),
      width: node.width() * node.scaleX(),
      height: node.height() * node.scaleY(),
      rotation: node.rotation(),
    }]));
  }

  /** Return how the handles have changed the selected layers. */
  readTransform() {
    return Object.entries(this.readFrames()).flatMap(([name, frame]) => {
      const entry = this.find(name);
      return entry ? [{ name, entry, frame, matrix: between(entry.frame, frame) }] : [];
    });
  }

  showTransform() {
    for (const { name, matrix } of this.readTransform()) {
      for (const each of this.entriesWithin([name])) applyMatrix(each.group, matrix.copy().multiply(each.matrix));
    }
    this.image.batchDraw();
  }

  commitTransform() {
    for (const { name, entry, frame, matrix } of this.readTransform()) {
      for (const each of this.entriesWithin([name])) each.matrix = matrix.copy().multiply(each.matrix);
      entry.frame = frame;
    }
    this.drawFrames();
  }

  /**
   * Change how a layer mixes with what is below, before the server answers.
   * @param {string} name
   * @param {{opacity?: number, blend?: string}} values
   */
  mix(name, { opacity, blend }) {
    for (const entry of this.entries.values()) {
      if (entry.layer.name !== name || !entry.image) continue;
      if (opacity !== undefined) entry.image.opacity(opacity);
      if (blend !== undefined) entry.image.globalCompositeOperation(blend === "normal" ? "source-over" : /** @type {any} */ (blend));
    }
    this.image.batchDraw();
  }

  /**
   * Show which layers are selected.
   * @param {string[]} names
   * @param {{isMovable: boolean, isResizable: boolean, isRotatable: boolean}} can what can be done with all of them
   */
  select(names, can) {
    this.selected = names;
    this.can = can;
    this.drawFrames();
  }

  drawFrames() {
    this.frames.destroyChildren();
    const nodes = [];
    for (const name of this.selected) {
      const entry = this.find(name);
      if (!entry) continue;
      const { x, y, width, height, rotation } = entry.frame;
      const node = new Konva.Rect({
        ...{ name, x, y, width, height, rotation, offsetX: width / 2, offsetY: height / 2 },
        ...{ listening: false, stroke: this.accent, strokeWidth: 1, strokeScaleEnabled: false },
      });
      this.frames.add(node);
      nodes.push(node);
    }
    const can = this.can ?? { isMovable: false, isResizable: false, isRotatable: false };
    this.transformer.resizeEnabled(can.isResizable);
    this.transformer.rotateEnabled(can.isRotatable);
    this.transformer.nodes(nodes);
    this.overlay.batchDraw();
  }

  /**
   * Outline the layer under the pointer.
   * @param {string} name
   */
  highlight(name) {
    if (name === this.hovered) return;
    this.hovered = name;
    this.drawHover();
  }

  drawHover() {
    const name = this.hovered;
    this.outline(name && !this.selected.includes(name) ? this.find(name)?.frame : undefined);
  }

  /**
   * Outline a place on the canvas.
   * @param {Frame} [frame] none by default
   */
  outline(frame) {
    this.hover.visible(Boolean(frame));
    if (frame) {
      const { x, y, width, height, rotation } = frame;
      this.hover.setAttrs({ x, y, width, height, rotation, offsetX: width / 2, offsetY: height / 2 });
    }
    this.overlay.batchDraw();
  }

  /**
   * Return the layers at a point of the canvas, the highest first.
   * @param {Point} point
   * @returns {ShownLayer[]}
   */
  layersAt(point) {
    return [...this.entries.values()].reverse().filter((entry) => isInside(entry.frame, point)).map((entry) => entry.layer);
  }

  /** Return the pointer's position on the canvas. */
  pointer() {
    return this.konva.getRelativePointerPosition() ?? { x: 0, y: 0 };
  }

  /**
   * Return a position on the canvas for one in the window.
   * @param {{clientX: number, clientY: number}} event
   * @returns {Point}
   */
  toCanvas(event) {
    const box = this.container.getBoundingClientRect();
    return {
      x: (event.clientX - box.left - this.konva.x()) / this.zoom,
      y: (event.clientY - box.top - this.konva.y()) / this.zoom,
    };
  }

  /**
   * Return where a point of the canvas is in the container.
   * @param {Point} point
   * @returns {Point}
   */
  toContainer(point) {
    return { x: point.x * this.zoom + this.konva.x(), y: point.y * this.zoom + this.konva.y() };
  }

  /** Show the whole canvas. */
  fit() {
    const { clientWidth, clientHeight } = this.container;
    const margin = Math.min(FIT_MARGIN, clientWidth / 12);
    const zoom = Math.min((clientWidth - 2 * margin) / this.width, (clientHeight - 2 * margin) / this.height, 1);
    this.center(clamp(zoom), { x: this.width / 2, y: this.height / 2 });
    this.isFitted = true;
  }

  /**
   * Show some boxes as large as possible.
   * @param {Frame[]} frames
   */
  fitTo(frames) {
    if (!frames.length) return this.fit();
    const left = Math.min(...frames.map((each) => each.x - each.width / 2));
    const right = Math.max(...frames.map((each) => each.x + each.width / 2));
    const top = Math.min(...frames.map((each) => each.y - each.height / 2));
    const bottom = Math.max(...frames.map((each) => each.y + each.height / 2));
    const { clientWidth, clientHeight } = this.container;
    const zoom = Math.min((clientWidth - 2 * FIT_MARGIN) / (right - left), (clientHeight - 2 * FIT_MARGIN) / (bottom - top));
    this.center(clamp(Math.min(zoom, 4)), { x: (left + right) / 2, y: (top + bottom) / 2 });
  }

  /**
   * @param {number} zoom
   * @param {Point} point the point of the canvas that is in the middle
   */
  center(zoom, point) {
    const { clientWidth, clientHeight } = this.container;
    this.isFitted = false;
    this.konva.scale({ x: zoom, y: zoom });
    // Whole pixels, so that tiles at 100 % are shown as they are.
    this.konva.position({
      x: Math.round(clientWidth / 2 - point.x * zoom),
      y: Math.round(clientHeight / 2 - point.y * zoom),
    });
    this.emit("camera");
  }

  /**
   * Zoom, and keep a point of the container where it is.
   * @param {number} zoom
   * @param {Point} [at] in the container; its middle by default
   */
  zoomTo(zoom, at = { x: this.container.clientWidth / 2, y: this.container.clientHeight / 2 }) {
    const before = { x: (at.x - this.konva.x()) / this.zoom, y: (at.y - this.konva.y()) / this.zoom };
    const scale = clamp(zoom);
    this.isFitted = false;
    this.konva.scale({ x: scale, y: scale });
    this.konva.position({ x: Math.round(at.x - before.x * scale), y: Math.round(at.y - before.y * scale) });
    this.emit("camera");
  }

  /** @param {Point} delta in pixels of the container */
  pan(delta) {
    this.isFitted = false;
    this.konva.position({ x: Math.round(this.konva.x() + delta.x), y: Math.round(this.konva.y() + delta.y) });
    this.emit("camera");
  }

  /**
   * @param {string} type
   * @param {any} [detail]
   */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @param {number} zoom */
function clamp(zoom) {
  return Math.min(Math.max(zoom, MIN_ZOOM), MAX_ZOOM);
}

/**
 * Set a group's transformation. The identity is exact, so that tiles are not sampled again.
 * @param {Konva.Group} group
 * @param {Konva.Transform} matrix
 */
function applyMatrix(group, matrix) {
  group.setAttrs({ x: 0, y: 0, rotation: 0, scaleX: 1, scaleY: 1, skewX: 0, skewY: 0 });
  const [a, b, c, d, x, y] = matrix.getMatrix();
  if (a === 1 && b === 0 && c === 0 && d === 1) group.position({ x, y });
  else group.setAttrs(matrix.decompose());
}

/**
 * Return the transformation that turns a frame into another one.
 * @param {Frame} from
 * @param {Frame} to
 */
function between(from, to) {
  const matrix = new Konva.Transform();
  matrix.translate(to.x, to.y);
  matrix.rotate((to.rotation * Math.PI) / 180);
  matrix.scale(to.width / from.width, to.height / from.height);
  matrix.rotate((-from.rotation * Math.PI) / 180);
  matrix.translate(-from.x, -from.y);
  return matrix;
}

/**
 * @param {Frame} frame
 * @param {Point} point
 */
function isInside(frame, point) {
  const angle = (-frame.rotation * Math.PI) / 180;
  const [dx, dy] = [point.x - frame.x, point.y - frame.y];
  const x = dx * Math.cos(angle) - dy * Math.sin(angle);
  const y = dx * Math.sin(angle) + dy * Math.cos(angle);
  return Math.abs(x) <= frame.width / 2 && Math.abs(y) <= frame.height / 2;
}

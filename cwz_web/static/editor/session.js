// The draft between this page and the server: local changes are shown at once and sent in the background, one request
// at a time. Nothing is lost: what could not be sent is kept in the browser and sent later.

import { _ } from "../i18n.js";
import { applyOperations, findOperations, isEqual, mergeDocuments } from "./changes.js";
import { readSampleRow } from "./sample-row.js";

/** @typedef {import("./model.js").TemplateDocument} TemplateDocument */
/**
 * A tile of a layer, or of the background.
 * @typedef {{digest: string, x: number, y: number, width: number, height: number}} Tile
 */
/**
 * A layer as the sample row shows it. `own` are its values in its container; `center` and `rotation` are on the canvas.
 * @typedef {{name: string, instance: number, parent: string, width: number, height: number, center: [number, number],
 *   rotation: number, opacity: number, blend: string, problem: string, tile: Tile | null, own: OwnBox}} ShownLayer
 */
/**
 * @typedef {{x: number, y: number, width: number, height: number, rotation: number, anchor: string, left: number,
 *   top: number}} OwnBox
 */
/** @typedef {{layer: string, message: string, code: string}} Finding */
/**
 * What the server answers. `condition` is that of the layer after a form of one, and `replaced` whether this form had not
 * shown the one before it.
 * @typedef {{base: string, document: TemplateDocument | null, version: number, hasDraft: boolean,
 *   openComments: {[layer: string]: number}, canUndo: boolean, canRedo: boolean, layer: string, size: string,
 *   condition: string | null, replaced: boolean,
 *   width: number, height: number, values: {[name: string]: string},
 *   background: Tile | null, layers: ShownLayer[], absent: {name: string, own: OwnBox}[], findings: Finding[] | null,
 *   error: string}} State
 */
/**
 * @typedef {{operations: string, page: string, account: string, csrf: string, base: string, document: TemplateDocument,
 *   feeds: {id: string, rows: number}[]}} Start
 */
/** @typedef {"saved" | "saving" | "offline" | "signed-out" | "failed"} SaveState */
/** @typedef {{[key: string]: any}} Request */
/**
 * A form of the designer, or an action, that the server does not have yet.
 * @typedef {{before: TemplateDocument, form?: FormRequest, key?: string, resolve?: (state?: State) => void,
 *   reject?: (error: unknown) => void}} Waiting before: the document as it was when the user chose it
 */
/**
 * `changed` are the names of what the user has changed: the server takes the other values from the draft.
 * @typedef {{form: {[field: string]: string}, changed: string[], layer: string, size: string}} FormRequest
 */
/**
 * What the browser stores of a session that could not send all of it. `operations` are the changes of the document before
 * a form, since the form before it.
 * @typedef {{base: any, document: any, forms?: {form?: FormRequest, key?: string,
 *   operations?: import("./changes.js").Operation[]}[]}} Kept
 */

const RETRY_MS = 5000;
const CHECK_MS = 400;
// Seconds until the next attempt, for an answer that does not say it.
const PAUSE = 5;
// The draft can change in another window between an answer and the next request.
const MAX_ATTEMPTS = 5;
// Answers that are the same for every change of this user now, but may be another one later.
const DENIED = [402, 403, 404, 405, 410];
// Answers below 500 to a change that can succeed in another attempt.
const TEMPORARY = [401, 408, 409, 425, 429];
const NO_CHANGE = { form: undefined, action: undefined };

export class InvalidChangeError extends Error {
  /**
   * @param {string} message
   * @param {{[field: string]: string}} errors
   */
  constructor(message, errors) {
    super(message);
    this.errors = errors;
  }
}

/**
 * Events: "document" (it has changed, here or elsewhere), "state" (the server has answered), "save" (the state of
 * saving), "conflict" (detail: what both sides changed), "invalid" (detail: a message), "findings",
 * "replaced" (a form has replaced the condition of another window), "drop" (changes that could not be sent are discarded).
 */
export class Session extends EventTarget {
  /**
   * @param {Start} start
   * @param {import("./tiles.js").Tiles} tiles
   */
  constructor(start, tiles) {
    super();
    this.start = start;
    this.tiles = tiles;
    /** The document as it is shown. */
    this.document = start.document;
    /** The document that the server has. */
    this.saved = { base: start.base, document: start.document };
    /** @type {State | undefined} */
    this.state = undefined;
    /** @type {Finding[]} */
    this.findings = [];
    this.sampleKey = `editor-sample:${start.account}:${start.operations}`;
    this.view = { size: "default", ...this.readSample() };
    /** @type {SaveState} */
    this.saveState = "saved";
    /** How many changes of the document the server does not have. */
    this.edits = 0;
    this.failure = "";
    /** Whether the last attempt has failed, also while the next one is on its way. */
    this.hasFailed = false;
    this.change = "";
    /** How often this page has moved layers: an answer to an earlier request shows them where they were. */
    this.moves = 0;
    /** @type {Promise<void>} */
    this.queue = Promise.resolve();
    this.isQueued = false;
    /** Forms and actions in their order: what is changed later is sent after them. */
    /** @type {Waiting[]} */
    this.waiting = [];
    this.checkTimer = 0;
    this.retryTimer = 0;
    // Those of another account in this browser are not this one's.
    this.storagePrefix = `editor:${start.account}:${start.operations}`;
    // Of each page, so that two of them do not send the same change. Locks need HTTPS: without it, pages share a key.
    this.storageKey = navigator.locks ? `${this.storagePrefix}:${crypto.randomUUID()}` : this.storagePrefix;
    addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.refresh();
    });
    addEventListener("beforeunload", (event) => {
      if (this.unsent && this.saveState !== "saved") event.preventDefault();
    });
  }

  /** The forms that the server does not have yet. */
  get forms() {
    return this.waiting.filter((each) => each.form);
  }

  /** How many changes the server does not have. */
  get unsent() {
    return this.edits + this.forms.length;
  }

  /** Whether changes could not be sent, for another reason than the connection. */
  get canDrop() {
    return this.hasFailed && this.unsent > 0;
  }

  /** Show the draft; continue with changes that an earlier visit could not send. */
  async open() {
    const { locks } = navigator;
    locks?.request(this.storageKey, () => new Promise(() => {}));
    for (const key of this.findKept()) {
      const takeOver = () => this.takeOver(key);
      // A page has the lock of its key until it is closed.
      if (locks) locks.request(key, takeOver);
      else takeOver();
    }
    await this.refresh();
  }

  /**
   * Make the changes that a closed page has stored those of this one.
   * @param {string} key
   */
  takeOver(key) {
    const kept = this.readKept(key);
    if (!kept) return;
    const shown = this.document;
    const merge = (/** @type {any} */ mine) => mergeDocuments(kept.base, mine, /** @type {any} */ (shown));
    const merged = merge(kept.document);
    this.document = /** @type {TemplateDocument} */ (merged.document);
    let before = kept.base;
    for (const { operations, ...each } of kept.forms ?? []) {
      before = applyOperations(before, operations ?? []);
      this.waiting.push({ ...each, before: /** @type {any} */ (merge(before).document) });
    }
    if (!isEqual(kept.base, kept.document)) this.edits++;
    this.change = "changes made offline";
    this.removeKept(key);
    this.store();
    if (this.saveState === "saved") this.setSaveState("saving");
    if (merged.conflicts.length) this.emit("conflict", merged.conflicts);
    this.emit("document");
    this.refresh();
  }

  /**
   * Change the document.
   * @param {string} name names the change; quick successive changes of the same name are one step
   * @param {TemplateDocument} document the changed document
   * @param {{moves?: boolean}} options moves: the stage shows it already
   */
  edit(name, document, { moves = false } = {}) {
    if (isEqual(/** @type {any} */ (document), /** @type {any} */ (this.document))) return;
    if (moves) this.moves++;
    this.document = document;
    this.change = name.slice(0, 100);
    this.edits++;
    // It can wait for a request that is on its way, as a check of the image.
    if (this.saveState === "saved") this.setSaveState("saving");
    this.emit("document");
    this.refresh();
  }

  /** Send what has changed, and ask for what is shown. Requests of the meantime are one. */
  refresh() {
    if (this.isQueued) return this.queue;
    this.isQueued = true;
    return this.enqueue(() => {
      this.isQueued = false;
      return this.sendChanges();
    });
  }

  /**
   * Do something with the draft: undo, redo, publish or discard.
   * @param {string} action
   * @returns {Promise<boolean>} whether the server has done it
   */
  act(action) {
    const waiting = { before: this.document };
    this.waiting.push(waiting);
    this.isQueued = false;
    return this.enqueue(async () => {
      const isSent = await this.sendChanges({ isQuiet: true }).finally(() => this.remove(waiting));
      return isSent && Boolean(await this.post({ action }, this.saved.document));
    });
  }

  /**
   * Discard the draft. What could not be sent would be refused again, and is dropped.
   * @returns {Promise<boolean>} whether nothing is left
   */
  async discard() {
    if (this.canDrop) {
      for (const each of this.forms) each.resolve?.(undefined);
      this.waiting = this.waiting.filter((each) => !each.form);
      this.revert();
      this.emit("drop");
    }
    return !this.state?.hasDraft || this.act("discard");
  }

  /**
   * Send a form of the designer. Until the server answers it waits, like changes of the document.
   * @param {{[field: string]: string}} form
   * @param {string[]} changed the names of what the user has changed
   * @param {string} layer the selected layer
   * @param {string} key names the form if a later one with the same changes replaces it
   * @returns {Promise<State | undefined>} undefined if a later one has replaced it
   */
  submit(form, changed, layer, key = "") {
    const request = { form, changed, layer, size: this.view.size };
    /** @type {Waiting} */
    const waiting = { before: this.document, form: request, key };
    const answer = /** @type {Promise<State | undefined>} */ (new Promise((resolve, reject) => Object.assign(waiting, { resolve, reject })));
    const lastAction = this.waiting.map((each) => Boolean(each.form)).lastIndexOf(false);
    for (const each of this.waiting.slice(lastAction + 1)) {
      const { layer: other, size, changed: names } = /** @type {FormRequest} */ (each.form);
      if (!key || each.key !== key || other !== layer || size !== request.size || !names.every((name) => changed.includes(name))) continue;
      this.remove(each);
      each.resolve?.(undefined);
    }
    this.waiting.push(waiting);
    this.isQueued = false;
    this.setSaveState(this.saveState === "saved" ? "saving" : this.saveState);
    this.enqueue(() => this.sendChanges({ isQuiet: true }));
    return answer;
  }

  /** @param {Partial<{size: string, feed: string | null, row: number}>} view */
  show(view) {
    Object.assign(this.view, view);
    this.keepSample();
    return this.refresh();
  }

  readSample() {
    try {
      return readSampleRow(localStorage.getItem(this.sampleKey), this.start.feeds);
    } catch {
      return readSampleRow(null, []);
    }
  }

  /** Remember the row for the next visit. */
  keepSample() {
    const { feed, row } = this.view;
    try {
      if (feed) localStorage.setItem(this.sampleKey, JSON.stringify({ feed, row }));
      else localStorage.removeItem(this.sampleKey);
    } catch {
      // Without storage, the next visit begins with the default values.
    }
  }

  retry() {
    if (this.saveState === "offline" || this.saveState === "failed") this.refresh();
  }

  /**
   * Continue after the user has signed in again: the new session has another token.
   * @returns {Promise<string>} why that is not possible, if so
   */
  async resume() {
    const { token, account } = await readPage(this.start.page);
    if (!token) return _("You are still signed out. Sign in first, in the other tab.");
    // The changes would be saved in the name of a user who has not made them.
    if (account !== this.start.account) return _("You signed in with another account. Sign in with the one that made the changes.");
    this.start.csrf = token;
    this.setSaveState("saving");
    await this.refresh();
    return "";
  }

  /**
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  enqueue(work) {
    const result = this.queue.then(work);
    this.queue = result.then(() => undefined, () => undefined);
    return result;
  }

  /**
   * Send what the server does not have yet, in its order, up to an action that waits.
   * @param {{isQuiet?: boolean}} options isQuiet: send nothing if there is no difference
   * @returns {Promise<boolean>} whether everything is sent
   */
  async sendChanges({ isQuiet = false } = {}) {
    while (this.waiting[0]?.form) if (!(await this.sendForm(this.waiting[0]))) return false;
    return this.sendOperations({ isQuiet });
  }

  /**
   * Send the first form that waits, and what was changed before it.
   * @param {Waiting} waiting
   * @returns {Promise<boolean>} whether it does not wait any more
   */
  async sendForm(waiting) {
    const form = /** @type {FormRequest} */ (waiting.form);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      if (!(await this.sendOperations({ isQuiet: true }))) return false;
      if (this.waiting[0] !== waiting) return true;
      try {
        const state = await this.post(form, this.saved.document);
        if (state === null) return false;
        if (!state) continue;
        // The following forms of the layer are about it by its new name.
        const { do: change } = form.form;
        for (const { form: other } of this.forms) {
          if (!other || other === form || other.layer !== form.layer) continue;
          if (change === "properties") other.layer = state.layer;
          // It has shown the condition before this one.
          if (change === "condition" && other.form.do === change) other.form.was = state.condition ?? "";
        }
        if (state.replaced) this.emit("replaced");
        waiting.resolve?.(state);
      } catch (error) {
        if (waiting.reject) waiting.reject(error);
        else this.emit("invalid", /** @type {Error} */ (error).message);
      }
      this.remove(waiting);
      this.showSaved();
      if (form.size !== this.view.size) this.refresh();
      return true;
    }
    this.keep("failed");
    return false;
  }

  /** @param {Waiting} waiting */
  remove(waiting) {
    this.waiting = this.waiting.filter((each) => each !== waiting);
  }

  /**
   * Send the difference to the server's document, again until there is none.
   * @param {{isQuiet?: boolean}} options isQuiet: send nothing if there is no difference
   * @returns {Promise<boolean>} whether everything is sent
   */
  async sendOperations({ isQuiet = false } = {}) {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const sent = this.waiting[0]?.before ?? this.document;
      const operations = /** @type {any[]} */ (findOperations(/** @type {any} */ (this.saved.document), sent));
      if (!operations.length && isQuiet) return true;
      const count = this.edits;
      const state = await this.post({ operations, change: this.change }, sent);
      if (state === null) return false;
      if (state && !this.forms.length) this.edits = Math.max(this.edits - count, 0);
      if (state && isEqual(this.saved.document, this.waiting[0]?.before ?? this.document)) break;
    }
    if (this.isSent) this.forget();
    return true;
  }

  get isSent() {
    return !this.forms.length && isEqual(/** @type {any} */ (this.document), /** @type {any} */ (this.saved.document));
  }

  /** Show that nothing waits any more. */
  showSaved() {
    if (!this.isSent) return;
    this.forget();
    this.setSaveState("saved");
  }

  /**
   * @param {Request} request
   * @param {TemplateDocument} sent the document that the server has after it
   * @returns {Promise<State | null | undefined>} null: it could not be sent; undefined: send again
   */
  async post(request, sent = this.document) {
    const isChange = request.operations?.length || request.form || request.action;
    if (isChange) this.setSaveState("saving");
    const body = { ...NO_CHANGE, ...this.view, ...request, base: this.saved.base, have: this.tiles.digests() };
    const moves = this.moves;
    let response;
    try {
      response = await this.request(body);
    } catch {
      return this.keep("offline");
    }
    if (!response || response.redirected) return this.keep("signed-out");
    const { status } = response;
    if (status === 422) return this.refuse(await response.json(), request);
    if (status !== 200 && (status !== 409 || isJson(response))) {
      const detail = await explain(response);
      const isTemporary = status < 400 || status >= 500 || TEMPORARY.includes(status);
      if (isTemporary || DENIED.includes(status)) return this.keep("failed", detail, isTemporary);
      return this.refuse({ detail }, request);
    }
    const form = await response.formData();
    await this.tiles.add(form);
    const state = /** @type {State} */ (JSON.parse(await text(form.get("state"))));
    const isConflict = response.status === 409;
    return this.receive(state, sent, { isConflict, isChange: Boolean(isChange), isCurrent: moves === this.moves });
  }

  /**
   * Send a request, again as long as there are too many of them, or with the token of a new session. What is changed
   * meanwhile follows with the next one.
   * @param {Request} body
   * @returns {Promise<Response | undefined>} undefined if the session is not that of the account any more
   */
  async request(body) {
    for (;;) {
      const response = await fetch(this.start.operations, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRF-Token": this.start.csrf },
        body: JSON.stringify(body),
      });
      if (response.status === 400) {
        const { token, account } = await readPage(this.start.page);
        if (!token || account !== this.start.account) return undefined;
        if (token === this.start.csrf) return response;
        this.start.csrf = token;
        continue;
      }
      if (response.status !== 429) return response;
      const seconds = Number(response.headers.get("Retry-After")) || PAUSE;
      this.failure = _("Too many changes, next try in %(seconds)s s", { seconds });
      this.store();
      this.setSaveState("failed");
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  }

  /**
   * @param {State} state
   * @param {TemplateDocument} sent
   * @param {{isConflict: boolean, isChange: boolean, isCurrent: boolean}} is whether the server has refused the change;
   *   whether there was one; whether the stage has moved no layer since
   * @returns {State | undefined}
   */
  receive(state, sent, { isConflict, isChange, isCurrent }) {
    const theirs = state.document ?? sent;
    const base = isConflict ? this.saved.document : sent;
    const merged = mergeDocuments(base, this.document, /** @type {any} */ (theirs));
    const isForeign = !isChange && state.base !== this.saved.base;
    this.saved = { base: state.base, document: theirs };
    const merge = (/** @type {TemplateDocument} */ mine) => mergeDocuments(base, mine, /** @type {any} */ (theirs)).document;
    for (const each of this.waiting) each.before = /** @type {TemplateDocument} */ (merge(each.before));
    const document = /** @type {TemplateDocument} */ (merged.document);
    const isOther = !isEqual(document, this.document);
    this.document = document;
    if (isConflict || isForeign) this.emit("conflict", merged.conflicts);
    if (isConflict) {
      this.emit("document");
      return undefined;
    }
    this.state = state;
    this.hasFailed = false;
    if (this.isSent) this.setSaveState("saved");
    if (isOther) this.emit("document");
    if (isCurrent) this.emit("state", state);
    this.checkLater();
    return state;
  }

  /**
   * The server refuses a change: go back to what it has.
   * @param {{detail: string, errors?: {[field: string]: string}}} problem
   * @param {Request} request
   * @returns {State | null}
   */
  refuse(problem, request) {
    if (request.form) throw new InvalidChangeError(problem.detail, problem.errors ?? {});
    this.emit("invalid", problem.detail);
    this.revert();
    if (this.forms.length) this.refresh();
    return null;
  }

  /** Show the document that the server has. */
  revert() {
    this.document = this.saved.document;
    for (const each of this.waiting) each.before = this.document;
    this.edits = 0;
    this.showSaved();
    this.emit("document");
    if (this.state) this.emit("state", this.state);
  }

  /** Ask for the findings of the image once nothing has changed for a moment. */
  checkLater() {
    clearTimeout(this.checkTimer);
    this.checkTimer = setTimeout(() => this.enqueue(() => this.check()), CHECK_MS);
  }

  async check() {
    const body = { ...this.view, base: this.saved.base, have: this.tiles.digests(), checks: true };
    try {
      const response = await fetch(this.start.operations, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRF-Token": this.start.csrf },
        body: JSON.stringify(body),
      });
      if (!response.ok || response.redirected) return;
      const state = JSON.parse(await text((await response.formData()).get("state")));
      if (state.base !== this.saved.base) return;
      this.findings = state.findings ?? [];
      this.emit("findings");
    } catch {
      // The next change asks again.
    }
  }

  /**
   * @param {SaveState} saveState
   * @param {string} failure
   * @param {boolean} retries whether to send it again after a while, and not only with the next change
   * @returns {null}
   */
  keep(saveState, failure = "", retries = saveState !== "signed-out") {
    this.failure = failure;
    this.hasFailed = saveState === "failed";
    this.setSaveState(saveState);
    this.store();
    clearTimeout(this.retryTimer);
    if (retries) this.retryTimer = setTimeout(() => this.retry(), RETRY_MS);
    return null;
  }

  /** Store what the server does not have yet in the browser. */
  store() {
    if (this.isSent) return;
    let last = this.saved.document;
    const forms = this.forms.map(({ form, key, before }) => {
      const operations = findOperations(last, before);
      last = before;
      return { form, key, operations };
    });
    /** @type {Kept} */
    const kept = { base: this.saved.document, document: this.document, forms };
    try {
      localStorage.setItem(this.storageKey, JSON.stringify(kept));
    } catch {
      // The page still has the changes, and warns before it is closed.
    }
  }

  /** Return the keys of what pages of this editor have stored. */
  findKept() {
    try {
      const keys = Array.from({ length: localStorage.length }, (_, at) => localStorage.key(at) ?? "");
      return keys.filter((key) => key === this.storagePrefix || key.startsWith(`${this.storagePrefix}:`));
    } catch {
      return [];
    }
  }

  /**
   * @param {string} key
   * @returns {Kept | null}
   */
  readKept(key) {
    try {
      return JSON.parse(localStorage.getItem(key) ?? "null");
    } catch {
      return null;
    }
  }

  forget() {
    this.edits = 0;
    this.removeKept(this.storageKey);
  }

  /** @param {string} key */
  removeKept(key) {
    try {
      localStorage.removeItem(key);
    } catch {
      // There is nothing to remove without storage.
    }
  }

  /** @param {SaveState} saveState */
  setSaveState(saveState) {
    this.saveState = saveState;
    this.emit("save");
  }

  /**
   * @param {string} type
   * @param {any} [detail]
   */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @param {FormDataEntryValue | null} part */
function text(part) {
  return part instanceof Blob ? part.text() : Promise.resolve(part ?? "");
}

/** @param {Response} response */
function isJson(response) {
  return (response.headers.get("Content-Type") ?? "").includes("json");
}

/** @param {Response} response */
async function explain(response) {
  const { status } = response;
  if (status === 402) return _("The workspace is read-only");
  if (status === 403) return _("You may no longer edit this template");
  if (status === 404) return _("The template no longer exists");
  if (isJson(response)) return (await response.json()).detail ?? "";
  return _("The server answered %(status)s", { status });
}

/**
 * Read the token of the session, and its account, from the page as it is now.
 * @param {string} url
 * @returns {Promise<{token?: string, account?: string}>} nothing if the user is signed out
 */
async function readPage(url) {
  const response = await fetch(url, { headers: { Accept: "text/html" } });
  const page = await response.text();
  if (response.redirected) return {};
  const [token, account] = ["csrf", "account"].map((key) => new RegExp(`"${key}": "([0-9a-f-]+)"`).exec(page)?.[1]);
  return { token, account };
}

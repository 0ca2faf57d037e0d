// Changes of JSON documents: their difference as JSON Patch (RFC 6902), and the merge of two people's changes.
// Entries of lists that have names (layers, fields, sizes) are compared by name, others as a whole.

/** @typedef {any} Json anything that JSON can say */
/** @typedef {{[key: string]: Json}} JsonObject */
/** @typedef {JsonObject & {name: string}} Named */
/** @typedef {{op: "add" | "replace" | "remove", path: string, value?: Json}} Operation */
/** @typedef {{document: JsonObject, conflicts: string[]}} Merge */

/**
 * @param {Json | undefined} value
 * @returns {value is JsonObject}
 */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param {Json | undefined} value
 * @returns {value is Named[]}
 */
function isNamedList(value) {
  if (!Array.isArray(value)) return false;
  const names = value.map((each) => (isObject(each) && typeof each.name === "string" ? each.name : null));
  return !names.includes(null) && new Set(names).size === names.length;
}

/**
 * @param {Json | undefined} a
 * @param {Json | undefined} b
 * @returns {boolean}
 */
export function isEqual(a, b) {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((each, at) => isEqual(each, b[at]));
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isEqual(a[key], b[key]));
}

/** @param {string} key */
function escapeKey(key) {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}

/**
 * Return the operations that turn a document into another one.
 * @param {Json} from
 * @param {Json} to
 * @returns {Operation[]}
 */
export function findOperations(from, to, path = "") {
  if (isEqual(from, to)) return [];
  if (isNamedList(from) && isNamedList(to)) return findListOperations(from, to, path);
  if (!isObject(from) || !isObject(to)) return [{ op: "replace", path, value: to }];
  /** @type {Operation[]} */
  const operations = [];
  for (const key of Object.keys(from)) {
    if (!Object.hasOwn(to, key)) operations.push({ op: "remove", path: `${path}/${escapeKey(key)}` });
  }
  for (const [key, value] of Object.entries(to)) {
    const inner = `${path}/${escapeKey(key)}`;
    if (!Object.hasOwn(from, key)) operations.push({ op: "add", path: inner, value });
    else operations.push(...findOperations(from[key], value, inner));
  }
  return operations;
}

/**
 * @param {Named[]} from
 * @param {Named[]} to
 * @param {string} path
 * @returns {Operation[]}
 */
function findListOperations(from, to, path) {
  /** @type {Operation[]} */
  const operations = [];
  const kept = new Set(to.map((each) => each.name));
  const list = [...from];
  for (let at = list.length - 1; at >= 0; at--) {
    if (kept.has(list[at].name)) continue;
    operations.push({ op: "remove", path: `${path}/${at}` });
    list.splice(at, 1);
  }
  to.forEach((target, at) => {
    if (list[at]?.name !== target.name) {
      const old = list.findIndex((each) => each.name === target.name);
      if (old >= 0) {
        operations.push({ op: "remove", path: `${path}/${old}` });
        list.splice(old, 1);
      }
      operations.push({ op: "add", path: `${path}/${at}`, value: target });
      list.splice(at, 0, target);
    } else {
      operations.push(...findOperations(list[at], target, `${path}/${at}`));
    }
  });
  return operations;
}

/**
 * Return a document after operations that `findOperations` has found.
 * @param {Json} document
 * @param {Operation[]} operations
 * @returns {Json}
 */
export function applyOperations(document, operations) {
  /** @type {JsonObject} */
  const root = { "": structuredClone(document) };
  for (const { op, path, value } of operations) {
    const keys = path.split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = /** @type {string} */ (keys.pop());
    const target = keys.reduce((part, key) => part[key], root);
    if (Array.isArray(target)) target.splice(Number(last), op === "add" ? 0 : 1, ...(op === "remove" ? [] : [value]));
    else if (op === "remove") delete target[last];
    // A name can be that of a property of all objects.
    else Object.defineProperty(target, last, { value, writable: true, enumerable: true, configurable: true });
  }
  return root[""];
}

/**
 * Merge two documents that were made from the same one. Where both changed a value, mine is kept and named a conflict.
 * @param {JsonObject} base
 * @param {JsonObject} mine
 * @param {JsonObject} theirs
 * @returns {Merge}
 */
export function mergeDocuments(base, mine, theirs) {
  /** @type {string[]} */
  const conflicts = [];
  return { document: mergeObjects(base, mine, theirs, "", conflicts), conflicts };
}

/**
 * @param {Json | undefined} base
 * @param {Json | undefined} mine
 * @param {Json | undefined} theirs
 * @param {string} label
 * @param {string[]} conflicts
 * @returns {Json | undefined}
 */
function mergeValues(base, mine, theirs, label, conflicts) {
  if (isEqual(mine, base)) return theirs;
  if (isEqual(theirs, base) || isEqual(mine, theirs)) return mine;
  if (isObject(mine) && isObject(theirs)) return mergeObjects(isObject(base) ? base : {}, mine, theirs, label, conflicts);
  if (isNamedList(mine) && isNamedList(theirs)) {
    return mergeLists(isNamedList(base) ? base : [], mine, theirs, label, conflicts);
  }
  conflicts.push(label);
  // What one of them removed and the other changed stays, with the change.
  return mine === undefined ? theirs : mine;
}

/**
 * @param {JsonObject} base
 * @param {JsonObject} mine
 * @param {JsonObject} theirs
 * @param {string} label
 * @param {string[]} conflicts
 * @returns {JsonObject}
 */
function mergeObjects(base, mine, theirs, label, conflicts) {
  // Names of layers are keys, and can be those of properties of all objects.
  const [old, own, other] = [base, mine, theirs].map((each) => new Map(Object.entries(each)));
  /** @type {[string, Json][]} */
  const merged = [];
  for (const key of new Set([...other.keys(), ...own.keys()])) {
    const value = mergeValues(old.get(key), own.get(key), other.get(key), label ? `${label}: ${key}` : key, conflicts);
    if (value !== undefined) merged.push([key, value]);
  }
  return Object.fromEntries(merged);
}

/**
 * @param {Named[]} base
 * @param {Named[]} mine
 * @param {Named[]} theirs
 * @param {string} label
 * @param {string[]} conflicts
 * @returns {Named[]}
 */
function mergeLists(base, mine, theirs, label, conflicts) {
  /** @param {Named[]} list */
  const byName = (list) => new Map(list.map((each) => [each.name, each]));
  const [old, own, other] = [byName(base), byName(mine), byName(theirs)];
  /** @param {Named[]} list */
  const shared = (list) => list.map((each) => each.name).filter((name) => old.has(name));
  // The order of the one who changed it. What only the other one has is behind the entry that it is behind there.
  const isMoved = !isEqual(shared(mine), shared(base).filter((name) => own.has(name)));
  const [leading, following] = isMoved ? [mine, theirs] : [theirs, mine];
  const names = leading.map((each) => each.name);
  following.forEach((each, at) => {
    if (names.includes(each.name)) return;
    const before = at ? names.indexOf(following[at - 1].name) : -1;
    names.splice(before + 1, 0, each.name);
  });
  /** @type {Named[]} */
  const merged = [];
  for (const name of names) {
    const value = mergeValues(old.get(name), own.get(name), other.get(name), name || label, conflicts);
    if (value !== undefined) merged.push(/** @type {Named} */ (value));
  }
  return merged;
}

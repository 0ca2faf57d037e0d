// Fields as layers: what the template's fields and the feed's columns offer, and elements that show them. No DOM.

/** @typedef {import("./model.js").Layer} Layer */
/** @typedef {import("./model.js").TemplateDocument} TemplateDocument */
/** @typedef {TemplateDocument["fields"][number]} Field */
/**
 * A field that an element shows: its name with a `$` stands for that of the field in the element. `also` are other
 * names of it. Only an element whose needed fields the feed has shows fields.
 * @typedef {Field & {also?: string[], isNeeded?: boolean}} Role
 */
/** @typedef {{fields: Role[], layer: Layer, computed?: {name: string, value: string}[]}} BoundElement */

// Values of these types are no text or image of their own.
const WITHOUT_LAYER = new Set(["boolean", "color", "list"]);
const HEADLINES = new Set(["title", "name", "headline"]);

/**
 * Return the fields that can be placed: those of the template, then those that the feed's columns offer.
 * @param {TemplateDocument} document
 * @param {Field[]} columns
 * @returns {(Field & {isNew: boolean})[]}
 */
export function findOffers(document, columns) {
  const names = new Set([...document.fields, ...(document.computed ?? [])].map((each) => each.name));
  return [
    ...document.fields.map((field) => ({ ...field, isNew: false })),
    ...columns.filter((each) => !names.has(each.name)).map((field) => ({ ...field, isNew: true })),
  ].filter(({ type }) => !WITHOUT_LAYER.has(type));
}

/**
 * Add a field to a template, unless it has one of this name.
 * @param {TemplateDocument} document a copy, which changes
 * @param {Field} field
 */
export function addField(document, { name, label, type, default: value }) {
  if (document.fields.some((each) => each.name === name)) return;
  document.fields.push({ name, label, type, default: value });
}

/**
 * Return a layer that shows a field, for a canvas of 1080 × 1080.
 * @param {Field} field
 * @returns {Layer}
 */
export function layerOf({ name, label, type }) {
  const binding = `{{ ${name} }}`;
  if (type === "image") return /** @type {any} */ ({ type: "image", name: label, width: 560, height: 560, source: binding });
  const text = { type: "text", name: label, text: binding, color: "#1f2937" };
  if (HEADLINES.has(name)) return /** @type {any} */ ({ ...text, width: 760, height: 180, size: 72, min_size: 36, weight: 800, line_height: 1.15, max_lines: 2 });
  if (type === "money") return /** @type {any} */ ({ ...text, width: 420, height: 90, size: 64, weight: 700 });
  return /** @type {any} */ ({ ...text, width: 600, height: 150, size: 36, min_size: 20, line_height: 1.3, max_lines: 3 });
}

/**
 * Return an element whose texts show fields, and add to a template what these need. An element of fields that neither
 * the template nor the chosen feed has keeps its own texts.
 * @param {TemplateDocument} document a copy, which changes
 * @param {Field[] | null} columns what the columns of the chosen feed offer; null without a feed
 * @param {{layer: Layer, bound?: BoundElement}} element
 * @returns {Layer}
 */
export function bindElement(document, columns, { layer, bound }) {
  if (!bound) return structuredClone(layer);
  const found = new Map(bound.fields.map((role) => [role.name, findField(document, columns ?? [], role)]));
  if (columns && bound.fields.some(({ name, isNeeded }) => isNeeded && !found.get(name))) return structuredClone(layer);
  /** @type {Map<string, string>} */
  const names = new Map();
  for (const role of bound.fields) {
    const field = found.get(role.name) ?? role;
    addField(document, field);
    names.set(role.name, field.name);
  }
  for (const { name, value } of bound.computed ?? []) names.set(name, compute(document, name, rename(value, names)));
  return rename(bound.layer, names);
}

/**
 * @param {TemplateDocument} document
 * @param {Field[]} columns
 * @param {Role} role
 */
function findField(document, columns, { name, also = [] }) {
  const names = [name, ...also];
  return [...document.fields, ...columns].find((each) => names.includes(each.name));
}

/**
 * Return the name of a computed field with an expression; add one if there is none.
 * @param {TemplateDocument} document a copy, which changes
 * @param {string} wanted
 * @param {string} value
 */
function compute(document, wanted, value) {
  const own = document.computed?.find((each) => each.value === value);
  if (own) return own.name;
  const taken = new Set([...document.fields, ...(document.computed ?? [])].map((each) => each.name));
  let name = wanted;
  for (let number = 2; taken.has(name); number++) name = `${wanted}_${number}`;
  document.computed = [...(document.computed ?? []), { name, value }];
  return name;
}

/**
 * Return a copy of a JSON value with the names of fields in the place of `$` and their roles.
 * @template T
 * @param {T} value
 * @param {Map<string, string>} names
 * @returns {T}
 */
function rename(value, names) {
  return JSON.parse(JSON.stringify(value).replace(/\$([a-z_]+)/g, (all, role) => names.get(role) ?? all));
}

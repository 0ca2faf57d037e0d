// Translations: the page contains those of its scripts, in its language; in English there are none.

// Without a prototype: a message can be the name of a method of Object.
/** @type {{[message: string]: string | string[]}} */
const messages = Object.create(null);
for (const script of globalThis.document?.querySelectorAll?.("script[data-messages]") ?? []) {
  Object.assign(messages, JSON.parse(script.textContent ?? "{}"));
}
const language = globalThis.document?.documentElement?.lang || "en";

/**
 * Translate a message.
 * @param {string} message in English, a literal, so that it is extracted
 * @param {{[name: string]: string | number}} values replace `%(name)s`
 */
export function _(message, values = {}) {
  return fill(String(messages[message] ?? message), values);
}

/**
 * Translate a message with a number, which replaces `%(count)s`.
 * @param {string} singular
 * @param {string} plural
 * @param {number} count
 * @param {{[name: string]: string | number}} values replace `%(name)s`
 */
export function ngettext(singular, plural, count, values = {}) {
  const forms = messages[singular] ?? [singular, plural];
  const isOne = new Intl.PluralRules(language).select(count) === "one";
  return fill(forms[isOne ? 0 : 1], { count: formatNumber(count), ...values });
}

/**
 * Write a name as within a sentence: without capital letters, but for German nouns.
 * @param {string} name
 */
export function inSentence(name) {
  return language.startsWith("de") ? name : name.toLowerCase();
}

/** @param {number} number */
export function formatNumber(number) {
  return number.toLocaleString(language);
}

/**
 * @param {string} text
 * @param {{[name: string]: string | number}} values
 */
function fill(text, values) {
  return text.replace(/%\((\w+)\)s/g, (placeholder, name) => String(values[name] ?? placeholder));
}

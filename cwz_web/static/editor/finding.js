// Search in the entries of the command palette. No DOM.

/**
 * What the palette lists.
 * @typedef {{label: string, group: string, keys?: string, run: () => void}} Entry
 */

/**
 * Return the entries that have all words of a query, the best ones first.
 * @param {Entry[]} entries
 * @param {string} query
 * @param {number} limit
 */
export function findEntries(entries, query, limit) {
  const words = fold(query).split(/\s+/).filter(Boolean);
  const ranked = entries.flatMap((entry, at) => {
    const rank = rankOf(entry, words);
    return rank < 0 ? [] : [{ entry, rank, at }];
  });
  return ranked.sort((a, b) => b.rank - a.rank || a.at - b.at).slice(0, limit).map((each) => each.entry);
}

/**
 * Return how well an entry fits; -1 if it does not.
 * @param {Entry} entry
 * @param {string[]} words
 */
function rankOf({ label, group }, words) {
  const [name, all] = [fold(label), `${fold(label)} ${fold(group)}`];
  let rank = 0;
  for (const word of words) {
    if (!all.includes(word)) return -1;
    rank += name.startsWith(word) ? 3 : name.includes(` ${word}`) ? 2 : name.includes(word) ? 1 : 0;
  }
  return rank;
}

/**
 * Return a text without case and accents.
 * @param {string} text
 */
function fold(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

// The row of a feed that the editor shows, which each browser remembers for a template. No DOM.

/** @typedef {{feed: string | null, row: number}} SampleRow */

/**
 * Return the remembered row, or the default values if its feed is gone.
 * @param {string | null} text what was stored
 * @param {{id: string, rows: number}[]} feeds
 * @returns {SampleRow}
 */
export function readSampleRow(text, feeds) {
  let stored;
  try {
    stored = JSON.parse(text ?? "null");
  } catch {
    stored = null;
  }
  const feed = feeds.find((each) => each.id === stored?.feed);
  if (!feed) return { feed: null, row: 1 };
  const row = Math.trunc(Number(stored.row)) || 1;
  return { feed: feed.id, row: Math.min(Math.max(row, 1), Math.max(feed.rows, 1)) };
}

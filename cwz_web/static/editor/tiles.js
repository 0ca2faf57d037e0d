// Tiles that the server has rendered, decoded and kept by digest.

const MAX_PIXELS = 60_000_000;
// The most tiles that a request names.
const MAX_KNOWN = 400;
const DIGEST = /^[0-9a-f]{32}$/;

export class Tiles {
  constructor() {
    /** @type {Map<string, ImageBitmap>} the most recently used last */
    this.bitmaps = new Map();
  }

  digests() {
    return [...this.bitmaps.keys()].slice(-MAX_KNOWN);
  }

  /** @param {string} digest */
  get(digest) {
    const bitmap = this.bitmaps.get(digest);
    if (bitmap) {
      this.bitmaps.delete(digest);
      this.bitmaps.set(digest, bitmap);
    }
    return bitmap;
  }

  /**
   * Decode the tiles of an answer.
   * @param {FormData} form
   */
  async add(form) {
    /** @type {Promise<void>[]} */
    const decoded = [];
    for (const [digest, file] of form.entries()) {
      if (!DIGEST.test(digest) || !(file instanceof Blob)) continue;
      const options = /** @type {const} */ ({ premultiplyAlpha: "default", colorSpaceConversion: "none" });
      decoded.push(createImageBitmap(file, options).then((bitmap) => void this.bitmaps.set(digest, bitmap)));
    }
    await Promise.all(decoded);
  }

  /**
   * Forget the tiles that were not used for the longest time, except for those that are shown.
   * @param {Set<string>} shown
   */
  prune(shown) {
    let pixels = 0;
    for (const bitmap of this.bitmaps.values()) pixels += bitmap.width * bitmap.height;
    for (const [digest, bitmap] of this.bitmaps) {
      if (pixels <= MAX_PIXELS) return;
      if (shown.has(digest)) continue;
      pixels -= bitmap.width * bitmap.height;
      bitmap.close();
      this.bitmaps.delete(digest);
    }
  }
}

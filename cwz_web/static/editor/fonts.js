// Fonts of the product and of the workspace, loaded into the page as far as they are shown.

/**
 * A font: `files` are URLs by weight, such as "700" and "700 italic".
 * @typedef {{reference: string, name: string, isUploaded: boolean, files: {[weight: string]: string}, scripts: string[]}} Font
 */

export class Fonts {
  /** @param {string} address where the list is */
  constructor(address) {
    this.address = address;
    /** @type {Promise<Font[]> | undefined} */
    this.list = undefined;
    /** @type {Map<string, Promise<void>>} */
    this.loaded = new Map();
  }

  /** Return all fonts; none while there is no connection. */
  async all() {
    this.list ??= fetch(this.address).then(async (response) => (await response.json()).fonts);
    try {
      return await this.list;
    } catch {
      this.list = undefined;
      return [];
    }
  }

  /** @param {string} reference */
  async find(reference) {
    return (await this.all()).find((font) => font.reference === reference);
  }

  /**
   * Load a font, so that texts of the family `familyOf(reference)` are shown in it.
   * @param {string} reference
   * @param {number} weight
   * @param {boolean} isItalic
   */
  async load(reference, weight = 400, isItalic = false) {
    const font = await this.find(reference);
    if (!font) return;
    const file = nearestFile(font, weight, isItalic);
    if (!file) return;
    const key = `${reference} ${file}`;
    let loading = this.loaded.get(key);
    if (!loading) {
      const isOnly = font.isUploaded;
      const descriptors = isOnly ? { weight: "1 1000" } : { weight: String(parseInt(file, 10)), style: file.endsWith("italic") ? "italic" : "normal" };
      loading = new FontFace(familyOf(reference), `url("${font.files[file]}")`, descriptors).load().then(
        (face) => void document.fonts.add(face),
        () => void this.loaded.delete(key),
      );
      this.loaded.set(key, loading);
    }
    await loading;
  }
}

/**
 * Return the weight of a font's file that is closest to one, in the same style if there is one.
 * @param {Font} font
 * @param {number} weight
 * @param {boolean} isItalic
 */
function nearestFile(font, weight, isItalic) {
  const keys = Object.keys(font.files);
  const ofStyle = keys.filter((key) => key.endsWith("italic") === isItalic);
  const distance = (/** @type {string} */ key) => Math.abs(parseInt(key, 10) - weight);
  return [...(ofStyle.length ? ofStyle : keys)].sort((a, b) => distance(a) - distance(b))[0];
}

/**
 * Return the weights that a font has.
 * @param {Font} font
 */
export function weightsOf(font) {
  return [...new Set(Object.keys(font.files).map((key) => parseInt(key, 10)))].sort((a, b) => a - b);
}

/**
 * Return the name under which a font is loaded: not that of a font of the system or of the page.
 * @param {string} reference
 */
export function familyOf(reference) {
  return `editor ${reference.replace(/[^\w ]/g, " ")}`;
}

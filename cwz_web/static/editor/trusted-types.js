// Konva writes an empty string into an element. No other text may become markup, a script or the URL of one.

/** @type {any} */ (globalThis).trustedTypes?.createPolicy("default", { createHTML: (/** @type {string} */ text) => (text === "" ? "" : null) });

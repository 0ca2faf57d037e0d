// Konva writes an empty string into an element. Nothing else may become markup, a script or the address of one.
"use strict";

/** @type {any} */ (globalThis).trustedTypes?.createPolicy("default", { createHTML: (/** @type {string} */ text) => (text === "" ? "" : null) });

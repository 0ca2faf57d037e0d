"""The image engine: a template document and a row's values go in, an image comes out. No web, no database.

Read in this order: `documents.py` and `layers.py` (the template document, over `text_layers.py`, `layer_base.py`,
`styles.py` and `document_parts.py`), `bindings.py` and `filters.py` (`{{ field | filter }}`), `engine.py` (a document
becomes a plan, a plan renders images). Layers are rendered by `text.py` (over `text_fitting.py` and `glyphs.py`),
`shapes.py`, `decoding.py` (images) and `barcodes.py`, changed by `effects.py`, blended by `compositing.py` and
written by `encoders.py`. `uploads.py` says how uploaded files are stored. `findings.py` defines what is reported as
wrong with an image, `lint.py` checks texts; `render_pool.py` renders in child processes.
"""

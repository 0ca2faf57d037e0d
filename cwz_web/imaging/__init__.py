"""The image engine: a template document and a row's values go in, an image comes out. No web, no database.

Read in this order: `documents.py` and `layers.py` (what a template is), `bindings.py` (`{{ column | filter }}`),
`engine.py` (a document becomes a plan, a plan renders images), then the hands: `text.py`, `images.py`, `shapes.py`,
`codes.py`, `effects.py`, `canvas.py`, `encoders.py`, `fonts.py`. `lint.py` says what should be looked at.
"""

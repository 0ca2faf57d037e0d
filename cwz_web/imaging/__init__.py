"""The image engine: a template document and a row's values go in, a picture comes out. No web, no database.

Read in this order: `documents.py` (what a template is), `bindings.py` (`{{ column | filter }}`), `engine.py` (a
document becomes a plan, a plan draws pictures), then the hands: `text.py`, `pictures.py`, `shapes.py`, `canvas.py`,
`encoders.py`, `fonts.py`.
"""

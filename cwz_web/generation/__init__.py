"""Images on demand: templates and their versions, API keys, signed URLs, one image made from data.

In: `templates.py`, `keys.py`, `signing.py`, `sources.py` (where an image's images come from), `maker.py` (data in,
finished image out), `images.py` (images that are kept). Not in: many images at once (runs), rendering (imaging).
"""

"""Pictures on demand: templates and their versions, API keys, signed URLs, one picture made from data.

In: `templates.py`, `keys.py`, `signing.py`, `sources.py` (where a picture's pictures come from), `maker.py` (data in,
finished picture out), `assets.py` (pictures that are kept). Not in: many pictures at once (runs), drawing (imaging).
"""

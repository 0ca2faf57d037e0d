"""Many images at once: a run is a feed rendered with a template.

Read in this order: `mapping.py` (which column of the feed fills which of the template), `planning.py` (a run begins),
`following.py` (a run begins by itself when its feed changes),
`worker.py` (a chunk is rendered), `protocol.py` (how worker and web talk), `callback.py` (what the web does then),
`progress.py` and `archive.py` (what people see).
"""

"""Feeds: rows of data that images are made of.

In: reading a file of any kind (`files.py`, a reader for each kind, `tables.py`), the patterns that shops' exports have
(`variants.py`), and keeping the rows (`imports.py`, `browse.py`).
"""

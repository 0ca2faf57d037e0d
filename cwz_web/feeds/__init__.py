"""Feeds: rows of data that pictures are made of.

In: reading a file (`csv_reader.py`), the patterns that shops' exports have (`variants.py`), and keeping the rows
(`imports.py`, `browse.py`).
"""

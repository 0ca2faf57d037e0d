"""Campaigns: which design each row of a feed gets, when, and what is public.

- `rules.py`: design rules, their windows, and the phases between the times at which windows begin and end.
- `row_fields.py`: what a rule can compare: the feed's columns, joined columns, and the state of a row.
- `matching.py`, `planning.py`: evaluate the rules for all rows, or for those that changed.
- `targets.py`, `rendering.py`: which images the rows need, and the runs that render them.
- `publications.py`, `changes.py`: what is public, what will be, and the difference.
"""

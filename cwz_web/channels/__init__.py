"""Channels: what an ad platform or a shop reads of a campaign, in the platform's own fields and file format.

A channel maps the rows of a campaign's publications to the fields of a preset (`presets/`). Its feed is written whole,
checked on the way (`feed.py`), served by a signed URL, and stored in the customer's bucket (`delivery.py`).
"""

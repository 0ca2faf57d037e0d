"""Importers: JSON of other services becomes template documents and image requests, with a report of what differs.

`detection.py` says what a template is; `bannerbear.py`, `bannerbear_v2.py` and `placid.py` convert it, `requests.py`
converts requests. The mappings follow the public documentation of these services; what that leaves open is in the
report. Nothing here uses the network or the database, and no value of the JSON is executed.
"""

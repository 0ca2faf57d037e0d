"""The database: engine and sessions, the embedded server, row-level security, migrations.

Tables are defined in the `models.py` of their packages. Start with `session.py`.
"""

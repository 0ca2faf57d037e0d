"""The database: engine and sessions, the embedded server, row-level security, migrations.

In: how to reach PostgreSQL, and the second wall of tenancy. Not in: any table of the domain; those stand in the
`models.py` of their packages. Start at `session.py`.
"""

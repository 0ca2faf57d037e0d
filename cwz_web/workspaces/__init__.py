"""Tenants: workspaces, who is a member in which role.

In: the rows, and finding a person's memberships. Not in: what a role may do (resources.py).
"""

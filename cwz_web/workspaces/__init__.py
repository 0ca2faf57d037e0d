"""Workspaces (the tenants): members, roles, invitations, the audit log and deletion.

The permissions of each role are defined in resources/permissions.py.
"""

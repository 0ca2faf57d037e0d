"""Accounts: registration, passwords, sessions, the second factor, and sign-in with Google.

This package identifies and authenticates users. Authorization is in workspaces/ and resources/; cookies and forms are
in security.py, web/ and views/.
"""

"""Accounts: registration, passwords, passkeys, sessions, the second factor, and clients of OpenID providers.

This package identifies and authenticates users. Authorization is in workspaces/ and resources/; cookies and forms are
in security.py, web/ and views/.
"""

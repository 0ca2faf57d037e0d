"""People: accounts, passwords, sessions.

In: who somebody is and how they prove it. Not in: what they may do (workspaces, resources.py), cookies and forms
(security.py, views/).
"""

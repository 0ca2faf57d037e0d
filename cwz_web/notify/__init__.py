"""News to people: letters, and the ways by which they leave.

In: what a letter is, how it becomes a mail of text and HTML, delivery, the jobs that deliver. Not in: what letters say
(that stands with the domain that says it: accounts/emails.py, workspaces/letters.py).
"""

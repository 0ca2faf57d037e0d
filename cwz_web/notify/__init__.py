"""Notifications: email, Slack and outgoing webhooks, and the jobs that deliver them.

The texts of emails are not here but in the domain that sends them, for example accounts/emails.py.
"""

"""The pages: one module a screen. A view reads input, calls one domain function, and picks a template or redirects.

A page and its live parts share templates (templates/ mirrors this folder; parts start with an underscore). A view
returns redirects instead of raising them: a raised one would commit what it should not.
"""

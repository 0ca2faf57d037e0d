"""What applies to every request, in small modules: the request class, transactions, CSRF, headers, forms, rendering.

Nothing here knows a page. `app.py` includes the modules that have an `includeme`, each with its reason.
"""

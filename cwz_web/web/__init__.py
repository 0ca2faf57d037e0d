"""What holds for every request, as small separate parts: transactions, CSRF, headers, intake, forms, rendering.

Nothing here knows a screen. Each module has an `includeme` and stands in the list of app.py with its reason.
"""

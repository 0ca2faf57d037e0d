"""The pages: one module per page. A view reads input, calls one domain function, and renders a template or redirects.

`templates/` mirrors this package; partials, which a page includes and htmx updates, start with an underscore. A view
returns redirects instead of raising them: pyramid_tm commits a transaction that ends with a raised redirect.
"""

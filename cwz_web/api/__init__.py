"""HTTP interfaces for clients: `/v1` (API keys), `/i` (signed URLs) and `/hooks` (signed messages).

JSON in, images or JSON out; errors are problems (RFC 9457, `cwz_web.web.problems`). Nothing here accepts a session
cookie, so nothing needs a CSRF token.

- `images`, `image_requests`, `on_demand`: render images on demand, list stored ones.
- `templates`, `feeds`, `runs`, `usage`, `schemas`: the other resources of `/v1`.
- `signed_urls`: `/i`.
- `request_body`, `pagination`, `idempotency`, `key_limits`, `cors`: what the views share.
- `openapi`, `documentation`, `examples`: the OpenAPI document and the API reference.
- `render_hook`, `stripe_hook`: `/hooks`.
"""

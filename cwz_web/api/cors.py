"""CORS (Fetch standard) for `/v1`: pages of other origins, with a key that is restricted to them.

A preflight has no key, so every origin gets the same response to it; the key decides who may read the real response.
"""

from pyramid.config import Configurator
from pyramid.response import Response

from cwz_web.web.request import Handler, Request

PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, If-Match, Prefer",
    "Access-Control-Max-Age": "7200",
    "Vary": "Origin",
}
# Response headers that a page may read.
EXPOSED = ", ".join(
    ["Cached", "ETag", "Findings", "Link", "Location", "Preference-Applied", "Retry-After"]
    + [f"RateLimit-{name}" for name in ("Limit", "Remaining", "Reset")]
)


def allow_origin(response: Response, origin: str) -> None:
    """Let pages of an origin read the response."""
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
    response.vary = [*(response.vary or ()), "Origin"]


def preflight_tween(handler: Handler, registry: object) -> Handler:
    """Respond to preflight requests."""

    def tween(request: Request) -> Response:
        origin = request.headers.get("Origin")
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not (is_preflight and origin and request.area.uses_api_keys):
            return handler(request)
        response = Response(status=204, headers=PREFLIGHT)
        response.headers["Access-Control-Allow-Origin"] = origin
        return response

    return tween


def includeme(config: Configurator) -> None:
    """Install the tween below the one that sets the security headers."""
    config.add_tween("cwz_web.api.cors.preflight_tween", under="cwz_web.web.request_validation.validation_tween")

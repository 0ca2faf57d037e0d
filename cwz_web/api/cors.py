"""`/v1` for pages of other origins (the Fetch standard's CORS protocol), for keys that are bound to origins.

A preflight carries no key, so any page may ask what it could do; whether it may read an answer says the key.
"""

from pyramid.config import Configurator
from pyramid.response import Response

from cwz_web.web.request import Handler, Request

PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Prefer",
    "Access-Control-Max-Age": "7200",
    "Vary": "Origin",
}
# What a page may read of an answer beside its body.
EXPOSED = ", ".join(
    ["Cached", "ETag", "Link", "Location", "Preference-Applied", "Retry-After"]
    + [f"RateLimit-{name}" for name in ("Limit", "Remaining", "Reset")]
)


def allow(response: Response, origin: str) -> None:
    """Let a page of an origin read the answer."""
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
    response.vary = [*(response.vary or ()), "Origin"]


def preflight_tween(handler: Handler, registry: object) -> Handler:
    """Answer what browsers ask before they send a request with a key."""

    def tween(request: Request) -> Response:
        origin = request.headers.get("Origin")
        asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not (asks and origin and request.path_info.startswith("/v1/")):
            return handler(request)
        response = Response(status=204, headers=PREFLIGHT)
        response.headers["Access-Control-Allow-Origin"] = origin
        return response

    return tween


def includeme(config: Configurator) -> None:
    """Install the tween below the one that puts the headers on."""
    config.add_tween("cwz_web.api.cors.preflight_tween", under="cwz_web.web.request_validation.intake_tween")

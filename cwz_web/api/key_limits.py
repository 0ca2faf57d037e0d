"""Rules for every request with an API key: its origin, its rate limit, and its Idempotency-Key."""

from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.response import Response

from cwz_web.api.cors import allow_origin
from cwz_web.api.idempotency import HEADER, run_once
from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.resources.permissions import API_PERMISSIONS
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request


def limited_view(view: Callable[[Any, Request], Response], info: Any) -> Callable[[Any, Request], Response]:
    """Apply the rules to a view that requires a permission of API keys (a view deriver)."""
    if info.options.get("permission") not in API_PERMISSIONS:
        return view

    def limited(context: Any, request: Request) -> Response:
        api_key = request.api_key
        _check_origin(request, api_key)
        remaining = request.services.limiter.hit(str(api_key.key_id), api_key.requests_per_minute)
        request.add_response_callback(lambda _, response: response.headerlist.extend(remaining.headers.items()))
        if not remaining.allowed:
            raise ProblemError(
                429,
                "too_many_requests",
                f"This API key can send at most {remaining.limit:,} requests per {remaining.period}. Try again later.",
            )
        if request.method == "POST" and HEADER in request.headers:
            return run_once(request, lambda: view(context, request))
        return view(context, request)

    return limited


limited_view.options = ()  # type: ignore[attr-defined]


def _check_origin(request: Request, api_key: ApiKeyIdentity) -> None:
    """Raise ProblemError for a foreign origin; let pages of the key's origins read the response."""
    origin = request.headers.get("Origin")
    if api_key.origins and origin not in api_key.origins:
        raise ProblemError(
            403, "origin_not_allowed", "This API key cannot be used from this origin. Add the origin to the key."
        )
    if api_key.origins:
        request.add_response_callback(lambda _, response: allow_origin(response, str(origin)))


def includeme(config: Configurator) -> None:
    """Install the view deriver."""
    config.add_view_deriver(limited_view, name="key_limits")

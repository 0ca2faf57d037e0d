"""What holds for every request with an API key: where from, how many a minute, and once for each Idempotency-Key."""

from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.response import Response

from cwz_web.api.cors import allow
from cwz_web.api.idempotency import HEADER, answered_once
from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.resources.permissions import API_PERMISSIONS
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request


def metered_view(view: Callable[[Any, Request], Response], info: Any) -> Callable[[Any, Request], Response]:
    """The view deriver for views that ask for a permission of keys."""
    if info.options.get("permission") not in API_PERMISSIONS:
        return view

    def metered(context: Any, request: Request) -> Response:
        owner = request.api_key
        _check_origin(request, owner)
        left = request.services.limiter.take("api", str(owner.key_id), owner.requests_per_minute)
        request.add_response_callback(lambda _, response: response.headerlist.extend(left.headers.items()))
        if not left.allowed:
            raise ProblemError(
                429, "too_many_requests", f"This key may ask {left.limit:,} times a minute; wait a little"
            )
        if request.method == "POST" and HEADER in request.headers:
            return answered_once(request, lambda: view(context, request))
        return view(context, request)

    return metered


metered_view.options = ()  # type: ignore[attr-defined]


def _check_origin(request: Request, owner: ApiKeyIdentity) -> None:
    """A key that is bound to origins is for browsers on these pages; any other is for servers."""
    origin = request.headers.get("Origin")
    if owner.origins and origin not in owner.origins:
        raise ProblemError(403, "origin_not_allowed", "This key may not be used from here: see its origins")
    if owner.origins:
        request.add_response_callback(lambda _, response: allow(response, str(origin)))


def includeme(config: Configurator) -> None:
    """Install it for every view of the API."""
    config.add_view_deriver(metered_view, name="metered")

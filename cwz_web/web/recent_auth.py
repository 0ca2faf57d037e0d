"""Fresh proof of identity for changes that outlive the session: credentials, members, keys, secrets, deletions.

A session can be stolen, or be left open on a desk. A view declares `requires_recent_auth=True`; if the user has not
authenticated recently, it redirects to the page that asks for the password (or for Google), and back. A view that asks
for the password in its own form, or that decides by the request, declares `requires_recent_auth="view"`. A test
compares all views with a list of those that need no proof (tests/functional/test_recent_auth.py).
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response

from cwz_web.web.request import Request
from cwz_web.web.urls import safe_next

PATH = "/account/prove"
OPTION = "requires_recent_auth"


def proof_path(next_path: str) -> str:
    """Return the URL of the page that authenticates the user again, and then redirects to a path."""
    return f"{PATH}?{urlencode({'next': next_path})}"


def recent_auth_view(view: Callable[[Any, Request], Response], info: Any) -> Callable[[Any, Request], Response]:
    """Enforce the view option `requires_recent_auth` (a view deriver)."""
    if info.options.get(OPTION) is not True:
        return view

    def checked(context: Any, request: Request) -> Response:
        return view(context, request) if request.is_recently_authenticated else _redirect(request)

    return checked


recent_auth_view.options = (OPTION,)  # type: ignore[attr-defined]


def _redirect(request: Request) -> Response:
    path = proof_path(_current_page(request))
    if "HX-Request" in request.headers:  # htmx would put the page into a part of this one
        return Response(headers={"HX-Redirect": path})
    return HTTPSeeOther(path)


def _current_page(request: Request) -> str:
    """Return the path of the page that the user sees: the requested one, or the one with the submitted form."""
    if request.method == "GET":
        return request.path_qs
    for site in (request.services.settings.url, request.host_url):
        if (request.referer or "").startswith(f"{site}/"):
            return safe_next(str(request.referer).removeprefix(site).partition("#")[0])
    return request.path_in() if request.workspace_or_none else "/account"


def includeme(config: Configurator) -> None:
    """Install the view option `requires_recent_auth`; it is checked before an attempt is counted."""
    config.add_view_deriver(recent_auth_view, name="recent_auth", over="rate_limited", under="decorated_view")

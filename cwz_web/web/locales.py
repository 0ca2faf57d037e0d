"""The locale of a request, which the user has chosen or the browser asks for, and the time zone of its workspace."""

from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.location import lineage
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.viewderivers import INGRESS

from cwz_web.i18n import DEFAULT, LOCALES, use_locale, use_time_zone
from cwz_web.resources.base import Resource
from cwz_web.resources.workspace import WorkspaceResource
from cwz_web.security import SignedInUser
from cwz_web.web.request import Request

# Characters of Accept-Language. Browsers send about a hundred; WebOb takes quadratic time for a tag with many parts.
MAX_HEADER = 1000


def includeme(config: Configurator) -> None:
    """Run the views of pages in the locale of the request."""
    config.add_view_deriver(localized_view, under=INGRESS)


def localized_view(view: Callable[[Any, Request], Any], info: Any) -> Callable[[Any, Request], Any]:
    """Run a view, and render its template, in the locale of the request (a Pyramid view deriver)."""
    # Views of files and health checks do not query the user.
    needs_user = info.options.get("permission") != NO_PERMISSION_REQUIRED or info.options.get("renderer") is not None

    def run(context: Any, request: Request) -> Any:
        if request.area.is_api:  # answers in English
            return view(context, request)
        # Nor do error views, since the database may be unavailable.
        is_page = needs_user and isinstance(context, Resource)
        user = request.identity if is_page else request.known_identity
        chosen = user.locale if isinstance(user, SignedInUser) else None
        with use_locale(chosen or browser_locale(request)), use_time_zone(_time_zone_of(context)):
            return view(context, request)

    return run


def _time_zone_of(context: Any) -> str:
    """Return the time zone of the workspace that a resource is in; UTC outside of workspaces."""
    resources = lineage(context) if isinstance(context, Resource) else ()
    workspaces = (each for each in resources if isinstance(each, WorkspaceResource))
    return next((workspace.access.time_zone for workspace in workspaces), "UTC")


def browser_locale(request: Request) -> str:
    """Return the locale of the header Accept-Language (RFC 4647, lookup)."""
    return requested_locale(request) or DEFAULT


def requested_locale(request: Request) -> str | None:
    """Return the locale of the header Accept-Language, or None if it names none that there is."""
    if len(request.headers.get("Accept-Language", "")) > MAX_HEADER:
        return None
    return request.accept_language.lookup(list(LOCALES), default="") or None

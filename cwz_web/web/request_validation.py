"""Request validation before anything else runs: methods, hosts, and paths that can be read in two ways.

Traversal skips empty segments and resolves `.` and `..`, proxies and caches may not. Such paths are rejected here, so
the path that a proxy sees, the matched resource and the log always mean the same.
"""

from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest, HTTPMethodNotAllowed, HTTPNotFound, HTTPPermanentRedirect
from pyramid.response import Response
from pyramid.traversal import ResourceTreeTraverser

from cwz_web.i18n import gettext, use_locale
from cwz_web.settings import Settings
from cwz_web.web.form_body import read_form_body
from cwz_web.web.locales import browser_locale
from cwz_web.web.request import Handler, Request

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
# Requested by health checks, with any Host header.
ANY_HOST = {"/healthz", "/readyz", "/metrics"}


def validation_tween(handler: Handler, registry: object) -> Handler:
    """Reject invalid requests, by raising for the error views; read the form of valid ones."""
    settings = registry["services"].settings  # type: ignore[index]
    hosts, scheme = _hosts(settings), urlsplit(settings.url).scheme
    site = _host(scheme, urlsplit(settings.url).netloc)

    def checked(request: Request) -> Response:
        # No view has set the locale yet.
        with use_locale(None if request.area.is_api else browser_locale(request)):
            moved = validate(request)
        return handler(request) if moved is None else moved

    def validate(request: Request) -> Response | None:
        if request.method not in METHODS:
            raise HTTPMethodNotAllowed(headers={"Allow": ", ".join(sorted(METHODS))})
        # No link, redirect or origin may be built from a forged Host header.
        host = _host(request.scheme, request.host)
        if host not in hosts and request.raw_path not in ANY_HOST:
            raise HTTPBadRequest(gettext("The Host header names another site"))
        _check_characters(request)
        check_path(request.path_info)
        # The internal URL of workers can be http.
        if request.scheme != scheme and host == site and request.raw_path not in ANY_HOST:
            return _with_https(request)
        if request.path_info.endswith("/") and request.path_info != "/":
            return _without_slash(request)
        request.POST = read_form_body(request)
        return None

    return checked


class Traverser(ResourceTreeTraverser):
    """Pyramid's traversal without `@@name`, which would be a second URL of each page."""

    VIEW_SELECTOR = None


def check_path(path: str) -> None:
    """Reject a path with an empty segment, or with `.` or `..`, also percent-encoded once more.

    Args:
        path: The decoded path. A slash at its end is no empty segment.

    Raises:
        HTTPNotFound: No resource has this path.
    """
    first, *segments = path.removesuffix("/").split("/")
    if first or any(not segment or unquote(segment) in (".", "..") for segment in segments):
        raise HTTPNotFound


def _check_characters(request: Request) -> None:
    try:
        decoded = request.path_info + unquote_to_bytes(request.query_string.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise HTTPBadRequest(gettext("The URL is not valid UTF-8")) from None
    if "\x00" in decoded:
        raise HTTPBadRequest(gettext("The URL contains a character that is not allowed"))


def _with_https(request: Request) -> Response:
    """Redirect a page to https. A request of a program, or with a body, was already sent in plain text: reject it."""
    if request.area.is_api or request.method not in ("GET", "HEAD"):
        raise HTTPBadRequest(gettext("Use https"))
    return HTTPPermanentRedirect(request.services.settings.url + request.path_qs)


def _without_slash(request: Request) -> Response:
    """Redirect a page's URL with a slash at its end to the one without; files and the API have no such URL."""
    path = request.path_info.removesuffix("/")
    if request.area.is_api or request.method not in ("GET", "HEAD") or "." in path.rpartition("/")[2]:
        raise HTTPNotFound
    return HTTPPermanentRedirect(quote(path) + (f"?{request.query_string}" if request.query_string else ""))


def _hosts(settings: Settings) -> set[str]:
    """Return the hosts of this site: those of the settings and, in development, loopback."""
    urls = [settings.url, settings.render_api_url]
    if settings.development:
        port = urlsplit(settings.url).port or 80
        urls += [f"http://localhost:{port}", f"http://127.0.0.1:{port}"]
    return {_host(urlsplit(url).scheme, urlsplit(url).netloc) for url in urls}


def _host(scheme: str, netloc: str) -> str:
    default = ":443" if scheme == "https" else ":80"
    return netloc.lower().removesuffix(default)


def includeme(config: Configurator) -> None:
    """Install the tween below the one that turns exceptions into pages, and the traversal."""
    config.add_traverser(Traverser)
    config.add_tween("cwz_web.web.request_validation.validation_tween", under="pyramid.tweens.excview_tween_factory")

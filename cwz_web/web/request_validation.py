"""What is refused before anything looks at it: odd methods, foreign hosts, addresses with bytes that are no text."""

from urllib.parse import unquote_to_bytes, urlsplit

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest, HTTPMethodNotAllowed
from pyramid.response import Response

from cwz_web.settings import Settings
from cwz_web.web.form_body import read_posted
from cwz_web.web.request import Handler, Request

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
# Asked by whatever watches a machine, under whatever name.
ANY_HOST = {"/healthz", "/readyz", "/metrics"}


def intake_tween(handler: Handler, registry: object) -> Handler:
    """Answer what cannot be a request of ours, by raising for the error views."""
    hosts = _hosts(registry["services"].settings)  # type: ignore[index]

    def checked(request: Request) -> Response:
        if request.method not in METHODS:
            raise HTTPMethodNotAllowed(headers={"Allow": ", ".join(sorted(METHODS))})
        # Nothing may be built from a name that somebody made up: not a link, not a redirect, not an origin.
        if _host(request.scheme, request.host) not in hosts and request.raw_path not in ANY_HOST:
            raise HTTPBadRequest("This is not the name of this site")
        try:
            spoken = request.path_info + unquote_to_bytes(request.query_string.encode("latin-1")).decode()
        except UnicodeDecodeError:
            raise HTTPBadRequest("The address is not valid UTF-8") from None
        if "\x00" in spoken:
            raise HTTPBadRequest("The address holds a character that is not allowed")
        request.POST = read_posted(request)
        return handler(request)

    return checked


def _hosts(settings: Settings) -> set[str]:
    """The names that this site has: those of the settings, and in development this machine's own."""
    urls = [settings.url, settings.worker_target]
    if settings.development:
        port = urlsplit(settings.url).port or 80
        urls += [f"http://localhost:{port}", f"http://127.0.0.1:{port}"]
    return {_host(urlsplit(url).scheme, urlsplit(url).netloc) for url in urls}


def _host(scheme: str, netloc: str) -> str:
    default = ":443" if scheme == "https" else ":80"
    return netloc.lower().removesuffix(default)


def includeme(config: Configurator) -> None:
    """Install the tween below the one that turns exceptions into pages."""
    config.add_tween("cwz_web.web.request_validation.intake_tween", under="pyramid.tweens.excview_tween_factory")

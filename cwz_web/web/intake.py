"""What is refused before anything looks at it: odd methods, foreign hosts, addresses with bytes that are no text."""

from collections.abc import Callable
from urllib.parse import urlsplit

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest, HTTPMethodNotAllowed, HTTPRequestEntityTooLarge
from pyramid.request import Request
from pyramid.response import Response
from webob.compat import parse_header

from cwz_web.settings import Settings
from cwz_web.web.problems import is_machine

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
MULTIPART = "multipart/form-data"
# Of a POST that names no type WebOb thinks it is one, too.
FORMS = {"", "application/x-www-form-urlencoded", MULTIPART}
# The form of a feed with as many columns as one may have has 3,000.
MAX_FIELDS = 10_000
# Of one without files. Each escape is read by itself, so that a megabyte of them takes up to half a second.
MAX_FORM = 4 * 1024 * 1024
PART = 1024 * 1024
# Asked by whatever watches a machine, under whatever name.
ANY_HOST = {"/healthz", "/readyz", "/metrics"}


def intake_tween(handler: Callable[[Request], Response], registry: object) -> Callable[[Request], Response]:
    """Answer what can not be a request of ours, by raising for the error views."""
    hosts = _hosts(registry["services"].settings)  # type: ignore[index]

    def checked(request: Request) -> Response:
        if request.method not in METHODS:
            raise HTTPMethodNotAllowed(headers={"Allow": ", ".join(sorted(METHODS))})
        # Nothing may be built from a name that somebody made up: not a link, not a redirect, not an origin.
        if _host(request.scheme, request.host) not in hosts and request.raw_path not in ANY_HOST:
            raise HTTPBadRequest("This is not the name of this site")
        try:
            spoken = [request.path_info, *request.GET.keys(), *request.GET.values()]
        except UnicodeDecodeError:
            raise HTTPBadRequest("The address is not valid UTF-8") from None
        if any("\x00" in text for text in spoken):
            raise HTTPBadRequest("The address holds a character that is not allowed")
        if request.content_type in FORMS and not is_machine(request):
            if request.content_type != MULTIPART and (request.content_length or 0) > MAX_FORM:
                raise HTTPRequestEntityTooLarge(f"A form may have {MAX_FORM // 1024**2} MB at the most")
            try:
                if _fields_in(request) > MAX_FIELDS:
                    raise HTTPBadRequest("The form has more fields than any of ours")
                _ = request.POST  # read once, here, and kept
            except (ValueError, KeyError):
                raise HTTPBadRequest("The form can not be read") from None
        return handler(request)

    return checked


def _fields_in(request: Request) -> int:
    """About how many fields a form has, counted without reading them: a million take fifteen seconds to read."""
    _, parameters = parse_header(request.headers.get("Content-Type", ""))
    boundary = parameters.get("boundary", "") if request.content_type == MULTIPART else ""
    between = f"--{boundary}".encode("latin-1") if boundary else b"&"
    body = request.body_file_seekable
    count = sum(part.count(between) for part in iter(lambda: body.read(PART), b""))
    body.seek(0)
    return count


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
    """Install the tween below the one that turns exceptions into pages, and `request.raw_path`.

    The raw path is the undecoded one (as WSGI has it): safe to look at whatever bytes were sent.
    """
    config.add_request_method(lambda request: request.environ.get("PATH_INFO", ""), "raw_path", property=True)
    config.add_tween("cwz_web.web.intake.intake_tween", under="pyramid.tweens.excview_tween_factory")

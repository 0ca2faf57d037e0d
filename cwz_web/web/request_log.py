"""One line a request: its id, the route, who asked, the workspace, the status, and how long it took; and the same,
without the names, for the metrics."""

import time
from collections.abc import Iterator

import structlog
from pyramid.config import Configurator
from pyramid.response import Response

from cwz_web.metrics import REQUESTS
from cwz_web.scrubbing import remember_request
from cwz_web.web.request import Handler, Request

log = structlog.get_logger()

# Asked all the time, by machines that watch and browsers that load a page.
QUIET = ("/static/", "/healthz", "/readyz", "/metrics")
NOT_FOUND = 404
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})

TOKEN = 20
LARGEST_BODY = 1024 * 1024


def request_log_tween(handler: Handler, registry: object) -> Handler:
    """Write the line once the answer is there, whatever it is."""

    def logged(request: Request) -> Response:
        begun = time.perf_counter()
        remember_request(lambda: said_by(request))
        try:
            response = handler(request)
        finally:
            remember_request(None)
        if not request.environ.get("PATH_INFO", "").startswith(QUIET):
            seconds, about = time.perf_counter() - begun, _about(request)
            status = response.status_int
            # What is not there has any name that somebody thinks of.
            route = about.get("route", "") if status != NOT_FOUND else ""
            REQUESTS.labels(route, about["method"] if about["method"] in METHODS else "", status).observe(seconds)
            log.info("request", request=request.id, ms=round(seconds * 1000, 1), status=status, **about)
        return response

    return logged


def said_by(request: Request) -> Iterator[str]:
    """Every value that a request brought."""
    # Words of the path name parts of the site; what is longer may be a token.
    yield from (part for part in request.environ.get("PATH_INFO", "").split("/") if len(part) >= TOKEN)
    for name, value in request.environ.items():
        if isinstance(value, str) and (name.startswith("HTTP_") or name == "QUERY_STRING"):
            yield value
            yield value.rpartition(" ")[2]
    for part in ("GET", "POST", "cookies"):
        try:
            yield from (value for value in getattr(request, part).values() if isinstance(value, str))
        except ValueError:
            continue
    if request.content_type == "application/json" and len(request.body) <= LARGEST_BODY:
        try:
            yield from _texts(request.json_body)
        except ValueError:
            return


def _texts(value: object) -> Iterator[str]:
    """Every text in a JSON document."""
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)


def _about(request: Request) -> dict[str, str]:
    """Where it went, and who asked; as far as that was found out."""
    found: dict[str, str] = {"method": request.method}
    context = getattr(request, "context", None)
    if context is not None:
        found["route"] = f"{type(context).__name__}/{getattr(request, 'view_name', '') or ''}"
    identity = vars(request).get("identity")  # never looked up here: the transaction is over
    if identity is not None:
        account = getattr(identity, "account", None)
        found |= {"account": str(account.id)} if account is not None else {"key": str(identity.key_id)}
        workspace_id = getattr(identity, "workspace_id", None) or getattr(
            request.workspace_or_none, "workspace_id", None
        )
        found |= {"workspace": str(workspace_id)} if workspace_id else {}
    return found


def includeme(config: Configurator) -> None:
    """Install the tween; what answers below it has its errors turned into pages already."""
    config.add_tween("cwz_web.web.request_log.request_log_tween", over="cwz_web.web.headers.headers_tween")

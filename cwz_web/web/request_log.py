"""The request log: one line per request with its id, route, user or API key, workspace, status and duration.

The same, without ids, is counted for the metrics.
"""

import time

import structlog
from pyramid.config import Configurator
from pyramid.response import Response

from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.metrics import REQUEST_DURATION
from cwz_web.resources.application import Root
from cwz_web.security import SignedInUser
from cwz_web.web.request import Handler, Request

log = structlog.get_logger()

# Requested all the time, by health checks and by browsers that load a page.
UNLOGGED_VIEWS = frozenset({"healthz", "readyz", "metrics"})
NOT_FOUND = 404
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})


def request_log_tween(handler: Handler, registry: object) -> Handler:
    """Log each request after its response, errors included."""

    def logged(request: Request) -> Response:
        started = time.perf_counter()
        response = handler(request)
        if _is_logged(request):
            seconds, fields = time.perf_counter() - started, _log_fields(request)
            status = response.status_int
            # A URL that does not exist can have any name: it must not become a label.
            route = fields.get("route", "") if status != NOT_FOUND else ""
            method = fields["method"] if fields["method"] in METHODS else ""
            REQUEST_DURATION.labels(route, method, status).observe(seconds)
            log.info("request", request=request.id, ms=round(seconds * 1000, 1), status=status, **fields)
        return response

    return logged


def _is_logged(request: Request) -> bool:
    if getattr(request, "matched_route", None) is not None:  # the only routes are those of static files
        return False
    return not (isinstance(getattr(request, "context", None), Root) and request.view_name in UNLOGGED_VIEWS)


def _log_fields(request: Request) -> dict[str, str]:
    """Return the route and the ids of the caller and the workspace, as far as they are known."""
    fields: dict[str, str] = {"method": request.method}
    context = getattr(request, "context", None)
    if context is not None:
        fields["route"] = f"{type(context).__name__}/{getattr(request, 'view_name', '') or ''}"
    match request.known_identity:  # never looked up here: the transaction is over
        case ApiKeyIdentity() as api_key:
            fields |= {"key": str(api_key.key_id), "workspace": str(api_key.workspace_id)}
        case SignedInUser() as user:
            workspace = request.workspace_or_none
            fields |= {"account": str(user.account_id)}
            fields |= {"workspace": str(workspace.workspace_id)} if workspace else {}
    return fields


def includeme(config: Configurator) -> None:
    """Install the tween above the one that turns exceptions into pages."""
    config.add_tween("cwz_web.web.request_log.request_log_tween", over="cwz_web.web.headers.headers_tween")

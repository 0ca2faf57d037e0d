"""Records each request to `/v1` that has a valid API key, for the page *API requests* of its workspace.

A record has no query string, no header, no body and no IP address. Texts are cut, and scrubbed like log lines.
"""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from pyramid.config import Configurator
from pyramid.registry import Registry
from pyramid.response import Response
from sqlalchemy.exc import SQLAlchemyError

from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.generation.api_request_recorder import RecordedRequest
from cwz_web.scrubbing import scrub
from cwz_web.web.problems import PROBLEM_JSON
from cwz_web.web.request import Handler, Request
from cwz_web.web.text import shorten

MAX_PATH, MAX_DETAIL, MAX_MESSAGE, MAX_NAME = 300, 500, 200, 100
MAX_ERRORS = 10
NOT_FOUND = 404
# Characters of a path that are not encoded (RFC 3986), and the brackets of what was removed.
PATH_SAFE = "/:@!$&'()*+,;=~[]"


def api_requests_tween(handler: Handler, registry: Registry) -> Handler:
    """Record requests to the API with their final responses."""
    recorder = registry["services"].api_requests
    if not recorder.is_enabled:
        return handler

    def recorded(request: Request) -> Response:
        at, started = datetime.now(UTC), time.perf_counter()
        response = handler(request)
        api_key = _find_key(request, response.status_int)
        if api_key is not None:
            milliseconds = round((time.perf_counter() - started) * 1000)
            recorder.add(_record(request, response, api_key, at, milliseconds))
        return response

    return recorded


def _find_key(request: Request, status: int) -> ApiKeyIdentity | None:
    """Return the key of a request; a URL that does not exist is answered before its key is looked up."""
    identity = request.known_identity
    if identity is None and status == NOT_FOUND and request.area.uses_api_keys:
        with suppress(SQLAlchemyError):
            identity = request.identity
    return identity if isinstance(identity, ApiKeyIdentity) else None


def _record(
    request: Request, response: Response, api_key: ApiKeyIdentity, at: datetime, milliseconds: int
) -> RecordedRequest:
    problem = json.loads(response.body) if response.content_type == PROBLEM_JSON else {}
    return RecordedRequest(
        workspace_id=api_key.workspace_id,
        id=UUID(request.id.removeprefix("req_")),
        created_at=at,
        key_id=api_key.key_id,
        method=request.method,
        path=shorten(quote(_scrubbed(request.path_info), PATH_SAFE), MAX_PATH),
        status=response.status_int,
        milliseconds=milliseconds,
        response_bytes=response.content_length,
        code=problem.get("code"),
        detail=_text(problem["detail"], MAX_DETAIL) if problem.get("detail") else None,
        errors=_errors(problem.get("errors") or {}) or None,
    )


def _errors(errors: Mapping[str, Any]) -> dict[str, str]:
    first = list(errors.items())[:MAX_ERRORS]
    return {_text(name, MAX_NAME): _text(str(message), MAX_MESSAGE) for name, message in first}


def _text(text: str, length: int) -> str:
    return shorten(_scrubbed(text), length)


def _scrubbed(text: str) -> str:
    """Return a text without secrets. It is not cut yet: the part of a secret does not look like one."""
    return str(scrub(text))


def includeme(config: Configurator) -> None:
    """Install the tween above all others, so that its time is the whole one."""
    config.add_tween("cwz_web.api.request_records.api_requests_tween", over="cwz_web.web.headers.headers_tween")

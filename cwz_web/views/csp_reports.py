"""Reports of browsers about violations of the Content-Security-Policy (CSP Level 3, Reporting API).

Every visitor can send reports, and one broken page causes thousands. A few per minute are logged, without the URLs'
queries; the others are only counted.
"""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import structlog
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.metrics import CSP_REPORTS
from cwz_web.resources.application import Root
from cwz_web.web.headers import CSP_DIRECTIVES, CSP_REPORT_PATH
from cwz_web.web.request import Request

log = structlog.get_logger()

MAX_BODY = 16 * 1024
# A browser sends the reports of a page together.
MAX_REPORTS = 20
LOGGED_PER_MINUTE = 10
MAX_TEXT = 200


class Sampler:
    """Selects the first few events of each minute. Thread-safe."""

    def __init__(self, per_minute: int = LOGGED_PER_MINUTE) -> None:
        self._per_minute = per_minute
        self._minute, self._count = 0, 0
        self._lock = threading.Lock()

    def select(self) -> bool:
        """Count an event, and return whether it is selected."""
        minute = int(time.monotonic() // 60)
        with self._lock:
            if minute != self._minute:
                self._minute, self._count = minute, 0
            self._count += 1
            return self._count <= self._per_minute


SAMPLER = Sampler()


@view_config(
    context=Root,
    name=CSP_REPORT_PATH.removeprefix("/"),
    request_method="POST",
    permission=NO_PERMISSION_REQUIRED,
    require_csrf=False,
)
def receive_csp_reports(context: Root, request: Request) -> Response:
    """Count the reports of a page, and log a sample. The response is the same for an invalid one."""
    for report in parse_reports(request.body if (request.content_length or 0) <= MAX_BODY else b""):
        CSP_REPORTS.labels(report["directive"]).inc()
        if SAMPLER.select():
            log.warning("csp violation", request=request.id, **report)
    return Response(status=204)


def parse_reports(body: bytes) -> Iterator[dict[str, str]]:
    """Yield what was blocked and where, of both formats: `report-uri` (one report) and `report-to` (a list)."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return
    for entry in document[:MAX_REPORTS] if isinstance(document, list) else [document]:
        found = _mapping(entry, "csp-report") or _mapping(entry, "body")
        if found:
            directive = _text(found, "effectiveDirective", "effective-directive", "violated-directive").partition(" ")[
                0
            ]
            yield {
                "directive": directive if directive in CSP_DIRECTIVES else "other",
                "page": _without_query(_text(found, "documentURL", "document-uri")),
                "blocked": _without_query(_text(found, "blockedURL", "blocked-uri")),
                "source": _without_query(_text(found, "sourceFile", "source-file")),
            }


def _mapping(entry: Any, name: str) -> dict[str, Any]:
    found = entry.get(name) if isinstance(entry, dict) else None
    return found if isinstance(found, dict) else {}


def _text(report: dict[str, Any], *names: str) -> str:
    return next((value for name in names if isinstance(value := report.get(name), str)), "")


def _without_query(url: str) -> str:
    """Return a URL without its user, query and fragment, which may be secret; a keyword such as `inline` unchanged."""
    try:
        parts = urlsplit(url[:MAX_TEXT])
        host = parts.hostname or ""
    except ValueError:
        return ""
    return f"{parts.scheme}://{host}{parts.path}" if host else parts.path or parts.scheme

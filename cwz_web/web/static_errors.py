"""Error responses that need neither database, session nor template: the last resort when an error view fails."""

import psycopg
import structlog
from pyramid.response import Response
from sqlalchemy import exc

from cwz_web.notify.emails import PRODUCT
from cwz_web.web.problems import ProblemError, is_api_request, problem_response
from cwz_web.web.rendering import static_path
from cwz_web.web.request import Request

log = structlog.get_logger()

DATABASE_RETRY_SECONDS = 30
# What SQLAlchemy and psycopg raise without a database, and when all of the pool's connections are in use.
DATABASE_ERRORS = (
    exc.OperationalError,
    exc.InterfaceError,
    exc.TimeoutError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
)
UNAVAILABLE = ProblemError(503, "unavailable", "The database is unavailable. Try again in a minute")
INTERNAL_ERROR = ProblemError(500, "internal_error", "Something went wrong. The error was recorded")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{detail} · {product}</title>
<link rel="stylesheet" href="{static}/app/tokens.css">
<link rel="stylesheet" href="{static}/app/components.css">
</head>
<body>
<header class="bar"><a class="brand" href="/">{product}</a></header>
<main class="standalone"><section class="card stack">
<p class="big-number">{status}</p>
<h1>{detail}</h1>
<p>Reload the page in a minute. If you sent a form, go back: your browser still has what you typed.</p>
<p><a class="button primary" href="/">Home</a></p>
<p class="muted small">If you contact support, include this request ID: <code>{request_id}</code></p>
</section></main>
</body>
</html>
"""


def static_error_response(request: Request, error: Exception) -> Response:
    """Return the response to an error that no error view could answer; the log has its traceback."""
    is_database_error = isinstance(error, DATABASE_ERRORS)
    problem = UNAVAILABLE if is_database_error else INTERNAL_ERROR
    log.error("error page failed", exc_info=error, path=request.raw_path, method=request.method, request=request.id)
    if is_api_request(request):
        response = problem_response(request, problem)
    else:
        page = PAGE.format(
            detail=problem.detail,
            product=PRODUCT,
            request_id=request.id,
            static=static_path(),
            status=problem.status,
        )
        response = Response(page, status=problem.status, content_type="text/html", charset="utf-8")
    if is_database_error:
        response.headers["Retry-After"] = str(DATABASE_RETRY_SECONDS)
    return response

"""Error responses that need neither database, session nor template: the last resort when an error view fails."""

import psycopg
import structlog
from pyramid.response import Response
from sqlalchemy import exc

from cwz_web.i18n import current_locale, gettext, gettext_noop, use_locale
from cwz_web.notify.emails import PRODUCT
from cwz_web.web.locales import browser_locale
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
UNAVAILABLE = ProblemError(503, "unavailable", gettext_noop("The database is unavailable. Try again in a minute"))
INTERNAL_ERROR = ProblemError(500, "internal_error", gettext_noop("Something went wrong. The error was recorded"))
PAGE = """<!doctype html>
<html lang="{locale}">
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
<p>{advice}</p>
<p><a class="button primary" href="/">{home}</a></p>
<p class="muted small">{support}</p>
</section></main>
</body>
</html>
"""


def translated(problem: ProblemError) -> ProblemError:
    """Return one of these problems in the current locale."""
    return ProblemError(problem.status, problem.code, gettext(problem.detail))


def static_error_response(request: Request, error: Exception) -> Response:
    """Return the response to an error that no error view could answer; the log has its traceback."""
    is_database_error = isinstance(error, DATABASE_ERRORS)
    problem = UNAVAILABLE if is_database_error else INTERNAL_ERROR
    log.error("error page failed", exc_info=error, path=request.raw_path, method=request.method, request=request.id)
    if is_api_request(request):
        response = problem_response(request, problem)
    else:
        # The catalogs are files, and need no database either.
        with use_locale(browser_locale(request)):
            page = _page(request, translated(problem))
        response = Response(page, status=problem.status, content_type="text/html", charset="utf-8")
    if is_database_error:
        response.headers["Retry-After"] = str(DATABASE_RETRY_SECONDS)
    return response


def _page(request: Request, problem: ProblemError) -> str:
    return PAGE.format(
        locale=current_locale(),
        detail=problem.detail,
        product=PRODUCT,
        static=static_path(),
        status=problem.status,
        advice=gettext(
            "Reload the page in a minute. If you sent a form, go back: your browser still has what you typed."
        ),
        home=gettext("Home"),
        support=gettext("If you contact support, include this request ID: <code>%(id)s</code>", id=request.id),
    )

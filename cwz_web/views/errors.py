"""Error responses: each family of errors becomes a page for browsers, or a problem for API clients."""

from dataclasses import dataclass
from urllib.parse import urlencode

import psycopg
import structlog
from pyramid.exceptions import BadCSRFOrigin, BadCSRFToken, PredicateMismatch
from pyramid.httpexceptions import HTTPException, HTTPForbidden, HTTPNotFound, HTTPSeeOther
from pyramid.location import lineage
from pyramid.renderers import render_to_response
from pyramid.response import Response
from pyramid.view import exception_view_config, forbidden_view_config, notfound_view_config
from sqlalchemy.exc import IntegrityError, NoResultFound
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError

from cwz_web.accounts.passwords import ServerBusyError
from cwz_web.billing.plans import PlanLimitError
from cwz_web.generation.image_service import IncompleteImageError
from cwz_web.generation.usage import READ_ONLY_MESSAGE, QuotaExceededError
from cwz_web.i18n import gettext, gettext_noop, ngettext
from cwz_web.imaging.errors import ImagingError, UnknownFieldsError
from cwz_web.metrics import STORAGE_ERRORS
from cwz_web.resources.application import AccountRoot
from cwz_web.resources.workspace import WorkspaceCollection
from cwz_web.security import SignedInUser, cookie_name
from cwz_web.storage.contract import StorageError
from cwz_web.web.conflicts import CHANGED, conflict_of
from cwz_web.web.problems import ProblemError, is_api_request, problem_response
from cwz_web.web.rate_limits import RateLimitedError
from cwz_web.web.rendering import template_values
from cwz_web.web.request import Request
from cwz_web.web.slow_requests import SlowRequestLimitError
from cwz_web.web.static_errors import DATABASE_ERRORS, DATABASE_RETRY_SECONDS, INTERNAL_ERROR, UNAVAILABLE, translated
from cwz_web.web.urls import sign_in_path
from cwz_web.workspaces.access import Access

log = structlog.get_logger()

BUSY_RETRY_SECONDS = 5
# Workspaces that an error page offers.
MAX_WORKSPACES = 5
CONTENTION = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)
OWN_CREDENTIALS = gettext_noop(
    "Single sign-on opens the workspace of your organization only. Sign out, and sign in with your own password,"
    " passkey or Google account to do this"
)
# The code and the message of a status that a view does not explain.
DEFAULT_PROBLEMS = {
    400: ("bad_request", gettext_noop("This request is invalid")),
    403: ("forbidden", gettext_noop("You do not have permission to do this")),
    404: ("not_found", gettext_noop("Page not found")),
    405: ("method_not_allowed", gettext_noop("This URL does not accept this method")),
}


# What the user can do, by status.
ADVICE = {
    400: gettext_noop("Go back, reload the page and try again."),
    402: gettext_noop("Upgrade the plan, or ask an admin of the workspace to do so."),
    403: gettext_noop("Ask an admin of the workspace to change your role, or sign in with another account."),
    404: gettext_noop(
        "Check the URL. The page may have been moved or deleted, or you may need to sign in with another account."
    ),
    405: gettext_noop("Open the page from the navigation instead."),
    409: gettext_noop("Go back, reload the page and try again."),
    422: gettext_noop("Go back, change what is wrong and try again."),
    429: gettext_noop("Wait, then reload the page. Nothing was changed."),
    500: gettext_noop("Try again in a minute. If it fails again, contact support with the request ID."),
    503: gettext_noop(
        "Reload the page in a minute. If you sent a form, go back: your browser still has what you typed."
    ),
}


@dataclass(frozen=True)
class ErrorPage:
    """What errors/error.jinja2 shows; none of it needs the database.

    Attributes:
        advice: what the user can do.
        workspace: the workspace of the URL, of which the user is a member.
        others: the user's workspaces, if they are known already and the URL has none.
        can_upgrade: whether a larger plan helps.
        sign_in_path: where a visitor who is not signed in can sign in for a missing page; empty otherwise.
    """

    problem: ProblemError
    advice: str
    workspace: Access | None
    others: tuple[Access, ...]
    can_upgrade: bool
    sign_in_path: str


@notfound_view_config(append_slash=False)
def not_found(exc: HTTPNotFound, request: Request) -> Response:
    """Answer 404, or 405 for another method; redirect to the sign-in page if that may help."""
    context = getattr(request, "context", None)  # None if request validation rejected the path
    needs_user = any(isinstance(resource, WorkspaceCollection | AccountRoot) for resource in lineage(context))
    if needs_user and request.identity is None:
        return HTTPSeeOther(sign_in_path(request))
    if request.area.uses_api_keys and request.identity is None:
        return problem_response(request, _unauthorized())
    allowed = _allowed_methods(request) if isinstance(exc, PredicateMismatch) else set()
    if allowed and request.method not in allowed:
        response = _error_response(request, _default_problem(405))
        response.allow = sorted(allowed)
        return response
    return _error_response(request, _default_problem(404))


@forbidden_view_config()
def forbidden(exc: HTTPForbidden, request: Request) -> Response:
    """Answer 403, 401 or 402; redirect to the page that lets the user continue, if there is one."""
    if any(getattr(resource, "is_read_only", False) for resource in lineage(request.context)):
        return _error_response(request, ProblemError(402, "read_only", gettext(READ_ONLY_MESSAGE)))
    user = request.identity
    if request.area.uses_api_keys:
        return problem_response(request, _unauthorized() if user is None else _default_problem(403))
    if not isinstance(user, SignedInUser):
        return HTTPSeeOther(sign_in_path(request))
    access = request.workspace_or_none
    if access is not None and user.lacks_single_sign_on(access):
        return HTTPSeeOther(f"/signin/sso/{access.workspace_id}?{urlencode({'next': request.path})}")
    if access is not None and user.lacks_second_factor(access):
        return HTTPSeeOther("/account/second-factor")
    log.warning("permission denied", account=str(user.account.id), path=request.raw_path, method=request.method)
    if access is None and not user.session.is_own:
        return _error_response(request, ProblemError(403, "own_credentials_required", gettext(OWN_CREDENTIALS)))
    return _error_response(request, _default_problem(403))


@exception_view_config(BadCSRFToken)
@exception_view_config(BadCSRFOrigin)
def bad_csrf(exc: Exception, request: Request) -> Response:
    """Answer 400 for a form that is out of date or forged."""
    log.warning("csrf check failed", reason=type(exc).__name__, path=request.raw_path, request=request.id)
    message = gettext("This form has expired. Go back, reload the page and try again")
    return _error_response(request, ProblemError(400, "bad_csrf", message))


@exception_view_config(RateLimitedError)
def rate_limited(exc: RateLimitedError, request: Request) -> Response:
    """Answer 429 with the time until the next attempt."""
    if exc.seconds < 100:
        message = ngettext(
            "Too many attempts. Try again in %(count)s second",
            "Too many attempts. Try again in %(count)s seconds",
            exc.seconds,
        )
    else:
        message = ngettext(
            "Too many attempts. Try again in %(count)s minute",
            "Too many attempts. Try again in %(count)s minutes",
            round(exc.seconds / 60),
        )
    return _retry_response(request, ProblemError(429, "too_many_requests", message), exc.seconds)


@exception_view_config(QuotaExceededError)
def quota_exceeded(exc: QuotaExceededError, request: Request) -> Response:
    """Answer 402 when the monthly quota is used up."""
    return _error_response(request, ProblemError(402, "quota_exceeded", str(exc)))


@exception_view_config(PlanLimitError)
def plan_limit_reached(exc: PlanLimitError, request: Request) -> Response:
    """Answer 402 when the plan allows no more of something."""
    return _error_response(request, ProblemError(402, "plan_limit_reached", str(exc)))


@exception_view_config(ServerBusyError)
def too_many_password_checks(exc: ServerBusyError, request: Request) -> Response:
    """Answer 503 when too many passwords are being hashed at once."""
    return _busy(request, gettext("The server is busy. Try again in a moment"))


@exception_view_config(SlowRequestLimitError)
def too_many_slow_requests(exc: SlowRequestLimitError, request: Request) -> Response:
    """Answer 503 when too many slow requests run at once."""
    return _busy(request, gettext("Too many slow requests are running. Try again in a moment"))


@exception_view_config(HTTPException)
def http_error(exc: HTTPException, request: Request) -> Response:
    """Answer an error that was raised with its status."""
    if exc.status_int < 400:
        return exc
    code, message = DEFAULT_PROBLEMS.get(exc.status_int, ("error", exc.title))
    response = _error_response(request, ProblemError(exc.status_int, code, exc.detail or gettext(message)))
    response.allow = exc.allow
    return response


@exception_view_config(ProblemError)
def problem(exc: ProblemError, request: Request) -> Response:
    """Answer a problem of the API."""
    return _error_response(request, exc)


@exception_view_config(ImagingError)
def imaging_error(exc: ImagingError, request: Request) -> Response:
    """Answer 422 for data or a template that cannot be rendered."""
    if isinstance(exc, IncompleteImageError):
        missing = {f"layers.{finding.layer}": finding.message for finding in exc.findings}
        return _error_response(request, ProblemError(422, "photo_missing", str(exc), missing))
    unknown = exc.unknown if isinstance(exc, UnknownFieldsError) else []
    errors = {f"data.{name}": gettext("The template has no such field") for name in unknown}
    return _error_response(request, ProblemError(422, "cannot_render", str(exc), errors))


@exception_view_config(StorageError)
def storage_error(exc: StorageError, request: Request) -> Response:
    """Answer 503 when the workspace's storage fails."""
    STORAGE_ERRORS.labels(type(exc).__name__).inc()
    # The messages of plugins are in English; storage/plugin_texts.py marks those of ours.
    return _error_response(request, ProblemError(503, "storage_unavailable", gettext(str(exc))))


def database_error(exc: Exception, request: Request) -> Response:
    """Answer 503 when the database is unavailable, or another transaction is in the way."""
    cause = getattr(exc, "orig", exc)
    if isinstance(cause, CONTENTION):
        return _busy(request, gettext("Another change is in progress. Try again in a few seconds"))
    log.error("database unavailable", request=request.id, error=str(cause))
    return _retry_response(request, translated(UNAVAILABLE), DATABASE_RETRY_SECONDS)


for database_error_class in DATABASE_ERRORS:
    exception_view_config(database_error_class)(database_error)


@exception_view_config(IntegrityError)
@exception_view_config(psycopg.IntegrityError)
def integrity_error(exc: IntegrityError | psycopg.IntegrityError, request: Request) -> Response:
    """Answer 409 if another request changed the same rows at the same moment."""
    problem = conflict_of(exc)
    return internal_error(exc, request) if problem is None else _error_response(request, problem)


@exception_view_config(StaleDataError)
@exception_view_config(ObjectDeletedError)
def row_deleted(exc: Exception, request: Request) -> Response:
    """Answer 409 if another request deleted a row that this one has read."""
    log.warning("row deleted meanwhile", path=request.raw_path, request=request.id, error=type(exc).__name__)
    return _error_response(request, ProblemError(409, "conflict", gettext(CHANGED)))


@exception_view_config(NoResultFound)
def row_not_found(exc: NoResultFound, request: Request) -> Response:
    """Answer 404 for a row that was deleted after its URL was resolved."""
    log.warning("row not found", path=request.raw_path, request=request.id)
    return _error_response(request, _default_problem(404))


@exception_view_config(Exception)
def internal_error(exc: Exception, request: Request) -> Response:
    """Answer 500 for an unexpected error; the log has the traceback under the request id that the user sees."""
    log.exception("request failed", path=request.raw_path, method=request.method, request=request.id)
    return _error_response(request, translated(INTERNAL_ERROR))


def _busy(request: Request, message: str) -> Response:
    return _retry_response(request, ProblemError(503, "busy", message), BUSY_RETRY_SECONDS)


def _retry_response(request: Request, problem: ProblemError, seconds: int) -> Response:
    response = _error_response(request, problem)
    response.headers["Retry-After"] = str(seconds)
    return response


def _allowed_methods(request: Request) -> set[str]:
    """Return the methods that the URL accepts."""
    allowed: set[str] = set()
    for view in request.registry.introspector.get_category("views"):
        introspectable = view["introspectable"]
        context = introspectable["context"]
        has_name = (introspectable["name"] or "") == request.view_name
        if has_name and isinstance(context, type) and isinstance(request.context, context):
            methods = introspectable["request_methods"] or ()
            allowed |= {methods} if isinstance(methods, str) else set(methods)
    return allowed | ({"HEAD"} if "GET" in allowed else set())


def _default_problem(status: int) -> ProblemError:
    code, message = DEFAULT_PROBLEMS[status]
    return ProblemError(status, code, gettext(message))


def _unauthorized() -> ProblemError:
    return ProblemError(401, "unauthorized", "Send an API key: Authorization: Bearer cwz_live_…")


def _error_response(request: Request, problem: ProblemError) -> Response:
    if is_api_request(request):
        return problem_response(request, problem)
    response = render_to_response(
        "errors/error.jinja2", template_values(_error_page(request, problem)), request=request
    )
    response.status = problem.status
    return response


def _error_page(request: Request, problem: ProblemError) -> ErrorPage:
    """Return the page. A workspace of others is like one that does not exist: the user's own are offered."""
    workspace = request.workspace_or_none
    user = request.known_identity
    may_sign_in = problem.status == 404 and cookie_name(request) not in request.cookies
    known = user.workspaces if isinstance(user, SignedInUser) else ()
    return ErrorPage(
        problem=problem,
        advice=gettext(ADVICE[problem.status]) if problem.status in ADVICE else "",
        workspace=workspace,
        others=() if workspace else known[:MAX_WORKSPACES],
        can_upgrade=problem.status == 402 and workspace is not None and request.services.settings.billing.enabled,
        sign_in_path=sign_in_path(request) if may_sign_in else "",
    )

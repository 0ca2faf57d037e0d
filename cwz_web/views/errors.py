"""When something is wrong: one view turns each family of errors into a page for people, or a problem for machines."""

import psycopg
import structlog
from pyramid.exceptions import BadCSRFOrigin, BadCSRFToken, PredicateMismatch
from pyramid.httpexceptions import HTTPException, HTTPForbidden, HTTPNotFound, HTTPSeeOther
from pyramid.location import lineage
from pyramid.renderers import render_to_response
from pyramid.response import Response
from pyramid.view import exception_view_config, forbidden_view_config, notfound_view_config
from sqlalchemy.exc import OperationalError

from cwz_web.accounts.passwords import ServerBusyError
from cwz_web.billing.plans import PlanLimitError
from cwz_web.generation.usage import READ_ONLY_MESSAGE, QuotaExceededError
from cwz_web.imaging.errors import ImagingError, UnknownFieldsError
from cwz_web.metrics import STORAGE_ERRORS
from cwz_web.storage.contract import StorageError
from cwz_web.web.problems import ProblemError, is_machine, problem_response
from cwz_web.web.rate_limits import RateLimitedError
from cwz_web.web.request import Request
from cwz_web.web.stream_limits import StreamLimitError
from cwz_web.web.urls import sign_in_path

log = structlog.get_logger()

SAYINGS = {
    400: ("bad_request", "This request cannot be understood"),
    403: ("forbidden", "You may not do this"),
    404: ("not_found", "There is nothing here"),
    405: ("method_not_allowed", "This address does not take that method"),
}


@notfound_view_config(append_slash=False)
def not_found(exc: HTTPNotFound, request: Request) -> Response:
    """Nothing there; or nothing for a visitor, who may sign in first."""
    if not is_machine(request) and request.raw_path.startswith(("/w/", "/account/")) and request.identity is None:
        return HTTPSeeOther(sign_in_path(request))
    if request.raw_path.startswith("/v1/") and request.identity is None:
        return problem_response(request, _unauthorized())
    allowed = _methods(request) if isinstance(exc, PredicateMismatch) else set()
    if allowed and request.method not in allowed:
        response = _answer(request, ProblemError(405, *SAYINGS[405]))
        response.allow = sorted(allowed)
        return response
    return _answer(request, ProblemError(404, *SAYINGS[404]))


@forbidden_view_config()
def forbidden(exc: HTTPForbidden, request: Request) -> Response:
    """Not allowed; or not signed in."""
    if any(getattr(resource, "is_read_only", False) for resource in lineage(request.context)):
        return _answer(request, ProblemError(402, "read_only", READ_ONLY_MESSAGE))
    if request.raw_path.startswith("/v1/"):
        return problem_response(
            request, _unauthorized() if request.identity is None else ProblemError(403, *SAYINGS[403])
        )
    person = request.user
    if person is None:
        return HTTPSeeOther(sign_in_path(request))
    if request.workspace_or_none is not None and person.lacks_second_factor(request.workspace):
        return HTTPSeeOther("/account/second-factor")
    log.warning("not allowed", account=str(person.account.id), path=request.raw_path, method=request.method)
    return _answer(request, ProblemError(403, *SAYINGS[403]))


@exception_view_config(BadCSRFToken)
@exception_view_config(BadCSRFOrigin)
def bad_csrf(exc: Exception, request: Request) -> Response:
    """A form that is out of date, or forged."""
    log.warning("request refused", reason=type(exc).__name__, path=request.raw_path, request=request.id)
    return _answer(
        request, ProblemError(400, "bad_csrf", "This form is out of date. Go back, reload the page, and try again")
    )


@exception_view_config(RateLimitedError)
def too_many(exc: RateLimitedError, request: Request) -> Response:
    """Tried too often: says when to try again."""
    wait = f"{exc.seconds} seconds" if exc.seconds < 100 else f"{round(exc.seconds / 60)} minutes"
    response = _answer(request, ProblemError(429, "too_many", f"That was tried too often. Please try again in {wait}"))
    response.headers["Retry-After"] = str(exc.seconds)
    return response


@exception_view_config(QuotaExceededError)
def quota_exceeded(exc: QuotaExceededError, request: Request) -> Response:
    """No more images this month."""
    return _answer(request, ProblemError(402, "quota_exceeded", str(exc)))


@exception_view_config(PlanLimitError)
def no_room(exc: PlanLimitError, request: Request) -> Response:
    """The plan has no room for one more."""
    return _answer(request, ProblemError(402, "no_room", str(exc)))


@exception_view_config(ServerBusyError)
def too_busy(exc: ServerBusyError, request: Request) -> Response:
    """More passwords are being checked than this machine can."""
    return _busy(request, "We are very busy just now. Please try again in a moment")


@exception_view_config(StreamLimitError)
def all_taken(exc: StreamLimitError, request: Request) -> Response:
    """As many long answers are being given as there may be at once."""
    return _busy(request, "Other large files or counts are still on their way. Please try again when one is through")


@exception_view_config(HTTPException)
def http_error(exc: HTTPException, request: Request) -> Response:
    """Any other error that Pyramid or we raise by its status."""
    if exc.status_int < 400:
        return exc
    code, saying = SAYINGS.get(exc.status_int, ("error", exc.title))
    response = _answer(request, ProblemError(exc.status_int, code, exc.detail or saying))
    response.allow = exc.allow
    return response


@exception_view_config(ProblemError)
def problem(exc: ProblemError, request: Request) -> Response:
    """What the API has to say."""
    return _answer(request, exc)


@exception_view_config(ImagingError)
def imaging_error(exc: ImagingError, request: Request) -> Response:
    """An image cannot be made of what was given."""
    errors = (
        {f"data.{name}": "The template has no such column" for name in exc.unknown}
        if isinstance(exc, UnknownFieldsError)
        else {}
    )
    return _answer(request, ProblemError(422, "cannot_render", str(exc), errors))


@exception_view_config(StorageError)
def storage_error(exc: StorageError, request: Request) -> Response:
    """The workspace's storage has a problem."""
    STORAGE_ERRORS.labels(type(exc).__name__).inc()
    return _answer(request, ProblemError(503, "storage_unavailable", str(exc)))


@exception_view_config(psycopg.OperationalError)
@exception_view_config(OperationalError)
def database_error(exc: Exception, request: Request) -> Response:
    """The database does not answer, or what is to be changed is being changed for long."""
    reason = getattr(exc, "orig", exc)
    if isinstance(reason, psycopg.errors.LockNotAvailable):
        return _busy(request, "Something else is changing this just now. Please try again in a few seconds")
    log.error("database unavailable", request=request.id, error=str(reason))
    response = _answer(
        request, ProblemError(503, "unavailable", "We cannot reach our database just now. Please try again in a minute")
    )
    response.headers["Retry-After"] = "30"
    return response


@exception_view_config(Exception)
def fault(exc: Exception, request: Request) -> Response:
    """A mistake of ours: the log has the trace, the person the id to quote."""
    log.exception("request failed", path=request.raw_path, method=request.method, request=request.id)
    return _answer(request, ProblemError(500, "fault", "Something went wrong on our side. The error was recorded"))


def _busy(request: Request, said: str) -> Response:
    """Nothing was done; it may work soon."""
    response = _answer(request, ProblemError(503, "busy", said))
    response.headers["Retry-After"] = "5"
    return response


def _methods(request: Request) -> set[str]:
    """The methods that the address takes."""
    found: set[str] = set()
    for view in request.registry.introspector.get_category("views"):
        introspectable = view["introspectable"]
        context = introspectable["context"]
        same_name = (introspectable["name"] or "") == request.view_name
        if same_name and isinstance(context, type) and isinstance(request.context, context):
            methods = introspectable["request_methods"] or ()
            found |= {methods} if isinstance(methods, str) else set(methods)
    return found | ({"HEAD"} if "GET" in found else set())


def _unauthorized() -> ProblemError:
    return ProblemError(401, "unauthorized", "Send an API key: Authorization: Bearer cwz_live_…")


def _answer(request: Request, problem: ProblemError) -> Response:
    if is_machine(request):
        return problem_response(request, problem)
    response = render_to_response("errors/error.jinja2", {"problem": problem}, request=request)
    response.status = problem.status
    return response

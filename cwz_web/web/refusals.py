"""Refused requests in the activity log: without the permission, for an unknown id, or for another tenant's workspace.

A tween looks at the final answer, so no view and no error page can forget it. Entries are limited by request, user,
network and workspace (the limit `refusal`); what exceeds the limit is in the log of the process only. The request's
transaction is rolled back, so an entry has its own.
"""

from uuid import UUID

import psycopg
import structlog
from procrastinate.exceptions import ProcrastinateException
from pyramid.config import Configurator
from pyramid.registry import Registry
from pyramid.response import Response
from pyramid.tweens import EXCVIEW
from sqlalchemy.exc import SQLAlchemyError

from cwz_web.accounts.tokens import digest
from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.resources.workspace import WorkspaceCollection
from cwz_web.security import SignedInUser
from cwz_web.web.rate_limit_subjects import find_subjects
from cwz_web.web.rate_limits import RateLimitedError
from cwz_web.web.request import Handler, Request
from cwz_web.workspaces.audit import record
from cwz_web.workspaces.creation import validate_slug
from cwz_web.workspaces.tasks import enqueue_outside_attempt

log = structlog.get_logger()

MAX_TARGET_LENGTH = 300


def refusals_tween(handler: Handler, registry: Registry) -> Handler:
    """Record the requests of a user or an API key that were answered 403, or 404 for an id."""

    def tween(request: Request) -> Response:
        response = handler(request)
        if response.status_int in (403, 404) and request.known_identity is not None:
            try:
                _record(request, response.status_int)
            except (SQLAlchemyError, psycopg.Error, ProcrastinateException) as error:
                log.error("refused request not recorded", request=request.id, error=type(error).__name__)
        return response

    return tween


def _record(request: Request, status: int) -> None:
    workspace_id = _workspace_of_caller(request)
    slug = _requested_slug(request) if status == 404 else None
    is_recorded = workspace_id is not None and (status == 403 or _is_id(getattr(request, "view_name", "")))
    if not is_recorded and slug is None:
        return
    try:
        request.services.limiter.reserve("refusal", _subjects(request, workspace_id))
    except RateLimitedError:
        return
    with request.services.database.transaction(workspace_id) as db:
        if slug is not None:
            enqueue_outside_attempt(db, slug, _target(request), request.user.account_id, request.remote_addr or "")
        elif workspace_id is not None:
            record(
                db,
                workspace_id,
                request.actor,
                "access.refuse" if status == 403 else "access.unknown",
                _target(request),
            )


def _subjects(request: Request, workspace_id: UUID | None) -> dict[str, str]:
    """Return what an entry is counted by; a program that repeats one request fills no log."""
    callers = find_subjects(request, ("user", "network"))
    caller = request.identity.key_id if isinstance(request.identity, ApiKeyIdentity) else callers.get("user")
    workspaces = {"workspace": str(workspace_id)} if workspace_id else {}
    return {"request": digest(f"{caller} {_target(request)}")} | workspaces | callers


def _workspace_of_caller(request: Request) -> UUID | None:
    """Return the workspace of the URL, of which the user is a member, or of the API key."""
    if isinstance(request.identity, ApiKeyIdentity):
        return request.identity.workspace_id
    access = request.workspace_or_none
    return access.workspace_id if access else None


def _requested_slug(request: Request) -> str | None:
    """Return the slug in the URL, if the user is not a member of such a workspace."""
    context = getattr(request, "context", None)  # None if request validation rejected the path
    if not isinstance(request.identity, SignedInUser) or not isinstance(context, WorkspaceCollection):
        return None
    try:
        return validate_slug(request.view_name)
    except ValueError:
        return None


def _is_id(segment: str) -> bool:
    """Return whether the part of the URL that was not found is an id; other parts are typing errors."""
    try:
        UUID(segment.partition(".")[0])
    except ValueError:
        return False
    return True


def _target(request: Request) -> str:
    return f"{request.method} {request.path}"[:MAX_TARGET_LENGTH]


def includeme(config: Configurator) -> None:
    """Install the tween above the one that turns exceptions into pages, within the request's transaction."""
    config.add_tween("cwz_web.web.refusals.refusals_tween", over=EXCVIEW, under="pyramid_tm.tm_tween_factory")

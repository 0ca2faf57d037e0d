"""The log of API requests: search, filters and pages."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.orm import Session

from cwz_web.db.pagination import Page, Sort, fetch_page, first_id
from cwz_web.generation.api_request_recorder import FIRST_ERROR
from cwz_web.generation.models import ApiRequest
from cwz_web.i18n import gettext_noop

REQUEST_PAGE = 50
CHART_MINUTES = 60
NEWEST = Sort(gettext_noop("Newest first"))
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# Constants and no parameters: PostgreSQL uses the index of errors only if it can prove its condition.
REQUEST_STATUSES: dict[str, tuple[str, ColumnElement[bool]]] = {
    "success": (gettext_noop("Successful"), literal_column("api_requests.status < 400")),
    "error": (gettext_noop("All errors"), literal_column("api_requests.status >= 400")),
    "client": (gettext_noop("Client errors (4xx)"), literal_column("api_requests.status BETWEEN 400 AND 499")),
    "server": (gettext_noop("Server errors (5xx)"), literal_column("api_requests.status >= 500")),
}
PERIODS = {
    "hour": (gettext_noop("Last hour"), timedelta(hours=1)),
    "day": (gettext_noop("Last 24 hours"), timedelta(days=1)),
}
_request_id = re.compile(r"(?:req_)?([0-9a-f]{32})")


@dataclass(frozen=True)
class RequestMinute:
    """The requests of a minute: all, the errors among them, and those that a rate limit refused."""

    minute: datetime
    requests: int
    errors: int
    refused: int


def count_requests_by_minute(db: Session, workspace_id: UUID, now: datetime) -> list[RequestMinute]:
    """Return the recorded requests of each of the last CHART_MINUTES minutes, this one last."""
    last = now.replace(second=0, microsecond=0)
    minutes = [last - timedelta(minutes=ago) for ago in reversed(range(CHART_MINUTES))]
    minute = func.date_trunc("minute", ApiRequest.created_at, "UTC")
    query = (
        select(
            minute,
            func.count(),
            func.count().filter(ApiRequest.status >= FIRST_ERROR),
            func.count().filter(ApiRequest.status == HTTPStatus.TOO_MANY_REQUESTS),
        )
        .where(ApiRequest.workspace_id == workspace_id, ApiRequest.id >= first_id(minutes[0]))
        .group_by(minute)
    )
    counts = {row[0]: row[1:] for row in db.execute(query)}
    return [RequestMinute(each, *counts.get(each, (0, 0, 0))) for each in minutes]


def find_requests(
    db: Session,
    workspace_id: UUID,
    *,
    search: str = "",
    status: str = "",
    key_id: UUID | None = None,
    method: str = "",
    period: str = "",
    after: UUID | None = None,
) -> Page[ApiRequest]:
    """Return a page of the workspace's requests to the API, newest first.

    Args:
        db: A transaction in the workspace.
        workspace_id: The workspace.
        search: Only the request with this id, or those with this in their path, ignoring case.
        status: Only responses of this class, one of REQUEST_STATUSES.
        key_id: Only requests with this API key.
        method: Only requests with this method.
        period: Only requests of this time, one of PERIODS.
        after: Where the page begins.
    """
    conditions = [ApiRequest.workspace_id == workspace_id]
    if found := _request_id.fullmatch(search.lower()):
        conditions.append(ApiRequest.id == UUID(found[1]))
    elif search:
        conditions.append(ApiRequest.path.icontains(search, autoescape=True))
    if status:
        conditions.append(REQUEST_STATUSES[status][1])
    if key_id:
        conditions.append(ApiRequest.key_id == key_id)
    if method:
        conditions.append(ApiRequest.method == method)
    if period:
        conditions.append(ApiRequest.id >= first_id(datetime.now(UTC) - PERIODS[period][1]))
    query = select(ApiRequest).where(*conditions)
    page = fetch_page(db, query, ApiRequest, workspace_id=workspace_id, sort=NEWEST, after=after, size=REQUEST_PAGE)
    return replace(page, rows=[row[0] for row in page.rows])

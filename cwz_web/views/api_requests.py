"""The log of API requests: search, filters and pages."""

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal
from uuid import UUID

from pyramid.view import view_config

from cwz_web.generation.api_request_list import (
    METHODS,
    PERIODS,
    REQUEST_STATUSES,
    RequestMinute,
    count_requests_by_minute,
    find_requests,
)
from cwz_web.generation.api_request_recorder import FIRST_ERROR, MAX_PER_MINUTE
from cwz_web.generation.key_list import list_key_names
from cwz_web.generation.models import ApiRequest
from cwz_web.i18n import gettext, ngettext, number
from cwz_web.ops.retention import MAX_API_REQUESTS
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import RequestLog
from cwz_web.web.lists import Filter, ListControls, ListForm, filter_labels, keep_url, read_list_form
from cwz_web.web.request import Request

FIRST_SERVER_ERROR = 500


class RequestListForm(ListForm):
    """Which requests are shown."""

    status: Literal["", "success", "error", "client", "server"] = ""
    key: UUID | Literal[""] = ""
    method: Literal["", "GET", "POST", "PUT", "PATCH", "DELETE"] = ""
    period: Literal["", "hour", "day"] = ""


@dataclass(frozen=True)
class RequestRow:
    """A request in the list.

    Attributes:
        id: The request id, as in the header `X-Request-Id`.
        status: The status with its phrase; `badge` is the class of its badge.
        key: The name and the prefix of the API key.
    """

    request: ApiRequest
    id: str
    status: str
    badge: str
    key: str


@dataclass(frozen=True)
class RequestBar:
    """A minute of the chart; the heights are in percent of the highest minute."""

    label: str
    height: int
    error_height: int


@dataclass(frozen=True)
class RequestChart:
    """The requests of the last hour by minute, and in words."""

    bars: list[RequestBar]
    summary: str


@dataclass(frozen=True)
class RequestListPart:
    """What api/_requests.jinja2 shows."""

    requests: list[RequestRow]
    list: ListControls


@dataclass(frozen=True)
class RequestListPage(RequestListPart):
    """What api/requests.jinja2 shows.

    `days` is how long requests are kept; 0 if the operator keeps no log. At most `max_rows` are kept, and
    `max_per_minute` are recorded. Only the first page of all requests has a chart.
    """

    days: int
    max_rows: int
    max_per_minute: int
    chart: RequestChart | None


@view_config(
    context=RequestLog,
    request_method="GET",
    renderer="api/_requests.jinja2",
    permission=Permission.REQUEST_LOG_VIEW,
    partial=True,
)
def list_requests(context: RequestLog, request: Request) -> RequestListPart:
    """Show a page of the requests, newest first, of all or of those that match the filters."""
    db, workspace_id = request.db, request.workspace.workspace_id
    form = read_list_form(RequestListForm, request)
    with request.services.slow_requests.slot(workspace_id, when=bool(form.search)):  # no index covers parts of paths
        page = find_requests(
            db,
            workspace_id,
            search=form.search,
            status=form.status,
            key_id=form.key or None,
            method=form.method,
            period=form.period,
            after=form.after or None,
        )
    keys = list_key_names(db, workspace_id)
    controls = ListControls(
        noun="requests",
        search=form.search,
        filters=_filters(form, keys, request.services.settings.retention.request_days),
        count=page.count,
        after=str(form.after),
        next_after=page.next_after,
        placeholder=gettext("Search by path or request ID…"),
    )
    keep_url(request, controls)
    return RequestListPart([_request_row(found, keys) for found in page.rows], controls)


@view_config(
    context=RequestLog,
    request_method="GET",
    renderer="api/requests.jinja2",
    permission=Permission.REQUEST_LOG_VIEW,
    partial=False,
)
def request_log(context: RequestLog, request: Request) -> RequestListPage:
    """Show the requests, with a chart of the last hour above all of them."""
    part = list_requests(context, request)
    chart = None
    if part.requests and not part.list.is_filtered and not part.list.after:
        minutes = count_requests_by_minute(request.db, request.workspace.workspace_id, datetime.now(UTC))
        chart = _describe_chart(minutes)
    return RequestListPage(
        **vars(part),
        days=request.services.settings.retention.request_days,
        max_rows=MAX_API_REQUESTS,
        max_per_minute=MAX_PER_MINUTE,
        chart=chart,
    )


def _describe_chart(minutes: list[RequestMinute]) -> RequestChart:
    highest = max(*(each.requests for each in minutes), 1)
    bars = [
        RequestBar(
            label=gettext(
                "%(time)s UTC: %(requests)s, %(errors)s",
                time=f"{each.minute:%H:%M}",
                requests=ngettext("%(count)s request", "%(count)s requests", each.requests),
                errors=ngettext("%(count)s error", "%(count)s errors", each.errors),
            ),
            height=round(each.requests * 100 / highest),
            error_height=round(each.errors * 100 / highest),
        )
        for each in minutes
    ]
    total, refused = sum(each.requests for each in minutes), sum(each.refused for each in minutes)
    summary = gettext(
        "Last hour: %(requests)s, at most %(highest)s a minute. %(refused)s",
        requests=ngettext("%(count)s request", "%(count)s requests", total),
        highest=number(max(each.requests for each in minutes)),
        refused=ngettext("%(count)s was refused by a rate limit.", "%(count)s were refused by a rate limit.", refused),
    )
    return RequestChart(bars, summary)


def _filters(form: RequestListForm, keys: dict[str, str], days: int) -> tuple[Filter, ...]:
    statuses = filter_labels(REQUEST_STATUSES)
    periods = filter_labels(PERIODS)
    methods = {name: name for name in METHODS}
    return (
        Filter("status", gettext("Status"), {"": gettext("All statuses"), **statuses}, form.status),
        Filter("method", gettext("Method"), {"": gettext("All methods"), **methods}, form.method),
        Filter("key", gettext("Key"), {"": gettext("All keys"), **keys}, str(form.key)),
        Filter("period", gettext("Time"), {"": _last_days(days), **periods}, form.period),
    )


def _last_days(days: int) -> str:
    return ngettext("Last day", "Last %(count)s days", days)


def _request_row(found: ApiRequest, keys: dict[str, str]) -> RequestRow:
    badge = "success" if found.status < FIRST_ERROR else "warning" if found.status < FIRST_SERVER_ERROR else "error"
    try:
        status = f"{found.status} {HTTPStatus(found.status).phrase}"
    except ValueError:
        status = str(found.status)
    key = keys.get(str(found.key_id)) or gettext("An older key")
    return RequestRow(found, f"req_{found.id.hex}", status, badge, key)

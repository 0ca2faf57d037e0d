"""The activity page: the audit log, its filter, its verification and its CSV export."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BeforeValidator, ConfigDict, StringConstraints
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WorkspaceResource
from cwz_web.web.downloads import csv_download
from cwz_web.web.forms import Form, SubmittedForm, read_form
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.web.urls import after_position
from cwz_web.workspaces.audit import (
    AUDIT_LABELS,
    FORMER_LABELS,
    PAGE_SIZE,
    AuditFilter,
    export_rows,
    find_chain_break,
    list_actions,
    list_entries,
)
from cwz_web.workspaces.models import AuditEntry

Day = Annotated[date | None, BeforeValidator(lambda value: value or None)]


class FilterForm(Form):
    """The filter; other query parameters are ignored."""

    model_config = ConfigDict(extra="ignore")

    actor: Annotated[str, StringConstraints(max_length=100)] = ""
    action: Annotated[str, StringConstraints(max_length=60)] = ""
    since: Day = None
    until: Day = None


@dataclass(frozen=True)
class EntryRow:
    """An entry as the table shows it."""

    number: int
    at: datetime
    actor: str
    action: str
    target: str
    details: str
    ip_address: str


@dataclass(frozen=True)
class AuditPage:
    """The view model of audit/show.jinja2 and audit/_entries.jinja2.

    Attributes:
        actions: The actions of the filter with their labels, sorted by label.
        query: The filter as a query string.
        older_query: The query string of the next page; None on the last page.
        is_verified: Whether the user has verified the log.
        broken: The number of the first entry that breaks the chain, or None.
    """

    form: SubmittedForm[FilterForm]
    entries: list[EntryRow]
    actions: list[tuple[str, str]]
    query: str
    older_query: str | None
    is_verified: bool
    broken: int | None


@page_view(
    "audit/show.jinja2",
    "audit/_entries.jinja2",
    context=WorkspaceResource,
    name="audit",
    permission=Permission.AUDIT_VIEW,
)
def audit_page(context: WorkspaceResource, request: Request) -> AuditPage:
    """Show a page of the log, the newest entry first."""
    workspace_id = context.access.workspace_id
    form = read_form(FilterForm, request.GET)
    entries = list_entries(request.db, workspace_id, _filters(form), after_position(request) or None)
    filters = {name: value for name, value in form.typed.items() if name in FilterForm.model_fields and value}
    is_verified = "check" in request.GET
    return AuditPage(
        form=form,
        entries=[_row(entry) for entry in entries],
        actions=sorted(
            ((action, _label(action)) for action in list_actions(request.db, workspace_id)), key=lambda item: item[1]
        ),
        query=urlencode(filters),
        older_query=urlencode(filters | {"after": entries[-1].number}) if len(entries) == PAGE_SIZE else None,
        is_verified=is_verified,
        broken=find_chain_break(request.db, workspace_id) if is_verified else None,
    )


@view_config(context=WorkspaceResource, name="audit.csv", request_method="GET", permission=Permission.AUDIT_VIEW)
def audit_csv(context: WorkspaceResource, request: Request) -> Response:
    """Download the log as CSV."""
    filters = _filters(read_form(FilterForm, request.GET))
    rows = export_rows(request.db, context.access.workspace_id, filters)
    return csv_download(f"{context.access.slug}-activity.csv", rows)


def _filters(form: SubmittedForm[FilterForm]) -> AuditFilter:
    return AuditFilter(**form.value.model_dump()) if form.value else AuditFilter()


def _row(entry: AuditEntry) -> EntryRow:
    return EntryRow(
        entry.number,
        entry.at,
        entry.actor,
        _label(entry.action),
        entry.target,
        _format_details(entry.details),
        entry.ip_address,
    )


def _label(action: str) -> str:
    return AUDIT_LABELS.get(action) or FORMER_LABELS.get(action, action)


def _format_details(details: Mapping[str, Any]) -> str:
    """Return the JSON values of an entry as text: `role: admin, previous role: user`."""
    return ", ".join(f"{name.replace('_', ' ')}: {_format_value(value)}" for name, value in details.items())


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)

"""The activity page: the audit log, its filter, its verification and its CSV export."""

from datetime import date
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BeforeValidator, ConfigDict, StringConstraints
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WorkspaceResource
from cwz_web.web.forms import Filled, Form, read_form
from cwz_web.web.request import Request
from cwz_web.web.urls import after_position
from cwz_web.workspaces.audit import PAGE_SIZE, AuditFilter, export_csv, find_chain_break, list_actions, list_entries

Day = Annotated[date | None, BeforeValidator(lambda value: value or None)]


class FilterForm(Form):
    """The filter; other query parameters are ignored."""

    model_config = ConfigDict(extra="ignore")

    actor: Annotated[str, StringConstraints(max_length=100)] = ""
    action: Annotated[str, StringConstraints(max_length=60)] = ""
    since: Day = None
    until: Day = None


@view_config(
    context=WorkspaceResource,
    name="audit",
    request_method="GET",
    renderer="audit/show.jinja2",
    permission=Permission.AUDIT_VIEW,
    partial=False,
)
@view_config(
    context=WorkspaceResource,
    name="audit",
    request_method="GET",
    renderer="audit/_entries.jinja2",
    permission=Permission.AUDIT_VIEW,
    partial=True,
)
def audit_page(context: WorkspaceResource, request: Request) -> dict[str, Any]:
    """Show a page of the log, the newest entry first."""
    workspace_id = context.access.workspace_id
    form = read_form(FilterForm, request.GET)
    entries = list_entries(request.db, workspace_id, _filters(form), after_position(request) or None)
    checked = "check" in request.GET
    typed = {name: value for name, value in form.typed.items() if name in FilterForm.model_fields and value}
    return {
        "form": form,
        "entries": entries,
        "actions": list_actions(request.db, workspace_id),
        "query": urlencode(typed),
        "more": entries[-1].number if len(entries) == PAGE_SIZE else None,
        "checked": checked,
        "broken": find_chain_break(request.db, workspace_id) if checked else None,
    }


@view_config(context=WorkspaceResource, name="audit.csv", request_method="GET", permission=Permission.AUDIT_VIEW)
def audit_csv(context: WorkspaceResource, request: Request) -> Response:
    """Download the log as CSV."""
    filters = _filters(read_form(FilterForm, request.GET))
    body = b"".join(export_csv(request.db, context.access.workspace_id, filters))
    response = Response(body, content_type="text/csv", charset="utf-8")
    response.content_disposition = f'attachment; filename="{context.access.slug}-activity.csv"'
    return response


def _filters(form: Filled[FilterForm]) -> AuditFilter:
    return AuditFilter(**form.value.model_dump()) if form.value else AuditFilter()

"""Export, deletion and restoration of a workspace."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from pydantic import Field
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.ops.exports import ExportPendingError, list_exports, request_export
from cwz_web.ops.models import Export, ExportState
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ExportCollection, ExportResource, WorkspaceCollection, WorkspaceResource
from cwz_web.storage.connections import has_storage
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.storage.models import Connection
from cwz_web.views.downloads import download_zip
from cwz_web.web.forms import FieldError, Form, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.workspaces.deletion import GRACE, delete_workspace, list_deletions, restore_workspace
from cwz_web.workspaces.models import Workspace

EXPORTS_PAGE = "exports.jinja2"
EXPORTS_PART = "_exports.jinja2"
DELETE_PAGE = "workspaces/delete.jinja2"
# A pending export shows its progress instead, one that is done its download.
LABELS = {ExportState.FAILED: gettext_noop("Failed"), ExportState.EXPIRED: gettext_noop("Deleted")}
BADGES = {ExportState.FAILED: "error"}


class ExportForm(Form):
    """Options of an export."""

    with_images: bool = False


class DeleteForm(Form):
    """The workspace's name to confirm its deletion, and whether to delete images in storage."""

    confirm: Annotated[str, Field(max_length=200)]
    with_images: bool = False


class RestoreForm(Form):
    """The workspace to restore."""

    workspace: UUID


@dataclass(frozen=True)
class ExportRow:
    """An export in the table of exports; `label` is the state of one that has no file."""

    export: Export
    is_pending: bool
    can_download: bool
    label: str
    badge: str
    error_message: str


@dataclass(frozen=True)
class ExportPage:
    """The view model of exports.jinja2 and of its part _exports.jinja2.

    Attributes:
        exports: The latest exports, the newest first.
        is_running: Whether the newest export is in progress, so that the page polls.
        retention_days: For how many days an export is kept.
    """

    form: SubmittedForm[ExportForm]
    exports: list[ExportRow]
    is_running: bool
    has_storage: bool
    retention_days: int


@dataclass(frozen=True)
class DeletePage:
    """The view model of workspaces/delete.jinja2.

    Attributes:
        restore_days: For how many days a deleted workspace can be restored.
        has_billing: Whether the installation has subscriptions, which end with the deletion.
    """

    form: SubmittedForm[DeleteForm]
    restore_days: int
    has_billing: bool


def _export_page(context: ExportCollection, request: Request, form: SubmittedForm[ExportForm]) -> ExportPage:
    workspace_id = request.workspace.workspace_id
    rows = [_export_row(export) for export in list_exports(request.db, workspace_id)]
    return ExportPage(
        form=form,
        exports=rows,
        is_running=bool(rows) and rows[0].is_pending,
        has_storage=has_storage(request.db, workspace_id),
        retention_days=request.services.settings.retention.export_days,
    )


def _export_row(export: Export) -> ExportRow:
    state = ExportState(export.state)
    return ExportRow(
        export=export,
        is_pending=state == ExportState.PENDING,
        can_download=state == ExportState.DONE,
        label=gettext(LABELS[state]) if state in LABELS else "",
        badge=BADGES.get(state, ""),
        error_message=(export.error_message or "") if state == ExportState.FAILED else "",
    )


def _delete_page(context: WorkspaceResource, request: Request, form: SubmittedForm[DeleteForm]) -> DeletePage:
    return DeletePage(form, restore_days=GRACE.days, has_billing=request.services.settings.billing.enabled)


@page_view(EXPORTS_PAGE, EXPORTS_PART, context=ExportCollection, permission=Permission.DELETE)
def export_list(context: ExportCollection, request: Request) -> ExportPage:
    """List the exports, with a form for a new one."""
    return _export_page(context, request, empty_form())


@form_view(
    ExportForm,
    _export_page,
    context=ExportCollection,
    renderer=EXPORTS_PAGE,
    permission=Permission.DELETE,
    rate_limit="workspace-export",
    requires_recent_auth=True,
)
def start_export(context: ExportCollection, request: Request, form: ExportForm) -> Response:
    """Start an export, unless another one is pending."""
    workspace_id = request.workspace.workspace_id
    try:
        request_export(request.db, workspace_id, request.user.account.id, with_images=form.with_images)
    except (ExportPendingError, InvalidSettingsError) as error:
        raise FieldError("with_images", str(error)) from None
    request.audit("workspace.export", request.workspace.name, with_images=form.with_images)
    return HTTPSeeOther(request.path_in("exports"))


@view_config(
    context=ExportResource,
    name="export.zip",
    request_method="GET",
    permission=Permission.DELETE,
    requires_recent_auth=True,
)
def download_export(context: ExportResource, request: Request) -> Response:
    """Download the zip file of an export."""
    export = context.row
    connection = request.db.get(Connection, (export.workspace_id, export.connection_id)) if export.key else None
    if export.state != ExportState.DONE or connection is None or export.key is None:
        return HTTPSeeOther(request.path_in("exports"))
    return download_zip(request, connection.spec, export.key)


@view_config(
    context=WorkspaceResource,
    name="delete",
    request_method="GET",
    renderer=DELETE_PAGE,
    permission=Permission.DELETE,
    requires_recent_auth=True,
)
def delete_page(context: WorkspaceResource, request: Request) -> DeletePage:
    """Show the effects of deleting the workspace."""
    return _delete_page(context, request, empty_form())


@form_view(
    DeleteForm,
    _delete_page,
    context=WorkspaceResource,
    name="delete",
    renderer=DELETE_PAGE,
    permission=Permission.DELETE,
    requires_recent_auth=True,
)
def confirm_deletion(context: WorkspaceResource, request: Request, form: DeleteForm) -> Response:
    """Delete the workspace; admins can restore it during the grace period."""
    if form.confirm != request.workspace.name:
        raise FieldError("confirm", gettext("Type %(name)s to confirm", name=request.workspace.name))
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id)
    delete_workspace(request.db, workspace, request.actor, with_images=form.with_images)
    return HTTPSeeOther("/w?done=deleted")


@view_config(context=WorkspaceCollection, name="restore", request_method="POST", permission=Permission.SIGNED_IN)
def restore_deleted(context: WorkspaceCollection, request: Request) -> Response:
    """Restore a workspace that the user was an admin of.

    The form is a button without a field that could show an error: if the workspace cannot be restored, the list
    without it follows.
    """
    form = read_form(RestoreForm, request.POST)
    selected_id = form.value.workspace if form.value else None
    deletions = list_deletions(request.db, request.user.account.id)
    selected = next((deletion for deletion in deletions if deletion.workspace_id == selected_id), None)
    workspace = restore_workspace(request.db, selected, request.actor) if selected else None
    return HTTPSeeOther(f"/w/{workspace.slug}" if workspace else "/w")

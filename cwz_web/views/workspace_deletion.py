"""Taking everything along, and leaving: exports of a workspace, its deletion, and the way back."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.ops.exports import list_exports, request_export
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ExportCollection, ExportResource, WorkspaceCollection, WorkspaceResource
from cwz_web.storage.connections import has_storage
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.storage.models import Connection
from cwz_web.views.downloads import download_zip
from cwz_web.web.forms import Form, empty_form, read_form
from cwz_web.web.request import Request
from cwz_web.workspaces.deletion import GRACE, delete_workspace, list_deletions, restore_workspace
from cwz_web.workspaces.models import Workspace

DELETE = "workspaces/delete.jinja2"
# How long an export that is not there yet keeps people from asking again.
BLOCKS = timedelta(days=1)


class ExportForm(Form):
    """What an export holds."""

    with_images: bool = False


class DeleteForm(Form):
    """That somebody means it, and what becomes of the storages."""

    confirm: Annotated[str, Field(max_length=200)]
    with_images: bool = False


class BringBackForm(Form):
    """Which workspace."""

    workspace: UUID


@view_config(
    context=ExportCollection,
    request_method="GET",
    renderer="exports.jinja2",
    permission=Permission.DELETE,
    partial=False,
)
@view_config(
    context=ExportCollection,
    request_method="GET",
    renderer="_exports.jinja2",
    permission=Permission.DELETE,
    partial=True,
)
def export_list(context: ExportCollection, request: Request) -> dict[str, Any]:
    """The exports that there are, and the form for another one."""
    workspace_id = request.workspace.workspace_id
    return {
        "exports": list_exports(request.db, workspace_id),
        "has_storage": has_storage(request.db, workspace_id),
        "days": request.services.settings.retention.export_days,
        "form": empty_form(),
    }


@view_config(context=ExportCollection, request_method="POST", renderer="exports.jinja2", permission=Permission.DELETE)
def export_form(context: ExportCollection, request: Request) -> Any:
    """Order an export. One at a time is enough."""
    form = read_form(ExportForm, request.POST)
    page = export_list(context, request)
    begun = datetime.now(UTC) - BLOCKS
    if form.value is not None and any(e.state == "pending" and e.created_at > begun for e in page["exports"]):
        form = form.with_error("with_images", "An export is being made already; wait until it is there")
    if form.value is not None:
        try:
            account_id = request.user.account.id
            images = form.value.with_images
            request_export(request.db, request.workspace.workspace_id, account_id, with_images=images)
        except InvalidSettingsError as error:
            form = form.with_error("with_images", str(error))
        else:
            request.audit("workspace.export", request.workspace.name, with_images=images)
            return HTTPSeeOther(request.path_in("exports"))
    request.response.status = 422
    return page | {"form": form}


@view_config(context=ExportResource, name="export.zip", request_method="GET", permission=Permission.DELETE)
def download_export(context: ExportResource, request: Request) -> Response:
    """Download the zip file of an export."""
    export = context.row
    connection = request.db.get(Connection, (export.workspace_id, export.connection_id)) if export.key else None
    if export.state != "done" or connection is None or export.key is None:
        return HTTPSeeOther(request.path_in("exports"))
    return download_zip(request, connection.spec, export.key)


@view_config(
    context=WorkspaceResource, name="delete", request_method="GET", renderer=DELETE, permission=Permission.DELETE
)
def delete_page(context: WorkspaceResource, request: Request) -> dict[str, Any]:
    """What will be lost, and the question."""
    return {"form": empty_form(), "days": GRACE.days}


@view_config(
    context=WorkspaceResource, name="delete", request_method="POST", renderer=DELETE, permission=Permission.DELETE
)
def delete_form(context: WorkspaceResource, request: Request) -> Any:
    """Delete the workspace: at once for everybody, and for good when its days are over."""
    form = read_form(DeleteForm, request.POST)
    if form.value is not None and form.value.confirm != request.workspace.name:
        form = form.with_error("confirm", f"This is not its name. Type {request.workspace.name}")
    if form.value is None:
        request.response.status = 422
        return {"form": form, "days": GRACE.days}
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id)
    delete_workspace(request.db, workspace, request.actor, with_images=form.value.with_images)
    return HTTPSeeOther("/w?done=deleted")


@view_config(context=WorkspaceCollection, name="bring-back", request_method="POST", permission=Permission.SIGNED_IN)
def bring_back_form(context: WorkspaceCollection, request: Request) -> Response:
    """Undo a deletion, as an admin of what was deleted."""
    form = read_form(BringBackForm, request.POST)
    mine = list_deletions(request.db, request.user.account.id)
    found = next((deletion for deletion in mine if form.value and deletion.workspace_id == form.value.workspace), None)
    workspace = restore_workspace(request.db, found, request.actor) if found else None
    return HTTPSeeOther(f"/w/{workspace.slug}" if workspace else "/w")

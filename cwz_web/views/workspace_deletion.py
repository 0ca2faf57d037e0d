"""Export, deletion and restoration of a workspace."""

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
# How long a pending export prevents another one.
PENDING_LIMIT = timedelta(days=1)


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
    """List the exports, with a form for a new one."""
    workspace_id = request.workspace.workspace_id
    return {
        "exports": list_exports(request.db, workspace_id),
        "has_storage": has_storage(request.db, workspace_id),
        "days": request.services.settings.retention.export_days,
        "form": empty_form(),
    }


@view_config(context=ExportCollection, request_method="POST", renderer="exports.jinja2", permission=Permission.DELETE)
def export_form(context: ExportCollection, request: Request) -> Any:
    """Start an export, unless another one is pending."""
    form = read_form(ExportForm, request.POST)
    page = export_list(context, request)
    begun = datetime.now(UTC) - PENDING_LIMIT
    if form.value is not None and any(e.state == "pending" and e.created_at > begun for e in page["exports"]):
        form = form.with_error("with_images", "An export is already in progress. Wait until it is completed")
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
    """Show the effects of deleting the workspace."""
    return {"form": empty_form(), "days": GRACE.days}


@view_config(
    context=WorkspaceResource, name="delete", request_method="POST", renderer=DELETE, permission=Permission.DELETE
)
def delete_form(context: WorkspaceResource, request: Request) -> Any:
    """Delete the workspace; admins can restore it during the grace period."""
    form = read_form(DeleteForm, request.POST)
    if form.value is not None and form.value.confirm != request.workspace.name:
        form = form.with_error("confirm", f"Enter {request.workspace.name} to confirm")
    if form.value is None:
        request.response.status = 422
        return {"form": form, "days": GRACE.days}
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id)
    delete_workspace(request.db, workspace, request.actor, with_images=form.value.with_images)
    return HTTPSeeOther("/w?done=deleted")


@view_config(context=WorkspaceCollection, name="restore", request_method="POST", permission=Permission.SIGNED_IN)
def restore(context: WorkspaceCollection, request: Request) -> Response:
    """Restore a workspace that the user was an admin of."""
    form = read_form(RestoreForm, request.POST)
    deletions = list_deletions(request.db, request.user.account.id)
    selected = next(
        (deletion for deletion in deletions if form.value and deletion.workspace_id == form.value.workspace), None
    )
    workspace = restore_workspace(request.db, selected, request.actor) if selected else None
    return HTTPSeeOther(f"/w/{workspace.slug}" if workspace else "/w")

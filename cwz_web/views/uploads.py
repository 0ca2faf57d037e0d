"""Uploads: the library of a workspace's images and fonts, one upload, and the panel of the editor."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlencode

from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPConflict, HTTPNotFound, HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.accounts.models import Account
from cwz_web.db.session import enter_workspace
from cwz_web.generation.brand import find_brand_uses, load_brand
from cwz_web.generation.models import Upload
from cwz_web.generation.upload_uses import UploadUse, count_templates, find_uses
from cwz_web.generation.uploads import (
    MAX_NAME,
    UploadError,
    UploadFilter,
    UploadInUseError,
    delete_upload,
    find_uploads,
    restore_upload,
)
from cwz_web.i18n import gettext, gettext_noop, translate_labels
from cwz_web.imaging.brand import Entry
from cwz_web.imaging.fonts import FAMILIES
from cwz_web.imaging.image_uploads import MAX_UPLOAD_BYTES
from cwz_web.imaging.uploads import FORMER_FONT, TYPE_LABELS, UploadKind
from cwz_web.ops.upload_purge import purge_upload
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import UploadCollection, UploadResource
from cwz_web.storage.connections import has_storage, list_connections
from cwz_web.storage.contract import StorageError
from cwz_web.stored_messages import translate_stored
from cwz_web.views.images import before_id
from cwz_web.web.forms import Form, Name, SubmittedForm, read_form
from cwz_web.web.notices import add_notice
from cwz_web.web.rate_limit_subjects import find_subjects
from cwz_web.web.rate_limits import LIMITS, RateLimitedError
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.web.uploads import UPLOAD_ERRORS, download_upload, store_upload

# Of one form. Browsers with JavaScript send each file on its own.
MAX_FILES = 20
# A file never changes, since a changed one has another digest and is another upload.
IMMUTABLE = "private, max-age=31536000, immutable"
KIND_LABELS = {UploadKind.IMAGE: gettext_noop("Images"), UploadKind.FONT: gettext_noop("Fonts")}


class FilterForm(Form):
    """Which uploads are shown."""

    model_config = ConfigDict(extra="ignore")

    kind: UploadKind | Literal[""] = ""
    name: Annotated[str, Field(max_length=MAX_NAME)] = ""
    state: Literal["deleted", ""] = ""


class NameForm(Form):
    """A new name. Templates refer to the file, so they do not change."""

    name: Name


class UploadItem(NamedTuple):
    """An upload in a list.

    Attributes:
        thumbnail: the path of its thumbnail; None if it has none.
        type_label: the file type.
        templates: how many templates use it in their draft or published version.
        in_brand: whether the brand uses it.
    """

    upload: Upload
    path: str
    thumbnail: str | None
    type_label: str
    templates: int
    in_brand: bool


@dataclass(frozen=True)
class FileError:
    """Why a file was not uploaded."""

    file_name: str
    message: str


@dataclass(frozen=True)
class UploadListPage:
    """The view model of uploads/list.jinja2, uploads/_page.jinja2 and uploads/panel.jinja2.

    Attributes:
        filters: the filters in use, as query parameters.
        next_query: the query of the next page; None after the last.
        errors: the files that were not uploaded.
    """

    items: list[UploadItem]
    filters: dict[str, str]
    kinds: dict[UploadKind, str]
    is_first_page: bool
    next_query: str | None
    errors: list[FileError]
    has_storage: bool
    built_in_fonts: list[str]
    max_megabytes: int
    deleted_days: int


@dataclass(frozen=True)
class NewUpload:
    """The view model of uploads/new.jinja2: a new upload, or the reason why there is none."""

    item: UploadItem | None
    error: FileError | None


@dataclass(frozen=True)
class UploadDetailPage:
    """The view model of uploads/show.jinja2.

    Attributes:
        creator: the name of the account that uploaded it; empty if it is gone, or an API key did.
        uses: the templates that use it, deleted ones and earlier versions included.
        entries: the entries of the brand that use it.
        removed_on: when the file of a deleted upload is removed from the storage.
        deleted_days: for how many days a deleted one can be restored.
    """

    item: UploadItem
    form: SubmittedForm[Any]
    creator: str
    uses: list[UploadUse]
    entries: list[Entry]
    error_message: str
    removed_on: datetime | None
    deleted_days: int


@page_view("uploads/list.jinja2", "uploads/_page.jinja2", context=UploadCollection, permission=Permission.VIEW)
def list_uploads(context: UploadCollection, request: Request) -> UploadListPage:
    """List the uploads, newest first."""
    return _list_page(request)


@view_config(
    context=UploadCollection,
    name="panel",
    request_method="GET",
    renderer="uploads/panel.jinja2",
    permission=Permission.VIEW,
)
def list_uploads_in_panel(context: UploadCollection, request: Request) -> UploadListPage:
    """List uploads for the editor, as a part of its page: the filters are `name`, `kind` and `before`."""
    return _list_page(request)


@view_config(
    context=UploadCollection,
    request_method="POST",
    renderer="uploads/list.jinja2",
    permission=Permission.TEMPLATE_EDIT,
    rate_limit="upload",
)
def upload_files(context: UploadCollection, request: Request) -> UploadListPage | Response:
    """Upload the files of a form. Those that are valid are stored, whatever the others are."""
    files = [file for file in request.POST.getall("file") if hasattr(file, "file")]
    if len(files) > MAX_FILES:
        errors = [FileError("", gettext("Choose at most %(number)s files at once", number=MAX_FILES))]
    else:
        stored = [_store_file(request, file, is_first=number == 0) for number, file in enumerate(files)]
        errors = [each for each in stored if isinstance(each, FileError)]
        errors += [] if files else [FileError("", gettext("Choose a file"))]
    if not errors:
        return HTTPSeeOther(request.path_in("uploads"))
    request.response.status = 422
    enter_workspace(request.db, request.workspace.workspace_id)  # the connection was released
    return _list_page(request, errors)


@view_config(
    context=UploadCollection,
    name="panel",
    request_method="POST",
    renderer="uploads/new.jinja2",
    permission=Permission.TEMPLATE_EDIT,
    rate_limit="upload",
)
def upload_file_in_panel(context: UploadCollection, request: Request) -> NewUpload:
    """Upload one file (`file`), and return its item as a part of a page, or with 422 the reason why there is none."""
    return _upload_one(request)


@view_config(
    context=UploadCollection,
    name="file",
    request_method="POST",
    renderer="json",
    permission=Permission.TEMPLATE_EDIT,
    rate_limit="upload",
)
def upload_file(context: UploadCollection, request: Request) -> dict[str, Any]:
    """Upload one file (`file`), for scripts: return the upload as JSON, or with 422 the reason why there is none."""
    new = _upload_one(request)
    if new.item is None:
        return {"error": new.error.message if new.error else ""}
    upload = new.item.upload
    return {
        "id": str(upload.id),
        "name": upload.name,
        "kind": upload.kind,
        "reference": upload.reference,
        "width": upload.width,
        "height": upload.height,
        "thumbnail": new.item.thumbnail,
    }


@view_config(context=UploadResource, request_method="GET", renderer="uploads/show.jinja2", permission=Permission.VIEW)
def show_upload(context: UploadResource, request: Request) -> UploadDetailPage:
    """Show an upload, and where it is used."""
    return _detail_page(request, context.row)


@view_config(context=UploadResource, name="thumbnail", request_method="GET", permission=Permission.VIEW)
def show_thumbnail(context: UploadResource, request: Request) -> Response:
    """Return the thumbnail, which was made when the file was uploaded."""
    data = context.row.thumbnail
    if data is None:
        raise HTTPNotFound
    response = Response(data, content_type="image/webp")
    response.headers["Cache-Control"] = IMMUTABLE
    return response


@view_config(context=UploadResource, name="file", request_method="GET", permission=Permission.VIEW)
def download_file(context: UploadResource, request: Request) -> Response:
    """Return the file as a download: no browser shows it as a page of this site."""
    upload = context.row
    connections = [each.spec for each in list_connections(request.db, upload.workspace_id)]
    release_connection(request)
    return download_upload(request, upload, connections)


@view_config(
    context=UploadResource,
    name="name",
    request_method="POST",
    renderer="uploads/show.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def rename_upload(context: UploadResource, request: Request) -> UploadDetailPage | Response:
    """Rename the upload."""
    form = read_form(NameForm, request.POST)
    if form.value is None:
        request.response.status = 422
        return _detail_page(request, context.row, form)
    if form.value.name != context.row.name:
        undo = request.path_in("uploads", context.row.id, "name")
        add_notice(request, gettext("Renamed to “%(name)s”.", name=form.value.name), undo=undo, name=context.row.name)
        request.audit("upload.rename", context.row.name, to=form.value.name)
        context.row.name = form.value.name
    return HTTPSeeOther(request.path_in("uploads", context.row.id))


@view_config(
    context=UploadResource,
    name="delete",
    request_method="POST",
    renderer="uploads/show.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def delete_upload_view(context: UploadResource, request: Request) -> UploadDetailPage | Response:
    """Delete the upload, unless a template uses it; its page offers to restore it."""
    try:
        delete_upload(request.db, context.row)
    except UploadInUseError as error:
        request.response.status = 409
        return _detail_page(request, context.row, error_message=str(error))
    request.audit("upload.delete", context.row.name)
    text = gettext("Deleted “%(name)s”.", name=context.row.name)
    add_notice(request, text, undo=request.path_in("uploads", context.row.id, "restore"))
    return HTTPSeeOther(request.path_in("uploads", context.row.id))


@view_config(context=UploadResource, name="restore", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def restore_upload_view(context: UploadResource, request: Request) -> Response:
    """Restore a deleted upload."""
    try:
        restore_upload(request.db, context.row)
    except UploadError as error:
        raise HTTPConflict(str(error)) from None
    request.audit("upload.restore", context.row.name)
    text = gettext("Restored “%(name)s”.", name=context.row.name)
    add_notice(request, text, undo=request.path_in("uploads", context.row.id, "delete"))
    return HTTPSeeOther(request.path_in("uploads", context.row.id))


@view_config(
    context=UploadResource,
    name="purge",
    request_method="POST",
    renderer="uploads/show.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def purge_upload_view(context: UploadResource, request: Request) -> UploadDetailPage | Response:
    """Remove the file of a deleted upload from the storage now."""
    upload, services = context.row, request.services
    if upload.deleted_at is None:
        raise HTTPUnprocessableEntity(gettext("Delete the upload first"))
    release_connection(request)
    try:
        with services.outbound.slot(), services.slow_requests.slot(upload.workspace_id):
            is_purged = purge_upload(services.database, services.providers, upload.workspace_id, upload.id)
        kept = gettext("A version of a template or a row of a feed still shows this file, so it is kept")
        message = "" if is_purged else kept
    except StorageError as error:
        message = translate_stored(str(error))
    enter_workspace(request.db, upload.workspace_id)
    if message:
        request.response.status = 409
        return _detail_page(
            request, request.db.get_one(Upload, (upload.workspace_id, upload.id)), error_message=message
        )
    request.audit("upload.purge", upload.name, digest=upload.digest)
    return HTTPSeeOther(request.path_in("uploads") + "?state=deleted")


def item_of(request: Request, upload: Upload, templates: int = 0, *, in_brand: bool = False) -> UploadItem:
    """Return what a list shows of an upload."""
    path = request.path_in("uploads", upload.id)
    thumbnail = f"{path}/thumbnail" if upload.content_type != FORMER_FONT else None
    type_label = gettext("Font") if upload.content_type == FORMER_FONT else TYPE_LABELS[upload.content_type]
    return UploadItem(upload, path, thumbnail, type_label, templates, in_brand)


def _list_page(request: Request, errors: list[FileError] | None = None) -> UploadListPage:
    db, workspace_id, before = request.db, request.workspace.workspace_id, before_id(request)
    form = read_form(FilterForm, request.GET).value or FilterForm()
    wanted = UploadFilter(form.kind or None, form.name.strip(), deleted=form.state == "deleted")
    page = find_uploads(db, workspace_id, wanted, before)
    templates, brand = count_templates(db, workspace_id, page.uploads), load_brand(db, workspace_id).brand
    filters = {key: str(value) for key, value in form.model_dump().items() if value}
    return UploadListPage(
        items=[
            item_of(
                request,
                upload,
                templates.get(upload.digest, 0),
                in_brand=bool(brand.entries_with(upload.reference)),
            )
            for upload in page.uploads
        ],
        filters=filters,
        kinds=translate_labels(KIND_LABELS),
        is_first_page=before is None,
        next_query=urlencode(filters | {"before": str(page.before)}) if page.before else None,
        errors=errors or [],
        has_storage=has_storage(db, workspace_id),
        built_in_fonts=sorted(FAMILIES),
        max_megabytes=MAX_UPLOAD_BYTES // 1024**2,
        deleted_days=request.services.settings.retention.deleted_row_days,
    )


def _detail_page(
    request: Request, upload: Upload, form: SubmittedForm[Any] | None = None, error_message: str = ""
) -> UploadDetailPage:
    db, days = request.db, timedelta(days=request.services.settings.retention.deleted_row_days)
    creator = db.get(Account, upload.created_by) if upload.created_by else None
    return UploadDetailPage(
        item=item_of(request, upload),
        form=form or SubmittedForm(None, {}, {"name": upload.name}),
        creator=creator.name if creator else "",
        uses=find_uses(db, upload),
        entries=find_brand_uses(db, upload),
        error_message=error_message,
        removed_on=upload.deleted_at + days if upload.deleted_at else None,
        deleted_days=days.days,
    )


def _upload_one(request: Request) -> NewUpload:
    """Upload the only file of a form."""
    file = request.POST.get("file")
    stored = _store_file(request, file) if hasattr(file, "file") else FileError("", gettext("Choose a file"))
    if isinstance(stored, FileError):
        request.response.status = 422
        return NewUpload(None, stored)
    return NewUpload(item_of(request, stored), None)


def _store_file(request: Request, file: Any, *, is_first: bool = True) -> Upload | FileError:
    """Store a file of a form; the first one was counted by the view's rate limit."""
    release_connection(request)
    workspace_id = request.workspace.workspace_id
    try:
        if not is_first:
            request.services.limiter.reserve("upload", find_subjects(request, LIMITS["upload"]))
        data = file.file.read(MAX_UPLOAD_BYTES + 1)
        return store_upload(request, workspace_id, data, file.filename, created_by=request.user.account.id)[0]
    except UPLOAD_ERRORS as error:
        return FileError(file.filename, translate_stored(str(error)))
    except RateLimitedError:
        return FileError(file.filename, gettext("Too many uploads. Try again later"))

"""A new template: from one of the starters, from nothing, or from a file that was exported."""

from typing import Any, Literal

from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.demo.starters import NAMES, RenderedOriginals, Starter, open_starter
from cwz_web.generation.templates import create_template
from cwz_web.imaging.documents import MAX_DOCUMENT_BYTES, ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateCollection
from cwz_web.storage.connections import get_default_connection, upload_key
from cwz_web.storage.contract import StorageError
from cwz_web.views.templates import read_document
from cwz_web.web.forms import Filled, Form, Name, empty_form, read_form
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.audit import record

THUMBNAIL = 480
BLANK = {
    "canvas": {"width": 1200, "height": 630, "background": "#ffffff"},
    "fields": [{"name": "title", "label": "Title", "default": "Your title"}],
    "layers": [
        {"type": "text", "name": "Title", "text": "{{ title }}", "x": 80, "y": 220, "width": 1040, "height": 190}
        | {"size": 80, "min_size": 36, "weight": 700, "align": "center", "valign": "middle", "max_lines": 2}
    ],
}


class StarterForm(Form):
    """Which starter, or nothing but a title."""

    starter: Literal[tuple(NAMES)] | Literal["blank"]  # type: ignore[valid-type]


class ImportForm(Form):
    """What people shall call it; the file comes beside it."""

    name: Name


@view_config(
    context=TemplateCollection,
    name="new",
    request_method="GET",
    renderer="templates/new.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def new_template_page(context: TemplateCollection, request: Request) -> dict[str, Any]:
    """The gallery of starters."""
    return _page(empty_form())


@view_config(
    context=TemplateCollection,
    name="new",
    request_method="POST",
    renderer="templates/new.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def new_template_form(context: TemplateCollection, request: Request) -> Any:
    """Begin with a starter: its renderings are put into the workspace's storage first."""
    form = read_form(StarterForm, request.POST)
    if form.value is None:
        request.response.status = 422
        return _page(form)
    if form.value.starter == "blank":
        return _create(request, "New template", ImageTemplate.model_validate(BLANK))
    starter = open_starter(form.value.starter)
    try:
        _keep_renderings(request, starter)
    except StorageError as error:
        request.response.status = 422
        return _page(form.with_error("starter", str(error)))
    return _create(request, starter.name, starter.document)


@view_config(
    context=TemplateCollection,
    name="import",
    request_method="POST",
    renderer="templates/new.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def import_form(context: TemplateCollection, request: Request) -> Any:
    """Bring in a document that was exported, or say where it is wrong."""
    form = read_form(ImportForm, request.POST)
    file = request.POST.get("file")
    data = file.file.read(MAX_DOCUMENT_BYTES + 1) if hasattr(file, "file") else b""
    document, errors = read_document(data.decode("utf-8-sig", "replace")) if data else (None, {})
    if document is None:
        first = next(iter(errors.items()), ("", "Choose a file that was exported from a template"))
        form = form.with_error("file", f"{first[0]}: {first[1]}" if first[0] not in ("", "document") else first[1])
    if form.value is None or document is None:
        request.response.status = 422
        return _page(form)
    return _create(request, form.value.name, document)


@view_config(context=TemplateCollection, name="starter", request_method="GET", permission=Permission.VIEW)
def starter_image(context: TemplateCollection, request: Request) -> Response:
    """A starter with its own sample values."""
    try:
        starter = open_starter(request.GET.get("name", ""))
    except KeyError:
        raise HTTPUnprocessableEntity(f"There is no such starter; there are {', '.join(NAMES)}") from None
    image_service, output = request.services.image_service, Output()
    order = image_service.order(RenderedOriginals(starter), starter.document, {}, output)
    response = Response(content_type=output.format.content_type, conditional_response=True)
    response.etag = order.digest
    response.headers["Cache-Control"] = "private, max-age=86400"
    response.body = image_service.preview(order, THUMBNAIL)
    return response


def _page(form: Filled[Any]) -> dict[str, Any]:
    return {"form": form, "starters": [open_starter(slug) for slug in NAMES]}


def _keep_renderings(request: Request, starter: Starter) -> None:
    """Put a starter's renderings where its template will find them. Raises StorageError."""
    if not starter.illustrations:
        return
    workspace_id = request.workspace.workspace_id
    place = get_default_connection(request.db, workspace_id).place
    release_connection(request)
    bucket = request.services.providers.open(place)
    for rendering in starter.illustrations:
        bucket.put(upload_key(workspace_id, rendering.digest), rendering.data, content_type="image/jpeg")


def _create(request: Request, name: str, document: ImageTemplate) -> Response:
    workspace_id, person = request.workspace.workspace_id, request.user.account
    with request.services.database.transaction(workspace_id) as db:
        template = create_template(db, workspace_id, name=name, document=document, published_by=person.id)
        record(db, workspace_id, request.actor, "template.create", template.name, {})
        return HTTPSeeOther(request.path_in("templates", template.id, "design"))

"""New templates: from a starter, blank, or imported from a file."""

from dataclasses import dataclass
from typing import Any, Literal

from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.demo.starters import Starter, StarterEntry, StarterUploads, list_starters, open_starter
from cwz_web.generation.templates import create_template
from cwz_web.imaging.documents import MAX_DOCUMENT_BYTES, ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateCollection
from cwz_web.storage.connections import get_default_connection, upload_key
from cwz_web.storage.contract import StorageError
from cwz_web.views.templates import read_document
from cwz_web.web.forms import FieldError, Form, Name, SubmittedForm, empty_form, form_view
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


@dataclass(frozen=True)
class NewTemplatePage:
    """The view model of templates/new.jinja2."""

    form: SubmittedForm[Any]
    starters: list[StarterEntry]


class StarterForm(Form):
    """A starter, or `blank`."""

    starter: Literal[(*list_starters(), "blank")]  # type: ignore[valid-type]


class ImportForm(Form):
    """The name of an imported template; the file is not part of the model."""

    name: Name


def _page(context: TemplateCollection, request: Request, form: SubmittedForm[Any]) -> NewTemplatePage:
    return NewTemplatePage(form, list(list_starters().values()))


@view_config(
    context=TemplateCollection,
    name="new",
    request_method="GET",
    renderer="templates/new.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def new_template_page(context: TemplateCollection, request: Request) -> NewTemplatePage:
    """Show the gallery of starters."""
    return _page(context, request, empty_form())


@form_view(
    StarterForm,
    _page,
    context=TemplateCollection,
    name="new",
    renderer="templates/new.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def create_from_starter(context: TemplateCollection, request: Request, form: StarterForm) -> Response:
    """Create a template from a starter; its illustrations are stored in the workspace's bucket first."""
    if form.starter == "blank":
        return _create(request, "New template", ImageTemplate.model_validate(BLANK))
    starter = open_starter(form.starter)
    try:
        _store_illustrations(request, starter)
    except StorageError as error:
        raise FieldError("starter", str(error)) from None
    return _create(request, starter.entry.name, starter.document)


@form_view(
    ImportForm,
    _page,
    context=TemplateCollection,
    name="import",
    renderer="templates/new.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def import_template(context: TemplateCollection, request: Request, form: ImportForm) -> Response:
    """Create a template from an exported document."""
    file = request.POST.get("file")
    data = file.file.read(MAX_DOCUMENT_BYTES + 1) if hasattr(file, "file") else b""
    if not data:
        raise FieldError("file", "Choose the JSON file of an exported template")
    document, errors = read_document(data.decode("utf-8-sig", "replace"))
    if document is None:
        messages = [text if path in ("", "document") else f"{path}: {text}" for path, text in errors.items()]
        raise FieldError("file", "\n".join(messages))
    return _create(request, form.name, document)


@view_config(context=TemplateCollection, name="starter", request_method="GET", permission=Permission.VIEW)
def starter_image(context: TemplateCollection, request: Request) -> Response:
    """Return the image of a starter with its default values."""
    try:
        starter = open_starter(request.GET.get("name", ""))
    except KeyError:
        raise HTTPUnprocessableEntity(f"There is no such starter; there are {', '.join(list_starters())}") from None
    image_service, output = request.services.image_service, Output()
    prepared = image_service.prepare(StarterUploads(starter), starter.document, {}, output)
    response = Response(content_type=output.format.content_type, conditional_response=True)
    response.etag = prepared.digest
    response.headers["Cache-Control"] = "private, max-age=86400"
    response.body = image_service.preview(prepared, THUMBNAIL)
    return response


def _store_illustrations(request: Request, starter: Starter) -> None:
    """Store a starter's illustrations as uploads of the workspace.

    Raises:
        StorageError: The bucket cannot be written.
    """
    if not starter.defaults:
        return
    workspace_id = request.workspace.workspace_id
    spec = get_default_connection(request.db, workspace_id).spec
    release_connection(request)
    with request.services.outbound.slot():
        bucket = request.services.providers.open(spec)
        for illustration in starter.defaults:
            key = upload_key(workspace_id, illustration.digest)
            bucket.put(key, illustration.data, content_type="application/octet-stream")


def _create(request: Request, name: str, document: ImageTemplate) -> Response:
    workspace_id, person = request.workspace.workspace_id, request.user.account
    with request.services.database.transaction(workspace_id) as db:
        template = create_template(db, workspace_id, name=name, document=document, published_by=person.id)
        record(db, workspace_id, request.actor, "template.create", template.name, {})
        return HTTPSeeOther(request.path_in("templates", template.id, "design"))

"""Templates: the list, one with a form to try it, its document, its versions, and what can be done with a whole one."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ConfigDict, Field, ValidationError
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.exc import NoResultFound

from cwz_web.generation.drafts import discard_draft
from cwz_web.generation.models import Template
from cwz_web.generation.templates import (
    Design,
    create_template,
    list_versions,
    open_design,
    open_designs,
    publish,
)
from cwz_web.imaging.documents import MAX_DOCUMENT_BYTES, ImageTemplate
from cwz_web.imaging.encoders import Format
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateCollection, TemplateResource
from cwz_web.storage.connections import get_connection, list_connections
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.web.forms import Filled, Form, Name, messages, read_form
from cwz_web.web.request import Request


class StorageForm(Form):
    """Which connection; empty for the workspace's default."""

    storage: UUID | Literal[""] = ""


class NameForm(Form):
    """What people call the template. Its slug, which programs use, stays."""

    name: Name


class OpenForm(Form):
    """Whether the template is rendered without a signature. The parameters' fields (`open.<name>`) come beside it."""

    model_config = ConfigDict(extra="ignore")

    do: Literal["open", "close"]


class VersionForm(Form):
    """Which version."""

    version: Annotated[int, Field(ge=1)]


@view_config(
    context=TemplateCollection, request_method="GET", renderer="templates/list.jinja2", permission=Permission.VIEW
)
def template_list(context: TemplateCollection, request: Request) -> dict[str, Any]:
    """All templates, each rendered with its own sample values."""
    return {"designs": open_designs(request.db, request.workspace.workspace_id)}


@view_config(
    context=TemplateResource,
    request_method="GET",
    renderer="templates/show.jinja2",
    permission=Permission.VIEW,
    partial=False,
)
@view_config(
    context=TemplateResource,
    request_method="GET",
    renderer="templates/_preview.jinja2",
    permission=Permission.VIEW,
    partial=True,
)
def show_template(context: TemplateResource, request: Request) -> dict[str, Any]:
    """A template, rendered with the values of the form beside it."""
    design = open_design(request.db, context.row)
    given = {c.name: request.GET[c.name][:2000] for c in design.document.fields if c.name in request.GET}
    changed = {c.name: given[c.name] for c in design.document.fields if given.get(c.name, c.default) != c.default}
    return {
        "design": design,
        "given": given,
        "preview": preview_path(request, design, changed),
        "changed": changed,
        "base_url": request.services.settings.url,
        "connections": list_connections(request.db, request.workspace.workspace_id),
    }


@view_config(context=TemplateResource, name="name", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def name_form(context: TemplateResource, request: Request) -> Response:
    """Call the template something else."""
    form = read_form(NameForm, request.POST)
    if form.value is None:
        raise HTTPUnprocessableEntity(f"The name: {form.errors.get('name', 'please give one')}")
    request.audit("template.rename", context.row.name, to=form.value.name)
    context.row.name = form.value.name
    return HTTPSeeOther(request.path_in("templates", context.row.id))


@view_config(context=TemplateResource, name="storage", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def storage_form(context: TemplateResource, request: Request) -> Response:
    """Let the template's images go to another storage, from now on."""
    form = read_form(StorageForm, request.POST)
    if form.value is None:
        raise HTTPUnprocessableEntity("Choose one of the workspace's connections")
    template = context.row
    chosen = form.value.storage or None
    try:
        name = get_connection(request.db, template.workspace_id, chosen).name
    except InvalidSettingsError as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    template.connection_id = chosen
    request.audit("template.storage", template.name, storage=name)
    return HTTPSeeOther(request.path_in("templates", template.id))


@view_config(
    context=TemplateResource,
    name="document",
    request_method="GET",
    renderer="templates/document.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def document_page(context: TemplateResource, request: Request) -> dict[str, Any]:
    """The document as text."""
    document = open_design(request.db, context.row).document
    return {"template": context.row, "form": Filled(None, {}, {"document": document.to_json()})}


@view_config(
    context=TemplateResource,
    name="document",
    request_method="POST",
    renderer="templates/document.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def document_form(context: TemplateResource, request: Request) -> Any:
    """Publish a document as the next version, or say where it is wrong."""
    text = request.POST.get("document", "")
    document, errors = read_document(text)
    if document is None:
        request.response.status = 422
        return {"template": context.row, "form": Filled(None, errors, {"document": text})}
    discard_draft(request.db, context.row)
    publish(request.db, context.row, document, request.user.account.id)
    request.audit("template.edit", context.row.name, version=context.row.version)
    return HTTPSeeOther(request.path_in("templates", context.row.id))


@view_config(context=TemplateResource, name="template.json", request_method="GET", permission=Permission.VIEW)
def export_template(context: TemplateResource, request: Request) -> Response:
    """The document as a file, to be brought in elsewhere."""
    template = context.row
    written = open_design(request.db, template).document.to_json().encode()
    response = Response(written, content_type="application/json")
    response.content_disposition = f'attachment; filename="{template.slug}.json"'
    return response


@view_config(
    context=TemplateResource,
    name="versions",
    request_method="GET",
    renderer="templates/versions.jinja2",
    permission=Permission.VIEW,
)
def version_list(context: TemplateResource, request: Request) -> dict[str, Any]:
    """Every version, each as it looks, and the way back to it."""
    return {"template": context.row, "versions": list_versions(request.db, context.row)}


@view_config(context=TemplateResource, name="versions", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def rollback_form(context: TemplateResource, request: Request) -> Response:
    """Make an old version the newest: what came between stays in the list."""
    form = read_form(VersionForm, request.POST)
    template = context.row
    try:
        document = open_design(request.db, template, form.value.version).document if form.value else None
    except NoResultFound:
        document = None
    if form.value is None or document is None:
        raise HTTPUnprocessableEntity("Choose one of the template's versions")
    discard_draft(request.db, template)
    publish(request.db, template, document, request.user.account.id)
    request.audit("template.rollback", template.name, to=form.value.version, version=template.version)
    return HTTPSeeOther(request.path_in("templates", template.id, "versions"))


@view_config(
    context=TemplateResource,
    name="open",
    request_method="GET",
    renderer="templates/open.jinja2",
    permission=Permission.KEY_MANAGE,
)
def open_page(context: TemplateResource, request: Request) -> dict[str, Any]:
    """What addresses without a signature may say."""
    design, url = open_design(request.db, context.row), request.services.settings.url
    open_ones = context.row.open_parameters
    texts = {column.name: column.default for column in design.document.fields if column.name in (open_ones or ())}
    return {
        "design": design,
        "address": f"{url}/i/{context.row.id}.jpg",
        "example": urlencode(texts),
        "open_ones": open_ones,
        "parameters": _openable(design),
        "photos": any(field.type == "image" for field in design.document.fields),
    }


@view_config(context=TemplateResource, name="open", request_method="POST", permission=Permission.KEY_MANAGE)
def open_form(context: TemplateResource, request: Request) -> Response:
    """Render for addresses without a signature that say nothing but what is ticked, or for none."""
    form = read_form(OpenForm, request.POST)
    if form.value is None:
        raise HTTPUnprocessableEntity("Choose whether the template is open")
    template = context.row
    known = _openable(open_design(request.db, template))
    template.open_parameters = (
        [name for name in known if f"open.{name}" in form.typed] if form.value.do == "open" else None
    )
    request.audit(f"template.{form.value.do}", template.name, parameters=template.open_parameters or [])
    return HTTPSeeOther(request.path_in("templates", template.id, "open"))


def _openable(design: Design) -> dict[str, str]:
    """What an address may say, and how people call it."""
    columns = {column.name: column.label for column in design.document.fields}
    sizes = {"_size": "Its size, one of the template's"} if len(design.document.size_names) > 1 else {}
    return columns | sizes | {"_scale": "Its scale, 1 to 3", "_quality": "Its quality, 1 to 100"}


@view_config(context=TemplateResource, name="duplicate", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def duplicate_template(context: TemplateResource, request: Request) -> Response:
    """A template like this one, to go on from."""
    design = open_design(request.db, context.row)
    copy = create_template(
        request.db,
        context.row.workspace_id,
        name=f"{context.row.name[:90]} (copy)",
        document=design.document,
        published_by=request.user.account.id,
    )
    copy.connection_id = context.row.connection_id
    request.audit("template.create", copy.name, copy_of=context.row.name)
    return HTTPSeeOther(request.path_in("templates", copy.id))


@view_config(context=TemplateResource, name="delete", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def delete_template(context: TemplateResource, request: Request) -> Response:
    """Take a template out of use. Its page still offers the way back."""
    context.row.deleted_at = datetime.now(UTC)
    request.audit("template.delete", context.row.name)
    return HTTPSeeOther(request.path_in("templates", context.row.id))


@view_config(context=TemplateResource, name="restore", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def restore_template(context: TemplateResource, request: Request) -> Response:
    """Take a deleted template into use again."""
    context.row.deleted_at = None
    request.audit("template.restore", context.row.name)
    return HTTPSeeOther(request.path_in("templates", context.row.id))


def preview_path(request: Request, design: Design, data: dict[str, str]) -> str:
    """The path of an image of the template: the same signed address that people may use elsewhere."""
    template: Template = design.template
    path: str = request.services.signed_urls.on_demand_image(template.workspace_id, template.id, Format.JPEG, data)
    return path


def read_document(text: str) -> tuple[ImageTemplate | None, dict[str, str]]:
    """A document that somebody wrote or brought, or messages that say where it is wrong."""
    try:
        if len(text) > MAX_DOCUMENT_BYTES:
            raise ValueError("the document is too long")
        return ImageTemplate.model_validate(json.loads(text)), {}
    except ValidationError as error:
        return None, messages(error)
    except (ValueError, RecursionError) as error:
        return None, {"document": f"This is not valid JSON: {error}"}

"""Templates: the list, one with a form to try it, its document."""

import json
from typing import Any, Literal
from uuid import UUID

from pydantic import ValidationError
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.generation.templates import Design, list_templates, open_design, publish
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format
from cwz_web.resources import Permission, TemplateResource, Templates
from cwz_web.storage.connections import connection_of, list_connections
from cwz_web.storage.contract import BadSettings
from cwz_web.web.forms import Filled, Form, messages, read_form

MAX_DOCUMENT = 500_000


class StorageForm(Form):
    """Which connection; empty for the workspace's default."""

    storage: UUID | Literal[""] = ""


@view_config(context=Templates, request_method="GET", renderer="templates/list.jinja2", permission=Permission.VIEW)
def template_list(context: Templates, request: Request) -> dict[str, Any]:
    """All templates, each drawn with its own sample values."""
    designs = [open_design(request.db, t) for t in list_templates(request.db, request.workspace.workspace_id)]
    return {"designs": [(design, preview_path(request, design, {})) for design in designs]}


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
    """A template, drawn with the values of the form beside it."""
    design = open_design(request.db, context.row)
    given = {c.name: request.GET[c.name][:2000] for c in design.document.columns if c.name in request.GET}
    changed = {c.name: given[c.name] for c in design.document.columns if given.get(c.name, c.default) != c.default}
    return {
        "design": design,
        "given": given,
        "preview": preview_path(request, design, changed),
        "changed": changed,
        "base_url": request.services.settings.url,
        "connections": list_connections(request.db, request.workspace.workspace_id),
    }


@view_config(
    context=TemplateResource,
    name="storage",
    request_method="POST",
    permission=Permission.TEMPLATE_EDIT,
)
def storage_form(context: TemplateResource, request: Request) -> Response:
    """Let the template's pictures go to another storage, from now on."""
    form = read_form(StorageForm, request.POST)
    if form.value is None:
        raise HTTPUnprocessableEntity("Choose one of the workspace's connections")
    template = context.row
    chosen = form.value.storage or None
    try:
        name = connection_of(request.db, template.workspace_id, chosen).name
    except BadSettings as error:
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
    design = open_design(request.db, context.row)
    text = json.dumps(design.document.model_dump(mode="json", exclude_defaults=True), indent=2, ensure_ascii=False)
    return {"template": context.row, "form": Filled(None, {}, {"document": text})}


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
    errors: dict[str, str] = {}
    try:
        if len(text) > MAX_DOCUMENT:
            raise ValueError("the document is too long")
        document = ImageTemplate.model_validate(json.loads(text))
    except ValidationError as error:
        errors = messages(error)
    except (ValueError, RecursionError) as error:
        errors = {"document": f"This is not valid JSON: {error}"}
    else:
        publish(request.db, context.row, document)
        request.audit("template.edit", context.row.name, version=context.row.version)
        return HTTPSeeOther(request.path_in("templates", context.row.id))
    request.response.status = 422
    return {"template": context.row, "form": Filled(None, errors, {"document": text})}


def preview_path(request: Request, design: Design, data: dict[str, str]) -> str:
    """The path of a picture of the template: the same signed address that people may use elsewhere."""
    template = design.template
    path: str = request.services.addresses.image(template.workspace_id, template.id, Format.JPEG, data)
    return path

"""The designer: a template's draft on the stage, its layers beside it, the properties of the chosen one.

Every change is a form that leads back to the same page; htmx sends it as it is typed, and puts the page's own part in
its place. What is looked at stands in the address, what is designed in the database.
"""

from typing import Annotated, Any

from pydantic import Field
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.feeds.queries import list_feeds
from cwz_web.generation.drafts import (
    can_redo,
    can_undo,
    discard_draft,
    load_draft,
    publish_draft,
    redo,
    save_draft,
    undo,
)
from cwz_web.generation.fonts import list_fonts
from cwz_web.generation.models import Template
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.errors import ImagingError
from cwz_web.imaging.fonts import FAMILIES
from cwz_web.imaging.lint import Finding
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.storage.contract import StorageError
from cwz_web.views.previews import sample_values, uploads_of
from cwz_web.web.design_forms import Chosen, InvalidDesignError, change_design, read_chosen
from cwz_web.web.forms import CSRF_FIELD, Form, read_form, find_repeated_fields
from cwz_web.web.layer_forms import groups_of, typed_of
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection


class StepForm(Form):
    """The step that the person saw, so that a button that is pressed twice works once."""

    step: Annotated[int, Field(ge=0)]


@view_config(
    context=TemplateResource,
    name="design",
    request_method="GET",
    renderer="designer/show.jinja2",
    permission=Permission.TEMPLATE_EDIT,
    partial=False,
)
@view_config(
    context=TemplateResource,
    name="design",
    request_method="GET",
    renderer="designer/_designer.jinja2",
    permission=Permission.TEMPLATE_EDIT,
    partial=True,
)
def design_page(context: TemplateResource, request: Request) -> dict[str, Any]:
    """The draft, as the address says it is looked at."""
    request.response.headers["HX-Replace-Url"] = request.path_qs
    return _page(request, context.row)


@view_config(
    context=TemplateResource,
    name="design",
    request_method="POST",
    renderer="designer/show.jinja2",
    permission=Permission.TEMPLATE_EDIT,
    partial=False,
)
@view_config(
    context=TemplateResource,
    name="design",
    request_method="POST",
    renderer="designer/_designer.jinja2",
    permission=Permission.TEMPLATE_EDIT,
    partial=True,
)
def design_form(context: TemplateResource, request: Request) -> Any:
    """Change the draft, or say what is wrong with the change."""
    template = context.row
    typed = {name: value for name, value in request.POST.items() if isinstance(value, str) and name != CSRF_FIELD}
    draft = load_draft(request.db, template).document
    chosen = read_chosen(request.GET).within(draft)
    try:
        if twice := find_repeated_fields(request.POST, typed):
            raise InvalidDesignError(twice)
        changed, chosen, what = change_design(draft, chosen, typed)
    except InvalidDesignError as wrong:
        request.response.status = 422
        return _page(request, template, wrong.errors, typed)
    if changed != draft and save_draft(request.db, template, changed, what):
        request.audit("template.draft", template.name)
    return HTTPSeeOther(design_path(request, template, chosen))


@view_config(context=TemplateResource, name="undo", request_method="POST", permission=Permission.TEMPLATE_EDIT)
@view_config(context=TemplateResource, name="redo", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def step_form(context: TemplateResource, request: Request) -> Response:
    """Go a step back, or forth again."""
    template = context.row
    if _saw(request, template):
        (undo if request.view_name == "undo" else redo)(request.db, template)
    return _back(request, template)


@view_config(context=TemplateResource, name="publish", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def publish_form(context: TemplateResource, request: Request) -> Response:
    """Make the draft the version in use."""
    template = context.row
    if _saw(request, template) and publish_draft(request.db, template, request.user.account.id):
        request.audit("template.edit", template.name, version=template.version)
    return _back(request, template)


@view_config(context=TemplateResource, name="discard", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def discard_form(context: TemplateResource, request: Request) -> Response:
    """Go back to what is published."""
    template = context.row
    if _saw(request, template) and template.step:
        discard_draft(request.db, template)
        request.audit("template.discard", template.name)
    return _back(request, template)


def design_path(request: Request, template: Template, chosen: Chosen | None = None) -> str:
    """The designer's address."""
    query = chosen.query() if chosen else ""
    path: str = request.path_in("templates", template.id, "design")
    return f"{path}?{query}" if query else path


def _saw(request: Request, template: Template) -> bool:
    """Whether the person saw the draft as it is now. Raises HTTPUnprocessableEntity."""
    form = read_form(StepForm, request.POST)
    if form.value is None:
        raise HTTPUnprocessableEntity("The form must say which step it is about")
    return form.value.step == template.step


def _back(request: Request, template: Template) -> Response:
    return HTTPSeeOther(design_path(request, template, read_chosen(request.GET)))


def _page(
    request: Request, template: Template, errors: dict[str, str] | None = None, typed: dict[str, str] | None = None
) -> dict[str, Any]:
    db = request.db
    document = load_draft(db, template).document
    chosen = read_chosen(request.GET).within(document)
    shown = document.in_size(chosen.size)
    layer = shown.find_layer(chosen.layer)
    feeds = list_feeds(db, template.workspace_id)
    values = sample_values(request, document, chosen.feed or None, chosen.row)
    page = {
        "template": template,
        "document": document,
        "shown": shown,
        "chosen": chosen,
        "layer": layer,
        "groups": groups_of(layer) if layer else [],
        "typed": typed if errors else typed_of(layer) if layer else {},
        "errors": errors or {},
        "feeds": feeds,
        "feed": next((each for each in feeds if each.id == chosen.feed), None),
        "fonts": sorted(FAMILIES),
        "own_fonts": list_fonts(db, template.workspace_id),
        "can_undo": can_undo(db, template),
        "can_redo": can_redo(db, template),
        "preview": _preview_path(request, template, chosen, document.digest),
    }
    uploads = uploads_of(request, template)
    release_connection(request)  # what is rendered may be fetched
    try:
        prepared = request.services.image_service.prepare(uploads, document, values, Output(size=chosen.size))
        findings, trouble = request.services.image_service.lint(prepared), ""
    except (ImagingError, StorageError) as error:
        findings, trouble = [], str(error)
    return page | {"findings": _by_layer(findings), "trouble": trouble}


def _preview_path(request: Request, template: Template, chosen: Chosen, digest: str) -> str:
    """The image's address: another one for every document, so that no browser shows an old one."""
    query = chosen.query(layer="", zoom="fit")
    path = request.path_in("templates", template.id, "preview")
    return f"{path}?draft={digest[:16]}{'&' if query else ''}{query}"


def _by_layer(findings: list[Finding]) -> dict[str, list[Finding]]:
    by_layer: dict[str, list[Finding]] = {}
    for finding in findings:
        by_layer.setdefault(finding.layer, []).append(finding)
    return by_layer

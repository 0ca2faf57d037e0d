"""`/v1/templates`: the workspace's templates, with their fields and sizes."""

from typing import Any
from uuid import UUID

from pyramid.view import view_config

from cwz_web.api.pagination import ResponseModel, paginate, transaction
from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.generation.models import Template
from cwz_web.generation.templates import load_design
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.field_values import FieldType
from cwz_web.resources.api import ApiTemplate, ApiTemplateCollection
from cwz_web.resources.permissions import Permission
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request


class TemplateInfo(ResponseModel):
    """A template. `version` is the published version."""

    id: UUID
    slug: str
    name: str
    version: int


class TemplatePage(ResponseModel):
    """A page of templates, newest first."""

    templates: list[TemplateInfo]
    next: str | None


class TemplateFieldInfo(ResponseModel):
    """A field of a template: an input that differs from image to image."""

    name: str
    label: str
    type: FieldType
    default: str


class TemplateSizeInfo(ResponseModel):
    """A size of a template, in pixels; `default` is the size of its canvas."""

    name: str
    width: int
    height: int


class TemplateDetails(TemplateInfo):
    """A template with its fields and sizes."""

    fields: list[TemplateFieldInfo]
    sizes: list[TemplateSizeInfo]


@view_config(context=ApiTemplateCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def list_templates(context: ApiTemplateCollection, request: Request) -> dict[str, Any]:
    """Return a page of the workspace's templates."""
    with transaction(request) as db:
        templates, cursor = paginate(request, db, Template)
    page = TemplatePage(templates=[TemplateInfo(**_summary(template)) for template in templates], next=cursor)
    return page.model_dump(mode="json")


@view_config(context=ApiTemplate, request_method="GET", renderer="json", permission=Permission.API_READ)
def show_template(context: ApiTemplate, request: Request) -> dict[str, Any]:
    """Return a template."""
    with transaction(request) as db:
        document = load_design(db, context.row).document
    sizes = [TemplateSizeInfo(name=DEFAULT_SIZE, width=document.canvas.width, height=document.canvas.height)]
    sizes += [TemplateSizeInfo(name=size.name, width=size.width, height=size.height) for size in document.sizes]
    fields = [TemplateFieldInfo(**field.model_dump()) for field in document.fields]
    return TemplateDetails(**_summary(context.row), fields=fields, sizes=sizes).model_dump(mode="json")


def unknown_template() -> ProblemError:
    """Return the problem of a template that the workspace does not have."""
    return ProblemError(422, "unknown_template", "There is no such template", {"template": "Use its id or slug"})


def check_template(api_key: ApiKeyIdentity, template_id: UUID) -> None:
    """Raise ProblemError unless the key may render the template."""
    if api_key.templates and str(template_id) not in api_key.templates:
        raise ProblemError(403, "template_not_allowed", "This API key may not use this template")


def _summary(template: Template) -> dict[str, Any]:
    return {"id": template.id, "slug": template.slug, "name": template.name, "version": template.version}

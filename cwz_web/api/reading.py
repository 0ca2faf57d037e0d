"""`/v1/templates`, `/v1/images`, `/v1/usage`: what a workspace has and has used."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pyramid.view import view_config

from cwz_web.api.image_requests import StoredImageInfo
from cwz_web.api.pagination import Answer, rows_of, transaction
from cwz_web.generation.models import Image, Template
from cwz_web.generation.templates import open_design
from cwz_web.generation.usage import month_of, next_month, usage_by_subject
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.resources.api import ApiImage, ApiImageCollection, ApiRoot, ApiTemplate, ApiTemplateCollection
from cwz_web.resources.permissions import Permission
from cwz_web.web.request import Request


class TemplateInfo(Answer):
    """A template, by its id or its slug. `version` is the one in use."""

    id: UUID
    slug: str
    name: str
    version: int


class TemplatePage(Answer):
    """Some of the templates, newest first."""

    templates: list[TemplateInfo]
    next: str | None


class TemplateFieldInfo(Answer):
    """A value that changes from image to image."""

    name: str
    label: str
    type: str
    default: str


class TemplateSizeInfo(Answer):
    """One of a template's sizes, in pixels; `default` is the canvas's."""

    name: str
    width: int
    height: int


class TemplateDetails(TemplateInfo):
    """A template with what it takes."""

    fields: list[TemplateFieldInfo]
    sizes: list[TemplateSizeInfo]


class ImageInfo(StoredImageInfo):
    """An image that is kept, and what it was made with."""

    name: str
    template: UUID
    version: int
    made_at: datetime


class ImagePage(Answer):
    """Some of the images, newest first."""

    images: list[ImageInfo]
    next: str | None


class UsageInfo(Answer):
    """What this month has made, and may make (null for any number): the workspace, and the key that asks."""

    month: date
    resets_on: date
    used: int
    cap: int | None
    key_used: int
    key_cap: int | None


@view_config(context=ApiTemplateCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def templates(context: ApiTemplateCollection, request: Request) -> dict[str, Any]:
    """The workspace's templates."""
    with transaction(request) as db:
        found, more = rows_of(request, db, Template)
    page = TemplatePage(templates=[TemplateInfo(**_about(each)) for each in found], next=more)
    return page.model_dump(mode="json")


@view_config(context=ApiTemplate, request_method="GET", renderer="json", permission=Permission.API_READ)
def template(context: ApiTemplate, request: Request) -> dict[str, Any]:
    """A template."""
    with transaction(request) as db:
        document = open_design(db, context.row).document
    sizes = [TemplateSizeInfo(name=DEFAULT_SIZE, width=document.canvas.width, height=document.canvas.height)]
    sizes += [TemplateSizeInfo(name=each.name, width=each.width, height=each.height) for each in document.sizes]
    fields = [TemplateFieldInfo(**each.model_dump()) for each in document.fields]
    return TemplateDetails(**_about(context.row), fields=fields, sizes=sizes).model_dump(mode="json")


@view_config(context=ApiImageCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def images(context: ApiImageCollection, request: Request) -> dict[str, Any]:
    """The workspace's images."""
    with transaction(request) as db:
        found, more = rows_of(request, db, Image)
    return ImagePage(images=[_image(request, each) for each in found], next=more).model_dump(mode="json")


@view_config(context=ApiImage, request_method="GET", renderer="json", permission=Permission.API_READ)
def image(context: ApiImage, request: Request) -> dict[str, Any]:
    """An image."""
    return _image(request, context.row).model_dump(mode="json")


@view_config(context=ApiRoot, name="usage", request_method="GET", renderer="json", permission=Permission.API_READ)
def usage(context: ApiRoot, request: Request) -> dict[str, Any]:
    """What this month has made."""
    owner, month = request.api_key, month_of()
    with transaction(request) as db:
        used = usage_by_subject(db, owner.workspace_id)
    return UsageInfo(
        month=month,
        resets_on=next_month(month),
        used=used.get(owner.workspace_id, 0),
        cap=request.services.quotas.of(owner.workspace_id, owner.plan_status).cap,
        key_used=used.get(owner.key_id, 0),
        key_cap=owner.images_per_month,
    ).model_dump(mode="json")


def _about(row: Template) -> dict[str, Any]:
    return {"id": row.id, "slug": row.slug, "name": row.name, "version": row.version}


def _image(request: Request, row: Image) -> ImageInfo:
    return ImageInfo(
        **request.services.signed_urls.describe(row),
        name=row.name,
        template=row.template_id,
        version=row.template_version,
        made_at=row.created_at,
    )

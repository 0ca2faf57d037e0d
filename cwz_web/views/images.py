"""The gallery of finished images, and one image with its details."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ConfigDict, Field
from pyramid.view import view_config

from cwz_web.generation.images import find_images
from cwz_web.generation.models import Image, Template
from cwz_web.generation.templates import list_templates
from cwz_web.resources.base import parse_uuid
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ImageCollection, ImageResource
from cwz_web.runs.models import Run
from cwz_web.runs.progress import run_of_image
from cwz_web.web.forms import Form, read_form
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request


class ImageLink(NamedTuple):
    """An image, and the path of its thumbnail."""

    image: Image
    path: str


class FilterForm(Form):
    """Which images are shown."""

    model_config = ConfigDict(extra="ignore")

    template: UUID | Literal[""] = ""
    name: Annotated[str, Field(max_length=400)] = ""


@dataclass(frozen=True)
class ImageListPage:
    """What images/list.jinja2 and images/_page.jinja2 show.

    Attributes:
        filters: the filters in use, as query parameters.
        next_query: the query of the next page; None after the last.
        loads_itself: whether the next page is loaded without a click: a search has found nothing yet.
    """

    images: list[ImageLink]
    templates: list[Template]
    filters: dict[str, str]
    is_first_page: bool
    next_query: str | None
    loads_itself: bool


@dataclass(frozen=True)
class ImageDetailPage:
    """What images/show.jinja2 shows."""

    image: Image
    path: str
    file_name: str
    template: Template
    run: Run | None


def image_links(request: Request, images: list[Image]) -> list[ImageLink]:
    """Return images with the signed paths of their thumbnails, which browsers may cache."""
    return [ImageLink(image, request.services.signed_urls.thumbnail(image)) for image in images]


@page_view("images/list.jinja2", "images/_page.jinja2", context=ImageCollection, permission=Permission.VIEW)
def list_images(context: ImageCollection, request: Request) -> ImageListPage:
    """Show a page of the images, newest first, of all or of those that match the filters."""
    workspace_id = request.workspace.workspace_id
    form = read_form(FilterForm, request.GET).value or FilterForm()
    before = before_id(request)
    page = find_images(request.db, workspace_id, template_id=form.template or None, name=form.name, before=before)
    filters = {name: value for name, value in (("template", str(form.template)), ("name", form.name)) if value}
    return ImageListPage(
        images=image_links(request, page.images),
        templates=list_templates(request.db, workspace_id),
        filters=filters,
        is_first_page=before is None,
        next_query=urlencode(filters | {"before": str(page.before)}) if page.before else None,
        loads_itself=bool(form.name) and not page.images,
    )


@view_config(context=ImageResource, request_method="GET", renderer="images/show.jinja2", permission=Permission.VIEW)
def show_image(context: ImageResource, request: Request) -> ImageDetailPage:
    """Show one image, and where it comes from."""
    image = context.row
    run_id = run_of_image(request.db, image.workspace_id, image.id)
    return ImageDetailPage(
        image=image,
        path=request.services.signed_urls.image(image),
        file_name=f"{image.name.replace('/', '-')}.{image.key.rpartition('.')[2]}",
        template=request.db.get_one(Template, (image.workspace_id, image.template_id)),
        run=request.db.get(Run, (image.workspace_id, run_id)) if run_id else None,
    )


def before_id(request: Request) -> UUID | None:
    """Return the id that a page ends before (`?before=`); None for the first page, or an invalid id."""
    try:
        return parse_uuid(request.GET.get("before", ""))
    except KeyError:
        return None

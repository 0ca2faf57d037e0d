"""The gallery of finished images, and one image in full."""

from typing import Annotated, Any, Literal, NamedTuple
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
from cwz_web.web.request import Request


class ImageLink(NamedTuple):
    """A kept image, and the path of a small one of it."""

    image: Image
    path: str


def image_links(request: Request, images: list[Image]) -> list[ImageLink]:
    """The images with the addresses of their thumbnails. They are signed: browsers may keep them."""
    return [ImageLink(image, request.services.signed_urls.thumbnail(image)) for image in images]


class FilterForm(Form):
    """Which images somebody wants to see."""

    model_config = ConfigDict(extra="ignore")

    template: UUID | Literal[""] = ""
    name: Annotated[str, Field(max_length=400)] = ""


@view_config(
    context=ImageCollection,
    request_method="GET",
    renderer="images/list.jinja2",
    permission=Permission.VIEW,
    partial=False,
)
@view_config(
    context=ImageCollection,
    request_method="GET",
    renderer="images/_page.jinja2",
    permission=Permission.VIEW,
    partial=True,
)
def list_images(context: ImageCollection, request: Request) -> dict[str, Any]:
    """The newest images, or those before one; all, or those that are looked for."""
    workspace_id = request.workspace.workspace_id
    asked = read_form(FilterForm, request.GET).value or FilterForm()
    template_id = asked.template or None
    found = find_images(request.db, workspace_id, template_id=template_id, name=asked.name, before=before_id(request))
    wanted = {"template": str(asked.template), "name": asked.name}
    wanted = {name: value for name, value in wanted.items() if value}
    return {
        "images": image_links(request, found.images),
        "templates": list_templates(request.db, workspace_id),
        "wanted": wanted,
        "more": urlencode(wanted | {"before": str(found.before)}) if found.before else None,
    }


@view_config(context=ImageResource, request_method="GET", renderer="images/show.jinja2", permission=Permission.VIEW)
def show_image(context: ImageResource, request: Request) -> dict[str, Any]:
    """One image, and where it comes from."""
    image = context.row
    run_id = run_of_image(request.db, image.workspace_id, image.id)
    return {
        "image": image,
        "path": request.services.signed_urls.image(image),
        "template": request.db.get_one(Template, (image.workspace_id, image.template_id)),
        "run": request.db.get(Run, (image.workspace_id, run_id)) if run_id else None,
    }


def before_id(request: Request) -> UUID | None:
    """Where a page begins; an id that is none begins at the top."""
    try:
        return parse_uuid(request.GET.get("before", ""))
    except KeyError:
        return None

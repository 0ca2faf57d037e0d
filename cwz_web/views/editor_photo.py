"""The whole photo of an image layer, which the editor shows while its crop is changed."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.generation.drafts import load_draft
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.errors import ImagingError
from cwz_web.imaging.layer_base import SOURCE
from cwz_web.imaging.layers import ImageLayer
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.storage.contract import StorageError
from cwz_web.views.previews import MAX_ROW, sample_values, uploads_of
from cwz_web.web.forms import read_query
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection

# The longer side of the photo in pixels.
PHOTO_SIDE = 1600
# What makes the photo itself, without its place and its shape.
KEPT = ("source", "process", "grayscale", "adjust", "duotone")


class PhotoQuery(BaseModel):
    """Which photo: that of a layer, for a row of a feed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: Annotated[str, Field(max_length=60)]
    feed: UUID | None = None
    row: Annotated[int, Field(ge=1, le=MAX_ROW)] = 1


@view_config(
    context=TemplateResource,
    name="editor-photo",
    request_method="GET",
    permission=Permission.TEMPLATE_EDIT,
    rate_limit="preview",
)
def show_photo(context: TemplateResource, request: Request) -> Response:
    """Return the photo of a layer as a PNG file."""
    query = read_query(PhotoQuery, request.GET)
    document = load_draft(request.db, context.row).document
    layer = document.find_layer(query.layer)
    if not isinstance(layer, ImageLayer):
        raise HTTPNotFound
    values = sample_values(request, document, query.feed, query.row)
    uploads = uploads_of(request, context.row)
    release_connection(request)  # rendering may fetch the photo
    photo = photo_document(document, layer)
    try:
        prepared = request.services.image_service.prepare(uploads, photo, values, Output())
        tiled = list(prepared.plan.render_tiles(prepared.values, prepared.sources, photo))
    except (ImagingError, StorageError) as error:
        raise HTTPNotFound(str(error)) from error
    if not tiled or tiled[0].tile is None:
        raise HTTPNotFound("The photo is not available")
    return Response(tiled[0].tile.png, content_type="image/png", charset=None)


def photo_document(document: ImageTemplate, layer: ImageLayer) -> ImageTemplate:
    """Return a document that shows nothing but the whole photo of a layer."""
    values = layer.model_dump(mode="json")
    bound = {SOURCE: layer.bound[SOURCE]} if SOURCE in layer.bound else {}
    whole = {name: values[name] for name in KEPT if name in values} | {
        "type": "image",
        "name": layer.name,
        "width": PHOTO_SIDE,
        "height": PHOTO_SIDE,
        "fit": "contain",
        "missing": "skip",
        "bound": bound,
    }
    canvas = {"width": PHOTO_SIDE, "height": PHOTO_SIDE, "background": "#ffffff"}
    return ImageTemplate.model_validate({**document.canonical(), "canvas": canvas, "layers": [whole], "sizes": []})

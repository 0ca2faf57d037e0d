"""Images of starters: with their sample rows, and with rows of a feed of the workspace."""

from functools import lru_cache
from typing import Annotated, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.demo.starters import Starter, StarterUploads, list_starters, open_starter
from cwz_web.generation.image_service import ImageService, PreparedImage
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Format, Output
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateCollection
from cwz_web.views.previews import MAX_ROW, open_uploads, render_preview, sample_values
from cwz_web.web.forms import read_query
from cwz_web.web.request import Request

# Twice the displayed width, for high-density screens.
THUMBNAIL = 560
MAX_CACHED = 512

Q = TypeVar("Q", bound="StarterImageQuery")


class StarterImageQuery(BaseModel):
    """What to render. `version` is not read: it makes the URL of each version different."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(max_length=60)]
    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    row: Annotated[int, Field(ge=0, le=MAX_ROW)] = 0
    version: Annotated[str, Field(max_length=64)] = ""


class FeedImageQuery(StarterImageQuery):
    """The same with a row of a feed, which is its position there."""

    feed: UUID
    version: Literal[""] = ""


@view_config(context=TemplateCollection, name="starter-image", request_method="GET", permission=Permission.VIEW)
def starter_image(context: TemplateCollection, request: Request) -> Response:
    """Return the image of a starter with one of its sample rows."""
    query = _read_query(StarterImageQuery, request)
    if query.row >= list_starters()[query.name].rows:
        raise HTTPNotFound
    digest, image = _render_sample(request.services.image_service, query.name, query.size, query.row)
    response = Response(content_type=Format.WEBP.content_type, conditional_response=True)
    response.etag = digest
    response.headers["Cache-Control"] = "private, max-age=604800, immutable" if query.version else "private, no-cache"
    response.body = image
    return response


@view_config(
    context=TemplateCollection,
    name="starter-preview",
    request_method="GET",
    permission=Permission.VIEW,
    rate_limit="preview",
)
def starter_preview(context: TemplateCollection, request: Request) -> Response:
    """Return the image of a starter with a row of a feed, private and revalidated by its ETag."""
    query = _read_query(FeedImageQuery, request)
    document = open_starter(query.name).document
    data = sample_values(request, document, query.feed, query.row)
    if not data:
        raise HTTPNotFound
    uploads = open_uploads(request, request.workspace.workspace_id)
    return render_preview(request, uploads, document, data, _output(query.size), THUMBNAIL)


@lru_cache(maxsize=MAX_CACHED)
def _render_sample(image_service: ImageService, slug: str, size: str, row: int) -> tuple[str, bytes]:
    """Return the digest and the image of a starter's sample row; each is rendered once per process."""
    prepared = _prepare_sample(image_service, open_starter(slug), size, row)
    return prepared.digest, image_service.preview(prepared, THUMBNAIL)


def _prepare_sample(image_service: ImageService, starter: Starter, size: str, row: int) -> PreparedImage:
    return image_service.prepare(StarterUploads(starter), starter.document, starter.rows[row], _output(size))


def _output(size: str) -> Output:
    return Output(size=size, format=Format.WEBP)


def _read_query(model: type[Q], request: Request) -> Q:
    """Return the query of an existing starter and size.

    Raises:
        HTTPNotFound: there is no such starter or size.
        HTTPUnprocessableEntity: the query is not valid.
    """
    query = read_query(model, request.GET)
    entry = list_starters().get(query.name)
    if entry is None or query.size not in {size.name for size in entry.sizes}:
        raise HTTPNotFound
    return query

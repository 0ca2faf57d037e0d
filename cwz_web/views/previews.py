"""Preview images of a template's draft or versions, for members of its workspace."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.exc import NoResultFound

from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_items
from cwz_web.generation.drafts import load_draft
from cwz_web.generation.models import Template
from cwz_web.generation.templates import load_design
from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.runs.mapping import SAMPLE, apply_mapping, formats_of, guess_mapping
from cwz_web.storage.connections import list_connections_first
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.storage.uploads import Uploads
from cwz_web.web.forms import read_query
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection

# More than a feed has, and than a template has versions: what the database's integers hold.
MAX_ROW, MAX_VERSION = 10_000_000, 999_999


class PreviewQuery(BaseModel):
    """What to render. `draft` is not read: it makes the URL of each draft different."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    draft: Annotated[str, Field(max_length=64)] = ""
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)] | None = None
    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    feed: UUID | None = None
    row: Annotated[int, Field(ge=1, le=MAX_ROW)] = 1
    width: Annotated[int, Field(ge=16, le=2000)] | None = None


@view_config(
    context=TemplateResource, name="preview", request_method="GET", permission=Permission.VIEW, rate_limit="preview"
)
def preview(context: TemplateResource, request: Request) -> Response:
    """Return the image, private and revalidated by its ETag."""
    query, template = read_query(PreviewQuery, request.GET), context.row
    try:
        version = query.version
        design = load_design(request.db, template, version) if version else load_draft(request.db, template)
    except NoResultFound:
        raise HTTPNotFound from None
    data = sample_values(request, design.document, query.feed, query.row)
    uploads = uploads_of(request, template)
    return render_preview(request, uploads, design.document, data, Output(size=query.size), query.width)


def render_preview(
    request: Request,
    uploads: Uploads,
    document: ImageTemplate,
    values: Mapping[str, str],
    output: Output,
    width: int | None,
) -> Response:
    """Return an image that is neither stored nor counted, private and revalidated by its ETag.

    Args:
        request: The request.
        uploads: The uploads that the document can use.
        document: The template's document.
        values: The values of its fields.
        output: The size and the format.
        width: The width in pixels that the image is reduced to, or None.
    """
    release_connection(request)  # rendering may fetch photos
    image_service = request.services.image_service
    prepared = image_service.prepare(uploads, document, values, output)
    response = Response(content_type=output.format.content_type, conditional_response=True)
    response.etag = f"{prepared.digest}-{width or 0}"
    response.headers["Cache-Control"] = "private, no-cache"
    if response.etag not in request.if_none_match:
        response.body = image_service.preview(prepared, width)
    return response


def sample_values(request: Request, document: ImageTemplate, feed_id: UUID | None, row: int) -> dict[str, str]:
    """Return a feed row's values mapped to the template's fields; empty for the template's defaults."""
    feed = request.db.get(Feed, (request.workspace.workspace_id, feed_id)) if feed_id else None
    items = list_items(request.db, feed, row - 1, limit=1) if feed and feed.deleted_at is None else []
    if feed is None or not items:
        return {}
    first = [item.data for item in list_items(request.db, feed, limit=SAMPLE)]
    mapping = guess_mapping(document.fields, feed.columns, first)
    return apply_mapping(mapping, items[0].data, formats_of(request.db, feed))


def size_label(document: ImageTemplate, name: str) -> str:
    """Return the label of a size: its dimensions, and its name unless that says the same."""
    canvas = document.in_size(name).canvas
    dimensions = f"{canvas.width} × {canvas.height}"
    return dimensions if name in (DEFAULT_SIZE, f"{canvas.width}x{canvas.height}") else f"{name}, {dimensions}"


def uploads_of(request: Request, template: Template) -> Uploads:
    """Return the uploads that a template may use, in its connection first; none without a connection."""
    return open_uploads(request, template.workspace_id, template.connection_id)


def open_uploads(request: Request, workspace_id: UUID, connection_id: UUID | None = None) -> Uploads:
    """Return the uploads of a workspace, in the given or the default connection first; none without a connection."""
    try:
        connections = list_connections_first(request.db, workspace_id, connection_id)
    except InvalidSettingsError:
        connections = []
    return Uploads(workspace_id, [each.spec for each in connections], request.services.providers.open)

"""Rows of feeds in the editor: the search for one, those that stress a design, and what is wrong with an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.feeds.columns import FeedSchema
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import RowQuery, find_items, list_items
from cwz_web.generation.drafts import load_draft
from cwz_web.generation.models import Template
from cwz_web.i18n import gettext
from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.errors import ImagingError
from cwz_web.imaging.template_parts import TemplateField
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.runs.feed_fields import propose_fields
from cwz_web.runs.mapping import EMPTY, SAMPLE, apply_mapping, find_title_column, formats_of, guess_mapping
from cwz_web.runs.stress_rows import StressRow, find_stress_rows, scan_items
from cwz_web.storage.contract import StorageError
from cwz_web.stored_messages import translate_stored
from cwz_web.views.previews import MAX_ROW, sample_values, uploads_of
from cwz_web.web.forms import read_query
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection

FOUND_ROWS = 20
FILES = ("upload:", "http://", "https://")
# Fields that a hint names.
MAX_NAMED = 3


class RowsQuery(BaseModel):
    """Which rows to show. `draft` is not read: it makes the URL of each draft different."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    feed: UUID
    text: Annotated[str, Field(max_length=200)] = ""
    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    row: Annotated[int, Field(ge=1, le=MAX_ROW)] = 1


@dataclass(frozen=True)
class FoundRow:
    """A row of a feed: its number, its key and the beginning of its first values."""

    number: int
    key: str
    values: str


@dataclass(frozen=True)
class FoundRows:
    """The view model of editor/_rows.jinja2; `has_more` if there are more rows than shown."""

    rows: list[FoundRow]
    has_more: bool


@dataclass(frozen=True)
class StressRows:
    """The view model of editor/_stress.jinja2.

    Attributes:
        scanned: how many rows were compared.
        is_part: whether the feed has more.
        previews: the path of the images, without the row.
        hint: why there are no rows, and what to do.
    """

    rows: list[StressRow]
    feed: Feed
    scanned: int
    is_part: bool
    previews: str
    hint: str


@view_config(
    context=TemplateResource,
    name="editor-rows",
    request_method="GET",
    renderer="editor/_rows.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def search_rows(context: TemplateResource, request: Request) -> FoundRows:
    """List the rows that contain a text; the first ones without a text."""
    query = read_query(RowsQuery, request.GET)
    feed = _find_feed(request, query.feed)
    page = find_items(request.db, feed, RowQuery(text=query.text.strip()), limit=FOUND_ROWS)
    title_column = find_title_column(feed.columns)
    rows = [FoundRow(item.position, item.key, _describe_row(item.data, title_column)) for item in page.items]
    return FoundRows(rows, bool(page.next_after))


@view_config(
    context=TemplateResource,
    name="editor-stress",
    request_method="GET",
    renderer="editor/_stress.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def show_stress_rows(context: TemplateResource, request: Request) -> StressRows:
    """Show the draft with the rows that stress it."""
    query, template = read_query(RowsQuery, request.GET), context.row
    feed = _find_feed(request, query.feed)
    document = load_draft(request.db, template).document
    items = scan_items(request.db, feed)
    mapping = guess_mapping(document.fields, feed.columns, [item.data for item in items[:SAMPLE]])
    formats = formats_of(request.db, feed)
    rows = [apply_mapping(mapping, item.data, formats) for item in items]
    mapped = [field for field in document.fields if mapping.get(field.name, EMPTY) != EMPTY]
    path = request.path_in("templates", template.id, "preview")
    size = query.size if document.find_size(query.size) else DEFAULT_SIZE
    previews = f"{path}?draft={document.digest[:16]}&feed={feed.id}&size={size}&width=320"
    found = find_stress_rows(mapped, rows)
    hint = "" if found else _explain_none(document, feed, mapped)
    return StressRows(found, feed, len(items), feed.item_count > len(items), previews, hint)


def _explain_none(document: ImageTemplate, feed: Feed, mapped: Sequence[TemplateField]) -> str:
    """Return why a feed has no row that stresses a design, and what to do."""
    if not document.fields:
        return gettext("This template has no fields, so it looks the same in every row. Type {{ in a text to add one.")
    if not feed.item_count:
        return gettext("%(feed)s has no rows. Import some, or choose other sample data at the top.", feed=feed.name)
    if not mapped:
        names = ", ".join(field.label for field in document.fields[:MAX_NAMED])
        return gettext(
            "No column of %(feed)s fits a field of this template (%(names)s). Choose other sample data at the top.",
            feed=feed.name,
            names=names,
        )
    return gettext("No row of %(feed)s stands out: all values of these fields are alike.", feed=feed.name)


@view_config(
    context=TemplateResource,
    name="editor-findings",
    request_method="GET",
    permission=Permission.TEMPLATE_EDIT,
    rate_limit="preview",
)
def list_findings(context: TemplateResource, request: Request) -> Response:
    """Return what is wrong with the draft's image of a row, as JSON."""
    query, template = read_query(RowsQuery, request.GET), context.row
    document = load_draft(request.db, template).document
    size = query.size if document.find_size(query.size) else DEFAULT_SIZE
    values = sample_values(request, document, query.feed, query.row)
    return Response(json_body={"messages": _check(request, template, document, size, values)})


def _describe_row(data: Mapping[str, str], title_column: str) -> str:
    """Return the beginning of a row's values: its title first, and no references to files."""
    texts = [data.get(title_column, ""), *(text for name, text in data.items() if name != title_column)]
    return " · ".join(text[:60] for text in texts if text and not text.startswith(FILES))[:160]


@view_config(context=TemplateResource, name="editor-columns", request_method="GET", permission=Permission.TEMPLATE_EDIT)
def list_columns(context: TemplateResource, request: Request) -> Response:
    """Return the fields that a feed's columns offer to the draft, as JSON."""
    feed = _find_feed(request, read_query(RowsQuery, request.GET).feed)
    fields = load_draft(request.db, context.row).document.fields
    rows = [item.data for item in list_items(request.db, feed, limit=SAMPLE)]
    proposed = propose_fields(fields, feed.columns, FeedSchema.model_validate(feed.schema).types, rows)
    return Response(json_body={"fields": [field.model_dump(mode="json") for field in proposed]})


def _check(
    request: Request, template: Template, document: ImageTemplate, size: str, values: dict[str, str]
) -> list[str]:
    uploads = uploads_of(request, template)
    release_connection(request)  # rendering may fetch photos
    image_service = request.services.image_service
    try:
        findings = image_service.lint(image_service.prepare(uploads, document, values, Output(size=size)))
    except (ImagingError, StorageError) as error:
        return [translate_stored(str(error))]
    return [f"{finding.layer} {translate_stored(finding.message)}".strip() for finding in findings]


def _find_feed(request: Request, feed_id: UUID) -> Feed:
    feed = request.db.get(Feed, (request.workspace.workspace_id, feed_id))
    if feed is None or feed.deleted_at is not None:
        raise HTTPNotFound
    return feed

"""The rows of a feed as a grid, a row with its history, and the thumbnails of photos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field
from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.progress import list_campaigns_of_feed
from cwz_web.feeds.columns import COLUMN_TYPE_LABELS, ColumnType, FeedSchema
from cwz_web.feeds.models import Feed, Item, ItemVersion
from cwz_web.feeds.queries import (
    CHANGE_FILTER_LABELS,
    PAGE_SIZE,
    ChangeFilter,
    RowPage,
    RowQuery,
    find_item,
    find_items,
    list_items,
    list_items_by_key_prefix,
    list_items_by_keys,
    list_replaced_rows,
    list_versions,
)
from cwz_web.feeds.sort_index import ensure_sort_index
from cwz_web.generation.image_service import UPLOAD
from cwz_web.i18n import gettext, ngettext, number
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.errors import ImagingError
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedResource
from cwz_web.runs.progress import images_of_row
from cwz_web.runs.row_findings import RowFinding, find_newest_run, findings_by_key, list_keys_with_findings
from cwz_web.storage.contract import StorageError
from cwz_web.views.feed_page import FeedPage, FeedTab, row_path, shared_values
from cwz_web.views.images import ImageLink, image_links
from cwz_web.views.previews import MAX_ROW, open_uploads
from cwz_web.web.forms import Form, read_form, read_query
from cwz_web.web.lists import Filter, ListControls, keep_url
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.web.text import shorten
from cwz_web.web.transactions import release_connection
from cwz_web.web.urls import after_position

# The choice that searches the start of the key, which uses an index. No column has this name.
KEY_COLUMN = " key"
# Rows that are listed by their key, or by their place in a run.
UNSEARCHED = (ChangeFilter.REMOVED, ChangeFilter.FINDINGS)
# The parameter of the URL that hides a column; it can be repeated.
HIDE = "hide"
LINK_TYPES = (ColumnType.URL, ColumnType.IMAGE)
MAX_CELL, MAX_TITLE = 90, 300
# The side of a thumbnail in pixels, for a place of half its size.
THUMBNAIL_SIDE = 80
# So long browsers keep a thumbnail, and the placeholder of a photo that cannot be fetched now.
THUMBNAIL_SECONDS, MISSING_SECONDS = 3600, 60
THUMBNAIL = ImageTemplate.model_validate(
    {
        "canvas": {"width": THUMBNAIL_SIDE, "height": THUMBNAIL_SIDE, "background": "#ffffff"},
        "fields": [{"name": "photo", "label": "Photo"}],
        "layers": [
            {
                "type": "image",
                "name": "Photo",
                "source": "{{ photo }}",
                "width": THUMBNAIL_SIDE,
                "height": THUMBNAIL_SIDE,
                "fit": "contain",
            }
        ],
    }
)


class BrowseForm(Form):
    """Which rows to show. Other parameters of the URL are ignored."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=False)

    search: Annotated[str, Field(max_length=400)] = ""
    column: Annotated[str, Field(max_length=200)] = ""
    state: ChangeFilter = ChangeFilter.ALL
    sort: Annotated[str, Field(max_length=201)] = ""


class ThumbnailQuery(BaseModel):
    """The photo of a cell. `revision` is not read: it makes the URL of each change different."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: Annotated[int, Field(ge=1, le=MAX_ROW)]
    column: Annotated[str, Field(max_length=200)]
    revision: int = 0


@dataclass(frozen=True)
class GridColumn:
    """A column of the grid, and the query strings of its menu.

    Attributes:
        name: Its name.
        type: The label of its type.
        aria_sort: The direction that the rows are sorted in by it, or None.
        ascending: Sorts by it.
        descending: Sorts by it in reverse.
        unsorted: Shows the rows in the order of the file.
        hide: Hides it; the grid does not use it for the key.
        search: The text that it is searched for.
        others: The parameters that a search in it keeps.
    """

    name: str
    type: str
    aria_sort: str | None
    ascending: str
    descending: str
    unsorted: str
    hide: str
    search: str
    others: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class GridCell:
    """A value, the start of it that is shown, and the path of its thumbnail; "" for none."""

    value: str
    text: str
    thumbnail: str


@dataclass(frozen=True)
class GridRow:
    """A row of the grid: its key and path, how many findings it has in words, and its cells."""

    key: str
    path: str
    findings: str
    cells: tuple[GridCell, ...]


@dataclass(frozen=True)
class RowsPart:
    """Values of feeds/_rows.jinja2: rows of the grid, and how it continues.

    Attributes:
        rows: The rows.
        width: The number of columns of the table.
        is_sorting: Whether a job still sorts the rows.
        next_query: The query string of the next page; None on the last page.
        continues: Whether the browser requests the next page automatically, since a search has not filled this one.
        searched: How many rows were searched, in words; "" without a search.
        empty: What is said if there are no rows.
        here: The path of the feed.
    """

    rows: list[GridRow]
    width: int
    is_sorting: bool
    next_query: str | None
    continues: bool
    searched: str
    empty: str
    here: str


@dataclass(frozen=True, kw_only=True)
class RowsPage(FeedPage, RowsPart):
    """Values of feeds/rows.jinja2 and feeds/_grid.jinja2."""

    key_column: GridColumn | None
    columns: list[GridColumn]
    hidden: list[str]
    shown_query: str
    key_names: list[str]
    list: ListControls


@dataclass(frozen=True)
class Cell:
    """A cell of a row; `is_link` for a value that is safe to link to."""

    column: str
    value: str
    is_link: bool
    thumbnail: str


@dataclass(frozen=True)
class HistoryEntry:
    """A change of a row: when, whether the row was removed, and the changed cells (column, before, after)."""

    at: datetime
    removed: bool
    cells: list[tuple[str, str, str]]


@dataclass(frozen=True)
class RowDetailPage:
    """Values of feeds/row.jinja2.

    `run` is the path of the newest run, which the findings are of; `campaigns` are the names of the feed's campaigns,
    and the paths of the row in them.
    """

    feed: Feed
    key: str
    item: Item | None
    cells: list[Cell]
    findings: list[RowFinding]
    run: str
    history: list[HistoryEntry]
    images: list[ImageLink]
    campaigns: list[tuple[str, str]]


@dataclass(frozen=True)
class _Grid:
    """What the URL of a grid says; `key_column` is the only column of the key, or "" if there are none or several."""

    feed: Feed
    query: RowQuery
    hidden: tuple[str, ...]
    key_column: str

    @property
    def columns(self) -> list[str]:
        return [name for name in self.feed.columns if name not in self.hidden and name != self.key_column]

    @property
    def parameters(self) -> dict[str, str]:
        values = {"search": self.query.text, "column": self.query.column, "state": self.query.state}
        return {name: str(value) for name, value in {**values, "sort": self.query.sort}.items() if value}

    @property
    def hiding(self) -> list[tuple[str, str]]:
        return [(HIDE, name) for name in self.hidden]

    def link(self, hide: str = "", **changes: str) -> str:
        """Return the query string of this grid with changes."""
        parameters = {name: value for name, value in {**self.parameters, **changes}.items() if value}
        return urlencode([*parameters.items(), *self.hiding, *([(HIDE, hide)] if hide else [])])


@page_view("feeds/rows.jinja2", "feeds/_grid.jinja2", context=FeedResource, permission=Permission.VIEW)
def show_rows(context: FeedResource, request: Request) -> RowsPage:
    """Show a page of a feed's rows; to htmx, only the grid."""
    feed, grid = context.row, _read_grid(request, context.row)
    controls = _controls(grid)
    keep_url(request, controls)
    schema = FeedSchema.model_validate(feed.schema)
    return RowsPage(
        **shared_values(request, feed, FeedTab.ROWS),
        **vars(_rows_part(request, grid)),
        list=controls,
        key_column=_column(grid, schema, grid.key_column) if grid.key_column else None,
        columns=[_column(grid, schema, name) for name in grid.columns],
        hidden=list(grid.hidden),
        shown_query=urlencode(grid.parameters),
        key_names=schema.key_names,
    )


@view_config(
    context=FeedResource,
    name="rows",
    request_method="GET",
    renderer="feeds/_rows.jinja2",
    permission=Permission.VIEW,
)
def more_rows(context: FeedResource, request: Request) -> RowsPart:
    """Return the next page of rows."""
    return _rows_part(request, _read_grid(request, context.row))


@view_config(
    context=FeedResource, name="row", request_method="GET", renderer="feeds/row.jinja2", permission=Permission.VIEW
)
def show_row(context: FeedResource, request: Request) -> RowDetailPage:
    """Show a row, its history, what the last run found, and the images rendered from it."""
    feed, key = context.row, request.GET.get("key", "")
    item = find_item(request.db, feed, key)
    versions = list_versions(request.db, feed, key)
    if item is None and not versions:
        raise HTTPNotFound
    run_id = find_newest_run(request.db, feed.workspace_id, feed.id)
    findings = findings_by_key(request.db, feed.workspace_id, run_id, [key]) if run_id else {}
    return RowDetailPage(
        feed=feed,
        key=key,
        item=item,
        cells=_cells(request, feed, item) if item else [],
        findings=findings.get(key, []),
        run=request.path_in("runs", run_id) if run_id else "",
        history=_history(item, versions),
        images=image_links(request, images_of_row(request.db, feed.workspace_id, feed.id, key)),
        campaigns=[
            (campaign.name, f"{request.path_in('campaigns', campaign.id, 'row')}?{urlencode({'key': key})}")
            for campaign in list_campaigns_of_feed(request.db, feed)
        ],
    )


@view_config(context=FeedResource, name="photo", request_method="GET", permission=Permission.VIEW, rate_limit="preview")
def show_thumbnail(context: FeedResource, request: Request) -> Response:
    """Return a thumbnail of the photo in a cell, or a placeholder: browsers may not load it from its host (CSP)."""
    query, feed = read_query(ThumbnailQuery, request.GET), context.row
    items = list_items(request.db, feed, query.row - 1, limit=1)
    value = items[0].data.get(query.column) if items and items[0].position == query.row else None
    if not value:
        raise HTTPNotFound
    uploads = open_uploads(request, feed.workspace_id)
    release_connection(request)  # the photo may be fetched
    image_service = request.services.image_service
    try:
        prepared = image_service.prepare(uploads, THUMBNAIL, {"photo": value}, Output(format=Format.WEBP))
        body = image_service.preview(prepared, None)
    except (ImagingError, StorageError) as error:
        raise HTTPNotFound(str(error)) from error
    response = Response(body, content_type=Format.WEBP.content_type, charset=None)
    seconds = MISSING_SECONDS if prepared.lacks_photo else THUMBNAIL_SECONDS
    response.headers["Cache-Control"] = f"private, max-age={seconds}"
    return response


def _read_grid(request: Request, feed: Feed) -> _Grid:
    """Return the grid of the URL; parameters that do not fit the feed are ignored.

    The rows that an import has removed, and those with findings, are not searched and not sorted.
    """
    form = read_form(BrowseForm, request.GET).value or BrowseForm()
    is_key_search = bool(form.search) and form.column == KEY_COLUMN
    is_list = form.state in UNSEARCHED
    query = RowQuery(
        text="" if is_list else form.search.strip(),
        column=form.column if form.search.strip() and (form.column in feed.columns or is_key_search) else "",
        state=form.state,
        sort=form.sort if form.sort.removeprefix("-") in feed.columns and not (is_key_search or is_list) else "",
    )
    key = FeedSchema.model_validate(feed.schema).key_names
    key_column = key[0] if len(key) == 1 and key[0] in feed.columns else ""
    hidden = set(request.GET.getall(HIDE)) - {key_column}
    return _Grid(feed, query, tuple(name for name in feed.columns if name in hidden), key_column)


def _controls(grid: _Grid) -> ListControls:
    names = {name: shorten(name, 30) for name in grid.feed.columns}
    columns = {"": gettext("All columns"), KEY_COLUMN: gettext("Key starts with"), **names}
    states = {state.value: gettext(label) for state, label in CHANGE_FILTER_LABELS.items()}
    sort = [("sort", grid.query.sort)] if grid.query.sort else []
    return ListControls(
        noun="rows",
        search=grid.query.text,
        filters=(
            Filter("column", gettext("Column"), columns, grid.query.column),
            Filter("state", gettext("Rows"), states, grid.query.state),
        ),
        placeholder=gettext("Search rows…"),
        kept=(*sort, *grid.hiding),
    )


def _column(grid: _Grid, schema: FeedSchema, name: str) -> GridColumn:
    is_searched = grid.query.column == name
    others = {key: value for key, value in grid.parameters.items() if key in ("sort", "state")}
    return GridColumn(
        name=name,
        type=gettext(COLUMN_TYPE_LABELS[schema.types.get(name, ColumnType.TEXT)]),
        aria_sort={name: "ascending", f"-{name}": "descending"}.get(grid.query.sort),
        ascending=grid.link(sort=name),
        descending=grid.link(sort=f"-{name}"),
        unsorted=grid.link(sort=""),
        hide=grid.link(hide=name),
        search=grid.query.text if is_searched else "",
        others=(*others.items(), *grid.hiding, ("column", name)),
    )


def _rows_part(request: Request, grid: _Grid) -> RowsPart:
    """Return the page of rows that the URL requests."""
    feed, query = grid.feed, grid.query
    is_sorting = bool(query.sort) and not ensure_sort_index(request.db, feed, query.sort)
    page, next_page = (RowPage(), {}) if is_sorting else _find_page(request, grid)
    scanned = after_position(request, "scanned") + page.scanned
    more = {"scanned": str(scanned)} | next_page if next_page else {}
    is_scan = query.is_filter and query.state not in UNSEARCHED
    is_first = not (request.GET.get("after") or request.GET.get("from"))
    return RowsPart(
        rows=_grid_rows(request, grid, page.items),
        width=len(grid.columns) + 1,
        is_sorting=is_sorting,
        next_query=grid.link(**more) if next_page or is_sorting else None,
        continues=is_scan and len(page.items) < PAGE_SIZE,
        searched=_describe_search(scanned, feed.item_count) if is_scan else "",
        empty=_describe_end(query, is_first),
        here=request.path_in("feeds", feed.id),
    )


def _describe_search(scanned: int, count: int) -> str:
    return ngettext(
        "%(scanned)s of %(count)s row searched.",
        "%(scanned)s of %(count)s rows searched.",
        count,
        scanned=number(scanned),
    )


def _describe_end(query: RowQuery, is_first: bool) -> str:
    if not query.is_filter:
        return gettext("No more rows")
    return gettext("No rows match") if is_first else gettext("No more rows match")


def _find_page(request: Request, grid: _Grid) -> tuple[RowPage, dict[str, str]]:
    """Return a page of rows, and the parameters of the next page; none on the last page."""
    feed, query, start = grid.feed, grid.query, request.GET.get("from", "")[:400]
    if query.state == ChangeFilter.REMOVED:
        removed = list_replaced_rows(request.db, feed, feed.revision, removed=True, after=start, limit=PAGE_SIZE)
        rows = [Item(key=version.key, data=version.data, position=0) for version in removed]
        return _keyed_page(rows)
    if query.state == ChangeFilter.FINDINGS:
        return _page_of_findings(request, feed)
    if query.column == KEY_COLUMN:
        return _keyed_page(list_items_by_key_prefix(request.db, feed, query.text, start))
    page = find_items(request.db, feed, query, after_position(request))
    return page, {"after": str(page.next_after)} if page.next_after else {}


def _keyed_page(items: Sequence[Item]) -> tuple[RowPage, dict[str, str]]:
    return RowPage([*items], 0, len(items)), {"from": items[-1].key} if len(items) == PAGE_SIZE else {}


def _page_of_findings(request: Request, feed: Feed) -> tuple[RowPage, dict[str, str]]:
    run_id = find_newest_run(request.db, feed.workspace_id, feed.id)
    if run_id is None:
        return RowPage(), {}
    found = list_keys_with_findings(request.db, feed.workspace_id, run_id, after_position(request), PAGE_SIZE)
    keys = list(dict.fromkeys(key for _, key in found))
    items = list_items_by_keys(request.db, feed, keys)
    page = RowPage([items[key] for key in keys if key in items], 0, len(found))
    return page, {"after": str(found[-1][0])} if len(found) == PAGE_SIZE else {}


def _grid_rows(request: Request, grid: _Grid, items: Sequence[Item]) -> list[GridRow]:
    """Return the rows with their thumbnails, and what the last run found in them."""
    feed = grid.feed
    types = FeedSchema.model_validate(feed.schema).types
    run_id = find_newest_run(request.db, feed.workspace_id, feed.id) if items else None
    keys = [item.key for item in items]
    findings = findings_by_key(request.db, feed.workspace_id, run_id, keys) if run_id else {}
    return [
        GridRow(
            key=item.key,
            path=row_path(request, feed, item.key),
            findings=_describe_findings(findings.get(item.key, [])),
            cells=tuple(_grid_cell(request, feed, item, name, types) for name in grid.columns),
        )
        for item in items
    ]


def _describe_findings(findings: Sequence[RowFinding]) -> str:
    return ngettext("%(count)s finding", "%(count)s findings", len(findings)) if findings else ""


def _grid_cell(request: Request, feed: Feed, item: Item, column: str, types: Mapping[str, ColumnType]) -> GridCell:
    value = item.data.get(column) or ""
    thumbnail = _thumbnail(request, feed, item, column, types)
    return GridCell(shorten(value, MAX_TITLE), shorten(value, MAX_CELL), thumbnail)


def _thumbnail(request: Request, feed: Feed, item: Item, column: str, types: Mapping[str, ColumnType]) -> str:
    """Return the path of a cell's thumbnail; "" if it has no photo, or its row was removed."""
    value = item.data.get(column) or ""
    is_photo = value.startswith(UPLOAD) or (value and types.get(column) == ColumnType.IMAGE)
    if not is_photo or not item.position:
        return ""
    query = urlencode({"row": item.position, "column": column, "revision": item.revision})
    return f"{request.path_in('feeds', feed.id, 'photo')}?{query}"


def _cells(request: Request, feed: Feed, item: Item) -> list[Cell]:
    types = FeedSchema.model_validate(feed.schema).types
    columns = dict.fromkeys([*feed.columns, *item.data])
    return [
        Cell(
            column=column,
            value=item.data[column],
            is_link=types.get(column) in LINK_TYPES and item.data[column].startswith(("https://", "http://")),
            thumbnail=_thumbnail(request, feed, item, column, types),
        )
        for column in columns
        if item.data.get(column)
    ]


def _history(item: Item | None, versions: list[ItemVersion]) -> list[HistoryEntry]:
    """Return the changes of a row, newest first."""
    history = []
    after = item.data if item else {}
    for version in versions:
        before = version.data
        columns = {} if version.removed else dict.fromkeys([*before, *after])
        cells = [(c, before.get(c, ""), after.get(c, "")) for c in columns if before.get(c) != after.get(c)]
        history.append(HistoryEntry(version.replaced_at, version.removed, cells))
        after = before
    return history

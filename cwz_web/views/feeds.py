"""A feed with its rows, a row with its history, and the feed's settings. The list is in `feed_list.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.billing.plans import PlanLimit, check_plan_limit
from cwz_web.feeds.columns import ColumnType, FeedSchema
from cwz_web.feeds.file_types import read_table
from cwz_web.feeds.imports import create_import, enqueue_import, list_imports, resolve_schema
from cwz_web.feeds.limits import SAMPLE_ROWS, InvalidFileError
from cwz_web.feeds.models import IMPORT_STATE_LABELS, Feed, FeedImport, FeedSource, ImportState, Item, ItemVersion
from cwz_web.feeds.queries import (
    CHANGE_FILTER_LABELS,
    PAGE_SIZE,
    ChangeFilter,
    RowPage,
    RowQuery,
    find_item,
    find_items,
    list_items_by_key_prefix,
    list_versions,
)
from cwz_web.feeds.reading import ReadOptions
from cwz_web.feeds.schedules import schedule_of
from cwz_web.feeds.sort_index import ensure_sort_index
from cwz_web.feeds.sources import find_source
from cwz_web.generation.models import Template
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedResource
from cwz_web.runs.auto_runs import auto_runs_of, find_auto_run, stop_auto_run
from cwz_web.runs.models import AutoRun
from cwz_web.runs.progress import images_of_row
from cwz_web.views.feed_currency import CurrencyQuestion, currency_groups, currency_question
from cwz_web.views.feed_imports import NO_FILE, ImportProgress, progress_of_import, uploaded_file
from cwz_web.views.images import ImageLink, image_links
from cwz_web.web.forms import FieldError, Form, Name, OptionalCurrency, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.notices import add_notice
from cwz_web.web.request import Request
from cwz_web.web.urls import after_position

# The choice that searches the start of the key, which uses an index. No column has this name.
KEY_COLUMN = " key"
IMPORT_STATE_COLORS = {
    ImportState.APPLIED: "success",
    ImportState.QUEUED: "info",
    ImportState.NEEDS_REVIEW: "error",
    ImportState.FAILED: "error",
}
LINK_TYPES = (ColumnType.URL, ColumnType.IMAGE)


class BrowseForm(Form):
    """Which rows to show. Other parameters of the URL are ignored."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=False)

    text: Annotated[str, Field(max_length=400)] = ""
    column: Annotated[str, Field(max_length=200)] = ""
    state: ChangeFilter = ChangeFilter.ALL
    sort: Annotated[str, Field(max_length=201)] = ""


class SettingsForm(Form):
    """A feed's name, its currency, and the share of its rows that an import may remove without a review."""

    name: Name
    currency: OptionalCurrency = None
    max_removed_percent: Annotated[int, Field(ge=0, le=100)]


class NewerFileForm(Form):
    """A newer file, which is read from the request."""


class StopAutoRunForm(Form):
    """The template of the automatic run to stop."""

    template: UUID


@dataclass(frozen=True)
class ColumnHeader:
    """A column of the table of rows, with the query string that sorts by it."""

    name: str
    sort_query: str
    aria_sort: str | None


@dataclass(frozen=True)
class RowsPage:
    """Values of feeds/_rows.jinja2: one page of a feed's rows.

    Attributes:
        feed: The feed.
        query: The query.
        page: The rows.
        is_sorting: Whether a job still sorts the rows.
        next_query: The query string of the next page; None on the last page.
        continues: Whether the browser requests the next page automatically, since a search has not filled this one.
        scanned: The number of rows that were scanned for this page and the ones before.
        is_first: Whether this is the first page.
    """

    feed: Feed
    query: RowQuery
    page: RowPage
    is_sorting: bool
    next_query: str | None
    continues: bool
    scanned: int
    is_first: bool


@dataclass(frozen=True)
class ImportRow:
    """An import in the table of imports."""

    record: FeedImport
    label: str
    color: str
    error_message: str | None


@dataclass(frozen=True)
class FeedPage(RowsPage):
    """Values of feeds/show.jinja2."""

    form: SubmittedForm[Any]
    headers: list[ColumnHeader]
    search_columns: dict[str, str]
    searched_column: str
    change_filters: Mapping[ChangeFilter, str]
    imports: list[ImportRow]
    newest: FeedImport | None
    is_draft: bool
    is_failed: bool
    review: FeedImport | None
    progress: ImportProgress | None
    source: FeedSource | None
    source_url: str
    schedule: str
    auto_runs: list[tuple[AutoRun, Template]]
    key_names: list[str]
    question: CurrencyQuestion | None
    currencies: Mapping[str, Mapping[str, str]]
    can_edit: bool


@dataclass(frozen=True)
class Cell:
    """A cell of a row; `is_link` for a value that is safe to link to."""

    column: str
    value: str
    is_link: bool


@dataclass(frozen=True)
class HistoryEntry:
    """A change of a row: when, whether the row was removed, and the changed cells (column, before, after)."""

    at: datetime
    removed: bool
    cells: list[tuple[str, str, str]]


@dataclass(frozen=True)
class RowDetailPage:
    """Values of feeds/row.jinja2."""

    feed: Feed
    key: str
    item: Item | None
    cells: list[Cell]
    history: list[HistoryEntry]
    images: list[ImageLink]


@view_config(
    context=FeedResource, request_method="GET", renderer="feeds/show.jinja2", permission=Permission.VIEW, partial=False
)
def show_feed(context: FeedResource, request: Request) -> FeedPage:
    """Show a feed: a page of its rows, its source and its imports."""
    return feed_page(context, request, empty_form())


@view_config(
    context=FeedResource, request_method="GET", renderer="feeds/_rows.jinja2", permission=Permission.VIEW, partial=True
)
def more_rows(context: FeedResource, request: Request) -> RowsPage:
    """Return the next page of rows."""
    return _rows_page(request, context.row, _row_query(request, context.row))


@view_config(
    context=FeedResource, name="row", request_method="GET", renderer="feeds/row.jinja2", permission=Permission.VIEW
)
def show_row(context: FeedResource, request: Request) -> RowDetailPage:
    """Show a row, its history, and the images rendered from it."""
    feed, key = context.row, request.GET.get("key", "")
    item = find_item(request.db, feed, key)
    versions = list_versions(request.db, feed, key)
    if item is None and not versions:
        raise HTTPNotFound
    return RowDetailPage(
        feed=feed,
        key=key,
        item=item,
        cells=_cells(feed, item) if item else [],
        history=_history(item, versions),
        images=image_links(request, images_of_row(request.db, feed.workspace_id, feed.id, key)),
    )


def feed_page(context: FeedResource, request: Request, form: SubmittedForm[Any]) -> FeedPage:
    """Return the view model of a feed's page; a form on it shows its errors."""
    feed = context.row
    imports = list_imports(request.db, feed)
    newest = imports[0] if imports else None
    source = find_source(request.db, feed.workspace_id, feed.id)
    query = _row_query(request, feed)
    return FeedPage(
        **vars(_rows_page(request, feed, query)),
        form=form,
        headers=[_header(name, query) for name in feed.columns],
        search_columns={"": "All columns", KEY_COLUMN: "Key starts with", **{name: name for name in feed.columns}},
        searched_column=request.GET.get("column", ""),
        change_filters=CHANGE_FILTER_LABELS,
        imports=[_import_row(record, newest) for record in imports],
        newest=newest,
        is_draft=newest is not None and newest.state == ImportState.DRAFT,
        is_failed=newest is not None and newest.state == ImportState.FAILED,
        review=next((record for record in imports if record.state == ImportState.NEEDS_REVIEW), None),
        progress=progress_of_import(newest),
        source=source,
        source_url=source.url.partition("?")[0] if source else "",  # the query may contain a secret
        schedule=_describe_schedule(source),
        auto_runs=auto_runs_of(request.db, feed),
        key_names=FeedSchema.model_validate(feed.schema).key_names,
        question=currency_question(request, feed) if not feed.deleted_at else None,
        currencies=currency_groups(),
        can_edit=bool(request.has_permission(Permission.FEED_EDIT)),
    )


@form_view(
    SettingsForm,
    feed_page,
    context=FeedResource,
    name="settings",
    renderer="feeds/show.jinja2",
    permission=Permission.FEED_EDIT,
)
def save_settings(context: FeedResource, request: Request, form: SettingsForm) -> Response:
    """Save the settings of a feed."""
    feed = context.row
    changes = form.model_dump()
    request.audit("feed.settings", feed.name, to=changes["name"], **{k: v for k, v in changes.items() if k != "name"})
    feed.name, feed.max_removed_percent, feed.currency = form.name, form.max_removed_percent, form.currency
    return HTTPSeeOther(request.path_in("feeds", feed.id))


@form_view(
    NewerFileForm,
    feed_page,
    context=FeedResource,
    name="import",
    renderer="feeds/show.jinja2",
    permission=Permission.FEED_EDIT,
)
def import_newer_file(context: FeedResource, request: Request, form: NewerFileForm) -> Response:
    """Enqueue the import of a newer file."""
    feed = context.row
    file_name, file = uploaded_file(request)
    if file is None:
        raise FieldError("file", NO_FILE)
    try:
        resolve_schema(feed, read_table(file, SAMPLE_ROWS, ReadOptions.model_validate(feed.reading)))
    except InvalidFileError as error:
        raise FieldError("file", f"{error}. The feed has not changed") from None
    record = create_import(request.db, feed, file_name=file_name, file=file, started_by=request.user.account.id)
    enqueue_import(request.db, record)
    request.audit("feed.import", feed.name, file=file_name[:200], number=record.number)
    return HTTPSeeOther(request.path_in("feeds", feed.id))


@view_config(context=FeedResource, name="stop-auto-run", request_method="POST", permission=Permission.RUN_START)
def stop_auto_run_of_feed(context: FeedResource, request: Request) -> Response:
    """Stop rendering the changes of a feed with a template."""
    form = read_form(StopAutoRunForm, request.POST)  # no form_view: there is no field to correct
    auto = find_auto_run(request.db, context.row, form.value.template) if form.value else None
    if auto is None:
        raise HTTPUnprocessableEntity("This template is not rendered automatically for the feed")
    stop_auto_run(request.db, auto)
    request.audit("auto_run.disable", context.row.name, template=str(auto.template_id))
    return HTTPSeeOther(request.path_in("feeds", context.row.id))


@view_config(context=FeedResource, name="delete", request_method="POST", permission=Permission.FEED_EDIT)
def delete_feed(context: FeedResource, request: Request) -> Response:
    """Delete a feed. It can be restored from its page."""
    context.row.deleted_at = datetime.now(UTC)
    request.audit("feed.delete", context.row.name)
    add_notice(request, f"Deleted “{context.row.name}”.", undo=request.path_in("feeds", context.row.id, "restore"))
    return HTTPSeeOther(request.path_in("feeds", context.row.id))


@view_config(context=FeedResource, name="restore", request_method="POST", permission=Permission.FEED_EDIT)
def restore_feed(context: FeedResource, request: Request) -> Response:
    """Restore a deleted feed."""
    if context.row.deleted_at is not None:
        check_plan_limit(request.db, request.services.settings, context.row.workspace_id, PlanLimit.FEEDS)
    context.row.deleted_at = None
    request.audit("feed.restore", context.row.name)
    add_notice(request, f"Restored “{context.row.name}”.", undo=request.path_in("feeds", context.row.id, "delete"))
    return HTTPSeeOther(request.path_in("feeds", context.row.id))


def _row_query(request: Request, feed: Feed) -> RowQuery:
    """Return the query of the URL; parameters that do not fit the feed are ignored."""
    form = read_form(BrowseForm, request.GET).value or BrowseForm()
    is_key_search = bool(form.text) and form.column == KEY_COLUMN
    return RowQuery(
        text=form.text.strip(),
        column=form.column if form.column in feed.columns or is_key_search else "",
        state=form.state,
        sort=form.sort if form.sort.removeprefix("-") in feed.columns and not is_key_search else "",
    )


def _rows_page(request: Request, feed: Feed, query: RowQuery) -> RowsPage:
    """Return the page of rows that the URL requests."""
    parameters = _query_parameters(query)
    is_first = not request.GET.get("after")
    if query.sort and not ensure_sort_index(request.db, feed, query.sort):
        return RowsPage(
            feed=feed,
            query=query,
            page=RowPage(),
            is_sorting=True,
            next_query=urlencode(parameters),
            continues=False,
            scanned=0,
            is_first=is_first,
        )
    if query.column == KEY_COLUMN:
        items = list_items_by_key_prefix(request.db, feed, query.text, request.GET.get("from", "")[:400])
        page = RowPage(items, 0, len(items))
        next_page = {"from": items[-1].key} if len(items) == PAGE_SIZE else None
    else:
        page = find_items(request.db, feed, query, after_position(request))
        next_page = {"after": str(page.next_after)} if page.next_after else None
    scanned = after_position(request, "scanned") + page.scanned
    return RowsPage(
        feed=feed,
        query=query,
        page=page,
        is_sorting=False,
        next_query=urlencode(parameters | {"scanned": str(scanned)} | next_page) if next_page else None,
        continues=query.is_filter and len(page.items) < PAGE_SIZE,
        scanned=scanned,
        is_first=is_first,
    )


def _query_parameters(query: RowQuery) -> dict[str, str]:
    """Return the URL parameters of a query."""
    parameters = {"text": query.text, "column": query.column, "state": query.state, "sort": query.sort}
    return {name: str(value) for name, value in parameters.items() if value}


def _header(column: str, query: RowQuery) -> ColumnHeader:
    """Return a column's header; its link sorts by the column, or reverses the order."""
    sort = f"-{column}" if query.sort == column else column
    aria_sort = {column: "ascending", f"-{column}": "descending"}.get(query.sort)
    return ColumnHeader(column, urlencode(_query_parameters(query) | {"sort": sort}), aria_sort)


def _import_row(record: FeedImport, newest: FeedImport | None) -> ImportRow:
    state = ImportState(record.state)
    is_running = state == ImportState.QUEUED and record.rows_read > 0
    return ImportRow(
        record=record,
        label="Running" if is_running else IMPORT_STATE_LABELS[state],
        color=IMPORT_STATE_COLORS.get(state, ""),
        error_message=record.error_message if record is not newest else None,  # shown above the table
    )


def _describe_schedule(source: FeedSource | None) -> str:
    if source is None:
        return ""
    schedule = str(schedule_of(source.cron))
    return f"{schedule}, {source.time_zone}" if source.cron else schedule


def _cells(feed: Feed, item: Item) -> list[Cell]:
    types = FeedSchema.model_validate(feed.schema).types
    columns = dict.fromkeys([*feed.columns, *item.data])
    return [
        Cell(
            column=column,
            value=item.data[column],
            is_link=types.get(column) in LINK_TYPES and item.data[column].startswith(("https://", "http://")),
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

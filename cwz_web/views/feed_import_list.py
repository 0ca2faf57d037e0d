"""The imports of a feed, and what each of them has changed."""

from dataclasses import dataclass
from urllib.parse import urlencode

from pyramid.view import view_config

from cwz_web.feeds.import_changes import MAX_ADDED, ChangeKind, RowChange, list_changes
from cwz_web.feeds.imports import KEPT_REVISIONS, LISTED_IMPORTS, list_imports
from cwz_web.feeds.models import IMPORT_STATE_LABELS, Feed, FeedImport, ImportState
from cwz_web.feeds.queries import PAGE_SIZE
from cwz_web.i18n import gettext, gettext_noop, ngettext, number
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedResource
from cwz_web.views.feed_imports import requested_import
from cwz_web.views.feed_page import FeedPage, FeedTab, TabLink, row_path, shared_values
from cwz_web.web.request import Request
from cwz_web.web.text import shorten
from cwz_web.web.urls import after_position

# At most so much of a value is shown.
MAX_VALUE = 120
KIND_LABELS = {
    ChangeKind.CHANGED: gettext_noop("Changed"),
    ChangeKind.ADDED: gettext_noop("New"),
    ChangeKind.REMOVED: gettext_noop("Removed"),
}
IMPORT_STATE_COLORS = {
    ImportState.APPLIED: "success",
    ImportState.QUEUED: "info",
    ImportState.NEEDS_REVIEW: "error",
    ImportState.FAILED: "error",
}


@dataclass(frozen=True)
class ImportRow:
    """An import in the table of imports."""

    record: FeedImport
    label: str
    color: str


@dataclass(frozen=True, kw_only=True)
class ImportsPage(FeedPage):
    """Values of feeds/imports.jinja2; `before` is the number before which the next page begins, 0 on the last page."""

    imports: list[ImportRow]
    before: int
    is_first: bool


@dataclass(frozen=True)
class ChangedCell:
    """A value before and after an import, shortened; both are "" if it was empty and stayed so."""

    before: str
    after: str
    is_changed: bool


@dataclass(frozen=True)
class ChangedRow:
    """A row of the difference."""

    key: str
    path: str
    cells: list[ChangedCell]


@dataclass(frozen=True, kw_only=True)
class ChangesPage(FeedPage):
    """Values of feeds/changes.jinja2.

    Attributes:
        row: The import.
        kinds: Links to the changed, new and removed rows, with their numbers.
        columns: The columns of the difference: of changed rows only those that differ.
        rows: A page of the rows.
        next_query: The query string of the next page; None on the last page.
        remark: Why no rows are shown, or not all of them; "" if there is nothing to say.
    """

    row: ImportRow
    kinds: list[TabLink]
    columns: list[str]
    rows: list[ChangedRow]
    next_query: str | None
    remark: str


@view_config(
    context=FeedResource,
    name="changes",
    request_method="GET",
    renderer="feeds/changes.jinja2",
    permission=Permission.VIEW,
)
def show_changes(context: FeedResource, request: Request) -> ChangesPage:
    """Show what an import has changed, as a grid of the values before and after it."""
    feed = context.row
    record = requested_import(feed, request)
    counts = {ChangeKind.CHANGED: record.changed, ChangeKind.ADDED: record.added, ChangeKind.REMOVED: record.removed}
    kind = _chosen_kind(request, counts)
    found = list_changes(request.db, feed, record, kind, request.GET.get("from", "")[:400], PAGE_SIZE + 1)
    changes, is_last = found[:PAGE_SIZE], len(found) <= PAGE_SIZE
    columns = _columns_of(feed, changes)
    here = {"number": str(record.number)}
    return ChangesPage(
        **shared_values(request, feed, FeedTab.IMPORTS),
        row=_import_row(record),
        kinds=[
            TabLink(
                f"{gettext(KIND_LABELS[each])} ({number(count)})", f"?{urlencode(here | {'kind': each})}", each == kind
            )
            for each, count in counts.items()
        ],
        columns=columns,
        rows=[_changed_row(request, feed, change, columns) for change in changes],
        next_query=None if is_last else urlencode(here | {"kind": kind, "from": changes[-1].key}),
        remark=_remark(feed, record, kind, counts[kind], bool(changes)),
    )


@view_config(
    context=FeedResource,
    name="imports",
    request_method="GET",
    renderer="feeds/imports.jinja2",
    permission=Permission.VIEW,
)
def show_imports(context: FeedResource, request: Request) -> ImportsPage:
    """Show a page of the imports of a feed, newest first."""
    feed, before = context.row, after_position(request, "before")
    found = list_imports(request.db, feed, LISTED_IMPORTS + 1, before or None)
    imports, is_last = found[:LISTED_IMPORTS], len(found) <= LISTED_IMPORTS
    return ImportsPage(
        **shared_values(request, feed, FeedTab.IMPORTS),
        imports=[_import_row(record) for record in imports],
        before=0 if is_last else imports[-1].number,
        is_first=not before,
    )


def _import_row(record: FeedImport) -> ImportRow:
    state = ImportState(record.state)
    is_running = state == ImportState.QUEUED and record.rows_read > 0
    label = gettext("Running") if is_running else gettext(IMPORT_STATE_LABELS[state])
    return ImportRow(record, label, IMPORT_STATE_COLORS.get(state, ""))


def _chosen_kind(request: Request, counts: dict[ChangeKind, int]) -> ChangeKind:
    """Return the kind of changes of the URL, or the first that the import has made."""
    try:
        return ChangeKind(request.GET.get("kind", ""))
    except ValueError:
        return next((kind for kind, count in counts.items() if count), ChangeKind.CHANGED)


def _columns_of(feed: Feed, changes: list[RowChange]) -> list[str]:
    """Return the columns that differ in some of the rows, in the order of the feed."""
    names = dict.fromkeys(name for change in changes for name in change.changed_columns)
    known = [name for name in feed.columns if name in names]
    return [*known, *(name for name in names if name not in known)]


def _changed_row(request: Request, feed: Feed, change: RowChange, columns: list[str]) -> ChangedRow:
    path = row_path(request, feed, change.key)
    return ChangedRow(change.key, path, [_changed_cell(change, name) for name in columns])


def _changed_cell(change: RowChange, column: str) -> ChangedCell:
    before, after = change.before.get(column, ""), (change.after or {}).get(column, "")
    return ChangedCell(shorten(before, MAX_VALUE), shorten(after, MAX_VALUE), before != after)


def _remark(feed: Feed, record: FeedImport, kind: ChangeKind, count: int, has_rows: bool) -> str:
    """Return why the rows of an import are not shown, or not all of them."""
    if record.state == ImportState.NEEDS_REVIEW:
        return gettext("Nothing has changed yet. The rows are shown once the import is applied.")
    if record.state != ImportState.APPLIED:
        return gettext("This import has changed nothing.")
    if record.revision is not None and record.revision < feed.revision - KEPT_REVISIONS:
        return ngettext(
            "What an import has changed is stored for the last %(count)s change of a feed.",
            "What an import has changed is stored for the last %(count)s changes of a feed.",
            KEPT_REVISIONS,
        )
    if kind == ChangeKind.ADDED and count and not has_rows:
        return gettext("All rows of this import are new: the feed had none before.")
    if kind == ChangeKind.ADDED and count > MAX_ADDED:
        return ngettext(
            "The first %(listed)s of %(count)s new row in the file are listed.",
            "The first %(listed)s of %(count)s new rows in the file are listed.",
            count,
            listed=number(MAX_ADDED),
        )
    return "" if has_rows else gettext("No rows.")

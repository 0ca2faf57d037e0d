"""The imports of a feed, and what each of them has changed."""

from dataclasses import dataclass

from pyramid.view import view_config

from cwz_web.feeds.imports import LISTED_IMPORTS, list_imports
from cwz_web.feeds.models import IMPORT_STATE_LABELS, FeedImport, ImportState
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedResource
from cwz_web.views.feed_page import FeedPage, FeedTab, shared_values
from cwz_web.web.request import Request
from cwz_web.web.urls import after_position

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
    imports = list_imports(request.db, feed, LISTED_IMPORTS, before or None)
    return ImportsPage(
        **shared_values(request, feed, FeedTab.IMPORTS),
        imports=[_import_row(record) for record in imports],
        before=imports[-1].number if len(imports) == LISTED_IMPORTS else 0,
        is_first=not before,
    )


def _import_row(record: FeedImport) -> ImportRow:
    state = ImportState(record.state)
    is_running = state == ImportState.QUEUED and record.rows_read > 0
    label = "Running" if is_running else IMPORT_STATE_LABELS[state]
    return ImportRow(record, label, IMPORT_STATE_COLORS.get(state, ""))

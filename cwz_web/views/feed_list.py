"""The list of feeds: search, filters, order and pages."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cwz_web.feeds.feed_list import (
    FEED_SORTS,
    FEED_SOURCES,
    FEED_STATES,
    ListedFeed,
    count_changed_rows,
    find_feeds,
)
from cwz_web.feeds.models import IMPORT_STATE_LABELS, Feed, FeedImport, ImportState
from cwz_web.feeds.schedules import schedule_of
from cwz_web.generation.models import Image
from cwz_web.i18n import gettext, ngettext, number
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedCollection
from cwz_web.runs.models import Run
from cwz_web.runs.run_list import newest_runs_of_feeds
from cwz_web.stored_messages import translate_stored
from cwz_web.views.images import image_links
from cwz_web.views.runs import RunRow, RunTab, run_row
from cwz_web.web.lists import (
    Filter,
    ListControls,
    ListForm,
    choose_sort,
    filter_labels,
    keep_url,
    read_list_form,
)
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request

BADGES = {
    ImportState.DRAFT: "",
    ImportState.QUEUED: "info",
    ImportState.NEEDS_REVIEW: "error",
    ImportState.FAILED: "error",
}


class FeedListForm(ListForm):
    """Which feeds are shown."""

    state: Literal["", "attention", "paused", "draft", "deleted"] = ""
    source: Literal["", "url", "service", "api", "file"] = ""


@dataclass(frozen=True)
class FeedRow:
    """A row of the table of feeds.

    Attributes:
        source: Where the rows come from.
        changes: What the newest import has changed, in words.
        findings: What is wrong with the newest import, in words; empty for nothing.
        next_fetch: When the feed is fetched next.
        schedule: How often it is fetched, in words; empty without a URL.
        last_fetch: When it was fetched last.
        is_paused: Whether its schedule is paused.
        can_pause: Whether it has a schedule.
        history: How many rows each of the last imports has changed, oldest first; empty for less than two.
        run: Its newest run.
        run_path: The page of that run; its findings if it has some.
        thumbnails: The paths of the first images of that run.
    """

    feed: Feed
    state: str
    badge: str
    source: str
    changes: str
    findings: str
    next_fetch: datetime | None
    schedule: str
    last_fetch: datetime | None
    is_paused: bool
    can_pause: bool
    history: list[int]
    run: RunRow | None
    run_path: str
    thumbnails: tuple[str, ...]

    @property
    def history_text(self) -> str:
        """The history in words."""
        return gettext(
            "Rows changed by the last %(count)s imports: %(numbers)s",
            count=len(self.history),
            numbers=", ".join(map(number, self.history)),
        )


@dataclass(frozen=True)
class FeedListPage:
    """What feeds/list.jinja2 and feeds/_list.jinja2 show."""

    feeds: list[FeedRow]
    list: ListControls


@page_view("feeds/list.jinja2", "feeds/_list.jinja2", context=FeedCollection, permission=Permission.VIEW)
def feed_list(context: FeedCollection, request: Request) -> FeedListPage:
    """Show a page of the feeds, of all or of those that match the filters."""
    workspace_id = request.workspace.workspace_id
    form = read_list_form(FeedListForm, request)
    sort = choose_sort(FEED_SORTS, form.sort)
    page = find_feeds(
        request.db,
        workspace_id,
        search=form.search,
        state=form.state,
        source=form.source,
        sort=sort,
        after=form.after or None,
    )
    sources = {"": gettext("All sources")} | filter_labels(FEED_SOURCES)
    states = filter_labels(FEED_STATES)
    controls = ListControls(
        noun="feeds",
        search=form.search,
        filters=(
            Filter("state", gettext("State"), states, form.state),
            Filter("source", gettext("Source"), sources, form.source),
        ),
        sorts=FEED_SORTS,
        sort=sort,
        count=page.count,
        after=str(form.after),
        next_after=page.next_after,
    )
    keep_url(request, controls)
    feed_ids = [listed.feed.id for listed in page.rows]
    history = count_changed_rows(request.db, workspace_id, feed_ids)
    runs = newest_runs_of_feeds(request.db, workspace_id, feed_ids)
    rows = []
    for listed in page.rows:
        run, images = runs.get(listed.feed.id, (None, []))
        rows.append(_feed_row(request, listed, history[listed.feed.id], run, images))
    return FeedListPage(rows, controls)


def _feed_row(
    request: Request, listed: ListedFeed, history: list[int], run: Run | None, images: list[Image]
) -> FeedRow:
    feed, source = listed.feed, listed.source
    state, badge = _state_of(listed)
    return FeedRow(
        feed=feed,
        state=state,
        badge=badge,
        source=source.url.partition("?")[0] if source else feed.source,  # the query may contain a secret
        changes=_describe_changes(listed.newest),
        findings=_describe_findings(listed),
        next_fetch=source.next_at if source and not feed.deleted_at else None,
        schedule=str(schedule_of(source.cron)) if source else "",
        last_fetch=source.fetched_at if source else None,
        is_paused=bool(source and source.paused_at),
        can_pause=bool(source and source.cron and not feed.deleted_at),
        history=history if len(history) > 1 else [],
        run=run_row(run, feed.name, "") if run else None,
        run_path=_run_path(request, run) if run else "",
        thumbnails=tuple(link.path for link in image_links(request, images)),
    )


def _run_path(request: Request, run: Run) -> str:
    path = request.path_in("runs", run.id)
    return f"{path}?tab={RunTab.FINDINGS}" if run.findings or run.failed else path


def _state_of(listed: ListedFeed) -> tuple[str, str]:
    """Return the state of a feed in words, and the class of its badge."""
    if listed.feed.deleted_at:
        return gettext("Deleted"), ""
    state = ImportState(listed.newest.state) if listed.newest else None
    if state in BADGES:
        label = gettext("Import failed") if state == ImportState.FAILED else gettext(IMPORT_STATE_LABELS[state])
        return label, BADGES[state]
    if listed.source and listed.source.failures:
        return gettext("Fetch failed"), "error"
    return (gettext("Up to date"), "success") if listed.feed.imported_at else (gettext("No rows yet"), "")


def _describe_changes(newest: FeedImport | None) -> str:
    """Return what an applied import has changed, such as “2 added, 1 removed”."""
    if newest is None or newest.state not in (ImportState.APPLIED, ImportState.UNCHANGED):
        return ""
    parts = []
    if newest.added:
        parts.append(ngettext("%(count)s added", "%(count)s added", newest.added))
    if newest.changed:
        parts.append(ngettext("%(count)s changed", "%(count)s changed", newest.changed))
    if newest.removed:
        parts.append(ngettext("%(count)s removed", "%(count)s removed", newest.removed))
    return ", ".join(parts) or gettext("No changes")


def _describe_findings(listed: ListedFeed) -> str:
    """Return why the feed needs attention: the error, or the number of invalid rows."""
    newest, source = listed.newest, listed.source
    if newest and newest.state == ImportState.FAILED and newest.error_message:
        return translate_stored(newest.error_message)
    if source and source.failures and source.error_message:
        return translate_stored(source.error_message)
    if newest and newest.invalid:
        return ngettext("%(count)s invalid row", "%(count)s invalid rows", newest.invalid)
    return ""

"""Jobs of feeds: fetch the feeds that are due, import files, and build sort indexes."""

from uuid import UUID

from procrastinate import JobContext
from sqlalchemy import text

from cwz_web.feeds.change_webhooks import fetch_changes
from cwz_web.feeds.fetch_job import FetchContext, fetch_feed, process_import
from cwz_web.feeds.sort_index import build_sort_index
from cwz_web.jobs import FEEDS_QUEUE, RETRY, SOURCES_QUEUE, app, defer_once
from cwz_web.workspaces.access import find_plan_status


@app.periodic(cron="* * * * *")
@app.task(name="feeds.enqueue_due", queueing_lock="feeds_due", pass_context=True)
def enqueue_due(context: JobContext, timestamp: int) -> None:
    """Enqueue the feeds that are due, except those of read-only workspaces (whose plan is not paid)."""
    quotas = context.additional_context["quotas"]
    with context.additional_context["database"].transaction() as db:
        for row in db.execute(text("SELECT workspace_id, feed_id FROM find_due_feeds()")).all():
            if quotas.of(row.workspace_id, find_plan_status(db, row.workspace_id)).is_read_only:
                continue
            defer_once(
                db,
                "feeds.fetch",
                queue=FEEDS_QUEUE,
                queueing_lock=f"feed {row.feed_id}",
                workspace_id=str(row.workspace_id),
                feed_id=str(row.feed_id),
            )


@app.task(name="feeds.fetch", queue=FEEDS_QUEUE, pass_context=True)
def fetch(context: JobContext, workspace_id: str, feed_id: str) -> None:
    """Fetch a feed on its schedule."""
    fetch_feed(_fetch_context(context), UUID(workspace_id), UUID(feed_id))


@app.task(name="feeds.fetch_provider", queue=SOURCES_QUEUE, pass_context=True)
def fetch_from_provider(context: JobContext, workspace_id: str, feed_id: str, import_id: str) -> None:
    """Fetch a feed from its provider: on its schedule, or for an import."""
    fetch_feed(
        _fetch_context(context),
        UUID(workspace_id),
        UUID(feed_id),
        UUID(import_id) if import_id else None,
        may_wait=True,
    )


@app.task(name="feeds.fetch_changes", queue=FEEDS_QUEUE, pass_context=True)
def fetch_changed_rows(context: JobContext, workspace_id: str, feed_id: str, is_complete: int) -> None:
    """Fetch what a shop has said to have changed, except for read-only workspaces."""
    workspace, services = UUID(workspace_id), context.additional_context
    with services["database"].transaction() as db:
        if services["quotas"].of(workspace, find_plan_status(db, workspace)).is_read_only:
            return
    fetch_changes(_fetch_context(context), workspace, UUID(feed_id), is_complete=bool(is_complete))


@app.task(name="feeds.import", queue=FEEDS_QUEUE, pass_context=True, retry=RETRY)
def import_file(context: JobContext, workspace_id: str, import_id: str) -> None:
    """Import the file of a queued import; fetch it first, if it comes from the feed's source."""
    process_import(_fetch_context(context), UUID(workspace_id), UUID(import_id))


@app.task(name="feeds.build_sort_index", queue=FEEDS_QUEUE, pass_context=True)
def sort_rows(context: JobContext, workspace_id: str, feed_id: str, sort: str) -> None:
    """Store the order of a feed's rows by a column."""
    workspace = UUID(workspace_id)
    with context.additional_context["database"].transaction(workspace) as db:
        build_sort_index(db, workspace, UUID(feed_id), sort)


def _fetch_context(context: JobContext) -> FetchContext:
    services = context.additional_context
    return FetchContext(
        services["database"],
        services["fetcher"],
        services["ring"],
        services["email_service"].url,
        services["feed_sources"],
    )

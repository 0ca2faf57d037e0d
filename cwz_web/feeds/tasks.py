"""The jobs of feeds: each minute those that are due are fetched; files are brought in; rows are put in order."""

from uuid import UUID

from procrastinate import JobContext
from sqlalchemy import text

from cwz_web.feeds.fetch_job import Office, bring_in, fetch_feed
from cwz_web.feeds.sort_index import order_rows
from cwz_web.jobs import FEEDS_QUEUE, RETRY, app, defer_once
from cwz_web.workspaces.access import plan_status_of


@app.periodic(cron="* * * * *")
@app.task(name="feeds.find_due", queueing_lock="feeds_due", pass_context=True)
def find_due(context: JobContext, timestamp: int) -> None:
    """Enqueue every feed whose time has come; those of a workspace that can only be looked at wait until it is paid."""
    quotas = context.additional_context["meters"]
    with context.additional_context["database"].transaction() as db:
        for row in db.execute(text("SELECT workspace_id, feed_id FROM due_feeds()")).all():
            if quotas.of(row.workspace_id, plan_status_of(db, row.workspace_id)).closed:
                continue
            workspace, feed = str(row.workspace_id), str(row.feed_id)
            defer_once(db, "feeds.fetch", queue=FEEDS_QUEUE, once=f"feed {feed}", workspace_id=workspace, feed_id=feed)


@app.task(name="feeds.fetch", queue=FEEDS_QUEUE, pass_context=True)
def fetch(context: JobContext, workspace_id: str, feed_id: str) -> None:
    """Fetch one feed, since it is time."""
    fetch_feed(_office(context), UUID(workspace_id), UUID(feed_id))


@app.task(name="feeds.bring_in", queue=FEEDS_QUEUE, pass_context=True, retry=RETRY)
def bring_in_file(context: JobContext, workspace_id: str, import_id: str) -> None:
    """Bring in the file of one import; fetch it before, where that is asked for."""
    bring_in(_office(context), UUID(workspace_id), UUID(import_id))


@app.task(name="feeds.order", queue=FEEDS_QUEUE, pass_context=True)
def order(context: JobContext, workspace_id: str, feed_id: str, name: str) -> None:
    """Put a feed's rows in the order of a column."""
    workspace = UUID(workspace_id)
    with context.additional_context["database"].transaction(workspace) as db:
        order_rows(db, workspace, UUID(feed_id), name)


def _office(context: JobContext) -> Office:
    found = context.additional_context
    return Office(found["database"], found["fetcher"], found["ring"], found["post"].url)

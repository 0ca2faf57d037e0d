"""The jobs of feeds: each minute those that are due are enqueued, one job a feed."""

from uuid import UUID

from procrastinate import JobContext
from procrastinate.exceptions import AlreadyEnqueued
from sqlalchemy import text

from cwz_web.db.session import raw_connection
from cwz_web.feeds.refresh import refresh_feed
from cwz_web.jobs import app

QUEUE = "feeds"


@app.periodic(cron="* * * * *")
@app.task(name="feeds.find_due", queueing_lock="feeds_due", pass_context=True)
def find_due(context: JobContext, timestamp: int) -> None:
    """Enqueue every feed whose time has come."""
    with context.additional_context["database"].transaction() as db:
        for row in db.execute(text("SELECT workspace_id, feed_id FROM due_feeds()")).all():
            queued = fetch.configure(connection=raw_connection(db), queueing_lock=f"feed {row.feed_id}")
            try:
                with db.begin_nested():
                    queued.defer(workspace_id=str(row.workspace_id), feed_id=str(row.feed_id))
            except AlreadyEnqueued:
                continue


@app.task(name="feeds.fetch", queue=QUEUE, pass_context=True)
def fetch(context: JobContext, workspace_id: str, feed_id: str) -> None:
    """Fetch one feed."""
    found = context.additional_context
    refresh_feed(
        found["database"], found["fetcher"], found["ring"], found["post"].url, UUID(workspace_id), UUID(feed_id)
    )

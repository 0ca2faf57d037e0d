"""The jobs of runs."""

from uuid import UUID

import structlog
from procrastinate import JobContext

from cwz_web.jobs import FEEDS_QUEUE, RENDER_QUEUE, RETRY, app
from cwz_web.runs.callback import forget_messages
from cwz_web.runs.following import follow_feed
from cwz_web.runs.protocol import AskSpecification, Gone

log = structlog.get_logger()


@app.periodic(cron="17 * * * *")
@app.task(name="runs.forget_messages", queueing_lock="forget_messages", pass_context=True)
def forget_old_messages(context: JobContext, timestamp: int) -> None:
    """Drop what is remembered of workers' messages when it is too old to matter."""
    with context.additional_context["database"].transaction() as db:
        forget_messages(db)


@app.task(name="runs.follow_feed", queue=FEEDS_QUEUE, pass_context=True)
def follow(context: JobContext, workspace_id: str, feed_id: str) -> None:
    """Begin the runs that follow a feed, after its rows have changed."""
    workspace = UUID(workspace_id)
    with context.additional_context["database"].transaction(workspace) as db:
        follow_feed(db, workspace, UUID(feed_id), context.additional_context["meters"])


@app.task(name="runs.render_chunk", queue=RENDER_QUEUE, retry=RETRY, pass_context=True)
def render_chunk(context: JobContext, workspace_id: str, run_id: str, chunk: int) -> None:
    """Draw a chunk of a run."""
    ask = AskSpecification(workspace_id=UUID(workspace_id), run_id=UUID(run_id), chunk=chunk)
    attempts = context.job.attempts
    try:
        context.additional_context["worker"].render_chunk(ask, last_try=attempts + 1 >= (RETRY.max_attempts or 1))
    except Gone:
        log.info("chunk of a run that is gone", run=run_id, chunk=chunk)

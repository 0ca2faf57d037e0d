"""The jobs of runs."""

from typing import Any
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import text

from cwz_web.generation.usage import Quota, QuotaExceededError
from cwz_web.jobs import FEEDS_QUEUE, PREPARE_QUEUE, RENDER_QUEUE, LongRetry, app
from cwz_web.runs.auto_runs import start_due_auto_runs
from cwz_web.runs.models import Run
from cwz_web.runs.planning import NEVER_PREPARED, EmptyFeedError, RunEndedError, prepare_run, refuse_run
from cwz_web.runs.protocol import AskSpecification, RunGoneError
from cwz_web.runs.reports import forget_messages, give_up_lost
from cwz_web.runs.scheduling import drop_chunks, requeue_chunk

log = structlog.get_logger()

# A storage that refuses for a minute, or a web that is down, holds a run up a little; after hours it is given up.
RETRY = LongRetry(longest=60, attempts=150)
# Images that are slower than those of the run before are shared out anew, so that nobody waits for a whole chunk.
LONGEST_SECONDS = 5.0


@app.periodic(cron="17 * * * *")
@app.task(name="runs.forget_messages", queueing_lock="forget_messages", pass_context=True)
def forget_old_messages(context: JobContext, timestamp: int) -> None:
    """Drop what is remembered of workers' messages when it is too old to matter."""
    with context.additional_context["database"].transaction() as db:
        forget_messages(db)


@app.periodic(cron="*/5 * * * *")
@app.task(name="runs.end_lost", queueing_lock="end_lost", pass_context=True)
def end_lost(context: JobContext, timestamp: int) -> None:
    """End what nobody will render any more, so that no run waits for ever."""
    extra = context.additional_context
    with extra["database"].transaction() as db:
        lost = db.execute(text("SELECT workspace_id, run_id, array_agg(chunk) FROM lost_chunks() GROUP BY 1, 2")).all()
    for workspace_id, run_id, chunks in lost:
        log.error("chunks lost", run=str(run_id), chunks=len(chunks))
        with extra["database"].transaction(workspace_id) as db:
            give_up_lost(db, workspace_id, run_id, chunks, extra["addresses"])
    with extra["database"].transaction() as db:
        unprepared = db.execute(text("SELECT workspace_id, run_id FROM lost_runs()")).all()
    for workspace_id, run_id in unprepared:
        log.error("run lost", run=str(run_id))
        with extra["database"].transaction(workspace_id) as db:
            refuse_run(db, db.get_one(Run, (workspace_id, run_id)), NEVER_PREPARED)


@app.task(name="runs.follow_feed", queue=FEEDS_QUEUE, pass_context=True)
def follow(context: JobContext, workspace_id: str, feed_id: str) -> None:
    """Begin the runs that follow a feed, after its rows have changed."""
    workspace = UUID(workspace_id)
    with context.additional_context["database"].transaction(workspace) as db:
        start_due_auto_runs(db, workspace, UUID(feed_id), context.additional_context["meters"])


@app.task(name="runs.prepare", queue=PREPARE_QUEUE, retry=RETRY, pass_context=True)
def prepare(context: JobContext, workspace_id: str, run_id: str, terms: dict[str, Any]) -> None:
    """Prepare a large run, or end it when there is no room for it."""
    database, key = context.additional_context["database"], (UUID(workspace_id), UUID(run_id))
    why = ""
    try:
        with database.transaction(key[0]) as db:
            run = db.get(Run, key)
            if run and not run.prepared and not run.finished_at:
                prepare_run(db, run, Quota(key[0], key_id=run.key_id, **terms))
    except RunEndedError:
        log.info("run ended while it was prepared", run=run_id)
    except (EmptyFeedError, QuotaExceededError) as error:
        why = str(error)
    if why:
        with database.transaction(key[0]) as db:
            refuse_run(db, db.get_one(Run, key), why)


@app.task(name="runs.drop_chunks", queue=PREPARE_QUEUE, retry=RETRY, pass_context=True)
def drop(context: JobContext, workspace_id: str, run_id: str) -> None:
    """Drop what waits of a run that was cancelled."""
    with context.additional_context["database"].transaction(UUID(workspace_id)) as db:
        run = db.get(Run, (UUID(workspace_id), UUID(run_id)))
        if run:
            drop_chunks(db, run)


@app.task(name="runs.render_chunk", queue=RENDER_QUEUE, retry=RETRY, pass_context=True)
def render_chunk(context: JobContext, workspace_id: str, run_id: str, chunk: int) -> None:
    """Render a chunk of a run."""
    ask = AskSpecification(workspace_id=UUID(workspace_id), run_id=UUID(run_id), chunk=chunk)
    extra, attempts = context.additional_context, context.job.attempts
    try:
        if not extra["worker"].render_chunk(ask, last_try=attempts >= RETRY.attempts, seconds=LONGEST_SECONDS):
            with extra["database"].transaction(ask.workspace_id) as db:
                requeue_chunk(db, ask.workspace_id, ask.run_id, chunk)
    except RunGoneError:
        log.info("chunk of a run that is gone", run=run_id, chunk=chunk)

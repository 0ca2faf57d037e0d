"""The jobs of runs that `cwz worker` runs. Rendering itself is in `render_tasks.py`."""

from typing import Any
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import text

from cwz_web.generation.usage import Quota, QuotaExceededError
from cwz_web.jobs import FEEDS_QUEUE, PREPARE_QUEUE, LongRetry, app
from cwz_web.runs.auto_runs import start_due_auto_runs
from cwz_web.runs.image_deletion import PURGE_TASK, purge_images
from cwz_web.runs.models import Run
from cwz_web.runs.planning import (
    PREPARATION_FAILED,
    EmptyFeedError,
    RunEndedError,
    fail_unprepared_run,
    prepare_run,
)
from cwz_web.runs.reports import delete_old_messages, fail_items_of_chunks
from cwz_web.runs.scheduling import delete_queued_chunks

log = structlog.get_logger()

RETRY = LongRetry(max_wait=60, max_attempts=150)


@app.periodic(cron="17 * * * *")
@app.task(name="runs.delete_old_messages", queueing_lock="delete_old_messages", pass_context=True)
def delete_messages(context: JobContext, timestamp: int) -> None:
    """Delete the ids of render workers' old messages."""
    with context.additional_context["database"].transaction() as db:
        delete_old_messages(db)


@app.periodic(cron="*/5 * * * *")
@app.task(name="runs.fail_orphaned_items", queueing_lock="fail_orphaned_items", pass_context=True)
def fail_orphaned_items(context: JobContext, timestamp: int) -> None:
    """Fail chunks and unprepared runs that have no job, so that every run finishes."""
    extra = context.additional_context
    with extra["database"].transaction() as db:
        orphaned = db.execute(
            text("SELECT workspace_id, run_id, array_agg(chunk) FROM orphaned_chunks() GROUP BY 1, 2")
        ).all()
    for workspace_id, run_id, chunks in orphaned:
        log.error("chunks without a job", run=str(run_id), chunks=len(chunks))
        with extra["database"].transaction(workspace_id) as db:
            fail_items_of_chunks(db, workspace_id, run_id, chunks, extra["signed_urls"])
    with extra["database"].transaction() as db:
        unprepared = db.execute(text("SELECT workspace_id, run_id FROM orphaned_runs()")).all()
    for workspace_id, run_id in unprepared:
        log.error("unprepared run without a job", run=str(run_id))
        with extra["database"].transaction(workspace_id) as db:
            fail_unprepared_run(db, db.get_one(Run, (workspace_id, run_id)), PREPARATION_FAILED)


@app.task(name="runs.start_auto_runs", queue=FEEDS_QUEUE, pass_context=True)
def start_auto_runs(context: JobContext, workspace_id: str, feed_id: str) -> None:
    """Start the automatic runs of a feed whose rows have changed."""
    extra, workspace = context.additional_context, UUID(workspace_id)
    with extra["database"].transaction(workspace) as db:
        start_due_auto_runs(db, workspace, UUID(feed_id), extra["quotas"])


@app.task(name="runs.prepare", queue=PREPARE_QUEUE, retry=RETRY, pass_context=True)
def prepare(context: JobContext, workspace_id: str, run_id: str, quota: dict[str, Any]) -> None:
    """Prepare a large run, or fail it when the quota does not allow it."""
    database, key = context.additional_context["database"], (UUID(workspace_id), UUID(run_id))
    error_message = ""
    try:
        with database.transaction(key[0]) as db:
            run = db.get(Run, key)
            if run and not run.prepared and not run.finished_at:
                prepare_run(db, run, Quota(key[0], key_id=run.key_id, **quota))
    except RunEndedError:
        log.info("run ended while it was prepared", run=run_id)
    except (EmptyFeedError, QuotaExceededError) as error:
        error_message = str(error)
    if error_message:
        with database.transaction(key[0]) as db:
            fail_unprepared_run(db, db.get_one(Run, key), error_message)


@app.task(name="runs.delete_chunks", queue=PREPARE_QUEUE, retry=RETRY, pass_context=True)
def delete_chunks(context: JobContext, workspace_id: str, run_id: str) -> None:
    """Delete the queued chunks of a canceled run."""
    with context.additional_context["database"].transaction(UUID(workspace_id)) as db:
        run = db.get(Run, (UUID(workspace_id), UUID(run_id)))
        if run:
            delete_queued_chunks(db, run)


@app.task(name=PURGE_TASK, retry=LongRetry(), pass_context=True)
def purge_deleted_images(context: JobContext, workspace_id: str, batch_id: str) -> None:
    """Remove the objects of images that were deleted a while ago."""
    extra = context.additional_context
    purge_images(extra["database"], extra["providers"], UUID(workspace_id), UUID(batch_id))

"""Whose turn it is: runs are rendered a chunk at a time, a job each, and workspaces take turns."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cwz_web.db.session import FOR_NO_KEY_UPDATE, raw_connection
from cwz_web.generation.models import Template
from cwz_web.jobs import PREPARE_QUEUE, RENDER_QUEUE, app
from cwz_web.runs.models import Run

# A chunk is as many images as a worker rendered in so many seconds the last time: small enough that progress moves and a
# killed worker repeats little, large enough that the queue is not the bound.
CHUNK_SECONDS = 2.0
CHUNK, SMALLEST_CHUNK, LARGEST_CHUNK = 16, 4, 256

# Start-time fair queueing (Goyal, Vin, Cheng 1996): a job's turn is that of the job which is rendered now, plus what its
# workspace has waiting before it. So a workspace's hundred thousand images and another one's ten take turns.
_NOW = """
    coalesce(
        (SELECT max(-priority) FROM procrastinate_jobs
         WHERE status = 'doing' AND worker_id IS NOT NULL AND queue_name = :queue),
        (SELECT -max(priority) FROM procrastinate_jobs WHERE status = 'todo' AND queue_name = :queue),
        0
    )
"""
_TURN = text(f"""
    SELECT {_NOW} + coalesce(
        (SELECT sum(total - done - failed) FROM runs
         WHERE workspace_id = :workspace AND finished_at IS NULL AND prepared AND id <> :run
           AND (feed_id IS NULL) = :alone),
        0
    ) / :chunk
""")  # noqa: S608 - put together of constants
# What is put back comes behind the rest of its run: so one that is put back again and again still has one job a turn,
# and does not wait for whole runs of its workspace that began later.
_TURN_AGAIN = text(f"""
    SELECT greatest({_NOW}, (
        SELECT max(-priority) FROM procrastinate_jobs
        WHERE status = 'todo' AND queue_name = :queue AND args ->> 'run_id' = :run
    ))
""")  # noqa: S608 - put together of constants
# As Procrastinate does with jobs that are done with.
_DROP = text("""
    DELETE FROM procrastinate_jobs WHERE status = 'todo' AND queue_name = :queue AND args ->> 'run_id' = :run
""")


def chunk_of(db: Session, template: Template) -> int:
    """How many images of a template a chunk has: what a worker rendered in CHUNK_SECONDS the last time."""
    rendered, seconds = db.execute(
        select(Run.done - Run.unchanged, Run.rendering_seconds)
        .where(
            Run.workspace_id == template.workspace_id,
            Run.template_id == template.id,
            Run.feed_id.is_not(None),
            Run.rendering_seconds > 0,
        )
        .order_by(Run.id.desc())
        .limit(1)
    ).one_or_none() or (0, 0.0)
    if not rendered:
        return CHUNK
    return min(max(round(CHUNK_SECONDS * rendered / seconds), SMALLEST_CHUNK), LARGEST_CHUNK)


def enqueue(db: Session, run: Run, chunks: Iterable[int]) -> None:
    """Let chunks of a run wait for their turns, behind what its workspace has waiting."""
    names = {"queue": RENDER_QUEUE, "workspace": run.workspace_id, "run": run.id, "alone": run.feed_id is None}
    _defer(db, run, chunks, db.scalar(_TURN, names | {"chunk": CHUNK}))


def drop_later(db: Session, run: Run) -> None:
    """Let a job drop the chunks that wait, since nothing is to be rendered of them; with a run's size it takes longer."""
    task = app.configure_task("runs.drop_chunks", queue=PREPARE_QUEUE, connection=raw_connection(db))
    task.defer(workspace_id=str(run.workspace_id), run_id=str(run.id))


def drop_chunks(db: Session, run: Run) -> None:
    """Drop the chunks of a run that wait, unless it has gone on."""
    db.refresh(run, with_for_update=FOR_NO_KEY_UPDATE)
    if not run.is_rendered:
        db.execute(_DROP, {"queue": RENDER_QUEUE, "run": str(run.id)})


def requeue_chunk(db: Session, workspace_id: UUID, run_id: UUID, chunk: int) -> None:
    """Let what is left of a chunk wait for its next turn, when that of others has come."""
    run = db.get(Run, (workspace_id, run_id))
    if run is not None and run.is_rendered:
        _defer(db, run, [chunk], db.scalar(_TURN_AGAIN, {"queue": RENDER_QUEUE, "run": str(run_id)}))


def _defer(db: Session, run: Run, chunks: Iterable[int], turn: Any) -> None:
    """Write the jobs of chunks, for the turns after this one."""
    # By its name, since the tasks stand on this module.
    task = app.configure_task("runs.render_chunk", queue=RENDER_QUEUE)
    given = {"workspace_id": str(run.workspace_id), "run_id": str(run.id)}
    jobs = [
        task.make_new_job(**given, chunk=chunk).evolve(priority=-int(turn) - number)
        for number, chunk in enumerate(chunks, 1)
    ]
    app.job_manager.batch_defer_jobs(jobs=jobs, connection=raw_connection(db))

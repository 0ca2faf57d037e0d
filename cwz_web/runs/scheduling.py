"""Fair scheduling: a run is rendered in chunks, one job each, and workspaces take turns.

Only this module and `ops` (health, purge, retention) use Procrastinate's tables directly. It depends on the columns
`priority`, `status`, `queue_name`, `worker_id`, `scheduled_at` and `args` of jobs, which
`tests/unit/runs/test_scheduling.py` checks.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cwz_web.db.queue_role import RENDER_TASK
from cwz_web.db.session import FOR_NO_KEY_UPDATE, raw_connection
from cwz_web.generation.models import Template
from cwz_web.jobs import PREPARE_QUEUE, RENDER_QUEUE, app
from cwz_web.runs.models import Run
from cwz_web.runs.protocol import RunNotFoundError

# A chunk has as many images as a worker last rendered in so many seconds: few enough that progress moves and a killed
# worker repeats little, enough that the queue is not the bottleneck.
CHUNK_SECONDS = 2.0
CHUNK, SMALLEST_CHUNK, LARGEST_CHUNK = 16, 4, 256

# The least that the column holds: a render worker may write priorities, and none of them must fail an insert.
LOWEST_PRIORITY = -(2**31)

# Start-time fair queueing (Goyal, Vin, Cheng 1996): a job's start tag is that of the job being rendered now, plus what
# its workspace has queued before it. So a workspace's hundred thousand images and another one's ten take turns. The
# priority is the negated tag, since Procrastinate fetches the greatest priority first.
_CURRENT_TAG = """
    coalesce(
        (SELECT max(-priority::bigint) FROM procrastinate_jobs
         WHERE status = 'doing' AND worker_id IS NOT NULL AND queue_name = :queue),
        (SELECT -max(priority::bigint) FROM procrastinate_jobs
         WHERE status = 'todo' AND queue_name = :queue AND (scheduled_at IS NULL OR scheduled_at <= now())),
        0
    )
"""
# More images than those of a set wait as a run over a feed does.
FEW_IMAGES = 12
# Few images wait for other few images of their workspace only, many only for many.
_NEW_TAG = text(f"""
    SELECT {_CURRENT_TAG} + coalesce(
        (SELECT sum(total - done - incomplete - failed) FROM runs
         WHERE workspace_id = :workspace AND finished_at IS NULL AND prepared AND id <> :run
           AND (feed_id IS NULL AND total <= :few) = :is_small),
        0
    ) / :chunk
""")  # noqa: S608 - composed of constants
# A requeued chunk goes behind the rest of its run: requeued again and again, it has one job a turn, and does not wait
# for whole runs of its workspace that started later.
_REQUEUE_TAG = text(f"""
    SELECT greatest({_CURRENT_TAG}, (
        SELECT max(-priority::bigint) FROM procrastinate_jobs
        WHERE status = 'todo' AND queue_name = :queue AND args ->> 'run_id' = :run
    ))
""")  # noqa: S608 - composed of constants
_DELETE_QUEUED = text("""
    DELETE FROM procrastinate_jobs WHERE status = 'todo' AND queue_name = :queue AND args ->> 'run_id' = :run
""")


def chunk_size_of(db: Session, template: Template) -> int:
    """Return how many images of a template make a chunk: what a worker last rendered in CHUNK_SECONDS."""
    rendered, seconds = db.execute(
        select(Run.done + Run.incomplete - Run.unchanged, Run.rendering_seconds)
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


def enqueue_chunks(db: Session, run: Run, chunks: Iterable[int]) -> None:
    """Enqueue chunks of a run, behind what its workspace has queued."""
    is_small = run.feed_id is None and run.total <= FEW_IMAGES
    values = {"queue": RENDER_QUEUE, "workspace": run.workspace_id, "run": run.id, "chunk": CHUNK}
    tag = db.execute(_NEW_TAG, values | {"is_small": is_small, "few": FEW_IMAGES}).scalar_one()
    _enqueue(db, run, chunks, tag)


def requeue_chunk(db: Session, workspace_id: UUID, run_id: UUID, chunk: int, *, at: datetime | None = None) -> None:
    """Requeue the rest of a chunk behind other runs, unless its run is no longer rendered.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        run_id: the run.
        chunk: the number of the chunk.
        at: the earliest time at which it may be rendered.

    Raises:
        RunNotFoundError: the run does not exist.
    """
    run = db.get(Run, (workspace_id, run_id))
    if run is None:
        raise RunNotFoundError
    if run.is_rendering:
        tag = db.execute(_REQUEUE_TAG, {"queue": RENDER_QUEUE, "run": str(run_id)}).scalar_one()
        _enqueue(db, run, [chunk], tag, at)


def delete_chunks_later(db: Session, run: Run) -> None:
    """Enqueue a job that deletes the queued chunks of a run, which takes too long for a request."""
    task = app.configure_task("runs.delete_chunks", queue=PREPARE_QUEUE, connection=raw_connection(db))
    task.defer(workspace_id=str(run.workspace_id), run_id=str(run.id))


def delete_queued_chunks(db: Session, run: Run) -> None:
    """Delete the queued chunks of a run, unless it has been resumed."""
    db.refresh(run, with_for_update=FOR_NO_KEY_UPDATE)
    if not run.is_rendering:
        db.execute(_DELETE_QUEUED, {"queue": RENDER_QUEUE, "run": str(run.id)})


def _enqueue(db: Session, run: Run, chunks: Iterable[int], tag: float, at: datetime | None = None) -> None:
    """Insert the jobs of chunks, with the tags that follow the given one. Their arguments are ids only."""
    # The task is named, not imported: its module imports this one.
    task = app.configure_task(RENDER_TASK, queue=RENDER_QUEUE, schedule_at=at)
    ids = {"workspace_id": str(run.workspace_id), "run_id": str(run.id)}
    jobs = [
        task.make_new_job(**ids, chunk=chunk).evolve(priority=max(-int(tag) - number, LOWEST_PRIORITY))
        for number, chunk in enumerate(chunks, 1)
    ]
    app.job_manager.batch_defer_jobs(jobs=jobs, connection=raw_connection(db))

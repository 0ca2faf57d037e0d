"""A run begins: its rows are written down, cut into chunks, and a job for each chunk is enqueued, all at once."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from procrastinate.types import JSONDict
from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from cwz_web.db.session import raw_connection
from cwz_web.feeds.models import Feed, Item
from cwz_web.generation.models import Template
from cwz_web.generation.usage import Meter, count, give_back, month_of
from cwz_web.imaging.encoders import Output
from cwz_web.jobs import RENDER_QUEUE, app
from cwz_web.runs.models import Run, RunItem
from cwz_web.storage.connections import connection_of

# Small enough that progress moves and a killed worker repeats little, large enough that the queue is not the bound.
CHUNK = 16
CANCELLED = "The run was cancelled"

# The rows as the run will draw them, mapped by the database: the same as mapping.apply_mapping does for one row. What
# an earlier run drew of a row in the same way, from the same values, is taken over: it need not be drawn again.
_WRITE_ITEMS = text("""
    INSERT INTO run_items (workspace_id, run_id, position, chunk, key, data, state, asset_id, note)
    SELECT :workspace, :run, mine.number, (mine.number - 1) / :chunk, mine.key, mine.data,
           CASE WHEN before.asset_id IS NULL THEN 'pending' ELSE 'done' END, before.asset_id, before.note
    FROM (
        SELECT key, row_number() OVER (ORDER BY position) AS number,
               coalesce(
                   (SELECT jsonb_object_agg(m.key, coalesce(data ->> m.value, '')) FROM jsonb_each_text(:mapping) m),
                   '{}'
               ) AS data
        FROM items WHERE workspace_id = :workspace AND feed_id = :feed AND revision > :since
    ) AS mine
    LEFT JOIN LATERAL (
        SELECT item.asset_id, item.note
        FROM run_items AS item JOIN runs AS run ON run.workspace_id = item.workspace_id AND run.id = item.run_id
        WHERE item.workspace_id = :workspace AND item.key = mine.key AND item.run_id < :run
          AND item.state = 'done' AND item.data = mine.data AND run.feed_id = :feed AND run.template_id = :template
          AND run.template_version = :version AND run.connection_id = :connection AND run.output = :output
        ORDER BY item.run_id DESC LIMIT 1
    ) AS before ON true
""").bindparams(bindparam("mapping", type_=JSONB), bindparam("output", type_=JSONB))


class EmptyFeed(Exception):
    """There is nothing to draw."""


def start_run(
    db: Session,
    *,
    feed: Feed,
    template: Template,
    mapping: Mapping[str, str],
    output: Output,
    started_by: UUID | None,
    connection_id: UUID | None = None,
    since: int = -1,
    meter: Meter | None = None,
) -> Run:
    """Plan a run over the items of a feed and enqueue it, in the caller's transaction.

    Arguments:
        mapping: the template's columns to the feed's (see runs.mapping).
        started_by: the account that asked for it.
        connection_id: where its pictures go, if not where the template's do.
        since: only the items that the feed got after this revision.
        meter: what its pictures count against.
    Raises EmptyFeed, CapReached; BadSettings when the workspace has no storage.
    """
    newer = select(func.count()).where(
        Item.workspace_id == feed.workspace_id, Item.feed_id == feed.id, Item.revision > since
    )
    meter = meter or Meter(feed.workspace_id)
    total = feed.item_count if since < 0 else db.scalar(newer) or 0
    if not total:
        raise EmptyFeed("This feed has no rows" if since < 0 else "Nothing has changed in this feed")
    run = Run(
        workspace_id=feed.workspace_id,
        feed_id=feed.id,
        template_id=template.id,
        template_version=template.version,
        connection_id=connection_of(db, feed.workspace_id, connection_id or template.connection_id).id,
        mapping=dict(mapping),
        output=output.model_dump(mode="json"),
        total=total,
        key_id=meter.key_id,
        started_by=started_by,
    )
    db.add(run)
    db.flush()
    _write_items(db, run, since)
    if run.pending:
        count(db, meter, run.pending)
        _enqueue(db, run, _pending_chunks(db, run))
    return run


def retry_failed(db: Session, run: Run, meter: Meter | None = None) -> int:
    """Draw again what failed or was cancelled. Returns how many items that are. Raises CapReached."""
    db.refresh(run, with_for_update=True)
    before = run.pending
    mine = (RunItem.workspace_id == run.workspace_id, RunItem.run_id == run.id)
    chunks = db.scalars(
        update(RunItem)
        .where(*mine, RunItem.state == "failed")
        .values(state="pending", error=None)
        .returning(RunItem.chunk)
    ).all()
    if chunks:
        run.failed -= len(chunks)
        run.finished_at = run.cancelled_at = None
        # All that is pending counts in one month: from now on in this one.
        give_back(db, meter_of(run), before, run.counted_in)
        meter = meter or meter_of(run)
        run.counted_in, run.key_id = month_of(), meter.key_id
        db.flush()
        count(db, meter, run.pending)
        _enqueue(db, run, sorted(set(chunks)))
    return len(chunks)


def meter_of(run: Run) -> Meter:
    """What the run's pictures count against, without any cap."""
    return Meter(run.workspace_id, key_id=run.key_id)


def cancel_run(db: Session, run: Run) -> int:
    """Draw no further items. They end as failed, so that they can be drawn after all. Returns how many those are."""
    db.refresh(run, with_for_update=True)
    mine = (RunItem.workspace_id == run.workspace_id, RunItem.run_id == run.id, RunItem.state == "pending")
    ended = db.scalars(
        update(RunItem).where(*mine).values(state="failed", error=CANCELLED).returning(RunItem.position)
    ).all()
    if ended:
        give_back(db, meter_of(run), len(ended), run.counted_in)
        run.failed += len(ended)
        run.cancelled_at = run.finished_at = db.scalar(select(func.clock_timestamp()))
        db.flush()
    return len(ended)


def latest_runs(db: Session, workspace_id: UUID, limit: int = 50) -> list[Run]:
    """The workspace's runs, newest first."""
    return list(db.scalars(select(Run).where(Run.workspace_id == workspace_id).order_by(Run.id.desc()).limit(limit)))


def _write_items(db: Session, run: Run, since: int) -> None:
    """Write down the run's items, and end those that an earlier run drew already."""
    parameters = {
        "workspace": run.workspace_id,
        "run": run.id,
        "feed": run.feed_id,
        "since": since,
        "chunk": CHUNK,
        "mapping": run.mapping,
        "template": run.template_id,
        "version": run.template_version,
        "connection": run.connection_id,
        "output": run.output,
    }
    db.execute(_WRITE_ITEMS, parameters)
    mine = (RunItem.workspace_id == run.workspace_id, RunItem.run_id == run.id, RunItem.state == "done")
    run.unchanged = run.done = db.scalar(select(func.count()).where(*mine)) or 0
    if not run.pending:
        run.finished_at = db.scalar(select(func.clock_timestamp()))
    db.flush()


def _pending_chunks(db: Session, run: Run) -> Iterable[int]:
    mine = (RunItem.workspace_id == run.workspace_id, RunItem.run_id == run.id, RunItem.state == "pending")
    return db.scalars(select(RunItem.chunk).where(*mine).distinct().order_by(RunItem.chunk)).all()


def _enqueue(db: Session, run: Run, chunks: Iterable[int]) -> None:
    jobs: list[JSONDict] = [
        {"workspace_id": str(run.workspace_id), "run_id": str(run.id), "chunk": chunk} for chunk in chunks
    ]
    # By its name, since the tasks stand on this module.
    app.configure_task("runs.render_chunk", queue=RENDER_QUEUE, connection=raw_connection(db)).batch_defer(*jobs)

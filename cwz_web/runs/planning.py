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
from cwz_web.imaging.encoders import Output
from cwz_web.jobs import RENDER_QUEUE, app
from cwz_web.runs.models import Run, RunItem
from cwz_web.storage.connections import connection_of

# Small enough that progress moves and a killed worker repeats little, large enough that the queue is not the bound.
CHUNK = 16

# The rows as the run will draw them, mapped by the database: the same as mapping.apply_mapping does for one row.
_WRITE_ITEMS = text("""
    INSERT INTO run_items (workspace_id, run_id, position, chunk, key, data)
    SELECT workspace_id, :run, number, (number - 1) / :chunk, key,
           coalesce(
               (SELECT jsonb_object_agg(m.key, coalesce(data ->> m.value, '')) FROM jsonb_each_text(:mapping) m), '{}'
           )
    FROM (SELECT *, row_number() OVER (ORDER BY position) AS number FROM items
          WHERE workspace_id = :workspace AND feed_id = :feed AND revision > :since) AS numbered
""").bindparams(bindparam("mapping", type_=JSONB))


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
) -> Run:
    """Plan a run over the items of a feed and enqueue it, in the caller's transaction.

    Arguments:
        mapping: the template's columns to the feed's (see runs.mapping).
        started_by: the account that asked for it.
        connection_id: where its pictures go, if not where the template's do.
        since: only the items that the feed got after this revision.
    Raises EmptyFeed; BadSettings when the workspace has no storage.
    """
    newer = select(func.count()).where(
        Item.workspace_id == feed.workspace_id, Item.feed_id == feed.id, Item.revision > since
    )
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
        started_by=started_by,
    )
    db.add(run)
    db.flush()
    parameters = {"workspace": run.workspace_id, "run": run.id, "feed": feed.id, "chunk": CHUNK, "mapping": run.mapping}
    db.execute(_WRITE_ITEMS, parameters | {"since": since})
    _enqueue(db, run, range(-(-run.total // CHUNK)))
    return run


def retry_failed(db: Session, run: Run) -> int:
    """Draw again what failed. Returns how many items that are."""
    mine = (RunItem.workspace_id == run.workspace_id, RunItem.run_id == run.id)
    chunks = db.scalars(
        update(RunItem)
        .where(*mine, RunItem.state == "failed")
        .values(state="pending", error=None)
        .returning(RunItem.chunk)
    ).all()
    if chunks:
        db.execute(
            update(Run)
            .where(Run.workspace_id == run.workspace_id, Run.id == run.id)
            .values(failed=Run.failed - len(chunks), finished_at=None)
        )
        _enqueue(db, run, sorted(set(chunks)))
    return len(chunks)


def latest_runs(db: Session, workspace_id: UUID, limit: int = 50) -> list[Run]:
    """The workspace's runs, newest first."""
    return list(db.scalars(select(Run).where(Run.workspace_id == workspace_id).order_by(Run.id.desc()).limit(limit)))


def _enqueue(db: Session, run: Run, chunks: Iterable[int]) -> None:
    jobs: list[JSONDict] = [
        {"workspace_id": str(run.workspace_id), "run_id": str(run.id), "chunk": chunk} for chunk in chunks
    ]
    # By its name, since the tasks stand on this module.
    app.configure_task("runs.render_chunk", queue=RENDER_QUEUE, connection=raw_connection(db)).batch_defer(*jobs)

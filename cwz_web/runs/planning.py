"""A run begins: its rows are written down, cut into chunks, and a job for each chunk is enqueued, all at once.

For a small one that is done at once, for a large one by a job. Before that, `plan_run` tells what it would come to. All
ask the database the same question (`_RENDERED`), so that what people confirm is what is done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from procrastinate.types import JSONDict
from sqlalchemy import TextClause, Update, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.db.session import FOR_NO_KEY_UPDATE, raw_connection
from cwz_web.feeds.models import Feed, FeedImport, Item
from cwz_web.generation.models import Template
from cwz_web.generation.templates import open_design
from cwz_web.generation.usage import Quota, check_open, count, give_back, month_of
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.errors import UnknownSizeError
from cwz_web.jobs import PREPARE_QUEUE, app
from cwz_web.runs.models import Run, RunItem
from cwz_web.runs.notifications import notify_run_finished
from cwz_web.runs.scheduling import chunk_of, drop_later, enqueue
from cwz_web.storage.connections import connection_of

MAX_OUTPUTS = 12
# The images of so many earlier runs are looked through for rows that are gone.
RUNS_BEFORE = 5
# Writing down so many takes half a second or so; whoever asks for more is not kept waiting.
AT_ONCE = 10_000
CANCELLED = "The run was cancelled"
NEVER_PREPARED = "Its rows could not be prepared"

# The rows as the run will render them, mapped by the database: the same as mapping.apply_mapping does for one row, each
# once for each output. What an earlier run rendered of a row in the same way, from the same values, is `image_id`.
_RENDERED = """
    SELECT mine.*, before.image_id, before.note
    FROM (
        SELECT (rows.number - 1) * :each + wanted.number AS number, rows.key, rows.data,
               wanted.number - 1 AS output, wanted.value AS written
        FROM (
            SELECT key, row_number() OVER (ORDER BY position) AS number,
                   coalesce(
                       (SELECT jsonb_object_agg(m.key, coalesce(data ->> m.value, ''))
                        FROM jsonb_each_text(:mapping) m),
                       '{}'
                   ) AS data
            FROM items WHERE workspace_id = :workspace AND feed_id = :feed AND revision > :since
        ) AS rows
        CROSS JOIN jsonb_array_elements(:outputs) WITH ORDINALITY AS wanted (value, number)
    ) AS mine
    LEFT JOIN LATERAL (
        SELECT item.image_id, item.note
        FROM run_items AS item JOIN runs AS run ON run.workspace_id = item.workspace_id AND run.id = item.run_id
        WHERE item.workspace_id = :workspace AND item.key = mine.key AND item.run_id <> :run
          AND item.state = 'done' AND item.data = mine.data AND run.outputs -> item.output = mine.written
          AND run.feed_id = :feed AND run.template_id = :template
          AND run.template_version = :version AND run.connection_id = :connection
        ORDER BY item.run_id DESC LIMIT 1
    ) AS before ON true
"""


def _with_json(statement: str) -> TextClause:
    return text(statement).bindparams(bindparam("mapping", type_=JSONB), bindparam("outputs", type_=JSONB))


_WRITE_ITEMS = _with_json(f"""
    WITH written AS (
        INSERT INTO run_items (workspace_id, run_id, position, chunk, output, key, data, state, image_id, note)
        SELECT :workspace, :run, number, (number - 1) / :chunk, output, key, data,
               CASE WHEN image_id IS NULL THEN 'pending' ELSE 'done' END, image_id, note
        FROM ({_RENDERED}) AS rendered
        RETURNING image_id
    )
    SELECT count(*) AS images, count(image_id) AS unchanged FROM written
""")  # noqa: S608 - put together of constants

_COUNT_ITEMS = _with_json(f"""
    SELECT count(*) AS images,
           count(*) FILTER (WHERE image_id IS NOT NULL) AS unchanged,
           count(*) FILTER (WHERE CASE WHEN image_id IS NULL THEN EXISTS (
               SELECT FROM run_items AS item
               JOIN runs AS run ON run.workspace_id = item.workspace_id AND run.id = item.run_id
               WHERE item.workspace_id = :workspace AND item.key = rendered.key AND item.state = 'done'
                 AND run.outputs -> item.output = rendered.written AND run.feed_id = :feed AND run.template_id = :template
           ) END) AS changed
    FROM ({_RENDERED}) AS rendered
""")  # noqa: S608 - put together of constants

_COUNT_REMOVED = text("""
    SELECT count(*) FROM (
        SELECT DISTINCT item.key
        FROM (
            SELECT id FROM runs WHERE workspace_id = :workspace AND template_id = :template AND feed_id = :feed
            ORDER BY id DESC LIMIT :runs
        ) AS run
        JOIN run_items AS item ON item.workspace_id = :workspace AND item.run_id = run.id AND item.state = 'done'
        WHERE NOT EXISTS (SELECT FROM items WHERE workspace_id = :workspace AND feed_id = :feed AND key = item.key)
    ) AS gone
""")


class EmptyFeedError(Exception):
    """There is nothing to render."""


class RunEndedError(Exception):
    """The run was cancelled while it was prepared, or another job was faster."""


@dataclass(frozen=True)
class RunPlan:
    """What a run would come to. `removed` and `invalid` are rows, the others images.

    Attributes:
        new: of rows that were never rendered so.
        changed: of rows that look different now.
        unchanged: that are there already.
        removed: rows that have images and are in the feed no more.
        invalid: rows that the feed's last import left out.
    """

    rows: int
    images: int
    new: int
    changed: int
    unchanged: int
    removed: int
    invalid: int

    @property
    def to_render(self) -> int:
        """How many images will be rendered, and count."""
        return self.new + self.changed


def plan_takes_long(db: Session, feed: Feed, template: Template, outputs: Sequence[Output]) -> bool:
    """Whether plan_run has to look at many rows."""
    return feed.item_count * len(outputs) > AT_ONCE and _was_rendered(db, feed, template)


def plan_run(
    db: Session,
    *,
    feed: Feed,
    template: Template,
    mapping: Mapping[str, str],
    outputs: Sequence[Output],
    connection_id: UUID | None = None,
) -> RunPlan:
    """What a run with these arguments would come to; nothing is begun. Arguments and errors as for start_run."""
    _check_outputs(db, template, outputs)
    planned = _new_run(db, feed, template, mapping, outputs, connection_id)
    images, unchanged, changed = feed.item_count * len(outputs), 0, 0
    if _was_rendered(db, feed, template):  # else nobody has to look at each row
        images, unchanged, changed = db.execute(_COUNT_ITEMS, _names(planned, since=-1)).one()
    gone = {"workspace": feed.workspace_id, "template": template.id, "feed": feed.id, "runs": RUNS_BEFORE}
    last_import = select(FeedImport.invalid).where(
        FeedImport.workspace_id == feed.workspace_id,
        FeedImport.feed_id == feed.id,
        FeedImport.number == feed.import_number,
    )
    return RunPlan(
        rows=feed.item_count,
        images=images,
        new=images - unchanged - changed,
        changed=changed,
        unchanged=unchanged,
        removed=db.scalar(_COUNT_REMOVED, gone) or 0,
        invalid=db.scalar(last_import) or 0,
    )


def start_run(
    db: Session,
    *,
    feed: Feed,
    template: Template,
    mapping: Mapping[str, str],
    outputs: Sequence[Output],
    started_by: UUID | None,
    connection_id: UUID | None = None,
    since: int = -1,
    quota: Quota | None = None,
    webhook: str | None = None,
) -> Run:
    """Begin a run over the items of a feed, in the caller's transaction. A large one is prepared by a job; if there is
    no room for it, that is found out then.

    Arguments:
        mapping: the template's columns to the feed's (see runs.mapping).
        outputs: each row is rendered once for each.
        started_by: the account that asked for it.
        connection_id: where its images go, if not where the template's do.
        since: only the items that the feed got after this revision; they are prepared at once, however many they are.
        meter: what its images count against.
        webhook: an address that is told how it ended.
    Raises EmptyFeedError, QuotaExceededError, UnknownSizeError; InvalidSettingsError when the workspace has no storage.
    """
    newer = select(func.count()).where(
        Item.workspace_id == feed.workspace_id, Item.feed_id == feed.id, Item.revision > since
    )
    quota = quota or Quota(feed.workspace_id)
    rows = feed.item_count if since < 0 else db.scalar(newer) or 0
    if not rows:
        raise EmptyFeedError("This feed has no rows" if since < 0 else "Nothing has changed in this feed")
    _check_outputs(db, template, outputs)
    run = _new_run(db, feed, template, mapping, outputs, connection_id)
    run.total = rows * len(outputs)
    run.key_id, run.started_by, run.webhook, run.prepared = quota.key_id, started_by, webhook, False
    db.add(run)
    db.flush()
    _prepare(db, run, quota, since)
    return run


def prepare_run(db: Session, run: Run, quota: Quota, since: int = -1) -> None:
    """Write down what a run renders, unless that was done when it began first; count it, and enqueue it.

    Arguments as for start_run. Raises EmptyFeedError, QuotaExceededError, RunEndedError; then the transaction must be rolled back.
    """
    written = None
    if db.scalar(select(RunItem.position).where(*_items(run)).limit(1)) is None:
        template = db.get_one(Template, (run.workspace_id, run.template_id))
        written = db.execute(_WRITE_ITEMS, _names(run, since) | {"chunk": chunk_of(db, template)}).one()
        if not written.images:
            raise EmptyFeedError("This feed has no rows" if since < 0 else "Nothing has changed in this feed")
    else:
        db.execute(_reopen(run))
    chunks = select(RunItem.chunk).where(*_items(run, "pending")).distinct().order_by(RunItem.chunk)
    enqueue(db, run, db.scalars(chunks).all())
    # All that takes long is done: from here on, neither who cancels the run nor who counts images waits for it.
    _lock(db, run)
    if run.prepared or run.finished_at:
        raise RunEndedError
    run.prepared = True
    if written is not None:
        run.total, run.done, run.unchanged = written.images, written.unchanged, written.unchanged
    if not run.pending:
        run.finished_at = db.scalar(select(func.clock_timestamp()))
        db.flush()
        notify_run_finished(db, run)
        return
    run.counted_in = month_of()
    db.flush()
    count(db, quota, run.pending)


def refuse_run(db: Session, run: Run, why: str) -> None:
    """End a run that could not be prepared, unless that was done already."""
    _lock(db, run)
    if not run.prepared and not run.finished_at:
        run.failed, run.trouble = run.pending, why
        run.finished_at = db.scalar(select(func.clock_timestamp()))
        db.flush()
        notify_run_finished(db, run)


def request_image(
    db: Session,
    *,
    template: Template,
    version: int,
    data: Mapping[str, str],
    output: Output,
    quota: Quota,
    webhook: str | None = None,
) -> Run:
    """Enqueue one image by itself, in the caller's transaction: a run of one row, of no feed.

    Arguments:
        meter: what it counts against.
        webhook: an address that is told when it is there, or why it is not.
    Raises QuotaExceededError, UnknownSizeError; InvalidSettingsError when the workspace has no storage.
    """
    _check_outputs(db, template, [output], version)
    run = _new_run(db, None, template, {}, [output], None)
    run.template_version, run.total, run.key_id, run.webhook = version, 1, quota.key_id, webhook
    db.add(run)
    db.flush()
    given = {"key": template.name, "data": dict(data)}
    db.add(RunItem(workspace_id=run.workspace_id, run_id=run.id, position=1, chunk=0, **given))
    db.flush()
    count(db, quota, 1)
    enqueue(db, run, [0])
    return run


def retry_failed(db: Session, run: Run, quota: Quota | None = None) -> int:
    """Render again what failed or was left out. Returns how many items that are. Raises QuotaExceededError.

    When those of a run that has ended are many, a job prepares it; if there is no room, that is found out then.
    """
    _lock(db, run)
    quota = quota or quota_of(run)
    before, again = run.pending, run.failed
    if not again:
        return 0
    if run.finished_at:
        run.failed, run.trouble, run.key_id, run.prepared = 0, None, quota.key_id, False
        run.finished_at = run.cancelled_at = None
        db.flush()
        _prepare(db, run, quota)
        return again
    chunks = set(db.scalars(_reopen(run).returning(RunItem.chunk)))
    run.failed = 0
    # All that is pending counts in one month: from now on in this one.
    give_back(db, quota_of(run), before, run.counted_in)
    run.counted_in, run.key_id = month_of(), quota.key_id
    enqueue(db, run, sorted(chunks))
    count(db, quota, run.pending)
    return again


def quota_of(run: Run) -> Quota:
    """What the run's images count against, without any cap."""
    return Quota(run.workspace_id, key_id=run.key_id)


def cancel_run(db: Session, run: Run) -> int:
    """Render no further items. Returns how many are left out: they count as failed, and can be rendered after all.

    They stay as they are, so that a run of any size ends at once: what is pending in a cancelled run is left out.
    """
    _lock(db, run)
    ended = run.pending
    if ended:
        if run.prepared:
            give_back(db, quota_of(run), ended, run.counted_in)
            drop_later(db, run)
        run.failed += ended
        run.cancelled_at = run.finished_at = db.scalar(select(func.clock_timestamp()))
        db.flush()
        notify_run_finished(db, run)
    return ended


def _prepare(db: Session, run: Run, quota: Quota, since: int = -1) -> None:
    """Prepare a run, or, if that takes long, let a job do it, on the terms that its images have now."""
    if run.pending <= AT_ONCE or since >= 0:
        prepare_run(db, run, quota, since)
        return
    check_open(quota)
    # By its name, since the tasks stand on this module.
    place: Any = {"connection": raw_connection(db), "priority": -run.pending}  # nobody's waits for a larger one's turn
    task = app.configure_task("runs.prepare", queue=PREPARE_QUEUE, **place)
    terms: JSONDict = {"cap": quota.cap, "key_cap": quota.key_cap, "url": quota.url}
    task.defer(workspace_id=str(run.workspace_id), run_id=str(run.id), terms=terms)


def _lock(db: Session, run: Run) -> None:
    """Hold a run as it is now. Its items may be written meanwhile: for them it only has to stay."""
    db.refresh(run, with_for_update=FOR_NO_KEY_UPDATE)


def latest_runs(db: Session, workspace_id: UUID, limit: int = 50) -> list[Run]:
    """The workspace's runs over feeds, newest first."""
    mine = select(Run).where(Run.workspace_id == workspace_id, Run.feed_id.is_not(None))
    return list(db.scalars(mine.order_by(Run.id.desc()).limit(limit)))


def _new_run(
    db: Session,
    feed: Feed | None,
    template: Template,
    mapping: Mapping[str, str],
    outputs: Sequence[Output],
    connection_id: UUID | None,
) -> Run:
    """A run that is not written down yet."""
    return Run(
        workspace_id=template.workspace_id,
        id=uuid7(),
        feed_id=feed.id if feed else None,
        template_id=template.id,
        template_version=template.version,
        connection_id=connection_of(db, template.workspace_id, connection_id or template.connection_id).id,
        mapping=dict(mapping),
        outputs=[output.model_dump(mode="json") for output in outputs],
    )


def _was_rendered(db: Session, feed: Feed, template: Template) -> bool:
    """Whether anything of a feed was rendered with a template before."""
    same = Run.workspace_id == feed.workspace_id, Run.feed_id == feed.id, Run.template_id == template.id
    return db.scalar(select(Run.id).where(*same, Run.done > 0).limit(1)) is not None


def _check_outputs(db: Session, template: Template, outputs: Sequence[Output], version: int | None = None) -> None:
    """See that the template has the formats that are asked for. Raises UnknownSizeError."""
    sizes = open_design(db, template, version).document.sizes
    for output in outputs:
        if output.size not in sizes:
            raise UnknownSizeError(output.size, sizes)


def _names(run: Run, since: int) -> dict[str, Any]:
    """The parameters of _RENDERED."""
    return {
        "workspace": run.workspace_id,
        "run": run.id,
        "feed": run.feed_id,
        "since": since,
        "mapping": run.mapping,
        "outputs": run.outputs,
        "each": len(run.outputs),
        "template": run.template_id,
        "version": run.template_version,
        "connection": run.connection_id,
    }


def _items(run: Run, *states: str) -> tuple[Any, ...]:
    mine = RunItem.workspace_id == run.workspace_id, RunItem.run_id == run.id
    return (*mine, RunItem.state.in_(states)) if states else mine


def _reopen(run: Run) -> Update:
    """The statement that has what failed rendered again."""
    return update(RunItem).where(*_items(run, "failed")).values(state="pending", error=None)

"""Plan and start runs: write the items of a run, cut them into chunks, and enqueue a job for each, in one transaction.

A small run is prepared in the request, a large one by a job. `plan_run` says in advance what a run will do; both use
the same query (`_RENDERED_ROWS`), so that what is done is what the user confirmed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from procrastinate.types import JSONDict
from pydantic_core import to_jsonable_python
from sqlalchemy import Row, TextClause, bindparam, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.db.session import FOR_NO_KEY_UPDATE, raw_connection
from cwz_web.feeds.models import Feed, FeedImport
from cwz_web.generation.models import Template
from cwz_web.generation.photo_processing import processing_cost
from cwz_web.generation.templates import load_design
from cwz_web.generation.usage import Quota, check_writable, count, month_of, refund
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.errors import UnknownSizeError
from cwz_web.imaging.findings import Finding
from cwz_web.imaging.processors import installed_processors
from cwz_web.jobs import PREPARE_QUEUE, app
from cwz_web.runs.mapping import field_formats, formats_of, used_mapping, with_regular_price
from cwz_web.runs.missing_photos import OnMissingPhoto
from cwz_web.runs.models import Run, RunItem
from cwz_web.runs.notifications import notify_run_finished
from cwz_web.runs.scheduling import chunk_size_of, delete_chunks_later, enqueue_chunks
from cwz_web.runs.selection import ALL_ROWS, SELECTED, RowSelection
from cwz_web.storage.connections import get_connection
from cwz_web.values.formats import ValueFormat, dump_formats, format_of

# Of a row or a request.
MAX_OUTPUTS = 12
# Removed rows are searched in this many earlier runs.
EARLIER_RUNS = 5
# Writing this many items takes about half a second; the request does not wait for more.
MAX_IN_REQUEST = 10_000
# The states of items that are rendered again when a run is retried.
UNSUCCESSFUL = ("failed", "incomplete")
RUN_CANCELED = gettext_noop("Not rendered (run canceled)")
PREPARATION_FAILED = "The run could not be prepared"
EMPTY_FEED = gettext_noop("This feed has no rows")
UNCHANGED_FEED = gettext_noop("No rows of this feed have changed")

# The rows as the run renders them, mapped by the database as mapping.apply_mapping maps one row, once for each output.
# `image_id` is the image that an earlier run rendered of the same row, output and values.
_RENDERED_ROWS = f"""
    SELECT rendered.*, earlier.image_id, earlier.findings, earlier.photos,
           earlier.image_id IS NOT NULL AND :refresh AND earlier.photos IS DISTINCT FROM '[]' AS is_checked
    FROM (
        SELECT (rows.number - 1) * :outputs_per_row + output.number AS number, rows.key, rows.data,
               output.number - 1 AS output, output.value AS output_value
        FROM (
            SELECT key, row_number() OVER (ORDER BY position) AS number,
                   coalesce(
                       (SELECT jsonb_object_agg(m.key, coalesce(
                            data -> m.value,
                            (SELECT data -> c.name FROM unnest(string_to_array(m.value, ' | '))
                                 WITH ORDINALITY c(name, n)
                             WHERE data -> c.name IS NOT NULL ORDER BY c.n LIMIT 1),
                            '""'))
                        FROM jsonb_each_text(:mapping) m),
                       '{{}}'
                   ) AS data
            FROM items WHERE workspace_id = :workspace AND feed_id = :feed AND revision > :since AND {SELECTED}
        ) AS rows
        CROSS JOIN jsonb_array_elements(:outputs) WITH ORDINALITY AS output (value, number)
    ) AS rendered
    LEFT JOIN LATERAL (
        SELECT item.image_id, item.findings, item.photos
        FROM run_items AS item JOIN runs AS run ON run.workspace_id = item.workspace_id AND run.id = item.run_id
        WHERE item.workspace_id = :workspace AND item.key = rendered.key AND item.run_id <> :run
          AND item.state = 'done' AND item.data = rendered.data AND run.outputs -> item.output = rendered.output_value
          AND run.feed_id = :feed AND run.template_id = :template AND run.connection_id = :connection
          AND run.formats = :formats
          AND CASE WHEN run.design_digests = '[]' THEN run.template_version = :version
                   ELSE run.design_digests -> item.output = :design_digests -> CAST(rendered.output AS integer) END
        ORDER BY item.run_id DESC LIMIT 1
    ) AS earlier ON NOT :force
"""  # noqa: S608 - composed of constants


def _with_json(statement: str) -> TextClause:
    parameters = ("mapping", "formats", "outputs", "design_digests", "selection")
    return text(statement).bindparams(*(bindparam(name, type_=JSONB) for name in parameters))


_INSERT_ITEMS = _with_json(f"""
    WITH inserted AS (
        INSERT INTO run_items (
            workspace_id, run_id, position, chunk, output, key, data, state, image_id, findings, photos)
        SELECT :workspace, :run, number, (number - 1) / :chunk_size, output, key, data,
               CASE WHEN image_id IS NULL OR is_checked THEN 'pending' ELSE 'done' END, image_id, findings, photos
        FROM ({_RENDERED_ROWS}) AS row
        RETURNING state, findings
    )
    SELECT count(*) AS images, count(*) FILTER (WHERE state = 'done') AS unchanged,
           coalesce(sum(jsonb_array_length(findings)) FILTER (WHERE state = 'done'), 0) AS findings
    FROM inserted
""")  # noqa: S608 - composed of constants

_COUNT_ITEMS = _with_json(f"""
    SELECT count(*) AS images,
           count(*) FILTER (WHERE image_id IS NOT NULL AND NOT is_checked) AS unchanged,
           count(*) FILTER (WHERE is_checked) AS checked,
           count(*) FILTER (WHERE CASE WHEN image_id IS NULL THEN EXISTS (
               SELECT FROM run_items AS item
               JOIN runs AS run ON run.workspace_id = item.workspace_id AND run.id = item.run_id
               WHERE item.workspace_id = :workspace AND item.key = row.key AND item.state = 'done'
                 AND run.outputs -> item.output = row.output_value
                 AND run.feed_id = :feed AND run.template_id = :template
           ) END) AS changed
    FROM ({_RENDERED_ROWS}) AS row
""")  # noqa: S608 - composed of constants

_COUNT_ROWS = text(f"""
    SELECT count(*) FROM items
    WHERE workspace_id = :workspace AND feed_id = :feed AND revision > :since AND {SELECTED}
""").bindparams(bindparam("selection", type_=JSONB))  # noqa: S608 - composed of constants

_COUNT_REMOVED = text("""
    SELECT count(*) FROM (
        SELECT DISTINCT item.key
        FROM (
            SELECT id FROM runs WHERE workspace_id = :workspace AND template_id = :template AND feed_id = :feed
            ORDER BY id DESC LIMIT :runs
        ) AS run
        JOIN run_items AS item ON item.workspace_id = :workspace AND item.run_id = run.id AND item.state = 'done'
        WHERE NOT EXISTS (SELECT FROM items WHERE workspace_id = :workspace AND feed_id = :feed AND key = item.key)
    ) AS removed
""")


class EmptyFeedError(Exception):
    """There are no rows to render."""


class RunEndedError(Exception):
    """The run was canceled while it was prepared, or another job has prepared it."""


@dataclass(frozen=True)
class RunSpec:
    """What a run renders, and how.

    Attributes:
        feed: its rows are rendered.
        template: in its published version.
        mapping: the template's fields to the feed's columns (see runs.mapping).
        outputs: each row is rendered once for each.
        connection_id: where the images are stored; None for the template's or the workspace's default connection.
        force: whether every image is rendered again, also those that have not changed.
        refresh_photos: whether the photos of unchanged rows are compared with their hosts' current ones.
        on_missing_photo: what happens to an image whose photo is missing.
        metadata: returned to the client with the run.
        selection: the rows of the feed that are rendered.
        formats: how the values of columns are written; None for those of the feed.
    """

    feed: Feed
    template: Template
    mapping: Mapping[str, str]
    outputs: Sequence[Output]
    connection_id: UUID | None = None
    force: bool = False
    refresh_photos: bool = False
    on_missing_photo: OnMissingPhoto = OnMissingPhoto.KEEP
    metadata: Mapping[str, Any] = field(default_factory=dict)
    selection: RowSelection = ALL_ROWS
    formats: Mapping[str, ValueFormat] | None = None


@dataclass(frozen=True)
class RunPlan:
    """What a run will do. `removed` and `invalid` are numbers of rows, the others of images.

    Attributes:
        new: images of rows that were never rendered with this template and output.
        changed: images that differ from those of an earlier run.
        unchanged: images that exist already.
        checked: images that exist already, and are rendered again if one of their photos has changed.
        processing_cost: how many images each of them counts as at most beside itself, for the processing of its photos.
        removed: rows with images that are not in the feed any more.
        invalid: rows that the feed's last import rejected.
    """

    rows: int
    images: int
    new: int
    changed: int
    unchanged: int
    removed: int
    invalid: int
    checked: int = 0
    processing_cost: int = 0

    @property
    def to_render(self) -> int:
        """How many images will be rendered, and count against the quota."""
        return self.new + self.changed

    @property
    def reserved(self) -> int:
        """How many images the quota must have room for; those whose photos have not changed are refunded.

        So is what is reserved for the processing of photos that were processed before.
        """
        return (self.to_render + self.checked) * (1 + self.processing_cost)


@dataclass(frozen=True)
class RequestedItem:
    """An item of a request for images.

    Attributes:
        data: values of the template's fields.
        names: of the images, by output; empty for that of the template.
    """

    data: Mapping[str, str]
    names: Sequence[str]


def count_rows(db: Session, feed: Feed, selection: RowSelection, since: int = -1) -> int:
    """Return how many rows of a feed a selection has, among those that changed after a revision."""
    if since < 0 and not selection.parameter():
        return feed.item_count
    values = {"workspace": feed.workspace_id, "feed": feed.id, "since": since, "selection": selection.parameter()}
    rows: int = db.execute(_COUNT_ROWS, values).scalar_one()
    return rows


def plan_takes_long(db: Session, spec: RunSpec) -> bool:
    """Return whether plan_run has to compare many rows."""
    is_large = spec.feed.item_count * len(spec.outputs) > MAX_IN_REQUEST
    return is_large and _has_rendered(db, spec.feed, spec.template)


def plan_run(db: Session, spec: RunSpec) -> RunPlan:
    """Return what a run will do, without starting it. Errors as for start_run."""
    feed, template = spec.feed, spec.template
    _check_outputs(db, template, spec.outputs)
    run = new_run(db, spec)
    rows = count_rows(db, feed, spec.selection)
    images, unchanged, checked, changed = rows * len(spec.outputs), 0, 0, 0
    if _has_rendered(db, feed, template):  # else every image is new, without comparing rows
        parameters = run_parameters(run, load_design(db, template).document, since=-1)
        images, unchanged, checked, changed = db.execute(_COUNT_ITEMS, parameters).one()
    removed = {"workspace": feed.workspace_id, "template": template.id, "feed": feed.id, "runs": EARLIER_RUNS}
    last_import = select(FeedImport.invalid).where(
        FeedImport.workspace_id == feed.workspace_id,
        FeedImport.feed_id == feed.id,
        FeedImport.number == feed.import_number,
    )
    return RunPlan(
        rows=rows,
        images=images,
        new=images - unchanged - checked - changed,
        changed=changed,
        unchanged=unchanged,
        checked=checked,
        processing_cost=run.processing_cost,
        removed=db.scalar(_COUNT_REMOVED, removed) or 0,
        invalid=db.scalar(last_import) or 0,
    )


def start_run(
    db: Session,
    spec: RunSpec,
    *,
    started_by: UUID | None,
    since: int = -1,
    quota: Quota | None = None,
    webhook: str | None = None,
) -> Run:
    """Start a run in the caller's transaction.

    A large run is prepared by a job, which only then checks its quota.

    Args:
        db: the caller's transaction.
        spec: what is rendered.
        started_by: the account that starts it; None for an API key.
        since: only rows that changed after this revision of the feed; they are prepared here, however many.
        quota: what the images count against; without one they are counted, but not limited.
        webhook: a URL that is notified when the run finishes.

    Raises:
        EmptyFeedError: there are no rows.
        QuotaExceededError: the quota does not allow so many images.
        UnknownSizeError: the template does not have a size of the outputs.
        InvalidSettingsError: the workspace has no storage connection.
    """
    feed = spec.feed
    quota = quota or Quota(feed.workspace_id)
    rows = count_rows(db, feed, spec.selection, since)
    if not rows:
        raise EmptyFeedError(gettext(EMPTY_FEED if since < 0 else UNCHANGED_FEED))
    _check_outputs(db, spec.template, spec.outputs)
    run = new_run(db, spec)
    run.total = rows * len(spec.outputs)
    run.key_id, run.started_by, run.webhook, run.prepared = quota.key_id, started_by, webhook, False
    db.add(run)
    db.flush()
    _prepare_or_enqueue(db, run, quota, since)
    return run


def prepare_run(db: Session, run: Run, quota: Quota, since: int = -1) -> None:
    """Write a run's items, enqueue its chunks, and count its images.

    If the items are written already, reopen the failed ones.

    Arguments as for start_run. When this raises, the transaction must be rolled back.

    Raises:
        EmptyFeedError: there are no rows.
        QuotaExceededError: the quota does not allow so many images.
        RunEndedError: the run was canceled, or prepared by another job.
    """
    inserted = None
    if db.scalar(select(RunItem.position).where(*_items(run)).limit(1)) is None:
        inserted = _insert_items(db, run, since)
        if not inserted.images:
            raise EmptyFeedError(gettext(EMPTY_FEED if since < 0 else UNCHANGED_FEED))
        findings = inserted.findings
    else:
        findings = -_reopen(db, run)
    chunks = select(RunItem.chunk).where(*_items(run, "pending")).distinct().order_by(RunItem.chunk)
    enqueue_chunks(db, run, db.scalars(chunks).all())
    # What takes long is done before the run and the usage counter are locked.
    _lock(db, run)
    if run.prepared or run.finished_at:
        raise RunEndedError
    run.prepared = True
    if inserted is not None:
        run.total, run.done, run.unchanged = inserted.images, inserted.unchanged, inserted.unchanged
    run.findings += findings
    if not run.pending:
        run.finished_at = db.scalar(select(func.clock_timestamp()))
        db.flush()
        notify_run_finished(db, run)
        return
    run.usage_month = month_of()
    db.flush()
    count(db, quota, run.reserved)


def fail_unprepared_run(db: Session, run: Run, error_message: str) -> None:
    """Fail a run that could not be prepared, unless it was prepared or has ended meanwhile."""
    _lock(db, run)
    if not run.prepared and not run.finished_at:
        run.incomplete = _count_incomplete(db, run)
        run.failed, run.error_message = run.pending, error_message
        run.finished_at = db.scalar(select(func.clock_timestamp()))
        db.flush()
        notify_run_finished(db, run)


def start_run_of_items(db: Session, run: Run, images: int, quota: Quota) -> None:
    """Start a run whose pending items and their chunks the caller has written, in the caller's transaction.

    Args:
        db: the caller's transaction.
        run: the run, with its items.
        images: how many items it has.
        quota: what they count against.

    Raises:
        QuotaExceededError: the quota does not allow so many images.
    """
    run.total, run.prepared, run.usage_month = images, True, month_of()
    db.flush()
    chunks = select(RunItem.chunk).where(*_items(run, "pending")).distinct().order_by(RunItem.chunk)
    enqueue_chunks(db, run, db.scalars(chunks).all())
    count(db, quota, run.reserved)


def start_image_run(
    db: Session,
    *,
    template: Template,
    version: int,
    items: Sequence[RequestedItem],
    outputs: Sequence[Output],
    quota: Quota,
    webhook: str | None = None,
    on_missing_photo: OnMissingPhoto = OnMissingPhoto.KEEP,
    metadata: Mapping[str, Any] | None = None,
    document: ImageTemplate | None = None,
) -> Run:
    """Enqueue the images of a request in the caller's transaction: a run without a feed.

    Args:
        db: the caller's transaction.
        template: what is rendered.
        version: of the template.
        items: each is rendered once for each output. The values of a field have the same format in all of them.
        outputs: size and format of each image.
        quota: what the images count against.
        webhook: a URL that is notified when an image is stored, or has failed.
        metadata: returned to the client with the images.
        document: rendered in place of the version's, with layers that the request has overridden.

    Raises:
        QuotaExceededError: the quota is used up.
        UnknownSizeError: the template does not have the output's size.
        InvalidSettingsError: the workspace has no storage connection.
    """
    shown = document or load_design(db, template, version).document
    _check_sizes(shown, outputs)
    run = _new_run_of(db, template, outputs)
    values = {name: text for item in items for name, text in item.data.items()}
    run.template_version, run.total, run.key_id, run.webhook = version, len(items) * len(outputs), quota.key_id, webhook
    run.processing_cost = _processing_cost(shown, outputs)
    run.document = document.canonical() if document else None
    run.mapping = {name: name for name in values}
    run.formats = dump_formats({name: format_of(text) for name, text in values.items()})
    run.on_missing_photo, run.request_metadata = on_missing_photo, dict(metadata or {})
    db.add(run)
    db.flush()
    rows = _rows_of_request(run, template, items, chunk_size_of(db, template) if len(items) > 1 else run.total)
    db.execute(insert(RunItem), rows)
    count(db, quota, run.reserved)
    enqueue_chunks(db, run, range(rows[-1]["chunk"] + 1))
    return run


def record_image_set(
    db: Session,
    *,
    request_id: UUID,
    template: Template,
    version: int,
    data: Mapping[str, str],
    outputs: Sequence[Output],
    names: Sequence[str],
    images: Sequence[tuple[UUID, Sequence[Finding], bool]],
    key_id: UUID | None,
    metadata: Mapping[str, Any],
) -> None:
    """Record images that were rendered in a request as a finished run, so that they can be read as one.

    Args:
        db: the caller's transaction, in which the images are counted.
        request_id: the id of the run.
        template: what was rendered.
        version: of the template.
        data: values of the template's fields.
        outputs: size and format of each image.
        names: of the images; empty for that of the template.
        images: for each output the id of the image, its findings, and whether it was stored before.
        key_id: the API key.
        metadata: returned to the client with the images.
    """
    run = _new_run_of(db, template, outputs)
    run.id, run.template_version, run.total, run.key_id = request_id, version, len(outputs), key_id
    run.done, run.unchanged = len(images), sum(was_stored for _, _, was_stored in images)
    run.findings = sum(len(findings) for _, findings, _ in images)
    run.request_metadata, run.finished_at = dict(metadata), db.scalar(select(func.clock_timestamp()))
    db.add(run)
    db.flush()
    rows = _rows_of_request(run, template, [RequestedItem(data, names)], run.total)
    for row, (image_id, findings, _) in zip(rows, images, strict=True):
        row |= {"state": "done", "image_id": image_id, "findings": to_jsonable_python(findings) or None}
    db.execute(insert(RunItem), rows)


def _rows_of_request(
    run: Run, template: Template, items: Sequence[RequestedItem], chunk_size: int
) -> list[dict[str, Any]]:
    """Return the rows of a run without a feed: one for each item and output."""
    ids = {"workspace_id": run.workspace_id, "run_id": run.id}
    images = [(item, output, name) for item in items for output, name in enumerate(item.names)]
    return [
        {
            **ids,
            "position": number + 1,
            "chunk": number // chunk_size,
            "output": output,
            "key": name or template.name,
            "data": dict(item.data),
        }
        for number, (item, output, name) in enumerate(images)
    ]


def retry_run(db: Session, run: Run, quota: Quota | None = None) -> int:
    """Render the failed, incomplete and left out items of a run again. Return how many they are.

    A large run that has ended is prepared by a job, which checks its quota only then.

    Raises:
        QuotaExceededError: the quota does not allow so many images.
    """
    _lock(db, run)
    quota = quota or quota_of(run)
    reserved, retried = run.reserved, run.failed + run.incomplete
    if not retried:
        return 0
    if run.finished_at:
        run.failed = run.incomplete = 0
        run.retries += 1
        run.error_message, run.key_id, run.prepared = None, quota.key_id, False
        run.finished_at = run.canceled_at = None
        db.flush()
        _prepare_or_enqueue(db, run, quota)
        return retried
    waiting = select(RunItem.chunk).where(*_items(run, *UNSUCCESSFUL)).distinct()
    chunks = db.scalars(waiting).all()
    run.findings -= _reopen(db, run)
    run.failed = run.incomplete = 0
    # All pending items count in one month: from now on in the current one.
    refund(db, quota_of(run), reserved, run.usage_month)
    run.usage_month, run.key_id = month_of(), quota.key_id
    enqueue_chunks(db, run, sorted(chunks))
    count(db, quota, run.reserved)
    return retried


def quota_of(run: Run) -> Quota:
    """Return what the run's images count against, without a limit."""
    return Quota(run.workspace_id, key_id=run.key_id)


def cancel_run(db: Session, run: Run) -> int | None:
    """Cancel a run, unless it has finished.

    The rows of its items are not changed, so that a run of any size is canceled immediately.

    Returns:
        How many items are left out (they count as failed, and can be retried); None if the run has finished.
    """
    _lock(db, run)
    if not run.pending:
        return None
    if not run.prepared:
        run.incomplete = _count_incomplete(db, run)
    else:
        refund(db, quota_of(run), run.reserved, run.usage_month)
        delete_chunks_later(db, run)
    left_out = run.pending
    run.failed += left_out
    run.canceled_at = run.finished_at = db.scalar(select(func.clock_timestamp()))
    db.flush()
    notify_run_finished(db, run)
    return left_out


def _count_incomplete(db: Session, run: Run) -> int:
    """Return how many incomplete images an unprepared run has: those of its last attempt, if it is retried."""
    return db.scalar(select(func.count()).where(*_items(run, "incomplete"))) or 0


def _prepare_or_enqueue(db: Session, run: Run, quota: Quota, since: int = -1) -> None:
    """Prepare a run; a large one is prepared by a job, under the quota's limits as they are now."""
    if run.pending <= MAX_IN_REQUEST or since >= 0:
        prepare_run(db, run, quota, since)
        return
    check_writable(quota)
    # The task is named, not imported: its module imports this one. Small runs are prepared first.
    task = app.configure_task("runs.prepare", queue=PREPARE_QUEUE, connection=raw_connection(db), priority=-run.pending)
    limits: JSONDict = {"limit": quota.limit, "key_limit": quota.key_limit, "url": quota.url}
    task.defer(workspace_id=str(run.workspace_id), run_id=str(run.id), quota=limits)


def _lock(db: Session, run: Run) -> None:
    """Refresh and lock a run. Its items can be written meanwhile: their foreign key needs a weaker lock."""
    db.refresh(run, with_for_update=FOR_NO_KEY_UPDATE)


def latest_runs(db: Session, workspace_id: UUID, limit: int = 50) -> list[Run]:
    """Return the workspace's runs over feeds, newest first."""
    runs = select(Run).where(Run.workspace_id == workspace_id, Run.feed_id.is_not(None))
    return list(db.scalars(runs.order_by(Run.id.desc()).limit(limit)))


def new_run(db: Session, spec: RunSpec) -> Run:
    """Return a run over a feed that is not in the session yet."""
    run = _new_run_of(db, spec.template, spec.outputs, spec.connection_id)
    run.feed_id, run.mapping = spec.feed.id, dict(spec.mapping)
    document = load_design(db, spec.template).document
    mapping = _used_mapping(spec.mapping, document, spec.outputs)
    formats = formats_of(db, spec.feed) if spec.formats is None else spec.formats
    run.formats, run.selection = dump_formats(field_formats(mapping, formats)), spec.selection.parameter()
    run.force, run.refresh_photos, run.on_missing_photo = spec.force, spec.refresh_photos, spec.on_missing_photo
    run.design_digests, run.request_metadata = _design_digests(document, spec.outputs), dict(spec.metadata)
    run.processing_cost = _processing_cost(document, spec.outputs)
    return run


def _new_run_of(db: Session, template: Template, outputs: Sequence[Output], connection_id: UUID | None = None) -> Run:
    return Run(
        workspace_id=template.workspace_id,
        id=uuid7(),
        template_id=template.id,
        template_version=template.version,
        connection_id=get_connection(db, template.workspace_id, connection_id or template.connection_id).id,
        mapping={},
        formats={},
        outputs=[output.model_dump(mode="json") for output in outputs],
    )


def _has_rendered(db: Session, feed: Feed, template: Template) -> bool:
    """Return whether a row of the feed was rendered with the template before."""
    earlier = Run.workspace_id == feed.workspace_id, Run.feed_id == feed.id, Run.template_id == template.id
    return db.scalar(select(Run.id).where(*earlier, Run.done + Run.incomplete > 0).limit(1)) is not None


def _check_outputs(db: Session, template: Template, outputs: Sequence[Output]) -> None:
    """Check that the template has the sizes of the outputs. Raise UnknownSizeError."""
    _check_sizes(load_design(db, template).document, outputs)


def _check_sizes(document: ImageTemplate, outputs: Iterable[Output]) -> None:
    for output in outputs:
        if output.size not in document.size_names:
            raise UnknownSizeError(output.size, document.size_names)


def _design_digests(document: ImageTemplate, outputs: Sequence[Output]) -> list[str]:
    """Return the digests of what the images of each output show of a template."""
    resolved = document.resolved()
    return [resolved.in_size(output.size).visible().digest for output in outputs]


def _processing_cost(document: ImageTemplate, outputs: Sequence[Output]) -> int:
    """Return how many images the processing of photos counts as at most, for an image of any of the outputs."""
    processors = installed_processors()
    return max(processing_cost(document.in_size(output.size), processors) for output in outputs)


def _used_mapping(mapping: Mapping[str, str], document: ImageTemplate, outputs: Sequence[Output]) -> dict[str, str]:
    """Return the part of a mapping that the images depend on, so that other columns do not change a row."""
    sized = [document.in_size(output.size).visible() for output in outputs]
    return used_mapping(mapping, {field.name for template in sized for field in template.fields})


def _insert_items(db: Session, run: Run, since: int) -> Row[Any]:
    """Write a run's items, and count them."""
    template = db.get_one(Template, (run.workspace_id, run.template_id))
    document = load_design(db, template, run.template_version).document
    parameters = run_parameters(run, document, since) | {"chunk_size": chunk_size_of(db, template)}
    return db.execute(_INSERT_ITEMS, parameters).one()


def run_parameters(run: Run, document: ImageTemplate, since: int) -> dict[str, Any]:
    """Return the parameters of a query of rendered rows: what the run's images depend on, beside the rows."""
    mapping = _used_mapping(run.mapping, document, [Output.model_validate(output) for output in run.outputs])
    return {
        "workspace": run.workspace_id,
        "run": run.id,
        "feed": run.feed_id,
        "since": since,
        "mapping": with_regular_price(mapping),
        "formats": run.formats,
        "outputs": run.outputs,
        "outputs_per_row": len(run.outputs),
        "template": run.template_id,
        "version": run.template_version,
        "connection": run.connection_id,
        "design_digests": run.design_digests,
        "force": run.force,
        "refresh": run.refresh_photos,
        "selection": run.selection,
    }


def _items(run: Run, *states: str) -> tuple[Any, ...]:
    """Return the conditions for a run's items, of all states or the given ones."""
    items = RunItem.workspace_id == run.workspace_id, RunItem.run_id == run.id
    return (*items, RunItem.state.in_(states)) if states else items


def _reopen(db: Session, run: Run) -> int:
    """Make failed, incomplete and postponed items pending again. Return how many findings they had."""
    length = func.coalesce(func.sum(func.jsonb_array_length(RunItem.findings)), 0)
    findings = db.scalar(select(length).where(*_items(run, *UNSUCCESSFUL))) or 0
    values = {"state": "pending", "error": None, "attempts": 0, "retry_at": None}
    cleared = {"findings": None, "photos": None, "image_id": None}
    db.execute(update(RunItem).where(*_items(run, *UNSUCCESSFUL)).values(**values, **cleared))
    db.execute(update(RunItem).where(*_items(run, "pending"), RunItem.retry_at.is_not(None)).values(**values))
    return int(findings)

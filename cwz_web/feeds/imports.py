"""Imports: the rows of a file are staged, compared with the feed's rows, and applied in one transaction.

The file is read as a stream and compared in the database, so that memory does not grow with the number of rows. An
import that the guard suspects (import_guard.py) needs a review, since an export with suddenly three rows is more
likely broken than right. Existing rows keep their position, new ones are appended. Invalid rows are recorded with the
reason and skipped.

A request stores the file and enqueues a job that imports it (tasks.py). The newest file is stored afterwards, so that
it can be imported again with another schema.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from typing import BinaryIO
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, delete, exists, insert, select, text, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.db.session import FOR_NO_KEY_UPDATE, raw_connection
from cwz_web.feeds.column_formats import FormatDetection
from cwz_web.feeds.column_uses import find_column_uses
from cwz_web.feeds.columns import FeedSchema, guess_schema
from cwz_web.feeds.file_types import open_records
from cwz_web.feeds.import_changes import record_added_rows
from cwz_web.feeds.import_files import delete_file, store_file
from cwz_web.feeds.import_guard import (
    Baseline,
    ColumnFill,
    FileFigures,
    KeyChanges,
    find_lost_columns,
    find_reasons,
    next_baseline,
)
from cwz_web.feeds.limits import MAX_INVALID, SAMPLE_ROWS
from cwz_web.feeds.models import AddedRow, Feed, FeedImport, FilePart, ImportState, InvalidRow, ItemVersion
from cwz_web.feeds.reading import ReadOptions
from cwz_web.feeds.records import Entry, InvalidEntry, Records, Row, Table, file_size
from cwz_web.feeds.row_data import dump_row
from cwz_web.feeds.variants import keyed_rows
from cwz_web.i18n import gettext, use_locale
from cwz_web.jobs import FEEDS_QUEUE, app, defer_once
from cwz_web.values.formats import dump_formats, is_json_number
from cwz_web.workspaces.models import Workspace

LISTED_IMPORTS = 50
# Earlier versions of rows are kept for this many revisions, invalid rows for this many imports.
KEPT_REVISIONS = 100
KEPT_IMPORTS = 10
BATCH_SIZE = 1000
_unstorable = re.compile("[\x00\ud800-\udfff]")
_escapes = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

_COUNT = text("""
    SELECT count(*) FILTER (WHERE i.key IS NULL) AS added,
           count(*) FILTER (WHERE i.key IS NOT NULL AND s.key IS NOT NULL AND i.data <> s.data) AS changed,
           count(*) FILTER (WHERE i.key IS NOT NULL AND s.key IS NOT NULL AND i.data = s.data) AS unchanged,
           count(*) FILTER (WHERE s.key IS NULL) AS removed,
           count(*) FILTER (WHERE s.key IS NOT NULL AND i.position <= :position) AS kept
    FROM staged s
    FULL JOIN (SELECT key, data, position FROM items WHERE workspace_id = :workspace AND feed_id = :feed) i
         ON i.key = s.key
""")
_COUNT_FILLED = text("""
    SELECT c.name, count(*) FROM items i, jsonb_object_keys(i.data) c(name)
    WHERE i.workspace_id = :workspace AND i.feed_id = :feed GROUP BY c.name
""")
_HAS_DUPLICATES = text("SELECT EXISTS (SELECT FROM staged GROUP BY key HAVING count(*) > 1)")
# Of rows with the same key the first is imported.
_DUPLICATES = """
    (SELECT position, row_number() OVER same_key AS n, first_value(line) OVER same_key AS line FROM staged
     WINDOW same_key AS (PARTITION BY key ORDER BY position)) AS first
    WHERE first.position = s.position AND first.n > 1
"""
_RECORD_DUPLICATES = text(
    f"""
    INSERT INTO invalid_rows (workspace_id, import_id, number, line, reason, data)
    SELECT :workspace, :import, :number + row_number() OVER (ORDER BY s.position), s.line,
           'The key “' || left(s.key, 100) || '” is already used in line ' || first.line, s.data
    FROM staged s, {_DUPLICATES} ORDER BY s.position LIMIT :limit
"""  # noqa: S608 - constants only
)
_FIND_DUPLICATES = text("""
    WITH doubles AS (
        SELECT number, substring(reason FROM '^The key “(.*)” is already used in line ') AS key FROM invalid_rows
        WHERE workspace_id = :workspace AND import_id = (
            SELECT id FROM feed_imports
            WHERE workspace_id = :workspace AND feed_id = :feed AND state IN ('applied', 'unchanged')
            ORDER BY number DESC LIMIT 1)
    )
    SELECT count(key) AS rows, ARRAY(
        SELECT key FROM doubles WHERE key IS NOT NULL GROUP BY key ORDER BY min(number) LIMIT 5) AS keys
    FROM doubles
""")
_DELETE_DUPLICATES = text(f"DELETE FROM staged s USING {_DUPLICATES}")  # noqa: S608 - constants only
_CHANGED_ROWS = """
    staged s WHERE i.workspace_id = :workspace AND i.feed_id = :feed AND i.key = s.key AND i.data <> s.data
"""
_REMOVED_ROWS = """
    i.workspace_id = :workspace AND i.feed_id = :feed AND NOT EXISTS (SELECT FROM staged s WHERE s.key = i.key)
"""
_INSERT_VERSION = """
    INSERT INTO item_versions (workspace_id, feed_id, key, revision, data, removed)
    SELECT :workspace, :feed, i.key, :revision, i.data,
"""
_REMOVE_STATEMENTS = (
    text(f"{_INSERT_VERSION} true FROM items i WHERE {_REMOVED_ROWS}"),
    text(f"DELETE FROM items i WHERE {_REMOVED_ROWS}"),  # noqa: S608 - constants only
)
_CHANGE_STATEMENTS = (
    text(f"{_INSERT_VERSION} false FROM items i, {_CHANGED_ROWS}"),
    text(f"UPDATE items i SET data = s.data, changed_at = now(), revision = :revision FROM {_CHANGED_ROWS}"),  # noqa: S608
)
_ADD_ALL = """
    INSERT INTO items (workspace_id, feed_id, position, key, data, revision)
    SELECT :workspace, :feed, s.position + :last, s.key, s.data, :revision FROM staged s
"""
_ADD_NEW = f"""{_ADD_ALL}
    WHERE NOT EXISTS (SELECT FROM items i WHERE i.workspace_id = :workspace AND i.feed_id = :feed AND i.key = s.key)
"""
_LAST_POSITION = text(
    "SELECT coalesce(max(position), 0) FROM items WHERE workspace_id = :workspace AND feed_id = :feed"
)

# Called with the number of rows read and the share of the file in percent.
Progress = Callable[[int, int], None]


class ImportNotReviewableError(Exception):
    """The import does not need a review (any more)."""


def create_feed(
    db: Session, workspace_id: UUID, *, name: str, file_name: str, schema: FeedSchema | None = None
) -> Feed:
    """Create a feed without rows.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        name: the feed's name.
        file_name: the name of its file.
        schema: its columns; determined by the first import unless given.
    """
    feed = Feed(
        workspace_id=workspace_id,
        name=name,
        file_name=file_name[-200:],
        columns=[],
        schema=schema.model_dump(mode="json") if schema else {},
        notes=[],
    )
    db.add(feed)
    db.flush()
    return feed


def create_import(
    db: Session,
    feed: Feed,
    *,
    file_name: str,
    file: BinaryIO | None = None,
    state: ImportState = ImportState.QUEUED,
    fetched: bool = False,
    started_by: UUID | None = None,
) -> FeedImport:
    """Create an import and store its file.

    The import begins with `enqueue_import` or `run_import`.

    Args:
        db: The session.
        feed: The feed; it is locked until the end of the transaction.
        file_name: The name to show.
        file: The file; None if the job fetches it.
        state: The initial state.
        fetched: Whether the file comes from the feed's source.
        started_by: The account that started it.
    """
    db.refresh(feed, with_for_update=FOR_NO_KEY_UPDATE)
    feed.import_number += 1
    record = FeedImport(
        workspace_id=feed.workspace_id,
        id=uuid7(),
        feed_id=feed.id,
        number=feed.import_number,
        file_name=file_name[-200:],
        state=state,
        fetched=fetched,
        started_by=started_by,
    )
    db.add(record)
    db.flush()
    if file is not None:
        store_file(db, record, file)
    return record


def import_file(
    db: Session, feed: Feed, *, file_name: str, file: BinaryIO, started_by: UUID | None = None
) -> FeedImport:
    """Import a file without a job.

    Args:
        db: a transaction in the workspace.
        feed: the feed.
        file_name: the name of the file.
        file: its content.
        started_by: the account that imports it, if any.

    Raises:
        InvalidFileError: the file cannot be read; the transaction must be rolled back.
    """
    record = create_import(db, feed, file_name=file_name, file=file, started_by=started_by)
    run_import(db, feed, record, file)
    return record


def enqueue_import(db: Session, record: FeedImport) -> None:
    """Enqueue the job that imports the file, and fetches it first if it is not stored."""
    job = app.configure_task(
        "feeds.import", queue=FEEDS_QUEUE, connection=raw_connection(db), lock=f"feed {record.feed_id}"
    )
    job.defer(workspace_id=str(record.workspace_id), import_id=str(record.id))


@use_locale(None)  # the notes and errors of the file are stored
def run_import(db: Session, feed: Feed, record: FeedImport, file: BinaryIO, progress: Progress | None = None) -> None:
    """Apply an import's file to its feed, or mark the import for review.

    Args:
        db: The session.
        feed: The feed; it is locked until the end of the transaction.
        record: The import.
        file: The file.
        progress: Called periodically while the file is read.

    Raises:
        InvalidFileError: The file cannot be imported; the transaction must be rolled back.
    """
    db.refresh(feed, with_for_update=FOR_NO_KEY_UPDATE)  # one import of a feed at a time
    records = open_records(file, ReadOptions.model_validate(feed.reading))
    entries = iter(records)
    first = list(islice(entries, SAMPLE_ROWS))
    rows = [entry[1] for entry in first if not isinstance(entry, InvalidEntry)]
    sample = Table(records.columns, rows, header=records.header)
    schema = resolve_schema(feed, sample)
    db.execute(text("CREATE TEMPORARY TABLE staged (position int, line int, key text, data jsonb) ON COMMIT DROP"))
    db.execute(text("SET LOCAL work_mem = '64MB'"))
    default = db.get_one(Workspace, feed.workspace_id).value_format
    detection = FormatDetection(schema, feed.value_format.with_defaults(default))
    counted = _track_progress(chain(first, entries), records, record, progress)
    # Nothing changes the import's row before this: it would be locked, and the progress could not be written.
    counted_rows, filled = _stage(db, record, detection.observe(keyed_rows(counted, schema, records.notes)))
    keys = _count(db, feed, record)
    record.reading = asdict(records.reading)
    record.columns, record.notes = schema.feed_columns(records.columns), [*records.notes, *detection.notes()]
    figures = _figures_of(record, records, schema, counted_rows, filled)
    if _is_held(db, feed, record, figures, keys):
        record.state = ImportState.NEEDS_REVIEW
    else:
        feed.schema = schema.model_dump(mode="json")
        feed.column_formats = dump_formats(detection.formats())
        _apply(db, feed, record)
    record.finished_at = datetime.now(UTC)
    db.flush()
    superseded = (
        *_imports_of(feed),
        FeedImport.number < record.number,
        FeedImport.state == ImportState.NEEDS_REVIEW,
    )
    db.execute(update(FeedImport).where(*superseded).values(state=ImportState.DISCARDED))
    db.execute(text("DROP TABLE staged"))


def _figures_of(
    record: FeedImport, records: Records, schema: FeedSchema, counted_rows: int, filled: Counter[str]
) -> FileFigures:
    return FileFigures(
        rows=record.added + record.changed + record.unchanged,
        counted_rows=counted_rows,
        filled=filled,
        columns=schema.feed_columns(records.header or records.columns),
        has_header=bool(records.header),
        size=file_size(records.file),
        has_line_end=records.has_line_end,
        cut_off=records.cut_off,
        is_length_known=record.length_known,
        key=[*schema.key, *filter(None, [schema.group])],
    )


def _is_held(db: Session, feed: Feed, record: FeedImport, figures: FileFigures, keys: KeyChanges) -> bool:
    """Compare an import with the feed's baseline. Return whether it needs a review; otherwise renew the baseline."""
    uses = find_column_uses(db, feed)
    baseline = _baseline_of(db, feed)
    if baseline is not None and not record.confirmed:
        reasons = find_reasons(baseline, figures, keys, uses, feed.max_removed_percent)
        record.review_reasons = [reason.model_dump(mode="json") for reason in reasons]
        if reasons:
            return True
        lost = find_lost_columns(baseline, figures)
        # A new list: the queries above have written the notes, and a change of the same list is not noticed.
        record.notes = [
            *record.notes,
            *(gettext("No row has a value in “%(name)s” any more", name=name) for name in lost),
        ]
    renewed = next_baseline(baseline, figures, uses.keys(), is_reviewed=record.confirmed)
    feed.baseline = renewed.model_dump(mode="json")
    return False


def _baseline_of(db: Session, feed: Feed) -> Baseline | None:
    """Return the feed's baseline; of rows that no import wrote, compute it."""
    if feed.baseline is not None:
        return Baseline.model_validate(feed.baseline)
    if not feed.item_count:
        return None
    counts = db.execute(_COUNT_FILLED, {"workspace": feed.workspace_id, "feed": feed.id})
    columns = {name: ColumnFill(filled=filled, rows=feed.item_count) for name, filled in counts}
    return Baseline(rows=feed.item_count, columns=columns)


def resolve_schema(feed: Feed, sample: Table) -> FeedSchema:
    """Return the feed's schema, with guesses for columns that it does not contain.

    Raises:
        InvalidFileError: A column of the key is not in the sample.
    """
    return FeedSchema.model_validate(feed.schema).with_guesses(sample) if feed.schema else guess_schema(sample)


def fail_import(db: Session, record: FeedImport, error_message: str) -> None:
    """Mark an import as failed."""
    record.state, record.finished_at = ImportState.FAILED, datetime.now(UTC)
    record.error_message = error_message[:500]


def approve_import(db: Session, record: FeedImport) -> None:
    """Apply an import that needs a review. Raises ImportNotReviewableError."""
    _lock_for_review(db, record)
    record.state, record.confirmed, record.finished_at = ImportState.QUEUED, True, None
    enqueue_import(db, record)


def discard_import(db: Session, record: FeedImport) -> None:
    """Discard an import that needs a review. Raises ImportNotReviewableError."""
    _lock_for_review(db, record)
    record.state = ImportState.DISCARDED
    delete_file(db, record)


def list_imports(db: Session, feed: Feed, limit: int = LISTED_IMPORTS, before: int | None = None) -> list[FeedImport]:
    """Return the feed's imports, newest first; only those before a number, if there is one."""
    query = select(FeedImport).where(*_imports_of(feed))
    if before is not None:
        query = query.where(FeedImport.number < before)
    return list(db.scalars(query.order_by(FeedImport.number.desc()).limit(limit)))


def find_import(db: Session, feed: Feed, number: int) -> FeedImport | None:
    """Return the feed's import with a number, or None."""
    return db.scalar(select(FeedImport).where(*_imports_of(feed), FeedImport.number == number))


def newest_import_with_file(db: Session, feed: Feed) -> FeedImport | None:
    """Return the newest import whose file is stored, or None."""
    stored = select(FilePart.import_id).where(FilePart.workspace_id == feed.workspace_id, FilePart.part == 0)
    return db.scalar(
        select(FeedImport)
        .where(*_imports_of(feed), FeedImport.id.in_(stored))
        .order_by(FeedImport.number.desc())
        .limit(1)
    )


@dataclass(frozen=True)
class DoubleKeys:
    """The rows that an import has skipped since an earlier one has their key: how many, and the first keys."""

    rows: int
    first: list[str]


def find_double_keys(db: Session, feed: Feed) -> DoubleKeys:
    """Return the double keys of the newest import of a feed, of the MAX_INVALID rows that are kept of it."""
    found = db.execute(_FIND_DUPLICATES, {"workspace": feed.workspace_id, "feed": feed.id}).one()
    return DoubleKeys(found.rows, found.keys)


def list_invalid_rows(db: Session, record: FeedImport, after: int = 0, limit: int = MAX_INVALID) -> list[InvalidRow]:
    """Return invalid rows of an import, in the file's order.

    Args:
        db: a transaction in the workspace.
        record: the import.
        after: only rows after this number.
        limit: at most so many rows.
    """
    query = select(InvalidRow).where(
        InvalidRow.workspace_id == record.workspace_id,
        InvalidRow.import_id == record.id,
        InvalidRow.number > after,
    )
    return list(db.scalars(query.order_by(InvalidRow.number).limit(limit)))


def last_baseline_position(feed: Feed) -> int:
    """Return the last position of a row of the feed's baseline; new rows get later ones. 0 if there is none."""
    return (feed.baseline or {}).get("position") or 0


def begin_revision(db: Session, feed: Feed, *, wait: int = 0) -> int:
    """Start a change of the feed's rows, delete old versions, and enqueue the feed's automatic runs.

    Args:
        db: The session.
        feed: The feed; the caller has locked it.
        wait: Seconds until the automatic runs start, so that several changes start one run.

    Returns:
        The number of the revision.
    """
    feed.revision += 1
    db.execute(
        delete(ItemVersion).where(
            ItemVersion.workspace_id == feed.workspace_id,
            ItemVersion.feed_id == feed.id,
            ItemVersion.revision < feed.revision - KEPT_REVISIONS,
        )
    )
    defer_once(
        db,
        "runs.start_auto_runs",
        queue=FEEDS_QUEUE,
        queueing_lock=f"auto runs {feed.id}",
        wait=wait,
        workspace_id=str(feed.workspace_id),
        feed_id=str(feed.id),
    )
    defer_once(
        db,
        "campaigns.advance_for_feed",
        queue=FEEDS_QUEUE,
        queueing_lock=f"campaigns of {feed.id}",
        wait=wait,
        workspace_id=str(feed.workspace_id),
        feed_id=str(feed.id),
    )
    return feed.revision


def _track_progress(
    entries: Iterable[Entry], records: Records, record: FeedImport, progress: Progress | None
) -> Iterator[Entry]:
    """Yield the entries, and report the progress periodically."""
    for number, entry in enumerate(entries, 1):
        if number % BATCH_SIZE == 0 and progress is not None:
            progress(number, records.percent)
        yield entry
    record.rows_read, record.percent = number, 100


def _stage(
    db: Session, record: FeedImport, rows: Iterable[tuple[int, str, Row] | InvalidEntry]
) -> tuple[int, Counter[str]]:
    """Copy the valid rows to the staging table and record the invalid ones, including duplicates of a key.

    Returns:
        The number of rows before duplicates were removed, and in how many of them each column has a value.
    """
    lines: list[bytes] = []
    batch: list[Row] = []
    filled: Counter[str] = Counter()
    invalid: list[InvalidEntry] = []
    count = record.invalid = 0
    # COPY cannot write to tables under row-level security, so it fills a temporary table.
    cursor = raw_connection(db).cursor()
    with cursor.copy("COPY staged FROM STDIN") as copy:
        for entry in rows:
            if isinstance(entry, InvalidEntry):
                record.invalid += 1
                if len(invalid) < MAX_INVALID:
                    invalid.append(entry)
                continue
            line, key, row = entry
            if not key.isprintable():
                key = _storable(key)
            count += 1
            lines.append(_copy_line(count, line, key, row))
            batch.append(row)
            if len(lines) == BATCH_SIZE:
                copy.write(b"".join(lines))
                filled.update(chain.from_iterable(batch))
                lines.clear()
                batch.clear()
        copy.write(b"".join(lines))
        filled.update(chain.from_iterable(batch))
    _record_invalid(db, record, invalid)
    return count, filled


def _record_invalid(db: Session, record: FeedImport, invalid: list[InvalidEntry]) -> None:
    """Record the invalid rows, and remove the ones with duplicate keys from the staging table."""
    db.execute(delete(InvalidRow).where(*_invalid_rows_of(record)))
    if invalid:
        db.execute(
            insert(InvalidRow), [_invalid_values(record, number, entry) for number, entry in enumerate(invalid, 1)]
        )
    if db.scalar(_HAS_DUPLICATES):
        values = {"workspace": record.workspace_id, "import": record.id, "number": len(invalid)}
        db.execute(_RECORD_DUPLICATES, values | {"limit": MAX_INVALID - len(invalid)})
        record.invalid += db.execute(_DELETE_DUPLICATES).rowcount  # type: ignore[attr-defined]


def _invalid_values(record: FeedImport, number: int, entry: InvalidEntry) -> dict[str, object]:
    return {
        "workspace_id": record.workspace_id,
        "import_id": record.id,
        "number": number,
        "line": entry.line,
        "reason": _storable(entry.reason),
        "data": {_storable(name): _storable(value) for name, value in entry.row.items()},
    }


def _imports_of(feed: Feed) -> tuple[ColumnElement[bool], ...]:
    return FeedImport.workspace_id == feed.workspace_id, FeedImport.feed_id == feed.id


def _invalid_rows_of(record: FeedImport) -> tuple[ColumnElement[bool], ...]:
    return InvalidRow.workspace_id == record.workspace_id, InvalidRow.import_id == record.id


def _copy_line(position: int, line: int, key: str, row: Row) -> bytes:
    """Return a row in the text format of PostgreSQL's COPY."""
    try:
        data = dump_row(row)
    except orjson.JSONEncodeError:
        data = b"\\u0000"
    if data.find(b"\\") >= 0:
        if b"\\u0000" in data:  # rare, so that the rows are cleaned only then
            data = dump_row({_storable(name): _storable(value) for name, value in row.items()})
        data = data.replace(b"\\", b"\\\\")
    if "\\" in key or not key.isprintable():
        key = key.translate(_escapes)
    return b"%d\t%d\t%b\t%b\n" % (position, line, key.encode(), data)


def _storable(text: str) -> str:
    return text if is_json_number(text) else _unstorable.sub("", text)


def _count(db: Session, feed: Feed, record: FeedImport) -> KeyChanges:
    if not feed.item_count:
        record.added = db.scalar(text("SELECT count(*) FROM staged")) or 0
        record.changed = record.unchanged = record.removed = 0
        return KeyChanges(0, record.added, 0)
    db.execute(text("ANALYZE staged"))
    values = {"workspace": record.workspace_id, "feed": record.feed_id, "position": last_baseline_position(feed)}
    record.added, record.changed, record.unchanged, record.removed, kept = db.execute(_COUNT, values).one()
    return KeyChanges(feed.item_count, record.added, record.removed, kept)


def _apply(db: Session, feed: Feed, record: FeedImport) -> None:
    if record.added or record.changed or record.removed:
        record.revision = begin_revision(db, feed)
        values = {"workspace": feed.workspace_id, "feed": feed.id, "revision": record.revision}
        last = max(db.scalar(_LAST_POSITION, values) or 0, last_baseline_position(feed))
        if record.added and feed.item_count:
            record_added_rows(db, feed, record)
        add = (text(_ADD_NEW if feed.item_count else _ADD_ALL),)
        for count, statements in (
            (record.removed, _REMOVE_STATEMENTS),
            (record.changed, _CHANGE_STATEMENTS),
            (record.added, add),
        ):
            for statement in statements if count else ():
                db.execute(statement, values | {"last": last})
    if feed.baseline is not None and feed.baseline["position"] is None:
        last = db.scalar(_LAST_POSITION, {"workspace": feed.workspace_id, "feed": feed.id})
        feed.baseline = {**feed.baseline, "position": last}
    record.state = ImportState.APPLIED
    feed.item_count = record.added + record.changed + record.unchanged
    feed.columns, feed.notes, feed.file_name = record.columns, record.notes, record.file_name
    feed.imported_at = db.scalar(text("SELECT now()"))
    _delete_earlier_files(db, feed, record)


def _delete_earlier_files(db: Session, feed: Feed, record: FeedImport) -> None:
    """Delete the files of earlier imports, and the invalid rows and the keys of added rows of much earlier ones."""
    earlier = select(FeedImport.id).where(*_imports_of(feed))
    for model, before in (
        (FilePart, record.number),
        (InvalidRow, record.number - KEPT_IMPORTS),
        (AddedRow, record.number - KEPT_REVISIONS),
    ):
        ids = earlier.where(FeedImport.number < before)
        db.execute(delete(model).where(model.workspace_id == feed.workspace_id, model.import_id.in_(ids)))


def _lock_for_review(db: Session, record: FeedImport) -> None:
    """Lock the feed and check that the import needs a review. Raises ImportNotReviewableError."""
    feed = db.get_one(Feed, (record.workspace_id, record.feed_id), with_for_update=FOR_NO_KEY_UPDATE)
    db.refresh(record)
    if record.state in (ImportState.APPLIED, ImportState.DISCARDED):
        raise ImportNotReviewableError(
            gettext("This import has already been applied, discarded or replaced by a newer one")
        )
    if record.state != ImportState.NEEDS_REVIEW:
        raise ImportNotReviewableError(gettext("This import does not need a review"))
    if db.scalar(select(exists().where(*_imports_of(feed), FeedImport.state == ImportState.QUEUED))):
        raise ImportNotReviewableError(gettext("A newer import is running; wait until it has finished"))

"""Bringing a file in: its rows are staged, compared with the feed's, and applied all at once, or not at all.

The file is read as a stream, and the database does the comparing, so that a million rows take no more memory than a
hundred. An import that would remove more of the feed than its guard allows is held until somebody says so: a shop's
export that suddenly has three rows is more likely broken than true. Rows that stay keep their place; new ones come
last. Rows that cannot be taken are listed, with the reason, and stop nothing.

What a request takes in, a job brings in (tasks.py): a file is kept until then, and longer, so that its columns can be
shaped another way.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from typing import BinaryIO
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, delete, exists, insert, select, text, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.db.session import FOR_NO_KEY_UPDATE, raw_connection
from cwz_web.feeds.columns import Shape, guess_shape
from cwz_web.feeds.file_types import open_records
from cwz_web.feeds.import_files import forget_file, keep_file
from cwz_web.feeds.limits import MAX_INVALID, SAMPLE, Entry, Invalid, Records, Row, Table
from cwz_web.feeds.models import Feed, FeedImport, FilePart, InvalidRow, ItemVersion
from cwz_web.feeds.variants import keyed_rows
from cwz_web.jobs import FEEDS_QUEUE, app, defer_once

HISTORY = 50
# What a row was is known for so many changes of its feed, and what was left out for so many imports.
KEPT_REVISIONS = 100
KEPT_IMPORTS = 10
BATCH = 1000
_unstorable = re.compile("[\x00\ud800-\udfff]")
_escapes = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

_COUNT = text("""
    SELECT count(*) FILTER (WHERE i.key IS NULL) AS added,
           count(*) FILTER (WHERE i.key IS NOT NULL AND s.key IS NOT NULL AND i.data <> s.data) AS changed,
           count(*) FILTER (WHERE i.key IS NOT NULL AND s.key IS NOT NULL AND i.data = s.data) AS unchanged,
           count(*) FILTER (WHERE s.key IS NULL) AS removed
    FROM staged s FULL JOIN (SELECT key, data FROM items WHERE workspace_id = :workspace AND feed_id = :feed) i
         ON i.key = s.key
""")
_IS_TWICE = text("SELECT EXISTS (SELECT FROM staged GROUP BY key HAVING count(*) > 1)")
# Of rows with the same key the first one counts.
_AGAIN = """
    (SELECT position, row_number() OVER again AS n, first_value(line) OVER again AS line FROM staged
     WINDOW again AS (PARTITION BY key ORDER BY position)) AS first
    WHERE first.position = s.position AND first.n > 1
"""
_NOTE_TWICE = text(
    f"""
    INSERT INTO invalid_rows (workspace_id, import_id, number, line, reason, data)
    SELECT :workspace, :import, :number + row_number() OVER (ORDER BY s.position), s.line,
           'The key “' || left(s.key, 100) || '” is in line ' || first.line || ' already', s.data
    FROM staged s, {_AGAIN} ORDER BY s.position LIMIT :most
"""  # noqa: S608 - our own words
)
_REMOVE_TWICE = text(f"DELETE FROM staged s USING {_AGAIN}")  # noqa: S608 - our own words
_CHANGED = """
    staged s WHERE i.workspace_id = :workspace AND i.feed_id = :feed AND i.key = s.key AND i.data <> s.data
"""
_GONE = """
    i.workspace_id = :workspace AND i.feed_id = :feed AND NOT EXISTS (SELECT FROM staged s WHERE s.key = i.key)
"""
_VERSION = """
    INSERT INTO item_versions (workspace_id, feed_id, key, revision, data, removed)
    SELECT :workspace, :feed, i.key, :revision, i.data,
"""
_REMOVE = (
    text(f"{_VERSION} true FROM items i WHERE {_GONE}"),
    text(f"DELETE FROM items i WHERE {_GONE}"),  # noqa: S608 - our own words
)
_CHANGE = (
    text(f"{_VERSION} false FROM items i, {_CHANGED}"),
    text(f"UPDATE items i SET data = s.data, changed_at = now(), revision = :revision FROM {_CHANGED}"),  # noqa: S608
)
_ADD_ALL = """
    INSERT INTO items (workspace_id, feed_id, position, key, data, revision)
    SELECT :workspace, :feed, s.position + :last, s.key, s.data, :revision FROM staged s
"""
_ADD_NEW = f"""{_ADD_ALL}
    WHERE NOT EXISTS (SELECT FROM items i WHERE i.workspace_id = :workspace AND i.feed_id = :feed AND i.key = s.key)
"""
_LAST = text("SELECT coalesce(max(position), 0) FROM items WHERE workspace_id = :workspace AND feed_id = :feed")

# Told how many rows have been read, and how much of the file in percent.
Progress = Callable[[int, int], None]


class ImportNotHeldError(Exception):
    """The import does not wait to be applied: it was decided on, or a newer one came."""


def new_feed(db: Session, workspace_id: UUID, *, name: str, file_name: str, shape: Shape | None = None) -> Feed:
    """A feed without any rows yet."""
    feed = Feed(
        workspace_id=workspace_id,
        name=name,
        file_name=file_name[-200:],
        columns=[],
        shape=shape.model_dump(mode="json") if shape else {},
        notes=[],
    )
    db.add(feed)
    db.flush()
    return feed


def new_import(
    db: Session,
    feed: Feed,
    *,
    file_name: str,
    file: BinaryIO | None = None,
    state: str = "queued",
    fetched: bool = False,
    started_by: UUID | None = None,
) -> FeedImport:
    """An import that is to come, with its file, if it is there already. It begins with `enqueue` or `run_import`."""
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
        keep_file(db, record, file)
    return record


def import_file(
    db: Session, feed: Feed, *, file_name: str, file: BinaryIO, started_by: UUID | None = None
) -> FeedImport:
    """Bring a file into a feed at once. Raises InvalidFileError; then the transaction must be rolled back."""
    record = new_import(db, feed, file_name=file_name, file=file, started_by=started_by)
    run_import(db, feed, record, file)
    return record


def enqueue(db: Session, record: FeedImport) -> None:
    """Have a job bring in an import's file, or fetch it first, once the transaction is through."""
    job = app.configure_task(
        "feeds.bring_in", queue=FEEDS_QUEUE, connection=raw_connection(db), lock=f"feed {record.feed_id}"
    )
    job.defer(workspace_id=str(record.workspace_id), import_id=str(record.id))


def run_import(db: Session, feed: Feed, record: FeedImport, file: BinaryIO, progress: Progress | None = None) -> None:
    """Bring an import's file into its feed, or hold it. Raises InvalidFileError; then the transaction must be rolled back."""
    db.refresh(feed, with_for_update=FOR_NO_KEY_UPDATE)  # one import of a feed at a time
    records = open_records(file)
    entries = iter(records)
    first = list(islice(entries, SAMPLE))
    sample = Table(records.columns, [entry[1] for entry in first if not isinstance(entry, Invalid)])
    shape = shape_for(feed, sample)
    db.execute(text("CREATE TEMPORARY TABLE staged (position int, line int, key text, data jsonb) ON COMMIT DROP"))
    db.execute(text("SET LOCAL work_mem = '64MB'"))
    counted = _counted(chain(first, entries), records, record, progress)
    _stage(db, record, keyed_rows(counted, shape, records.notes))
    _count(db, feed, record)
    record.columns, record.notes = shape.names(records.columns), list(records.notes)
    if not record.confirmed and record.removed * 100 > feed.item_count * feed.guard_percent:
        record.state = "held"
    else:
        feed.shape = shape.model_dump(mode="json")
        _apply(db, feed, record)
    record.finished_at = datetime.now(UTC)
    db.flush()
    waited = (*_of_feed(feed), FeedImport.number < record.number, FeedImport.state == "held")
    db.execute(update(FeedImport).where(*waited).values(state="discarded"))
    db.execute(text("DROP TABLE staged"))


def shape_for(feed: Feed, sample: Table) -> Shape:
    """The feed's shape, with guesses for what it does not say. Raises InvalidFileError when the key's columns are not there."""
    return Shape.model_validate(feed.shape).completed(sample) if feed.shape else guess_shape(sample)


def fail_import(db: Session, record: FeedImport, why: str) -> None:
    """An import came to nothing."""
    record.state, record.trouble, record.finished_at = "failed", why[:500], datetime.now(UTC)


def apply_held(db: Session, held: FeedImport) -> None:
    """Have an import that was held brought in after all. Raises ImportNotHeldError."""
    _take(db, held)
    held.state, held.confirmed, held.finished_at = "queued", True, None
    enqueue(db, held)


def discard_held(db: Session, held: FeedImport) -> None:
    """Decide against an import that was held. Raises ImportNotHeldError."""
    _take(db, held)
    held.state = "discarded"
    forget_file(db, held)


def list_imports(db: Session, feed: Feed, limit: int = HISTORY) -> list[FeedImport]:
    """The feed's imports, newest first."""
    mine = select(FeedImport).where(*_of_feed(feed))
    return list(db.scalars(mine.order_by(FeedImport.number.desc()).limit(limit)))


def find_import(db: Session, feed: Feed, number: int) -> FeedImport | None:
    """The feed's import of a number."""
    return db.scalar(select(FeedImport).where(*_of_feed(feed), FeedImport.number == number))


def newest_kept(db: Session, feed: Feed) -> FeedImport | None:
    """The newest import of the feed whose file is still kept."""
    kept = select(FilePart.import_id).where(FilePart.workspace_id == feed.workspace_id, FilePart.part == 0)
    return db.scalar(
        select(FeedImport).where(*_of_feed(feed), FeedImport.id.in_(kept)).order_by(FeedImport.number.desc()).limit(1)
    )


def invalid_rows(db: Session, record: FeedImport, after: int = 0, limit: int = MAX_INVALID) -> list[InvalidRow]:
    """The rows that an import left out, in order, those after a number."""
    mine = select(InvalidRow).where(
        InvalidRow.workspace_id == record.workspace_id,
        InvalidRow.import_id == record.id,
        InvalidRow.number > after,
    )
    return list(db.scalars(mine.order_by(InvalidRow.number).limit(limit)))


def next_revision(db: Session, feed: Feed, *, wait: int = 0) -> int:
    """The number of a change of the feed's rows, which is about to be made under its lock. Its followers are told.

    Arguments:
        wait: seconds until they are, so that several changes are told as one.
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
        "runs.follow_feed",
        queue=FEEDS_QUEUE,
        once=f"follow {feed.id}",
        wait=wait,
        workspace_id=str(feed.workspace_id),
        feed_id=str(feed.id),
    )
    return feed.revision


def _counted(
    entries: Iterable[Entry], records: Records, record: FeedImport, progress: Progress | None
) -> Iterator[Entry]:
    """The entries, counted, while the progress is told now and then."""
    for number, entry in enumerate(entries, 1):
        if number % BATCH == 0 and progress is not None:
            progress(number, records.percent)
        yield entry
    record.rows_read, record.percent = number, 100


def _stage(db: Session, record: FeedImport, rows: Iterable[tuple[int, str, Row] | Invalid]) -> None:
    """Write the rows into the staging table, and down those that are left out. Of rows with one key the first stays."""
    lines: list[bytes] = []
    left: list[Invalid] = []
    taken = record.invalid = 0
    # COPY is not for tables behind row-level security: it fills a table of this transaction's own first.
    cursor = raw_connection(db).cursor()
    with cursor.copy("COPY staged FROM STDIN") as copy:
        for entry in rows:
            if isinstance(entry, Invalid):
                record.invalid += 1
                if len(left) < MAX_INVALID:
                    left.append(entry)
                continue
            line, key, row = entry
            if not key.isprintable():
                key = _storable(key)
            taken += 1
            lines.append(_line(taken, line, key, row))
            if len(lines) == BATCH:
                copy.write(b"".join(lines))
                lines.clear()
        copy.write(b"".join(lines))
    db.execute(delete(InvalidRow).where(*_of(record)))
    if left:
        db.execute(insert(InvalidRow), [_left_out(record, number, each) for number, each in enumerate(left, 1)])
    if db.scalar(_IS_TWICE):
        names = {"workspace": record.workspace_id, "import": record.id, "number": len(left)}
        db.execute(_NOTE_TWICE, names | {"most": MAX_INVALID - len(left)})
        record.invalid += db.execute(_REMOVE_TWICE).rowcount  # type: ignore[attr-defined]


def _left_out(record: FeedImport, number: int, invalid: Invalid) -> dict[str, object]:
    row = {_storable(name): _storable(value) for name, value in invalid.row.items()}
    place = {"workspace_id": record.workspace_id, "import_id": record.id, "number": number, "line": invalid.line}
    return place | {"reason": _storable(invalid.reason), "data": row}


def _of_feed(feed: Feed) -> tuple[ColumnElement[bool], ...]:
    return FeedImport.workspace_id == feed.workspace_id, FeedImport.feed_id == feed.id


def _of(record: FeedImport) -> tuple[ColumnElement[bool], ...]:
    return InvalidRow.workspace_id == record.workspace_id, InvalidRow.import_id == record.id


def _line(position: int, line: int, key: str, row: Row) -> bytes:
    """A row in PostgreSQL's text format for COPY."""
    try:
        data = orjson.dumps(row)
    except orjson.JSONEncodeError:
        data = b"\\u0000"
    if data.find(b"\\") >= 0:
        if b"\\u0000" in data:  # what cannot be stored; rare, and looked for only then
            data = orjson.dumps({_storable(name): _storable(value) for name, value in row.items()})
        data = data.replace(b"\\", b"\\\\")
    if "\\" in key or not key.isprintable():
        key = key.translate(_escapes)
    return b"%d\t%d\t%b\t%b\n" % (position, line, key.encode(), data)


def _storable(text: str) -> str:
    return _unstorable.sub("", text)


def _count(db: Session, feed: Feed, record: FeedImport) -> None:
    if not feed.item_count:
        record.added = db.scalar(text("SELECT count(*) FROM staged")) or 0
        record.changed = record.unchanged = record.removed = 0
        return
    db.execute(text("ANALYZE staged"))
    counts = db.execute(_COUNT, {"workspace": record.workspace_id, "feed": record.feed_id}).one()
    record.added, record.changed, record.unchanged, record.removed = counts


def _apply(db: Session, feed: Feed, record: FeedImport) -> None:
    if record.added or record.changed or record.removed:
        record.revision = next_revision(db, feed)
        names = {"workspace": feed.workspace_id, "feed": feed.id, "revision": record.revision}
        last = db.scalar(_LAST, names)
        add = (text(_ADD_NEW if feed.item_count else _ADD_ALL),)
        for count, statements in ((record.removed, _REMOVE), (record.changed, _CHANGE), (record.added, add)):
            for statement in statements if count else ():
                db.execute(statement, names | {"last": last})
    record.state = "applied"
    feed.item_count = record.added + record.changed + record.unchanged
    feed.columns, feed.notes, feed.file_name = record.columns, record.notes, record.file_name
    feed.imported_at = db.scalar(text("SELECT now()"))
    _forget_earlier(db, feed, record)


def _forget_earlier(db: Session, feed: Feed, record: FeedImport) -> None:
    """What was kept for earlier imports: the file that is replaced now, and rows that were left out long ago."""
    earlier = select(FeedImport.id).where(*_of_feed(feed))
    for model, before in ((FilePart, record.number), (InvalidRow, record.number - KEPT_IMPORTS)):
        ids = earlier.where(FeedImport.number < before)
        db.execute(delete(model).where(model.workspace_id == feed.workspace_id, model.import_id.in_(ids)))


def _take(db: Session, held: FeedImport) -> None:
    """See that an import still waits, under its feed's lock. Raises ImportNotHeldError."""
    feed = db.get_one(Feed, (held.workspace_id, held.feed_id), with_for_update=FOR_NO_KEY_UPDATE)
    db.refresh(held)
    if held.state != "held":
        raise ImportNotHeldError("This import was decided on already, or a newer one came")
    if db.scalar(select(exists().where(*_of_feed(feed), FeedImport.state == "queued"))):
        raise ImportNotHeldError("A newer import is on its way; wait for it")

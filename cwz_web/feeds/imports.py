"""Bringing a file in: its rows are staged, compared with the feed's, and applied all at once, or not at all.

The file is read as a stream, and the database does the comparing, so that a million rows take no more memory than a
hundred. An import that would remove more of the feed than its guard allows is held until somebody says so: a shop's
export that suddenly has three rows is more likely broken than true. Rows that stay keep their place; new ones come
last.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import BinaryIO
from uuid import UUID

import orjson
from psycopg.copy import QueuedLibpqWriter
from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.db.session import raw_connection
from cwz_web.feeds.files import open_records
from cwz_web.feeds.models import Feed, FeedImport, StagedItem
from cwz_web.feeds.tables import Records, Row, Table
from cwz_web.feeds.variants import keyed_rows, plan_keys

HISTORY = 50
# From so many first rows it is guessed by what the rows can be known.
SAMPLE = 1000
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
# A key that comes again gets a number, as often as it takes for all to differ.
_TELL_APART = text("""
    UPDATE staged s SET key = s.key || ' #' || d.n
    FROM (SELECT position, row_number() OVER (PARTITION BY key ORDER BY position) AS n FROM staged) d
    WHERE d.position = s.position AND d.n > 1
""")
_REMOVE = text("""
    DELETE FROM items i WHERE workspace_id = :workspace AND feed_id = :feed
           AND NOT EXISTS (SELECT FROM staged s WHERE s.key = i.key)
""")
_CHANGE = text("""
    UPDATE items i SET data = s.data, changed_at = now() FROM staged s
    WHERE i.workspace_id = :workspace AND i.feed_id = :feed AND i.key = s.key AND i.data <> s.data
""")
_ADD = text("""
    INSERT INTO items (workspace_id, feed_id, position, key, data)
    SELECT :workspace, :feed, s.position + last.position, s.key, s.data FROM staged s,
           (SELECT coalesce(max(position), 0) AS position FROM items
            WHERE workspace_id = :workspace AND feed_id = :feed) AS last
    WHERE NOT EXISTS (SELECT FROM items i WHERE i.workspace_id = :workspace AND i.feed_id = :feed AND i.key = s.key)
""")


class NotHeld(Exception):
    """The import does not wait to be applied: it was decided on, or a newer one came."""


def new_feed(
    db: Session, workspace_id: UUID, *, name: str, file_name: str, file: BinaryIO, started_by: UUID | None = None
) -> Feed:
    """Make a feed of a file. Raises BadFile, and then there is none."""
    records, rows, sample = _begin(file)
    plan = plan_keys(sample)
    feed = Feed(
        workspace_id=workspace_id,
        name=name,
        file_name=file_name[-200:],
        columns=[],
        key_columns=plan.columns,
        notes=[],
        item_count=0,
    )
    db.add(feed)
    db.flush()
    _import(db, feed, records, keyed_rows(rows, plan, records.notes), file_name, started_by)
    return feed


def import_file(
    db: Session, feed: Feed, *, file_name: str, file: BinaryIO, started_by: UUID | None = None
) -> FeedImport:
    """Bring a newer file of the same kind into a feed. Raises BadFile; then the transaction must be rolled back."""
    records, rows, sample = _begin(file)
    plan = plan_keys(sample, feed.key_columns)
    return _import(db, feed, records, keyed_rows(rows, plan, records.notes), file_name, started_by)


def _begin(file: BinaryIO) -> tuple[Records, Iterator[Row], Table]:
    """A file's rows as a stream, of which the first ones have been looked at."""
    records = open_records(file)
    rows = iter(records)
    first = list(islice(rows, SAMPLE))
    return records, chain(first, rows), Table(records.columns, first)


def apply_held(db: Session, held: FeedImport) -> None:
    """Apply an import that was held. Raises NotHeld."""
    feed = _take(db, held)
    _stage_table(db)
    db.execute(
        text(
            "INSERT INTO staged SELECT position, key, data FROM staged_items"
            " WHERE workspace_id = :workspace AND import_id = :import"
        ),
        {"workspace": held.workspace_id, "import": held.id},
    )
    _count(db, held)
    _apply(db, feed, held)
    _forget_staged(db, held)


def discard_held(db: Session, held: FeedImport) -> None:
    """Decide against an import that was held. Raises NotHeld."""
    _take(db, held)
    held.state = "discarded"
    _forget_staged(db, held)


def list_imports(db: Session, feed: Feed) -> list[FeedImport]:
    """The feed's imports, newest first."""
    mine = select(FeedImport).where(FeedImport.workspace_id == feed.workspace_id, FeedImport.feed_id == feed.id)
    return list(db.scalars(mine.order_by(FeedImport.number.desc()).limit(HISTORY)))


def find_import(db: Session, feed: Feed, number: int) -> FeedImport | None:
    """The feed's import of a number."""
    return db.scalar(
        select(FeedImport).where(
            FeedImport.workspace_id == feed.workspace_id,
            FeedImport.feed_id == feed.id,
            FeedImport.number == number,
        )
    )


def _import(
    db: Session,
    feed: Feed,
    records: Records,
    rows: Iterable[tuple[str, Row]],
    file_name: str,
    started_by: UUID | None,
) -> FeedImport:
    db.refresh(feed, with_for_update=True)  # one import of a feed at a time
    _stage_table(db)
    _stage(db, rows)
    feed.import_number += 1
    record = FeedImport(
        workspace_id=feed.workspace_id,
        id=uuid7(),
        feed_id=feed.id,
        number=feed.import_number,
        file_name=file_name[-200:],
        columns=records.columns,
        notes=list(records.notes),
        started_by=started_by,
    )
    _count(db, record)
    db.add(record)
    if record.removed * 100 > feed.item_count * feed.guard_percent:
        record.state = "held"
        db.flush()
        db.execute(
            text("INSERT INTO staged_items SELECT :workspace, :import, position, key, data FROM staged"),
            {"workspace": feed.workspace_id, "import": record.id},
        )
    else:
        _apply(db, feed, record)
    db.flush()
    db.execute(text("DROP TABLE staged"))
    return record


def _stage_table(db: Session) -> None:
    # COPY is not for tables behind row-level security: it fills a table of this transaction's own first.
    db.execute(text("CREATE TEMPORARY TABLE staged (position int, key text, data jsonb) ON COMMIT DROP"))
    db.execute(text("SET LOCAL work_mem = '64MB'"))


def _stage(db: Session, rows: Iterable[tuple[str, Row]]) -> None:
    """Write the rows into the staging table; keys that come again are told apart."""
    seen: set[int] = set()
    lines: list[bytes] = []
    position = 0
    cursor = raw_connection(db).cursor()
    # Written by a thread: while PostgreSQL takes a batch, the next one is read.
    with cursor.copy("COPY staged FROM STDIN", writer=QueuedLibpqWriter(cursor)) as copy:
        for position, (key, row) in enumerate(rows, 1):
            seen.add(hash(key))
            lines.append(_line(position, key, row))
            if len(lines) == BATCH:
                copy.write(b"".join(lines))
                lines.clear()
        copy.write(b"".join(lines))
    while len(seen) < position:
        if not db.execute(_TELL_APART).rowcount:  # type: ignore[attr-defined]
            break
    db.execute(text("ANALYZE staged"))


def _line(position: int, key: str, row: Row) -> bytes:
    """A row in PostgreSQL's text format for COPY."""
    try:
        data = orjson.dumps(row)
    except orjson.JSONEncodeError:
        data = b"\\u0000"
    if b"\\u0000" in data:  # what can not be stored; rare, and looked for only then
        data = orjson.dumps({_storable(name): _storable(value) for name, value in row.items()})
        key = _storable(key)
    if "\\" in key or not key.isprintable():
        key = key.translate(_escapes)
    return b"%d\t%b\t%b\n" % (position, key.encode(), data.replace(b"\\", b"\\\\"))


def _storable(text: str) -> str:
    return _unstorable.sub("", text)


def _count(db: Session, record: FeedImport) -> None:
    counts = db.execute(_COUNT, {"workspace": record.workspace_id, "feed": record.feed_id}).one()
    record.added, record.changed, record.unchanged, record.removed = counts


def _apply(db: Session, feed: Feed, record: FeedImport) -> None:
    names = {"workspace": feed.workspace_id, "feed": feed.id}
    for count, statement in ((record.removed, _REMOVE), (record.changed, _CHANGE), (record.added, _ADD)):
        if count:
            db.execute(statement, names)
    record.state = "applied"
    feed.item_count = record.added + record.changed + record.unchanged
    feed.columns, feed.notes, feed.file_name = record.columns, record.notes, record.file_name
    feed.imported_at = db.scalar(text("SELECT now()"))


def _take(db: Session, held: FeedImport) -> Feed:
    """The feed of an import that still waits, locked. Raises NotHeld."""
    feed = db.get_one(Feed, (held.workspace_id, held.feed_id), with_for_update=True)
    db.refresh(held)
    if held.state != "held":
        raise NotHeld("This import was decided on already")
    if held.number != feed.import_number:
        raise NotHeld("A newer import came since; this one can only be discarded")
    return feed


def _forget_staged(db: Session, held: FeedImport) -> None:
    db.execute(delete(StagedItem).where(StagedItem.workspace_id == held.workspace_id, StagedItem.import_id == held.id))

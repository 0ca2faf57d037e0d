"""Rows that a shop pushes: added, changed and removed by their key, without a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.orm import Session

from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.feeds.imports import next_revision
from cwz_web.feeds.limits import MAX_COLUMNS, MAX_ROWS, Row
from cwz_web.feeds.models import Feed, Item, ItemVersion

# A shop that pushes one row after the other is rendered once it is quiet for so many seconds.
QUIET = 30


class TooManyRowsError(Exception):
    """The feed would have more rows or columns than one may have."""


@dataclass(frozen=True)
class Pushed:
    """What became of pushed rows."""

    added: int
    changed: int
    unchanged: int


def put_items(db: Session, feed: Feed, rows: Mapping[str, Row]) -> Pushed:
    """Add rows under their keys, or put them in the place of those that are there. Raises TooManyRowsError."""
    db.refresh(feed, with_for_update=FOR_NO_KEY_UPDATE)
    there = {item.key: item for item in _items(db, feed, list(rows))}
    changed = {key: row for key, row in rows.items() if key in there and there[key].data != row}
    added = {key: row for key, row in rows.items() if key not in there}
    pushed = Pushed(len(added), len(changed), len(rows) - len(added) - len(changed))
    if not added and not changed:
        return pushed
    names = dict.fromkeys([*feed.columns, *(name for row in rows.values() for name in row)])
    if feed.item_count + len(added) > MAX_ROWS:
        raise TooManyRowsError(f"A feed has {MAX_ROWS:,} rows at most")
    if len(names) > MAX_COLUMNS:
        raise TooManyRowsError(f"A feed has {MAX_COLUMNS} columns at most")
    revision = next_revision(db, feed, wait=QUIET)
    _remember(db, [there[key] for key in changed], revision, removed=False)
    for key, row in changed.items():
        item = there[key]
        item.data, item.revision, item.changed_at = row, revision, datetime.now(UTC)
    if added:
        last = db.scalar(select(Item.position).where(*_of(feed)).order_by(Item.position.desc()).limit(1)) or 0
        place = {"workspace_id": feed.workspace_id, "feed_id": feed.id, "revision": revision}
        db.execute(
            insert(Item),
            [place | {"position": last + n, "key": key, "data": row} for n, (key, row) in enumerate(added.items(), 1)],
        )
    feed.columns = list(names)
    _came(feed, len(added))
    return pushed


def delete_items(db: Session, feed: Feed, keys: Sequence[str]) -> int:
    """Remove rows by their keys. Returns how many there were."""
    db.refresh(feed, with_for_update=FOR_NO_KEY_UPDATE)
    gone = _items(db, feed, keys)
    if gone:
        revision = next_revision(db, feed, wait=QUIET)
        _remember(db, gone, revision, removed=True)
        db.execute(delete(Item).where(*_of(feed), Item.position.in_([item.position for item in gone])))
        _came(feed, -len(gone))
    return len(gone)


def _items(db: Session, feed: Feed, keys: Sequence[str]) -> list[Item]:
    return list(db.scalars(select(Item).where(*_of(feed), Item.key.in_(keys))))


def _remember(db: Session, items: Sequence[Item], revision: int, *, removed: bool) -> None:
    if not items:
        return
    db.execute(
        insert(ItemVersion),
        [
            {
                "workspace_id": item.workspace_id,
                "feed_id": item.feed_id,
                "key": item.key,
                "revision": revision,
                "data": item.data,
                "removed": removed,
            }
            for item in items
        ],
    )


def _came(feed: Feed, more: int) -> None:
    feed.item_count += more
    feed.imported_at = datetime.now(UTC)


def _of(feed: Feed) -> tuple[ColumnElement[bool], ...]:
    return Item.workspace_id == feed.workspace_id, Item.feed_id == feed.id

"""Writes of single rows by their key, as the API does them: add, replace and remove, without a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.orm import Session

from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.feeds.import_guard import Baseline
from cwz_web.feeds.imports import begin_revision, last_baseline_position
from cwz_web.feeds.limits import MAX_COLUMNS, MAX_ROWS
from cwz_web.feeds.models import Feed, Item, ItemVersion
from cwz_web.feeds.records import Row
from cwz_web.feeds.row_data import equal_rows

# Automatic runs wait this many seconds after a write, so that several writes start one run.
QUIET_SECONDS = 30


class FeedFullError(Exception):
    """The feed would exceed the maximum number of rows or columns."""


@dataclass(frozen=True)
class WriteResult:
    """How many rows were added, changed, and already equal."""

    added: int
    changed: int
    unchanged: int


def put_items(db: Session, feed: Feed, rows: Mapping[str, Row]) -> WriteResult:
    """Add rows, or replace the ones with the same keys.

    Args:
        db: The session.
        feed: The feed; it is locked until the end of the transaction.
        rows: The complete rows by key, under the feed's column names, without empty cells.

    Raises:
        FeedFullError: The feed would have too many rows or columns.
    """
    db.refresh(feed, with_for_update=FOR_NO_KEY_UPDATE)
    existing = {item.key: item for item in _find_by_keys(db, feed, list(rows))}
    changed = {key: row for key, row in rows.items() if key in existing and not equal_rows(existing[key].data, row)}
    added = {key: row for key, row in rows.items() if key not in existing}
    result = WriteResult(len(added), len(changed), len(rows) - len(added) - len(changed))
    if not added and not changed:
        return result
    columns = dict.fromkeys([*feed.columns, *(name for row in rows.values() for name in row)])
    if feed.item_count + len(added) > MAX_ROWS:
        raise FeedFullError(f"A feed can have at most {MAX_ROWS:,} rows")
    if len(columns) > MAX_COLUMNS:
        raise FeedFullError(f"A feed can have at most {MAX_COLUMNS} columns")
    revision = begin_revision(db, feed, wait=QUIET_SECONDS)
    _record_versions(db, [existing[key] for key in changed], revision, removed=False)
    for key, row in changed.items():
        item = existing[key]
        item.data, item.revision, item.changed_at = row, revision, datetime.now(UTC)
    if added:
        last = db.scalar(select(Item.position).where(*_of(feed)).order_by(Item.position.desc()).limit(1)) or 0
        last = max(last, last_baseline_position(feed))
        owner = {"workspace_id": feed.workspace_id, "feed_id": feed.id, "revision": revision}
        db.execute(
            insert(Item),
            [owner | {"position": last + n, "key": key, "data": row} for n, (key, row) in enumerate(added.items(), 1)],
        )
    feed.columns = list(columns)
    _update_counts(feed, len(added))
    return result


def delete_items(db: Session, feed: Feed, keys: Sequence[str]) -> int:
    """Delete rows by their keys. Return how many there were."""
    db.refresh(feed, with_for_update=FOR_NO_KEY_UPDATE)
    deleted = _find_by_keys(db, feed, keys)
    if deleted:
        revision = begin_revision(db, feed, wait=QUIET_SECONDS)
        _record_versions(db, deleted, revision, removed=True)
        db.execute(delete(Item).where(*_of(feed), Item.position.in_([item.position for item in deleted])))
        _update_counts(feed, -len(deleted))
        _shrink_baseline(feed, deleted)
    return len(deleted)


def _find_by_keys(db: Session, feed: Feed, keys: Sequence[str]) -> list[Item]:
    return list(db.scalars(select(Item).where(*_of(feed), Item.key.in_(keys))))


def _record_versions(db: Session, items: Sequence[Item], revision: int, *, removed: bool) -> None:
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


def _update_counts(feed: Feed, difference: int) -> None:
    feed.item_count += difference
    feed.imported_at = datetime.now(UTC)


def _shrink_baseline(feed: Feed, deleted: Sequence[Item]) -> None:
    """Deduct rows that were deleted from the baseline, so that the guard of imports does not count them as removed."""
    if feed.baseline is None:
        return
    baseline = Baseline.model_validate(feed.baseline)
    first = sum(item.position <= last_baseline_position(feed) for item in deleted)
    update = {"rows": max(baseline.rows - len(deleted), 0), "first_rows": max(baseline.first_rows - first, 0)}
    feed.baseline = baseline.model_copy(update=update).model_dump(mode="json")


def _of(feed: Feed) -> tuple[ColumnElement[bool], ...]:
    return Item.workspace_id == feed.workspace_id, Item.feed_id == feed.id

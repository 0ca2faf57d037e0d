"""What an import has changed: the rows that it added, changed and removed, with their values before and after.

A changed or removed row is stored as it was before (ItemVersion). How it was after an import is what a later revision
replaced, or else what it is now. Of added rows the keys are stored, up to MAX_ADDED for each import; those of the first
import are not, since all its rows are new.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from cwz_web.feeds.models import AddedRow, Feed, FeedImport, ItemVersion
from cwz_web.feeds.queries import PAGE_SIZE, list_items_by_keys, list_replaced_rows

# So many keys of added rows are stored for each import.
MAX_ADDED = 10_000
_RECORD_ADDED = text("""
    INSERT INTO added_rows (workspace_id, import_id, key)
    SELECT :workspace, :import, s.key FROM staged s
    WHERE NOT EXISTS (SELECT FROM items i WHERE i.workspace_id = :workspace AND i.feed_id = :feed AND i.key = s.key)
    ORDER BY s.position LIMIT :limit
""")


class ChangeKind(StrEnum):
    """What an import does to a row."""

    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True)
class RowChange:
    """A row before and after an import; empty if it did not exist, None if it is no longer stored."""

    key: str
    before: dict[str, str]
    after: dict[str, str] | None

    @property
    def changed_columns(self) -> list[str]:
        """The columns with another value, in the order of the row."""
        after = self.after or {}
        return [name for name in dict.fromkeys([*after, *self.before]) if self.before.get(name) != after.get(name)]


def record_added_rows(db: Session, feed: Feed, record: FeedImport) -> None:
    """Store the keys of the staged rows that the feed does not have, before they are added."""
    values = {"workspace": feed.workspace_id, "feed": feed.id, "import": record.id, "limit": MAX_ADDED}
    db.execute(_RECORD_ADDED, values)


def list_changes(
    db: Session, feed: Feed, record: FeedImport, kind: ChangeKind, after: str = "", limit: int = PAGE_SIZE
) -> list[RowChange]:
    """Return rows that an applied import has changed, sorted by key.

    Args:
        db: A transaction in the workspace.
        feed: The feed.
        record: The import.
        kind: What it did to the rows.
        after: Only rows after this key.
        limit: At most so many rows.
    """
    if record.revision is None:
        return []
    if kind == ChangeKind.ADDED:
        keys = list_added_keys(db, record, after, limit)
        values = _values_after(db, feed, record.revision, keys)
        return [RowChange(key, {}, values.get(key)) for key in keys]
    is_removed = kind == ChangeKind.REMOVED
    versions = list_replaced_rows(db, feed, record.revision, removed=is_removed, after=after, limit=limit)
    if is_removed:
        return [RowChange(version.key, version.data, {}) for version in versions]
    values = _values_after(db, feed, record.revision, [version.key for version in versions])
    return [RowChange(version.key, version.data, values.get(version.key)) for version in versions]


def list_added_keys(db: Session, record: FeedImport, after: str, limit: int) -> list[str]:
    """Return keys of the rows that an import added, sorted."""
    query = select(AddedRow.key).where(
        AddedRow.workspace_id == record.workspace_id, AddedRow.import_id == record.id, AddedRow.key > after
    )
    return list(db.scalars(query.order_by(AddedRow.key).limit(limit)))


def _values_after(db: Session, feed: Feed, revision: int, keys: Collection[str]) -> dict[str, dict[str, str]]:
    """Return how rows were after a revision, by key: as a later revision replaced them, or as they are now."""
    query = (
        select(ItemVersion.key, ItemVersion.data)
        .where(
            ItemVersion.workspace_id == feed.workspace_id,
            ItemVersion.feed_id == feed.id,
            ItemVersion.key.in_(keys),
            ItemVersion.revision > revision,
        )
        .ext(distinct_on(ItemVersion.key))
        .order_by(ItemVersion.key, ItemVersion.revision)
    )
    replaced = {row.key: row.data for row in db.execute(query)}
    items = list_items_by_keys(db, feed, [key for key in keys if key not in replaced])
    return replaced | {key: item.data for key, item in items.items()}

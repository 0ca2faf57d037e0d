"""Queries for feeds and their items, with keyset pagination by position, key or rank.

A text in any column cannot be found by an index. Such a search scans rows for a bounded time and returns where it
stopped, so that the next request continues from there: no request is slow, however many rows the feed has.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from cwz_web.feeds.models import Feed, Item, ItemVersion, SortIndexEntry
from cwz_web.feeds.variants import clean_key
from cwz_web.i18n import gettext_noop

PAGE_SIZE = 50
HIGHEST_CHARACTER = "\U0010ffff"
# A search scans this many rows a query, for this long a request.
SCAN_STEP = 2000
SCAN_SECONDS = 0.04


class ChangeFilter(StrEnum):
    """Which rows to show by what the last revision of the feed did to them, or what the last run found in them."""

    ALL = ""
    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"
    FINDINGS = "findings"


CHANGE_FILTER_LABELS = {
    ChangeFilter.ALL: gettext_noop("All rows"),
    ChangeFilter.NEW: gettext_noop("Added in the last import"),
    ChangeFilter.CHANGED: gettext_noop("Changed in the last import"),
    ChangeFilter.REMOVED: gettext_noop("Removed in the last import"),
    ChangeFilter.FINDINGS: gettext_noop("With findings in the last run"),
}


@dataclass(frozen=True)
class RowQuery:
    """Which rows of a feed to show, and in which order.

    Attributes:
        text: The text to find, ignoring case.
        column: The column to search; "" for all columns and the key.
        state: Only rows that the last revision added or changed.
        sort: The column to sort by, prefixed by - for descending order; "" for the file's order.
    """

    text: str = ""
    column: str = ""
    state: ChangeFilter = ChangeFilter.ALL
    sort: str = ""

    @property
    def is_filter(self) -> bool:
        """Whether the query excludes rows."""
        return bool(self.text or self.state)


@dataclass
class RowPage:
    """A page of rows.

    Attributes:
        items: The rows.
        next_after: The position or rank after which the next page begins; 0 on the last page.
        scanned: The number of rows that were scanned.
    """

    items: list[Item] = field(default_factory=list)
    next_after: int = 0
    scanned: int = 0


def list_feeds(db: Session, workspace_id: UUID, limit: int = 1000) -> list[Feed]:
    """Return the workspace's feeds, newest first, without deleted ones."""
    query = select(Feed).where(Feed.workspace_id == workspace_id, Feed.deleted_at.is_(None))
    return list(db.scalars(query.order_by(Feed.id.desc()).limit(limit)))


def list_feed_names(db: Session, workspace_id: UUID, limit: int = 200) -> dict[str, str]:
    """Return the names of the newest feeds by id, in the order of their names."""
    newest = select(Feed.id, Feed.name).where(Feed.workspace_id == workspace_id, Feed.deleted_at.is_(None))
    rows = db.execute(newest.order_by(Feed.id.desc()).limit(limit))
    return {str(row.id): row.name for row in sorted(rows, key=lambda row: row.name.casefold())}


def list_items(db: Session, feed: Feed, position: int = 0, limit: int = PAGE_SIZE) -> list[Item]:
    """Return items of a feed, in the file's order.

    Args:
        db: a transaction in the workspace.
        feed: the feed.
        position: only items after this position.
        limit: at most so many items.
    """
    query = select(Item).where(*_of(feed), Item.position > position)
    return list(db.scalars(query.order_by(Item.position).limit(limit)))


def find_item(db: Session, feed: Feed, key: str) -> Item | None:
    """Return the feed's item with a key, which may be written as in a file, or None."""
    return db.scalar(select(Item).where(*_of(feed), Item.key == clean_key(key)))


def find_items(db: Session, feed: Feed, query: RowQuery, after: int = 0, limit: int = PAGE_SIZE) -> RowPage:
    """Return a page of the items that match a query.

    Args:
        db: The session.
        feed: The feed.
        query: The query. If it is sorted, `sort_index.ensure_sort_index` must have returned True.
        after: The position or rank after which the page begins.
        limit: The size of a page.
    """
    order, in_order = _ordering(feed, query)
    page = RowPage(next_after=after)
    deadline = time.monotonic() + SCAN_SECONDS
    step = SCAN_STEP if query.is_filter else limit
    while True:
        window = (
            select(order.label("position"))
            .where(*in_order, order > page.next_after)
            .order_by(order)
            .limit(step)
            .subquery()
        )
        last, scanned = db.execute(select(func.max(window.c.position), func.count()).select_from(window)).one()
        if not scanned:
            page.next_after = 0
            return page
        room = limit - len(page.items)
        rows = db.execute(
            select(Item, order)
            .where(*in_order, *_of(feed), order > page.next_after, order <= last, *_filters(feed, query))
            .order_by(order)
            .limit(room)
        ).all()
        page.items += [item for item, _ in rows]
        page.scanned += scanned
        is_full = len(rows) == room
        page.next_after = rows[-1][1] if is_full else last if scanned == step else 0
        if is_full or not page.next_after or time.monotonic() > deadline:
            return page


def list_items_by_key_prefix(
    db: Session, feed: Feed, prefix: str, after: str = "", limit: int = PAGE_SIZE
) -> list[Item]:
    """Return the items of a feed whose key begins with a prefix, sorted by key.

    Args:
        db: a transaction in the workspace.
        feed: the feed.
        prefix: the start of the key.
        after: only items after this key.
        limit: at most so many items.
    """
    return list(
        db.scalars(
            select(Item)
            .where(
                *_of(feed),
                Item.key.startswith(prefix, autoescape=True),
                # Under row-level security only a range uses the index; LIKE alone would scan all rows.
                Item.key >= prefix,
                Item.key < f"{prefix}{HIGHEST_CHARACTER}",
                Item.key > after,
            )
            .order_by(Item.key)
            .limit(limit)
        )
    )


def list_items_by_keys(db: Session, feed: Feed, keys: Collection[str]) -> dict[str, Item]:
    """Return the items of a feed that have one of some keys, by key."""
    items = db.scalars(select(Item).where(*_of(feed), Item.key.in_(keys)))
    return {item.key: item for item in items}


def list_replaced_rows(
    db: Session, feed: Feed, revision: int, *, removed: bool, after: str = "", limit: int = PAGE_SIZE
) -> list[ItemVersion]:
    """Return the rows that a revision removed or changed, as they were before, sorted by key.

    Args:
        db: a transaction in the workspace.
        feed: the feed.
        revision: the revision.
        removed: whether to return the removed rows, or the changed ones.
        after: only rows after this key.
        limit: at most so many rows.
    """
    query = select(ItemVersion).where(
        ItemVersion.workspace_id == feed.workspace_id,
        ItemVersion.feed_id == feed.id,
        ItemVersion.revision == revision,
        ItemVersion.removed == removed,
        ItemVersion.key > after,
    )
    return list(db.scalars(query.order_by(ItemVersion.key).limit(limit)))


def list_versions(db: Session, feed: Feed, key: str) -> list[ItemVersion]:
    """Return the earlier versions of the item with a key, newest first."""
    query = select(ItemVersion).where(
        ItemVersion.workspace_id == feed.workspace_id, ItemVersion.feed_id == feed.id, ItemVersion.key == key
    )
    return list(db.scalars(query.order_by(ItemVersion.revision.desc())))


def _ordering(feed: Feed, query: RowQuery) -> tuple[Any, tuple[ColumnElement[bool], ...]]:
    """Return the column that orders the rows, and the conditions that select its table's rows of the feed."""
    if not query.sort:
        return Item.position, _of(feed)
    return SortIndexEntry.rank, (
        SortIndexEntry.workspace_id == feed.workspace_id,
        SortIndexEntry.feed_id == feed.id,
        SortIndexEntry.sort == query.sort,
        SortIndexEntry.revision == feed.revision,
    )


def _filters(feed: Feed, query: RowQuery) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    if query.sort:
        filters.append(Item.position == SortIndexEntry.position)
    if query.state:
        is_state = Item.changed_at.is_not(None) if query.state == ChangeFilter.CHANGED else Item.changed_at.is_(None)
        filters += [Item.revision == feed.revision, is_state]
    if query.text and query.column:
        filters.append(Item.data[query.column].astext.icontains(query.text, autoescape=True))
    elif query.text:
        values = func.jsonb_each_text(Item.data).table_valued("key", "value")
        anywhere = exists().select_from(values).where(values.c.value.icontains(query.text, autoescape=True))
        filters.append(anywhere | Item.key.icontains(query.text, autoescape=True))
    return filters


def _of(feed: Feed) -> tuple[ColumnElement[bool], ...]:
    return Item.workspace_id == feed.workspace_id, Item.feed_id == feed.id

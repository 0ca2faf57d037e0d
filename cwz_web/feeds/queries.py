"""Looking at feeds and their items. Pages go by position, key or rank, so the last page costs what the first does.

What no index can find (a text in any column) is looked for row by row, for a moment a request: each page says how far
it has looked, and the next one goes on from there. So no request is slow, however many rows there are.
"""

import time
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from cwz_web.feeds.models import Feed, Item, ItemOrder, ItemVersion

PAGE = 50
HIGHEST = "\U0010ffff"
# Rows are looked through in steps of so many, for so many seconds a request.
STEP = 2000
SECONDS = 0.04

State = Literal["", "new", "changed"]


@dataclass(frozen=True)
class Query:
    """Which rows of a feed, and in which order.

    Attributes:
        text: what the rows hold, anywhere or in `column`, in upper or lower case.
        column: where the text is looked for; "" for everywhere.
        state: what the last change of the feed did to them.
        sort: the column that they are in the order of, with a - before it for the greatest first; "" for the file's.
    """

    text: str = ""
    column: str = ""
    state: State = ""
    sort: str = ""

    @property
    def is_filter(self) -> bool:
        """Whether some rows are left out."""
        return bool(self.text or self.state)


@dataclass
class Found:
    """A page of rows.

    Attributes:
        after: where the next page goes on, 0 when there is none.
        looked: how many rows were looked at for it.
    """

    items: list[Item] = field(default_factory=list)
    after: int = 0
    looked: int = 0


def list_feeds(db: Session, workspace_id: UUID, limit: int = 1000) -> list[Feed]:
    """The workspace's feeds, newest first."""
    mine = select(Feed).where(Feed.workspace_id == workspace_id, Feed.deleted_at.is_(None))
    return list(db.scalars(mine.order_by(Feed.id.desc()).limit(limit)))


def items_after(db: Session, feed: Feed, position: int = 0, limit: int = PAGE) -> list[Item]:
    """The feed's items that come after a position, in the file's order."""
    mine = select(Item).where(*_of(feed), Item.position > position)
    return list(db.scalars(mine.order_by(Item.position).limit(limit)))


def find_item(db: Session, feed: Feed, key: str) -> Item | None:
    """The feed's item of a key."""
    return db.scalar(select(Item).where(*_of(feed), Item.key == key))


def find_items(db: Session, feed: Feed, query: Query, after: int = 0, limit: int = PAGE) -> Found:
    """A page of the rows that a query is about, those after a place in their order. The order has to be ready."""
    place, places = _places(feed, query)
    found = Found(after=after)
    ends = time.monotonic() + SECONDS
    step = STEP if query.is_filter else limit
    while True:
        window = select(place.label("place")).where(*places, place > found.after).order_by(place).limit(step).subquery()
        last, looked = db.execute(select(func.max(window.c.place), func.count()).select_from(window)).one()
        if not looked:
            found.after = 0
            return found
        room = limit - len(found.items)
        rows = db.execute(
            select(Item, place)
            .where(*places, *_of(feed), place > found.after, place <= last, *_matches(feed, query))
            .order_by(place)
            .limit(room)
        ).all()
        found.items += [item for item, _ in rows]
        found.looked += looked
        full = len(rows) == room
        found.after = rows[-1][1] if full else last if looked == step else 0
        if full or not found.after or time.monotonic() > ends:
            return found


def items_with_key(db: Session, feed: Feed, begins: str, after: str = "", limit: int = PAGE) -> list[Item]:
    """The feed's items whose key begins with a text, by key, those after one key."""
    return list(
        db.scalars(
            select(Item)
            .where(
                *_of(feed),
                Item.key.startswith(begins, autoescape=True),
                # Behind row-level security only a range is looked up in the index; LIKE alone would read every row.
                Item.key >= begins,
                Item.key < f"{begins}{HIGHEST}",
                Item.key > after,
            )
            .order_by(Item.key)
            .limit(limit)
        )
    )


def versions_of(db: Session, feed: Feed, key: str) -> list[ItemVersion]:
    """What the item of a key was before, newest first."""
    mine = select(ItemVersion).where(
        ItemVersion.workspace_id == feed.workspace_id, ItemVersion.feed_id == feed.id, ItemVersion.key == key
    )
    return list(db.scalars(mine.order_by(ItemVersion.revision.desc())))


def _places(feed: Feed, query: Query) -> tuple[Any, tuple[ColumnElement[bool], ...]]:
    """What the rows are in the order of, and what that takes."""
    if not query.sort:
        return Item.position, _of(feed)
    return ItemOrder.rank, (
        ItemOrder.workspace_id == feed.workspace_id,
        ItemOrder.feed_id == feed.id,
        ItemOrder.name == query.sort,
        ItemOrder.revision == feed.revision,
    )


def _matches(feed: Feed, query: Query) -> list[ColumnElement[bool]]:
    matches: list[ColumnElement[bool]] = []
    if query.sort:
        matches.append(Item.position == ItemOrder.position)
    if query.state:
        was_there = Item.changed_at.is_not(None) if query.state == "changed" else Item.changed_at.is_(None)
        matches += [Item.revision == feed.revision, was_there]
    if query.text and query.column:
        matches.append(Item.data[query.column].astext.icontains(query.text, autoescape=True))
    elif query.text:
        values = func.jsonb_each_text(Item.data).table_valued("key", "value")
        anywhere = exists().select_from(values).where(values.c.value.icontains(query.text, autoescape=True))
        matches.append(anywhere | Item.key.icontains(query.text, autoescape=True))
    return matches


def _of(feed: Feed) -> tuple[ColumnElement[bool], ...]:
    return Item.workspace_id == feed.workspace_id, Item.feed_id == feed.id

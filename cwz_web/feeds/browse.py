"""Looking at feeds and their items. Pages go by position or by key, so the last page costs what the first does."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.feeds.models import Feed, Item

PAGE = 50
HIGHEST = "\U0010ffff"


def list_feeds(db: Session, workspace_id: UUID) -> list[Feed]:
    """The workspace's feeds, newest first."""
    mine = select(Feed).where(Feed.workspace_id == workspace_id, Feed.deleted_at.is_(None))
    return list(db.scalars(mine.order_by(Feed.id.desc())))


def items_after(db: Session, feed: Feed, position: int = 0, limit: int = PAGE) -> list[Item]:
    """The feed's items that come after a position, in the file's order."""
    return list(
        db.scalars(
            select(Item)
            .where(Item.workspace_id == feed.workspace_id, Item.feed_id == feed.id, Item.position > position)
            .order_by(Item.position)
            .limit(limit)
        )
    )


def items_with_key(db: Session, feed: Feed, begins: str, after: str = "", limit: int = PAGE) -> list[Item]:
    """The feed's items whose key begins with a text, by key, those after one key."""
    return list(
        db.scalars(
            select(Item)
            .where(
                Item.workspace_id == feed.workspace_id,
                Item.feed_id == feed.id,
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

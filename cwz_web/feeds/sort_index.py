"""The rows of a feed in the order of a column: written down once, so that any page of it is found at once.

Sorting a million rows takes seconds and an index on every column would take more, so the order is made when somebody
asks for it: at once for a small feed, by a job for a large one. It holds until rows change.
"""

from uuid import UUID

from sqlalchemy import exists, select, text
from sqlalchemy.orm import Session

from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.feeds.columns import Kind, Shape
from cwz_web.feeds.models import Feed, ItemOrder
from cwz_web.jobs import FEEDS_QUEUE, defer_once

# So many rows are sorted within a request.
AT_ONCE = 3000

# A value of a kind as what it is sorted by. Numbers have a point or a comma before their decimals, prices at most two
# of those; dates are written as in ISO 8601 or with the day first.
_VALUE = "i.data ->> :column"
_DIGITS = f"regexp_replace({_VALUE}, '[^0-9.,-]', '', 'g')"
_NUMBER = "CASE WHEN {0} ~ '^-?[0-9]+([.][0-9]+)?$' THEN ({0})::numeric END"
_PRICE = f"replace(regexp_replace(regexp_replace({_DIGITS}, '[.,]([0-9]{{1,2}})$', '#\\1'), '[.,]', '', 'g'), '#', '.')"
_TWO_DIGITS = f"regexp_replace({_VALUE}, '(^|[-./])([0-9])(?=[-./ T]|$)', '\\10\\2', 'g')"
_DATE = f"regexp_replace({_TWO_DIGITS}, '^([0-9]{{2}})[./]([0-9]{{2}})[./]([0-9]{{4}})', '\\3-\\2-\\1')"
SORTED_BY = {
    Kind.NUMBER: _NUMBER.format(f"replace({_VALUE}, ',', '.')"),
    Kind.PRICE: _NUMBER.format(_PRICE),
    Kind.DATE: _DATE,
}
_AS_TEXT = f"lower({_VALUE})"
_FORGET = text("""
    DELETE FROM item_orders
    WHERE workspace_id = :workspace AND feed_id = :feed AND (revision < :revision OR name = :name)
""")
_WRITE = """
    INSERT INTO item_orders (workspace_id, feed_id, name, revision, rank, position)
    SELECT :workspace, :feed, :name, :revision,
           row_number() OVER (ORDER BY {by} {direction} NULLS LAST, {text} {direction} NULLS LAST, i.position),
           i.position
    FROM items i WHERE workspace_id = :workspace AND feed_id = :feed
"""


def ready(db: Session, feed: Feed, name: str) -> bool:
    """Whether the feed's rows are in the order of a column; if not, they will be.

    Arguments:
        name: the column's name; with a - before it for the greatest first.
    """
    mine = (ItemOrder.workspace_id == feed.workspace_id, ItemOrder.feed_id == feed.id, ItemOrder.name == name)
    if db.scalar(select(exists().where(*mine, ItemOrder.revision == feed.revision))):
        return True
    if feed.item_count <= AT_ONCE:
        order_rows(db, feed.workspace_id, feed.id, name)
        return True
    defer_once(
        db,
        "feeds.order",
        queue=FEEDS_QUEUE,
        once=f"order {feed.id} {name}",
        workspace_id=str(feed.workspace_id),
        feed_id=str(feed.id),
        name=name,
    )
    return False


def order_rows(db: Session, workspace_id: UUID, feed_id: UUID, name: str) -> None:
    """Write down the order of a feed's rows by a column, instead of earlier ones."""
    feed = db.get(Feed, (workspace_id, feed_id), with_for_update=FOR_NO_KEY_UPDATE)
    if feed is None:
        return
    column, descending = name.removeprefix("-"), name.startswith("-")
    kind = Shape.model_validate(feed.shape).kinds.get(column, Kind.TEXT)
    value = SORTED_BY.get(kind, _AS_TEXT)
    direction = "DESC" if descending else "ASC"
    names = {"workspace": workspace_id, "feed": feed_id, "revision": feed.revision, "name": name, "column": column}
    db.execute(text("SET LOCAL work_mem = '64MB'"))
    db.execute(_FORGET, names)
    db.execute(text(_WRITE.format(by=value, text=_AS_TEXT, direction=direction)), names)

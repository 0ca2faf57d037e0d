"""Sort indexes: the order of a feed's rows by a column, stored so that each page is found in constant time.

Sorting a million rows takes seconds, and an index on every column would slow down each import. So an order is computed
when it is first requested (immediately for a small feed, by a job for a large one) and is valid until rows change.
"""

from uuid import UUID

from sqlalchemy import exists, select, text
from sqlalchemy.orm import Session

from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.feeds.columns import ColumnType, FeedSchema
from cwz_web.feeds.models import Feed, SortIndexEntry
from cwz_web.jobs import FEEDS_QUEUE, defer_once

# Feeds with at most this many rows are sorted within the request.
MAX_INLINE_ROWS = 3000

# SQL expressions that turn a value into something sortable. A number may have a point or a comma before its decimals, a
# price at most two decimals; a date is in ISO 8601 or has the day first.
_VALUE = "i.data ->> :column"
_DIGITS = f"regexp_replace({_VALUE}, '[^0-9.,-]', '', 'g')"
_NUMBER = "CASE WHEN {0} ~ '^-?[0-9]+([.][0-9]+)?$' THEN ({0})::numeric END"
_PRICE = f"replace(regexp_replace(regexp_replace({_DIGITS}, '[.,]([0-9]{{1,2}})$', '#\\1'), '[.,]', '', 'g'), '#', '.')"
_TWO_DIGITS = f"regexp_replace({_VALUE}, '(^|[-./])([0-9])(?=[-./ T]|$)', '\\10\\2', 'g')"
_DATE = f"regexp_replace({_TWO_DIGITS}, '^([0-9]{{2}})[./]([0-9]{{2}})[./]([0-9]{{4}})', '\\3-\\2-\\1')"
SORT_EXPRESSIONS = {
    ColumnType.NUMBER: _NUMBER.format(f"replace({_VALUE}, ',', '.')"),
    ColumnType.PRICE: _NUMBER.format(_PRICE),
    ColumnType.DATE: _DATE,
}
_AS_TEXT = f"lower({_VALUE})"
_DELETE = text("""
    DELETE FROM sort_index
    WHERE workspace_id = :workspace AND feed_id = :feed AND (revision < :revision OR sort = :sort)
""")
_INSERT = """
    INSERT INTO sort_index (workspace_id, feed_id, sort, revision, rank, position)
    SELECT :workspace, :feed, :sort, :revision,
           row_number() OVER (ORDER BY {by} {direction} NULLS LAST, {text} {direction} NULLS LAST, i.position),
           i.position
    FROM items i WHERE workspace_id = :workspace AND feed_id = :feed
"""


def ensure_sort_index(db: Session, feed: Feed, sort: str) -> bool:
    """Return whether the feed's rows are sorted; if not, sort them now or enqueue a job that does.

    Args:
        db: The session.
        feed: The feed.
        sort: The name of the column, prefixed by - for descending order.
    """
    current = (SortIndexEntry.workspace_id == feed.workspace_id, SortIndexEntry.feed_id == feed.id)
    entries = exists().where(*current, SortIndexEntry.sort == sort, SortIndexEntry.revision == feed.revision)
    if db.scalar(select(entries)):
        return True
    if feed.item_count <= MAX_INLINE_ROWS:
        build_sort_index(db, feed.workspace_id, feed.id, sort)
        return True
    defer_once(
        db,
        "feeds.build_sort_index",
        queue=FEEDS_QUEUE,
        queueing_lock=f"sort {feed.id} {sort}",
        workspace_id=str(feed.workspace_id),
        feed_id=str(feed.id),
        sort=sort,
    )
    return False


def build_sort_index(db: Session, workspace_id: UUID, feed_id: UUID, sort: str) -> None:
    """Store the order of a feed's rows by a column, and delete outdated orders.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        feed_id: the feed.
        sort: the name of the column.
    """
    feed = db.get(Feed, (workspace_id, feed_id), with_for_update=FOR_NO_KEY_UPDATE)
    if feed is None:
        return
    column, descending = sort.removeprefix("-"), sort.startswith("-")
    column_type = FeedSchema.model_validate(feed.schema).types.get(column, ColumnType.TEXT)
    value = SORT_EXPRESSIONS.get(column_type, _AS_TEXT)
    direction = "DESC" if descending else "ASC"
    values = {"workspace": workspace_id, "feed": feed_id, "revision": feed.revision, "sort": sort, "column": column}
    db.execute(text("SET LOCAL work_mem = '64MB'"))
    db.execute(_DELETE, values)
    db.execute(text(_INSERT.format(by=value, text=_AS_TEXT, direction=direction)), values)

"""The list of feeds, each with its newest import and its source."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from cwz_web.db.pagination import NEVER, AnySelect, Page, Sort, fetch_page, with_reverse
from cwz_web.feeds.models import API_FILE_NAME, Feed, FeedImport, FeedSource, ImportState
from cwz_web.i18n import gettext_noop

FEED_PAGE = 50
# The changes of so many imports are shown, failed ones included.
SHOWN_IMPORTS = 12
FEED_SORTS = with_reverse(
    {
        "newest": Sort(gettext_noop("Newest first")),
        "name": Sort(
            gettext_noop("Name"),
            func.lower(Feed.name),
            is_descending=False,
            reverse_label=gettext_noop("Name, Z to A"),
        ),
        "imported": Sort(
            gettext_noop("Last import"),
            func.coalesce(Feed.imported_at, NEVER),
            reverse_label=gettext_noop("Last import, oldest first"),
        ),
        "rows": Sort(gettext_noop("Most rows"), Feed.item_count.expression, reverse_label=gettext_noop("Fewest rows")),
    }
)
_is_active = Feed.deleted_at.is_(None)
# The newest import and the source are outer joins: NULL compares as unknown, and is not found.
FEED_STATES: dict[str, tuple[str, ColumnElement[bool]]] = {
    "": (gettext_noop("All feeds"), _is_active),
    "attention": (
        gettext_noop("Needs attention"),
        and_(
            _is_active,
            or_(FeedImport.state.in_((ImportState.NEEDS_REVIEW, ImportState.FAILED)), FeedSource.failures > 0),
        ),
    ),
    "paused": (gettext_noop("Paused"), and_(_is_active, FeedSource.paused_at.is_not(None))),
    "draft": (gettext_noop("Draft"), and_(_is_active, FeedImport.state == ImportState.DRAFT)),
    "deleted": (gettext_noop("Deleted"), Feed.deleted_at.is_not(None)),
}
FEED_SOURCES: dict[str, tuple[str, ColumnElement[bool]]] = {
    "url": ("URL", FeedSource.provider == ""),
    "service": (gettext_noop("Shop or service"), FeedSource.provider != ""),
    "api": ("API", and_(FeedSource.feed_id.is_(None), Feed.file_name == API_FILE_NAME)),
    "file": (gettext_noop("File"), and_(FeedSource.feed_id.is_(None), Feed.file_name != API_FILE_NAME)),
}


@dataclass(frozen=True)
class ListedFeed:
    """A feed with its newest import and its source, if it has them."""

    feed: Feed
    newest: FeedImport | None
    source: FeedSource | None


def find_feeds(
    db: Session,
    workspace_id: UUID,
    *,
    search: str = "",
    state: str = "",
    source: str = "",
    sort: str = "newest",
    after: UUID | None = None,
) -> Page[ListedFeed]:
    """Return a page of feeds.

    Args:
        db: A transaction in the workspace.
        workspace_id: The workspace.
        search: Only feeds with this in their name, ignoring case.
        state: Only feeds in this state, one of FEED_STATES.
        source: Only feeds with such a source, one of FEED_SOURCES; empty for all.
        sort: The order, one of FEED_SORTS.
        after: Where the page begins.
    """
    conditions = [Feed.workspace_id == workspace_id, FEED_STATES[state][1]]
    if search:
        conditions.append(Feed.name.icontains(search, autoescape=True))
    if source:
        conditions.append(FEED_SOURCES[source][1])
    query = _with_newest_import().where(*conditions)
    order = FEED_SORTS[sort]
    page = fetch_page(db, query, Feed, workspace_id=workspace_id, sort=order, after=after, size=FEED_PAGE)
    return replace(page, rows=[ListedFeed(*row) for row in page.rows])


def count_changed_rows(db: Session, workspace_id: UUID, feed_ids: Collection[UUID]) -> dict[UUID, list[int]]:
    """Return how many rows each of the last imports of some feeds has changed, oldest first, with one query.

    An import that was not applied is left out. Numbers of imports have an index: the history of a feed is not read.
    """
    changed = FeedImport.added + FeedImport.changed + FeedImport.removed
    rows = (
        select(FeedImport.feed_id, changed)
        .join(Feed, and_(Feed.workspace_id == FeedImport.workspace_id, Feed.id == FeedImport.feed_id))
        .where(
            FeedImport.workspace_id == workspace_id,
            FeedImport.feed_id.in_(feed_ids),
            FeedImport.number > Feed.import_number - SHOWN_IMPORTS,
            FeedImport.state.in_((ImportState.APPLIED, ImportState.UNCHANGED)),
        )
        .order_by(FeedImport.feed_id, FeedImport.number)
    )
    counts: dict[UUID, list[int]] = defaultdict(list)
    for feed_id, number in db.execute(rows):
        counts[feed_id].append(number)
    return counts


def _with_newest_import() -> AnySelect:
    of_feed = FeedImport.workspace_id == Feed.workspace_id, FeedImport.feed_id == Feed.id
    return (
        select(Feed, FeedImport, FeedSource)
        .select_from(Feed)
        .outerjoin(FeedImport, and_(*of_feed, FeedImport.number == Feed.import_number))
        .outerjoin(FeedSource, and_(FeedSource.workspace_id == Feed.workspace_id, FeedSource.feed_id == Feed.id))
    )

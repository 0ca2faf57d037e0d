"""Joined feeds: the rows of a campaign have the columns of further feeds too, such as stock or margins.

A row is joined to the row of the other feed whose key is the value of one of its columns.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.row_fields import JOINED
from cwz_web.feeds.columns import ColumnType, FeedSchema
from cwz_web.feeds.imports import find_double_keys
from cwz_web.feeds.limits import MAX_NAME
from cwz_web.feeds.models import Feed
from cwz_web.runs.mapping import formats_of
from cwz_web.values.formats import ValueFormat

MAX_JOINS = 5
# Stands for the key of the row, instead of one of its columns.
KEY = ""


class Join(BaseModel):
    """A feed whose columns the rows of a campaign have too.

    Attributes:
        feed: the joined feed.
        column: the column whose value is the key of the joined row; KEY for the row's own key.
        name: begins the names of the joined columns, as in `stock.quantity`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    feed: UUID
    column: Annotated[str, Field(max_length=MAX_NAME)] = KEY
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,19}$")]


JOINS: TypeAdapter[list[Join]] = TypeAdapter(Annotated[list[Join], Field(max_length=MAX_JOINS)])


@dataclass(frozen=True)
class CampaignColumns:
    """The columns of a campaign's rows, those of joined feeds included, with their types and formats."""

    types: Mapping[str, ColumnType]
    formats: Mapping[str, ValueFormat]

    @property
    def names(self) -> list[str]:
        return list(self.types)


def load_columns(db: Session, campaign: Campaign) -> CampaignColumns:
    """Return the columns of a campaign's rows."""
    feed = db.get_one(Feed, (campaign.workspace_id, campaign.feed_id))
    types, formats = _columns_of(db, feed)
    for join, joined in joined_feeds(db, campaign):
        own_types, own_formats = _columns_of(db, joined)
        types |= {f"{join.name}{JOINED}{name}": each for name, each in own_types.items()}
        formats |= {f"{join.name}{JOINED}{name}": each for name, each in own_formats.items()}
    return CampaignColumns(types, formats)


def joined_feeds(db: Session, campaign: Campaign) -> list[tuple[Join, Feed]]:
    """Return the joins of a campaign with their feeds; without deleted feeds, whose columns are then missing."""
    joins = JOINS.validate_python(campaign.joins)
    feeds = ((join, db.get(Feed, (campaign.workspace_id, join.feed))) for join in joins)
    return [(join, feed) for join, feed in feeds if feed is not None and feed.deleted_at is None]


@dataclass(frozen=True)
class JoinFindings:
    """What a joined feed lacks, or has more than once.

    Attributes:
        join: the join.
        feed: its feed.
        unmatched: how many rows of the campaign the feed does not have, in the newest plan.
        unmatched_keys: the keys of the first of them.
        double: how many rows of the feed's newest import were skipped, since an earlier one has their key.
        double_keys: the first of these keys.
    """

    join: Join
    feed: Feed
    unmatched: int
    unmatched_keys: list[str]
    double: int
    double_keys: list[str]


def find_join_findings(db: Session, campaign: Campaign) -> list[JoinFindings]:
    """Return what the joined feeds of a campaign lack or have more than once, as far as anything is found."""
    found = []
    for join, feed in joined_feeds(db, campaign):
        unmatched = campaign.unmatched.get(join.name, {"rows": 0, "first": []})
        double = find_double_keys(db, feed)
        if unmatched["rows"] or double.rows:
            found.append(JoinFindings(join, feed, unmatched["rows"], unmatched["first"], double.rows, double.first))
    return found


def feed_revisions(db: Session, campaign: Campaign) -> dict[str, int]:
    """Return the revisions of all feeds that a campaign's rows are of, by their ids."""
    feed = db.get_one(Feed, (campaign.workspace_id, campaign.feed_id))
    return {str(each.id): each.revision for each in (feed, *_feeds(joined_feeds(db, campaign)))}


def _feeds(joins: Iterable[tuple[Join, Feed]]) -> list[Feed]:
    return [feed for _, feed in joins]


def _columns_of(db: Session, feed: Feed) -> tuple[dict[str, ColumnType], dict[str, ValueFormat]]:
    schema = FeedSchema.model_validate(feed.schema)
    types = {name: schema.types.get(name, ColumnType.TEXT) for name in feed.columns}
    formats = formats_of(db, feed)
    return types, {name: formats[name] for name in types}

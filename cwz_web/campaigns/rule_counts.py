"""What a rule would take and render, before it is saved.

Nothing is planned for it: the rows of a small feed, or a sample of those of a large one, are matched in memory, and the
images of a bounded number of them are looked up as a preparation does.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.planning import row_matcher, scan_rows
from cwz_web.campaigns.rules import DesignRule, Phase
from cwz_web.campaigns.targets import Targets, count_missing, find_target
from cwz_web.feeds.models import Feed, Item

# All rows of a feed with at most so many are matched; else a sample.
MAX_MATCHED, SAMPLED = 10_000, 2000
# At most so many times as many positions are read, if most rows have been removed.
MAX_SPARSE = 10
# The images of at most so many rows are looked up.
MAX_LOOKED_UP = 500
SHOWN_KEYS = 5

_STAGE_ROWS = text("""
    CREATE TEMPORARY TABLE target_rows ON COMMIT DROP AS
    SELECT item.key, ARRAY[taken.design] AS designs, item.data || coalesce(CAST(taken.joined AS jsonb), '{}') AS data
    FROM unnest(CAST(:keys AS text[]), CAST(:designs AS smallint[]), CAST(:joined AS text[]))
         AS taken (key, design, joined)
    JOIN items AS item ON item.workspace_id = :workspace AND item.feed_id = :feed AND item.key = taken.key
""")


@dataclass
class RuleCount:
    """How many rows a rule takes.

    Attributes:
        matched: how many rows of the campaign were matched.
        rows: how many rows the campaign has, about that if only a sample was matched.
        takes: how many of these the rule takes while its window is open.
        is_estimate: whether only a sample was matched.
        keys: the first rows that it takes.
        to_render: how many images of them do not exist; None if that is not known.
        is_about: whether only the images of some of them were looked up.
    """

    matched: int = 0
    rows: int = 0
    takes: int = 0
    is_estimate: bool = False
    keys: list[str] = field(default_factory=list)
    to_render: int | None = None
    is_about: bool = False


@dataclass(frozen=True)
class _Taken:
    """A row that the rule takes: its key, the number of its design, and its joined cells as JSON."""

    key: str
    design: int
    joined: str | None


def count_rule(db: Session, campaign: Campaign, rules: Sequence[DesignRule], rule: DesignRule) -> RuleCount:
    """Count the rows that a rule would take among others.

    Args:
        db: a transaction in the workspace.
        campaign: the campaign.
        rules: its rules with the one in question, in their order.
        rule: the rule.

    Raises:
        InvalidConditionError: a condition cannot be evaluated.
        InvalidSettingsError, MissingTemplateError, UnknownSizeError: as for targets.find_target.
    """
    matcher = row_matcher(db, campaign, rules)
    feed = db.get_one(Feed, (campaign.workspace_id, campaign.feed_id))
    positions = _sample(db, feed)
    numbers = {design.number for design in rule.designs}
    count, taken = RuleCount(is_estimate=positions is not None), list[_Taken]()
    read = 0
    for batch in scan_rows(db, campaign, matcher.sources, positions=positions):
        read += len(batch)
        for key, _, is_selected, _, _, _, joined, _, _, *values in batch:
            if is_selected:
                count.matched += 1
                own = next((each for each in matcher.match(key, values).designs if each in numbers), None)
                if own is not None:
                    taken.append(_Taken(key, own, joined))
    count.keys = [row.key for row in taken[:SHOWN_KEYS]]
    count.rows, count.takes = count.matched, len(taken)
    if positions is not None and count.matched:
        planned = sum(rows for _, rows in campaign.counts)
        count.rows = planned or round(feed.item_count * count.matched / read)
        count.takes = round(count.rows * len(taken) / count.matched)
    _count_images(db, campaign, rule, taken, count)
    return count


def _sample(db: Session, feed: Feed) -> list[int] | None:
    """Return positions of a sample of a feed's rows, the same for each revision; None for all rows.

    Positions of removed rows have no row any more, so that more positions are chosen where many were removed.
    """
    if feed.item_count <= MAX_MATCHED:
        return None
    own = (Item.workspace_id == feed.workspace_id, Item.feed_id == feed.id)
    last = db.scalar(select(func.max(Item.position)).where(*own)) or 0
    chosen = min(last, SAMPLED * min(-(-last // feed.item_count), MAX_SPARSE))
    return sorted(random.Random(feed.revision).sample(range(1, last + 1), chosen))  # noqa: S311 - no secret


def _count_images(db: Session, campaign: Campaign, rule: DesignRule, taken: Sequence[_Taken], count: RuleCount) -> None:
    looked_up = taken
    if len(taken) > MAX_LOOKED_UP:
        looked_up = random.Random(len(taken)).sample(list(taken), MAX_LOOKED_UP)  # noqa: S311 - no secret
    count.is_about = count.is_estimate or len(looked_up) < len(taken)
    targets = {design.number: find_target(db, campaign, rule, design) for design in rule.designs}
    phase = Phase(None, tuple(sorted(targets)))
    with _staged(db, campaign, looked_up):
        missing = sum(count_missing(db, Targets(campaign, [phase], targets, [])).values())
    count.to_render = round(missing * count.takes / len(looked_up)) if looked_up else 0


@contextmanager
def _staged(db: Session, campaign: Campaign, rows: Sequence[_Taken]) -> Iterator[None]:
    values = {
        "workspace": campaign.workspace_id,
        "feed": campaign.feed_id,
        "keys": [row.key for row in rows],
        "designs": [row.design for row in rows],
        "joined": [row.joined for row in rows],
    }
    db.execute(_STAGE_ROWS, values)
    db.execute(text("ANALYZE target_rows"))
    yield
    db.execute(text("DROP TABLE target_rows"))

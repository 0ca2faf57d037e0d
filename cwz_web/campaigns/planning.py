"""Planning: which designs the rules give each row.

Rows are read in a stream with only the cells that rules compare, and only rows whose designs or cells have changed are
written. After an import only the changed rows are read again, unless the rules depend on the day or have changed.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.orm import Session

from cwz_web.campaigns.joins import KEY, Join, feed_revisions, joined_feeds, load_columns
from cwz_web.campaigns.matching import RowMatch, RowMatcher
from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.row_fields import JOINED, RowField, Source, SourceKind, row_fields, today_in
from cwz_web.campaigns.rules import DesignRule
from cwz_web.db.session import hash_joins, raw_connection
from cwz_web.feeds.imports import KEPT_REVISIONS
from cwz_web.feeds.models import Feed
from cwz_web.imaging.expression_functions import EvaluationContext
from cwz_web.runs.selection import SELECTED
from cwz_web.values.formats import DEFAULT_LOCALE
from cwz_web.workspaces.models import Workspace

BATCH = 10_000
# How many keys are remembered for each design, and for each rule that could not be decided.
SAMPLES = 5
_STAGE = """
    CREATE TEMPORARY TABLE planned (
        key text, designs smallint[], unclear smallint[], unmatched smallint[], joined jsonb, item_revision int
    ) ON COMMIT DROP
"""
_WRITE = text("""
    INSERT INTO campaign_rows (
        workspace_id, campaign_id, key, designs, unclear, unmatched, joined, plan, item_revision)
    SELECT :workspace, :campaign, key, designs, unclear, unmatched, joined, :plan, item_revision FROM planned
    ON CONFLICT (workspace_id, campaign_id, key) DO UPDATE SET
        designs = EXCLUDED.designs, unclear = EXCLUDED.unclear, unmatched = EXCLUDED.unmatched,
        joined = EXCLUDED.joined, plan = EXCLUDED.plan, item_revision = EXCLUDED.item_revision
""")
_IS_REMOVED = "NOT EXISTS (SELECT FROM items WHERE workspace_id = :workspace AND feed_id = :feed AND key = row.key)"
_DELETE_ALL_REMOVED = text(f"""
    DELETE FROM campaign_rows AS row
    WHERE workspace_id = :workspace AND campaign_id = :campaign AND {_IS_REMOVED}
    RETURNING key, designs, unclear, unmatched
""")  # noqa: S608 - composed of constants
# An array, so that the rows are found by the primary key.
_DELETE_NEWLY_REMOVED = text(f"""
    DELETE FROM campaign_rows AS row
    WHERE workspace_id = :workspace AND campaign_id = :campaign AND {_IS_REMOVED}
      AND key = ANY(ARRAY(
          SELECT key FROM item_versions
          WHERE workspace_id = :workspace AND feed_id = :feed AND revision > :since AND removed))
    RETURNING key, designs, unclear, unmatched
""")  # noqa: S608 - composed of constants
_DELETE_KEYS = text("""
    DELETE FROM campaign_rows WHERE workspace_id = :workspace AND campaign_id = :campaign AND key = ANY(:keys)
    RETURNING key, designs, unclear, unmatched
""")

# Called with the number of rows that were read.
Progress = Callable[[int], None]


@dataclass
class _Plan:
    """What a plan has found so far; it begins with the earlier plan if only changes are planned."""

    counts: Counter[tuple[int, ...]] = field(default_factory=Counter)
    samples: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    unclear_count: Counter[int] = field(default_factory=Counter)
    unclear_first: defaultdict[int, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    unmatched_count: Counter[int] = field(default_factory=Counter)
    unmatched_first: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    changed: int = 0

    def add(self, key: str, match: RowMatch, unmatched: Iterable[int] | None) -> None:
        """Count a row."""
        self.counts[match.designs] += 1
        for design in match.designs:
            if len(self.samples[design]) < SAMPLES and key not in self.samples[design]:
                self.samples[design].append(key)
        for rule, unclear in match.unclear.items():
            self.unclear_count[rule] += 1
            if len(self.unclear_first[rule]) < SAMPLES:
                self.unclear_first[rule].append((key, unclear.reason))
        for join in unmatched or ():
            self.unmatched_count[join] += 1
            if len(self.unmatched_first[join]) < SAMPLES:
                self.unmatched_first[join].append(key)

    def remove(
        self, key: str, designs: Iterable[int], unclear: Iterable[int] | None, unmatched: Iterable[int] | None
    ) -> None:
        """Take back what an earlier plan has counted of a row."""
        self.counts[tuple(designs)] -= 1
        for design in designs:
            self.samples[design] = [each for each in self.samples[design] if each != key]
        for rule in unclear or ():
            self.unclear_count[rule] -= 1
            self.unclear_first[rule] = [each for each in self.unclear_first[rule] if each[0] != key]
        for join in unmatched or ():
            self.unmatched_count[join] -= 1
            self.unmatched_first[join] = [each for each in self.unmatched_first[join] if each != key]


def is_planned(db: Session, campaign: Campaign) -> bool:
    """Return whether the rows of a campaign are those of its rules and its feeds as they are now."""
    return (
        campaign.planned_revision == campaign.revision
        and campaign.planned_feeds == feed_revisions(db, campaign)
        and campaign.planned_on in (None, today_in(ZoneInfo(campaign.time_zone)))
    )


def campaign_fields(db: Session, campaign: Campaign) -> dict[str, RowField]:
    """Return what the rules of a campaign can compare, by name."""
    columns = load_columns(db, campaign)
    return row_fields(columns.types, columns.formats, ZoneInfo(campaign.time_zone))


def row_matcher(db: Session, campaign: Campaign, rules: Sequence[DesignRule] | None = None) -> RowMatcher:
    """Return the matcher of a campaign's rules, or of others. Raises InvalidConditionError."""
    workspace = db.get_one(Workspace, campaign.workspace_id)
    feed = db.get_one(Feed, (campaign.workspace_id, campaign.feed_id))
    today = today_in(ZoneInfo(campaign.time_zone))
    currency = feed.currency or workspace.currency or ""
    context = EvaluationContext(workspace.locale or DEFAULT_LOCALE, currency, today)
    return RowMatcher(campaign.design_rules if rules is None else rules, campaign_fields(db, campaign), context, today)


def plan_rows(db: Session, campaign: Campaign, progress: Progress | None = None) -> bool:
    """Give each row of a campaign its designs, in the caller's transaction.

    Args:
        db: a transaction in the workspace, which nothing else plans the campaign in at the same time.
        campaign: the campaign.
        progress: called after each batch.

    Returns:
        Whether a row has changed.

    Raises:
        InvalidConditionError: a rule cannot be evaluated.
    """
    matcher = row_matcher(db, campaign)
    revisions = feed_revisions(db, campaign)
    today = today_in(ZoneInfo(campaign.time_zone)) if matcher.is_of_time else None
    since = _changes_since(campaign, revisions, today)
    names = [join.name for join, _ in joined_feeds(db, campaign)]
    plan = _Plan() if since is None else _earlier_plan(campaign, names)
    db.execute(text(_STAGE))
    removed = _plan_changed(db, campaign, matcher, since, plan, progress)
    values = {"workspace": campaign.workspace_id, "campaign": campaign.id}
    db.execute(_WRITE, {**values, "plan": campaign.plan + 1})
    db.execute(text("DROP TABLE planned"))
    if since is None:
        with hash_joins(db):
            deleted = db.execute(_DELETE_ALL_REMOVED, {**values, "feed": campaign.feed_id}).all()
    else:
        newly = {**values, "feed": campaign.feed_id, "since": since[str(campaign.feed_id)]}
        deleted = db.execute(_DELETE_NEWLY_REMOVED, newly).all()
    deleted = [*deleted, *db.execute(_DELETE_KEYS, {**values, "keys": removed}).all()] if removed else deleted
    if since is not None:
        for row in deleted:
            plan.remove(row.key, row.designs, row.unclear, row.unmatched)
    is_changed = bool(plan.changed or deleted)
    _store(campaign, plan, revisions, today, names, is_changed=is_changed)
    db.flush()
    return is_changed


def _earlier_plan(campaign: Campaign, joins: Sequence[str]) -> _Plan:
    """Return what the plan of a campaign has found."""
    plan = _Plan(Counter({tuple(designs): count for designs, count in campaign.counts}))
    plan.samples |= {int(design): list(keys) for design, keys in campaign.samples.items()}
    for rule, found in campaign.unclear.items():
        plan.unclear_count[int(rule)] = found["rows"]
        plan.unclear_first[int(rule)] = [(key, reason) for key, reason in found["first"]]
    for place, name in enumerate(joins):
        found = campaign.unmatched.get(name, {"rows": 0, "first": []})
        plan.unmatched_count[place], plan.unmatched_first[place] = found["rows"], list(found["first"])
    return plan


def _changes_since(campaign: Campaign, revisions: Mapping[str, int], today: date | None) -> dict[str, int] | None:
    """Return the revisions whose later changes have to be read; None if all rows have to be."""
    if campaign.planned_revision != campaign.revision or campaign.planned_on != today:
        return None
    known = campaign.planned_feeds
    if known.keys() != revisions.keys():
        return None
    if any(revisions[feed] - known[feed] > KEPT_REVISIONS or revisions[feed] < known[feed] for feed in revisions):
        return None
    return known


def _plan_changed(
    db: Session,
    campaign: Campaign,
    matcher: RowMatcher,
    since: Mapping[str, int] | None,
    plan: _Plan,
    progress: Progress | None,
) -> list[str]:
    """Match the rows that can have changed, and stage those that have. Return the keys that no longer belong to it."""
    removed: list[str] = []
    read = 0
    for batch in scan_rows(db, campaign, matcher.sources, since):
        staged = []
        for key, revision, is_selected, old, old_unclear, old_unmatched, joined, is_same, unmatched, *values in batch:
            if not is_selected:
                if old is not None:
                    removed.append(key)
                continue
            match = matcher.match(key, values)
            if since is not None and old is not None:
                plan.remove(key, old, old_unclear, old_unmatched)
            plan.add(key, match, unmatched)
            unclear = sorted(match.unclear) or None
            is_equal = is_same and old_unclear == unclear and old_unmatched == unmatched
            if old is None or tuple(old) != match.designs or not is_equal:
                staged.append((key, match.designs, unclear, unmatched, joined, revision))
        plan.changed += len(staged)
        _copy(raw_connection(db), staged)
        read += len(batch)
        if progress:
            progress(read)
    return removed


def scan_rows(
    db: Session,
    campaign: Campaign,
    sources: Sequence[Source],
    since: Mapping[str, int] | None = None,
    *,
    positions: Sequence[int] | None = None,
) -> Iterator[list[Any]]:
    """Yield batches of a campaign's rows: all, those that later revisions of its feeds concern, or chosen ones.

    Args:
        db: a transaction in the workspace.
        campaign: the campaign.
        sources: what is compared of them.
        since: the revisions by the ids of the feeds; None for all rows.
        positions: the positions of the rows in their feed; None for all.

    Yields:
        Batches of rows: the key, the revision, whether the campaign has the row, its designs, unclear rules and
        unmatched joins in the earlier plan, its joined cells, whether neither its cells nor its joined ones have
        changed, its unmatched joins, and the values of the sources as JSON.
    """
    joins = joined_feeds(db, campaign)
    is_whole = since is None and positions is None
    query, parameters = _rows_query(campaign, sources, joins, since, old=_OLD_ROWS if is_whole else _OLD_ROW)
    if positions is not None:
        query += sql.SQL(" AND items.position = ANY(%(positions)s)")
        parameters["positions"] = list(positions)
    with raw_connection(db).cursor("campaign_rows") as cursor:
        with hash_joins(db) if is_whole else nullcontext():
            cursor.execute(query, parameters)
        batch: list[Any]
        while batch := list(cursor.fetchmany(BATCH)):
            yield batch


def _copy(connection: psycopg.Connection[Any], rows: Iterable[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY planned FROM STDIN") as copy:
        for key, designs, unclear, unmatched, joined, revision in rows:
            lists = (_array(designs), unclear and _array(unclear), unmatched and _array(unmatched))
            copy.write_row((key, *lists, joined, revision))


def _array(numbers: Iterable[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"


def _rows_query(
    campaign: Campaign,
    sources: Sequence[Source],
    joins: Sequence[tuple[Join, Feed]],
    since: Mapping[str, int] | None,
    old: sql.SQL | None = None,
) -> tuple[sql.Composed, dict[str, Any]]:
    """Return the query of the rows that are matched: all, or those that a later revision of a feed concerns."""
    parameters: dict[str, Any] = {
        "workspace": campaign.workspace_id,
        "campaign": campaign.id,
        "feed": campaign.feed_id,
        "selection": json.dumps(campaign.selection),
    }
    join_sql, joined_parts, unmatched_parts = [], [], []
    for number, (join, feed) in enumerate(joins):
        alias = sql.Identifier(f"joined_{number}")
        value = sql.SQL("items.key") if join.column == KEY else sql.SQL("items.data ->> {}").format(join.column)
        join_sql.append(
            sql.SQL(
                "LEFT JOIN items AS {alias} ON {alias}.workspace_id = %(workspace)s AND {alias}.feed_id = {feed}"
                " AND {alias}.key = {value}"
            ).format(alias=alias, feed=feed.id, value=value)
        )
        unmatched_parts.append(
            sql.SQL("CASE WHEN {alias}.key IS NULL THEN {place}::smallint END").format(
                alias=alias, place=sql.Literal(number)
            )
        )
        joined_parts.append(
            sql.SQL(
                "coalesce((SELECT jsonb_object_agg({name} || k, v) FROM jsonb_each({alias}.data) e(k, v)), '{{}}')"
            ).format(name=f"{join.name}{JOINED}", alias=alias)
        )
    joined = sql.SQL(" || ").join(joined_parts) if joined_parts else sql.SQL("NULL::jsonb")
    unmatched: sql.Composable = sql.SQL("NULL::smallint[]")
    if unmatched_parts:
        unmatched = sql.SQL("nullif(array_remove(ARRAY[{}], NULL), '{{}}')").format(sql.SQL(", ").join(unmatched_parts))
    query = sql.SQL("""
        SELECT items.key, items.revision, {selected}, old.designs, old.unclear, old.unmatched, row.joined::text,
               old.item_revision = items.revision AND old.joined IS NOT DISTINCT FROM row.joined, {unmatched}{values}
        FROM items
        {joins}
        CROSS JOIN LATERAL (SELECT {joined} AS joined) AS row
        LEFT JOIN {old} ON old.key = items.key
        WHERE items.workspace_id = %(workspace)s AND items.feed_id = %(feed)s{changed}
    """).format(
        selected=sql.SQL(SELECTED.replace(":selection", "%(selection)s::jsonb")),
        values=sql.SQL("").join(sql.SQL(", ") + _source_sql(source) for source in sources),
        joins=sql.SQL(" ").join(join_sql),
        joined=joined,
        unmatched=unmatched,
        old=old or _OLD_ROWS,
        changed=sql.SQL("") if since is None else _changed_sql(campaign, joins, since),
    )
    return query, parameters


# The earlier plan: of all rows by one scan, of few rows each by its key.
_OLD_ROWS = sql.SQL("""(
    SELECT * FROM campaign_rows WHERE workspace_id = %(workspace)s AND campaign_id = %(campaign)s) AS old
""")
_OLD_ROW = sql.SQL("""LATERAL (
    SELECT * FROM campaign_rows
    WHERE workspace_id = %(workspace)s AND campaign_id = %(campaign)s AND key = items.key OFFSET 0) AS old
""")


def _changed_sql(campaign: Campaign, joins: Sequence[tuple[Join, Feed]], since: Mapping[str, int]) -> sql.Composed:
    """Return the condition of rows that have changed since they were planned, or whose joined rows have."""
    conditions = [sql.SQL("items.revision > {}").format(since[str(campaign.feed_id)])]
    for join, feed in joins:
        value = sql.SQL("items.key") if join.column == KEY else sql.SQL("items.data ->> {}").format(join.column)
        conditions.append(
            sql.SQL("""{value} IN (
                SELECT key FROM items WHERE workspace_id = %(workspace)s AND feed_id = {feed} AND revision > {revision}
                UNION SELECT key FROM item_versions
                WHERE workspace_id = %(workspace)s AND feed_id = {feed} AND revision > {revision})
            """).format(value=value, feed=feed.id, revision=since[str(feed.id)])
        )
    return sql.SQL(" AND ({})").format(sql.SQL(" OR ").join(conditions))


def _source_sql(source: Source) -> sql.Composable:
    cell = sql.SQL("(items.data || coalesce(row.joined, '{{}}') -> {})").format(source.column)
    if JOINED not in source.column:
        cell = sql.SQL("(items.data -> {})").format(source.column)
    match source.kind:
        case SourceKind.COLUMN:
            return sql.SQL("{}::text").format(cell)
        case SourceKind.ADDED:
            return sql.SQL("to_json(items.created_at)::text")
        case SourceKind.CHANGED:
            return sql.SQL("to_json(coalesce(items.changed_at, items.created_at))::text")
    return sql.SQL("""(
        SELECT (version.data -> {column})::text FROM item_versions AS version
        WHERE version.workspace_id = %(workspace)s AND version.feed_id = %(feed)s AND version.key = items.key
          AND version.data -> {column} IS DISTINCT FROM items.data -> {column}
        ORDER BY version.revision DESC LIMIT 1)
    """).format(column=source.column)


def read_sources(db: Session, campaign: Campaign, key: str, sources: Sequence[Source]) -> list[str | None] | None:
    """Return what a matcher compares of one row; None if the feed has no such row."""
    query, parameters = _rows_query(campaign, sources, joined_feeds(db, campaign), None)
    with raw_connection(db).cursor() as cursor:
        cursor.execute(query + sql.SQL(" AND items.key = {}").format(key), parameters)
        row: Any = cursor.fetchone()
    return list(row[9:]) if row else None


def _store(
    campaign: Campaign,
    plan: _Plan,
    revisions: Mapping[str, int],
    today: date | None,
    joins: Sequence[str],
    *,
    is_changed: bool,
) -> None:
    campaign.planned_revision, campaign.planned_feeds, campaign.planned_on = campaign.revision, dict(revisions), today
    campaign.plan += is_changed
    campaign.counts = [[list(designs), count] for designs, count in sorted(plan.counts.items()) if count]
    campaign.samples = {str(design): keys for design, keys in plan.samples.items()}
    campaign.unclear = {
        str(rule): {"rows": rows, "first": plan.unclear_first[rule]}
        for rule, rows in sorted(plan.unclear_count.items())
        if rows
    }
    campaign.unmatched = {
        joins[place]: {"rows": rows, "first": plan.unmatched_first[place]}
        for place, rows in sorted(plan.unmatched_count.items())
        if rows
    }


def count_by_design(campaign: Campaign, active: Iterable[int]) -> Counter[int]:
    """Return how many rows each design gets while some designs count."""
    counting = set(active)
    counts: Counter[int] = Counter()
    for designs, count in campaign.counts:
        first = next((design for design in designs if design in counting), None)
        if first is not None:
            counts[first] += count
    return counts

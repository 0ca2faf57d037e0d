"""The calendar of a campaign: which windows are open on each day, what changes when, and which windows overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import combinations
from zoneinfo import ZoneInfo

from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.rules import DesignRule, active_designs, local_time, window_times

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
MIDNIGHT = time()


@dataclass(frozen=True)
class OpenWindow:
    """A rule whose window is open on a day.

    Attributes:
        rule: the rule.
        begin: the local time at which the window begins on this day; None if it was open before.
        end: the local time at which it ends on this day; None if it stays open.
    """

    rule: DesignRule
    begin: time | None
    end: time | None


@dataclass(frozen=True)
class CalendarDay:
    """A day, and the windows that are open on it, in the order of the rules."""

    day: date
    windows: list[OpenWindow]


@dataclass(frozen=True)
class Change:
    """A moment at which windows begin or end.

    Attributes:
        moment: the moment, in UTC.
        begins: the rules whose windows begin.
        ends: the rules whose windows end.
        rows: how many rows then get another design.
    """

    moment: datetime
    begins: list[DesignRule]
    ends: list[DesignRule]
    rows: int


@dataclass(frozen=True)
class Overlap:
    """Two rules with windows that are open at the same time, and how many rows both would take; the first one does."""

    first: DesignRule
    second: DesignRule
    begin: datetime
    rows: int


def weeks_of(rules: Sequence[DesignRule], zone: ZoneInfo, month: date) -> list[list[CalendarDay]]:
    """Return the weeks of a month, from Monday to Sunday, with the days of other months that fill them."""
    first = month.replace(day=1)
    last = (first + 31 * DAY).replace(day=1) - DAY
    day = first - first.weekday() * DAY
    weeks = []
    while day <= last:
        weeks.append([_calendar_day(rules, zone, day + number * DAY) for number in range(7)])
        day += 7 * DAY
    return weeks


def find_changes(campaign: Campaign, begin: datetime, end: datetime) -> list[Change]:
    """Return what changes from a moment until before another; rows are counted by the campaign's newest plan."""
    rules, zone = campaign.design_rules, ZoneInfo(campaign.time_zone)
    windowed = _windowed(rules)
    changes = []
    for moment in window_times(rules, zone, begin - INSTANT, end - INSTANT):
        before = moment - INSTANT
        opened = [(rule, _is_open(rule, zone, before), _is_open(rule, zone, moment)) for rule in windowed]
        changes.append(
            Change(
                moment,
                begins=[rule for rule, was, is_ in opened if is_ and not was],
                ends=[rule for rule, was, is_ in opened if was and not is_],
                rows=count_switched(campaign, active_designs(rules, zone, before), active_designs(rules, zone, moment)),
            )
        )
    return changes


def count_switched(campaign: Campaign, before: Sequence[int], after: Sequence[int]) -> int:
    """Return how many rows get another design when other designs count."""
    old, new = frozenset(before), frozenset(after)
    return sum(count for designs, count in campaign.counts if _first(designs, old) != _first(designs, new))


def find_overlaps(campaign: Campaign, begin: datetime, end: datetime) -> list[Overlap]:
    """Return the pairs of rules whose windows overlap in a period and that take the same rows."""
    zone = ZoneInfo(campaign.time_zone)
    overlaps = []
    for first, second in combinations(_windowed(campaign.design_rules), 2):
        moment = _common_moment(first, second, zone, begin, end)
        rows = _count_of_both(campaign, first, second) if moment else 0
        if moment and rows:
            overlaps.append(Overlap(first, second, moment, rows))
    return overlaps


def _windowed(rules: Sequence[DesignRule]) -> list[DesignRule]:
    return [rule for rule in rules if rule.is_enabled and rule.window]


def _is_open(rule: DesignRule, zone: ZoneInfo, moment: datetime) -> bool:
    return rule.window is not None and rule.window.is_open(zone, moment)


def _calendar_day(rules: Sequence[DesignRule], zone: ZoneInfo, day: date) -> CalendarDay:
    begin, end = local_time(day, MIDNIGHT, zone), local_time(day + DAY, MIDNIGHT, zone)
    windows = []
    for rule in _windowed(rules):
        for start, until in rule.window.spans(zone, begin, end) if rule.window else ():
            windows.append(
                OpenWindow(
                    rule,
                    start.astimezone(zone).time() if start >= begin else None,
                    until.astimezone(zone).time() if until < end else None,
                )
            )
    return CalendarDay(day, windows)


def _common_moment(
    first: DesignRule, second: DesignRule, zone: ZoneInfo, begin: datetime, end: datetime
) -> datetime | None:
    assert first.window
    assert second.window
    spans = [
        max(start, other_start, begin)
        for start, until in first.window.spans(zone, begin, end)
        for other_start, other_until in second.window.spans(zone, begin, end)
        if max(start, other_start, begin) < min(until, other_until, end)
    ]
    return min(spans, default=None)


def _count_of_both(campaign: Campaign, first: DesignRule, second: DesignRule) -> int:
    one, other = ({design.number for design in rule.designs} for rule in (first, second))
    return sum(count for designs, count in campaign.counts if one & set(designs) and other & set(designs))


def _first(designs: Sequence[int], active: frozenset[int]) -> int | None:
    return next((design for design in designs if design in active), None)

"""The calendar of a campaign."""

from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from cwz_web.campaigns.calendar import count_switched, find_changes, find_overlaps, weeks_of
from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.rules import RULES, Design, DesignRule, Weekly, Window

ZURICH = ZoneInfo("Europe/Zurich")
# Until after daylight saving ended, on 1 November 2026 in New York and on 25 October in Zurich.
SALE = Window(begin=datetime(2026, 10, 24, 22, tzinfo=UTC), end=datetime(2026, 10, 26, 23, tzinfo=UTC))
WEEKEND = Window(weekly=Weekly(from_day=4, from_time=time(18), until_day=0, until_time=time(6)))


def rule(number: int, window: Window | None = None, **values: Any) -> DesignRule:
    return DesignRule(number=number, name=f"Rule {number}", window=window, designs=[Design(number=number)], **values)


def campaign(*rules: DesignRule, counts: list[Any]) -> Campaign:
    stored = RULES.dump_python(list(rules), mode="json")
    return Campaign(rules=stored, time_zone="Europe/Zurich", counts=counts)


def test_days_name_when_windows_begin_and_end_in_the_zone_of_the_campaign() -> None:
    weeks = weeks_of([rule(1, SALE), rule(2)], ZURICH, date(2026, 10, 7))
    assert [len(week) for week in weeks] == [7] * 5
    assert (weeks[0][0].day, weeks[-1][-1].day) == (date(2026, 9, 28), date(2026, 11, 1))
    days = {day.day: [(each.begin, each.end) for each in day.windows] for week in weeks for day in week}
    assert days[date(2026, 10, 24)] == []
    assert days[date(2026, 10, 25)] == [(time(0), None)]
    assert days[date(2026, 10, 26)] == [(None, None)]
    assert days[date(2026, 10, 27)] == []


def test_changes_name_the_rules_and_count_the_rows_that_get_another_design() -> None:
    found = find_changes(
        campaign(rule(1, SALE), rule(2, WEEKEND), rule(3), counts=[[[1, 2, 3], 5], [[2, 3], 7], [[3], 100]]),
        datetime(2026, 10, 22, tzinfo=UTC),
        datetime(2026, 10, 28, tzinfo=UTC),
    )
    assert [(each.moment.isoformat()[:16], len(each.begins), len(each.ends), each.rows) for each in found] == [
        ("2026-10-23T16:00", 1, 0, 12),
        ("2026-10-24T22:00", 1, 0, 5),
        ("2026-10-26T05:00", 0, 1, 7),
        ("2026-10-26T23:00", 0, 1, 5),
    ]


def test_a_change_at_midnight_is_one_of_the_later_month() -> None:
    noon, midnight = datetime(2026, 10, 26, 12, tzinfo=UTC), datetime(2026, 10, 26, 23, tzinfo=UTC)
    own = campaign(rule(1, SALE), rule(2), counts=[[[1, 2], 5]])
    assert not find_changes(own, noon, midnight)
    assert len(find_changes(own, midnight, datetime(2026, 10, 28, tzinfo=UTC))) == 1


def test_overlaps_are_windows_whose_rules_take_the_same_rows() -> None:
    period = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    rules = (rule(1, SALE), rule(2, WEEKEND), rule(3))
    (overlap,) = find_overlaps(campaign(*rules, counts=[[[1, 2, 3], 5], [[2, 3], 7]]), *period)
    assert (overlap.first.number, overlap.second.number, overlap.rows) == (1, 2, 5)
    assert overlap.begin == SALE.begin
    assert not find_overlaps(campaign(*rules, counts=[[[1, 3], 5], [[2, 3], 7]]), *period)
    later = datetime(2026, 10, 27, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    assert not find_overlaps(campaign(*rules, counts=[[[1, 2, 3], 5]]), *later)


def test_rows_without_another_design_are_not_switched() -> None:
    assert count_switched(campaign(rule(1), counts=[[[1, 2], 3], [[2], 4]]), [2], [1, 2]) == 3

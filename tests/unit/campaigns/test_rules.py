"""Design rules: their windows, in time zones with daylight saving, and what they may be."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cwz_web.campaigns.rules import (
    Design,
    DesignRule,
    InvalidRulesError,
    Weekly,
    Window,
    active_designs,
    check_rules,
    next_time,
    phases,
)

BERLIN, SYDNEY = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Sydney")
WEEKEND = Weekly(from_day=4, from_time=time(18), until_day=0, until_time=time(8))  # Friday 18:00 to Monday 8:00


def rule(number: int, window: Window | None = None, **more: object) -> DesignRule:
    values = {"number": number, "name": f"Rule {number}", "designs": [Design(number=number)]}
    return DesignRule.model_validate({**values, "window": window, **more})


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        (utc(2026, 11, 27, 16, 59), False),  # Friday 17:59 in Berlin
        (utc(2026, 11, 27, 17, 0), True),
        (utc(2026, 11, 30, 6, 59), True),
        (utc(2026, 11, 30, 7, 0), False),
        (utc(2026, 7, 3, 15, 59), False),  # in summer, 18:00 in Berlin is 16:00 UTC
        (utc(2026, 7, 3, 16, 0), True),
    ],
)
def test_weekly_window_is_in_local_time(moment: datetime, is_open: bool) -> None:
    assert Window(weekly=WEEKEND).is_open(BERLIN, moment) is is_open


def test_window_of_the_weekend_in_which_the_clock_changes() -> None:
    spans = list(Window(weekly=WEEKEND).spans(BERLIN, utc(2026, 3, 27), utc(2026, 4, 1)))
    assert spans == [(utc(2026, 3, 27, 17), utc(2026, 3, 30, 6))]  # an hour shorter
    spans = list(Window(weekly=WEEKEND).spans(BERLIN, utc(2026, 10, 23), utc(2026, 10, 28)))
    assert spans == [(utc(2026, 10, 23, 16), utc(2026, 10, 26, 7))]  # an hour longer


def test_local_time_that_does_not_exist_or_exists_twice() -> None:
    night = Weekly(from_day=6, from_time=time(2, 30), until_day=6, until_time=time(4))
    [(start, end)] = Window(weekly=night).spans(BERLIN, utc(2026, 3, 28), utc(2026, 3, 31))
    assert (start, end) == (utc(2026, 3, 29, 1, 30), utc(2026, 3, 29, 2))  # 2:30 is 3:30 on the clock
    [(start, end)] = Window(weekly=night).spans(BERLIN, utc(2026, 10, 24), utc(2026, 10, 27))
    assert (start, end) == (utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 3))  # the first of the two


def test_weekly_window_within_two_dates() -> None:
    window = Window(begin=utc(2026, 11, 28), end=utc(2026, 12, 5), weekly=WEEKEND)
    spans = list(window.spans(BERLIN, utc(2026, 11, 1), utc(2027, 1, 1)))
    assert spans == [(utc(2026, 11, 28), utc(2026, 11, 30, 7)), (utc(2026, 12, 4, 17), utc(2026, 12, 5))]


def test_phases_begin_where_other_designs_count() -> None:
    sale = rule(1, Window(begin=utc(2026, 11, 27), end=utc(2026, 11, 30)))
    same = rule(2, Window(begin=utc(2026, 11, 27), end=utc(2026, 12, 24)))
    disabled = rule(3, Window(begin=utc(2026, 11, 28), end=utc(2026, 11, 29)), is_enabled=False)
    rules = [sale, same, disabled, rule(4)]
    found = phases(rules, BERLIN, utc(2026, 11, 26), utc(2026, 12, 31))
    assert [(phase.begin, phase.designs) for phase in found] == [
        (None, (4,)),
        (utc(2026, 11, 27), (1, 2, 4)),
        (utc(2026, 11, 30), (2, 4)),
        (utc(2026, 12, 24), (4,)),
    ]
    assert next_time(rules, BERLIN, utc(2026, 11, 28)) == utc(2026, 11, 30)
    assert next_time(rules, BERLIN, utc(2026, 12, 24)) is None


@given(
    day=st.integers(0, 6),
    until=st.integers(0, 6),
    start=st.times().map(lambda each: each.replace(second=0, microsecond=0)),
    end=st.times().map(lambda each: each.replace(second=0, microsecond=0)),
    offset=st.integers(0, 3 * 365 * 24 * 60),
    zone=st.sampled_from([BERLIN, SYDNEY, ZoneInfo("UTC"), ZoneInfo("America/St_Johns")]),
)
def test_phases_agree_with_the_designs_at_each_moment(
    day: int, until: int, start: time, end: time, offset: int, zone: ZoneInfo
) -> None:
    if (day, start) == (until, end):
        return
    weekly = Weekly(from_day=day, from_time=start, until_day=until, until_time=end)
    rules = [rule(1, Window(weekly=weekly)), rule(2)]
    now = utc(2026, 1, 1) + timedelta(minutes=offset)
    found = phases(rules, zone, now, now + timedelta(days=15))
    for phase, following in zip(found, [*found[1:], None], strict=True):
        begin = phase.begin or now
        last = (following.begin if following and following.begin else now + timedelta(days=15)) - timedelta(seconds=1)
        for moment in (begin, begin + (last - begin) / 2, last):
            assert active_designs(rules, zone, moment) == phase.designs


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([], "at least one rule"),
        ([rule(1, condition="price > 1")], "last rule takes all other rows"),
        ([rule(1, is_enabled=False)], "last rule takes all other rows"),
        ([rule(1, Window(begin=utc(2026, 1, 1)))], "last rule takes all other rows"),
        ([rule(1), rule(1)], "same number"),
        ([rule(1, designs=[Design(number=1, label="A"), Design(number=2, label="A")])], "labels"),
        ([rule(1, designs=[Design(number=1, label="A"), Design(number=2)])], "labels"),
    ],
)
def test_rules_that_contradict_each_other_are_refused(rules: list[DesignRule], message: str) -> None:
    with pytest.raises(InvalidRulesError, match=message):
        check_rules(rules)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"begin": utc(2026, 2, 1), "end": utc(2026, 1, 1)},
        {"begin": datetime(2026, 1, 1)},  # noqa: DTZ001 - without a time zone
        {"weekly": {"from_day": 1, "from_time": "08:00", "until_day": 1, "until_time": "08:00"}},
        {"weekly": {"from_day": 7, "from_time": "08:00", "until_day": 1, "until_time": "08:00"}},
        {"weekly": {"from_day": 1, "from_time": "08:00:30", "until_day": 1, "until_time": "09:00"}},
    ],
)
def test_window_that_is_not_valid_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Window.model_validate(values)

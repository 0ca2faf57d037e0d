from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.schedules import (
    EVERY,
    InvalidScheduleError,
    Schedule,
    check_cron,
    next_time,
    schedule_of,
    time_zones,
)

FEED = UUID(int=7)
NEW_YEAR = datetime.fromisoformat("2026-01-01")
schedules = st.one_of(
    st.sampled_from([Schedule(), Schedule("hour"), Schedule("six-hours"), Schedule("cron", cron="30 6 * * 1-5")]),
    st.builds(
        lambda every, at, day: Schedule(every, at.strftime("%H:%M"), day if every == "week" else 1),
        st.sampled_from(["day", "week"]),
        st.times(),
        st.integers(0, 6),
    ),
)


@given(schedules)
def test_a_schedule_is_kept_and_found_again(schedule: Schedule) -> None:
    assert schedule_of(schedule.expression()) == schedule


@pytest.mark.parametrize(
    ("cron", "zone", "now", "then"),
    [
        ("0 6 * * *", "UTC", "2026-03-28T05:00", "2026-03-28T06:00"),
        ("0 6 * * *", "Europe/Berlin", "2026-03-28T05:30", "2026-03-29T04:00"),  # summer begins that night
        ("0 6 * * *", "Europe/Berlin", "2026-10-25T01:00", "2026-10-25T05:00"),  # and ends that one
        ("30 6 * * 1", "America/New_York", "2026-11-25T00:00", "2026-11-30T11:30"),
    ],
)
def test_the_time_is_that_of_the_zone(cron: str, zone: str, now: str, then: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert next_time(cron, zone, FEED, at) == datetime.fromisoformat(then).replace(tzinfo=UTC)


moments = st.datetimes(NEW_YEAR, NEW_YEAR.replace(year=2030), timezones=st.just(UTC))


@given(moments, st.sampled_from(["UTC", "Asia/Kolkata"]))
def test_an_hourly_feed_comes_once_an_hour_and_each_at_its_own_minute(now: datetime, zone: str) -> None:
    first = next_time("H * * * *", zone, FEED, now)
    assert timedelta(0) < first - now <= timedelta(hours=1)
    assert next_time("H * * * *", zone, FEED, first) - first == timedelta(hours=1)


def test_a_thousand_feeds_do_not_come_at_once() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    minutes = {next_time("H * * * *", "UTC", uuid4(), now).minute for _ in range(1000)}
    assert len(minutes) > 50


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("", "five fields"),
        ("0 6 * *", "five fields"),
        ("0 6 * * * *", "five fields"),
        ("@daily", "five fields"),
        ("0 6 * * 1; DROP", "five fields"),
        ("61 * * * *", "no cron expression"),
        ("0 0 30 2 *", "never comes"),
        ("* * * * *", "too often"),
        ("0,3 * * * *", "too often"),
        ("R * * * *", "five fields"),
        (",".join(["1"] * 200) + " * * * *", "five fields"),
    ],
)
def test_what_is_no_schedule_is_refused(text: str, saying: str) -> None:
    with pytest.raises(InvalidScheduleError, match=saying):
        check_cron(text)


@given(st.text(max_size=60))
def test_any_text_is_a_schedule_or_refused(text: str) -> None:
    with suppress(InvalidScheduleError):  # anything else fails the test
        assert next_time(check_cron(text), "UTC", FEED, datetime.now(UTC)) > datetime.now(UTC)


def test_words_say_when() -> None:
    assert str(Schedule("day", "06:30")) == "Every day at 06:30"
    assert str(Schedule("week", "06:30", 5)) == "Every week on Friday at 06:30"
    assert str(Schedule("cron", cron="30 6 * * 1-5")) == "By a cron expression 30 6 * * 1-5"
    assert {str(Schedule()), str(Schedule("hour"))} == {EVERY[""], EVERY["hour"]}


def test_time_zones_are_known() -> None:
    assert {"UTC", "Europe/Berlin", "America/New_York"} <= set(time_zones())
    assert not [zone for zone in time_zones() if zone.startswith("Etc/")]

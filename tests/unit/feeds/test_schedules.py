from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.schedules import (
    FREQUENCY_LABELS,
    Frequency,
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
    st.sampled_from(
        [
            Schedule(),
            Schedule(Frequency.HOURLY),
            Schedule(Frequency.SIX_HOURS),
            Schedule(Frequency.CRON, cron="30 6 * * 1-5"),
        ]
    ),
    st.builds(
        lambda frequency, at, day: Schedule(
            frequency, at.strftime("%H:%M"), day if frequency == Frequency.WEEKLY else 1
        ),
        st.sampled_from([Frequency.DAILY, Frequency.WEEKLY]),
        st.times(),
        st.integers(0, 6),
    ),
)


@given(schedules)
def test_schedule_round_trip(schedule: Schedule) -> None:
    assert schedule_of(schedule.expression()) == schedule


@pytest.mark.parametrize(
    ("cron", "zone", "now", "expected"),
    [
        ("0 6 * * *", "UTC", "2026-03-28T05:00", "2026-03-28T06:00"),
        ("0 6 * * *", "Europe/Berlin", "2026-03-28T05:30", "2026-03-29T04:00"),  # daylight saving time begins
        ("0 6 * * *", "Europe/Berlin", "2026-10-25T01:00", "2026-10-25T05:00"),  # daylight saving time ends
        ("30 6 * * 1", "America/New_York", "2026-11-25T00:00", "2026-11-30T11:30"),
    ],
)
def test_next_time_in_a_time_zone(cron: str, zone: str, now: str, expected: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert next_time(cron, zone, FEED, at) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


moments = st.datetimes(NEW_YEAR, NEW_YEAR.replace(year=2030), timezones=st.just(UTC))


@given(moments, st.sampled_from(["UTC", "Asia/Kolkata"]))
def test_hourly_feed_is_fetched_once_an_hour(now: datetime, zone: str) -> None:
    first = next_time("H * * * *", zone, FEED, now)
    assert timedelta(0) < first - now <= timedelta(hours=1)
    assert next_time("H * * * *", zone, FEED, first) - first == timedelta(hours=1)


def test_feeds_are_spread_over_the_hour() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    minutes = {next_time("H * * * *", "UTC", uuid4(), now).minute for _ in range(1000)}
    assert len(minutes) > 50


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "five fields"),
        ("0 6 * *", "five fields"),
        ("0 6 * * * *", "five fields"),
        ("@daily", "five fields"),
        ("0 6 * * 1; DROP", "five fields"),
        ("61 * * * *", "not a valid cron expression"),
        ("0 0 30 2 *", "never occurs"),
        ("* * * * *", "too often"),
        ("0,3 * * * *", "too often"),
        ("R * * * *", "five fields"),
        (",".join(["1"] * 200) + " * * * *", "five fields"),
    ],
)
def test_invalid_cron_is_rejected(text: str, message: str) -> None:
    with pytest.raises(InvalidScheduleError, match=message):
        check_cron(text)


@given(st.text(max_size=60))
def test_any_text_is_accepted_or_rejected(text: str) -> None:
    with suppress(InvalidScheduleError):  # anything else fails the test
        assert next_time(check_cron(text), "UTC", FEED, datetime.now(UTC)) > datetime.now(UTC)


def test_description() -> None:
    assert str(Schedule(Frequency.DAILY, "06:30")) == "Every day at 06:30"
    assert str(Schedule(Frequency.WEEKLY, "06:30", 5)) == "Every week on Friday at 06:30"
    assert str(Schedule(Frequency.CRON, cron="30 6 * * 1-5")) == "Cron expression 30 6 * * 1-5"
    assert str(Schedule()) == FREQUENCY_LABELS[Frequency.MANUAL]
    assert str(Schedule(Frequency.HOURLY)) == FREQUENCY_LABELS[Frequency.HOURLY]


def test_time_zones() -> None:
    assert {"UTC", "Europe/Berlin", "America/New_York"} <= set(time_zones())
    assert not [zone for zone in time_zones() if zone.startswith("Etc/")]

"""Schedules on which feeds are fetched: hourly to weekly, or a cron expression, in a time zone.

Cron expressions have the five fields of crontab(5), as croniter reads them. An `H` stands for a number derived from the
feed's id, so that a thousand feeds are not fetched at the same minute.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterError, croniter

from cwz_web.i18n import gettext, gettext_noop


class Frequency(StrEnum):
    """How often a feed is fetched."""

    MANUAL = ""
    HOURLY = "hour"
    SIX_HOURS = "six-hours"
    DAILY = "day"
    WEEKLY = "week"
    CRON = "cron"


FREQUENCY_LABELS = {
    Frequency.MANUAL: gettext_noop("Manually"),
    Frequency.HOURLY: gettext_noop("Every hour"),
    Frequency.SIX_HOURS: gettext_noop("Every 6 hours"),
    Frequency.DAILY: gettext_noop("Every day"),
    Frequency.WEEKLY: gettext_noop("Every week"),
    Frequency.CRON: gettext_noop("Cron expression"),
}
WEEKDAYS = (
    gettext_noop("Sunday"),
    gettext_noop("Monday"),
    gettext_noop("Tuesday"),
    gettext_noop("Wednesday"),
    gettext_noop("Thursday"),
    gettext_noop("Friday"),
    gettext_noop("Saturday"),
)
MIN_INTERVAL = timedelta(minutes=5)
# The number of consecutive times of a cron expression that are checked against the minimum interval.
CHECKED_TIMES = 60
_HOURLY = {Frequency.HOURLY: "H * * * *", Frequency.SIX_HOURS: "H */6 * * *"}
_daily = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* (\*|[0-6])|H (\d{1,2}) \* \* (\*|[0-6])")
# Without croniter's R, a new random number each time.
_cron = re.compile(r"(?!.*\bR\b)[0-9A-Z*/,#() -]{9,100}", re.IGNORECASE)


class InvalidScheduleError(ValueError):
    """The schedule is not valid; the message says how to fix it."""


@dataclass(frozen=True)
class Schedule:
    """A schedule as the form shows it.

    Attributes:
        frequency: How often.
        at: The time of day, as in "06:00", for daily and weekly.
        weekday: 0 for Sunday, for weekly.
        cron: The expression, for `Frequency.CRON`.
    """

    frequency: Frequency = Frequency.MANUAL
    at: str = "06:00"
    weekday: int = 1
    cron: str = ""

    def expression(self) -> str | None:
        """Return the cron expression; None for manual fetches. Raises InvalidScheduleError."""
        hour, _, minute = self.at.partition(":")
        match self.frequency:
            case Frequency.MANUAL:
                return None
            case Frequency.DAILY:
                return f"{int(minute)} {int(hour)} * * *"
            case Frequency.WEEKLY:
                return f"{int(minute)} {int(hour)} * * {self.weekday}"
            case Frequency.CRON:
                return check_cron(self.cron)
        return _HOURLY[self.frequency]

    def __str__(self) -> str:
        match self.frequency:
            case Frequency.DAILY:
                return gettext("Every day at %(time)s", time=self.at)
            case Frequency.WEEKLY:
                return gettext("Every week on %(day)s at %(time)s", day=gettext(WEEKDAYS[self.weekday]), time=self.at)
            case Frequency.CRON:
                return gettext("Cron expression %(expression)s", expression=self.cron)
        return gettext(FREQUENCY_LABELS[self.frequency])


def schedule_of(expression: str | None) -> Schedule:
    """Return the schedule of a stored cron expression."""
    if expression is None:
        return Schedule()
    for frequency, known in _HOURLY.items():
        if expression == known:
            return Schedule(frequency)
    match = _daily.fullmatch(expression)
    if not match:
        return Schedule(Frequency.CRON, cron=expression)
    minute, hour, day = match[1] or 0, match[2] or match[4], match[3] or match[5]
    at = f"{int(hour):02}:{int(minute):02}"
    return Schedule(Frequency.DAILY, at) if day == "*" else Schedule(Frequency.WEEKLY, at, int(day))


def check_cron(text: str) -> str:
    """Return a valid cron expression with single spaces. Raises InvalidScheduleError."""
    expression = " ".join(text.split())
    if not _cron.fullmatch(expression) or len(expression.split()) != 5:
        raise InvalidScheduleError(
            gettext("Enter five fields: minute, hour, day, month and day of the week, for example 30 6 * * 1-5")
        )
    try:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        times = croniter(expression, start, ret_type=datetime, hash_id=b"", max_years_between_matches=5)
        upcoming = [times.get_next() for _ in range(CHECKED_TIMES)]
    except CroniterError:
        raise InvalidScheduleError(gettext("This is not a valid cron expression, or it never occurs")) from None
    if min(later - earlier for earlier, later in pairwise(upcoming)) < MIN_INTERVAL:
        raise InvalidScheduleError(gettext("This is too often; fetch at most every 5 minutes"))
    return expression


def next_time(expression: str, time_zone: str, feed_id: UUID, now: datetime) -> datetime:
    """Return the next time of a schedule, in UTC.

    Args:
        expression: a cron expression with five fields.
        time_zone: the name of the time zone that it is in.
        feed_id: determines the values of `H`.
        now: the time that it must be after.
    """
    local = now.astimezone(ZoneInfo(time_zone))
    upcoming: datetime = croniter(expression, local, ret_type=datetime, hash_id=feed_id.bytes).get_next()
    return upcoming.astimezone(UTC)


@lru_cache
def time_zones() -> list[str]:
    """Return the names of the time zones to choose from."""
    return ["UTC", *sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))]


def check_time_zone(name: str) -> str:
    """Return the name of a time zone. Raises ValueError."""
    if name not in time_zones():
        raise ValueError(gettext("Choose a time zone from the list, for example Europe/Berlin"))
    return name

"""When a feed is fetched by itself: hourly to weekly, or by a cron expression, in the time zone of whoever chose it.

Cron is as crontab(5) has it, five fields, read by croniter; an `H` is a number that is the feed's own, so that a
thousand feeds do not come at once.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterError, croniter

# Words for people, by what the form says.
EVERY = {
    "": "Only when I ask",
    "hour": "Every hour",
    "six-hours": "Every six hours",
    "day": "Every day",
    "week": "Every week",
    "cron": "By a cron expression",
}
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
SHORTEST = timedelta(minutes=5)
# So many times in a row are looked at for the shortest time between two.
LOOKED_AT = 60
_HOURLY = {"hour": "H * * * *", "six-hours": "H */6 * * *"}
_daily = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* (\*|[0-6])|H (\d{1,2}) \* \* (\*|[0-6])")
# croniter's R is a new random number each time: no schedule.
_cron = re.compile(r"(?!.*\bR\b)[0-9A-Z*/,#() -]{9,100}", re.IGNORECASE)


class InvalidScheduleError(ValueError):
    """It is no schedule that we keep; the message says what would be right."""


@dataclass(frozen=True)
class Schedule:
    """A schedule as people choose it.

    Attributes:
        every: a key of EVERY.
        at: the time of day, "06:00", for days and weeks.
        weekday: 0 for Sunday, for weeks.
        cron: for those who write their own.
    """

    every: str = ""
    at: str = "06:00"
    weekday: int = 1
    cron: str = ""

    def expression(self) -> str | None:
        """The cron expression; None for a feed that is fetched only when asked. Raises InvalidScheduleError."""
        hour, _, minute = self.at.partition(":")
        match self.every:
            case "":
                return None
            case "day":
                return f"{int(minute)} {int(hour)} * * *"
            case "week":
                return f"{int(minute)} {int(hour)} * * {self.weekday}"
            case "cron":
                return check_cron(self.cron)
        return _HOURLY[self.every]

    def __str__(self) -> str:
        when = f"at {self.at}" if self.every in ("day", "week") else self.cron if self.every == "cron" else ""
        day = f"on {WEEKDAYS[self.weekday]}" if self.every == "week" else ""
        return " ".join(filter(None, (EVERY[self.every], day, when)))


def schedule_of(expression: str | None) -> Schedule:
    """A kept expression as people chose it."""
    if expression is None:
        return Schedule()
    for every, known in _HOURLY.items():
        if expression == known:
            return Schedule(every)
    found = _daily.fullmatch(expression)
    if not found:
        return Schedule("cron", cron=expression)
    minute, hour, day = found[1] or 0, found[2] or found[4], found[3] or found[5]
    at = f"{int(hour):02}:{int(minute):02}"
    return Schedule("day", at) if day == "*" else Schedule("week", at, int(day))


def check_cron(text: str) -> str:
    """A cron expression, tidied. Raises InvalidScheduleError."""
    tidy = " ".join(text.split())
    if not _cron.fullmatch(tidy) or len(tidy.split()) != 5:
        raise InvalidScheduleError("Write five fields: minute, hour, day, month, day of the week, as in 30 6 * * 1-5")
    try:
        begin = datetime(2026, 1, 1, tzinfo=UTC)
        times = croniter(tidy, begin, ret_type=datetime, hash_id=b"", max_years_between_matches=5)
        coming = [times.get_next() for _ in range(LOOKED_AT)]
    except CroniterError:
        raise InvalidScheduleError("This is no cron expression, or its day never comes") from None
    if min(later - earlier for earlier, later in pairwise(coming)) < SHORTEST:
        raise InvalidScheduleError("This is too often; every five minutes is the most")
    return tidy


def next_time(expression: str, time_zone: str, feed_id: UUID, now: datetime) -> datetime:
    """When it is time again, after now."""
    local = now.astimezone(ZoneInfo(time_zone))
    coming: datetime = croniter(expression, local, ret_type=datetime, hash_id=feed_id.bytes).get_next()
    return coming.astimezone(UTC)


@lru_cache
def time_zones() -> list[str]:
    """The time zones that people may choose."""
    return ["UTC", *sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))]

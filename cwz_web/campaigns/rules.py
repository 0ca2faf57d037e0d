"""Design rules: which rows get which design, and in which windows of time.

The first rule that takes a row wins; the last one has no condition and no window, so that each row has a design. A
design is a template with its mapping, or the row's original photo.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import blake2b
from typing import Annotated, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from cwz_web.i18n import gettext
from cwz_web.imaging.expression_syntax import MAX_LENGTH

MAX_RULES, MAX_DESIGNS = 40, 10
MAX_RULE_NAME, MAX_LABEL = 80, 40
MAX_WEIGHT = 100
# Window times are looked for in so many days; a weekly window begins and ends within them.
HORIZON = timedelta(days=62)
_HASH_BYTES = 8


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Weekly(_Model):
    """A window of each week, in the campaign's time zone: from a time on a day until a time on the same or a later day.

    Attributes:
        from_day: 0 for Monday to 6 for Sunday.
        from_time: the local time at which it begins.
        until_day: the day on which it ends; if that is not later, in the next week.
        until_time: the local time at which it ends.
    """

    from_day: Annotated[int, Field(ge=0, le=6)]
    from_time: time
    until_day: Annotated[int, Field(ge=0, le=6)]
    until_time: time

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if any(each.tzinfo or each.second or each.microsecond for each in (self.from_time, self.until_time)):
            raise ValueError(gettext("Enter times as hours and minutes, such as 18:00"))
        if (self.from_day, self.from_time) == (self.until_day, self.until_time):
            raise ValueError(gettext("The window must end at another time than it begins"))
        return self

    def spans(self, zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the windows that overlap a period, in UTC."""
        days = (self.until_day - self.from_day) % 7
        if days == 0 and self.until_time <= self.from_time:
            days = 7
        day = begin.astimezone(zone).date() - timedelta(days=14)
        day += timedelta(days=(self.from_day - day.weekday()) % 7)
        while (start := local_time(day, self.from_time, zone)) < end:
            until = local_time(day + timedelta(days=days), self.until_time, zone)
            if until > begin:
                yield start, until
            day += timedelta(days=7)


class Window(_Model):
    """When a rule counts: between two times, or weekly between them.

    Attributes:
        begin: the first moment; None if it has always begun.
        end: the moment at which it is over; None if it never is.
        weekly: the part of each week in which it counts; None for all of it.
    """

    begin: AwareDatetime | None = None
    end: AwareDatetime | None = None
    weekly: Weekly | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.begin and self.end and self.begin >= self.end:
            raise ValueError(gettext("The window must end after it begins"))
        if not (self.begin or self.end or self.weekly):
            raise ValueError(gettext("Enter when the window begins or ends"))
        return self

    def spans(self, zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the times at which the window is open in a period, in UTC, not cut to the period.

        Args:
            zone: the campaign's time zone.
            begin: the start of the period.
            end: its end.
        """
        first = self.begin.astimezone(UTC) if self.begin else datetime.min.replace(tzinfo=UTC)
        last = self.end.astimezone(UTC) if self.end else datetime.max.replace(tzinfo=UTC)
        spans = self.weekly.spans(zone, begin, end) if self.weekly else iter([(first, last)])
        for start, until in spans:
            start, until = max(start, first), min(until, last)
            if start < until and start < end and until > begin:
                yield start, until

    def is_open(self, zone: ZoneInfo, moment: datetime) -> bool:
        """Return whether the window is open at a moment."""
        return any(start <= moment < end for start, end in self.spans(zone, moment, moment + timedelta(microseconds=1)))


class Design(_Model):
    """A design of a rule.

    Attributes:
        number: identifies it in the campaign; it is never used again for another design.
        template: the template; None for the row's original photo.
        mapping: the template's fields to columns (runs.mapping).
        label: what the output feed says of rows with it, if the rule has several.
        weight: its share of the rule's rows, relative to the other designs.
    """

    number: Annotated[int, Field(ge=1, le=32_000)]
    template: UUID | None = None
    mapping: dict[str, Annotated[str, Field(max_length=400)]] = Field({}, max_length=200)
    label: Annotated[str, Field(max_length=MAX_LABEL, pattern=r"^[^\x00-\x1f]*$")] = ""
    weight: Annotated[int, Field(ge=1, le=MAX_WEIGHT)] = 1


class DesignRule(_Model):
    """A rule: which rows get which design.

    Attributes:
        number: identifies it in the campaign.
        name: for people.
        condition: an expression that decides about a row; empty for all rows.
        is_enabled: whether it counts at all.
        window: when it counts; None for always.
        designs: one, or several among which its rows are divided.
    """

    number: Annotated[int, Field(ge=1, le=32_000)]
    name: Annotated[str, Field(min_length=1, max_length=MAX_RULE_NAME, pattern=r"^[^\x00-\x1f]*$")]
    condition: Annotated[str, Field(max_length=MAX_LENGTH)] = ""
    is_enabled: bool = True
    window: Window | None = None
    designs: Annotated[list[Design], Field(min_length=1, max_length=MAX_DESIGNS)]

    def design_of(self, key: str) -> Design:
        """Return the design of a row: always the same one for a key, by the weights."""
        if len(self.designs) == 1:
            return self.designs[0]
        digest = blake2b(f"{self.number} {key}".encode(errors="replace"), digest_size=_HASH_BYTES).digest()
        share = int.from_bytes(digest) * sum(design.weight for design in self.designs) >> (8 * _HASH_BYTES)
        for design in self.designs:
            share -= design.weight
            if share < 0:
                return design
        raise AssertionError("the shares do not add up")


RULES: TypeAdapter[list[DesignRule]] = TypeAdapter(Annotated[list[DesignRule], Field(max_length=MAX_RULES)])


class InvalidRulesError(ValueError):
    """The rules of a campaign contradict each other; the message says what would be right."""


@dataclass(frozen=True)
class Phase:
    """A period between two moments at which a window begins or ends.

    Attributes:
        begin: its first moment; None for the current phase.
        designs: the numbers of the designs whose rules count in it, sorted.
    """

    begin: datetime | None
    designs: tuple[int, ...]


def check_rules(rules: Sequence[DesignRule]) -> None:
    """Check that rules belong together. Raises InvalidRulesError."""
    if not rules:
        raise InvalidRulesError(gettext("A campaign has at least one rule"))
    last = rules[-1]
    if last.condition or last.window or not last.is_enabled:
        raise InvalidRulesError(
            gettext("The last rule takes all other rows. It has no condition and no window, and is always enabled")
        )
    numbers = [rule.number for rule in rules]
    designs = [design.number for rule in rules for design in rule.designs]
    if len(set(numbers)) < len(numbers) or len(set(designs)) < len(designs):
        raise InvalidRulesError(gettext("Two rules or two designs have the same number"))
    for rule in rules:
        labels = [design.label for design in rule.designs]
        if len(labels) > 1 and (len(set(labels)) < len(labels) or not all(labels)):
            raise InvalidRulesError(
                gettext("The designs of the rule “%(name)s” need labels that differ from each other", name=rule.name)
            )


def names_of_designs(rules: Iterable[DesignRule]) -> dict[str, tuple[str, str]]:
    """Return the name of the rule and the label of each design, by its number as rows have it."""
    return {str(design.number): (rule.name, design.label) for rule in rules for design in rule.designs}


def active_designs(rules: Iterable[DesignRule], zone: ZoneInfo, moment: datetime) -> tuple[int, ...]:
    """Return the numbers of the designs whose rules count at a moment, sorted."""
    active = (rule for rule in rules if rule.is_enabled and (not rule.window or rule.window.is_open(zone, moment)))
    return tuple(sorted(design.number for rule in active for design in rule.designs))


def window_times(rules: Iterable[DesignRule], zone: ZoneInfo, begin: datetime, end: datetime) -> list[datetime]:
    """Return the moments after `begin` and until `end` at which the window of an enabled rule begins or ends."""
    windows = [rule.window for rule in rules if rule.is_enabled and rule.window]
    times = {moment for window in windows for span in window.spans(zone, begin, end) for moment in span}
    return sorted(moment for moment in times if begin < moment <= end)


def phases(rules: Sequence[DesignRule], zone: ZoneInfo, now: datetime, until: datetime) -> list[Phase]:
    """Return the current phase, and those that begin until a moment."""
    current = Phase(None, active_designs(rules, zone, now))
    found = [current]
    for moment in window_times(rules, zone, now, until):
        phase = Phase(moment, active_designs(rules, zone, moment))
        if phase.designs != found[-1].designs:
            found.append(phase)
    return found


def next_time(rules: Sequence[DesignRule], zone: ZoneInfo, now: datetime) -> datetime | None:
    """Return the next moment at which other rules count; None if there is none within HORIZON."""
    later = phases(rules, zone, now, now + HORIZON)[1:]
    return later[0].begin if later else None


def local_time(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return the moment of a local time, in UTC.

    A time that daylight saving leaves out is read with the offset of before, so that it is an hour later on the clock;
    of a time that occurs twice, the first one counts (PEP 495).
    """
    return datetime.combine(day, at, zone).astimezone(UTC)

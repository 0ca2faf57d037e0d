"""Dates in texts: ISO 8601, numbers with separators, and month names, and the times behind them."""

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cache

from babel import Locale

from cwz_web.i18n import gettext_lazy
from cwz_web.values.formats import DEFAULT_LOCALE, DateOrder, Unclear, format_of
from cwz_web.values.texts import MAX_LENGTH, normalize

# Eight digits are a date only in these years: other ones are identifiers, or dates in another order.
COMPACT_YEARS = range(1900, 2101)
# A year of two digits is in the 20th century from here on (POSIX, strptime).
_PIVOT = 69

_time = re.compile(
    r"(?:T|,? +)(?:at +)?\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?[ap]\.?m\.?)?"
    r"(?: ?(?:Z|UTC|GMT|[A-Z]{3,4}|[-+]\d{2}(?::?\d{2})?))?\Z",
    re.IGNORECASE,
)
# What `_time` finds, in its parts; a compact one has no separators.
_clock = re.compile(
    r"(?:T|,? +)(?:at +)?(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d{1,9})?)?"
    r"(?: ?(?P<half>[ap])\.?m\.?)?(?: ?(?P<zone>Z|UTC|GMT|[A-Z]{3,4}|[-+]\d{2}(?::?\d{2})?))?\Z",
    re.IGNORECASE,
)
_compact_clock = re.compile(r"\d{8}T?(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})?(?P<half>)(?P<zone>Z)?")
_compact = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T?\d{4,6}Z?)?")
_year_first = re.compile(r"(\d{4})(?:([-/.]) ?(\d{1,2})\2 ?(\d{1,2})\.?|[年년] ?(\d{1,2}) ?[月월] ?(\d{1,2}) ?[日일])")
_year_last = re.compile(r"(\d{1,2})([-/.]) ?(\d{1,2})\2 ?(\d{4}|\d{2})\.?")
_digit = re.compile(r"\d")
_part = re.compile(r"\d+|[^\W\d_]+")
# Words beside day, month and year, in the languages of CLDR's long dates with Latin and Cyrillic letters.
_FILLERS = frozenset(["of", "the", "de", "del", "d", "di", "den", "st", "nd", "rd", "th", "er", "г", "р", "year"])


def read_date(text: str, hint: str = DEFAULT_LOCALE) -> date | Unclear:
    """Return the date in a text.

    Args:
        text: The text, perhaps with its format (FormattedText).
        hint: A further locale of month names, beside English and the format's own.
    """
    dates = scan_date(text, hint)
    if isinstance(dates, Unclear):
        return dates
    values = set(dates.values())
    order = format_of(text).order
    if len(values) == 1:
        return values.pop()
    if order in dates:
        return dates[order]
    one, other = (f"{value.day} {_english_months()[value.month]}" for value in sorted(values)[:2])
    message = gettext_lazy(
        "can be %(one)s or %(other)s. Set the column's date order, or the locale of the request", one=one, other=other
    )
    return Unclear(message)


def read_date_time(text: str, zone: tzinfo, hint: str = DEFAULT_LOCALE) -> datetime | date | Unclear:
    """Return the moment in a text; a date if it names no time.

    Args:
        text: The text, perhaps with its format (FormattedText).
        zone: The time zone of a time that names none.
        hint: A further locale of month names, beside English and the format's own.
    """
    day = read_date(text, hint)
    if isinstance(day, Unclear):
        return day
    plain = normalize(text)
    match = _clock.search(plain) or _compact_clock.fullmatch(plain)
    return _with_clock(day, match, zone) if match else day


def _with_clock(day: date, match: re.Match[str], zone: tzinfo) -> datetime | Unclear:
    """Return a day with the time that was found behind it."""
    hour, half = int(match["hour"]), (match["half"] or "").lower()
    if half and not 1 <= hour <= 12:
        return Unclear(gettext_lazy("has a time that no clock shows"))
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    offset = _read_zone(match["zone"] or "", zone)
    if isinstance(offset, Unclear):
        return offset
    try:
        return datetime.combine(day, time(hour, int(match["minute"]), int(match["second"] or 0)), offset)
    except ValueError:
        return Unclear(gettext_lazy("has a time that no clock shows"))


def _read_zone(text: str, zone: tzinfo) -> tzinfo | Unclear:
    """Return the time zone that a text names; abbreviations such as CST are used by several ones."""
    if not text:
        return zone
    if text.upper() in ("Z", "UTC", "GMT"):
        return UTC
    if text[0] not in "+-":
        return Unclear(gettext_lazy("has a time zone that is not known: “%(name)s”. Use an offset", name=text))
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    if offset >= timedelta(days=1):
        return Unclear(gettext_lazy("has a time zone that is not known: “%(name)s”. Use an offset", name=text))
    return timezone(-offset if text[0] == "-" else offset)


def scan_date(text: str, hint: str = DEFAULT_LOCALE) -> dict[DateOrder, date] | Unclear:
    """Return the dates that a text can be by the order of day, month and year; there is at least one.

    A date with a year of four digits first, or with the name of a month, has the order that nothing confuses: YMD.
    """
    if len(text) > MAX_LENGTH:
        return Unclear(gettext_lazy("is too long for a date"))
    if not _digit.search(text):
        return Unclear(gettext_lazy("is not a date"))
    plain = _time.sub("", normalize(text))
    if match := _compact.fullmatch(plain):
        found = _date(match[1], match[2], match[3]) if int(match[1]) in COMPACT_YEARS else None
        return {DateOrder.YMD: found} if found else Unclear(gettext_lazy("is not a date"))
    if match := _year_first.fullmatch(plain):
        found = _date(match[1], match[3] or match[5], match[4] or match[6])
        return {DateOrder.YMD: found} if found else Unclear(gettext_lazy("is not a date of the calendar"))
    if match := _year_last.fullmatch(plain):
        return _numeric(match[1], match[3], match[4], match[2])
    found = _with_month_name(plain, dict.fromkeys([format_of(text).locale or hint, hint, DEFAULT_LOCALE]))
    return {DateOrder.YMD: found} if found else Unclear(gettext_lazy("is not a date"))


def _numeric(first: str, second: str, last: str, separator: str) -> dict[DateOrder, date] | Unclear:
    """Return the readings of a date of three numbers. Dots separate day, month and year in this order, if possible."""
    readings = {DateOrder.DMY: _date(last, second, first), DateOrder.MDY: _date(last, first, second)}
    if len(last) == 2:
        readings[DateOrder.YMD] = _date(first, second, last) if len(first) == 2 else None
    dates = {order: value for order, value in readings.items() if value}
    if separator == "." and DateOrder.DMY in dates:
        return {DateOrder.DMY: dates[DateOrder.DMY]}
    return dates or Unclear(gettext_lazy("is not a date of the calendar"))


def _with_month_name(text: str, locales: Collection[str]) -> date | None:
    """Return the date of a text with a month's name, a day and a year of four digits.

    Args:
        text: the text.
        locales: the locales of the names; of two months with the same name, the one of the first locale counts.
    """
    parts = _part.findall(text)
    numbers = [part for part in parts if part.isdecimal()]
    if sorted(map(len, numbers)) not in ([1, 4], [2, 4]):
        return None
    months: list[int] = []
    for word in (part.casefold() for part in parts if not part.isdecimal()):
        if month := next((names[word] for names in map(_months, locales) if word in names), None):
            months.append(month)
        elif word not in _FILLERS and not any(word in _weekdays(locale) for locale in locales):
            return None
    day, year = sorted(numbers, key=len)
    return _date(year, str(months[0]), day) if len(months) == 1 else None


def _date(year: str, month: str, day: str) -> date | None:
    number = int(year)
    if len(year) == 2:
        number += 1900 if number >= _PIVOT else 2000
    try:
        return date(number, int(month), int(day))
    except ValueError:
        return None


@cache  # a constant for each of CLDR's locales
def _months(locale: str) -> dict[str, int]:
    names = Locale.parse(locale).months
    return {
        name.casefold().strip("."): month
        for context in ("format", "stand-alone")
        for width in ("abbreviated", "wide")
        for month, name in names[context][width].items()
        if not name.strip(".").isdecimal()
    }


@cache  # a constant for each of CLDR's locales
def _weekdays(locale: str) -> frozenset[str]:
    names = Locale.parse(locale).days["format"]
    return frozenset(
        word
        for width in ("abbreviated", "wide")
        for name in names[width].values()
        for word in _part.findall(name.casefold())
    )


@cache  # a constant, read when it is needed: parsing a locale takes a twentieth of a process' start
def _english_months() -> dict[int, str]:
    months: dict[int, str] = Locale.parse(DEFAULT_LOCALE).months["format"]["wide"]
    return months

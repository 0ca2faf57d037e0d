"""Formats of columns: how a column's numbers, prices and dates are written, found out from all of its values.

`1.234` is a thousand in a column with `12,50`, and `03/04/2024` is 3 April in a column with `14/03/2024`. What the
schema and the feed's currency say counts more than what was found, and the workspace's locale and currency fill in what
is still not known. A value that stays unclear is imported as it is and noted.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from cwz_web.feeds.columns import COLUMN_TYPE_NOUNS, MIN_MATCH_PERCENT, ColumnType, FeedSchema, is_price_name
from cwz_web.feeds.models import Feed
from cwz_web.feeds.records import InvalidEntry, Row
from cwz_web.i18n import gettext, ngettext
from cwz_web.values.currencies import currencies_of
from cwz_web.values.dates import scan_date
from cwz_web.values.formats import (
    UNKNOWN,
    DateOrder,
    DecimalSign,
    FormattedText,
    Unclear,
    ValueFormat,
    is_json_number,
    load_formats,
)
from cwz_web.values.numbers import Readings, read_money, read_number, scan_number

Choice = TypeVar("Choice", DecimalSign, DateOrder)
KeyedRow = tuple[int, str, Row] | InvalidEntry

# So many lines are noted for the unclear values of a column, and so many currencies counted.
NOTED_LINES = 5
MAX_CURRENCIES = 20
# The values of a column have few different shapes.
MAX_SHAPES = 1000

# What a number proves depends on where it has digits, zeros and signs, and, with an exponent, on the digits.
_SHAPE = str.maketrans("23456789", "11111111")
_exponent = re.compile(r"\d[eE]")
_iso_date = re.compile(r"[12]\d{3}-[01]\d-[0-3]\d(?:\Z|[T ])")
_numeric_date = re.compile(r"(\d{1,2})/(\d{1,2})/[12]\d{3}(?:\Z|[T ])")


@dataclass
class UnclearValues:
    """The values of a column that cannot be read: how many, and the first of them with their lines."""

    count: int = 0
    first: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, value: str) -> None:
        """Count a value."""
        self.count += 1
        if len(self.first) < NOTED_LINES:
            self.first.append((line, value[:40]))


@dataclass(frozen=True)
class NumberProof:
    """What a value proves.

    Attributes:
        sign: The decimal sign of its column; None if the value can be written with either.
        is_ambiguous: Whether only the column's format can settle the value or, for a price, its currency.
    """

    sign: DecimalSign | None
    is_ambiguous: bool


class NumberProfile:
    """What the values of a column of numbers or prices have in common.

    Args:
        chosen: What the schema and the workspace say; it decides what `kr` or `$` is.
    """

    def __init__(self, column_type: ColumnType, chosen: ValueFormat) -> None:
        self._is_price, self._chosen = column_type == ColumnType.PRICE, chosen
        self._signs: Counter[DecimalSign] = Counter()
        self._currencies: Counter[str] = Counter()
        self._unreadable = UnclearValues()
        # By shape: the format, which is known at the end, can settle some and not others.
        self._ambiguous: defaultdict[str, UnclearValues] = defaultdict(UnclearValues)
        self._count = 0
        self._shapes: dict[str, NumberProof] = {}

    def add(self, line: int, value: str) -> None:
        """Count a value."""
        self._count += 1
        if is_json_number(value):
            return
        shape = value.translate(_SHAPE)
        proof = self._shapes.get(shape)
        if proof is None:
            proof = self._prove(value)
            if proof is None:
                self._unreadable.add(line, value)
                return
            if len(self._shapes) < MAX_SHAPES and not _exponent.search(value):
                self._shapes[shape] = proof
        if proof.sign:
            self._signs[proof.sign] += 1
        if proof.is_ambiguous:
            known = shape in self._ambiguous or len(self._ambiguous) < MAX_SHAPES
            self._ambiguous[shape if known else ""].add(line, value)

    @property
    def is_mostly_readable(self) -> bool:
        """Whether at least half of the values are numbers."""
        return self._unreadable.count * 2 <= self._count

    def format(self) -> ValueFormat:
        """Return what the values show."""
        [currency] = self._currencies if len(self._currencies) == 1 else [None]
        return ValueFormat(decimal=_most(self._signs), currency=currency if self._is_price else None)

    def unclear(self, format: ValueFormat) -> list[UnclearValues]:
        """Return the values that are unclear although the format of the column is known."""
        read = read_money if self._is_price else read_number
        ambiguous = [
            values
            for values in self._ambiguous.values()
            if isinstance(read(FormattedText(values.first[0][1], format)), Unclear)
        ]
        return [values for values in (self._unreadable, _merge(ambiguous)) if values.count]

    def _prove(self, value: str) -> "NumberProof | None":
        """Return what a value proves, and count its currency; None if it is not a number."""
        readings = scan_number(value)
        if isinstance(readings, Unclear):
            return None
        currencies = [currencies_of(sign, self._chosen) for sign in readings.signs]
        if not all(currencies):
            return None
        for codes in currencies:
            if len(codes) == 1 and (codes[0] in self._currencies or len(self._currencies) < MAX_CURRENCIES):
                self._currencies[codes[0]] += 1
        is_unnamed = self._is_price and any(len(codes) > 1 for codes in currencies)
        return NumberProof(_sign_of(readings), is_ambiguous=readings.only is None or is_unnamed)


class DateProfile:
    """What the values of a column of dates have in common."""

    def __init__(self) -> None:
        self._orders: Counter[DateOrder] = Counter()
        self._unreadable, self._ambiguous = UnclearValues(), UnclearValues()

    def add(self, line: int, value: str) -> None:
        """Count a value."""
        if _iso_date.match(value):
            return
        if match := _numeric_date.match(value):
            first, second = int(match[1]), int(match[2])
            if 12 < first <= 28 and 0 < second <= 12:
                self._orders[DateOrder.DMY] += 1
                return
            if 12 < second <= 28 and 0 < first <= 12:
                self._orders[DateOrder.MDY] += 1
                return
        dates = scan_date(value)
        if isinstance(dates, Unclear):
            self._unreadable.add(line, value)
        elif len(dates) == 1:
            [order] = dates
            if order != DateOrder.YMD:
                self._orders[order] += 1
        elif len(set(dates.values())) > 1:
            self._ambiguous.add(line, value)

    def format(self) -> ValueFormat:
        """Return what the values show."""
        return ValueFormat(date_order=_most(self._orders))

    def unclear(self, format: ValueFormat) -> list[UnclearValues]:
        """Return the values that are unclear although the format of the column is known."""
        found = [self._unreadable] if format.order else [self._unreadable, self._ambiguous]
        return [values for values in found if values.count]


class FormatDetection:
    """Finds the formats of a feed's columns while its rows are imported; memory does not grow with the rows.

    Args:
        schema: The feed's schema.
        default: The format of the feed, or else of the workspace.
    """

    def __init__(self, schema: FeedSchema, default: ValueFormat) -> None:
        self._schema = schema
        # A column of prices with some “on request” in it has the type text.
        self._types = {
            name: ColumnType.PRICE if type_ == ColumnType.TEXT and is_price_name(name) else type_
            for name, type_ in schema.types.items()
        }
        self._chosen = {name: column_format.with_defaults(default) for name, column_format in schema.formats.items()}
        self._profiles: dict[str, NumberProfile | DateProfile] = {}
        for name, column_type in self._types.items():
            if column_type in (ColumnType.NUMBER, ColumnType.PRICE):
                self._profiles[name] = NumberProfile(column_type, self._chosen[name])
            elif column_type == ColumnType.DATE:
                self._profiles[name] = DateProfile()

    def observe(self, rows: Iterable[KeyedRow]) -> Iterator[KeyedRow]:
        """Yield the rows of an import, and take the valid ones into account."""
        profiles = [(name, profile.add) for name, profile in self._profiles.items()]
        for entry in rows:
            if not isinstance(entry, InvalidEntry):
                line, _, row = entry
                for name, add in profiles:
                    if name in row:
                        add(line, row[name])
            yield entry

    def formats(self) -> dict[str, ValueFormat]:
        """Return the formats that were found, by column."""
        found = {name: profile.format() for name, profile in self._profiles.items()}
        return {name: format for name, format in found.items() if format != ValueFormat()}

    def notes(self) -> list[str]:
        """Return a sentence about the unclear values of each column."""
        notes = []
        for name, profile in self._profiles.items():
            is_text = self._schema.types[name] == ColumnType.TEXT
            if is_text and isinstance(profile, NumberProfile) and not profile.is_mostly_readable:
                continue
            format = self._chosen[name].with_defaults(profile.format())
            noun = gettext(COLUMN_TYPE_NOUNS[self._types[name]])
            notes += [_note(name, noun, values) for values in profile.unclear(format)]
        return notes


def column_formats(feed: Feed, default: ValueFormat) -> dict[str, ValueFormat]:
    """Return the format of each column of a feed.

    Args:
        feed: The feed; what its schema and its currency say counts more than what the last import found.
        default: The workspace's format.
    """
    schema = FeedSchema.model_validate(feed.schema)
    names = dict.fromkeys([*feed.columns, *schema.formats])
    found = load_formats(feed.column_formats)
    chosen = {name: schema.formats.get(name, UNKNOWN).with_defaults(feed.value_format) for name in names}
    return {
        name: format.with_defaults(found.get(name, UNKNOWN)).with_defaults(default) for name, format in chosen.items()
    }


def _sign_of(readings: Readings) -> DecimalSign | None:
    """Return the decimal sign that a value proves."""
    if readings.point is None:
        return DecimalSign.COMMA
    return DecimalSign.POINT if readings.comma is None else None


def _merge(shapes: Iterable[UnclearValues]) -> UnclearValues:
    """Return the unclear values of several shapes as those of one column."""
    merged = UnclearValues()
    for values in shapes:
        merged.count += values.count
        merged.first = sorted(merged.first + values.first)[:NOTED_LINES]
    return merged


def _most(votes: Counter[Choice]) -> Choice | None:
    """Return what nearly all of the values have; None if they contradict each other."""
    choice, count = next(iter(votes.most_common(1)), (None, 0))
    return choice if count * 100 >= votes.total() * MIN_MATCH_PERCENT else None


def _note(name: str, noun: str, values: UnclearValues) -> str:
    line, text = values.first[0]
    others = "".join(f", {other}" for other, _ in values.first[1:])
    return ngettext(
        "A value of “%(name)s” cannot be read as a %(type)s with certainty: line %(line)s (“%(text)s”)%(others)s",
        "%(count)s values of “%(name)s” cannot be read as a %(type)s with certainty: line %(line)s (“%(text)s”)"
        "%(others)s",
        values.count,
        name=name,
        type=noun,
        line=line,
        text=text,
        others=others,
    )

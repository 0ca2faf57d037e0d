"""What the rules of a campaign can compare: the feed's columns, joined columns, and the state of a row in its feed."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

import orjson

from cwz_web.feeds.columns import ColumnType, normalize_name
from cwz_web.i18n import gettext, gettext_lazy
from cwz_web.imaging.bindings import ENTRY_NAMES
from cwz_web.imaging.expression_syntax import is_reserved
from cwz_web.imaging.expressions import FieldValue
from cwz_web.imaging.field_values import FieldType, read_field
from cwz_web.values.formats import UNKNOWN, Unclear, ValueFormat, json_number, with_format
from cwz_web.values.numbers import read_number

MAX_NAME = 60
UTC_ZONE = ZoneInfo("UTC")
# Between the name of a joined feed and its column, as mappings write it.
JOINED = "."
_TYPES: dict[ColumnType, FieldType] = {
    ColumnType.TEXT: "text",
    ColumnType.NUMBER: "number",
    ColumnType.PRICE: "money",
    ColumnType.DATE: "date",
}
_STOCK_COLUMNS = ("availability", "stockstatus", "stock", "inventory", "quantity", "verfugbarkeit", "disponibilite")
_SOLD_OUT = frozenset(["outofstock", "soldout", "unavailable", "notavailable", "discontinued", "no", "false"]) | {
    *("ausverkauft", "nichtverfugbar", "nichtvorratig", "nein", "epuise", "indisponible", "rupture", "non", "agotado")
}


class SourceKind(StrEnum):
    """Where a field's values come from."""

    COLUMN = "column"  # of the feed, or of a joined one
    PREVIOUS = "previous"  # the column's last other value
    ADDED = "added"  # when the row was added
    CHANGED = "changed"  # when it was added or last changed


@dataclass(frozen=True)
class Source:
    """A value of a row that the database returns as JSON: a cell, or a time in ISO 8601."""

    kind: SourceKind
    column: str = ""


@dataclass(frozen=True)
class RowField:
    """A value of a row that rules can compare.

    Attributes:
        name: its name in conditions.
        label: its name for people.
        type: its type, as in templates.
        sources: what it is computed from.
        format: how the values of its column are written.
        zone: the time zone that decides which day a moment is on.
    """

    name: str
    label: str
    type: FieldType
    sources: tuple[Source, ...]
    format: ValueFormat = UNKNOWN
    zone: ZoneInfo = UTC_ZONE

    @property
    def is_of_time(self) -> bool:
        """Whether its value is another one tomorrow, though the row has not changed."""
        return self.sources[0].kind in (SourceKind.ADDED, SourceKind.CHANGED)

    def read(self, values: Sequence[str | None], today: date) -> FieldValue | Unclear:
        """Return the field's value for a row.

        Args:
            values: those of its sources, as JSON; None where the row has none.
            today: the day on which the rules are evaluated, in the campaign's time zone.
        """
        return self.read_texts([load_cell(value) for value in values], today)

    def read_texts(self, texts: Sequence[str], today: date) -> FieldValue | Unclear:
        """Return the field's value for a row.

        Args:
            texts: the values of its sources; "" where the row has none.
            today: the day in the campaign's time zone.
        """
        if self.is_of_time:
            return float((today - datetime.fromisoformat(texts[0]).astimezone(self.zone).date()).days)
        formatted = [with_format(text, self.format) for text in texts]
        if len(formatted) > 1:
            return _change(formatted[0], formatted[1])
        return is_sold_out(formatted[0]) if self.type == "boolean" else read_field(self.type, formatted[0])


def row_fields(
    columns: Mapping[str, ColumnType], formats: Mapping[str, ValueFormat], zone: ZoneInfo
) -> dict[str, RowField]:
    """Return what rules can compare, by name, in the order of the columns.

    Args:
        columns: the types of the feed's columns and of joined ones.
        formats: their formats.
        zone: the campaign's time zone.
    """
    fields: dict[str, RowField] = {}
    for column, column_type in columns.items():
        name = _unique(_identifier(column), fields)
        source = Source(SourceKind.COLUMN, column)
        field_type = _TYPES.get(column_type, "text")
        fields[name] = RowField(name, column, field_type, (source,), formats.get(column, UNKNOWN), zone)
    for field in _state_fields(columns, formats, zone):
        name = _unique(field.name, fields)
        fields[name] = RowField(name, field.label, field.type, field.sources, field.format, zone)
    return fields


def _state_fields(
    columns: Mapping[str, ColumnType], formats: Mapping[str, ValueFormat], zone: ZoneInfo
) -> Iterable[RowField]:
    yield RowField("days_in_feed", gettext("Days since the row was added"), "number", (Source(SourceKind.ADDED),))
    yield RowField("days_since_change", gettext("Days since the row changed"), "number", (Source(SourceKind.CHANGED),))
    price = price_column(columns)
    if price:
        both = Source(SourceKind.COLUMN, price), Source(SourceKind.PREVIOUS, price)
        label = gettext("Last change of “%(column)s” in percent", column=price)
        yield RowField("price_change", label, "number", both, formats.get(price, UNKNOWN), zone)
    stock = next((name for name in columns if _plain(name.rpartition(JOINED)[2]) in _STOCK_COLUMNS), None)
    if stock:
        label = gettext("Out of stock, by “%(column)s”", column=stock)
        yield RowField(
            "out_of_stock", label, "boolean", (Source(SourceKind.COLUMN, stock),), formats.get(stock, UNKNOWN)
        )


def price_column(columns: Mapping[str, ColumnType]) -> str | None:
    """Return the column of the price whose changes rules can compare: the one called price, or the first one."""
    prices = [name for name, column_type in columns.items() if column_type == ColumnType.PRICE]
    return next(
        (name for name in prices if normalize_name(name) in ("price", "variantprice")), prices[0] if prices else None
    )


def is_sold_out(text: str) -> bool | None:
    """Return whether a stock or an availability says that there is none; None if it is empty."""
    if not text.strip():
        return None
    number = read_number(text)
    return number <= 0 if isinstance(number, Decimal) else _plain(text) in _SOLD_OUT


def load_cell(value: str | None) -> str:
    """Return a cell that is stored as JSON; a number says that it is one."""
    if value is None:
        return ""
    return orjson.loads(value) if value.startswith('"') else json_number(value)


def _change(current: str, previous: str) -> FieldValue | Unclear:
    """Return by how many percent a number has changed; None if it has not, as far as is known."""
    if not current.strip() or not previous.strip():
        return None
    now, before = read_number(current), read_number(previous)
    if isinstance(now, Unclear) or isinstance(before, Unclear):
        return now if isinstance(now, Unclear) else before
    if not before:
        return Unclear(gettext_lazy("was 0 before, so that its change has no percentage"))
    return (now - before) * 100 / before


def _identifier(column: str) -> str:
    """Return the name of a column in conditions: its letters and digits, in lower case."""
    ascii_text = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", ascii_text.lower()).strip("_")[:MAX_NAME] or "column"
    return name if name[0].isalpha() else f"column_{name}"


def _unique(name: str, taken: Mapping[str, RowField]) -> str:
    candidate, number = name, 2
    while candidate in taken or is_reserved(candidate) or candidate in ENTRY_NAMES:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def _plain(text: str) -> str:
    return normalize_name(unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode())


def today_in(zone: ZoneInfo) -> date:
    """Return the current day in a time zone."""
    return datetime.now(UTC).astimezone(zone).date()

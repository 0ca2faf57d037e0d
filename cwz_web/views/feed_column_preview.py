"""The first rows of a file as they will be imported, beside the choice of their columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from cwz_web.feeds.columns import COLUMN_TYPE_LABELS, ColumnType, FeedSchema
from cwz_web.feeds.records import Table
from cwz_web.i18n import long_date, number, translate_labels
from cwz_web.values.dates import read_date
from cwz_web.values.formats import UNKNOWN, Unclear, ValueFormat, with_format
from cwz_web.values.numbers import Money, read_money, read_number
from cwz_web.web.text import shorten

MAX_ROWS = 5
MAX_TEXT = 90


@dataclass(frozen=True)
class PreviewCell:
    """A value.

    Attributes:
        text: The value as it is in the file.
        meaning: The number, price or date that is read from it; empty if it is written in the same way.
        problem: Why it cannot be read.
    """

    text: str
    meaning: str = ""
    problem: str = ""


@dataclass(frozen=True)
class PreviewRow:
    """A row.

    Attributes:
        cells: Its values, in the order of the columns.
        error: Why it would not be imported.
    """

    cells: list[PreviewCell]
    error: str | None


@dataclass(frozen=True)
class ImportPreview:
    """The view model of feeds/_import_preview.jinja2.

    Attributes:
        columns: The names and the labels of the types.
        rows: The first rows.
        error: Why there is no preview.
    """

    columns: list[tuple[str, str]]
    rows: list[PreviewRow]
    error: str = ""


def preview_import(schema: FeedSchema, sample: Table, formats: Mapping[str, ValueFormat]) -> ImportPreview:
    """Return the first rows as they will be imported.

    Args:
        schema: How the rows are imported.
        sample: The first rows of the file.
        formats: How the values of each column are written, as it was chosen or found out.
    """
    names, types = schema.feed_columns(sample.columns), schema.types
    rows = []
    map_row = schema.row_mapper()
    for row in sample.rows[:MAX_ROWS]:
        mapped = map_row(row) if map_row else row
        cells = [
            _read_cell(mapped.get(name, ""), types.get(name, ColumnType.TEXT), formats.get(name, UNKNOWN))
            for name in names
        ]
        rows.append(PreviewRow(cells, schema.find_error(row)))
    labels = translate_labels(COLUMN_TYPE_LABELS)
    return ImportPreview([(name, labels[types.get(name, ColumnType.TEXT)]) for name in names], rows)


def _read_cell(value: str, type_: ColumnType, format: ValueFormat) -> PreviewCell:
    text, read = shorten(value, MAX_TEXT), with_format(value, format)
    if not value:
        return PreviewCell("–")
    if type_ == ColumnType.PRICE:
        return _cell(text, read_money(read))
    if type_ == ColumnType.NUMBER:
        return _cell(text, read_number(read))
    if type_ == ColumnType.DATE:
        return _cell(text, read_date(read))
    return PreviewCell(text)


def _cell(text: str, result: Money | Decimal | date | Unclear) -> PreviewCell:
    if isinstance(result, Unclear):
        return PreviewCell(text, problem=result.reason)
    if isinstance(result, date):
        meaning = long_date(result)
    elif isinstance(result, Money):
        meaning = f"{number(result.amount)} {result.currency}".strip()
    else:
        meaning = number(result)
    return PreviewCell(text, meaning if meaning != text else "")

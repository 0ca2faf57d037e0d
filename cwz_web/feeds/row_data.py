"""The cells of a row as JSON: texts, and the numbers of a JSON file or request, which have no locale."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import JSON, ColumnElement, Dialect, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

from cwz_web.feeds.records import Row
from cwz_web.values.formats import FormattedText, is_json_number, json_number
from cwz_web.values.numbers import MAX_DIGITS, is_in_limits


class RowData(TypeDecorator[dict[str, str]]):
    """A column of a row's cells. Numbers are loaded as texts that say so, with their digits as they were stored."""

    impl: Any = JSONB
    cache_ok = True

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        return JSONB().coerce_compared_value(op, value)

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.text(column, type_=self)

    def compare_values(self, x: Any, y: Any) -> bool:
        return x is y or (x is not None and y is not None and equal_rows(x, y))

    def process_bind_param(self, value: Mapping[str, str] | None, dialect: Dialect) -> Any:
        return None if value is None else {name: _to_json(text) for name, text in value.items()}

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, str] | None:
        return None if value is None else load_row(value)


class OrderedRowData(RowData):
    """The same as JSON, which keeps the order of the columns."""

    impl = JSON
    cache_ok = True


def load_row(text: str) -> Row:
    """Return the cells of a row that is stored as JSON."""
    row: Row = json.loads(text, parse_float=json_number, parse_int=json_number)
    return row


def dump_row(row: Mapping[str, str]) -> bytes:
    """Return the cells of a row as JSON. Raises orjson.JSONEncodeError for text that is not valid Unicode."""
    return orjson.dumps(row, default=_number_fragment, option=orjson.OPT_PASSTHROUGH_SUBCLASS)


def equal_rows(row: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Return whether two rows have the same cells; a number differs from the text of its digits."""
    return row == other and all(is_json_number(text) == is_json_number(other[name]) for name, text in row.items())


def _number_fragment(text: FormattedText) -> orjson.Fragment | str:
    return orjson.Fragment(str(text)) if _is_storable_number(text) else str(text)


def _to_json(text: str) -> object:
    if not _is_storable_number(text):
        return str(text)
    number = Decimal(text)
    if number == number.to_integral():
        return int(number)
    return float(text) if Decimal(repr(float(text))) == number else str(text)


def _is_storable_number(text: str) -> bool:
    """Return whether a text is stored as a number; an identifier stays a text with all its digits."""
    return is_json_number(text) and len(text) <= 2 * MAX_DIGITS and is_in_limits(Decimal(text))

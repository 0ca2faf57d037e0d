"""The values of fields by type: what expressions compute with, beside the texts that layers show."""

import json
import re
from datetime import date, datetime
from typing import Any, Literal, Self

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.expression_functions import Value, as_text
from cwz_web.imaging.expressions import FieldValue
from cwz_web.imaging.filters import decode_html
from cwz_web.imaging.lists import split_list
from cwz_web.values.dates import read_date
from cwz_web.values.formats import UNKNOWN, FormattedText, Unclear, ValueFormat, format_of, is_json_number, with_format
from cwz_web.values.numbers import read_money, read_number

FieldType = Literal["text", "number", "money", "date", "boolean", "color", "image", "list"]
# The words of spreadsheets and shops in the languages of most feeds.
_TRUE = frozenset(["true", "yes", "y", "1", "on", "x", "wahr", "ja", "oui", "vrai", "sí", "si", "verdadero", "vero"])
_FALSE = frozenset(["false", "no", "n", "0", "off", "falsch", "nein", "non", "faux", "falso"])

_color = re.compile(r"#?([0-9a-f]{6}(?:[0-9a-f]{2})?|[0-9a-f]{3})", re.IGNORECASE)


class FieldText(FormattedText):
    """The text of a field with its value.

    Attributes:
        value: what expressions compute with.
        unclear: why another text or an expression has no value; then this text takes its place.
        source: that text or expression.
    """

    __slots__ = ("source", "unclear", "value")

    value: FieldValue
    unclear: Unclear | None
    source: str

    def __new__(
        cls,
        text: str,
        format: ValueFormat = UNKNOWN,
        is_number: bool = False,
        value: FieldValue = None,
        unclear: Unclear | None = None,
        source: str = "",
    ) -> Self:
        """Return the text with its value."""
        field_text = super().__new__(cls, text, format, is_number)
        field_text.value, field_text.unclear, field_text.source = value, unclear, source
        return field_text

    def __reduce__(self) -> tuple[Any, ...]:
        return FieldText, (str(self), self.value_format, self.is_number, self.value, self.unclear, self.source)


def read_field(field_type: FieldType, text: str) -> FieldValue | Unclear:
    """Return the value of a field; an empty number, amount, date, boolean or color is None."""
    match field_type:
        case "text":
            return decode_html(text)
        case "image":
            return text
        case "list":
            entries = split_list(text, has_commas=True)
            return tuple(with_format(entry, format_of(text)) for entry in entries)
    if not text.strip():
        return None
    match field_type:
        case "number":
            return read_number(text)
        case "money":
            return read_money(text)
        case "date":
            return read_date(text)
        case "boolean":
            return _read_boolean(text.strip().casefold())
    return _read_color(text.strip())


def _read_boolean(text: str) -> bool | Unclear:
    if text in _TRUE:
        return True
    return False if text in _FALSE else Unclear(gettext_lazy("is neither true nor false"))


def _read_color(text: str) -> str | Unclear:
    match = _color.fullmatch(text)
    if match is None:
        return Unclear(gettext_lazy("is not a color such as #e4572e"))
    digits = match[1].lower()
    return "#" + ("".join(digit * 2 for digit in digits) if len(digits) == 3 else digits)


def fit_field(field_type: FieldType, text: str, default: str) -> FieldText:
    """Return the text of a field with its value; the default and the reason if the text does not fit the type."""
    value = read_field(field_type, text)
    if not isinstance(value, Unclear):
        return FieldText(text, format_of(text), is_json_number(text), value)
    fallback = read_field(field_type, default)
    return FieldText(default, value=None if isinstance(fallback, Unclear) else fallback, unclear=value, source=text)


def computed_text(result: Value | Unclear, source: str) -> FieldText:
    """Return the result of an expression as a text with its value; an empty one if it has none."""
    if isinstance(result, Unclear):
        return FieldText("", unclear=result, source=source)
    if isinstance(result, datetime):
        return FieldText(as_text(result), value=result.date())
    if isinstance(result, list):
        text = "\n".join(result)
        return FieldText(text if split_list(text) == result else json.dumps(result), value=tuple(result))
    return FieldText(as_text(result), is_number=_is_number(result), value=result)


def result_key(source: str) -> str:
    """Return the name of an expression's result among the values of a row, which no field has."""
    return f"={source}"


def value_of(field_type: FieldType, text: str) -> FieldValue:
    """Return the value of a field of a row."""
    if isinstance(text, FieldText):
        return text.value
    value = read_field(field_type, text)
    return None if isinstance(value, Unclear) else value


def _is_number(value: Value | date) -> bool:
    return isinstance(value, float) and not isinstance(value, bool)

"""How the values of a column, or of a request, are written; and texts that carry it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Self

from babel import Locale, UnknownLocaleError
from babel.numbers import get_decimal_symbol, list_currencies
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cwz_web.i18n import gettext

DEFAULT_LOCALE = "en"
# ISO 4217 codes that are not currencies: "no currency" and "testing".
_NO_CURRENCIES = {"XXX", "XTS"}
CURRENCIES = frozenset(list_currencies()) - _NO_CURRENCIES


class DecimalSign(StrEnum):
    """The sign before the decimals of a number."""

    POINT = "point"
    COMMA = "comma"


class DateOrder(StrEnum):
    """The order of day, month and year in a date of numbers."""

    DMY = "dmy"
    MDY = "mdy"
    YMD = "ymd"


@dataclass(frozen=True)
class Unclear:
    """The reason why a text cannot be read with certainty; it continues a sentence that begins with the text."""

    reason: str


def check_locale(value: str) -> str:
    """Return a locale as Babel names it, such as de or en_GB. Raises ValueError."""
    try:
        return str(Locale.parse(value.replace("-", "_")))
    except (UnknownLocaleError, ValueError, TypeError):
        raise ValueError(
            gettext("“%(value)s” is not a locale. Use a code such as de or en-GB", value=value[:40])
        ) from None


def is_right_to_left(locale: str) -> bool:
    """Return whether a locale, as Babel names it, is written from right to left."""
    return Locale.parse(locale).text_direction == "rtl"


def check_currency(value: str) -> str:
    """Return an ISO 4217 code. Raises ValueError."""
    if value not in CURRENCIES:
        raise ValueError(gettext("“%(value)s” is not a currency. Use a code such as EUR", value=value[:40]))
    return value


# The patterns are for readers of a schema; the functions check, and say more.
LocaleCode = Annotated[
    str, AfterValidator(check_locale), Field(json_schema_extra={"pattern": "^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$"})
]
CurrencyCode = Annotated[str, AfterValidator(check_currency), Field(json_schema_extra={"pattern": "^[A-Z]{3}$"})]


class ValueFormat(BaseModel):
    """How values are written. What is None is not known.

    Attributes:
        locale: Their locale, which decides what `decimal` and `date_order` leave open, and what `kr` or `$` means.
        decimal: The sign before the decimals of a number; the other one separates thousands.
        currency: The currency of an amount that does not name one.
        date_order: The order of day, month and year.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    locale: LocaleCode | None = None
    decimal: DecimalSign | None = None
    currency: CurrencyCode | None = None
    date_order: DateOrder | None = None

    def with_defaults(self, other: "ValueFormat") -> "ValueFormat":
        """Return the format with the other one's values in the place of those that are not known."""
        known = self.model_dump(exclude_none=True)
        return ValueFormat.model_construct(**(other.model_dump(exclude_none=True) | known))

    @property
    def decimal_sign(self) -> DecimalSign | None:
        """The sign before the decimals, also if only the locale is known."""
        return self.decimal or (decimal_sign_of(self.locale) if self.locale else None)

    @property
    def order(self) -> DateOrder | None:
        """The order of a date, also if only the locale is known."""
        return self.date_order or (date_order_of(self.locale) if self.locale else None)


UNKNOWN = ValueFormat()


class FormattedText(str):
    """A text with the format in which it is written.

    Attributes:
        value_format: The format.
        is_number: Whether it is a JSON number, which has no locale.
    """

    __slots__ = ("is_number", "value_format")

    value_format: ValueFormat
    is_number: bool

    def __new__(cls, text: str, format: ValueFormat = UNKNOWN, is_number: bool = False) -> Self:
        """Return the text with a format."""
        formatted = super().__new__(cls, text)
        formatted.value_format, formatted.is_number = format, is_number
        return formatted

    def __reduce__(self) -> tuple[Any, ...]:
        return FormattedText, (str(self), self.value_format, self.is_number)


def json_number(value: object) -> FormattedText:
    """Return a number of a JSON document as text."""
    return FormattedText(str(value), is_number=True)


def is_json_number(text: str) -> bool:
    """Return whether a text is a number of a JSON document."""
    return isinstance(text, FormattedText) and text.is_number


def format_of(text: str) -> ValueFormat:
    """Return the format that a text carries."""
    return text.value_format if isinstance(text, FormattedText) else UNKNOWN


def with_format(text: str, format: ValueFormat) -> FormattedText:
    """Return a text with a format; a JSON number stays one."""
    return FormattedText(text, format, is_json_number(text))


def decimal_sign_of(locale: str) -> DecimalSign:
    """Return the sign that a locale writes before the decimals of Western digits (CLDR)."""
    return DecimalSign.COMMA if get_decimal_symbol(locale) in (",", "،") else DecimalSign.POINT


def date_order_of(locale: str) -> DateOrder:
    """Return the order of a locale's short dates (CLDR)."""
    pattern = Locale.parse(locale).date_formats["short"].pattern.lower().replace("l", "m")
    places = sorted((place, letter) for letter in "dmy" if (place := pattern.find(letter)) >= 0)
    order = "".join(letter for _, letter in places)
    return DateOrder(order) if order in set(DateOrder) else DateOrder.DMY


def dump_formats(formats: Mapping[str, ValueFormat]) -> dict[str, dict[str, str]]:
    """Return formats by name as JSON, without the empty ones."""
    dumped = {name: format.model_dump(mode="json", exclude_none=True) for name, format in formats.items()}
    return {name: values for name, values in dumped.items() if values}


def load_formats(formats: Mapping[str, Any]) -> dict[str, ValueFormat]:
    """Return formats that are stored as JSON."""
    return {name: ValueFormat.model_validate(value) for name, value in formats.items()}

"""The filters of bindings: a closed set of functions from text to text.

A filter never fails an image: a text that it cannot convert (`number` of "soon") is returned unchanged.
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import UnknownCurrencyError, format_currency, format_decimal, list_currencies, validate_currency
from dateutil import parser as dates
from price_parser import Price

from cwz_web.imaging.photo_urls import split_urls

DEFAULT_LOCALE = "en"
MAX_DIGITS = 20
# A longer text is not a number or a date; price_parser takes seconds for ten thousand digits.
MAX_INPUT_LENGTH = 1000
# Several currencies share a symbol; this is the most common one.
CURRENCY_SYMBOLS = {
    "€": "EUR",
    "$": "USD",
    "£": "GBP",
    "¥": "JPY",
    "₹": "INR",
    "₩": "KRW",
    "zł": "PLN",
    "Kč": "CZK",
    "kr": "SEK",
}

_block_end = re.compile(r"</(?:p|div|li|h[1-6]|tr)\s*>|<br\s*/?>", re.IGNORECASE)
# As in browsers (HTML, section 13.2.5), an element that is not closed extends to the end.
_hidden = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL)
_tag = re.compile(r"</?[A-Za-z][^<>]*>")
_word = re.compile(r"\w[\w’'-]*")
# Two dates that differ in year, month and day.
_DATE_DEFAULTS = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2001, 2, 2, tzinfo=UTC))
_year_first = re.compile(r"\A\d{4}\D")


def strip_html(text: str) -> str:
    """Return the visible text of an HTML fragment, one line for each block."""
    text = _tag.sub("", _block_end.sub("\n", _hidden.sub("", text)))
    lines = (" ".join(line.split()) for line in html.unescape(text).splitlines())
    return "\n".join(line for line in lines if line)


def truncate(text: str, length: int) -> str:
    """Shorten a text to at most `length` characters, between words if possible, with an ellipsis."""
    if len(text) <= length:
        return text
    cut = text[: max(length - 1, 0)]
    head, space, _ = cut.rpartition(" ")
    return (head if space and len(head) > length // 2 else cut).rstrip() + "…"


def title(text: str) -> str:
    """Capitalize each word; capitals inside a word are kept."""
    return _word.sub(lambda word: word[0][0].upper() + word[0][1:], text)


def default(text: str, fallback: str) -> str:
    """Replace an empty text."""
    return text if text.strip() else fallback


def item(text: str, number: int) -> str:
    """Return one of the photo URLs in a cell, counted from 1; nothing if the cell has fewer."""
    return next(iter(split_urls(text)[max(number, 1) - 1 :][:1]), "")


def parse_number(text: str) -> Decimal | None:
    """Return the number in a text, written as 1,234.5 or as 1.234,5; None if there is none.

    More than MAX_DIGITS digits are an identifier, not a number.
    """
    if len(text) > MAX_INPUT_LENGTH or not any(character.isdecimal() for character in text):
        return None
    amount = Price.fromstring(text).amount
    if amount is None or len(amount.as_tuple().digits) > MAX_DIGITS:
        return None
    return -amount if text.strip().startswith(("-", "−")) else amount


def number(text: str, locale: str = DEFAULT_LOCALE) -> str:
    """Format a number for a locale."""
    amount = parse_number(text)
    return text if amount is None else format_decimal(amount, locale=locale)


def currency(text: str, code: str = "", locale: str = DEFAULT_LOCALE) -> str:
    """Format an amount of money for a locale, a whole amount without decimals.

    Without a code, the currency is the one in the text ("19.90 EUR", "€ 24"); without either, the text is unchanged.
    """
    amount = parse_number(text)
    if amount is None or not (code := code or _currency_in(text)):
        return text
    pattern = "#,##0" if amount == amount.to_integral() else None
    if pattern is None:
        return format_currency(amount, code, locale=locale)
    standard = Locale.parse(locale).currency_formats["standard"].pattern
    return format_currency(
        amount, code, re.sub(r"\.0+", "", standard), locale=locale, currency_digits=False
    )  # fmt: skip


def date(text: str, style: str = "medium", locale: str = DEFAULT_LOCALE) -> str:
    """Format a date for a locale.

    Args:
        text: a date in most formats; the day or the year is read first, never the month.
        style: `short`, `medium`, `long` or `full`.
        locale: a locale such as `de` or `en_GB`.
    """
    if len(text) > MAX_INPUT_LENGTH:
        return text
    day_first = not _year_first.match(text.strip())
    try:
        # The parser fills in missing parts from its default, so a complete date is the same with both defaults.
        parsed, check = (dates.parse(text, dayfirst=day_first, default=each) for each in _DATE_DEFAULTS)
    except (ValueError, OverflowError):
        return text
    return format_date(parsed, style, locale=locale) if parsed.date() == check.date() else text


def _currency_in(text: str) -> str:
    found = Price.fromstring(text).currency or ""
    code = CURRENCY_SYMBOLS.get(found, found)
    return code if code in list_currencies() else ""


def _check_locale(value: str) -> str:
    try:
        Locale.parse(value.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        raise ValueError(f"“{value}” is not a locale. Use a code such as de or en-GB") from None
    return value.replace("-", "_")


def _check_currency(value: str) -> str:
    try:
        validate_currency(value)
    except UnknownCurrencyError:
        raise ValueError(f"“{value}” is not a currency. Use a code such as EUR") from None
    return value


def _check_style(value: str) -> str:
    if value not in ("short", "medium", "long", "full"):
        raise ValueError(f"“{value}” is not a date style. Use short, medium, long or full")
    return value


def _check_length(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError("The filter truncate needs a number, as in truncate(40)")
    return int(value[:6])


def _check_position(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value[:6]) > 0):
        raise ValueError("The filter item needs a number from 1, as in item(2)")
    return int(value[:6])


@dataclass(frozen=True)
class Filter:
    """A filter: its function, a parser for each argument, how many are required, and an example."""

    function: Callable[..., str]
    parsers: tuple[Callable[[str], object], ...] = ()
    required: int = 0
    example: str = ""

    def parse_arguments(self, name: str, texts: list[str]) -> tuple[object, ...]:
        """Return the parsed arguments. Raises ValueError, which says how to fix them."""
        if not self.parsers and texts:
            raise ValueError(f"The filter {name} does not take arguments")
        if not self.required <= len(texts) <= len(self.parsers):
            raise ValueError(f"The filter {name} takes other arguments, as in {self.example}")
        return tuple(parse(text) for parse, text in zip(self.parsers, texts, strict=False))


FILTERS: dict[str, Filter] = {
    "upper": Filter(str.upper),
    "lower": Filter(str.lower),
    "title": Filter(title),
    "strip_html": Filter(strip_html),
    "truncate": Filter(truncate, (_check_length,), 1, "truncate(40)"),
    "item": Filter(item, (_check_position,), 1, "item(2)"),
    "default": Filter(default, (str,), 1, 'default("none")'),
    "number": Filter(number, (_check_locale,), 0, 'number("de")'),
    "currency": Filter(currency, (_check_currency, _check_locale), 0, 'currency("EUR", "de")'),
    "date": Filter(date, (_check_style, _check_locale), 0, 'date("long", "de")'),
}

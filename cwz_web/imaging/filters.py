"""The filters of bindings: a closed set of functions that take text and give text.

A filter never fails an image: a text that it can do nothing with (`number` of "soon") stays as it is.
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

LOCALE = "en"
MAX_DIGITS = 20
# Nobody writes more around a number or a date, and price_parser takes seconds for ten thousand digits.
MAX_AROUND = 1000
# For signs that several currencies share, what they mean most often.
SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR", "₩": "KRW", "zł": "PLN", "Kč": "CZK", "kr": "SEK"}

_block_end = re.compile(r"</(?:p|div|li|h[1-6]|tr)\s*>|<br\s*/?>", re.IGNORECASE)
# As browsers do it (HTML, section 13.2.5): what is never closed goes on to the end.
_hidden = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL)
_tag = re.compile(r"</?[A-Za-z][^<>]*>")
_word = re.compile(r"\w[\w’'-]*")
_DEFAULTS = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2001, 2, 2, tzinfo=UTC))
_year_first = re.compile(r"\A\d{4}\D")


def strip_html(text: str) -> str:
    """The text that a browser would show of a piece of HTML, on one line a block."""
    text = _tag.sub("", _block_end.sub("\n", _hidden.sub("", text)))
    lines = (" ".join(line.split()) for line in html.unescape(text).splitlines())
    return "\n".join(line for line in lines if line)


def truncate(text: str, length: int) -> str:
    """At most `length` characters, cut between words where there is one, with an ellipsis."""
    if len(text) <= length:
        return text
    cut = text[: max(length - 1, 0)]
    head, space, _ = cut.rpartition(" ")
    return (head if space and len(head) > length // 2 else cut).rstrip() + "…"


def title(text: str) -> str:
    """Each word with a capital first; what is capital inside of it stays."""
    return _word.sub(lambda word: word[0][0].upper() + word[0][1:], text)


def default(text: str, other: str) -> str:
    """Another text in place of an empty one."""
    return text if text.strip() else other


def parse_number(text: str) -> Decimal | None:
    """The number in a text, whether it is written 1,234.5 or 1.234,5; None when there is none.

    A row of more digits than any price or amount has is no number, but a name for something.
    """
    if len(text) > MAX_AROUND or not any(character.isdecimal() for character in text):
        return None
    amount = Price.fromstring(text).amount
    if amount is None or len(amount.as_tuple().digits) > MAX_DIGITS:
        return None
    return -amount if text.strip().startswith(("-", "−")) else amount


def number(text: str, locale: str = LOCALE) -> str:
    """A number as people of the locale write it."""
    amount = parse_number(text)
    return text if amount is None else format_decimal(amount, locale=locale)


def currency(text: str, code: str = "", locale: str = LOCALE) -> str:
    """An amount of money as people of the locale write it.

    Without a code, the currency is the one that stands in the text ("19.90 EUR", "€ 24"); without either, the text
    stays as it is. A whole amount is written without decimals.
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


def date(text: str, style: str = "medium", locale: str = LOCALE) -> str:
    """A date as people of the locale write it: short, medium, long or full. The day comes first, or the year."""
    if len(text) > MAX_AROUND:
        return text
    day_first = not _year_first.match(text.strip())
    try:
        # Whatever the text leaves open would come from the default, so two of them tell a whole date from a part.
        moment, other = (dates.parse(text, dayfirst=day_first, default=each) for each in _DEFAULTS)
    except (ValueError, OverflowError):
        return text
    return format_date(moment, style, locale=locale) if moment.date() == other.date() else text


def _currency_in(text: str) -> str:
    found = Price.fromstring(text).currency or ""
    code = SIGNS.get(found, found)
    return code if code in list_currencies() else ""


def _check_locale(written: str) -> str:
    try:
        Locale.parse(written.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        raise ValueError(f"“{written}” is not a language; write it as in de or en-GB") from None
    return written.replace("-", "_")


def _check_currency(written: str) -> str:
    try:
        validate_currency(written)
    except UnknownCurrencyError:
        raise ValueError(f"“{written}” is not a currency; write its code, as in EUR") from None
    return written


def _check_style(written: str) -> str:
    if written not in ("short", "medium", "long", "full"):
        raise ValueError(f"“{written}” is not a style of dates; there are short, medium, long and full")
    return written


def _check_length(written: str) -> int:
    if not (written.isascii() and written.isdigit()):
        raise ValueError("The filter truncate takes a number, as in truncate(40)")
    return int(written[:6])


@dataclass(frozen=True)
class Filter:
    """A filter: its function, how to check each argument, how many it must have at least, and an example."""

    function: Callable[..., str]
    checks: tuple[Callable[[str], object], ...] = ()
    least: int = 0
    example: str = ""

    def arguments(self, name: str, written: list[str]) -> tuple[object, ...]:
        """The arguments, checked. Raises ValueError, which says what would be right."""
        if not self.checks and written:
            raise ValueError(f"The filter {name} takes no argument")
        if not self.least <= len(written) <= len(self.checks):
            raise ValueError(f"The filter {name} takes other arguments, as in {self.example}")
        return tuple(check(each) for check, each in zip(self.checks, written, strict=False))


FILTERS: dict[str, Filter] = {
    "upper": Filter(str.upper),
    "lower": Filter(str.lower),
    "title": Filter(title),
    "strip_html": Filter(strip_html),
    "truncate": Filter(truncate, (_check_length,), 1, "truncate(40)"),
    "default": Filter(default, (str,), 1, 'default("none")'),
    "number": Filter(number, (_check_locale,), 0, 'number("de")'),
    "currency": Filter(currency, (_check_currency, _check_locale), 0, 'currency("EUR", "de")'),
    "date": Filter(date, (_check_style, _check_locale), 0, 'date("long", "de")'),
}

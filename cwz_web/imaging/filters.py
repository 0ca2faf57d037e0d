"""The filters of bindings: a closed set of functions from text to text.

A filter never fails an image: a text that it cannot convert with certainty (`number` of "soon") is returned as
`Unclear`, stays as it is, and is a finding.
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal

from cwz_web.i18n import gettext, gettext_lazy
from cwz_web.imaging.casing import change_case
from cwz_web.imaging.line_breaking import character_ends
from cwz_web.imaging.photo_urls import split_urls
from cwz_web.values.currencies import decimals_of
from cwz_web.values.dates import read_date
from cwz_web.values.formats import DEFAULT_LOCALE, Unclear, check_currency, check_locale, format_of, with_format
from cwz_web.values.numbers import MAX_DIGITS, MAX_EXPONENT, Money, read_money, read_number

NO_CURRENCY = gettext_lazy(
    'has no currency. Set the currency of the feed or the workspace, or name one, as in currency("EUR")'
)
# Enough for the longest number with the largest exponent, rounded to the decimals of a currency.
DIGITS = 2 * (MAX_DIGITS + MAX_EXPONENT)
# The elements that product texts contain; other text between angle brackets is no HTML.
_ELEMENTS = (
    "a|abbr|article|b|big|blockquote|body|br|caption|center|code|dd|del|div|dl|dt|em|figure|font|footer|h[1-6]|head|"
    "header|hr|html|i|iframe|img|ins|label|li|link|main|mark|meta|nav|ol|p|pre|s|script|section|small|span|strike|strong|"
    "style|sub|sup|table|tbody|td|tfoot|th|thead|title|tr|u|ul|video"
)

_html = re.compile(rf"</?(?:{_ELEMENTS})(?:\s[^<>]*|/)?>|<!\[CDATA\[", re.IGNORECASE)
# With the semicolon, so that the query string ?a=1&copy=2 stays as it is.
_entity = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# A letter of a currency's sign beside a digit.
_letter_and_digit = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
# Elements that begin and end a line (HTML, section 15.3), and those that stand beside one another.
_BLOCKS = (
    "address|article|aside|blockquote|body|br|caption|center|dd|details|dialog|div|dl|dt|fieldset|figcaption|figure|footer|"
    "form|h[1-6]|header|hr|legend|li|main|nav|ol|option|p|pre|section|summary|table|tbody|tfoot|thead|tr|ul"
)
_block = re.compile(rf"</?(?:{_BLOCKS})(?:[\s/][^<>]*)?>", re.IGNORECASE)
_cell = re.compile(r"</?(?:td|th)(?:[\s/][^<>]*)?>", re.IGNORECASE)
_cdata = re.compile(r"<!\[CDATA\[(.*?)(?:\]\]>|\Z)", re.DOTALL)
# As in browsers (HTML, section 13.2.5), an element that is not closed extends to the end.
_hidden = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL)
_tag = re.compile(r"</?[A-Za-z][^<>]*>")
# A reference to no character. Python refuses to convert more than 4,300 digits to a number.
_long_reference = re.compile(r"&#\d{1000,};?")


def strip_html(text: str) -> str:
    """Return the visible text of an HTML fragment, one line for each block, also of one in CDATA sections."""
    text = _hidden.sub("", _cdata.sub(r"\1", text))
    text = _tag.sub("", _cell.sub(" ", _block.sub("\n", text)))
    text = _long_reference.sub("\ufffd", text)
    lines = (" ".join(line.split()) for line in html.unescape(text).splitlines())
    return "\n".join(line for line in lines if line)


def truncate(text: str, length: int) -> str:
    """Shorten a text to at most `length` code points, between words if possible, with an ellipsis."""
    if len(text) <= length:
        return text
    cut = text[: max((end for end in character_ends(text[:length]) if end < length), default=0)]
    head, space, _ = cut.rpartition(" ")
    return (head if space and len(head) > length // 2 else cut).rstrip() + "…"


def title(text: str) -> str:
    """Capitalize each word; capitals inside a word are kept."""
    return change_case(text, "title")


def default(text: str, fallback: str) -> str:
    """Replace an empty text."""
    return text if text.strip() else fallback


def item(text: str, number: int) -> str:
    """Return one of the photo URLs in a cell, counted from 1; nothing if the cell has fewer."""
    return next(iter(split_urls(text)[max(number, 1) - 1 :][:1]), "")


def raw(text: str) -> str:
    """Return the text as it is; as the first filter it keeps HTML entities and tags."""
    return text


def decode_html(text: str) -> str:
    """Return the visible text of a value that contains HTML; any other one, and its format, stay as they are."""
    if "<" in text and _html.search(text):
        return with_format(strip_html(text), format_of(text))
    if "&" in text and _entity.search(text):
        return with_format(_entity.sub(lambda entity: html.unescape(entity[0]), text), format_of(text))
    return text


def number(text: str, locale: str = DEFAULT_LOCALE) -> str | Unclear:
    """Format a number for a locale."""
    amount = read_number(text)
    if isinstance(amount, Unclear):
        return amount
    with localcontext(prec=DIGITS):
        return format_decimal(amount, locale=locale)


def currency(text: str, code: str = "", locale: str = DEFAULT_LOCALE) -> str | Unclear:
    """Format an amount of money for a locale, a whole amount without decimals.

    Without a code, the currency is the one in the text ("19.90 EUR", "€ 24"), or that of its column or workspace.
    """
    money = read_money(text, code, locale)
    if isinstance(money, Unclear):
        return money
    return show_money(money, locale) if money.currency else Unclear(NO_CURRENCY)


def show_money(money: Money, locale: str) -> str | Unclear:
    """Format an amount of money with a currency for a locale, rounded to the currency's decimals."""
    amount = round_money(money.amount, money.currency)
    if money.amount and not amount:
        return Unclear(gettext_lazy("is less than the smallest amount of %(currency)s", currency=money.currency))
    return format_money(amount, money.currency, locale)


def round_money(amount: Decimal, currency: str) -> Decimal:
    """Round an amount to the decimals of its currency, and half of the last one up, as shops do."""
    return amount.quantize(Decimal(1).scaleb(-decimals_of(currency)), ROUND_HALF_UP, Context(prec=DIGITS))


def format_money(amount: Decimal, currency: str, locale: str) -> str:
    """Format a rounded amount of money for a locale, a whole amount without decimals.

    A no-break space separates letters from digits (Unicode TR 35, part 3, currencySpacing), which Babel leaves out.
    """
    with localcontext(prec=DIGITS):
        if amount == amount.to_integral():
            standard = Locale.parse(locale).currency_formats["standard"].pattern
            pattern = re.sub(r"\.0+", "", standard)
            text = format_currency(amount, currency, pattern, locale=locale, currency_digits=False)
        else:
            text = format_currency(amount, currency, locale=locale)
    return _letter_and_digit.sub("\u00a0", text)


def date(text: str, style: str = "medium", locale: str = DEFAULT_LOCALE) -> str | Unclear:
    """Format a date for a locale: short, medium, long or full."""
    value = read_date(text, locale)
    return value if isinstance(value, Unclear) else format_date(value, style, locale=locale)


def _check_code(value: str) -> str:
    return check_currency(value) if value else ""


def check_style(value: str) -> str:
    """Return the style of a date. Raises ValueError."""
    if value not in ("short", "medium", "long", "full"):
        raise ValueError(gettext("“%(style)s” is not a date style. Use short, medium, long or full", style=value))
    return value


def _check_length(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError(gettext("The filter truncate needs a number, as in truncate(40)"))
    return int(value[:6])


def _check_position(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value[:6]) > 0):
        raise ValueError(gettext("The filter item needs a number from 1, as in item(2)"))
    return int(value[:6])


@dataclass(frozen=True)
class Filter:
    """A filter: its function, a parser for each argument, how many are required, and an example."""

    function: Callable[..., str | Unclear]
    parsers: tuple[Callable[[str], object], ...] = ()
    required: int = 0
    example: str = ""

    @property
    def has_locale(self) -> bool:
        """Whether the last argument is the locale of the output."""
        return self.parsers[-1:] == (check_locale,)

    def parse_arguments(self, name: str, texts: list[str]) -> tuple[object, ...]:
        """Return the parsed arguments. Raises ValueError, which says how to fix them."""
        if not self.parsers and texts:
            raise ValueError(gettext("The filter %(name)s does not take arguments", name=name))
        if not self.required <= len(texts) <= len(self.parsers):
            raise ValueError(
                gettext("The filter %(name)s takes other arguments, as in %(example)s", name=name, example=self.example)
            )
        return tuple(parse(text) for parse, text in zip(self.parsers, texts, strict=False))


FILTERS: dict[str, Filter] = {
    "upper": Filter(str.upper),
    "lower": Filter(str.lower),
    "title": Filter(title),
    "raw": Filter(raw),
    "strip_html": Filter(strip_html),
    "truncate": Filter(truncate, (_check_length,), 1, "truncate(40)"),
    "item": Filter(item, (_check_position,), 1, "item(2)"),
    "default": Filter(default, (str,), 1, 'default("none")'),
    "number": Filter(number, (check_locale,), 0, 'number("de")'),
    "currency": Filter(currency, (_check_code, check_locale), 0, 'currency("EUR", "de")'),
    "money": Filter(currency, (_check_code, check_locale), 0, 'money("EUR", "de")'),
    "date": Filter(date, (check_style, check_locale), 0, 'date("long", "de")'),
}

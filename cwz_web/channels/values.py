"""Values of a feed as platforms want them: prices, dates, numbers of products, choices and URLs.

What cannot be read with certainty is `Unclear`, and never guessed: a platform takes a wrong price for a right one.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime, time
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from cwz_web.channels.preset import ChannelField, Preset, ValueKind
from cwz_web.i18n import gettext_lazy, number_lazy
from cwz_web.imaging.barcodes import has_check_digit
from cwz_web.imaging.field_values import read_field
from cwz_web.imaging.filters import NO_CURRENCY, decode_html, round_money
from cwz_web.imaging.line_breaking import character_ends
from cwz_web.imaging.photo_urls import InvalidPhotoUrlError, normalize_url
from cwz_web.values.dates import read_date, read_date_time
from cwz_web.values.formats import Unclear, ValueFormat, with_format
from cwz_web.values.numbers import read_money, read_number

# Platforms take URLs of at most this length (Google, Meta).
MAX_URL = 2000
MAX_DECIMALS = 10
# Prices, dates and choices are shorter. Normalizing and splitting longer texts can take time that grows faster than
# their length.
MAX_VALUE = 200
# No offer began earlier, and earlier offsets from UTC have seconds.
MIN_YEAR = 1970
# GS1 numbers of a single shop and coupons, as the first digits of a number with 13 (GS1 General Specifications, 1.4).
RESTRICTED_PREFIXES = ("2", "02", "04", "98", "99")
GTIN_LENGTHS = (8, 12, 13, 14)

# Other than in XML 1.0 (section 2.2), DEL and C1 controls are left out too: no text of a product has them.
_unwanted = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_safe = r"[A-Za-z0-9._~!$&'()*+,;=:@/?-]*+"
_safe_url = re.compile(rf"https?://[A-Za-z0-9.-]++(?::[0-9]{{1,5}})?(?:/{_safe}(?:%[0-9A-Fa-f]{{2}}{_safe})*+)?")
_range = re.compile(r"\s*/\s*|\s+(?:-|–|—|to|until|bis)\s+", re.IGNORECASE)
_gtin_separators = re.compile(r"[\s\u00a0‐‑–-]")
_isbn10 = re.compile(r"[0-9]{9}[0-9Xx]")

# Matches a URL that needs no conversion.
match_safe_url = _safe_url.fullmatch
# Converts a cell to what a platform wants.
Convert = Callable[[str], str | Unclear]


class CutText(str):
    """A text that was cut since the platform takes no longer one."""

    __slots__ = ()


def converter(field: ChannelField, preset: Preset, format: ValueFormat, zone: ZoneInfo) -> Convert:
    """Return a function that converts the cells of a column for a field. An empty cell stays empty.

    Args:
        field: the field.
        preset: the preset that it belongs to.
        format: how the cells of the column are written.
        zone: the time zone of times that name none.
    """
    convert = _converter_of(field, preset, zone)
    is_short = field.kind not in (ValueKind.TEXT, ValueKind.URL)

    def convert_cell(text: str) -> str | Unclear:
        if not text.strip():
            return ""
        if is_short and len(text) > MAX_VALUE:
            return Unclear(gettext_lazy("is longer than %(max)s characters", max=number_lazy(MAX_VALUE)))
        value = convert(with_format(text, format))
        return value if isinstance(value, Unclear) else _fit(value, field)

    return convert_cell


def _converter_of(field: ChannelField, preset: Preset, zone: ZoneInfo) -> Convert:
    match field.kind:
        case ValueKind.TEXT:
            return clean_text if preset.keeps_html else lambda text: clean_text(decode_html(text))
        case ValueKind.URL:
            return convert_url
        case ValueKind.PRICE:
            return convert_price
        case ValueKind.NUMBER:
            return convert_number
        case ValueKind.INTEGER:
            return convert_integer
        case ValueKind.DATE:
            return convert_date
        case ValueKind.DATE_TIME:
            return lambda text: convert_date_time(text, zone, has_colon=preset.offset_has_colon)
        case ValueKind.DATE_RANGE:
            return lambda text: convert_date_range(text, zone, has_colon=preset.offset_has_colon)
        case ValueKind.BOOLEAN:
            return lambda text: convert_boolean(text, preset.booleans)
        case ValueKind.GTIN:
            return convert_gtin
    choices = _choices(field.choices or {})
    if field.kind == ValueKind.AVAILABILITY:
        in_stock, sold_out, *_ = field.choices or {}
        return lambda text: _choose(text, choices) or _by_number(text, in_stock, sold_out)
    return lambda text: _choose(text, choices) or _not_a_choice(field)


def clean_text(text: str) -> str:
    """Return a text without control characters, but for tabs and line feeds, and without blanks around it."""
    return str(_unwanted.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))).strip()


def cut_text(text: str, length: int) -> str:
    """Return the beginning of a text: whole words, if they are at least half of it."""
    cut = text[: max((end for end in character_ends(text[: length + 1]) if end <= length), default=0)]
    head, space, _ = cut.rpartition(" ") if text[len(cut) : len(cut) + 1].strip() else (cut, "", "")
    return (head if space and len(head) > length // 2 else cut).rstrip()


def convert_url(text: str) -> str | Unclear:
    """Return a URL in ASCII: http or https, with what is not allowed in it percent-encoded."""
    if _safe_url.fullmatch(text):
        return str(text)
    try:
        return normalize_url(text.strip())
    except InvalidPhotoUrlError as error:
        return Unclear(str(error))


def convert_price(text: str) -> str | Unclear:
    """Return an amount with the decimals of its currency, and the currency: 19.90 EUR."""
    money = read_money(text)
    if isinstance(money, Unclear):
        return money
    if not money.currency:
        return Unclear(NO_CURRENCY)
    if money.amount < 0:
        return Unclear(gettext_lazy("is negative"))
    amount = round_money(money.amount, money.currency)
    if money.amount and not amount:
        return Unclear(gettext_lazy("is less than the smallest amount of %(currency)s", currency=money.currency))
    return f"{amount:f} {money.currency}"


def convert_number(text: str) -> str | Unclear:
    """Return a number with a decimal point and without other separators; a currency around it is left out."""
    number = read_number(text)
    if isinstance(number, Unclear):
        return number
    if -number.as_tuple().exponent > MAX_DECIMALS:  # type: ignore[operator] # a number is finite
        number = number.quantize(Decimal(1).scaleb(-MAX_DECIMALS), ROUND_HALF_UP)
    return f"{number:f}"


def convert_integer(text: str) -> str | Unclear:
    """Return a whole number."""
    number = read_number(text)
    if isinstance(number, Unclear):
        return number
    if number != number.to_integral():
        return Unclear(gettext_lazy("is not a whole number"))
    return f"{number.to_integral():f}"


def convert_date(text: str) -> str | Unclear:
    """Return a date: 2026-12-24."""
    day = read_date(text)
    return day if isinstance(day, Unclear) else day.isoformat()


def convert_date_time(text: str, zone: ZoneInfo, *, has_colon: bool, is_end: bool = False) -> str | Unclear:
    """Return a moment with its offset from UTC: 2026-12-24T18:00+0100.

    Args:
        text: the text. A date without a time is the begin of the day.
        zone: the time zone of a text that names none.
        has_colon: whether the offset has one.
        is_end: whether a date without a time is the last minute of the day.
    """
    moment = read_date_time(text, zone)
    if isinstance(moment, Unclear):
        return moment
    if moment.year < MIN_YEAR:
        return Unclear(gettext_lazy("is not a date of the calendar"))
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time(23, 59) if is_end else time(), zone)
    written = moment.strftime("%Y-%m-%dT%H:%M%z")
    return f"{written[:-2]}:{written[-2:]}" if has_colon else written


def convert_date_range(text: str, zone: ZoneInfo, *, has_colon: bool) -> str | Unclear:
    """Return two moments with a slash between. The day of a last date without a time belongs to the range."""
    parts = _range.split(text.strip())
    if len(parts) != 2:
        return Unclear(gettext_lazy("is not a begin and an end, as in 2026-12-01/2026-12-24"))
    begin = convert_date_time(parts[0], zone, has_colon=has_colon)
    end = convert_date_time(parts[1], zone, has_colon=has_colon, is_end=True)
    if isinstance(begin, Unclear):
        return begin
    if isinstance(end, Unclear):
        return end
    if _moment(begin) >= _moment(end):
        return Unclear(gettext_lazy("ends before it begins"))
    return f"{begin}/{end}"


def convert_boolean(text: str, booleans: tuple[str, str]) -> str | Unclear:
    """Return what a platform writes for true or false."""
    value = read_field("boolean", text)
    if isinstance(value, Unclear):
        return value
    return booleans[0] if value else booleans[1]


def convert_gtin(text: str) -> str | Unclear:
    """Return the digits of a GTIN with a right check digit; an ISBN of ten digits with its prefix.

    Source: GS1 General Specifications, sections 1.4 and 7.9; ISO 2108 for the ISBN.
    """
    digits = _gtin_separators.sub("", unicodedata.normalize("NFKC", text))
    if _isbn10.fullmatch(digits) and _has_isbn_check_digit(digits):
        return _isbn13(digits)
    if not (digits.isascii() and digits.isdecimal()) or len(digits) not in GTIN_LENGTHS:
        return Unclear(gettext_lazy("is not a number of 8, 12, 13 or 14 digits; leading zeros may be lost"))
    if not has_check_digit(digits):
        return Unclear(gettext_lazy("has a wrong check digit"))
    if (len(digits) > 8 and digits.zfill(14)[1:].startswith(RESTRICTED_PREFIXES)) or not digits.strip("0"):
        return Unclear(gettext_lazy("is a number for use inside a shop, or of a coupon"))
    return digits


def _has_isbn_check_digit(digits: str) -> bool:
    values = [10 if digit in "Xx" else int(digit) for digit in digits]
    return sum(value * weight for value, weight in zip(values, range(10, 0, -1), strict=True)) % 11 == 0


def _isbn13(digits: str) -> str:
    start = f"978{digits[:9]}"
    return next(f"{start}{check}" for check in range(10) if has_check_digit(f"{start}{check}"))


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M%z")


def plain_word(text: str) -> str:
    """Return the letters and digits of a text, in lower case and without accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if character.isalnum())


def _choices(choices: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    return {plain_word(text): name for name, others in choices.items() for text in (name, *others)}


def _choose(text: str, choices: Mapping[str, str]) -> str:
    """Return the choice that a text means; "" if it means none. A URL of schema.org means its last part."""
    _, is_schema, last = text.rpartition("schema.org/")
    return choices.get(plain_word(last if is_schema else text), "")


def _by_number(text: str, in_stock: str, sold_out: str) -> str | Unclear:
    pieces = read_number(text)
    if isinstance(pieces, Unclear):
        return Unclear(gettext_lazy("is neither an availability nor a number of pieces"))
    return in_stock if pieces > 0 else sold_out


def _not_a_choice(field: ChannelField) -> Unclear:
    names = ", ".join(list(field.choices or {})[:8])
    return Unclear(gettext_lazy("is none of the values that the platform takes: %(names)s", names=names))


def _fit(value: str, field: ChannelField) -> str | Unclear:
    """Return a value that is not longer than the platform takes."""
    length = field.max_length or (MAX_URL if field.kind == ValueKind.URL else None)
    if length is None or len(value) <= length:
        return value
    if field.can_be_cut:
        return CutText(cut_text(value, length))
    return Unclear(gettext_lazy("is longer than %(max)s characters", max=number_lazy(length)))

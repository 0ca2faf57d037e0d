"""Numbers and amounts of money in texts.

A text is a number with a sign, a percent sign or a currency around it, and nothing else. Its point or comma has one
reading (12.5; 1.234.567,8), or two (1.234): then the text's format decides, and for money the decimals of the currency.
"""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from cwz_web.i18n import gettext_lazy
from cwz_web.values.currencies import currencies_of, decimal_sign_of_currency, decimals_of
from cwz_web.values.formats import (
    DEFAULT_LOCALE,
    DecimalSign,
    Unclear,
    ValueFormat,
    decimal_sign_of,
    format_of,
    is_json_number,
    with_format,
)
from cwz_web.values.texts import MAX_LENGTH, has_digit, normalize

# More digits are an identifier, not a number.
MAX_DIGITS = 20
MAX_EXPONENT = 20

# A point after a letter belongs to it (kr.100). “,-” and “.–” stand for an amount without decimals.
_number = re.compile(
    r"(?P<before>\D*?)"
    r"(?P<body>(?:(?<![^\W\d_])[.,٫])?\d(?:[\d.,٫' ]*\d)?)"
    r"(?:[eE](?P<exponent>[-+]?\d{1,4}))?"
    r"(?P<whole>[.,] ?(?:--?|–))?"
    r"(?P<after>\D*)"
)
_json_number = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,4})?")
# “USD $” is a code and a symbol; other signs with a blank, such as F CFA, are one.
_code_and_symbol = re.compile(r"([A-Z]{3}) (\S+)|(\S+) ([A-Z]{3})")
_rating = re.compile(
    r"(?P<value>[^/★]*?\d)(?: ?(?:/|out of|of|von|sur|su|de|van|av|из) ?(?P<stars>\d{1,2}))?(?: ?(?:stars?|★|Sterne?))?"
)
_groups = re.compile(r"[1-9]\d{0,2}(?:([.,' ])\d{3})(?:\1\d{3})*")
_indian_groups = re.compile(r"[1-9]\d?(?:,\d\d)*,\d{3}")


@dataclass(frozen=True)
class Money:
    """An amount of money; `currency` is "" if neither the text nor its format names one."""

    amount: Decimal
    currency: str = ""


@dataclass(frozen=True)
class Readings:
    """What a text means if its decimal sign is a point, and if it is a comma; None is no possible reading.

    Attributes:
        signs: The currency signs around the number.
        is_percent: Whether it is followed by a percent sign.
    """

    point: Decimal | None
    comma: Decimal | None
    signs: tuple[str, ...] = ()
    is_percent: bool = False

    @property
    def only(self) -> Decimal | None:
        """The value if there is only one."""
        if self.point is None or self.comma is None:
            return self.comma if self.point is None else self.point
        return self.point if self.point == self.comma else None

    def under(self, sign: DecimalSign) -> Decimal | None:
        """Return the value for a decimal sign."""
        return self.point if sign == DecimalSign.POINT else self.comma


def read_number(text: str, maximum: int | None = None) -> Decimal | Unclear:
    """Return the number in a text; a percent sign or a currency around it is ignored.

    Args:
        text: The text, perhaps with its format (FormattedText).
        maximum: The largest number that makes sense; of two readings the one from 0 to it is right.
    """
    readings = scan_number(text)
    if isinstance(readings, Unclear):
        return readings
    format = format_of(text)
    currencies = {sign: currencies_of(sign, format) for sign in readings.signs}
    for sign, codes in currencies.items():
        if not codes:
            return Unclear(gettext_lazy("contains “%(sign)s” beside a number", sign=sign[:20]))
    if maximum is not None and (fitting := _fitting(readings, maximum)) is not None:
        return fitting
    named = {code for codes in currencies.values() for code in codes}
    value = _decide(readings, format, named.pop() if len(named) == 1 else "")
    return _unclear_decimal(readings) if value is None else value


def read_money(text: str, expected: str = "", hint: str = DEFAULT_LOCALE) -> Money | Unclear:
    """Return the amount of money in a text.

    Args:
        text: The text, perhaps with its format (FormattedText).
        expected: The currency that the amount must have; "" for any.
        hint: The locale of the output: it decides what `kr` or `$` is if nothing else does, and never how the number is
            written.
    """
    readings = scan_number(text)
    if isinstance(readings, Unclear):
        return readings
    if readings.is_percent:
        return Unclear(gettext_lazy("is a percentage, not an amount of money"))
    format = format_of(text)
    named = _find_currencies(readings.signs, format, expected, hint)
    if isinstance(named, Unclear):
        return named
    if len(named) > 1:
        return _unclear_currency(readings.signs, named)
    currency = next(iter(named), "")
    if expected and currency and currency != expected:
        return Unclear(
            gettext_lazy("is in another currency: %(currency)s, not %(expected)s", currency=currency, expected=expected)
        )
    currency = currency or expected or format.currency or ""
    evidence = _find_currencies(readings.signs, format, expected, DEFAULT_LOCALE)
    known = set() if isinstance(evidence, Unclear) else evidence
    # A currency that only the output gives to a sign is no evidence: with es-CL, $ is CLP.
    amounts = {_decide(readings, format, code) for code in {currency, *(known if readings.signs else ())}}
    if readings.signs and not known:
        amounts.add(_decide(readings, format, ""))
    amount = amounts.pop() if len(amounts) == 1 else None
    return _unclear_decimal(readings) if amount is None else Money(amount, currency)


def read_rating(text: str, stars: int) -> Decimal | Unclear:
    """Return the rating in a text, from 0 to the number of stars: 4.5, or 4.5/5."""
    match = _rating.fullmatch(text.strip()) if len(text) <= MAX_LENGTH else None
    if match and int(match["stars"] or stars) == stars:
        text = with_format(match["value"], format_of(text))
    rating = read_number(text, maximum=stars)
    if isinstance(rating, Unclear):
        return rating
    return rating if 0 <= rating <= stars else Unclear(gettext_lazy("is not a rating from 0 to %(stars)s", stars=stars))


def scan_number(text: str) -> Readings | Unclear:
    """Return the readings of a text that is a number, whatever its format and whatever signs are around it."""
    if is_json_number(text):
        return _scan_json_number(text)
    if len(text) > MAX_LENGTH:
        return Unclear(gettext_lazy("is too long for a number"))
    match = _number.fullmatch(normalize(text))
    if match is None:
        return Unclear(gettext_lazy("is not one number") if has_digit(text) else gettext_lazy("is not a number"))
    affixes = _read_affixes(match["before"], match["after"])
    if isinstance(affixes, Unclear):
        return affixes
    negative, is_percent, signs = affixes
    body = match["body"]
    if body[0] in ".,٫" and match["before"].endswith(("-", "–")):
        return Unclear(gettext_lazy("can be a negative number or one without a whole part"))
    if sum(map(str.isdigit, body)) > MAX_DIGITS:
        return Unclear(gettext_lazy("has more than %(max)s digits", max=MAX_DIGITS))
    values = _read_body(body, match["exponent"], is_whole=match["whole"] is not None)
    if values is None:
        return Unclear(gettext_lazy("does not have the separators of a number"))
    point, comma = (value if value is None or not negative else -value for value in values)
    return Readings(point, comma, signs, is_percent)


def is_in_limits(number: Decimal) -> bool:
    """Return whether a number has few enough digits, and a small enough exponent, for what is no identifier."""
    return len(number.as_tuple().digits) <= MAX_DIGITS and abs(number.adjusted()) <= MAX_EXPONENT


def _scan_json_number(text: str) -> Readings | Unclear:
    if not _json_number.fullmatch(text):
        return Unclear(gettext_lazy("is not a number"))
    value = Decimal(text)
    return (
        Readings(value, value)
        if is_in_limits(value)
        else Unclear(gettext_lazy("has more than %(max)s digits", max=MAX_DIGITS))
    )


def _read_affixes(before: str, after: str) -> tuple[bool, bool, tuple[str, ...]] | Unclear:
    """Return whether the number is negative, whether it is a percentage, and the currency signs around it."""
    before, after = before.strip(), after.strip()
    is_accounting = before.count("(") == after.count(")") == 1
    if is_accounting:
        before, after = before.replace("(", "").strip(), after.replace(")", "").strip()
    before, leading = _take_sign(before, "+-–")
    after, trailing = _take_sign(after, "-")
    is_percent = before.count("%") + after.count("%") == 1
    if is_percent:
        before, after = before.replace("%", "").strip(), after.replace("%", "").strip()
    if bool(leading) + bool(trailing) + is_accounting > 1:
        return Unclear(gettext_lazy("has more than one sign"))
    negative = is_accounting or bool(trailing) or leading in ("-", "–")
    return negative, is_percent, tuple(sign for affix in (before, after) for sign in _split_signs(affix))


def _take_sign(affix: str, signs: str) -> tuple[str, str]:
    """Split a sign off the start or the end of what is around a number."""
    if affix and affix[0] in signs:
        return affix[1:].strip(), affix[0]
    if affix and affix[-1] in signs:
        return affix[:-1].strip(), affix[-1]
    return affix, ""


def _split_signs(affix: str) -> list[str]:
    """Return the currency signs on one side of a number."""
    if match := _code_and_symbol.fullmatch(affix):
        return [sign for sign in match.groups() if sign]
    return [affix] if affix else []


def _read_body(body: str, exponent: str | None, *, is_whole: bool) -> tuple[Decimal | None, Decimal | None] | None:
    """Return the values of digits and separators for a decimal point and for a decimal comma; None if there is none."""
    if exponent is not None:
        value = _scientific(body, exponent)
        return None if value is None or is_whole else (value, value)
    if is_whole:
        body += "٫0"
    if "٫" in body:
        whole, _, decimals = body.partition("٫")
        value = _join(whole, decimals)
        return None if value is None else (_strip(value, is_whole), _strip(value, is_whole))
    readings = _decimal(body, "."), _decimal(body, ",")
    return None if readings == (None, None) else readings


def _strip(value: Decimal, is_whole: bool) -> Decimal:
    return value.to_integral() if is_whole else value


def _decimal(body: str, sign: str) -> Decimal | None:
    """Return the value of digits and separators for a decimal sign."""
    whole, found, decimals = body.partition(sign)
    if not found:
        return _join(whole, "")
    return _join(whole, decimals) if decimals.isdecimal() and sign not in _separators(whole) else None


def _separators(text: str) -> str:
    return "".join(character for character in text if not character.isdecimal())


def _join(whole: str, decimals: str) -> Decimal | None:
    """Return the number of a whole part, perhaps in groups, and decimals; None if the groups are wrong."""
    if decimals and not decimals.isdecimal():
        return None
    if whole and not whole.isdecimal() and not (_groups.fullmatch(whole) or _indian_groups.fullmatch(whole)):
        return None
    digits = "".join(filter(str.isdecimal, whole)) or "0"
    return Decimal(f"{digits}.{decimals}" if decimals else digits)


def _scientific(body: str, exponent: str) -> Decimal | None:
    if abs(int(exponent)) > MAX_EXPONENT:
        return None
    try:
        return Decimal(f"{body.replace(',', '.').replace('٫', '.')}e{exponent}")
    except InvalidOperation:
        return None


def _find_currencies(signs: tuple[str, ...], format: ValueFormat, expected: str, hint: str) -> set[str] | Unclear:
    """Return the currencies that the signs around a number can mean; none if there are no signs."""
    found: set[str] | None = None
    for sign in signs:
        codes = currencies_of(sign, format, expected, hint)
        if not codes:
            return Unclear(gettext_lazy("contains “%(sign)s” beside a number", sign=sign[:20]))
        both = set(codes) if found is None else found & set(codes)
        # “$5 CAD” is in the currency that the code names.
        found = both or _compatible(signs, format)
        if not found:
            return Unclear(
                gettext_lazy("has two currencies: %(one)s and %(other)s", one=signs[0][:20], other=signs[-1][:20])
            )
    return found or set()


def _unclear_currency(signs: tuple[str, ...], codes: set[str]) -> Unclear:
    return Unclear(
        gettext_lazy(
            "is in a currency that is not known: “%(sign)s” can be %(codes)s",
            sign=signs[0][:20],
            codes=", ".join(sorted(codes)[:4]),
        )
    )


def _compatible(signs: tuple[str, ...], format: ValueFormat) -> set[str]:
    """Return the currency of which one of two signs is the code and the other one a symbol."""
    for code, symbol in (signs, signs[::-1]) if len(signs) == 2 else ():
        [*named] = currencies_of(code, format)
        if len(named) == 1 and currencies_of(symbol, format, expected=named[0]) == (named[0],):
            return set(named)
    return set()


def _fitting(readings: Readings, maximum: int) -> Decimal | None:
    values = {value for value in (readings.point, readings.comma) if value is not None and 0 <= value <= maximum}
    return values.pop() if len(values) == 1 else None


def _decide(readings: Readings, format: ValueFormat, currency: str) -> Decimal | None:
    """Return the value if it is certain.

    Args:
        readings: The readings of the text.
        format: Its format. A decimal sign decides; a locale decides unless the currency contradicts it.
        currency: The currency, or "".
    """
    if readings.only is not None:
        return readings.only
    if format.decimal:
        return readings.under(format.decimal)
    local = decimal_sign_of(format.locale) if format.locale else None
    stated = readings.under(local) if local else None
    if not currency:
        return stated
    plausible = _plausible(readings, currency, local)
    return plausible if stated in (None, plausible) else None


def _plausible(readings: Readings, currency: str, local: DecimalSign | None) -> Decimal | None:
    """Return the reading that agrees with the currency's decimals and with how its countries write amounts.

    Both readings exist, so that three digits follow the only separator: decimals of a dinar, or thousands of euros.
    Where the countries differ, the decimal sign of the text's locale decides, if it is known.
    """
    assert readings.point is not None
    assert readings.comma is not None
    sign = decimal_sign_of_currency(currency) or local
    written = readings.under(sign) if sign else None
    has_point = abs(readings.point) < abs(readings.comma)
    if decimals_of(currency) == 3:
        decimal = readings.point if has_point else readings.comma
        return decimal if has_point or decimal == written else None
    grouped = readings.comma if has_point else readings.point
    return grouped if grouped == written else None


def _unclear_decimal(readings: Readings) -> Unclear:
    return Unclear(
        gettext_lazy(
            "can be %(one)s or %(other)s. Set the column's number format, or the locale of the request",
            one=readings.point,
            other=readings.comma,
        )
    )

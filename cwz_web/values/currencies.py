"""Currencies in texts: ISO 4217 codes, the symbols of CLDR's locales, and the signs that shops write."""

import re
from collections import defaultdict
from functools import cache
from types import MappingProxyType

from babel import Locale
from babel.numbers import get_currency_precision, get_territory_currencies

from cwz_web.values.formats import CURRENCIES, DEFAULT_LOCALE, DecimalSign, ValueFormat
from cwz_web.values.texts import normalize

# What a sign means in any locale that does not define it; the first of several is CLDR's reading in English.
# A sign of which no reading is general (kr) begins with "".
SIGNS: dict[str, tuple[str, ...]] = {
    "€": ("EUR",),
    "FCFA": ("", "XAF", "XOF"),
    "F CFA": ("", "XOF", "XAF"),
    "CFA": ("", "XOF", "XAF"),
    "Euro": ("EUR",),
    "euro": ("EUR",),
    "EURO": ("EUR",),
    "Euros": ("EUR",),
    "euros": ("EUR",),
    "$": (
        *("USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN", "TWD", "ARS", "CLP", "COP", "UYU", "BSD", "BBD", "BZD"),
        *("BMD", "BND", "KYD", "FJD", "GYD", "JMD", "LRD", "NAD", "SBD", "SRD", "TTD", "XCD", "CUP", "DOP", "BRL"),
    ),
    "£": ("GBP", "EGP", "GIP", "FKP", "SHP", "SSP", "LBP", "SYP"),
    "¥": ("JPY", "CNY"),
    "￥": ("JPY", "CNY"),
    "₹": ("INR",),
    "₩": ("KRW", "KPW"),
    "￦": ("KRW",),
    "zł": ("PLN",),
    "zl": ("PLN",),
    "Kč": ("CZK",),
    "kč": ("CZK",),
    "kr": ("", "SEK", "NOK", "DKK", "ISK"),
    "Kr": ("", "SEK", "NOK", "DKK", "ISK"),
    "Skr": ("SEK",),
    "Nkr": ("NOK",),
    "Dkr": ("DKK",),
    "Fr": ("CHF",),
    "SFr": ("CHF",),
    "sFr": ("CHF",),
    "Ft": ("HUF",),
    "lei": ("RON", "MDL"),
    "Lei": ("RON", "MDL"),
    "лв": ("BGN",),
    "руб": ("RUB",),
    "р": ("RUB",),
    "₽": ("RUB",),
    "₴": ("UAH",),
    "грн": ("UAH",),
    "₺": ("TRY",),
    "TL": ("TRY",),
    "₫": ("VND",),
    "đ": ("VND",),
    "R$": ("BRL",),
    "A$": ("AUD",),
    "AU$": ("AUD",),
    "US$": ("USD",),
    "CA$": ("CAD",),
    "C$": ("", "CAD", "NIO"),
    "HK$": ("HKD",),
    "NZ$": ("NZD",),
    "NT$": ("TWD",),
    "S$": ("SGD",),
    "MX$": ("MXN",),
    "EC$": ("XCD",),
    "J$": ("JMD",),
    "RD$": ("DOP",),
    "TT$": ("TTD",),
    "CN¥": ("CNY",),
    "JP¥": ("JPY",),
    "元": ("CNY", "TWD"),
    "円": ("JPY",),
    "원": ("KRW",),
    "RM": ("MYR",),
    "Rp": ("IDR",),
    "Rs": ("", "INR", "PKR", "LKR", "NPR", "MUR"),
    "₨": ("", "INR", "PKR", "LKR", "NPR", "MUR"),
    "₱": ("PHP",),
    "฿": ("THB",),
    "₪": ("ILS",),
    "₦": ("NGN",),
    "₵": ("GHS",),
    "GH₵": ("GHS",),
    "KSh": ("KES",),
    "Ksh": ("KES",),
    "TSh": ("TZS",),
    "USh": ("UGX",),
    "₸": ("KZT",),
    "₾": ("GEL",),
    "₼": ("AZN",),
    "֏": ("AMD",),
    "₮": ("MNT",),
    "₭": ("LAK",),
    "៛": ("KHR",),
    "৳": ("BDT",),
    "₲": ("PYG",),
    "₡": ("CRC",),
    "S/": ("PEN",),
    "B/": ("PAB",),
    "KM": ("BAM",),
    "din": ("RSD",),
    "дин": ("RSD",),
    "ден": ("MKD",),
    "DT": ("TND",),
    "KD": ("KWD",),
    "BD": ("BHD",),
    "JD": ("JOD",),
    "د.ك": ("KWD",),
    "د.ب": ("BHD",),
    "د.أ": ("JOD",),
    "د.ت": ("TND",),
    "ر.ع": ("OMR",),
    "ر.س": ("SAR",),
    "د.إ": ("AED",),
    "ر.ق": ("QAR",),
    "ج.م": ("EGP",),
    "د.م": ("MAD",),
    "د.ع": ("IQD",),
    "د.ل": ("LYD",),
    "﷼": ("", "IRR", "SAR", "OMR", "YER", "QAR"),
}
_CODE = re.compile(r"[A-Z]{3}")
# Codes that are also written in lower case, and are no words.
_LOWER_CODES = frozenset(
    ["eur", "usd", "gbp", "chf", "sek", "nok", "dkk", "pln", "czk", "huf", "jpy", "cny", "inr", "aud", "cad"]
)
# Currencies of which all countries write amounts with the same decimal sign (CLDR).
_COMMA_CURRENCIES = {
    *("ARS", "AZN", "BAM", "BGN", "BRL", "BYN", "CLP", "COP", "CZK", "DKK", "GEL", "HUF", "IDR", "ISK"),
    *("KZT", "MDL", "MKD", "NOK", "PLN", "PYG", "RON", "RSD", "RUB", "SEK", "TRY", "UAH", "UYU", "VND"),
}
_POINT_CURRENCIES = {
    *("AED", "AUD", "BDT", "CHF", "CNY", "EGP", "GBP", "GTQ", "HKD", "ILS", "INR", "JPY", "KES", "KRW"),
    *("LKR", "MXN", "MYR", "NGN", "NPR", "NZD", "PEN", "PHP", "PKR", "SAR", "SGD", "THB", "TWD", "USD"),
}


def currencies_of(sign: str, format: ValueFormat, expected: str = "", hint: str = DEFAULT_LOCALE) -> tuple[str, ...]:
    """Return the currencies that a sign can mean: none if it is no currency, one if it is certain.

    Args:
        sign: A code or symbol, without blanks around it.
        format: The format of the text; its locale and its currency decide what `kr` or `$` is.
        expected: The currency that the template asks for, which decides if the format does not.
        hint: The locale of the output, which decides if nothing else does.
    """
    if _CODE.fullmatch(sign) or sign.lower() in _LOWER_CODES:
        return (sign.upper(),) if sign.upper() in CURRENCIES else ()
    plain = sign.rstrip(".")
    local = _symbols(format.locale).get(plain, ()) if format.locale else ()
    if len(local) == 1:
        return local
    general = SIGNS.get(plain, ())
    hinted = _symbols(hint).get(plain, ())
    known = tuple(dict.fromkeys([*local, *(code for code in general if code), *hinted]))
    for preferred in (format.currency, expected):
        if preferred and preferred in known:
            return (preferred,)
    if len(hinted) == 1:
        return hinted
    return (general[0],) if general and general[0] else known


@cache  # a constant for each of CLDR's locales
def _symbols(locale: str) -> dict[str, tuple[str, ...]]:
    """Return the currencies of each symbol of a locale; if the territory's own is among them, only that."""
    parsed = Locale.parse(locale)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for code, symbol in parsed.currency_symbols.items():
        if symbol != code and code in CURRENCIES:
            found[normalize(symbol).rstrip(".")].append(code)
    own = set(get_territory_currencies(parsed.territory)) if parsed.territory else set()
    return {
        symbol: tuple(code for code in codes if code in own) if own.intersection(codes) else tuple(codes)
        for symbol, codes in found.items()
    }


@cache  # a constant of CLDR
def current_currencies() -> MappingProxyType[str, str]:
    """Return the English names of the currencies that are legal tender today, by code and sorted by it."""
    english = Locale.parse("en")
    territories = [str(code) for code in english.territories]
    codes = {code for territory in territories if len(territory) == 2 for code in get_territory_currencies(territory)}
    return MappingProxyType({code: english.currencies[code] for code in sorted(codes & CURRENCIES)})


def currency_of_territory(territory: str) -> str:
    """Return the currency of a country by its ISO 3166 code; "" if it has several or is not known."""
    currencies = get_territory_currencies(territory)
    return currencies[0] if len(currencies) == 1 else ""


def decimals_of(currency: str) -> int:
    """Return how many decimals the amounts of a currency have (CLDR)."""
    return get_currency_precision(currency)


def decimal_sign_of_currency(currency: str) -> DecimalSign | None:
    """Return the decimal sign of all countries with a currency; None if they differ."""
    if currency in _COMMA_CURRENCIES:
        return DecimalSign.COMMA
    return DecimalSign.POINT if currency in _POINT_CURRENCIES else None

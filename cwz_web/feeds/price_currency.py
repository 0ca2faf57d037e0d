"""The currency of a feed's prices: the columns whose prices do not name one, and the currency that the data suggest.

A price without a currency is not guessed: a person chooses the currency once per feed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from cwz_web.feeds.columns import ColumnType, guess_type, is_price_name, normalize_name
from cwz_web.feeds.records import Row
from cwz_web.i18n import gettext
from cwz_web.values.currencies import currencies_of, currency_of_territory, current_currencies
from cwz_web.values.formats import CURRENCIES, UNKNOWN, Unclear, ValueFormat
from cwz_web.values.numbers import scan_number

_currency_name = re.compile(r"currency|waehrung|wahrung|devise|moneda|valuta|valute")
# A code in the name of a column, as in “Price (EUR)”, “price_eur” and “priceEUR”.
_upper_code = re.compile(r"(?<![A-Z])[A-Z]{3}(?![A-Za-z])")
_lower_code = re.compile(r"(?<![a-z])(?:eur|usd|gbp|chf|sek|nok|dkk|pln|czk|huf|jpy|cny|inr|aud|cad)(?![a-z])")
# Territories of top-level domains that are used worldwide, or are no country codes of ISO 3166.
_GENERIC_DOMAINS = {"ai", "cc", "co", "fm", "gg", "io", "la", "ly", "me", "sh", "to", "tv", "ws"}


@dataclass(frozen=True)
class SuggestedCurrency:
    """A currency, and why the data suggest it, as a sentence."""

    code: str
    reason: str


def find_columns_without_currency(
    columns: Iterable[str], types: Mapping[str, ColumnType], formats: Mapping[str, ValueFormat], rows: Sequence[Row]
) -> list[str]:
    """Return the columns with prices of which the currency is not known.

    Args:
        columns: The columns of the feed.
        types: The types of the columns that are known.
        formats: How the values of the columns are written, with the currency of the feed or the workspace.
        rows: Rows of the feed.
    """
    found = []
    for name in columns:
        values = [value for row in rows if (value := row.get(name))]
        column_type = types.get(name) or guess_type(name, values)
        is_price = column_type == ColumnType.PRICE or (column_type == ColumnType.TEXT and is_price_name(name))
        if is_price and any(lacks_currency(value, formats.get(name, UNKNOWN)) for value in values):
            found.append(name)
    return found


def lacks_currency(value: str, format: ValueFormat) -> bool:
    """Return whether a value is an amount of which neither the text nor its format says the currency."""
    readings = scan_number(value)
    if isinstance(readings, Unclear) or readings.is_percent:
        return False
    if not readings.signs:
        return format.currency is None
    meanings = [len(currencies_of(sign, format)) for sign in readings.signs]
    return 1 not in meanings and max(meanings) > 1


def suggest_currency(
    columns: Iterable[str], formats: Mapping[str, ValueFormat], rows: Sequence[Row], url: str = ""
) -> SuggestedCurrency | None:
    """Return the currency that the data suggest, or None.

    Args:
        columns: The columns of the feed.
        formats: How the values of the columns are written.
        rows: Rows of the feed.
        url: The URL that the feed is fetched from; "" if there is none.
    """
    columns = list(columns)
    return (
        _of_currency_column(columns, rows)
        or _of_column_names(columns)
        or _of_other_prices(columns, formats)
        or _of_domain(url)
    )


def _of_currency_column(columns: list[str], rows: Sequence[Row]) -> SuggestedCurrency | None:
    for name in columns:
        codes = {value.strip().upper() for row in rows if (value := row.get(name))}
        if _currency_name.search(normalize_name(name)) and len(codes) == 1 and codes <= CURRENCIES:
            return _of_column(codes.pop(), name)
    return None


def _of_column_names(columns: list[str]) -> SuggestedCurrency | None:
    for name in columns:
        if is_price_name(name):
            codes = {*_upper_code.findall(name), *map(str.upper, _lower_code.findall(name))} & CURRENCIES
            if len(codes) == 1:
                return _of_column(codes.pop(), name)
    return None


def _of_column(code: str, name: str) -> SuggestedCurrency:
    reason = gettext("%(currency)s is suggested because “%(column)s” says so.", currency=code, column=name)
    return SuggestedCurrency(code, reason)


def _of_other_prices(columns: list[str], formats: Mapping[str, ValueFormat]) -> SuggestedCurrency | None:
    named = {name: code for name in columns if (code := formats.get(name, UNKNOWN).currency)}
    if len(set(named.values())) != 1:
        return None
    name, code = next(iter(named.items()))
    reason = gettext(
        "%(currency)s is suggested because the prices in “%(column)s” are in it.", currency=code, column=name
    )
    return SuggestedCurrency(code, reason)


def _of_domain(url: str) -> SuggestedCurrency | None:
    domain = (urlsplit(url).hostname or "").rpartition(".")[2]
    territory = "GB" if domain == "uk" else domain.upper()
    code = currency_of_territory(territory) if domain not in _GENERIC_DOMAINS else ""
    if code not in current_currencies():
        return None
    reason = gettext("%(currency)s is suggested because the URL ends in .%(domain)s.", currency=code, domain=domain)
    return SuggestedCurrency(code, reason)

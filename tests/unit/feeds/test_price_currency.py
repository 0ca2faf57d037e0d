"""Prices without a currency, and the currency that the data suggest."""

import pytest

from cwz_web.feeds.columns import ColumnType
from cwz_web.feeds.price_currency import find_columns_without_currency, lacks_currency, suggest_currency
from cwz_web.values.currencies import current_currencies
from cwz_web.values.formats import UNKNOWN, ValueFormat

EURO = ValueFormat(currency="EUR")


@pytest.mark.parametrize(
    ("value", "lacks"),
    [
        *(("50", True), ("1.234", True), ("0", True), ("kr 5", True)),
        *(("5 €", False), ("5 SEK", False), ("5%", False), ("on request", False)),
    ],
)
def test_amounts_without_a_currency(value: str, lacks: bool) -> None:
    assert lacks_currency(value, UNKNOWN) == lacks
    assert not lacks_currency("50", EURO)
    assert lacks_currency("kr 5", EURO), "kr is no euro"


def test_columns_of_prices_are_asked_about() -> None:
    types = {"price": ColumnType.PRICE, "old": ColumnType.PRICE, "stock": ColumnType.NUMBER, "uvp": ColumnType.TEXT}
    rows = [{"price": "5 €", "old": "7", "stock": "3", "uvp": "on request", "cost": "2"}, {"price": "6 €"}]
    columns = [*types, "cost"]
    assert find_columns_without_currency(columns, types, {}, rows) == ["old", "cost"]
    assert find_columns_without_currency(columns, types, {"old": EURO}, rows) == ["cost"]


@pytest.mark.parametrize(
    ("columns", "row", "url", "code"),
    [
        (["price", "Currency code"], {"price": "5", "Currency code": "sek"}, "", "SEK"),
        (["Price (CHF)"], {}, "", "CHF"),
        (["price_eur"], {}, "https://shop.se/feed", "EUR"),
        (["price all"], {}, "https://shop.co.uk/feed", "GBP"),
        (["price"], {}, "https://shop.com/feed", None),
        (["price"], {}, "https://shop.io/feed", None),
    ],
)
def test_currency_is_suggested_with_a_reason(columns: list[str], row: dict[str, str], url: str, code: str) -> None:
    suggested = suggest_currency(columns, {}, [row], url)
    assert (suggested.code if suggested else None) == code


def test_other_prices_suggest_their_currency_only_if_they_agree() -> None:
    other = suggest_currency(["price", "old"], {"old": EURO}, [])
    assert other is not None
    assert (other.code, other.reason) == ("EUR", "EUR is suggested because the prices in “old” are in it.")
    assert suggest_currency(["price", "old"], {"old": EURO, "price": ValueFormat(currency="USD")}, []) is None


def test_choices_are_currencies_of_today() -> None:
    assert {"EUR", "USD", "GBP"} < set(current_currencies())
    assert "DEM" not in current_currencies()

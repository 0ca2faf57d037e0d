"""Values of feeds as platforms want them."""

from zoneinfo import ZoneInfo

import pytest

from cwz_web.channels.preset import ChannelField, Preset, ValueKind
from cwz_web.channels.presets.google import GOOGLE
from cwz_web.channels.values import CutText, converter, cut_text
from cwz_web.values.formats import DateOrder, DecimalSign, Unclear, ValueFormat, json_number

ZONE = ZoneInfo("Europe/Zurich")
COMMA = ValueFormat(decimal=DecimalSign.COMMA, currency="EUR")


def convert(field: ChannelField, text: str, format: ValueFormat = COMMA, preset: Preset = GOOGLE) -> str | Unclear:
    return converter(field, preset, format, ZONE)(text)


def of_kind(kind: ValueKind, text: str, format: ValueFormat = COMMA) -> str | Unclear:
    return convert(ChannelField("x", kind), text, format)


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("19,99", "19.99 EUR"),
        ("1.234,5 €", "1234.50 EUR"),
        ("USD 5", "5.00 USD"),
        ("¥1000", "1000 JPY"),
        ("12,-", "12.00 EUR"),
        ("0", "0.00 EUR"),
        ("", ""),
        ("  ", ""),
    ],
)
def test_prices_have_a_point_and_the_decimals_of_their_currency(text: str, price: str) -> None:
    assert of_kind(ValueKind.PRICE, text) == price


@pytest.mark.parametrize("text", ["on request", "-5", "10 %", "0,001"])
def test_prices_are_not_guessed(text: str) -> None:
    assert isinstance(of_kind(ValueKind.PRICE, text), Unclear)
    assert isinstance(of_kind(ValueKind.PRICE, "19.99", ValueFormat()), Unclear)  # no currency
    assert isinstance(of_kind(ValueKind.NUMBER, "1.234", ValueFormat()), Unclear)
    assert of_kind(ValueKind.NUMBER, json_number("1.234"), ValueFormat()) == "1.234"


def test_numbers() -> None:
    assert of_kind(ValueKind.NUMBER, "1.234,50 €") == "1234.50"
    assert of_kind(ValueKind.INTEGER, "1.200") == "1200"
    assert isinstance(of_kind(ValueKind.INTEGER, "1,5"), Unclear)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-24T18:00:00Z", "2026-12-24T18:00+0000"),
        ("2026-12-24 18:00", "2026-12-24T18:00+0100"),
        ("2026-07-01", "2026-07-01T00:00+0200"),
        ("24.12.2026, 6:05 pm", "2026-12-24T18:05+0100"),
        ("24.12.2026 12:00 am", "2026-12-24T00:00+0100"),
        ("2026-12-24T18:00-0830", "2026-12-24T18:00-0830"),
        ("20261224T180000Z", "2026-12-24T18:00+0000"),
        ("December 24, 2026 at 9:30", "2026-12-24T09:30+0100"),
    ],
)
def test_moments_have_their_offset(text: str, moment: str) -> None:
    assert of_kind(ValueKind.DATE_TIME, text) == moment


@pytest.mark.parametrize("text", ["soon", "3/4/2026", "2026-12-24 18:00 CST", "2026-12-24 25:00", "2026-12-24 13:00pm"])
def test_moments_are_not_guessed(text: str) -> None:
    assert isinstance(of_kind(ValueKind.DATE_TIME, text), Unclear)


def test_dates_follow_the_order_of_their_column() -> None:
    assert of_kind(ValueKind.DATE, "3/4/2026", ValueFormat(date_order=DateOrder.DMY)) == "2026-04-03"
    assert of_kind(ValueKind.DATE, "3/4/2026", ValueFormat(date_order=DateOrder.MDY)) == "2026-03-04"


def test_last_day_of_a_range_belongs_to_it() -> None:
    assert of_kind(ValueKind.DATE_RANGE, "2026-12-01/2026-12-24") == "2026-12-01T00:00+0100/2026-12-24T23:59+0100"
    assert of_kind(ValueKind.DATE_RANGE, "1.12.2026 bis 24.12.2026 12:00").endswith("/2026-12-24T12:00+0100")  # type: ignore[union-attr]
    for text in ("2026-12-24", "2026-12-24/2026-12-01", "a/b"):
        assert isinstance(of_kind(ValueKind.DATE_RANGE, text), Unclear)
    colon = Preset("x", "x", (), offset_has_colon=True)
    value = convert(ChannelField("x", ValueKind.DATE_RANGE), "2026-12-01/2026-12-24", preset=colon)
    assert value == "2026-12-01T00:00+01:00/2026-12-24T23:59+01:00"


@pytest.mark.parametrize(
    ("text", "gtin"),
    [
        ("4006381333931", "4006381333931"),
        ("4 006381-333931", "4006381333931"),
        ("73513537", "73513537"),
        ("036000291452", "036000291452"),
        ("0-306-40615-2", "9780306406157"),
    ],
)
def test_gtins_have_a_right_check_digit(text: str, gtin: str) -> None:
    assert of_kind(ValueKind.GTIN, text) == gtin


@pytest.mark.parametrize("text", ["4006381333932", "12345", "36000291452", "2012345678900", "0000000000000", "n/a"])
def test_gtins_are_not_guessed(text: str) -> None:
    assert isinstance(of_kind(ValueKind.GTIN, text), Unclear)


@pytest.mark.parametrize(
    ("text", "availability"),
    [
        ("in stock", "in_stock"),
        ("Auf Lager", "in_stock"),
        ("Épuisé", "out_of_stock"),
        ("https://schema.org/InStock", "in_stock"),
        ("12", "in_stock"),
        ("0", "out_of_stock"),
        ("Pre-Order", "preorder"),
        ("в наличии", "in_stock"),
    ],
)
def test_availability_is_read_in_several_languages(text: str, availability: str) -> None:
    assert convert(GOOGLE.field("availability"), text) == availability


def test_choices_and_booleans_are_not_guessed() -> None:
    assert convert(GOOGLE.field("condition"), "Neu") == "new"
    assert isinstance(convert(GOOGLE.field("condition"), "like new, box open"), Unclear)
    assert isinstance(convert(GOOGLE.field("availability"), "perhaps"), Unclear)
    assert convert(GOOGLE.field("adult"), "WAHR") == "yes"
    assert isinstance(convert(GOOGLE.field("adult"), "maybe"), Unclear)


def test_urls_are_ascii_and_of_the_web() -> None:
    link = GOOGLE.field("link")
    assert convert(link, "https://shop.example/a?b=1&c=%20") == "https://shop.example/a?b=1&c=%20"
    assert convert(link, " https://bücher.example/größe 1") == "https://xn--bcher-kva.example/gr%C3%B6%C3%9Fe%201"
    for text in ("ftp://a.example/", "javascript:alert(1)", "/path", f"https://a.example/{'a' * 2000}"):
        assert isinstance(convert(link, text), Unclear)


def test_texts_are_visible_ones_without_control_characters() -> None:
    title = GOOGLE.field("title")
    assert convert(title, "<b>Mug</b> &amp; saucer\x00\x1b") == "Mug & saucer"
    assert convert(ChannelField("x"), "<b>", preset=Preset("x", "x", (), keeps_html=True)) == "<b>"


def test_long_texts_are_cut_between_words_and_others_are_left_out() -> None:
    cut = convert(GOOGLE.field("title"), "word " * 40)
    assert isinstance(cut, CutText)
    assert len(cut) <= 150
    assert cut.endswith("word")
    assert isinstance(convert(GOOGLE.field("brand"), "a" * 71), Unclear)
    assert cut_text("a" * 20, 10) == "a" * 10
    assert cut_text("ab cd", 2) == "ab"
    assert cut_text("👩‍👩‍👧 family", 2) == ""


@pytest.mark.parametrize("kind", [kind for kind in ValueKind if kind not in (ValueKind.TEXT, ValueKind.URL)])
def test_long_texts_are_no_values(kind: ValueKind) -> None:
    """Splitting or normalizing them would take minutes."""
    field = ChannelField("x", kind, choices={"in_stock": (), "out_of_stock": ()})
    for text in ("1" + " " * 90_000 + "2", "a" + "\u0315\u0300" * 50_000):
        assert isinstance(convert(field, text), Unclear)


def test_moments_before_the_web_are_no_dates() -> None:
    assert isinstance(of_kind(ValueKind.DATE_RANGE, "0001-01-01/0001-01-02"), Unclear)
    assert isinstance(of_kind(ValueKind.DATE_TIME, "0001-01-01"), Unclear)

from collections.abc import Sequence
from decimal import Decimal

import pytest
from babel.numbers import format_decimal
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.feeds.column_formats import FormatDetection, column_formats
from cwz_web.feeds.columns import Column, ColumnType, FeedSchema
from cwz_web.feeds.imports import create_feed, import_file
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_items
from cwz_web.feeds.records import InvalidEntry, Row
from cwz_web.feeds.row_writes import put_items
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.values.dates import read_date
from cwz_web.values.formats import FormattedText, ValueFormat, is_json_number, json_number, with_format
from cwz_web.values.numbers import read_number
from tests.factories import Factory


def detect(
    column_type: ColumnType, values: Sequence[str], chosen: dict[str, str] | None = None, default: str | None = None
) -> tuple[ValueFormat, list[str]]:
    """Return the format that a column of values has, and the notes on them."""
    column = Column(name="c", type=column_type, format=ValueFormat.model_validate(chosen or {}))
    detection = FormatDetection(FeedSchema(columns={"c": column}), ValueFormat(locale=default))
    list(detection.observe((line, str(line), {"c": value}) for line, value in enumerate(values, 2)))
    return detection.formats().get("c", ValueFormat()), detection.notes()


@pytest.mark.parametrize(
    ("values", "decimal", "currency"),
    [
        (["12,50", "1.234", "7"], "comma", None),
        (["12.50", "1,234", "7"], "point", None),
        (["1.234,50 €", "1.234 €"], "comma", "EUR"),
        (["1,299.00 USD", "12.5 USD"], "point", "USD"),
        (["1'299.50", "5.–"], "point", None),
        (["1.234.567", "1.234"], "comma", None),
        (["1,29,999", "12,345"], "point", None),
        (["9.90 EUR", "5.00 USD"], "point", None),
        (["7", "12"], None, None),
        (["1.234", "2.345"], None, None),
        (["12,50", "12.50"], None, None),
        (["12,50"] * 99 + ["12.50"], "comma", None),
        (["5 kr", "7 kr"], None, None),
        (["5 SEK", "7 kr"], None, "SEK"),
    ],
)
def test_format_of_prices(values: list[str], decimal: str | None, currency: str | None) -> None:
    format, _ = detect(ColumnType.PRICE, values)
    assert (format.decimal, format.currency) == (decimal, currency)


def test_json_numbers_prove_nothing() -> None:
    format, notes = detect(ColumnType.PRICE, [json_number("1.234"), json_number("12.5"), "3,50"])
    assert format.decimal == "comma"
    assert notes == []


@pytest.mark.parametrize(
    ("values", "order"),
    [
        (["03/14/2024", "03/04/2024"], "mdy"),
        (["14/03/2024", "03/04/2024"], "dmy"),
        (["14/03/2024", "03/14/2024"], None),
        (["03/04/2024", "05/06/2024"], None),
        (["03/03/2024", "2024-03-14", "20240304", "14 March 2024"], None),
        (["14.03.2024"], "dmy"),
    ],
)
def test_order_of_dates(values: list[str], order: str | None) -> None:
    assert detect(ColumnType.DATE, values)[0].date_order == order


@pytest.mark.parametrize(
    ("column_type", "values", "note"),
    [
        (
            ColumnType.PRICE,
            ["9,90", "N/A", "10-20 EUR", "7,50"],
            "2 values of “c” cannot be read as a price with certainty: line 3 (“N/A”), 4",
        ),
        (
            ColumnType.NUMBER,
            ["1.234", "5"],
            "A value of “c” cannot be read as a number with certainty: line 2 (“1.234”)",
        ),
        (
            ColumnType.DATE,
            ["03/04/2024", "soon"],
            "A value of “c” cannot be read as a date with certainty: line 3 (“soon”)",
        ),
        (
            ColumnType.PRICE,
            ["1,234 €", "1,459 €", "1,899 €"],
            "3 values of “c” cannot be read as a price with certainty: line 2 (“1,234 €”), 3, 4",
        ),
        (
            ColumnType.PRICE,
            ["12.500 KWD", "1,234 €", "9 €"],
            "A value of “c” cannot be read as a price with certainty: line 3 (“1,234 €”)",
        ),
        (
            ColumnType.PRICE,
            ["5 kr", "12,50 kr", "1.234 kr", "7 SEK", "8 NOK"],
            "3 values of “c” cannot be read as a price with certainty: line 2 (“5 kr”), 3, 4",
        ),
        (
            ColumnType.PRICE,
            ["1,234 €", "5 kr", "1,300 €"],
            "3 values of “c” cannot be read as a price with certainty: line 2 (“1,234 €”), 3, 4",
        ),
        (
            ColumnType.PRICE,
            ["x"] * 9,
            "9 values of “c” cannot be read as a price with certainty: line 2 (“x”), 3, 4, 5, 6",
        ),
    ],
)
def test_unclear_values_are_noted(column_type: ColumnType, values: list[str], note: str) -> None:
    assert note in detect(column_type, values)[1]


@pytest.mark.parametrize(
    ("column_type", "values", "chosen"),
    [
        (ColumnType.NUMBER, ["1.234"], {"decimal": "comma"}),
        (ColumnType.NUMBER, ["1.234"], {"locale": "de"}),
        (ColumnType.DATE, ["03/04/2024"], {"date_order": "mdy"}),
        (ColumnType.PRICE, ["5 kr"], {"currency": "NOK"}),
        (ColumnType.PRICE, ["5 kr"], {"locale": "da"}),
        (ColumnType.PRICE, ["5 kr", "7 SEK"], {}),
        (ColumnType.PRICE, ["1,234 €"], {"locale": "en"}),
        (ColumnType.PRICE, ["1,234 €", "12.50 €"], {}),
        (ColumnType.NUMBER, ["5 kr"], {}),
        (ColumnType.NUMBER, ["1.234%"], {"locale": "de"}),
        (ColumnType.PRICE, ["12.500 KWD", "1.234 zł"], {}),
    ],
)
def test_nothing_is_noted_if_the_format_is_known(
    column_type: ColumnType, values: list[str], chosen: dict[str, str]
) -> None:
    assert detect(column_type, values, chosen)[1] == []


def test_a_text_column_named_like_a_price_has_a_format() -> None:
    detection = FormatDetection(
        FeedSchema(columns={"c": Column(name="Preis"), "d": Column(name="note")}), ValueFormat()
    )
    rows = [{"Preis": "9,90", "note": "1,5"}, {"Preis": "on request", "note": "2,5"}]
    list(detection.observe((line, "", row) for line, row in enumerate(rows, 2)))
    assert detection.formats() == {"Preis": ValueFormat(decimal="comma")}
    assert detection.notes() == ["A value of “Preis” cannot be read as a price with certainty: line 3 (“on request”)"]


def test_locale_of_the_workspace_counts_last() -> None:
    assert detect(ColumnType.NUMBER, ["1.234"], default="de")[1] == []
    assert detect(ColumnType.NUMBER, ["1.234", "1,5"], default="en")[0].decimal == "comma"


def test_invalid_rows_and_empty_cells_are_skipped() -> None:
    schema = FeedSchema(columns={"c": Column(name="c", type=ColumnType.PRICE)})
    detection = FormatDetection(schema, ValueFormat())
    rows = [(2, "a", {"other": "x"}), InvalidEntry(3, "bad", {"c": "N/A"})]
    assert list(detection.observe(rows)) == rows
    assert detection.notes() == []


@settings(max_examples=60)
@given(
    st.sampled_from(["de", "en", "fr", "it", "sv", "de_CH", "pt_BR", "pl", "hi", "es", "en_ZA"]),
    st.lists(st.decimals(min_value=0, max_value=10**7, places=2, allow_nan=False), min_size=1, max_size=30),
)
def test_a_column_of_one_locale_is_never_wrong(locale: str, values: list[Decimal]) -> None:
    rendered = [format_decimal(value, locale=locale) for value in values]
    format, _ = detect(ColumnType.NUMBER, rendered)
    for text, value in zip(rendered, values, strict=True):
        number = read_number(FormattedText(text, format))
        assert not isinstance(number, Decimal) or number == value


@given(st.lists(st.text(max_size=20) | st.text(alphabet="0123456789.,/- €$%krUSD", max_size=12), max_size=30))
def test_any_values_are_counted(values: list[str]) -> None:
    for column_type in (ColumnType.NUMBER, ColumnType.PRICE, ColumnType.DATE):
        format, notes = detect(column_type, values)
        assert isinstance(format, ValueFormat)
        assert len(notes) <= 2


def import_rows(make: Factory, data: bytes) -> tuple[Feed, list[Row]]:
    space = make.workspace()
    with make.database.transaction(space.id) as db:
        feed = create_feed(db, space.id, name="Shop", file_name="shop")
        import_file(db, feed, file_name="shop", file=temporary_file(data))
        db.expire_all()
        rows = [item.data for item in list_items(db, feed)]
        db.refresh(feed)
        return feed, rows


def test_import_stores_the_formats_and_notes_unclear_values(make: Factory) -> None:
    feed, rows = import_rows(
        make,
        b"sku;preis;ab\n1;1.234;03/04/2024\n2;12,50;03/14/2024\n3;N/A;05/06/2024\n4;7,00;05/06/2024\n"
        + b"".join(b"%d;%d,90;05/06/2024\n" % (n, n) for n in range(5, 40)),
    )
    formats = column_formats(feed, ValueFormat(currency="EUR"))
    assert formats["preis"] == ValueFormat(decimal="comma", currency="EUR")
    assert formats["ab"].date_order == "mdy"
    assert feed.notes == ["A value of “preis” cannot be read as a price with certainty: line 4 (“N/A”)"]
    assert read_number(with_format(rows[0]["preis"], formats["preis"])) == 1234
    assert read_date(with_format(rows[0]["ab"], formats["ab"])).isoformat() == "2024-03-04"  # type: ignore[union-attr]


def test_json_numbers_are_stored_as_numbers(make: Factory) -> None:
    _, [first, second] = import_rows(
        make, b'[{"id": 1, "price": 0.999, "was": 19.90, "note": "1.234"}, {"id": 2, "price": 1.234}]'
    )
    assert first == {"id": "1", "price": "0.999", "was": "19.90", "note": "1.234"}
    assert is_json_number(second["price"])
    assert not isinstance(first["note"], FormattedText)
    assert read_number(with_format(second["price"], ValueFormat(decimal="comma"))) == Decimal("1.234")


def test_written_numbers_differ_from_their_digits(make: Factory) -> None:
    feed, _ = import_rows(make, b"id,price\n1,1.234\n")
    with make.database.transaction(feed.workspace_id) as db:
        loaded = db.get_one(Feed, (feed.workspace_id, feed.id))
        number: Row = {"id": "1", "price": json_number(1.234)}
        assert put_items(db, loaded, {"1": number}).changed == 1
        db.flush()
        db.expire_all()
        assert put_items(db, loaded, {"1": number}).unchanged == 1
        [item] = list_items(db, loaded)
        assert is_json_number(item.data["price"])


@given(st.lists(st.text(alphabet="0123.,eE €-", max_size=8), min_size=1, max_size=40))
def test_a_value_counts_as_it_would_alone(values: list[str]) -> None:
    """Values of one shape are scanned only once, which must not change what they prove."""
    votes = [detect(ColumnType.NUMBER, [value]) for value in values]
    format, notes = detect(ColumnType.NUMBER, values)
    signs = {alone.decimal for alone, _ in votes if alone.decimal}
    assert format.decimal in ({None} if not signs else signs | {None})
    if not signs:
        assert bool(notes) == any(note for _, note in votes)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.columns import (
    VALUE_CHECKS,
    Column,
    ColumnType,
    FeedSchema,
    guess_schema,
    guess_type,
    mostly,
    unique_name,
)
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.records import InvalidEntry, Table
from cwz_web.feeds.variants import keyed_rows


@pytest.mark.parametrize(
    ("name", "values", "column_type"),
    [
        ("title", ["Mug", "Lamp"], ColumnType.TEXT),
        ("stock", ["3", "12", "-4", "0.5", "1,25"], ColumnType.NUMBER),
        ("price", ["9.90", "12"], ColumnType.PRICE),
        ("was", ["9,90 €", "$1,200.00", "12.50 EUR", "CHF 1'200", "1.234,56 €"], ColumnType.PRICE),
        ("g:price", ["15.00 USD"], ColumnType.PRICE),
        ("amount in stock", ["three"], ColumnType.TEXT),
        ("link", ["https://shop.example/a", "https://shop.example/b"], ColumnType.URL),
        ("image_link", ["https://cdn.example/a?w=1"], ColumnType.IMAGE),
        ("extra", ["https://cdn.example/a.jpg", "https://cdn.example/b.PNG?x=1"], ColumnType.IMAGE),
        ("from", ["2026-01-31", "2026-02-01T08:00:00Z"], ColumnType.DATE),
        ("datum", ["31.01.2026", "01/02/2026"], ColumnType.DATE),
        ("zip", ["01099", "20095"], ColumnType.TEXT),
        ("sku", ["123", "456"], ColumnType.TEXT),
        ("nothing", ["", ""], ColumnType.TEXT),
        ("mostly", ["1"] * 97 + ["n/a"] * 3, ColumnType.NUMBER),
        ("half", ["1", "one"], ColumnType.TEXT),
        ("price", ["9,90", "N/A", "7,50"], ColumnType.TEXT),
        ("preis", ["12.500 KWD", "RM 5", "1'299.–", "(5.00)", "٥٫٥"], ColumnType.PRICE),
        ("was", ["CHF19.90", "Rp 5.000"], ColumnType.PRICE),
        ("discount", ["12.5%", "7 %"], ColumnType.NUMBER),
        ("phone", ["+49 123 456", "+49 234 567"], ColumnType.TEXT),
        ("valid until", ["20240304", "20241231"], ColumnType.DATE),
        ("stock", ["20240304", "20241231"], ColumnType.NUMBER),
        ("published", ["4 March 2024", "Nov 24, 2026"], ColumnType.DATE),
    ],
)
def test_guess_type(name: str, values: list[str], column_type: ColumnType) -> None:
    assert guess_type(name, values) == column_type


@pytest.mark.parametrize(
    ("value", "column_type"),
    [
        (f"https://{'a' * 90_000} b", ColumnType.TEXT),
        (f"https://{'.jpg?' * 18_000} b", ColumnType.TEXT),
        (f"https://{'a.jpg' * 18_000}", ColumnType.IMAGE),
        ("1" * 90_000 + " x", ColumnType.TEXT),
        ("1." * 45_000, ColumnType.TEXT),
        ("EUR " * 22_000, ColumnType.TEXT),
    ],
)
def test_type_of_long_values_is_guessed_in_linear_time(value: str, column_type: ColumnType) -> None:
    """A value may have 100,000 characters, and each would take minutes in quadratic time."""
    for name in ("price", "valid until", "x"):
        assert guess_type(name, [value] * 20) == column_type


def test_few_values_are_checked_if_most_do_not_match() -> None:
    checked: list[str] = []
    assert not mostly(lambda value: checked.append(value), ["x"] * 100)
    assert len(checked) == 6


@given(st.lists(st.booleans(), max_size=60))
def test_a_column_matches_if_nineteen_of_twenty_values_do(matches: list[bool]) -> None:
    assert mostly(bool, ["x" * value for value in matches]) == (sum(matches) * 20 >= len(matches) * 19)


@given(st.sampled_from(list(ColumnType)), st.text(max_size=40))
def test_value_checks_accept_any_text(column_type: ColumnType, value: str) -> None:
    assert bool(VALUE_CHECKS[column_type](value)) in (True, False)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_a_number(number: float) -> None:
    assert VALUE_CHECKS[ColumnType.NUMBER](repr(number))


def test_columns_are_renamed_and_dropped_and_new_columns_are_kept() -> None:
    schema = FeedSchema(
        columns={"g:title": Column(name="title"), "secret": Column(name="secret", dropped=True)}, key=["id"]
    )
    rows = [(2, {"id": "1", "g:title": "Mug", "secret": "x", "later": "y"})]
    assert list(keyed_rows(rows, schema, [])) == [(2, "1", {"id": "1", "title": "Mug", "later": "y"})]
    assert schema.feed_columns(["id", "g:title", "secret", "later"]) == ["id", "title", "later"]


def test_key_columns_can_be_renamed_and_dropped() -> None:
    columns = {"sku": Column(name="Number"), "shop": Column(name="shop", dropped=True)}
    schema = FeedSchema(columns=columns, key=["sku", "shop"])
    [row] = keyed_rows([(2, {"sku": "1", "shop": "north", "t": "Mug"})], schema, [])
    assert row == (2, "1 / north", {"Number": "1", "t": "Mug"})
    assert schema.key_names == ["Number", "shop"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"t": "Mug", "price": "5"}, "The key “sku” is empty"),
        ({"sku": "1", "t": "Mug"}, "“Price” is empty"),
        ({"sku": "1", "price": "on request"}, "“Price” is not a valid price: on request"),
    ],
)
def test_row_with_missing_or_mistyped_value_is_invalid(row: dict[str, str], reason: str) -> None:
    schema = FeedSchema(columns={"price": Column(name="Price", type=ColumnType.PRICE, required=True)}, key=["sku"])
    good = {"sku": "2", "price": "5 EUR"}
    assert list(keyed_rows([(7, row), (8, good)], schema, [])) == [
        InvalidEntry(7, reason, row),
        (8, "2", {"sku": "2", "Price": "5 EUR"}),
    ]


def test_optional_value_of_another_type_is_kept() -> None:
    schema = FeedSchema(columns={"price": Column(name="price", type=ColumnType.PRICE)}, key=["sku"])
    assert list(keyed_rows([(2, {"sku": "1", "price": "n/a"})], schema, [])) == [(2, "1", {"sku": "1", "price": "n/a"})]


def test_with_guesses_adds_columns_of_a_newer_file() -> None:
    schema = FeedSchema(columns={"a": Column(name="price")}, key=["a"])
    completed = schema.with_guesses(Table(["a", "price"], [{"a": "1", "price": "2 EUR"}]))
    assert completed.columns["price"] == Column(name="price (2)", type=ColumnType.PRICE)
    assert completed.columns["a"] == schema.columns["a"]
    with pytest.raises(InvalidFileError, match="no column “a”"):
        schema.with_guesses(Table(["price"], []))


def test_rows_without_key_are_identified_by_position() -> None:
    schema = guess_schema(Table(["color"], [{"color": "red"}, {"color": "red"}]))
    assert schema.key == []
    rows = keyed_rows([(2, {"color": "red"}), InvalidEntry(3, "bad", {}), (4, {"color": "red"})], schema, [])
    assert [row if isinstance(row, InvalidEntry) else row[1] for row in rows] == [
        "row 1",
        InvalidEntry(3, "bad", {}),
        "row 3",
    ]


@given(st.lists(st.sampled_from(["a", "a (2)", "a (3)", "b"]), max_size=12))
def test_unique_names(names: list[str]) -> None:
    taken: set[str] = set()
    unique = [unique_name(name, taken) for name in names]
    assert len(set(unique)) == len(unique)


@pytest.mark.parametrize(
    ("rows", "key"),
    [
        ([{"Artikel": f"A{n:03}", "Titel": "Tasse"} for n in range(5)], ["Artikel"]),
        ([{"Titel": f"Tasse {n}", "Artikel": f"A{n:03}"} for n in range(5)], []),
        ([{"Farbe": name} for name in ("rot", "blau", "grau")], []),
        ([{"Jahr": "2026", "Titel": "Tasse"}, {"Jahr": "2026", "Titel": "Topf"}], []),
        ([{"id": str(n), "title": "Mug"} for n in range(20)] + [{"title": "Blank"}, {"id": "3"}], []),
        ([{"id": str(n), "title": "Mug"} for n in range(40)] + [{"title": "Blank"}, {"id": "3"}], ["id"]),
        ([{"id": "1"}, {"id": "2"}, {"id": "3"}, {"title": "Blank"}], ["id"]),
        ([{"id": "1", "title": "Blue"}, {"id": "1", "title": "Red"}], []),
    ],
)
def test_guessed_key_tolerates_few_exceptions(rows: list[dict[str, str]], key: list[str]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    assert guess_schema(Table(columns, rows)).key == key

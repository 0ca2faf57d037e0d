import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.columns import FITS, Column, Kind, Shape, free_name, guess_kind, guess_shape
from cwz_web.feeds.limits import Invalid, InvalidFileError, Table
from cwz_web.feeds.variants import keyed_rows


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("title", ["Mug", "Lamp"], Kind.TEXT),
        ("stock", ["3", "12", "-4", "0.5", "1,25"], Kind.NUMBER),
        ("price", ["9.90", "12"], Kind.PRICE),
        ("was", ["9,90 €", "$1,200.00", "12.50 EUR", "CHF 1'200", "1.234,56 €"], Kind.PRICE),
        ("g:price", ["15.00 USD"], Kind.PRICE),
        ("amount in stock", ["three"], Kind.TEXT),
        ("link", ["https://shop.example/a", "https://shop.example/b"], Kind.URL),
        ("image_link", ["https://cdn.example/a?w=1"], Kind.IMAGE),
        ("extra", ["https://cdn.example/a.jpg", "https://cdn.example/b.PNG?x=1"], Kind.IMAGE),
        ("from", ["2026-01-31", "2026-02-01T08:00:00Z"], Kind.DATE),
        ("datum", ["31.01.2026", "01/02/2026"], Kind.DATE),
        ("zip", ["01099", "20095"], Kind.TEXT),
        ("sku", ["123", "456"], Kind.TEXT),
        ("nothing", ["", ""], Kind.TEXT),
        ("mostly", ["1"] * 97 + ["n/a"] * 3, Kind.NUMBER),
        ("half", ["1", "one"], Kind.TEXT),
    ],
)
def test_the_kind_of_a_column_is_guessed(name: str, values: list[str], kind: Kind) -> None:
    assert guess_kind(name, values) == kind


@given(st.sampled_from(list(Kind)), st.text(max_size=40))
def test_whether_a_value_is_of_a_kind_is_always_answered(kind: Kind, value: str) -> None:
    assert bool(FITS[kind](value)) in (True, False)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_a_number(number: float) -> None:
    assert FITS[Kind.NUMBER](repr(number))


def test_columns_are_renamed_dropped_and_new_ones_are_kept() -> None:
    shape = Shape(columns={"g:title": Column(name="title"), "secret": Column(name="secret", dropped=True)}, key=["id"])
    rows = [(2, {"id": "1", "g:title": "Mug", "secret": "x", "later": "y"})]
    assert list(keyed_rows(rows, shape, [])) == [(2, "1", {"id": "1", "title": "Mug", "later": "y"})]
    assert shape.names(["id", "g:title", "secret", "later"]) == ["id", "title", "later"]


def test_the_key_may_be_a_column_that_is_dropped_or_renamed() -> None:
    columns = {"sku": Column(name="Number"), "shop": Column(name="shop", dropped=True)}
    shape = Shape(columns=columns, key=["sku", "shop"])
    [row] = keyed_rows([(2, {"sku": "1", "shop": "north", "t": "Mug"})], shape, [])
    assert row == (2, "1 / north", {"Number": "1", "t": "Mug"})
    assert shape.key_names == ["Number", "shop"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"t": "Mug", "price": "5"}, "“sku” is empty, by which the feed knows its rows"),
        ({"sku": "1", "t": "Mug"}, "“Price” is empty"),
        ({"sku": "1", "price": "on request"}, "“Price” is no price: on request"),
    ],
)
def test_a_row_in_which_something_is_missing_is_left_out(row: dict[str, str], reason: str) -> None:
    shape = Shape(columns={"price": Column(name="Price", kind=Kind.PRICE, required=True)}, key=["sku"])
    good = {"sku": "2", "price": "5 EUR"}
    assert list(keyed_rows([(7, row), (8, good)], shape, [])) == [
        Invalid(7, reason, row),
        (8, "2", {"sku": "2", "Price": "5 EUR"}),
    ]


def test_what_is_not_of_its_kind_but_need_not_be_is_kept() -> None:
    shape = Shape(columns={"price": Column(name="price", kind=Kind.PRICE)}, key=["sku"])
    assert list(keyed_rows([(2, {"sku": "1", "price": "n/a"})], shape, [])) == [(2, "1", {"sku": "1", "price": "n/a"})]


def test_a_shape_is_completed_with_what_a_newer_file_has() -> None:
    shape = Shape(columns={"a": Column(name="price")}, key=["a"])
    completed = shape.completed(Table(["a", "price"], [{"a": "1", "price": "2 EUR"}]))
    assert completed.columns["price"] == Column(name="price (2)", kind=Kind.PRICE)
    assert completed.columns["a"] == shape.columns["a"]
    with pytest.raises(InvalidFileError, match="no column “a”"):
        shape.completed(Table(["price"], []))


def test_without_a_key_rows_are_known_by_their_place() -> None:
    shape = guess_shape(Table(["color"], [{"color": "red"}, {"color": "red"}]))
    assert shape.key == []
    rows = keyed_rows([(2, {"color": "red"}), Invalid(3, "odd", {}), (4, {"color": "red"})], shape, [])
    assert [row if isinstance(row, Invalid) else row[1] for row in rows] == ["row 1", Invalid(3, "odd", {}), "row 3"]


@given(st.lists(st.sampled_from(["a", "a (2)", "a (3)", "b"]), max_size=12))
def test_names_are_free(wanted: list[str]) -> None:
    taken: set[str] = set()
    names = [free_name(name, taken) for name in wanted]
    assert len(set(names)) == len(names)


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
def test_the_key_is_guessed_in_spite_of_a_slip(rows: list[dict[str, str]], key: list[str]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    assert guess_shape(Table(columns, rows)).key == key

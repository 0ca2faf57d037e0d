from pathlib import Path

import pytest

from cwz_web.demo.contents import read_template
from cwz_web.feeds.file_types import read_table
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.template_parts import TemplateField
from cwz_web.runs.mapping import apply_mapping, field_formats, guess_mapping, mapped_columns
from cwz_web.values.formats import FormattedText, ValueFormat, json_number

DATA = Path(__file__).parents[2] / "data"
COLUMNS = ImageTemplate.model_validate(read_template()).fields


@pytest.mark.parametrize("file", ["shopify-apparel.csv", "shopify-home-and-garden.csv"])
def test_shopify_export_is_mapped_without_setup(file: str) -> None:
    table = read_table(temporary_file((DATA / file).read_bytes()))
    mapping = guess_mapping(COLUMNS, table.columns, table.rows)
    assert mapping["title"] == "Title"
    assert mapping["price"] == "Variant Price"
    assert mapping["image"] == "Image Src"
    assert mapping["description"] == "Body (HTML)"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            ["id", "title", "description", "price", "image_link", "brand"],
            {"title": "title", "price": "price", "image": "image_link", "subtitle": "brand"},
        ),
        (
            ["SKU", "Name", "Regular price", "Images", "Short description"],
            {"title": "Name", "price": "Regular price", "image": "Images", "description": "Short description"},
        ),
        (
            ["Artikelnummer", "Bezeichnung", "Preis", "Bild"],
            {"title": "Bezeichnung", "price": "Preis", "image": "Bild"},
        ),
    ],
)
def test_other_shops(header: list[str], expected: dict[str, str]) -> None:
    mapping = guess_mapping(COLUMNS, header, [])
    assert {name: mapping[name] for name in expected} == expected


def test_a_image_is_found_by_its_values_when_its_column_has_an_odd_name() -> None:
    mapping = guess_mapping(COLUMNS, ["a", "b"], [{"a": "x", "b": "https://shop.example/1.jpg?v=2"}])
    assert mapping["image"] == "b"


def test_what_is_not_found_is_left_empty_rather_than_filled_with_a_sample() -> None:
    mapping = guess_mapping([TemplateField(name="old_price", label="Before", default="€ 99")], ["title"], [])
    assert apply_mapping(mapping, {"title": "x"}, {}) == {"old_price": ""}


def test_image_columns_fill_image_fields() -> None:
    field = TemplateField(name="picture", label="Photo", type="image")
    assert guess_mapping([field], ["sku", "Picture URL"], [{"sku": "1", "Picture URL": ""}]) == {
        "picture": "Picture URL"
    }


PRICES = [TemplateField(name="price", label="Price"), TemplateField(name="old_price", label="Before")]


@pytest.mark.parametrize(
    ("columns", "mapping"),
    [
        (["id", "price", "sale_price"], {"price": "sale_price | price", "old_price": "price"}),
        (["SKU", "Regular price", "Sale price"], {"price": "Sale price | Regular price", "old_price": "Regular price"}),
        (["Preis", "Angebotspreis", "UVP"], {"price": "Angebotspreis | Preis", "old_price": "UVP"}),
        (
            ["Variant Price", "Variant Compare At Price"],
            {"price": "Variant Price", "old_price": "Variant Compare At Price"},
        ),
        (["price"], {"price": "price", "old_price": ""}),
    ],
)
def test_price_and_sale_price_are_known(columns: list[str], mapping: dict[str, str]) -> None:
    assert guess_mapping(PRICES, columns, []) == mapping


@pytest.mark.parametrize(
    ("row", "price", "old_price"),
    [
        ({"price": "20.00", "sale_price": "15.00"}, "15.00", "20.00"),
        ({"price": "20.00"}, "20.00", "20.00"),
        ({"price": "20.00", "sale_price": "0"}, "20.00", "20.00"),
        ({"price": "N/A", "sale_price": "15.00"}, "15.00", "N/A"),
        ({}, "", ""),
    ],
)
def test_sale_price_fills_the_price(row: dict[str, str], price: str, old_price: str) -> None:
    """The engine hides the old prices that are not higher (imaging/prices.py)."""
    mapping = {"price": "sale_price | price", "old_price": "price"}
    assert apply_mapping(mapping, row, {}) == {"price": price, "old_price": old_price}


@pytest.mark.parametrize(
    ("price", "sale_price", "shown"),
    [
        ("40", "45", "40"),
        ("40", "35", "35"),
        ("40", "40.00", "40.00"),
        ("40", "0", "40"),
        ("40", "<b>0</b>", "40"),
        ("40", "", "40"),
        ("0", "35", "35"),
        ("", "35", "35"),
        ("", "0", "0"),
        ("40 EUR", "45 USD", "45 USD"),
        ("199 kr", "249 kr", "199 kr"),
        ("N/A", "45", "45"),
        ("40", "10-20", "10-20"),
    ],
)
@pytest.mark.parametrize("old_price", [None, "", "uvp"])
def test_sale_price_is_used_only_if_it_is_lower(price: str, sale_price: str, shown: str, old_price: str | None) -> None:
    """Whatever fills the old price."""
    row = {name: text for name, text in {"price": price, "sale_price": sale_price, "uvp": "50"}.items() if text}
    mapping = {"price": "sale_price | price", **({} if old_price is None else {"old_price": old_price})}
    values = apply_mapping(mapping, row, {})
    assert values.pop("price") == shown
    assert values == ({} if old_price is None else {"old_price": "50" if old_price else ""})


def test_columns_without_a_sale_price_are_not_compared() -> None:
    row = {"net": "40", "price": "35"}
    assert apply_mapping({"price": "net | price"}, row, {}) == {"price": "40"}
    assert apply_mapping({"price": "price | net"}, row, {}) == {"price": "35"}


def test_values_have_the_format_of_their_column() -> None:
    formats = {"preis": ValueFormat(decimal="comma"), "sonderpreis": ValueFormat(currency="EUR")}
    mapping = {"price": "sonderpreis | preis", "title": "titel", "empty": ""}
    assert field_formats(mapping, formats) == {"price": ValueFormat(decimal="comma", currency="EUR")}
    values = apply_mapping(mapping, {"preis": json_number("1.234"), "titel": "Mug"}, formats)
    price = values["price"]
    assert isinstance(price, FormattedText)
    assert price.is_number
    assert price.value_format == ValueFormat(decimal="comma", currency="EUR")


def test_columns_of_a_mapping() -> None:
    assert mapped_columns("a", ["a", "b"]) == ["a"]
    assert mapped_columns("a | b", ["a", "b"]) == ["a", "b"]
    assert mapped_columns("a | b", ["a | b"]) == ["a | b"]
    assert mapped_columns("a | c", ["a", "b"]) == []

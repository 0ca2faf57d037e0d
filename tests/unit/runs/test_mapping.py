from pathlib import Path

import pytest

from cwz_web.demo.contents import read_template
from cwz_web.feeds.file_types import read_table, temporary_file
from cwz_web.imaging.documents import ImageTemplate, TemplateField
from cwz_web.runs.mapping import apply_mapping, guess_mapping

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
    assert apply_mapping(mapping, {"title": "x"}) == {"old_price": ""}


def test_image_columns_fill_image_fields() -> None:
    field = TemplateField(name="picture", label="Photo", type="image")
    assert guess_mapping([field], ["sku", "Picture URL"], [{"sku": "1", "Picture URL": ""}]) == {
        "picture": "Picture URL"
    }

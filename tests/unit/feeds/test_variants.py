from pathlib import Path

import pytest

from cwz_web.feeds.columns import guess_shape
from cwz_web.feeds.file_types import read_table, spooled
from cwz_web.feeds.limits import Invalid, Row, Table
from cwz_web.feeds.variants import keyed_rows

DATA = Path(__file__).parents[2] / "data"


class Keyed:
    """A table's rows with their keys, as an import gets them."""

    def __init__(self, table: Table) -> None:
        shape = guess_shape(table)
        self.notes = list(table.notes)
        found = [row for row in keyed_rows(enumerate(table.rows, 2), shape, self.notes) if not isinstance(row, Invalid)]
        self.keys: list[str] = [key for _, key, _ in found]
        self.rows: list[Row] = [row for _, _, row in found]
        self.key_columns = shape.key


def read_csv(data: bytes) -> Table:
    return read_table(spooled(data))


@pytest.mark.parametrize(("file", "rows"), [("shopify-apparel.csv", 22), ("shopify-home-and-garden.csv", 21)])
def test_a_shopify_export_becomes_whole_rows_with_unique_keys(file: str, rows: int) -> None:
    keyed = Keyed(read_csv((DATA / file).read_bytes()))
    assert len(keyed.keys) == len(set(keyed.keys)) == rows
    assert keyed.key_columns[0] == "Handle"
    assert all(row.get("Title") and row.get("Variant Price") and row.get("Image Src") for row in keyed.rows)


def test_a_variant_takes_the_products_cells_but_not_another_variants() -> None:
    table = read_csv(
        b"Handle,Title,Option1 Value,Variant Price,Variant Compare At Price\npot,Clay pot,Small,10,15\npot,,Large,20,\n"
    )
    keyed = Keyed(table)
    assert keyed.keys == ["pot / Small", "pot / Large"]
    assert keyed.rows[1] == {
        "Handle": "pot",
        "Title": "Clay pot",
        "Option1 Value": "Large",
        "Variant Price": "20",
    }


def test_rows_that_only_add_a_photo_are_folded() -> None:
    table = read_csv(
        b"Handle,Title,Variant Price,Image Src,Image Position\n"
        b"pot,Clay pot,10,a.jpg,1\n"
        b"pot,,,b.jpg,2\n"
        b"cup,Cup,5,c.jpg,1\n"
    )
    keyed = Keyed(table)
    assert keyed.keys == ["pot", "cup"]
    assert keyed.rows[0]["Image Src"] == "a.jpg"
    assert any("1 row(s) that only add a photo" in note for note in keyed.notes)


@pytest.mark.parametrize(
    ("columns", "rows", "key"),
    [
        (["name", "SKU"], [{"SKU": "a", "name": "x"}, {"SKU": "b", "name": "x"}], ["SKU"]),
        (["g:id", "sku"], [{"g:id": "1", "sku": "a"}, {"g:id": "2", "sku": "b"}], ["g:id"]),
        (["id", "name"], [{"id": "1"}, {"id": "1", "name": "twice"}], []),
        (["id", "name"], [{"id": "1"}, {"name": "no id"}], []),
        (["color"], [{"color": "red"}, {"color": "red"}], []),
    ],
)
def test_the_key_is_a_column_that_names_each_row(
    columns: list[str], rows: list[dict[str, str]], key: list[str]
) -> None:
    keyed = Keyed(Table(columns, rows))
    assert keyed.key_columns == key
    assert len(set(keyed.keys)) == len(rows)

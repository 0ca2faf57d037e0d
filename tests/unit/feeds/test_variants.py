from pathlib import Path

import pytest

from cwz_web.feeds.columns import guess_schema
from cwz_web.feeds.file_types import read_table, temporary_file
from cwz_web.feeds.records import InvalidEntry, Row, Table
from cwz_web.feeds.variants import keyed_rows

DATA = Path(__file__).parents[2] / "data"


class Keyed:
    """The rows of a table with their keys, as an import reads them."""

    def __init__(self, table: Table) -> None:
        schema = guess_schema(table)
        self.notes = list(table.notes)
        found = [
            row for row in keyed_rows(enumerate(table.rows, 2), schema, self.notes) if not isinstance(row, InvalidEntry)
        ]
        self.keys: list[str] = [key for _, key, _ in found]
        self.rows: list[Row] = [row for _, _, row in found]
        self.key_columns = schema.key


def read_csv(data: bytes) -> Table:
    return read_table(temporary_file(data))


@pytest.mark.parametrize(("file", "rows"), [("shopify-apparel.csv", 22), ("shopify-home-and-garden.csv", 21)])
def test_shopify_export_has_complete_rows_with_unique_keys(file: str, rows: int) -> None:
    keyed = Keyed(read_csv((DATA / file).read_bytes()))
    assert len(keyed.keys) == len(set(keyed.keys)) == rows
    assert keyed.key_columns[0] == "Handle"
    assert all(row.get("Title") and row.get("Variant Price") and row.get("Image Src") for row in keyed.rows)


def test_variant_inherits_product_cells_only() -> None:
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


def test_rows_that_only_add_a_photo_are_skipped() -> None:
    table = read_csv(
        b"Handle,Title,Variant Price,Image Src,Image Position\n"
        b"pot,Clay pot,10,a.jpg,1\n"
        b"pot,,,b.jpg,2\n"
        b"cup,Cup,5,c.jpg,1\n"
    )
    keyed = Keyed(table)
    assert keyed.keys == ["pot", "cup"]
    assert keyed.rows[0]["Image Src"] == "a.jpg"
    assert any("1 row that only adds a photo is skipped" in note for note in keyed.notes)


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
def test_guessed_key_identifies_each_row(columns: list[str], rows: list[dict[str, str]], key: list[str]) -> None:
    keyed = Keyed(Table(columns, rows))
    assert keyed.key_columns == key
    assert len(set(keyed.keys)) == len(rows)

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.columns import FeedSchema, guess_schema
from cwz_web.feeds.file_types import read_table
from cwz_web.feeds.records import InvalidEntry, Row, Table
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.feeds.variants import MAX_KEY, clean_key, keyed_rows

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


def test_long_keys_are_hashed_and_invisible_characters_removed() -> None:
    texts = ["x" * 500 + "a", "x" * 500 + "b", "\ufeffA\u200b1", "e\u0301"]
    rows = [(number, {"id": text}) for number, text in enumerate(texts)]
    schema = FeedSchema(key=["id"])
    keys = [row[1] for row in keyed_rows(rows, schema, []) if not isinstance(row, InvalidEntry)]
    assert len(set(keys)) == 4
    assert max(map(len, keys)) == MAX_KEY
    assert keys[2:] == ["A1", "é"]


@given(st.text(max_size=30), st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5))
def test_long_keys_differ_like_their_texts(start: str, first: str, second: str) -> None:
    keys = [clean_key(start + "x" * MAX_KEY + end) for end in (first, second)]
    assert all(len(key) <= MAX_KEY for key in keys)
    texts = [unicodedata.normalize("NFC", end).strip() for end in (first, second)]
    assert keys[0] != keys[1] or texts[0] == texts[1] or not all(end.isprintable() for end in (first, second))


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        (["title", "guid"], "guid"),
        (["city", "referencenumber", "title"], "referencenumber"),
        (["node.title", "node.id"], "node.id"),
        (["title", "price", "SKU"], "SKU"),
        (["title", "product.sku"], "product.sku"),
        (["title", "@id"], "@id"),
    ],
)
def test_key_is_guessed_wherever_it_stands(columns: list[str], key: str) -> None:
    rows = [{column: f"{column} {number}" for column in columns} for number in range(5)]
    assert guess_schema(Table(columns, rows)).key == [key]


PLAIN = (
    b"Handle,Title,Option1 Name,Option1 Value,Variant SKU\n"
    b"mug,Mug,Title,Default Title,M\ntee,Tee,Title,Default Title,T\n"
)


def test_feed_that_grows_variants_keeps_its_keys() -> None:
    schema = guess_schema(read_csv(PLAIN))
    assert [row[1] for row in keyed_rows(enumerate(read_csv(PLAIN).rows), schema, [])] == ["mug", "tee"]  # type: ignore[index]
    grown = read_csv(
        b"Handle,Title,Option1 Name,Option1 Value,Option2 Value,Variant SKU\n"
        b"mug,Mug,Title,Default Title,,M\ntee,Tee,Size,S,Red,T-S\ntee,,,S,Blue,T-B\n"
    )
    keys = [row[1] for row in keyed_rows(enumerate(grown.rows), schema.with_guesses(grown), [])]  # type: ignore[index]
    assert keys == ["mug", "tee / S / Red", "tee / S / Blue"]
    # A file without the second option has all columns of the key in its header.
    again = read_csv(b"Handle,Title,Option1 Value,Option2 Value\nmug,Mug,Default Title,\ntee,Tee,S,\n")
    assert schema.with_guesses(grown).with_guesses(again).key == ["Handle", "Option1 Value", "Option2 Value"]


def test_variant_shows_its_own_photo_or_the_one_at_position_1() -> None:
    table = read_csv(
        b"Handle,Title,Option1 Value,Image Src,Image Position,Variant Image\n"
        b"tee,Tee,S,back.jpg,2,\ntee,,M,main.jpg,1,\ntee,,L,,,l.jpg\nmug,Mug,Default Title,mug.jpg,1,own.jpg\n"
    )
    photos = {key: row["Image Src"] for key, row in zip(Keyed(table).keys, Keyed(table).rows, strict=True)}
    assert photos == {"tee / S": "main.jpg", "tee / M": "main.jpg", "tee / L": "l.jpg", "mug": "own.jpg"}

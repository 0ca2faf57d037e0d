"""Files with faults that shops export, and their right rows."""

from pathlib import Path

from cwz_web.feeds.columns import guess_schema
from cwz_web.feeds.file_types import open_records
from cwz_web.feeds.records import InvalidEntry, Row, Table
from cwz_web.feeds.variants import keyed_rows

CASES = Path(__file__).parents[2] / "data" / "feeds"


def read_case(name: str) -> tuple[dict[str, Row], Table]:
    """Return the rows of a file by their keys, and its table."""
    with (CASES / name).open("rb") as file:
        records = open_records(file)
        entries = list(records)
    rows = [entry[1] for entry in entries if not isinstance(entry, InvalidEntry)]
    table = Table(records.columns, rows, records.notes, records.header)
    keyed = list(keyed_rows(entries, guess_schema(table), table.notes))
    assert not any(isinstance(row, InvalidEntry) for row in keyed)
    return {row[1]: row[2] for row in keyed if not isinstance(row, InvalidEntry)}, table


def test_windows_1252_german() -> None:
    rows, table = read_case("01-groesse-cp1252.csv")
    assert table.columns == ["Artikelnummer", "Bezeichnung", "Größe", "Preis"]
    assert rows["0001"] == {"Artikelnummer": "0001", "Bezeichnung": "Jacke Größe L", "Größe": "L", "Preis": "9,90 €"}
    assert list(rows) == ["0001", "0002"]


def test_utf8_with_one_bad_byte() -> None:
    rows, table = read_case("02-utf8-one-bad-byte.csv")
    assert len(rows) == 41
    assert rows["A0"]["titel"] == "Kräuterbutter süß 0"
    assert sum("\ufffd" in row.get("titel", "") for row in rows.values()) == 1
    assert table.notes == ["Line 42: a byte is not UTF-8 and was replaced by “\ufffd”"]


def test_title_line_above_a_semicolon_header() -> None:
    rows, table = read_case("04-title-line-semicolon.csv")
    assert rows["A1"] == {"id": "A1", "titel": "Sofa", "preis": "9,90"}
    assert len(rows) == 3
    assert table.notes == ["1 line above the header was skipped"]


def test_gzip_file_with_two_members() -> None:
    assert list(read_case("06-two-gzip-members.csv.gz")[0]) == ["A1", "A2", "A3", "A4"]


def test_yandex_market_file_with_a_doctype() -> None:
    rows, _ = read_case("07-yml-doctype.xml")
    assert list(rows) == ["12", "13"]
    assert (rows["12"]["name"], rows["12"]["Цвет"], rows["12"]["Вес"]) == ("Стул", "белый", "1.2")
    assert rows["12"]["picture"].split(", ")[0] == "https://s.example/1.jpg"


def test_items_inside_of_a_product_are_not_rows() -> None:
    rows, _ = read_case("08-nested-item.xml")
    assert {key: row["title"] for key, row in rows.items()} == {"001": "Set", "002": "Jug"}


def test_several_photos_in_a_cell() -> None:
    assert list(read_case("11-woo-images.csv")[0]) == ["44", "45"]


def test_byte_order_mark_in_the_middle() -> None:
    rows, _ = read_case("13-bom-in-the-middle.csv")
    assert list(rows) == ["A1", "A2", "A3"]
    assert "\ufeff" not in repr(rows)


def test_variants_show_the_first_photo_of_their_product() -> None:
    rows, _ = read_case("14-shopify-variant-photo.csv")
    assert {key: row["Image Src"].rpartition("/")[2] for key, row in rows.items()} == {
        "tee / S": "main.jpg",
        "tee / M": "main.jpg",
        "tee / L": "main.jpg",
        "tee / XL": "main.jpg",
        "mug": "mug.jpg",
    }


def test_file_that_is_cut_off_in_a_cell() -> None:
    with (CASES / "15-cut-off-in-a-cell.csv").open("rb") as file:
        records = open_records(file)
        assert len(list(records)) == 3
        assert records.cut_off == "line 4, the last one, has 2 of 3 cells and no line end"

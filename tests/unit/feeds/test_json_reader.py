import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.file_types import open_records, read_table
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.reading import ReadOptions
from cwz_web.feeds.records import InvalidEntry, Row
from cwz_web.feeds.temporary_files import temporary_file

SOFA, CHAIR = {"id": 1, "title": "Sofa"}, {"id": 2, "title": "Chair"}
ROWS = [{"id": "1", "title": "Sofa"}, {"id": "2", "title": "Chair"}]


def rows_of(document: Any, row_element: str | None = None) -> list[Row]:
    data = json.dumps(document).encode()
    return read_table(temporary_file(data), options=ReadOptions(row_element=row_element)).rows


@pytest.mark.parametrize(
    ("document", "rows"),
    [
        (
            {"A1": {"title": "Sofa"}, "A2": {"title": "Chair"}},
            [{"key": "A1", "title": "Sofa"}, {"key": "A2", "title": "Chair"}],
        ),
        ({"page": 1, "stock": {"A1": {"n": 1}, "A2": {"n": 2}}}, [{"key": "A1", "n": "1"}, {"key": "A2", "n": "2"}]),
        (
            {"A1": {"n": 1, "items": [{"x": 1}]}, "A2": {"n": 2, "items": []}},
            [{"key": "A1", "n": "1", "items.x": "1", "items": '[{"x": 1}]'}, {"key": "A2", "n": "2"}],
        ),
        ([["id", "title"], [1, "Sofa"], [2, "Chair"]], ROWS),
        ({"range": "A1:B3", "values": [["id", "title"], ["1", "Sofa"], ["2", "Chair"]]}, ROWS),
        ([[1, "Sofa"], [2, "Chair"]], [{"Column 1": "1", "Column 2": "Sofa"}, {"Column 1": "2", "Column 2": "Chair"}]),
        (SOFA, ROWS[:1]),
        ({"product": SOFA}, ROWS[:1]),
        (
            SOFA | {"images": [{"src": "a"}, {"src": "b"}]},
            [ROWS[0] | {"images.src": "a", "images": '[{"src": "a"}, {"src": "b"}]'}],
        ),
        (
            SOFA | {"variants": [{"id": 11, "size": "S", "price": 5}]},
            [
                ROWS[0]
                | {"variants.id": "11", "variants.size": "S", "variants.price": "5"}
                | {"variants": '[{"id": 11, "size": "S", "price": 5}]'}
            ],
        ),
        (SOFA | {"offers": [{"price": 5}]}, [ROWS[0] | {"offers.price": "5", "offers": '[{"price": 5}]'}]),
        ({"id": "feed", "title": "Shop", "items": [SOFA, CHAIR]}, ROWS),
        ({"total": 2, "page": 1, "artikel": [SOFA, CHAIR]}, ROWS),
        ({"meta": {"page": 1}, "data": {"products": [SOFA, CHAIR]}}, ROWS),
        ({"item": [SOFA, CHAIR]}, ROWS),
        ({"rss": {"channel": {"title": "Shop", "category": [{"name": "x"}], "item": [SOFA, CHAIR]}}}, ROWS),
        ({"item": {"item": [["id", "title"], [1, "Sofa"], [2, "Chair"]]}}, ROWS),
        ({"item": {"A1": {"n": 1}, "A2": {"n": 2}}}, [{"key": "A1", "n": "1"}, {"key": "A2", "n": "2"}]),
        ({"item": SOFA}, ROWS[:1]),
        (
            [{"item": SOFA}, {"item": CHAIR}],
            [{"item.id": "1", "item.title": "Sofa"}, {"item.id": "2", "item.title": "Chair"}],
        ),
        (
            {"data": {"products": {"edges": [{"node": SOFA}, {"node": CHAIR}]}}},
            [{"node.id": "1", "node.title": "Sofa"}, {"node.id": "2", "node.title": "Chair"}],
        ),
    ],
)
def test_rows_are_found_by_structure(document: Any, rows: list[Row]) -> None:
    assert rows_of(document) == rows


def test_path_of_the_rows_can_be_chosen() -> None:
    document = {"products": [SOFA, CHAIR], "stores": [{"city": "Berlin"}]}
    table = read_table(temporary_file(json.dumps(document).encode()))
    assert table.reading is not None
    assert (table.reading.row_element, table.reading.row_elements) == ("$.products", ("$.products", "$.stores"))
    assert rows_of(document, "$.stores") == [{"city": "Berlin"}]
    with pytest.raises(InvalidFileError, match=r"no rows at “\$.other”"):
        rows_of(document, "$.other")


def test_array_with_too_many_cells_is_invalid() -> None:
    records = open_records(temporary_file(b'[["id"], ["1"], ["2", "x"]]'))
    [invalid] = [entry for entry in records if isinstance(entry, InvalidEntry)]
    assert invalid.reason == "The row has 2 cells, but the header has 1"


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_encodings(encoding: str) -> None:
    data = '[{"id": 1, "title": "Jacke Größe L, grün"}]'.encode(encoding)
    assert read_table(temporary_file(data)).rows[0]["title"] == "Jacke Größe L, grün"


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=5), st.integers(0, 99), min_size=2, max_size=9))
def test_keyed_objects_are_rows(members: dict[str, int]) -> None:
    document = {key: {"n": number, "m": 1} for key, number in members.items()}
    assert rows_of(document) == [{"key": key, "n": str(number), "m": "1"} for key, number in members.items()]

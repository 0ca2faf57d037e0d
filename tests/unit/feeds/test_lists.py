"""Lists in cells: list fields and repeated stacks get the entries that a feed has."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.file_types import read_table
from cwz_web.feeds.limits import MAX_CELL
from cwz_web.feeds.lists import join_list
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.imaging.lists import split_list

entries = st.sampled_from(["a, b", "http://a.example/1,2.jpg", "see https://a.example", "[1]", ",5", '"', "é|x\ny"])
texts = st.text('ab,;|\n 1[]"{}', min_size=1).map(str.strip).filter(bool) | entries
scalars = texts | st.integers(-9999, 9999) | st.booleans() | st.decimals(-99, 99, places=2).map(float)
objects = st.dictionaries(
    st.sampled_from(["name", "price", "tags"]), scalars | st.lists(scalars, max_size=2), min_size=1
)


def read_cells(document: Any) -> dict[str, str]:
    return read_table(temporary_file(json.dumps([document]).encode())).rows[0]


@given(st.lists(texts, min_size=1, max_size=5))
def test_list_field_gets_the_values_of_a_cell(items: list[str]) -> None:
    assert split_list(join_list(items), has_commas=True) == items


@given(st.lists(scalars, min_size=1, max_size=5))
def test_list_of_a_json_feed_keeps_its_entries(items: list[Any]) -> None:
    cell = read_cells({"id": "1", "tags": items})["tags"]
    expected = [item if isinstance(item, str) else json.dumps(item) for item in items]
    assert split_list(cell, has_commas=True) == expected


@given(st.lists(objects, min_size=1, max_size=4))
def test_objects_of_a_json_feed_keep_their_members(items: list[dict[str, Any]]) -> None:
    cell = read_cells({"id": "1", "offers": items})["offers"]
    assert [json.loads(entry) for entry in split_list(cell, has_commas=True)] == items


def test_cell_is_written_for_people() -> None:
    assert join_list(["new", "sale"]) == "new, sale"
    assert join_list(["Home, garden", "sale"]) == "Home, garden | sale"
    assert join_list(["Home, garden"]) == '["Home, garden"]'
    assert join_list(["https://a.example/1,2.jpg", "https://a.example/2.jpg"]) == (
        "https://a.example/1,2.jpg, https://a.example/2.jpg"
    )


def test_single_element_of_xml_is_no_list() -> None:
    data = (
        b"<shop><item><id>1</id><tag>Home, garden</tag></item><item><id>2</id><tag>a, b</tag><tag>c</tag></item></shop>"
    )
    assert [row["tag"] for row in read_table(temporary_file(data)).rows] == ["Home, garden", "a, b | c"]


def test_list_that_is_too_long_for_a_cell_is_noted() -> None:
    long = {"id": 1, "offers": [{"name": "x" * MAX_CELL}, {"name": "y"}]}
    data = json.dumps([long, long, {"id": 2, "offers": [{"name": "z"}]}]).encode()
    table = read_table(temporary_file(data))
    assert table.notes == [
        "Of the list “offers”, only the first entry was read in 2 rows: it is longer than 100,000 characters"
    ]
    assert [row.get("offers") for row in table.rows] == [None, None, '[{"name": "z"}]']
    assert all("offers.name" in row for row in table.rows)


@pytest.mark.parametrize(
    ("value", "cell"),
    [([19.90, 5], "[19.9, 5]"), ([1, {"a": None}], '[1, {"a": null}]'), ([None, "a"], "a"), ([[1], [2]], "[[1], [2]]")],
)
def test_other_lists(value: list[Any], cell: str) -> None:
    assert read_cells({"id": "1", "value": value})["value"] == cell

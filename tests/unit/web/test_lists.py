"""The state of a list in its URL, and what its controls show."""

from typing import Any, Literal
from uuid import UUID

import pytest
from pyramid.testing import DummyRequest

from cwz_web.db.pagination import MAX_COUNT, Sort, with_reverse
from cwz_web.web.fields import Fields
from cwz_web.web.lists import Filter, ListControls, ListForm, list_path, read_list_form, sent_place

ROW = UUID("01936b0c-0000-7000-8000-000000000001")
SORTS = with_reverse(
    {"newest": Sort("Newest first", reverse_label="Oldest first"), "name": Sort("Name", is_descending=False)}
)


class RunForm(ListForm):
    state: Literal["", "failed"] = ""


def read(query: dict[str, str] | list[tuple[str, str]]) -> RunForm:
    request: Any = DummyRequest()
    request.GET = Fields(query.items() if isinstance(query, dict) else query)
    return read_list_form(RunForm, request)


def controls(**more: Any) -> ListControls:
    options = {"": "All states", "failed": "Failed"}
    values = {"search": "a & b", "filters": (Filter("state", "State", options, "failed"),), "sort": "newest"}
    return ListControls(noun="runs", sorts=SORTS, **(values | more))


def test_parameter_that_is_not_valid_is_left_out() -> None:
    form = read({"search": "cup", "state": "nonsense", "after": "1", "page": "7"})
    assert (form.search, form.state, form.after) == ("cup", "", "")
    assert read({"search": "x" * 201, "state": "failed"}) == RunForm(state="failed")
    assert read([("state", "failed"), ("state", "failed"), ("after", "1")]) == RunForm()


def test_next_page_keeps_search_filters_and_order() -> None:
    shown = controls(sort="name", next_after=ROW, after=str(ROW))
    assert shown.next_query == f"search=a+%26+b&state=failed&sort=name&after={ROW}"
    assert shown.query == shown.next_query
    assert shown.first_query == "search=a+%26+b&state=failed&sort=name"
    assert controls().next_query is None


def test_defaults_are_not_in_the_url() -> None:
    assert ListControls(noun="runs", sorts=SORTS, sort="newest").query == ""


@pytest.mark.parametrize(
    ("sort", "started", "name"),
    [
        ("newest", ("sort=-newest", "descending"), ("sort=name", "")),
        ("-newest", ("", "ascending"), ("sort=name", "")),
        ("name", ("", ""), ("sort=name", "ascending")),
    ],
)
def test_header_sorts_by_its_column_and_then_the_other_way(
    sort: str, started: tuple[str, str], name: tuple[str, str]
) -> None:
    shown = ListControls(noun="runs", sorts=SORTS, sort=sort, after=str(ROW))
    found = [(header.query, header.aria_sort) for header in map(shown.column_sort, ("newest", "name"))]
    assert found == [started, name], "begins at the first page; an order without a reverse stays"
    assert list(shown.sort_labels.values()) == ["Newest first", "Oldest first", "Name"]


def test_header_keeps_search_and_filters() -> None:
    assert controls().column_sort("name").query == "search=a+%26+b&state=failed&sort=name"


def test_active_filters_can_be_removed_one_by_one() -> None:
    active = controls().active
    assert [(item.label, item.query) for item in active] == [
        ("“a & b”", "state=failed"),
        ("State: Failed", "search=a+%26+b"),
    ]
    assert not ListControls(noun="runs", sorts=SORTS, sort="name").is_filtered


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, ""), (0, "0 runs"), (1, "1 run"), (MAX_COUNT, "1,000 runs"), (MAX_COUNT + 1, "More than 1,000 runs")],
)
def test_count_in_words(count: int | None, text: str) -> None:
    assert controls(count=count).count_text == text


def test_texts_have_the_noun() -> None:
    assert ListControls("entries", count=1).count_text == "1 entry"
    assert ListControls("deliveries", search="a").empty_title == "No deliveries match"
    assert ListControls("deliveries").empty_title == "No more deliveries"
    assert ListControls("keys").search_label == "Search keys"


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ("", "/w/demo/runs"),
        ("search=a%26b&after=1", "/w/demo/runs?search=a%26b&after=1"),
        ("//evil.test", "/w/demo/runs"),
        ("a=1&" * 40, "/w/demo/runs?" + "&".join(["a=1"] * 40)),
        ("a=1\r\nSet-Cookie: b", "/w/demo/runs"),
    ],
)
def test_place_in_a_list_stays_within_the_list(sent: str, path: str) -> None:
    request: Any = DummyRequest()
    request.path_in = lambda *parts: "/".join(["/w/demo", *parts])
    assert list_path(request, "runs", sent) == path


@pytest.mark.parametrize(
    ("fields", "place"), [({"list": "a=1"}, "a=1"), ({"list": ""}, ""), ({}, None), ({"list": object()}, None)]
)
def test_place_in_a_list_is_text(fields: dict[str, Any], place: str | None) -> None:
    request: Any = DummyRequest(post=fields)
    assert sent_place(request) == place, "and no file"

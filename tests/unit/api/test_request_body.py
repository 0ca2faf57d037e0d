"""JSON bodies: a problem names each invalid field by its path."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyramid.request import Request

from cwz_web.api.feeds import FeedRequest, ItemKeysRequest, ItemRequest, ItemsRequest
from cwz_web.api.image_requests import ImageRequest
from cwz_web.api.request_body import MAX_ERRORS, Body, read_body
from cwz_web.api.runs import RunRequest
from cwz_web.feeds.limits import MAX_COLUMNS
from cwz_web.web.problems import ProblemError

BODIES = (ImageRequest, RunRequest, FeedRequest, ItemsRequest, ItemRequest, ItemKeysRequest)
FEED = "0190d7c5-6f2a-7000-8000-000000000000"
RUN = {"feed": FEED, "template": "card"}
OBJECT, LIST, STRING, NUMBER = "Use an object: {…}", "Use a list: […]", "Use a string", "Use a whole number"
SCALAR = "Use a string, a number, true, false or null"
SCALAR_OR_LIST = "Use a string, a number, true, false, null or a list"
ITEM = "Use a string, a number, true, false or an object of these"
FORMATS = "Use 'jpg', 'png', 'webp' or 'avif'"
AN_ID = "Use an id, such as 0190d7c5-6f2a-7000-8000-000000000000"


def post(body: bytes) -> Request:
    return Request.blank("/v1/images", method="POST", body=body, content_type="application/json")


def problem_of(model: type[Body], body: bytes) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        read_body(post(body), model, 16 * 1024 * 1024)
    return caught.value


@pytest.mark.parametrize(
    ("model", "body", "errors"),
    [
        (ImageRequest, {}, {"template": "This field is required"}),
        (ImageRequest, [], {"body": OBJECT}),
        (ImageRequest, {"template": ""}, {"template": "This cannot be empty"}),
        (ImageRequest, {"template": "a" * 101}, {"template": "Use at most 100 characters"}),
        (ImageRequest, {"template": 5}, {"template": STRING}),
        (ImageRequest, {"template": "card", "format": "jpeg"}, {"format": FORMATS}),
        (ImageRequest, {"template": "card", "color": "red"}, {"color": "There is no field with this name"}),
        (ImageRequest, {"template": "card", "data": [1]}, {"data": OBJECT}),
        (ImageRequest, {"template": "card", "data": {"title": {"de": "x"}}}, {"data.title": SCALAR_OR_LIST}),
        (
            ImageRequest,
            {"template": "card", "data": {"tags": ["a", None]}},
            {"data.tags": f"Item 2 of the list: {ITEM}"},
        ),
        (ImageRequest, {"template": "card", "data": {"tags": [[1]]}}, {"data.tags": f"Item 1 of the list: {ITEM}"}),
        (
            ImageRequest,
            {"template": "card", "data": {"tags": [float("inf")]}},
            {"data.tags": f"Item 1 of the list: {ITEM}"},
        ),
        (
            ImageRequest,
            {"template": "card", "data": {"tags": ["a"] * 51}},
            {"data.tags": "A list has at most 50 items; this one has 51"},
        ),
        (
            ImageRequest,
            {"template": "card", "data": {"tags": ["x" * 300] * 40}},
            {"data.tags": "A list has at most 10000 characters as JSON"},
        ),
        (
            ImageRequest,
            {"template": "card", "data": {"tags": ["a", {str(name): 1 for name in range(31)}]}},
            {"data.tags": "Item 2 of the list: An object has at most 30 members; this one has 31"},
        ),
        (
            ImageRequest,
            {"template": "card", "data": {"tags": [{"a": {"b": 1}}]}},
            {
                "data.tags": "Item 1 of the list: The member “a” is a string, a number, true, false, null or a list of"
                " these"
            },
        ),
        (
            ImageRequest,
            {"template": "card", "data": {"tags": [{"a": [1] * 51}]}},
            {"data.tags": "Item 1 of the list: The list “a” has at most 50 items"},
        ),
        (ImageRequest, {"template": "card", "data": {"price": float("nan")}}, {"data.price": SCALAR}),
        (ImageRequest, {"template": "card", "metadata": {"order": [1]}}, {"metadata.order": SCALAR}),
        (
            ImageRequest,
            {"template": "card", "data": {"title": "x" * 10_001}},
            {"data.title": "Use at most 10000 characters"},
        ),
        (ImageRequest, {"template": "card", "quality": 0}, {"quality": "Must be at least 1"}),
        (ImageRequest, {"template": "card", "quality": 101}, {"quality": "Must be at most 100"}),
        (ImageRequest, {"template": "card", "quality": True}, {"quality": NUMBER}),
        (ImageRequest, {"template": "card", "quality": "84"}, {"quality": NUMBER}),
        (ImageRequest, {"template": "card", "quality": None}, {"quality": NUMBER}),
        (ImageRequest, {"template": "card", "store": "yes"}, {"store": "Use true or false"}),
        (ImageRequest, {"template": "card", "feed": "many", "item": "1"}, {"feed": AN_ID}),
        (
            ImageRequest,
            {"template": "card", "feed": FEED},
            {"body": "Give both feed (its id) and item (its key), or neither"},
        ),
        (RunRequest, RUN | {"feed": 7}, {"feed": AN_ID}),
        (RunRequest, RUN | {"mapping": {"title": 1}}, {"mapping.title": STRING}),
        (RunRequest, RUN | {"outputs": {}}, {"outputs": LIST}),
        (RunRequest, RUN | {"outputs": []}, {"outputs": "Give at least 1"}),
        (RunRequest, RUN | {"outputs": [{}] * 13}, {"outputs": "Give at most 12"}),
        (RunRequest, RUN | {"outputs": [{}, {}]}, {"outputs": "Outputs must differ from each other"}),
        (RunRequest, RUN | {"outputs": ["jpg"]}, {"outputs.0": OBJECT}),
        (RunRequest, RUN | {"outputs": [{}, {"format": "jpeg"}]}, {"outputs.1.format": FORMATS}),
        (ItemsRequest, {"items": [{"key": "1", "data": {"name": []}}]}, {"items.0.data.name": SCALAR}),
        (ItemsRequest, {"items": [{"key": "1", "data": {}}] * 2}, {"body": "The key “1” occurs more than once"}),
        (ItemRequest, {"data": {"": "x"}}, {"data": "This cannot be empty (in a key)"}),
        (ItemKeysRequest, {"keys": ["1", 2]}, {"keys.1": STRING}),
    ],
)
def test_invalid_field_is_named_with_a_message(model: type[Body], body: Any, errors: dict[str, str]) -> None:
    problem = problem_of(model, json.dumps(body).encode())
    assert (problem.status, problem.code, problem.errors) == (422, "invalid", errors)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 10_000, b'{"template": "\\ud800"}', b'{"template": "a",}'])
def test_malformed_json_is_rejected(body: bytes) -> None:
    problem = problem_of(ImageRequest, body)
    assert (problem.status, problem.code) == (400, "invalid_json")


@pytest.mark.parametrize("text", [r"\u0000", r"a\\\u0000", r"\"\u0000"])
def test_escaped_nul_is_rejected(text: str) -> None:
    assert problem_of(ImageRequest, f'{{"template": "{text}"}}'.encode()).code == "invalid_characters"


@pytest.mark.parametrize("text", ["\\u0000", "a\\\\u0000"])
def test_escaped_backslash_before_u0000_is_not_a_nul(text: str) -> None:
    assert read_body(post(json.dumps({"template": text}).encode()), ImageRequest).template == text


def test_large_invalid_body_gets_the_errors_of_its_first_item() -> None:
    items = [{"key": str(key), "data": {str(name): [] for name in range(MAX_COLUMNS)}} for key in range(100)]
    errors = problem_of(ItemsRequest, json.dumps({"items": items}).encode()).errors
    assert set(errors) == {f"items.0.data.{name}" for name in range(MAX_COLUMNS)}


def test_problem_references_nothing_of_the_body() -> None:
    problem = problem_of(ImageRequest, b'{"template": 1}')
    assert (problem.__cause__, problem.__context__) == (None, None)


def test_too_many_errors_are_not_named() -> None:
    unknown = {f"field {number}": 1 for number in range(MAX_ERRORS + 1)}
    item = {"key": "1", "data": {}}
    for body in ({"items": [item], **unknown}, {"items": [item | unknown]}):
        problem = problem_of(ItemsRequest, json.dumps(body).encode())
        assert (problem.status, problem.code, problem.errors) == (422, "invalid", {})
        assert str(problem) == "More than 1,000 fields are not valid"


@pytest.mark.parametrize(
    ("model", "body", "field", "most"),
    [
        (ItemsRequest, lambda data: {"items": [{"key": "1", "data": data}]}, "items.0.data", MAX_COLUMNS),
        (ItemRequest, lambda data: {"data": data}, "data", MAX_COLUMNS),
        (ImageRequest, lambda data: {"template": "card", "data": data}, "data", 200),
    ],
)
def test_names_are_counted_before_values_are_validated(
    model: type[Body], body: Callable[[Any], Any], field: str, most: int
) -> None:
    errors = problem_of(model, json.dumps(body({str(name): [] for name in range(most + 1)})).encode()).errors
    assert errors == {field: f"Give at most {most}"}


_names = st.sampled_from(sorted({name for model in BODIES for name in model.model_fields}))
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from([FEED, "jpg"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4),
)


@given(st.sampled_from(BODIES), st.dictionaries(_names, _values, max_size=6))
def test_every_body_is_read_or_its_own_fields_are_named(model: type[Body], body: dict[str, Any]) -> None:
    try:
        read_body(post(json.dumps(body).encode()), model)
    except ProblemError as problem:
        for field, text in problem.errors.items():
            assert "Input should" not in text
            *path, last = field.split(".")
            inside: Any = body
            for part in path:
                inside = inside[int(part) if isinstance(inside, list) else part]
            assert last == "body" or text == "This field is required" or last in inside or int(last) < len(inside)

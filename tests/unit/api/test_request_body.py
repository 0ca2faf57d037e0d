"""JSON bodies: what is wrong is named by its path, with what would be right."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyramid.request import Request

from cwz_web.api.feeds import ItemData, Keys, NewFeed, PushedItems
from cwz_web.api.images import ImageRequest
from cwz_web.api.request_body import MAX_ERRORS, Body, read_body
from cwz_web.api.runs import RunRequest
from cwz_web.feeds.limits import MAX_COLUMNS
from cwz_web.web.problems import ProblemError

BODIES = (ImageRequest, RunRequest, NewFeed, PushedItems, ItemData, Keys)
FEED = "0190d7c5-6f2a-7000-8000-000000000000"
RUN = {"feed": FEED, "template": "card"}
OBJECT, LIST, TEXT, NUMBER = "Write an object: {…}", "Write a list: […]", "Write a text", "Write a whole number"
ONE_VALUE = "Write a text, a number, true, false or null"
FORMATS = "Use 'jpg', 'png', 'webp' or 'avif'"
AN_ID = "Write an id, as in 0190d7c5-6f2a-7000-8000-000000000000"


def request_with(body: bytes) -> Request:
    return Request.blank("/v1/images", method="POST", body=body, content_type="application/json")


def refusal(model: type[Body], body: bytes) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        read_body(request_with(body), model, 16 * 1024 * 1024)
    return caught.value


@pytest.mark.parametrize(
    ("model", "body", "errors"),
    [
        (ImageRequest, {}, {"template": "This has to be given"}),
        (ImageRequest, [], {"body": OBJECT}),
        (ImageRequest, {"template": ""}, {"template": "This may not be empty"}),
        (ImageRequest, {"template": "a" * 101}, {"template": "This is too long: 100 characters are the most"}),
        (ImageRequest, {"template": 5}, {"template": TEXT}),
        (ImageRequest, {"template": "card", "format": "jpeg"}, {"format": FORMATS}),
        (ImageRequest, {"template": "card", "color": "red"}, {"color": "There is no field of this name"}),
        (ImageRequest, {"template": "card", "data": [1]}, {"data": OBJECT}),
        (ImageRequest, {"template": "card", "data": {"title": [1]}}, {"data.title": ONE_VALUE}),
        (ImageRequest, {"template": "card", "data": {"title": {"de": "x"}}}, {"data.title": ONE_VALUE}),
        (ImageRequest, {"template": "card", "data": {"price": float("nan")}}, {"data.price": ONE_VALUE}),
        (
            ImageRequest,
            {"template": "card", "data": {"title": "x" * 10_001}},
            {"data.title": "This is too long: 10000 characters are the most"},
        ),
        (ImageRequest, {"template": "card", "quality": 0}, {"quality": "1 is the least"}),
        (ImageRequest, {"template": "card", "quality": 101}, {"quality": "100 is the most"}),
        (ImageRequest, {"template": "card", "quality": True}, {"quality": NUMBER}),
        (ImageRequest, {"template": "card", "quality": "84"}, {"quality": NUMBER}),
        (ImageRequest, {"template": "card", "quality": None}, {"quality": NUMBER}),
        (ImageRequest, {"template": "card", "store": "yes"}, {"store": "Write true or false"}),
        (ImageRequest, {"template": "card", "feed": "many", "item": "1"}, {"feed": AN_ID}),
        (
            ImageRequest,
            {"template": "card", "feed": FEED},
            {"body": "feed and item go together: the feed's id and the key of a row"},
        ),
        (RunRequest, RUN | {"feed": 7}, {"feed": AN_ID}),
        (RunRequest, RUN | {"mapping": {"title": 1}}, {"mapping.title": TEXT}),
        (RunRequest, RUN | {"outputs": {}}, {"outputs": LIST}),
        (RunRequest, RUN | {"outputs": []}, {"outputs": "1 is the least that may stand here"}),
        (RunRequest, RUN | {"outputs": [{}] * 13}, {"outputs": "12 are the most that may stand here"}),
        (RunRequest, RUN | {"outputs": [{}, {}]}, {"outputs": "no two outputs may be the same"}),
        (RunRequest, RUN | {"outputs": ["jpg"]}, {"outputs.0": OBJECT}),
        (RunRequest, RUN | {"outputs": [{}, {"format": "jpeg"}]}, {"outputs.1.format": FORMATS}),
        (PushedItems, {"items": [{"key": "1", "data": {"name": []}}]}, {"items.0.data.name": ONE_VALUE}),
        (PushedItems, {"items": [{"key": "1", "data": {}}] * 2}, {"body": "The key “1” is there twice"}),
        (ItemData, {"data": {"": "x"}}, {"data": "This may not be empty (a name in here)"}),
        (Keys, {"keys": ["1", 2]}, {"keys.1": TEXT}),
    ],
)
def test_each_field_that_is_wrong_is_named_and_told_what_would_be_right(
    model: type[Body], body: Any, errors: dict[str, str]
) -> None:
    problem = refusal(model, json.dumps(body).encode())
    assert (problem.status, problem.code, problem.errors) == (422, "invalid", errors)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 10_000, b'{"template": "\\ud800"}', b'{"template": "a",}'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    problem = refusal(ImageRequest, body)
    assert (problem.status, problem.code) == (400, "bad_json")


@pytest.mark.parametrize("text", [r"\u0000", r"a\\\u0000", r"\"\u0000"])
def test_a_nul_is_refused_however_it_is_written(text: str) -> None:
    assert refusal(ImageRequest, f'{{"template": "{text}"}}'.encode()).code == "bad_characters"


@pytest.mark.parametrize("text", ["\\u0000", "a\\\\u0000"])
def test_a_text_that_speaks_of_a_nul_holds_none(text: str) -> None:
    assert read_body(request_with(json.dumps({"template": text}).encode()), ImageRequest).template == text


def test_a_large_body_of_mistakes_is_answered_with_those_of_its_first_row() -> None:
    items = [{"key": str(key), "data": {str(name): [] for name in range(MAX_COLUMNS)}} for key in range(100)]
    errors = refusal(PushedItems, json.dumps({"items": items}).encode()).errors
    assert set(errors) == {f"items.0.data.{name}" for name in range(MAX_COLUMNS)}


def test_a_refusal_holds_on_to_nothing_that_was_sent() -> None:
    problem = refusal(ImageRequest, b'{"template": 1}')
    assert (problem.__cause__, problem.__context__) == (None, None)


def test_more_mistakes_than_anybody_reads_are_not_named() -> None:
    unknown = {f"field {number}": 1 for number in range(MAX_ERRORS + 1)}
    item = {"key": "1", "data": {}}
    for body in ({"items": [item], **unknown}, {"items": [item | unknown]}):
        problem = refusal(PushedItems, json.dumps(body).encode())
        assert (problem.status, problem.code, problem.errors) == (422, "invalid", {})
        assert str(problem) == "More than 1,000 fields are wrong, too many to name"


@pytest.mark.parametrize(
    ("model", "body", "field", "most"),
    [
        (PushedItems, lambda data: {"items": [{"key": "1", "data": data}]}, "items.0.data", MAX_COLUMNS),
        (ItemData, lambda data: {"data": data}, "data", MAX_COLUMNS),
        (ImageRequest, lambda data: {"template": "card", "data": data}, "data", 200),
    ],
)
def test_names_are_counted_before_their_values_are_looked_at(
    model: type[Body], body: Callable[[Any], Any], field: str, most: int
) -> None:
    errors = refusal(model, json.dumps(body({str(name): [] for name in range(most + 1)})).encode()).errors
    assert errors == {field: f"{most} are the most that may stand here"}


_names = st.sampled_from(sorted({name for model in BODIES for name in model.model_fields}))
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from([FEED, "jpg"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4),
)


@given(st.sampled_from(BODIES), st.dictionaries(_names, _values, max_size=6))
def test_any_body_is_read_or_its_own_fields_are_named(model: type[Body], body: dict[str, Any]) -> None:
    try:
        read_body(request_with(json.dumps(body).encode()), model)
    except ProblemError as problem:
        for field, text in problem.errors.items():
            assert "Input should" not in text
            *path, last = field.split(".")
            inside: Any = body
            for part in path:
                inside = inside[int(part) if isinstance(inside, list) else part]
            assert last == "body" or text == "This has to be given" or last in inside or int(last) < len(inside)

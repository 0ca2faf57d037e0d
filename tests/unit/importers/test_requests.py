"""Requests of Bannerbear and Placid become bodies of `POST /v1/images` that fit imported templates."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.api.image_requests import MAX_VALUE_LENGTH, ImageRequest
from cwz_web.imaging.layer_overrides import override_layers
from cwz_web.importers.builder import ImportOptions
from cwz_web.importers.detection import find_kind
from cwz_web.importers.report import InvalidImportError, Outcome
from cwz_web.importers.requests import TEMPLATE, ConvertedRequest, find_request
from tests.installation import ROOT

DATA = ROOT / "tests" / "data" / "importers"


def convert(parsed: Any) -> ConvertedRequest:
    converter = find_request(parsed)
    assert converter, "the JSON is no request"
    return converter(parsed)


def left_out(converted: ConvertedRequest) -> set[tuple[str, str]]:
    return {(entry.layer, entry.property) for entry in converted.report.of(Outcome.LEFT_OUT)}


def test_bannerbear_v2() -> None:
    converted = convert(
        {
            "template": "abc",
            "modifications": [
                {"name": "Product title", "text": "Mugs", "color": "#f00", "text_2": "x"},
                {"name": "photo", "image_url": "https://images.example/a.jpg"},
                {"name": "bar", "color": "navy", "hide": True},
            ],
            "webhook_url": "https://hooks.example/a",
            "metadata": "order 7",
            "transparent": True,
            "render_pdf": True,
        }
    )
    assert converted.body == {
        "template": TEMPLATE,
        "data": {"product_title": "Mugs", "photo": "https://images.example/a.jpg"},
        "layers": {"Product title": {"color": "#ff0000"}, "bar": {"hidden": True, "fill": "#000080"}},
        "webhook": "https://hooks.example/a",
        "metadata": {"metadata": "order 7"},
        "transparent": True,
    }
    assert left_out(converted) == {("Product title", "text_2"), ("", "render_pdf")}


def test_bannerbear_v5() -> None:
    objects = [{"name": "Title", "text": "Sale", "font-size": 40, "left": 12}]
    body = convert({"modifications": {"template": {"width": 1080, "height": 1350}, "objects": objects}}).body
    assert body["canvas"] == {"width": 1080, "height": 1350}
    assert body["data"] == {"title": "Sale"}
    assert body["layers"] == {"Title": {"size": 40, "x": 12}}


def test_placid() -> None:
    converted = convert(
        {
            "template_uuid": "abc",
            "create_now": True,
            "layers": {
                "title": {"text": "Hello", "text_color": "#00f", "opacity": 50, "width": "+10px"},
                "subline": {"hide": True},
                "img": {"image": "https://images.example/a.jpg", "position_x_absolute": "10px"},
            },
            "modifications": {"width": "600", "filename": "a/b"},
            "transfer": {"to": "s3", "secret": "top secret"},
        }
    )
    assert converted.body == {
        "template": TEMPLATE,
        "data": {"title": "Hello", "img": "https://images.example/a.jpg"},
        "layers": {
            "title": {"opacity": 0.5, "color": "#0000ff"},
            "subline": {"hidden": True},
            "img": {"x": 10},
        },
        "canvas": {"width": 600},
    }
    assert left_out(converted) == {("title", "width"), ("", "filename"), ("", "create_now"), ("", "transfer")}
    assert "top secret" not in repr(converted), "keys of a storage are not passed on"


def test_request_fits_the_imported_template() -> None:
    template = json.loads((DATA / "placid-template.json").read_text())
    kind = find_kind(template)
    assert kind
    document = kind.convert(template, ImportOptions(width=900, height=900)).document
    layers = {
        "title": {"text": "A", "text_color": "red"},
        "guest photo": {"image": "https://a.example/b.png", "hide": True},
    }
    body = convert({"template_uuid": "a", "layers": layers}).body
    assert body["data"].keys() <= {field.name for field in document.fields}
    assert override_layers(document, body["layers"]) != document


@pytest.mark.parametrize(
    ("parsed", "message"),
    [
        ({"modifications": [{"text": "a"}]}, "cannot be read"),
        ({"modifications": [1]}, "cannot be read"),
        ({"template_uuid": "a", "layers": []}, "“layers”"),
        ({"layers": {"a": 1}}, "“layers.a”"),
        ({"layers": {f"l{at}": {"text": ""} for at in range(51)}}, "limit of 50"),
    ],
)
def test_what_is_no_request_is_a_clear_error(parsed: Any, message: str) -> None:
    with pytest.raises(InvalidImportError, match=message):
        convert(parsed)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(["#fff", "x" * 3000, "\x00\ud800", "-5px", "50%", 10**400, [], {"a": []}, "javascript:alert(1)"]),
)
KEYS = [
    "text",
    "image_url",
    "image",
    "color",
    "background",
    "hide",
    "opacity",
    "width",
    "rotate",
    "left",
    "rating",
    "x",
]
CHANGES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)
NAMES = st.one_of(st.sampled_from(["Title", "a", "", "{{ a }}"]), st.text(max_size=80))
MORE = st.dictionaries(
    st.sampled_from(["metadata", "passthrough", "webhook_url", "webhook_success", "transparent", "modifications", "x"]),
    st.one_of(VALUES, st.dictionaries(st.sampled_from(["width", "height", "filename"]), VALUES)),
    max_size=3,
)


@settings(max_examples=100)
@given(st.lists(st.tuples(NAMES, CHANGES), max_size=4), MORE, st.booleans())
def test_any_request_is_a_valid_body_or_a_clear_error(
    layers: list[tuple[str, dict[str, Any]]], more: dict[str, Any], is_placid: bool
) -> None:
    bannerbear = {**more, "modifications": [{**changes, "name": name} for name, changes in layers]}
    placid = {**more, "template_uuid": "a", "layers": dict(layers)}
    try:
        converted = convert(placid if is_placid else bannerbear)
    except InvalidImportError as error:
        assert is_placid, f"only the modifications of Placid can have a wrong type here: {error}"  # noqa: PT017
        return
    body = json.loads(json.dumps(converted.body, allow_nan=False))
    body.pop("webhook", None)  # whether the host is public is not known here
    ImageRequest.model_validate(body)


@pytest.mark.parametrize("length", [MAX_VALUE_LENGTH, MAX_VALUE_LENGTH + 1])
def test_values_are_as_long_as_requests_take(length: int) -> None:
    converted = convert({"modifications": [{"name": "Title", "text": "x" * length}]})
    assert len(converted.body["data"]["title"]) == MAX_VALUE_LENGTH
    changed = [entry for entry in converted.report.of(Outcome.CHANGED) if entry.layer]
    assert len(changed) == length - MAX_VALUE_LENGTH
    ImageRequest.model_validate(converted.body | {"template": "card"})

"""Templates of Placid and of Bannerbear V2, which have names and no design, become skeletons."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.layers import walk_layers
from cwz_web.importers.builder import ImportedTemplate, ImportOptions
from cwz_web.importers.detection import find_kind
from cwz_web.importers.report import InvalidImportError, Outcome
from tests.installation import ROOT

DATA = ROOT / "tests" / "data" / "importers"
SIZE = ImportOptions(width=1080, height=1350)


def convert(parsed: Any, options: ImportOptions = SIZE) -> ImportedTemplate:
    kind = find_kind(parsed)
    assert kind, "the JSON is of no known kind"
    return kind.convert(parsed, options)


def read_sample(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


def layers_of(imported: ImportedTemplate) -> list[tuple[str, str]]:
    return [(layer.name, layer.type) for layer in walk_layers(imported.document.layers)]


def test_placid_sample_becomes_a_stack_with_fields() -> None:
    imported = convert(read_sample("placid-template"))
    assert (imported.source.label, imported.name) == ("Placid", "Podcast episode")
    assert layers_of(imported) == [
        ("Layers", "stack"),
        ("title", "text"),
        ("guest photo", "image"),
        ("ground", "shape"),
        ("site", "image"),
        ("link", "code"),
        ("stars", "rating"),
    ]
    assert [(field.name, field.type) for field in imported.document.fields] == [
        ("title", "text"),
        ("guest_photo", "image"),
        ("site", "image"),
        ("link", "text"),
        ("stars", "number"),
    ]
    assert [entry.layer for entry in imported.report.of(Outcome.LEFT_OUT)][-1] == "captions"
    assert {entry.layer for entry in imported.report.of(Outcome.CHANGED)} >= {"site", "link"}


def test_bannerbear_v2_sample_has_its_size_and_types_from_modifications() -> None:
    imported = convert(read_sample("bannerbear-v2-template"), ImportOptions())
    assert (imported.document.canvas.width, imported.document.canvas.height) == (1080, 1080)
    assert layers_of(imported)[1:] == [("quote", "text"), ("portrait", "image"), ("bar", "shape")]


def test_layers_are_open_for_what_requests_can_change() -> None:
    imported = convert(read_sample("placid-template"))
    title = next(layer for layer in walk_layers(imported.document.layers) if layer.name == "title")
    assert {"color", "hidden", "x"} <= set(title.open)


@pytest.mark.parametrize(
    ("parsed", "options", "message"),
    [
        ({"uuid": "a", "layers": []}, ImportOptions(), "no size"),
        ({"uuid": "a", "layers": []}, ImportOptions(width=100), "no size"),
        ({"uuid": "a", "layers": [{"name": "a"}]}, SIZE, "“layers.0.type” is missing"),
        ({"uuid": "a", "layers": [{"name": 1, "type": "text"}]}, SIZE, "“layers.0.name” has a value"),
        ({"uuid": "a", "layers": [{"name": "a", "type": "text"}] * 101}, SIZE, "limit of 100"),
        ({"available_modifications": 1, "width": 1, "height": 1}, SIZE, "“available_modifications”"),
        ({"available_modifications": [], "width": float("nan"), "height": 1}, SIZE, "“width”"),
    ],
)
def test_what_cannot_be_imported_is_a_clear_error(parsed: Any, options: ImportOptions, message: str) -> None:
    with pytest.raises(InvalidImportError, match=message):
        convert(parsed, options)


@pytest.mark.parametrize("parsed", [None, [], "{}", 1, {}, {"config": 1}, {"canvas": {}, "layers": [], "title": "x"}])
def test_json_of_no_other_service_is_of_no_kind(parsed: Any) -> None:
    assert find_kind(parsed) is None


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["{{ a }}", "javascript:alert(1)", "http://10.0.0.1/a.png", "\x00\ud800", 10**400]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
KINDS_OF_LAYERS = ["text", "picture", "shape", "barcode", "rating", "browserframe", "subtitle", "image", "qr_code", ""]
LAYERS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(st.text(max_size=70), VALUES),
        "type": st.one_of(st.sampled_from(KINDS_OF_LAYERS), VALUES),
        "text": VALUES,
        "image_url": VALUES,
        "rating": VALUES,
    },
)
LISTS = st.one_of(st.lists(LAYERS, max_size=5), VALUES)
SIDES = {"width": st.one_of(st.just(600), VALUES), "height": st.one_of(st.just(600), VALUES)}
TEMPLATES = st.one_of(
    st.fixed_dictionaries({"title": VALUES, "layers": LISTS}),
    st.fixed_dictionaries({**SIDES, "available_modifications": LISTS}, optional={"name": VALUES}),
    st.fixed_dictionaries({**SIDES, "config": st.fixed_dictionaries({"objects": LISTS})}),
)


@given(TEMPLATES, st.dictionaries(st.text(max_size=8), VALUES, max_size=2))
def test_any_json_is_a_valid_document_or_a_clear_error(template: dict[str, Any], more: dict[str, Any]) -> None:
    kind = find_kind(more | template)
    if kind is None:
        return
    try:
        imported = kind.convert(more | template, SIZE)
    except InvalidImportError as error:
        problem = str(error)
    else:
        problem = ""
        text = json.dumps(imported.document.canonical(), allow_nan=False, ensure_ascii=False)
        assert ImageTemplate.model_validate(json.loads(text.encode())) == imported.document
        assert "\\u0000" not in text
    assert "cannot be converted" not in problem, "a converter made what is not valid"

from functools import cache
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from cwz_web.demo.starters import open_starter
from cwz_web.imaging.blending import BlendMode
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.editing import add_layer
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layers import AnyLayer, walk_layers
from cwz_web.web.layer_forms import BLEND_MODES, CHECKS, list_groups, read_layer, serialize_layer
from tests.factories import nested_document, small_document

_layer: TypeAdapter[Layer] = TypeAdapter(AnyLayer)


KINDS: list[Any] = ["text", "image", "shape", "code", "rating", "group", "stack"]


@cache
def every_layer() -> list[Layer]:
    fresh = [add_layer(ImageTemplate.model_validate(small_document()), kind)[0].layers[-1] for kind in KINDS]
    nested = ImageTemplate.model_validate(nested_document()).layers
    documents = [open_starter(slug).document for slug in ("certificate", "launch", "listing", "product-ad", "quote")]
    return [*fresh, *walk_layers([*nested, *(layer for document in documents for layer in document.layers)])]


@pytest.mark.parametrize("in_stack", [False, True])
def test_unchanged_form_changes_nothing(in_stack: bool) -> None:
    for layer in every_layer():
        values, errors = read_layer(layer, serialize_layer(layer), in_stack=in_stack)
        assert errors == {}, layer.name
        assert _layer.validate_python(values) == layer


def test_form_covers_every_property_of_every_layer_type() -> None:
    """One that is forgotten could never be changed in the designer."""
    elsewhere = {
        "bound",
        "gradient",
        "hidden",
        "layers",
        "locked",
        "show_if",
        "spans",
        "type",
    }
    for layer in every_layer()[: len(KINDS)]:
        shown = {field.name.partition(".")[0] for group in list_groups(layer) for field in group.fields}
        assert shown == set(type(layer).model_fields) - elsewhere, layer.name


@pytest.mark.parametrize(
    ("kind", "typed", "shown"),
    [
        ("shape", {"shape": "rectangle", "fill.type": "none"}, set()),
        ("shape", {"shape": "rectangle", "fill.type": "solid"}, {"fill.start"}),
        ("shape", {"shape": "star", "fill.type": "none"}, {"corners", "depth"}),
        (
            "shape",
            {"shape": "line", "fill.type": "radial"},
            {"fill.start", "fill.middle", "fill.stops", "fill.end", "points"},
        ),
        ("code", {"code": "ean13", "background.type": "none"}, set()),
    ],
)
def test_form_shows_what_applies(kind: str, typed: dict[str, str], shown: set[str]) -> None:
    layer = every_layer()[KINDS.index(kind)]
    content = list_groups(layer)[1].fields  # type: ignore[arg-type]
    assert {field.name for field in content if field.need and field.applies(typed)} == shown


def test_needs_of_form_fields_can_be_met() -> None:
    for layer in every_layer()[: len(KINDS)]:
        fields = {field.name: field for group in list_groups(layer) for field in group.fields}  # type: ignore[arg-type]
        for need in (field.need for field in fields.values() if field.need):
            choices = [value for value, _ in fields[need.field].choices] or ["on"]
            assert set(need.values) <= set(choices), need


def test_alignment_follows_the_font_and_its_size() -> None:
    text = [field.name for field in list_groups(every_layer()[0])[1].fields]  # type: ignore[arg-type]
    assert text[text.index("font") :][:5] == ["font", "weight", "size", "align", "valign"]


def test_text_that_no_longer_grows_has_no_maximum_size() -> None:
    grown = _layer.validate_python(text_layer(fit="grow", max_size="200")[0])
    values, errors = read_layer(grown, {**serialize_layer(grown), "fit": "shrink"})  # type: ignore[arg-type]
    assert (errors, values["max_size"]) == ({}, None)


def test_spans_are_kept_unless_a_text_is_entered_beside_them() -> None:
    box = {"x": 0, "y": 0, "width": 100, "height": 50, "size": 20}
    layer = _layer.validate_python({"type": "text", "name": "t", "spans": [{"text": "x", "strike": True}], **box})
    values, errors = read_layer(layer, serialize_layer(layer))
    assert errors == {}
    assert _layer.validate_python(values) == layer
    assert list(read_layer(layer, {**serialize_layer(layer), "text": "y"})[1].values()) == [
        "Enter either a text or spans"
    ]


def text_layer(**typed: str) -> tuple[dict[str, Any], dict[str, str]]:
    layer = next(layer for layer in every_layer() if layer.model_dump()["type"] == "text")
    return read_layer(layer, {**serialize_layer(layer), **typed})


@pytest.mark.parametrize(
    ("field", "typed", "saying"),
    [
        ("x", "left", "whole number"),
        ("x", "", "whole number"),
        ("width", "0", "Enter at least 1"),
        ("width", "9999", "Enter at most 4096"),
        ("opacity", "7", "Enter at most 1"),
        ("rotation", "much", "Enter a number"),
        ("color", "red", "Enter a color as #rrggbb"),
        ("text", "{{ a | b }}", "“b” is not a filter"),
        ("text", "{{ a", "is not closed"),
        ("font", "Comic Sans", "Unknown font: Comic Sans"),
        ("name", "", "Enter a value"),
    ],
)
def test_invalid_value_names_its_form_field(field: str, typed: str, saying: str) -> None:
    values, errors = text_layer(**{field: typed})
    assert values == {}
    assert list(errors) == [field]
    assert saying in errors[field]


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"background.type": "solid", "background.start": "blue"}, "background.start"),
        ({"background.type": "linear", "background.end": "blue"}, "background.end"),
        ({"stroke.width": "4", "stroke.color": "blue"}, "stroke.color"),
        ({"border.width": "4", "border.color": "blue"}, "border.color"),
        ({"shadow.on": "on", "shadow.blur": "-3"}, "shadow.blur"),
    ],
)
def test_invalid_nested_value_names_its_form_field(typed: dict[str, str], field: str) -> None:
    assert list(text_layer(**typed)[1]) == [field]


@pytest.mark.parametrize(
    ("typed", "part", "expected"),
    [
        ({"border.width": "0", "border.color": "#000000"}, "border", None),
        ({"border.width": "3", "border.color": "#000000"}, "border", {"width": "3", "color": "#000000"}),
        ({"background.type": "none", "background.start": "#000000"}, "background", None),
        ({"background.type": "solid", "background.start": "#112233"}, "background", "#112233"),
        ({"min_size": ""}, "min_size", None),
        ({"italic": "on"}, "italic", True),
    ],
)
def test_optional_parts_are_present_or_absent(typed: dict[str, str], part: str, expected: Any) -> None:
    values, errors = text_layer(**typed)
    assert errors == {}
    assert values[part] == expected


def test_unchecked_box_is_false() -> None:
    assert "italic" in CHECKS
    assert text_layer()[0]["italic"] is False


def test_focus_accepts_any_point() -> None:
    layer = next(layer for layer in every_layer() if layer.model_dump()["type"] == "image")
    for typed, focus in (("0.5,0", (0.5, 0)), ("attention", "attention"), ("center", "center")):
        values, errors = read_layer(layer, {**serialize_layer(layer), "focus": typed})
        assert errors == {}
        assert _layer.validate_python(values).focus == focus  # type: ignore[attr-defined]
    assert list(read_layer(layer, {**serialize_layer(layer), "focus": "9,9"})[1]) == ["focus"]


def test_condition_and_bound_properties_are_kept() -> None:
    """Their forms are panels."""
    more = {"show_if": "price > 5", "bound": {"x": "price"}}
    layer = _layer.validate_python({**every_layer()[0].model_dump(mode="json"), **more})
    values, errors = read_layer(layer, serialize_layer(layer))
    assert errors == {}
    assert _layer.validate_python(values) == layer


def test_several_shadows_keep_their_values() -> None:
    layer = _layer.validate_python({**every_layer()[0].model_dump(mode="json"), "shadow": [{"x": 1}, {"x": 2}]})
    values, errors = read_layer(layer, serialize_layer(layer))
    assert errors == {}
    assert _layer.validate_python(values) == layer


@pytest.mark.parametrize(
    "part",
    [
        {"adjust": {"brightness": 1.5, "blur": 3}},
        {"duotone": {"dark": "#112233"}},
        {"fade": {"angle": 30, "start": 0.25}},
        {"outline": {"color": "#112233", "width": 3}},
        {"mask": "polygon", "mask_points": [[0, 0], [1, 0.5], [0, 1]]},
    ],
    ids=lambda part: next(iter(part)),
)
def test_parts_of_a_photo_are_kept_and_removed(part: dict[str, Any]) -> None:
    plain = next(layer for layer in every_layer() if layer.model_dump()["type"] == "image")
    layer = _layer.validate_python({**plain.model_dump(mode="json"), **part})
    typed = serialize_layer(layer)
    assert _layer.validate_python(read_layer(layer, typed)[0]) == layer
    off = {f"{next(iter(part))}.on": "", "outline.width": "0", "mask": "box", "mask_points": ""}
    assert _layer.validate_python(read_layer(layer, typed | off)[0]) == plain


def test_stops_of_a_gradient_and_dashes_are_kept() -> None:
    plain = next(layer for layer in every_layer() if layer.model_dump()["type"] == "shape")
    fill = {"type": "conic", "start": "#111111", "stops": [{"offset": 0.25, "color": "#222222"}], "end": "#333333"}
    border = {"color": "#000000", "width": 2, "dash": 6}
    layer = _layer.validate_python({**plain.model_dump(mode="json"), "fill": fill, "border": border, "shape": "burst"})
    values, errors = read_layer(layer, serialize_layer(layer))
    assert errors == {}
    assert _layer.validate_python(values) == layer
    wrong = read_layer(layer, serialize_layer(layer) | {"fill.stops": "0.5,red"})[1]
    assert list(wrong) == ["fill.stops"]


def layer_of(name: str) -> Any:
    layer = ImageTemplate.model_validate(nested_document()).find_layer(name)
    assert layer is not None
    return layer


def test_layer_in_a_stack_has_no_position() -> None:
    def fields(in_stack: bool) -> set[str]:
        return {field.name for group in list_groups(layer_of("Title"), in_stack=in_stack) for field in group.fields}

    assert fields(in_stack=False) - fields(in_stack=True) == {"x", "y", "anchor", "pins.horizontal", "pins.vertical"}
    assert fields(in_stack=True) - fields(in_stack=False) == {"sizing.shrink"}


@pytest.mark.parametrize(
    ("typed", "part", "expected"),
    [
        ({"pins.horizontal": "right"}, "pins", {"horizontal": "right"}),
        ({"pins.horizontal": "", "pins.vertical": ""}, "pins", None),
        ({"repeat.field": "tags", "repeat.limit": "4"}, "repeat", {"field": "tags", "limit": "4"}),
        ({"repeat.field": "", "repeat.limit": "4"}, "repeat", None),
        ({"sizing.width": "hug", "sizing.max_width": "90"}, "sizing", {"width": "hug", "max_width": "90"}),
        ({"direction": "row", "wrap": "on"}, "wrap", True),
    ],
)
def test_parts_of_a_stack(typed: dict[str, str], part: str, expected: Any) -> None:
    card = layer_of("Card")
    values, errors = read_layer(card, {**serialize_layer(card), **typed})
    assert errors == {}
    found = values[part]
    assert {key: found[key] for key in expected} == expected if isinstance(expected, dict) else found == expected
    assert _layer.validate_python(values).layers == card.layers  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("typed", "field", "saying"),
    [
        ({"gap": "-1"}, "gap", "Enter at least 0"),
        ({"repeat.field": "tags", "repeat.limit": "99"}, "repeat.limit", "Enter at most 20"),
        ({"sizing.shrink": "12"}, "sizing.shrink", "Enter at most 9"),
        ({"sizing.min_width": "9", "sizing.max_width": "3"}, "", "min_width is larger than max_width"),
        ({"direction": "column", "wrap": "on"}, "", "Only a row can wrap"),
    ],
)
def test_invalid_value_of_a_stack_names_its_form_field(typed: dict[str, str], field: str, saying: str) -> None:
    card = layer_of("Card")
    errors = read_layer(card, {**serialize_layer(card), **typed}, in_stack=True)[1]
    assert list(errors) == [field]
    assert saying in errors[field]


@pytest.mark.parametrize("kind", ["shape", "image"])
def test_mask_by_another_layer_is_kept_changed_and_removed(kind: str) -> None:
    layer = _layer.validate_python(
        {"type": kind, "name": "x", "source": "u", "width": 9, "height": 9, "mask": {"layer": "m"}}
        if kind == "image"
        else {"type": kind, "name": "x", "width": 9, "height": 9, "mask": {"layer": "m"}}
    )
    typed = serialize_layer(layer)
    assert _layer.validate_python(read_layer(layer, typed)[0]) == layer
    changed = read_layer(layer, {**typed, "mask.layer": "n", "mask.mode": "luminance"})[0]
    assert changed["mask"] == {"layer": "n", "mode": "luminance"}
    without = {**typed, "mask": "circle"} if kind == "image" else {**typed, "mask": "", "mask.layer": ""}
    assert read_layer(layer, without)[0]["mask"] == ("circle" if kind == "image" else None)
    if kind == "image":
        assert set(read_layer(layer, {**typed, "mask.layer": ""})[1]) == {"mask.layer"}


def test_each_blend_mode_has_a_label() -> None:
    assert tuple(BLEND_MODES) == get_args(BlendMode)


def test_open_properties_are_a_list_of_names() -> None:
    layer = every_layer()[0]
    typed = serialize_layer(layer) | {"open": "hidden x,y"}
    values, errors = read_layer(layer, typed)
    assert (values["open"], errors) == (["hidden", "x", "y"], {})
    assert serialize_layer(_layer.validate_python(values))["open"] == "hidden, x, y"
    _, errors = read_layer(layer, typed | {"open": "nothing"})
    assert "nothing cannot be open" in errors[""]

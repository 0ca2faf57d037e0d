from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.demo.starters import list_starters, open_starter
from cwz_web.imaging.design_checks import check_design
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.editing import unwrap_container
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.findings import FindingCode, faults

BOX = {"x": 0, "y": 0, "width": 50, "height": 40}
TEXT = {"type": "text", "name": "t", "text": "x", "size": 20, **BOX}
SHAPE = {"type": "shape", "name": "s", "fill": "#ff0000", **BOX}
IMAGE = {"type": "image", "name": "p", "source": "{{ a }}", **BOX}


def stack(*layers: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"type": "stack", "name": "stack", "layers": layers, **BOX, **values}


def template(*layers: dict[str, Any], **document: Any) -> ImageTemplate:
    fields = [{"name": "a", "label": "A"}, {"name": "n", "label": "N", "type": "number"}]
    canvas = {"width": 100, "height": 80}
    return ImageTemplate.model_validate({"canvas": canvas, "fields": fields, "layers": layers, **document})


def size(**overrides: Any) -> dict[str, Any]:
    return {"sizes": [{"name": "small", "width": 60, "height": 60, "overrides": overrides}]}


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (TEXT | {"min_size": 30}, "has a min_size of 30, which is larger than its size of 20"),
        (TEXT | {"min_size": 10, "fit": "clip"}, "has a min_size, but its fit is clip. Use the fit shrink"),
        (TEXT | {"sizing": {"min_width": 9, "max_width": 20}}, "has a min_width and max_width, but its width is fixed"),
        (IMAGE | {"fallback": "https://a.example/x.png"}, "has a fallback image, but its missing is placeholder"),
        (SHAPE | {"show_if": {"field": "a", "is": "more"}}, "compares the field “a” with an empty value"),
        (SHAPE | {"x": 100}, "is outside of the canvas"),
        (SHAPE | {"y": 0, "anchor": "bottom"}, "is outside of the canvas"),
    ],
)
def test_layer_with_a_value_without_effect_is_a_finding(layer: dict[str, Any], message: str) -> None:
    [finding] = check_design(template(layer), "default")
    assert (finding.code, finding.layer) == (FindingCode.NO_EFFECT, layer["name"])
    assert finding.message.startswith(message)


@pytest.mark.parametrize(
    "layer",
    [
        TEXT | {"min_size": 20},
        TEXT | {"min_size": 10, "max_size": 40, "fit": "grow"},
        TEXT | {"hidden": True, "min_size": 30},
        SHAPE | {"x": 100, "shadow": {"x": -20}},
        SHAPE | {"x": {"value": "n", "default": 100}},
        SHAPE | {"x": 99},
        SHAPE | {"show_if": {"field": "a", "is": "different"}},
        stack(TEXT | {"sizing": {"height": "hug", "min_height": 9}}),
    ],
)
def test_values_with_an_effect_are_no_findings(layer: dict[str, Any]) -> None:
    assert check_design(template(layer), "default") == []


def test_overrides_without_effect_are_findings_of_their_size() -> None:
    inner = TEXT | {"sizing": {"height": "hug"}}
    overrides = {"s": {"size": 30, "x": 10}, "t": {"x": 5, "height": 30, "width": 40}}
    document = template(SHAPE, stack(inner), **size(**overrides))
    assert check_design(document, "default") == []
    assert [(finding.layer, finding.message) for finding in check_design(document, "small")] == [
        ("s", "has an override of its size, which a layer of the type shape does not have"),
        ("t", "has an override of its x, but its stack places it. Override the stack"),
        ("t", "has an override of its height, but its sizing decides about that"),
    ]


def test_findings_are_in_the_check_of_a_row_and_not_in_its_image() -> None:
    plan = Engine().plan(template(TEXT | {"min_size": 30}))
    values = plan.fill_values({})
    [finding] = plan.lint(values, {})
    assert finding.code == FindingCode.NO_EFFECT
    assert plan.compose(values, {}).findings == faults([finding]) == ()


@pytest.mark.parametrize("name", list_starters())
def test_starters_have_no_values_without_effect(name: str) -> None:
    document = open_starter(name).document
    assert [check_design(document, each) for each in document.size_names] == [[]] * len(document.size_names)


PINNED = SHAPE | {"pins": {"horizontal": "both"}}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"layers": [stack(PINNED)]}, "The layer “s” has pins, but the stack “stack” places it. Remove them"),
        ({"layers": [SHAPE], **size(s={"gap": 4})}, "The size small has a gap for s, which has none. Remove it"),
        ({"layers": [IMAGE], **size(p={"padding": 4})}, "The size small has a padding for p, which has none"),
    ],
)
def test_newer_values_without_effect_are_refused(document: dict[str, Any], message: str) -> None:
    layers = document.pop("layers")
    with pytest.raises(ValidationError, match=message):
        template(*layers, **document)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"layers": [SHAPE | {"show_if": 'n == "5"'}]}, 'In the layer “s”: The expression “n == "5"” compares “n”'),
        (
            {"layers": [TEXT | {"spans": [{"text": "x", "color": {"value": 'translate(a, "no")'}}], "text": None}]},
            "In the layer “t”: The expression .* uses the unknown table no",
        ),
        ({"layers": [], "computed": [{"name": "c", "value": "a == 5"}]}, "In the computed field “c”: The expression"),
    ],
)
def test_error_of_an_expression_names_its_layer_or_field(document: dict[str, Any], message: str) -> None:
    layers = document.pop("layers")
    with pytest.raises(ValidationError, match=message):
        template(*layers, **document)


def test_pins_are_removed_from_layers_that_move_into_a_stack() -> None:
    group = {"type": "group", "name": "g", **BOX, "layers": [PINNED]}
    unwrapped = unwrap_container(template(stack(group)), "g")
    assert unwrapped.find_layer("s").pins is None  # type: ignore[union-attr]

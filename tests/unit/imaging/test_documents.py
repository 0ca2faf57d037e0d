import re
from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.filters import FILTERS
from cwz_web.imaging.findings import FindingCode
from tests.factories import small_document
from tests.installation import ROOT


def change(path: str, value: Any) -> dict[str, Any]:
    """Return the small document with one value changed. The path is dotted."""
    document = small_document()
    *parents, last = path.split(".")
    target: Any = document
    for part in parents:
        target = target[int(part)] if part.isdigit() else target[part]
    target[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "location", "message"),
    [
        ("canvas.width", 5000, "canvas.width", "less than or equal to 4096"),
        ("canvas.background", "red", "canvas.background.color", "pattern"),
        ("canvas.background", "#ffffff\n", "canvas.background.color", "pattern"),
        ("canvas.background", "#ffffff8", "canvas.background.color", "pattern"),
        ("canvas.background", {"start": "#ffffff"}, "canvas.background.gradient.end", "required"),
        ("layers.1.font", "Comic Sans", "layers.1.text.font", "Unknown font: Comic Sans"),
        ("layers.1.text", "{{ nothing_there }}", "", "uses the unknown field nothing_there"),
        ("layers.1.text", "{{ title | boom }}", "layers.1.text.text", "boom"),
        ("layers.1.type", "video", "layers.1", "video"),
        ("layers.1.blink", True, "layers.1.text.blink", "Extra inputs"),
        ("layers.1.name", "Image", "", "have the same name: Image"),
        ("fields.0.name", "s", "fields.0.name", "reserved for signed URLs"),
        ("fields.0.name", "a b", "fields.0.name", "pattern"),
        ("layers.1.show_if", {"field": "absent"}, "", "uses the unknown field absent"),
        ("version", 4, "version", "3"),
    ],
)
def test_invalid_document_is_rejected_with_the_location(path: str, value: Any, location: str, message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        ImageTemplate.model_validate(change(path, value))
    messages = {".".join(map(str, error["loc"])): error["msg"] for error in raised.value.errors()}
    assert message in messages[location]


def test_too_many_layers_are_rejected() -> None:
    layer = {"type": "shape", "x": 0, "y": 0, "width": 1, "height": 1}
    layers = [{**layer, "name": str(number)} for number in range(101)]
    with pytest.raises(ValidationError, match="at most 100"):
        ImageTemplate.model_validate(small_document(layers=layers))


def test_canonical_document_is_equal() -> None:
    template = ImageTemplate.model_validate(small_document())
    assert ImageTemplate.model_validate(template.canonical()) == template


def test_exported_document_omits_defaults_and_is_equal() -> None:
    template = ImageTemplate.model_validate(small_document())
    exported = template.to_json()
    assert "rotation" not in exported
    assert ImageTemplate.model_validate_json(exported) == template


def test_scaling_multiplies_lengths_only() -> None:
    layer = {"type": "text", "name": "t", "text": "x", "x": 10, "y": 20, "width": 30, "height": 40, "size": 12}
    layer |= {
        "line_height": 1.5,
        "padding": 3,
        "rotation": 10,
        "opacity": 0.5,
        "stroke": {"color": "#000000", "width": 2},
    }
    layer |= {"shadow": {"x": 1, "y": 2, "blur": 3}, "background": {"start": "#000000", "end": "#ffffff", "angle": 30}}
    template = ImageTemplate.model_validate(small_document(layers=[layer])).scaled(3)
    [scaled] = template.canonical()["layers"]
    assert (template.canvas.width, template.canvas.height) == (900, 600)
    assert [scaled[name] for name in ("x", "y", "width", "height", "size", "padding")] == [30, 60, 90, 120, 36, 9]
    assert scaled["stroke"]["width"] == 6
    assert [scaled["shadow"][name] for name in ("x", "y", "blur")] == [3, 6, 9]
    assert [scaled[name] for name in ("line_height", "rotation", "opacity")] == [1.5, 10, 0.5]
    assert scaled["background"]["angle"] == 30
    assert scaled["min_size"] is None


@pytest.mark.parametrize(
    ("anchor", "left", "top"),
    [("top-left", 100, 60), ("center", 80, 50), ("bottom-right", 60, 40), ("top", 80, 60), ("right", 60, 50)],
)
def test_anchor_is_the_position_of_a_point_of_the_box(anchor: str, left: int, top: int) -> None:
    layer = {"type": "shape", "name": "s", "x": 100, "y": 60, "width": 40, "height": 20, "anchor": anchor}
    [shape] = ImageTemplate.model_validate(small_document(layers=[layer])).layers
    assert (shape.left, shape.top) == (left, top)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            [{"name": "a", "width": 9, "height": 9, "overrides": {"absent": {"x": 1}}}],
            "overrides an unknown layer: absent",
        ),
        ([{"name": "default", "width": 9, "height": 9}], "reserved for the canvas"),
        ([{"name": "a", "width": 9, "height": 9}] * 2, "have the same name: a"),
        ([{"name": "a b", "width": 9, "height": 9}], "pattern"),
    ],
)
def test_invalid_size_is_rejected(sizes: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ImageTemplate.model_validate(small_document(sizes=sizes))


def test_json_schema_has_all_parts() -> None:
    schema = ImageTemplate.model_json_schema()
    parts = {"version", "canvas", "fields", "layers", "sizes", "computed", "tables", "brand", "legacy_edges"}
    assert set(schema["properties"]) == parts
    assert {"TextLayer", "ImageLayer", "ShapeLayer", "CodeLayer", "RatingLayer"} <= set(schema["$defs"])


def test_documentation_has_a_valid_example_all_filters_and_all_findings() -> None:
    text = (ROOT / "docs" / "templates.md").read_text()
    example = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert example is not None
    assert len(ImageTemplate.model_validate_json(example[1]).layers) == 3
    for name in FILTERS:
        assert f"`{name}" in text, f"docs/templates.md does not document the filter {name}"
    for code in FindingCode:
        assert f"`{code.value}`" in text

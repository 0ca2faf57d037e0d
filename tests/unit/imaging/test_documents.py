import re
from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.filters import FILTERS
from cwz_web.imaging.lint import Check
from tests.factories import small_document
from tests.installation import ROOT


def change(path: str, value: Any) -> dict[str, Any]:
    """The small document with one value changed; the path is dotted."""
    document = small_document()
    *parents, last = path.split(".")
    target: Any = document
    for part in parents:
        target = target[int(part)] if part.isdigit() else target[part]
    target[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "where", "saying"),
    [
        ("canvas.width", 5000, "canvas.width", "less than or equal to 4096"),
        ("canvas.background", "red", "canvas.background.color", "pattern"),
        ("canvas.background", "#ffffff\n", "canvas.background.color", "pattern"),
        ("canvas.background", "#ffffff80", "canvas.background", "cannot be see-through"),
        ("canvas.background", {"start": "#ffffff"}, "canvas.background.gradient.end", "required"),
        ("layers.1.font", "Comic Sans", "layers.1.text.font", "There is no font Comic Sans"),
        ("layers.1.text", "{{ nothing_there }}", "", "uses the column nothing_there"),
        ("layers.1.text", "{{ title | boom }}", "layers.1.text.text", "boom"),
        ("layers.1.type", "video", "layers.1", "video"),
        ("layers.1.blink", True, "layers.1.text.blink", "Extra inputs"),
        ("layers.1.name", "Image", "", "share the name Image"),
        ("columns.0.name", "s", "columns.0.name", "reserved for signed URLs"),
        ("columns.0.name", "a b", "columns.0.name", "pattern"),
        ("layers.1.show_if", {"column": "absent"}, "", "uses the column absent"),
        ("version", 3, "version", "2"),
    ],
)
def test_a_wrong_document_is_refused_where_it_is_wrong(path: str, value: Any, where: str, saying: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        ImageTemplate.model_validate(change(path, value))
    problems = {".".join(map(str, error["loc"])): error["msg"] for error in refusal.value.errors()}
    assert saying in problems[where]


def test_too_many_layers_are_refused() -> None:
    layer = {"type": "shape", "x": 0, "y": 0, "width": 1, "height": 1}
    layers = [{**layer, "name": str(number)} for number in range(101)]
    with pytest.raises(ValidationError, match="at most 100"):
        ImageTemplate.model_validate(small_document(layers=layers))


def test_the_canonical_form_reads_back_the_same() -> None:
    template = ImageTemplate.model_validate(small_document())
    assert ImageTemplate.model_validate(template.canonical()) == template


def test_a_document_of_version_1_is_understood_and_written_anew() -> None:
    old = small_document(
        version=1,
        layers=[
            {"type": "shape", "name": "s", "x": 0, "y": 0, "width": 9, "height": 9, "show_if": "title"}
            | {"stroke": "#112233", "stroke_width": 4},
            {"type": "shape", "name": "t", "x": 0, "y": 0, "width": 9, "height": 9, "stroke": None, "stroke_width": 0},
        ],
    )
    template = ImageTemplate.model_validate(old)
    first, second = template.canonical()["layers"]
    assert template.version == 2
    assert first["border"] == {"color": "#112233", "width": 4}
    assert first["show_if"] == {"column": "title", "is": "filled", "value": ""}
    assert second["border"] is None
    assert second["show_if"] is None
    assert ImageTemplate.model_validate(template.canonical()) == template


def test_the_written_form_is_short_and_reads_back_the_same() -> None:
    template = ImageTemplate.model_validate(small_document())
    written = template.written()
    assert "rotation" not in written
    assert ImageTemplate.model_validate_json(written) == template


def test_scaling_multiplies_every_length_and_nothing_else() -> None:
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
def test_the_anchor_says_which_point_of_the_box_lies_there(anchor: str, left: int, top: int) -> None:
    layer = {"type": "shape", "name": "s", "x": 100, "y": 60, "width": 40, "height": 20, "anchor": anchor}
    [shape] = ImageTemplate.model_validate(small_document(layers=[layer])).layers
    assert (shape.left, shape.top) == (left, top)


@pytest.mark.parametrize(
    ("formats", "saying"),
    [
        ([{"name": "a", "width": 9, "height": 9, "overrides": {"nobody": {"x": 1}}}], "moves nobody"),
        ([{"name": "default", "width": 9, "height": 9}], "own size"),
        ([{"name": "a", "width": 9, "height": 9}] * 2, "share the name a"),
        ([{"name": "a b", "width": 9, "height": 9}], "pattern"),
    ],
)
def test_a_wrong_format_is_refused(formats: list[dict[str, Any]], saying: str) -> None:
    with pytest.raises(ValidationError, match=saying):
        ImageTemplate.model_validate(small_document(formats=formats))


def test_the_schema_says_what_is_valid() -> None:
    schema = ImageTemplate.model_json_schema()
    assert set(schema["properties"]) == {"version", "canvas", "columns", "layers", "formats"}
    assert {"TextLayer", "ImageLayer", "ShapeLayer", "CodeLayer", "RatingLayer"} <= set(schema["$defs"])


def test_the_example_of_the_documentation_is_a_template() -> None:
    text = (ROOT / "docs" / "templates.md").read_text()
    example = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert example is not None
    assert len(ImageTemplate.model_validate_json(example[1]).layers) == 2
    for name in FILTERS:
        assert f"`{name}" in text, f"docs/templates.md says nothing of the filter {name}"
    for check in Check:
        assert f"`{check.value}`" in text

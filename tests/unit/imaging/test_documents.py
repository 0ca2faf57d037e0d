from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.imaging.documents import ImageTemplate
from tests.factories import small_document


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
        ("canvas.background", "red", "canvas.background.colour", "pattern"),
        ("canvas.background", "#ffffff\n", "canvas.background.colour", "pattern"),
        ("canvas.background", "#ffffff80", "canvas.background", "can not be see-through"),
        ("canvas.background", {"start": "#ffffff"}, "canvas.background.gradient.end", "required"),
        ("layers.1.font", "Comic Sans", "layers.1.text.font", "There is no font Comic Sans"),
        ("layers.1.text", "{{ nothing_there }}", "", "uses the column nothing_there"),
        ("layers.1.text", "{{ title | boom }}", "layers.1.text.text", "boom"),
        ("layers.1.type", "video", "layers.1", "video"),
        ("layers.1.blink", True, "layers.1.text.blink", "Extra inputs"),
        ("layers.1.name", "Picture", "", "share the name Picture"),
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

"""Messages about invalid template documents."""

from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.web.document_errors import MAX_ERRORS, document_errors

TITLE = {"type": "text", "name": "Title", "text": "Hello", "size": 30, "width": 50, "height": 20}


def errors_of(document: Any) -> dict[str, str]:
    with pytest.raises(ValidationError) as raised:
        ImageTemplate.model_validate(document)
    return document_errors(document, raised.value)


def with_layer(**keys: Any) -> dict[str, Any]:
    return {"canvas": {"width": 100, "height": 100}, "layers": [{**TITLE, **keys}]}


@pytest.mark.parametrize(
    ("keys", "path", "message"),
    [
        ({"colour": "#111111"}, "colour", "Unknown key. Did you mean “color”?"),
        ({"vertical_align": "top"}, "vertical_align", "Unknown key. Did you mean “valign”?"),
        ({"color": "red"}, "color", "Enter a color as #rrggbb or #rrggbbaa"),
        ({"color": 5}, "color", 'Enter a text in quotes, such as "5"'),
        ({"background": 5}, "background", 'Enter a text in quotes, such as "5"'),
        ({"color": {"value": "price <"}}, "color", "The expression is not complete"),
        ({"align": "left"}, "align", "Use “start”, “center”, “end” or “justify”"),
        ({"background": {"start": "#111111"}}, "background.end", "This key is required"),
        ({"background": {"stop": "#111111"}}, "background.stop", "Unknown key. Did you mean “stops”?"),
        ({"sizing": "fill"}, "sizing", "Write an object, in braces"),
        ({"shadow": [{"colr": "#111111"}]}, "shadow.0.colr", "Unknown key. Did you mean “color”?"),
        ({"shadow": [{}] * 5}, "shadow", "Use 4 or fewer entries"),
        ({"text": "{{ title "}, "text", "“{{ title ” is not closed. End it with }}"),
        ({"show_if": {"field": "a", "is": "below"}}, "show_if.is", "Use “filled”, “empty”, "),
        ({"hidden": "maybe"}, "hidden", "Enter true or false"),
    ],
)
def test_message_names_the_layer_and_the_right_key(keys: dict[str, Any], path: str, message: str) -> None:
    found = errors_of(with_layer(**keys))[f"layers.0.{path}"]
    assert found.startswith(message)
    assert found.endswith("(layer “Title”)")


def test_entry_that_a_list_lacks_is_named() -> None:
    star = {"type": "shape", "name": "Star", "width": 50, "height": 50, "shape": "polygon", "points": [[0, 0], []]}
    errors = errors_of({"canvas": {"width": 100, "height": 100}, "layers": [star]})
    assert errors == {
        f"layers.0.points.1.{number}": "An entry of this list is missing (layer “Star”)" for number in (0, 1)
    }


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        ({"version": 4}, {"version": "Use 3"}),
        ({"layer": []}, {"layer": "Unknown key. Did you mean “layers”?"}),
        ({"fields": [{"name": "a", "label": "A", "default": True}]}, {"fields.0.default": 'such as "true"'}),
        ({"layers": [{"type": "txt"}]}, {"layers.0": "“txt” is not a type. Use one of: “"}),
        ({"layers": [{"name": "A"}]}, {"layers.0": "The key “type” is required (layer “A”)"}),
        ({"layers": [5]}, {"layers.0": "Write an object"}),
        ({"sizes": {}}, {"sizes": "Write a list"}),
        ({"layers": [{**TITLE, "text": "{{ a }}"}]}, {"": "The layer “Title” uses the unknown field a"}),
    ],
)
def test_message_about_the_document(change: dict[str, Any], errors: dict[str, str]) -> None:
    found = errors_of({**with_layer(), **change})
    assert found.keys() == errors.keys()
    assert all(errors[path] in found[path] for path in errors)


def test_path_is_that_of_the_document_in_nested_layers() -> None:
    shape = {"type": "shape", "name": "Disc", "shape": "heart", "width": -1, "height": 20}
    document = with_layer() | {"layers": [{"type": "stack", "name": "Card", "layers": [TITLE, shape]}]}
    assert errors_of(document) == {
        "layers.0.layers.1.width": "Enter at least 1 (layer “Disc”)",
        "layers.0.layers.1.shape": "Use “rectangle”, “ellipse”, “line”, “polygon”, “arrow”, “star”, “burst”, “ribbon”,"
        " “bubble” or “icon” (layer “Disc”)",
    }


def test_unknown_key_of_an_override_lists_the_known_ones() -> None:
    size = {"name": "wide", "width": 10, "height": 10, "overrides": {"Title": {"zzz": 1}}}
    message = errors_of(with_layer() | {"sizes": [size]})["sizes.0.overrides.Title.zzz"]
    assert message.startswith("Unknown key. Use one of: anchor, ")


@pytest.mark.parametrize("document", [[], 5, None, "x"])
def test_json_that_is_no_object_is_explained(document: Any) -> None:
    assert errors_of(document) == {"": "Write an object, in braces"}


def test_number_of_messages_is_bounded() -> None:
    document = with_layer() | {f"key{n}": 1 for n in range(1000)}
    assert len(errors_of(document)) == MAX_ERRORS

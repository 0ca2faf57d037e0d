from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.editing import (
    LayerNotFoundError,
    add_layer,
    add_size,
    change_canvas,
    change_fields,
    change_layer,
    duplicate_layer,
    move_layer,
    remove_layer,
    remove_size,
)
from tests.factories import small_document


def document(**more: Any) -> ImageTemplate:
    return ImageTemplate.model_validate(small_document(**more))


def names(template: ImageTemplate) -> list[str]:
    return [layer.name for layer in template.layers]


@pytest.mark.parametrize("kind", ["text", "image", "shape", "code", "rating"])
def test_a_new_layer_lies_on_top_and_inside_of_the_canvas(kind: Any) -> None:
    changed, name = add_layer(document(), kind)
    layer = changed.layers[-1]
    assert layer.name == name
    assert layer.left >= 0
    assert layer.left + layer.width <= 300
    again, other = add_layer(changed, kind)
    assert other != name
    assert names(again)[-2:] == [name, other]


def test_a_copy_lies_beside_and_has_a_name_of_its_own() -> None:
    changed, name = duplicate_layer(document(), "Title")
    assert name == "Title 2"
    assert names(changed)[names(changed).index("Title") + 1] == name
    assert duplicate_layer(changed, name)[1] == "Title 3"


def test_removing_a_layer_removes_what_formats_say_of_it() -> None:
    template = add_size(document(), "square", 200, 200)
    assert "Title" in template.sizes[0].overrides
    without = remove_layer(template, "Title")
    assert "Title" not in names(without)
    assert "Title" not in without.sizes[0].overrides


def test_layers_are_moved_and_a_place_beyond_the_ends_is_the_end() -> None:
    template = document()
    assert names(move_layer(template, "Title", 0))[0] == "Title"
    assert names(move_layer(template, "Image", 99))[-1] == "Image"


def test_renaming_takes_along_what_formats_say() -> None:
    template = add_size(document(), "square", 200, 200)
    renamed = change_layer(template, "Title", {"name": "Headline"})
    assert "Headline" in names(renamed)
    assert "Headline" in renamed.sizes[0].overrides
    assert "Title" not in renamed.sizes[0].overrides


def test_a_format_has_places_of_its_own_and_shares_the_rest() -> None:
    template = add_size(document(), "square", 200, 200)
    changed = change_layer(template, "Title", {"x": 7, "color": "#123456"}, "square")
    own, square = changed.find_layer("Title"), changed.in_size("square").find_layer("Title")
    assert own is not None
    assert square is not None
    assert (square.x, own.x) == (7, template.find_layer("Title").x)  # type: ignore[union-attr]
    assert own.model_dump()["color"] == square.model_dump()["color"] == "#123456"


def test_a_new_format_fits_what_there_is() -> None:
    template = document(canvas={"width": 300, "height": 200, "background": "#ffffff"})
    tall = add_size(template, "tall", 300, 600).in_size("tall")
    assert (tall.canvas.width, tall.canvas.height, tall.sizes) == (300, 600, ())
    for before, after in zip(template.layers, tall.layers, strict=True):
        assert (after.left + after.width / 2) / 300 == pytest.approx((before.left + before.width / 2) / 300, abs=0.01)
        assert (after.top + after.height / 2) / 600 == pytest.approx((before.top + before.height / 2) / 200, abs=0.01)
    assert remove_size(add_size(template, "tall", 300, 600), "tall") == template


def test_a_full_background_stays_full() -> None:
    layer = {"type": "shape", "name": "all", "x": 0, "y": 0, "width": 300, "height": 200, "fill": "#000000"}
    square = add_size(document(layers=[layer]), "s", 500, 500).in_size("s").layers[0]
    assert (square.left, square.top, square.width, square.height) == (0, 0, 500, 500)


def test_what_would_be_invalid_is_refused_and_nothing_changes() -> None:
    template = document()
    for change in (
        lambda: change_layer(template, "Title", {"name": "Image"}),
        lambda: change_layer(template, "Title", {"x": "left"}),
        lambda: change_canvas(template, {"width": 0}),
        lambda: change_fields(template, []),
        lambda: add_size(template, "default", 10, 10),
        lambda: add_size(template, "Not a name", 10, 10),
    ):
        with pytest.raises(ValidationError):
            change()
    assert template == document()
    for gone in (remove_layer, duplicate_layer):
        with pytest.raises(LayerNotFoundError):
            gone(template, "nobody")


@given(
    st.lists(st.tuples(st.sampled_from(["add", "copy", "remove", "move", "format"]), st.integers(0, 9)), max_size=12)
)
@settings(max_examples=40)
def test_any_row_of_changes_leaves_a_valid_document(changes: list[tuple[str, int]]) -> None:
    template = document()
    for what, number in changes:
        layers = names(template)
        if what == "add":
            template, _ = add_layer(template, ("text", "image", "shape", "code", "rating")[number % 5])  # type: ignore[arg-type]
        elif what == "format" and len(template.sizes) < 12:
            name = f"f{len(template.sizes)}-{number}"
            if template.format(name) is None:
                template = add_size(template, name, 100 + number * 50, 400)
        elif layers and what == "copy":
            template, _ = duplicate_layer(template, layers[number % len(layers)])
        elif layers and what == "remove":
            template = remove_layer(template, layers[number % len(layers)])
        elif layers and what == "move":
            template = move_layer(template, layers[number % len(layers)], number)
    assert ImageTemplate.model_validate(template.canonical()) == template
    for format in template.sizes:
        template.in_size(format.name)

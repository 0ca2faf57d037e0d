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


def document(**values: Any) -> ImageTemplate:
    return ImageTemplate.model_validate(small_document(**values))


def names(template: ImageTemplate) -> list[str]:
    return [layer.name for layer in template.layers]


@pytest.mark.parametrize("layer_type", ["text", "image", "shape", "code", "rating"])
def test_new_layer_is_on_top_and_inside_the_canvas(layer_type: Any) -> None:
    changed, name = add_layer(document(), layer_type)
    layer = changed.layers[-1]
    assert layer.name == name
    assert layer.left >= 0
    assert layer.left + layer.width <= 300
    again, other = add_layer(changed, layer_type)
    assert other != name
    assert names(again)[-2:] == [name, other]


def test_copy_is_above_the_original_with_a_unique_name() -> None:
    changed, name = duplicate_layer(document(), "Title")
    assert name == "Title 2"
    assert names(changed)[names(changed).index("Title") + 1] == name
    assert duplicate_layer(changed, name)[1] == "Title 3"


def test_removing_a_layer_removes_its_overrides() -> None:
    template = add_size(document(), "square", 200, 200)
    assert "Title" in template.sizes[0].overrides
    without = remove_layer(template, "Title")
    assert "Title" not in names(without)
    assert "Title" not in without.sizes[0].overrides


def test_moving_a_layer_beyond_the_end_moves_it_to_the_end() -> None:
    template = document()
    assert names(move_layer(template, "Title", 0))[0] == "Title"
    assert names(move_layer(template, "Image", 99))[-1] == "Image"


def test_renaming_a_layer_renames_its_overrides() -> None:
    template = add_size(document(), "square", 200, 200)
    renamed = change_layer(template, "Title", {"name": "Headline"})
    assert "Headline" in names(renamed)
    assert "Headline" in renamed.sizes[0].overrides
    assert "Title" not in renamed.sizes[0].overrides


def test_position_changes_in_one_size_and_color_in_all() -> None:
    template = add_size(document(), "square", 200, 200)
    changed = change_layer(template, "Title", {"x": 7, "color": "#123456"}, "square")
    own, square = changed.find_layer("Title"), changed.in_size("square").find_layer("Title")
    assert own is not None
    assert square is not None
    assert (square.x, own.x) == (7, template.find_layer("Title").x)  # type: ignore[union-attr]
    assert own.model_dump()["color"] == square.model_dump()["color"] == "#123456"


def test_new_size_keeps_relative_positions() -> None:
    template = document(canvas={"width": 300, "height": 200, "background": "#ffffff"})
    tall = add_size(template, "tall", 300, 600).in_size("tall")
    assert (tall.canvas.width, tall.canvas.height, tall.sizes) == (300, 600, ())
    for before, after in zip(template.layers, tall.layers, strict=True):
        assert (after.left + after.width / 2) / 300 == pytest.approx((before.left + before.width / 2) / 300, abs=0.01)
        assert (after.top + after.height / 2) / 600 == pytest.approx((before.top + before.height / 2) / 200, abs=0.01)
    assert remove_size(add_size(template, "tall", 300, 600), "tall") == template


def test_full_background_covers_a_new_size() -> None:
    layer = {"type": "shape", "name": "all", "x": 0, "y": 0, "width": 300, "height": 200, "fill": "#000000"}
    square = add_size(document(layers=[layer]), "s", 500, 500).in_size("s").layers[0]
    assert (square.left, square.top, square.width, square.height) == (0, 0, 500, 500)


def test_invalid_edit_is_rejected() -> None:
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
    for edit in (remove_layer, duplicate_layer):
        with pytest.raises(LayerNotFoundError):
            edit(template, "absent")


@given(st.lists(st.tuples(st.sampled_from(["add", "copy", "remove", "move", "size"]), st.integers(0, 9)), max_size=12))
@settings(max_examples=40)
def test_any_sequence_of_edits_results_in_a_valid_document(edits: list[tuple[str, int]]) -> None:
    template = document()
    for edit, number in edits:
        layers = names(template)
        if edit == "add":
            template, _ = add_layer(template, ("text", "image", "shape", "code", "rating")[number % 5])  # type: ignore[arg-type]
        elif edit == "size" and len(template.sizes) < 12:
            name = f"f{len(template.sizes)}-{number}"
            if template.find_size(name) is None:
                template = add_size(template, name, 100 + number * 50, 400)
        elif layers and edit == "copy":
            template, _ = duplicate_layer(template, layers[number % len(layers)])
        elif layers and edit == "remove":
            template = remove_layer(template, layers[number % len(layers)])
        elif layers and edit == "move":
            template = move_layer(template, layers[number % len(layers)], number)
    assert ImageTemplate.model_validate(template.canonical()) == template
    for size in template.sizes:
        template.in_size(size.name)

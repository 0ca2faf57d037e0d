from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.editing import (
    Box,
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
    unwrap_container,
    wrap_in_group,
    wrap_in_stack,
)
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.layers import Container, walk_layers
from tests.factories import nested_document, small_document


def document(**values: Any) -> ImageTemplate:
    return ImageTemplate.model_validate(small_document(**values))


def names(template: ImageTemplate) -> list[str]:
    return [layer.name for layer in template.layers]


@pytest.mark.parametrize("layer_type", ["text", "image", "shape", "code", "rating", "group", "stack"])
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


def test_new_size_keeps_edges_that_layers_share() -> None:
    box = {"type": "shape", "fill": "#000000", "height": 100}
    layers = [
        box | {"name": "Ground", "width": 1080, "height": 1080},
        box | {"name": "Wide", "x": 60, "y": 200, "width": 600},
        box | {"name": "Narrow", "x": 60, "y": 400, "width": 200},
        box | {"name": "Right", "x": 500, "y": 600, "width": 100},
    ]
    banner = add_size(document(canvas={"width": 1080, "height": 1080}, layers=layers), "banner", 1200, 628)
    ground, wide, narrow, right = banner.in_size("banner").layers
    assert (ground.width, ground.height) == (1200, 628)
    assert wide.left == narrow.left == round(60 * 1200 / 1080)
    assert right.left + right.width / 2 == pytest.approx(550 * 1200 / 1080, abs=1)


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


def nested() -> ImageTemplate:
    return ImageTemplate.model_validate(nested_document())


def all_names(template: ImageTemplate) -> list[str]:
    return [layer.name for layer in walk_layers(template.layers)]


def siblings(template: ImageTemplate, name: str) -> list[str]:
    container = template.find_layer(name)
    assert isinstance(container, Container)
    return [layer.name for layer in container.layers]


def boxes(template: ImageTemplate, size: str = "default") -> dict[str, Box]:
    plan = Engine().plan(template, size)
    placed = [each for top in plan.place(plan.fill_values({}), {}) for each in top.walk()]
    return {each.layer.name: (each.layer.left, each.layer.top, each.layer.width, each.layer.height) for each in placed}


@pytest.mark.parametrize(
    ("beside", "container", "expected"),
    [
        ("Card", "Card", ["Title", "Prices", "Tags", "Stars", "Shape"]),
        ("Title", "Card", ["Title", "Shape", "Prices", "Tags", "Stars"]),
        ("Star", "Stars", ["Star", "Shape"]),
        ("Badge", "Badge", ["Disc", "Label", "Shape"]),
    ],
)
def test_new_layer_is_in_the_selected_container(beside: str, container: str, expected: list[str]) -> None:
    changed, name = add_layer(nested(), "shape", beside)
    assert siblings(changed, container) == expected
    if container == "Stars":
        left, top, width, height = boxes(changed)[name]
        assert (left, top, width, height) == (*boxes(changed)["Stars"][:2], 70, 40), "no larger than its group"


def test_new_layer_beside_a_layer_of_the_canvas_is_on_top() -> None:
    assert names(add_layer(nested(), "stack", "Ground")[0])[-1] == "Stack"


def test_copy_of_a_container_has_layers_of_its_own_with_overrides() -> None:
    template = change_layer(add_size(nested(), "small", 200, 100), "Price", {"size": 9}, "small")
    changed, name = duplicate_layer(template, "Card")
    assert name == "Card 2"
    assert siblings(changed, name) == ["Title 2", "Prices 2", "Tags 2", "Stars 2"]
    small = changed.in_size("small")
    assert small.find_layer("Price 2").size == 9  # type: ignore[union-attr]
    card, copy = small.find_layer("Card"), small.find_layer("Card 2")
    assert card is not None
    assert copy is not None
    assert (copy.x, copy.width) == (card.x + 24, card.width)


def test_removing_a_container_removes_the_overrides_of_its_layers() -> None:
    template = add_size(nested(), "small", 200, 100)
    assert {"Card", "Title", "Price"} <= set(template.sizes[0].overrides)
    without = remove_layer(template, "Card")
    assert not {"Card", "Title", "Price", "Star"} & (set(all_names(without)) | set(without.sizes[0].overrides))


def test_moving_a_layer_keeps_it_in_its_container() -> None:
    assert siblings(move_layer(nested(), "Title", 99), "Card") == ["Prices", "Tags", "Stars", "Title"]
    assert siblings(move_layer(nested(), "Old price", 0), "Prices") == ["Old price", "Price"]


def test_unchanged_values_are_not_overridden() -> None:
    template = ImageTemplate.model_validate(
        {**nested().canonical(), "sizes": [{"name": "s", "width": 200, "height": 90}]}
    )
    for layer in walk_layers(template.in_size("s").layers):
        values = {key: str(getattr(layer, key)) for key in ("x", "y", "width", "height")}
        assert change_layer(template, layer.name, values, "s") == template


@pytest.mark.parametrize("name", ["Ground", "Title", "Prices", "Price", "Star", "Disc", "Label", "Note", "Corner"])
@pytest.mark.parametrize("size", ["default", "large", "flat"])
def test_wrapping_a_layer_in_a_stack_keeps_places(name: str, size: str) -> None:
    template = add_size(add_size(nested(), "large", 800, 400), "flat", 400, 100)
    wrapped, stack = wrap_in_stack(template, name)
    assert siblings(wrapped, stack) == [name]
    before, after = boxes(template, size), boxes(wrapped, size)
    assert {each: after[each] for each in before} == before


@pytest.mark.parametrize("name", ["Ground", "Star", "Disc", "Corner"])
@pytest.mark.parametrize("size", ["default", "large", "flat"])
def test_wrapping_a_layer_in_a_group_keeps_places(name: str, size: str) -> None:
    template = add_size(add_size(nested(), "large", 800, 400), "flat", 400, 100)
    wrapped, group = wrap_in_group(template, name)
    assert siblings(wrapped, group) == [name]
    before, after = boxes(template, size), boxes(wrapped, size)
    assert {each: after[each] for each in before} == before
    assert after[group] == before[name]


@pytest.mark.parametrize("name", ["Title", "Prices", "Price", "Label", "Note"])
def test_group_has_the_size_of_a_flexible_layer(name: str) -> None:
    template = nested()
    before = boxes(template)
    wrapped, _ = wrap_in_group(template, name, before[name])
    assert boxes(wrapped)[name] == before[name]


@pytest.mark.parametrize("name", ["Card", "Badge", "Prices", "Stars"])
def test_unwrapping_a_container_keeps_places(name: str) -> None:
    template = add_size(nested(), "large", 800, 400)
    unwrapped = unwrap_container(template, name, boxes(template))
    assert name not in all_names(unwrapped)
    assert name not in unwrapped.sizes[0].overrides
    if name in ("Card", "Badge"):
        before, after = boxes(template), boxes(unwrapped)
        assert after == {each: before[each] for each in after}


def test_unwrapped_layers_keep_places_in_other_sizes() -> None:
    template = add_size(nested(), "large", 800, 400)
    before, after = boxes(template, "large"), boxes(unwrap_container(template, "Badge"), "large")
    assert {name: after[name] for name in ("Disc", "Label")} == {name: before[name] for name in ("Disc", "Label")}


def test_only_a_container_can_be_unwrapped() -> None:
    with pytest.raises(LayerNotFoundError):
        unwrap_container(nested(), "Note")


def test_unwrapping_layers_that_use_an_entry_is_rejected() -> None:
    with pytest.raises(ValidationError, match="uses “index”, which only the layers in a repeated stack have"):
        unwrap_container(nested(), "Tags")


def test_new_size_scales_nested_layers() -> None:
    template = add_size(nested(), "half", 200, 100)
    whole, half = boxes(template), boxes(template, "half")
    for name in ("Ground", "Card", "Stars", "Star", "Badge"):
        # A font is not smaller than 6 pixels, and moves what is below.
        assert half[name] == pytest.approx([length / 2 for length in whole[name]], abs=5), name
    assert "Corner" not in template.sizes[0].overrides, "its pins decide"
    sized = template.in_size("half")
    assert {name: sized.find_layer("Card").model_dump()[name] for name in ("gap", "padding")} == {
        "gap": 4,
        "padding": 6,
    }  # type: ignore[union-attr]
    assert sized.find_layer("Price").size == 10  # type: ignore[union-attr]


EDITS = ["add", "copy", "remove", "move", "size", "stack", "group", "unwrap", "change"]
TYPES: Any = ("text", "image", "shape", "code", "rating", "group", "stack")


@given(
    st.sampled_from([document, nested]),
    st.lists(st.tuples(st.sampled_from(EDITS), st.integers(0, 30), st.booleans()), max_size=12),
)
@settings(max_examples=25, deadline=None)
def test_any_sequence_of_edits_results_in_a_valid_document(start: Any, edits: list[tuple[str, int, bool]]) -> None:
    template = start()
    for edit, number, is_placed in edits:
        layers = all_names(template)
        name = layers[number % len(layers)] if layers else ""
        # An edit beyond a limit, such as that of the depth, is rejected.
        with suppress(ValidationError, LayerNotFoundError):
            template = apply_edit(template, edit, name, number, boxes(template) if is_placed else {})
    assert ImageTemplate.model_validate(template.canonical()) == template
    for size in template.size_names:
        boxes(template, size)


def apply_edit(template: ImageTemplate, edit: str, name: str, number: int, placed: dict[str, Box]) -> ImageTemplate:
    match edit:
        case "add":
            return add_layer(template, TYPES[number % len(TYPES)], name)[0]
        case "copy":
            return duplicate_layer(template, name)[0]
        case "remove":
            return remove_layer(template, name)
        case "move":
            return move_layer(template, name, number)
        case "stack":
            return wrap_in_stack(template, name)[0]
        case "group":
            return wrap_in_group(template, name, placed.get(name))[0]
        case "unwrap":
            return unwrap_container(template, name, placed)
        case "change":
            size = template.size_names[-1]
            return change_layer(template, name, {"x": number, "name": f"{name[:50]}{number}"}, size)
    size = f"f{len(template.sizes)}-{number}"
    return template if template.find_size(size) else add_size(template, size, 100 + number * 50, 400)


def test_direction_of_a_stack_is_overridden_and_that_of_a_text_is_not() -> None:
    sized = add_size(nested(), "tall", 200, 600)
    stack = next(layer for layer in walk_layers(sized.layers) if layer.type == "stack")
    words = next(layer for layer in walk_layers(sized.layers) if layer.type == "text")
    turned = "column" if stack.direction == "row" else "row"
    changed = change_layer(sized, stack.name, {"direction": turned, "align": "start", "wrap": False}, "tall")
    changed = change_layer(changed, words.name, {"direction": "rtl"}, "tall")
    assert changed.sizes[0].overrides[stack.name].direction == turned
    assert changed.in_size("tall").find_layer(stack.name).direction == turned
    assert changed.find_layer(words.name).direction == "rtl"


def pinned_stack(direction: str, width: int, height: int) -> ImageTemplate:
    words = {"type": "text", "text": "Hi", "sizing": {"width": "fill", "height": "hug"}}
    layers = [{**words, "name": "Title", "size": 60}, {**words, "name": "Small print", "size": 12}]
    pins = {"horizontal": "both", "vertical": "both"}
    stack = {"type": "stack", "name": "Layout", "direction": direction, "width": width, "height": height, "padding": 40}
    canvas = {"width": width, "height": height}
    return ImageTemplate.model_validate({"canvas": canvas, "layers": [{**stack, "pins": pins, "layers": layers}]})


@pytest.mark.parametrize(
    ("direction", "size", "turned"),
    [
        ("row", (1080, 1920), "column"),
        ("row", (1080, 1080), "column"),
        ("row", (1200, 628), None),
        ("column", (1080, 1920), None),
        ("column", (728, 90), "row"),
    ],
)
def test_new_size_turns_a_stack_that_becomes_much_higher_or_wider(
    direction: str, size: tuple[int, int], turned: str | None
) -> None:
    document = pinned_stack(direction, 1200, 630)
    assert add_size(document, "new", *size).sizes[0].overrides["Layout"].direction == turned


@pytest.mark.parametrize(("size", "font", "padding"), [((600, 300), 30, 20), ((300, 600), 30, 20), ((728, 90), 18, 12)])
def test_texts_of_a_new_size_are_scaled_by_its_area(size: tuple[int, int], font: int, padding: int) -> None:
    overrides = add_size(pinned_stack("row", 1200, 600), "new", *size).sizes[0].overrides
    assert (overrides["Title"].size, overrides["Layout"].padding) == (font, padding)

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.editing import change_layer, duplicate_layer, remove_layer, wrap_in_group
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine, Plan
from cwz_web.imaging.errors import SourceMissingError
from tests.factories import jpeg

FULL = {"x": 0, "y": 0, "width": 100, "height": 80}
RED = {"type": "shape", "name": "red", "fill": "#ff0000", **FULL}
WINDOW = {"type": "shape", "name": "window", "fill": "#000000", "x": 20, "y": 10, "width": 40, "height": 30}
MASK = {"mask": {"layer": "window"}}


def template(*layers: dict[str, Any], **document: Any) -> ImageTemplate:
    fields = [{"name": "word", "label": "Word"}, {"name": "left", "label": "Left", "type": "number", "default": "20"}]
    return ImageTemplate.model_validate(
        {"canvas": {"width": 100, "height": 80}, "fields": fields, "layers": layers, **document}
    )


def plan(*layers: dict[str, Any], **document: Any) -> Plan:
    return Engine().plan(template(*layers, **document))


def load(reference: str) -> Source:
    if reference != "photo":
        raise SourceMissingError("It is missing")
    return Source(jpeg(100, 80, (255, 0, 0)), "photo")


def compose(plan: Plan, **data: str) -> Any:
    values = plan.fill_values(data)
    return plan.compose(values, plan.load_sources(values, load)).pixels[..., :3]


def extent(pixels: Any) -> tuple[int, int, int, int]:
    """Return the box around everything that is not white: left, top, right and bottom."""
    ink = (pixels != 255).any(axis=2)
    columns, rows = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


MASKED: dict[str, dict[str, Any]] = {
    "shape": RED,
    "photo": {"type": "image", "name": "p", "source": "photo", **FULL},
    "text": {"type": "text", "name": "t", "text": "x", "size": 20, "color": "#ff0000", "background": "#ff0000", **FULL},
    "group": {"type": "group", "name": "g", "layers": [RED], **FULL},
    "stack": {"type": "stack", "name": "s", "background": "#ff0000", "layers": [], **FULL},
    "code": {"type": "code", "name": "c", "content": "1", "background": "#ff0000", "color": "#ff0001", **FULL},
}


@pytest.mark.parametrize("kind", MASKED)
@pytest.mark.parametrize("is_below", [False, True])
def test_layer_is_shown_where_its_mask_is(kind: str, is_below: bool) -> None:
    layers = [MASKED[kind] | MASK, WINDOW]
    pixels = compose(plan(*(layers[::-1] if is_below else layers)))
    assert extent(pixels) == (20, 10, 60, 40)
    assert np.abs(pixels[20, 40].astype(int) - (255, 0, 0)).max() <= 1


def test_mask_of_any_type_and_its_effects_count() -> None:
    letters = {"type": "text", "name": "window", "text": "H", "size": 60, "x": 20, "y": 5, "width": 60, "height": 70}
    shown = compose(plan(RED | MASK, letters))
    drawn = compose(plan(letters | {"color": "#ff0000"}))
    assert np.abs(shown.astype(int) - drawn).max() <= 1
    turned = WINDOW | {"rotation": 45, "opacity": 0.5}
    np.testing.assert_array_equal(compose(plan(RED | MASK, turned)), compose(plan(turned | {"fill": "#ff0000"})))
    group = {"type": "group", "name": "window", **FULL, "layers": [WINDOW | {"name": "inner"}]}
    np.testing.assert_array_equal(compose(plan(RED | MASK, group)), compose(plan(WINDOW | {"fill": "#ff0000"})))


def test_luminance_is_the_brightness_of_the_mask() -> None:
    bright = {"mask": {"layer": "window", "mode": "luminance"}}
    assert (compose(plan(RED | bright, WINDOW)) == 255).all()
    white = WINDOW | {"fill": "#ffffff"}
    np.testing.assert_array_equal(compose(plan(RED | bright, white)), compose(plan(WINDOW | {"fill": "#ff0000"})))
    green = compose(plan(RED | bright, WINDOW | {"fill": "#00ff0080"}))[20, 40]
    assert tuple(green) == pytest.approx((255, 255 - 0.7152 * 128, 255 - 0.7152 * 128), abs=1)


def test_mask_applies_before_shadow_and_rotation() -> None:
    shadow = {"shadow": {"x": 10, "y": 0, "blur": 0, "color": "#0000ff"}}
    pixels = compose(plan(RED | MASK | shadow, WINDOW))
    assert extent(pixels) == (20, 10, 70, 40)
    assert tuple(pixels[20, 65]) == (0, 0, 255)
    assert extent(compose(plan(RED | MASK | {"rotation": 180}, WINDOW))) == pytest.approx((40, 40, 80, 70), abs=1)


def test_several_layers_have_one_mask() -> None:
    blue = RED | {"name": "blue", "fill": "#0000ff", "x": 40}
    pixels = compose(plan(RED | MASK, blue | MASK, WINDOW))
    assert extent(pixels) == (20, 10, 60, 40)
    assert tuple(pixels[20, 30]) == (255, 0, 0)
    assert tuple(pixels[20, 50]) == (0, 0, 255)


def test_hidden_mask_has_no_effect_and_an_empty_one_shows_nothing() -> None:
    assert extent(compose(plan(RED | MASK, WINDOW | {"hidden": True}))) == (0, 0, 100, 80)
    conditional = plan(RED | MASK, WINDOW | {"show_if": {"field": "word"}})
    assert extent(compose(conditional)) == (0, 0, 100, 80)
    assert extent(compose(conditional, word="x")) == (20, 10, 60, 40)
    text = {"type": "text", "name": "window", "text": "{{ word }}", "size": 40, **FULL}
    assert (compose(plan(RED | MASK, text)) == 255).all()


def test_mask_of_a_hidden_layer_is_not_rendered() -> None:
    hidden = template(RED | MASK | {"hidden": True}, WINDOW)
    assert (compose(Engine().plan(hidden)) == 255).all()
    assert Engine().plan(hidden).digest == Engine().plan(template()).digest
    assert Engine().plan(hidden).digest != Engine().plan(template(WINDOW)).digest


def test_mask_that_depends_on_the_row_renders_the_layer_again() -> None:
    moving = plan(RED | MASK, WINDOW | {"x": {"value": "left", "default": 0}})
    for left in (20, 35, 20):
        assert extent(compose(moving, left=str(left))) == (left, 10, left + 40, 40)
    digests = {moving.image_digest(moving.fill_values({"left": each}), {}, Output()) for each in ("20", "35")}
    assert len(digests) == 2
    assert moving.used_fields == {"left"}


def test_edited_mask_renders_the_layer_again_in_the_same_engine() -> None:
    engine = Engine()
    for layer in (RED, MASKED["group"] | {"rotation": 180}):
        before, after = (engine.plan(template(layer | MASK, WINDOW | {"width": width})) for width in (40, 50))
        assert extent(compose(before))[2] - extent(compose(before))[0] == 40
        assert extent(compose(after))[2] - extent(compose(after))[0] == 50


def test_mask_in_a_group_moves_with_it_and_follows_its_pins() -> None:
    pinned = WINDOW | {"pins": {"horizontal": "right"}}
    group = {"type": "group", "name": "g", "x": 10, "y": 5, "width": 90, "height": 75, "layers": [RED | MASK, pinned]}
    assert extent(compose(plan(group))) == (30, 15, 70, 45)
    narrow = {"name": "narrow", "width": 100, "height": 80, "overrides": {"g": {"width": 80}}}
    sized = Engine().plan(template(group, sizes=[narrow]), "narrow")
    assert extent(compose(sized)) == (20, 15, 60, 45)


def test_mask_follows_the_scale_of_the_document() -> None:
    scaled = Engine().plan(template(RED | MASK, WINDOW), scale=2)
    assert extent(compose(scaled)) == (40, 20, 120, 80)


def test_image_of_a_mask_is_loaded_and_its_findings_are_those_of_the_image() -> None:
    photo = {"type": "image", "name": "window", "source": "{{ word }}", "x": 20, "y": 10, "width": 40, "height": 30}
    masked = plan(RED | MASK, photo)
    assert extent(compose(masked, word="photo")) == (20, 10, 60, 40)
    values = masked.fill_values({"word": "absent"})
    sources = masked.load_sources(values, load)
    [finding] = masked.compose(values, sources).findings
    assert (finding.layer, [each.layer for each in masked.lint(values, sources)]) == ("window", ["window"])


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([RED | {"mask": {"layer": "absent"}}, WINDOW], "“red” has the mask “absent”, which does not exist.*: window"),
        ([RED | {"mask": {"layer": "absent"}}], "Beside the layer are: no other layers"),
        ([RED | {"mask": {"layer": "red"}}], "The layer “red” is its own mask. Use another"),
        ([RED | MASK, WINDOW | {"mask": {"layer": "red"}}], "“red” and “window” are masks of each other. Remove one"),
        (
            [RED | MASK, WINDOW | {"mask": {"layer": "third"}}, RED | {"name": "third"} | {"mask": {"layer": "red"}}],
            "“red” has the mask “window”, which has a mask itself. Put “window” and its mask into a group",
        ),
        (
            [RED | MASK, {"type": "group", "name": "g", **FULL, "layers": [WINDOW]}],
            "“red” has the mask “window”, which is in another group. Put both into the same one",
        ),
        (
            [{"type": "stack", "name": "s", **FULL, "layers": [RED | MASK, WINDOW]}],
            "“red” has the mask “window”, but is in the stack “s”. Put the layer and its mask into a group",
        ),
        ([RED | {"mask": "circle"}, WINDOW], "valid dictionary or instance of LayerMask"),
        ([MASKED["photo"] | {"mask": {"layer": "window", "mode": "red"}}, WINDOW], "'alpha' or 'luminance'"),
    ],
)
def test_unusable_mask_is_refused(layers: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        template(*layers)


def test_masks_follow_names_in_the_designer() -> None:
    photo = MASKED["photo"] | MASK
    group = {"type": "group", "name": "g", **FULL, "layers": [photo, RED | MASK, WINDOW]}

    def masks(document: ImageTemplate, name: str = "g") -> list[Any]:
        container = document.find_layer(name)
        assert container is not None
        return [layer.layer_mask and layer.layer_mask.layer for layer in container.layers]  # type: ignore[union-attr]

    document = template(group)
    assert masks(change_layer(document, "window", {"name": "frame"})) == ["frame", "frame", None]
    copy, name = duplicate_layer(document, "g")
    assert masks(copy, name) == ["window 2", "window 2", None]
    removed = remove_layer(document, "window")
    assert masks(removed) == [None, None]
    assert removed.find_layer("p").mask == "box"  # type: ignore[union-attr]
    assert masks(wrap_in_group(document, "window")[0]) == [None, None, None]

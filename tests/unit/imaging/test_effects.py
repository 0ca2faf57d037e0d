from typing import Any

import numpy as np
import pytest

from cwz_web.imaging import effects
from cwz_web.imaging.adjustments import adjust_pixels
from cwz_web.imaging.compositing import Patch, blend_patch, new_canvas
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.effects import apply_effects, cast_shadow, outline, outline_patch, rotate, shrink
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.layers import ImageLayer, ShapeLayer
from cwz_web.imaging.shapes import render_shape
from cwz_web.imaging.styles import Outline, Shadow


def square(**values: Any) -> ShapeLayer:
    defaults = {"type": "shape", "name": "s", "fill": "#ff0000", "x": 40, "y": 40, "width": 20, "height": 20}
    return ShapeLayer.model_validate(defaults | values)


def render(layer: ShapeLayer) -> np.ndarray:
    canvas = new_canvas(100, 100, (255, 255, 255))
    for patch in apply_effects(layer, [render_shape(layer)]):
        blend_patch(canvas, patch)
    return canvas[..., :3]


@pytest.mark.parametrize("position", [{"x": -300}, {"y": -300}, {"x": 300}, {"x": -300, "y": 300}])
def test_rotated_square_beside_the_canvas_is_not_visible(position: dict[str, int]) -> None:
    assert np.all(render(square(rotation=30, **position)) == 255)


def test_large_blur_is_that_of_libvips(monkeypatch: pytest.MonkeyPatch) -> None:
    patch = Patch(0, 0, (0, 0, 0), np.random.default_rng(1).integers(0, 256, (60, 90), np.uint8))
    expected = cast_shadow(patch, Shadow(blur=7.5)).mask()
    monkeypatch.setattr(effects, "MAX_KERNEL", 10)
    monkeypatch.setattr(effects, "STRIP", 1000)
    blurred = cast_shadow(patch, Shadow(blur=7.5)).mask()
    # libvips only rounds large blurs exactly; that these are equal takes seconds to see.
    assert np.abs(blurred.astype(int) - expected).max() <= 1


def test_large_images_are_computed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    colors = np.random.default_rng(1).integers(0, 256, (300, 400, 4), np.uint8)
    adjust = {"saturation": 2, "sharpen": 1, "blur": 9}
    layer = ImageLayer.model_validate(
        {"type": "image", "name": "i", "source": "", "width": 400, "height": 300, "adjust": adjust}
    )

    def compute() -> tuple[np.ndarray, np.ndarray]:
        patch = rotate(Patch(-50, 20, colors, colors[..., 3].copy()), 33, (150, 90))
        assert isinstance(patch.color, np.ndarray)
        return patch.color, adjust_pixels(layer, colors)

    at_once = compute()
    monkeypatch.setattr(effects, "MAX_PIXELS_AT_ONCE", 1)
    assert all(map(np.array_equal, compute(), at_once))


def test_rotated_pixels_keep_their_color_at_the_edges() -> None:
    patch = Patch(0, 0, np.full((40, 60, 4), 77, np.uint8), np.full((40, 60), 255, np.uint8))
    rotated = rotate(patch, 30, (30, 20))
    assert isinstance(rotated.color, np.ndarray)
    visible = rotated.color[rotated.mask() > 25][:, :3]
    assert (visible.min(), visible.max()) == (77, 77)


@pytest.mark.parametrize("solid", [True, False])
@pytest.mark.parametrize("angle", [90, 180, 270, -90])
def test_square_rotated_by_right_angles_is_unchanged(angle: float, solid: bool) -> None:
    mask = np.full((20, 20), 255, np.uint8)
    colors = np.full((20, 20, 4), 77, np.uint8)
    rotated = rotate(Patch(40, 40, (77, 77, 77) if solid else colors, mask), angle, (50, 50))
    one, other = new_canvas(100, 100, (255, 255, 255)), new_canvas(100, 100, (255, 255, 255))
    blend_patch(one, Patch(40, 40, (77, 77, 77), mask))
    blend_patch(other, rotated)
    # Bicubic sampling softens the outermost pixels.
    assert np.abs(one.astype(int) - other.astype(int))[42:58, 42:58].max() <= 2
    assert (other[..., 0] < 250).sum() == pytest.approx(400, abs=90)


def test_rotation_is_clockwise_around_the_center_of_the_box() -> None:
    flat = render(square(x=30, width=40, height=4, y=48))
    upright = render(square(x=30, width=40, height=4, y=48, rotation=90))
    assert flat[50, 35].tolist() == [255, 0, 0]
    assert upright[35, 50].tolist() == [255, 0, 0]
    assert upright[50, 35].tolist() == [255, 255, 255]
    corner = render(square(x=30, y=49, width=40, height=2, rotation=30))
    assert corner[59, 67, 1] < 200, "the right end is lower"


def test_shadow_is_below_the_layer_and_blurred() -> None:
    pixels = render(square(shadow={"color": "#000000", "x": 15, "y": 0, "blur": 2}))
    assert pixels[50, 50].tolist() == [255, 0, 0]
    assert pixels[50, 68].max() < 60
    assert 0 < pixels[50, 76].max() < 255
    assert pixels[50, 30].tolist() == [255, 255, 255]


def test_opacity_applies_to_the_layer_as_a_whole() -> None:
    """The shadow is not visible through the layer."""
    half = render(square(opacity=0.5, shadow={"color": "#000000", "x": 5, "y": 5, "blur": 0}))
    assert half[58, 58].tolist() == pytest.approx([255, 128, 128], abs=1)
    assert half[63, 63].tolist() == pytest.approx([128, 128, 128], abs=1)


def test_shadow_without_blur_has_the_shape_of_the_layer() -> None:
    mask = np.array([[0, 255], [128, 255]], np.uint8)
    shadow = cast_shadow(Patch(5, 6, (9, 9, 9), mask), Shadow(color="#102030", x=1, y=2, blur=0))
    assert (shadow.x, shadow.y, shadow.color) == (6, 8, (16, 32, 48))
    assert shadow.mask().tolist() == mask.tolist()


@pytest.mark.parametrize("width", [1, 2.5, 6, 12])
def test_outline_grows_by_its_width_without_holes(width: float) -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 18:22] = 255
    grown = outline(mask, width)
    margin = (grown.shape[0] - 40) // 2
    row = grown[margin + 20]
    covered = np.flatnonzero(row > 127)
    assert len(covered) == pytest.approx(4 + 2 * width, abs=1)
    assert (row[covered[0] : covered[-1] + 1] > 127).all()


def test_shrinking_keeps_the_aspect_ratio_and_never_enlarges() -> None:
    assert shrink(new_canvas(400, 200, (1, 2, 3)), 100).shape == (50, 100, 4)
    assert shrink(new_canvas(40, 20, (1, 2, 3)), 100).shape == (20, 40, 4)
    assert shrink(new_canvas(400, 200, (1, 2, 3)), 100)[20, 20, :3].tolist() == [1, 2, 3]


def test_first_of_several_shadows_is_on_top() -> None:
    shadows = [
        {"color": "#000000", "x": 5, "y": 0, "blur": 0},
        {"color": "#0000ff", "x": 10, "y": 0, "blur": 0},
    ]
    pixels = render(square(shadow=shadows))
    assert [pixels[50, x].tolist() for x in (58, 63, 68)] == [[255, 0, 0], [0, 0, 0], [0, 0, 255]]


@pytest.mark.parametrize("width", [2, 8, 20, 39])
def test_outline_surrounds_a_patch_evenly(width: int) -> None:
    mask = np.full((60, 60), 255, np.uint8)
    patch = outline_patch(Patch(50, 50, (1, 2, 3), mask), Outline(color="#ff0000", width=width))
    covered = np.flatnonzero(patch.mask()[80 - patch.y] > 127) + patch.x
    assert (covered[0], covered[-1]) == pytest.approx((50 - width, 109 + width), abs=1 + width / 15)
    assert patch.mask()[80 - patch.y, 80 - patch.x] == 255
    corner = patch.mask()[50 - width - patch.y, 50 - width - patch.x]
    assert corner < 128, "corners are round"


LARGE = {"type": "shape", "name": "s", "x": -1000, "y": -1000, "width": 2048, "height": 2048}


@pytest.mark.parametrize(
    "values",
    [
        {"fill": "#cc3300", "radius": 1020},
        {"fill": {"start": "#ff0000", "end": "#0000ff", "angle": 90}},
        {"fill": {"start": "#ff0000", "end": "#0000ff", "angle": 30}, "shape": "ellipse"},
        {"fill": {"type": "conic", "start": "#ff0000", "end": "#0000ff"}, "border": {"color": "#00ff00", "width": 9}},
        {"fill": "#cc3300", "shape": "burst", "corners": 30},
        {"fill": "#cc3300", "shape": "icon", "icon": "heart", "stroke_width": 75},
        {"fill": "#cc3300", "points": [[0, 0], [1, 1]], "shape": "line", "border": {"color": "#000000", "width": 60}},
    ],
)
def test_part_of_a_large_shape_looks_as_in_the_whole(values: dict[str, Any]) -> None:
    layer, window = ShapeLayer.model_validate({**LARGE, **values}), (700, 700, 120, 100)
    whole, part = render_shape(layer).cropped(*window), render_shape(layer, window)
    assert whole is not None
    assert (part.x, part.y, part.shape) == (whole.x, whole.y, whole.shape)
    # Cairo computes the edges of a clipped path with other roundings.
    assert np.abs(part.mask().astype(int) - whole.mask()).max() <= 16
    if not isinstance(part.color, tuple):
        inside = np.minimum(part.mask(), whole.mask()) == 255
        assert np.abs(part.color[inside].astype(int) - np.asarray(whole.color)[inside]).max(initial=0) <= 2


@pytest.mark.parametrize("rotation", [0, 30])
def test_huge_layer_is_rendered_where_it_can_be_seen(rotation: float) -> None:
    """Its edges and its shadow look as those of a smaller layer with the same edges in the image."""
    shadow = {"shadow": {"x": 20, "y": 10, "blur": 8, "color": "#000000"}}
    common = {"type": "shape", "name": "s", "fill": "#ff0000", "rotation": rotation, **shadow}

    def compose(side: int, scale: int) -> Any:
        layer = {**common, "x": 30 - side // 2, "y": 20 - side // 2, "width": side, "height": side}
        layers = [layer | {"x": 30 - side, "y": 20 - side} if not rotation else layer]
        document = {"canvas": {"width": 80, "height": 60}, "layers": layers}
        plan = Engine().plan(ImageTemplate.model_validate(document), scale=scale)
        return plan.compose({}, {}).pixels[..., :3].astype(int)

    # 3,800 pixels long at a scale of two; a layer of 400 pixels is rendered as a whole.
    assert np.abs(compose(3800, 2) - compose(400, 2)).max() <= 3


HUGE = {"type": "shape", "name": "s", "x": -2000, "y": -2000, "width": 4096, "height": 4096}


def test_group_of_a_huge_layer_has_its_effects() -> None:
    group = {"type": "group", "name": "g", "rotation": 45, "opacity": 0.5, "x": 0, "y": 0, "width": 80, "height": 60}
    inner = {"type": "stack", "name": "k", "background": "#ff0000", "layers": [], "shadow": {"blur": 100}, **HUGE}
    document = {"canvas": {"width": 80, "height": 60}, "layers": [group | {"layers": [inner | {"type": "stack"}]}]}
    plan = Engine().plan(ImageTemplate.model_validate(document), scale=3)
    assert (plan.compose({}, {}).pixels[..., :3] == (255, 127, 127)).all()

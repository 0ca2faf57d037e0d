from typing import Any

import numpy as np
import pytest

from cwz_web.imaging.compositing import Patch, blank, lay
from cwz_web.imaging.effects import cast_shadow, finish, outline, rotate, shrink
from cwz_web.imaging.layers import Shadow, ShapeLayer
from cwz_web.imaging.shapes import render_shape


def square(**more: Any) -> ShapeLayer:
    given = {"type": "shape", "name": "s", "fill": "#ff0000", "x": 40, "y": 40, "width": 20, "height": 20}
    return ShapeLayer.model_validate(given | more)


def rendered(layer: ShapeLayer) -> np.ndarray:
    canvas = blank(100, 100, (255, 255, 255))
    for patch in finish(layer, [render_shape(layer)]):
        lay(canvas, patch)
    return canvas[..., :3]


@pytest.mark.parametrize("solid", [True, False])
@pytest.mark.parametrize("angle", [90, 180, 270, -90])
def test_a_square_turned_by_right_angles_is_where_it_was(angle: float, solid: bool) -> None:
    mask = np.full((20, 20), 255, np.uint8)
    colors = np.full((20, 20, 4), 77, np.uint8)
    turned = rotate(Patch(40, 40, (77, 77, 77) if solid else colors, mask), angle, (50, 50))
    one, other = blank(100, 100, (255, 255, 255)), blank(100, 100, (255, 255, 255))
    lay(one, Patch(40, 40, (77, 77, 77), mask))
    lay(other, turned)
    # bicubic sampling softens the outermost pixels
    assert np.abs(one.astype(int) - other.astype(int))[42:58, 42:58].max() <= 2
    assert (other[..., 0] < 250).sum() == pytest.approx(400, abs=90)


def test_a_turn_goes_clockwise_around_the_middle_of_the_box() -> None:
    flat = rendered(square(x=30, width=40, height=4, y=48))
    upright = rendered(square(x=30, width=40, height=4, y=48, rotation=90))
    assert flat[50, 35].tolist() == [255, 0, 0]
    assert upright[35, 50].tolist() == [255, 0, 0]
    assert upright[50, 35].tolist() == [255, 255, 255]
    corner = rendered(square(x=30, y=49, width=40, height=2, rotation=30))
    assert corner[59, 67, 1] < 200, "the right end has gone down"


def test_a_shadow_lies_below_beside_and_fades() -> None:
    pixels = rendered(square(shadow={"color": "#000000", "x": 15, "y": 0, "blur": 2}))
    assert pixels[50, 50].tolist() == [255, 0, 0]
    assert pixels[50, 68].max() < 60
    assert 0 < pixels[50, 76].max() < 255
    assert pixels[50, 30].tolist() == [255, 255, 255]


def test_an_opacity_counts_for_the_layer_as_a_whole() -> None:
    """The shadow does not shine through what throws it."""
    half = rendered(square(opacity=0.5, shadow={"color": "#000000", "x": 5, "y": 5, "blur": 0}))
    assert half[58, 58].tolist() == pytest.approx([255, 128, 128], abs=1)
    assert half[63, 63].tolist() == pytest.approx([128, 128, 128], abs=1)


def test_a_shadow_without_blur_is_the_shape_itself() -> None:
    mask = np.array([[0, 255], [128, 255]], np.uint8)
    shadow = cast_shadow(Patch(5, 6, (9, 9, 9), mask), Shadow(color="#102030", x=1, y=2, blur=0))
    assert (shadow.x, shadow.y, shadow.color) == (6, 8, (16, 32, 48))
    assert shadow.mask().tolist() == mask.tolist()


@pytest.mark.parametrize("width", [1, 2.5, 6, 12])
def test_an_outline_grows_by_its_width_and_has_no_holes(width: float) -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 18:22] = 255
    grown = outline(mask, width)
    room = (grown.shape[0] - 40) // 2
    row = grown[room + 20]
    covered = np.flatnonzero(row > 127)
    assert len(covered) == pytest.approx(4 + 2 * width, abs=1)
    assert (row[covered[0] : covered[-1] + 1] > 127).all()


def test_a_thumbnail_keeps_the_shape_and_nothing_is_enlarged() -> None:
    assert shrink(blank(400, 200, (1, 2, 3)), 100).shape == (50, 100, 4)
    assert shrink(blank(40, 20, (1, 2, 3)), 100).shape == (20, 40, 4)
    assert shrink(blank(400, 200, (1, 2, 3)), 100)[20, 20, :3].tolist() == [1, 2, 3]

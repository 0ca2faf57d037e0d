from typing import Any

import numpy as np
import pytest

from cwz_web.imaging import shapes
from cwz_web.imaging.compositing import Patch, blend_patch, new_canvas
from cwz_web.imaging.layers import RatingLayer, ShapeLayer
from cwz_web.imaging.shapes import render_box, render_rating, render_shape, rounded_mask
from cwz_web.imaging.styles import Border, Gradient


def shape(**values: Any) -> np.ndarray:
    defaults = {"type": "shape", "name": "s", "fill": "#ff0000", "x": 10, "y": 10, "width": 80, "height": 80}
    return on_white(render_shape(ShapeLayer.model_validate(defaults | values)))


def on_white(patch: Patch) -> np.ndarray:
    canvas = new_canvas(100, 100, (255, 255, 255))
    blend_patch(canvas, patch)
    return canvas[..., :3]


RED, WHITE = [255, 0, 0], [255, 255, 255]


def test_types_of_shapes() -> None:
    assert shape()[11, 11].tolist() == RED
    assert shape(radius=20)[11, 11].tolist() == WHITE
    assert shape(shape="ellipse")[12, 12].tolist() == WHITE
    assert shape(shape="ellipse")[50, 50].tolist() == RED
    triangle = shape(shape="polygon", points=[[0.5, 0], [1, 1], [0, 1]])
    assert triangle[80, 50].tolist() == RED
    assert triangle[15, 15].tolist() == WHITE


def test_border_is_inside_a_box_and_centered_on_a_line() -> None:
    framed = shape(border={"color": "#0000ff", "width": 6})
    assert framed[12, 50].tolist() == [0, 0, 255]
    assert framed[8, 50].tolist() == WHITE
    line = shape(shape="line", points=[[0, 0], [1, 0]], border={"color": "#0000ff", "width": 8})
    assert line[7, 50].tolist() == [0, 0, 255], "half of a stroke is outside of the box and is not clipped"
    assert line[50, 50].tolist() == WHITE, "a line is not filled"


@pytest.mark.parametrize("radius", [0, 7, 12.34, 40, 500])
@pytest.mark.parametrize("border", [None, Border(color="#12345680", width=9), Border(color="#123456", width=3, dash=5)])
def test_large_box_has_the_pixels_of_one_that_is_rendered_at_once(
    radius: float, border: Border | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render() -> list[Any]:
        boxes = [render_box(4, 5, *size, "#33669980", radius, border) for size in ((301, 90), (40, 200))]
        return [*(array for box in boxes for array in (box.color, box.mask())), rounded_mask(301, 90, radius)]

    stretched = render()
    monkeypatch.setattr(shapes, "_stretchable_size", lambda width, height, corner: (width, height))
    assert all(map(np.array_equal, stretched, render()))


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_computed_gradient_looks_like_librsvg(angle: float) -> None:
    fill = Gradient(start="#ff0000", middle="#00ff0080", end="#0000ff", angle=angle)
    computed = on_white(render_box(10, 10, 80, 80, fill))
    rendered = on_white(render_box(10, 10, 80, 80, fill, radius=0.01))
    assert np.abs(computed.astype(int) - rendered.astype(int))[12:88, 12:88].max() <= 5


def test_radial_gradient_starts_in_the_center() -> None:
    pixels = shape(fill={"type": "radial", "start": "#ff0000", "end": "#0000ff"})
    assert pixels[50, 50, 0] > 245
    assert pixels[12, 12, 2] > 200


@pytest.mark.parametrize(("value", "filled"), [(0, 0), (2.5, 2.5), (5, 5), (99, 5), (-3, 0)])
def test_rating_fills_parts_of_stars(value: float, filled: float) -> None:
    layer = RatingLayer.model_validate(
        {"type": "rating", "name": "r", "value": "", "x": 0, "y": 0, "width": 100, "height": 20}
        | {"color": "#ff0000", "empty": "#0000ff"}
    )
    pixels = on_white(render_rating(layer, value))
    red = ((pixels[..., 0] > 200) & (pixels[..., 2] < 60)).sum()
    blue = ((pixels[..., 2] > 200) & (pixels[..., 0] < 60)).sum()
    assert red / (red + blue) == pytest.approx(filled / 5, abs=0.06)

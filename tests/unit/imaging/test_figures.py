from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cwz_web.imaging import shapes
from cwz_web.imaging.compositing import blend_patch, new_canvas
from cwz_web.imaging.figures import FIGURES, outline_points
from cwz_web.imaging.layers import ShapeLayer
from cwz_web.imaging.shapes import render_shape

RAINBOW = {"start": "#ff0000", "stops": [{"offset": 0.5, "color": "#00ff00"}], "end": "#0000ff"}


def shape(**values: Any) -> ShapeLayer:
    defaults = {"type": "shape", "name": "s", "fill": "#3355ff", "x": 10, "y": 10, "width": 80, "height": 80}
    return ShapeLayer.model_validate(defaults | values)


def render(layer: ShapeLayer) -> Any:
    canvas = new_canvas(100, 100, (255, 255, 255))
    blend_patch(canvas, render_shape(layer))
    return canvas[..., :3]


def blue(pixels: Any) -> Any:
    return pixels[..., 0] < 128


@given(
    st.sampled_from(sorted(FIGURES)),
    st.integers(3, 60),
    st.floats(0.02, 0.95),
    st.integers(1, 400),
    st.integers(1, 400),
    st.floats(0, 500),
    st.floats(0, 50),
)
def test_corners_of_any_figure_are_inside_of_its_box(
    figure: str, corners: int, depth: float, width: int, height: int, radius: float, margin: float
) -> None:
    layer = shape(shape=figure, corners=corners, depth=depth, width=width, height=height, radius=radius)
    points = outline_points(layer, margin)
    assert len(points) >= 3
    assert all(-1e-9 <= x <= 1 + 1e-9 and -1e-9 <= y <= 1 + 1e-9 for x, y in points)


@pytest.mark.parametrize("figure", sorted(FIGURES))
def test_figure_fills_its_box_and_nothing_outside(figure: str) -> None:
    covered = blue(render(shape(shape=figure)))
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    assert (rows[0], columns[0]) == pytest.approx((10, 10), abs=3)
    assert (rows[-1], columns[-1]) == pytest.approx((89, 89), abs=3)


def test_parts_of_the_figures() -> None:
    arrow = blue(render(shape(shape="arrow", depth=0.25)))
    assert arrow[50, 88]
    assert not arrow[15, 40]
    star = blue(render(shape(shape="star")))
    assert star[12:16, 50].all()
    assert not star[85, 50]
    ribbon = blue(render(shape(shape="ribbon")))
    assert not ribbon[50, 12]
    assert ribbon[12, 12]
    bubble = blue(render(shape(shape="bubble", radius=10)))
    assert bubble[84, 23]
    assert not bubble[84, 60]
    assert not bubble[10, 10]


def test_stops_of_a_gradient() -> None:
    pixels = render(shape(fill=RAINBOW | {"angle": 0}))
    assert pixels[50, 11].tolist() == pytest.approx([252, 3, 0], abs=8)
    assert pixels[50, 50].tolist() == pytest.approx([0, 252, 3], abs=8)
    tilted = render(shape(fill=RAINBOW | {"angle": 1}))
    assert np.abs(tilted.astype(int) - pixels)[20:80, 20:80].max() < 12, "librsvg and numpy agree"


def test_conic_gradient_turns_clockwise_around_the_center() -> None:
    fill = {"type": "conic", "start": "#000000", "end": "#ffffff", "angle": 0}
    pixels = render(shape(fill=fill))
    levels = [int(pixels[y, x, 0]) for x, y in ((85, 52), (50, 85), (15, 50), (50, 15))]
    assert levels == pytest.approx([4, 64, 128, 192], abs=5)


def test_conic_gradient_is_the_same_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = shape(fill=RAINBOW | {"type": "conic", "angle": 20})
    whole = render(layer)
    monkeypatch.setattr(shapes, "STRIP", 1000)
    assert np.array_equal(render(layer), whole)


def test_conic_gradient_is_inside_of_its_border() -> None:
    fill = {"type": "conic", "start": "#ff0000", "end": "#ff0000"}
    pixels = render(shape(shape="ellipse", fill=fill, border={"color": "#0000ff", "width": 6}))
    assert pixels[50, 12].tolist() == [0, 0, 255]
    assert pixels[50, 20].tolist() == [255, 0, 0]
    assert pixels[12, 12].tolist() == [255, 255, 255]


def test_border_is_dashed() -> None:
    solid, dashed = (
        blue(render(shape(fill=None, border={"color": "#0000ff", "width": 4, "dash": dash})))[12] for dash in (None, 10)
    )
    assert solid[12:88].all()
    changes = np.count_nonzero(np.diff(dashed[10:90].astype(int)))
    assert 6 <= changes <= 10


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fill": RAINBOW | {"middle": "#ffffff"}}, "either a middle or stops"),
        ({"fill": RAINBOW | {"stops": [{"offset": at, "color": "#ffffff"} for at in (0.6, 0.5)]}}, "in the order"),
        ({"fill": RAINBOW | {"stops": RAINBOW["stops"] * 7}}, "at most 6"),
        ({"corners": 61}, "less than or equal to 60"),
        ({"border": {"color": "#ffffff", "width": 1, "dash": 0}}, "greater than or equal to 1"),
    ],
)
def test_invalid_shape_says_what_would_be_right(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        shape(**values)

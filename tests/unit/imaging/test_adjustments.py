from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cwz_web.imaging.adjustments import adjust_pixels, fade_mask
from cwz_web.imaging.layers import ImageLayer
from cwz_web.imaging.styles import Fade

factors = st.floats(0, 4, allow_nan=False)


def layer(**values: Any) -> ImageLayer:
    defaults = {"type": "image", "name": "i", "source": "s", "x": 0, "y": 0, "width": 8, "height": 6}
    return ImageLayer.model_validate(defaults | values)


def random_pixels(seed: int = 1, height: int = 6, width: int = 8) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)


@given(factors, factors, factors, st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_colors_follow_the_formulas_of_filter_effects(
    saturation: float, brightness: float, contrast: float, seed: int
) -> None:
    pixels = random_pixels(seed)
    adjust = {"saturation": saturation, "brightness": brightness, "contrast": contrast}
    adjusted = adjust_pixels(layer(adjust=adjust), pixels)
    colors = pixels[..., :3] / 255
    gray = (colors @ [0.2126, 0.7152, 0.0722])[..., None]
    expected = ((gray + (colors - gray) * saturation) * brightness - 0.5) * contrast + 0.5
    assert np.abs(adjusted[..., :3] - expected.clip(0, 1) * 255).max() <= 1
    assert np.array_equal(adjusted[..., 3], pixels[..., 3])


def test_duotone_maps_black_and_white_to_its_colors() -> None:
    pixels = np.array([[[0, 0, 0, 255], [255, 255, 255, 255], [128, 128, 128, 7]]], np.uint8)
    toned = adjust_pixels(layer(duotone={"dark": "#102030", "light": "#f0e0d0"}), pixels)
    assert toned.tolist() == [[[16, 32, 48, 255], [240, 224, 208, 255], [128, 128, 128, 7]]]


@pytest.mark.parametrize("sigma", [0.5, 3, 12, 100])
def test_blur_keeps_the_size_and_does_not_mix_hidden_colors(sigma: float) -> None:
    pixels = np.zeros((50, 60, 4), np.uint8)
    pixels[..., 0] = 255  # transparent red
    pixels[20:30, 20:40] = (0, 0, 200, 255)
    blurred = adjust_pixels(layer(adjust={"blur": sigma}), pixels)
    assert blurred.shape == pixels.shape
    visible = blurred[blurred[..., 3] > 16]
    assert visible[:, 0].max(initial=0) < 20


def test_sharpening_steepens_an_edge() -> None:
    pixels = np.full((20, 20, 4), 255, np.uint8)
    pixels[..., :3] = np.linspace(80, 170, 20).astype(np.uint8)[:, None] // 30 * 30
    sharp = adjust_pixels(layer(adjust={"sharpen": 1}), pixels)
    assert np.ptp(sharp[..., 0].astype(int)) > np.ptp(pixels[..., 0].astype(int))


def test_fade_runs_from_its_start_to_its_end() -> None:
    down = fade_mask(2, 10, Fade(angle=90, start=0.2, end=0.8))
    assert down[:, 0].tolist() == [255, 255, 234, 191, 149, 106, 64, 21, 0, 0]
    assert np.array_equal(fade_mask(10, 2, Fade(angle=180)), fade_mask(10, 2, Fade(angle=0))[:, ::-1])
    corner = fade_mask(30, 20, Fade(angle=45))
    assert corner[0, 0] > 245
    assert corner[-1, -1] < 10


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fade": {"start": 0.7, "end": 0.2}}, "starts before it ends"),
        ({"mask": "polygon", "mask_points": [[0, 0], [1, 1]]}, "3 or more mask_points"),
        ({"adjust": {"brightness": 5}}, "less than or equal to 4"),
        ({"adjust": {"glow": 1}}, "Extra inputs"),
        ({"shadow": [{}] * 5}, "at most 4"),
        ({"shadow": []}, "at least 1"),
    ],
)
def test_invalid_adjustment_says_what_would_be_right(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        layer(**values)

import io

import numpy as np
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cwz_web.imaging.encoders import Format, Output, encode


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_png_is_lossless_for_two_decoders(width: int, height: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    data = encode(pixels, Output(format=Format.PNG))
    assert np.array_equal(pyvips.Image.new_from_buffer(data, "").numpy(), pixels[..., :3])
    image = Image.open(io.BytesIO(data))
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), pixels[..., :3])


@pytest.mark.parametrize("format", [Format.JPEG, Format.WEBP, Format.AVIF])
def test_higher_quality_is_more_accurate_and_larger(format: Format) -> None:
    bands = [pyvips.Image.perlin(200, 150, cell_size=32, seed=seed) * 100 + 128 for seed in (1, 2, 3)]
    rgb = bands[0].bandjoin(bands[1:]).cast("uchar").numpy()
    pixels = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])

    def error(data: bytes) -> float:
        decoded = pyvips.Image.new_from_buffer(data, "").numpy()[..., :3]
        return float(np.abs(decoded.astype(int) - rgb.astype(int)).mean())

    low, high = (encode(pixels, Output(format=format, quality=quality)) for quality in (30, 95))
    assert len(low) < len(high)
    assert error(high) < error(low) < 20

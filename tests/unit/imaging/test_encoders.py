import io
from functools import cache
from typing import Any

import numpy as np
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from cwz_web.imaging.encoders import Format, Output, encode
from cwz_web.imaging.errors import ImageTooLargeError


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


def photo(width: int = 300, height: int = 200) -> np.ndarray:
    bands = [pyvips.Image.perlin(width, height, cell_size=32, seed=seed) * 100 + 128 for seed in (1, 2, 3)]
    rgb = bands[0].bandjoin(bands[1:]).cast("uchar").numpy()
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


def chroma_of(jpeg: bytes) -> str:
    subsampling: str = pyvips.Image.new_from_buffer(jpeg, "").get("jpeg-chroma-subsample")
    return subsampling


@pytest.mark.parametrize("more", [{}, {"progressive": True}, {"optimize": True}], ids=str)
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "4:2:0"),
        ({"quality": 89}, "4:2:0"),
        ({"quality": 90}, "4:4:4"),
        ({"quality": 95, "chroma": "420"}, "4:2:0"),
        ({"quality": 30, "chroma": "444"}, "4:4:4"),
    ],
)
def test_chroma_depends_on_the_quality_or_the_option(
    options: dict[str, Any], more: dict[str, Any], expected: str
) -> None:
    assert chroma_of(encode(photo(), Output(**options, **more))) == expected


@pytest.mark.parametrize("format", [Format.WEBP, Format.AVIF])
def test_lossless_formats_keep_every_pixel(format: Format) -> None:
    pixels = photo(64, 48)
    decoded = pyvips.Image.new_from_buffer(encode(pixels, Output(format=format, lossless=True)), "").numpy()
    assert np.abs(decoded[..., :3].astype(int) - pixels[..., :3].astype(int)).max() <= (
        0 if format is Format.WEBP else 2
    )


@pytest.mark.parametrize(("option", "formats"), [
    ("lossless", [Format.JPEG, Format.PNG]),
    ("progressive", [Format.PNG, Format.WEBP, Format.AVIF]),
    ("optimize", [Format.PNG, Format.WEBP, Format.AVIF]),
    ("palette", [Format.JPEG, Format.WEBP, Format.AVIF]),
])  # fmt: skip
def test_option_that_a_format_does_not_have_has_no_effect(option: str, formats: list[Format]) -> None:
    """The outputs of a run share their options, whatever their formats are."""
    for format in formats:
        plain, with_option = (encode(photo(), Output(format=format, **each)) for each in ({}, {option: True}))
        assert plain == with_option, format


def test_optimized_and_progressive_jpeg_are_smaller() -> None:
    plain, optimized, progressive = (
        encode(photo(), Output(**options)) for options in ({}, {"optimize": True}, {"progressive": True})
    )
    assert max(len(progressive), len(optimized)) < len(plain)
    one, other = (pyvips.Image.new_from_buffer(each, "").numpy().astype(int) for each in (plain, optimized))
    assert np.abs(one - other).mean() < 2
    assert pyvips.Image.new_from_buffer(progressive, "").get("jpeg-multiscan")


@pytest.mark.parametrize("format", list(Format))
def test_file_has_at_most_max_bytes(format: Format) -> None:
    full = encode(photo(), Output(format=format, quality=95))
    palette = len(encode(photo(), Output(format=format, palette=True)))
    limit = palette if format is Format.PNG else len(full) * 2 // 3
    limited = encode(photo(), Output(format=format, quality=95, max_bytes=limit))
    assert limit / 4 < len(limited) <= limit
    assert encode(photo(), Output(format=format, quality=95, max_bytes=len(full))) == full


@cache
def optimized_size(quality: int) -> int:
    return len(encode(photo(), Output(quality=quality, optimize=True)))


@given(st.integers(2000, 60_000))
@settings(max_examples=15, deadline=None)
def test_quality_is_the_highest_that_fits(max_bytes: int) -> None:
    try:
        size = len(encode(photo(), Output(quality=95, max_bytes=max_bytes)))
    except ImageTooLargeError:
        assert optimized_size(10) > max_bytes
        return
    assert size <= max_bytes
    assert size in {*map(optimized_size, range(10, 96)), len(encode(photo(), Output(quality=95)))}


def test_file_that_cannot_be_small_enough_is_rejected() -> None:
    for output in (Output(max_bytes=1000), Output(format=Format.WEBP, lossless=True, max_bytes=1000)):
        with pytest.raises(ImageTooLargeError, match="the limit is 1 KB"):
            encode(photo(), output)


def translucent() -> np.ndarray:
    """Return pixels that are red and half transparent on the left, and blue and opaque on the right."""
    pixels = np.empty((40, 60, 4), np.uint8)
    pixels[:, :30], pixels[:, 30:] = (255, 0, 0, 128), (0, 0, 255, 255)
    return pixels


@pytest.mark.parametrize("palette", [False, True])
@pytest.mark.parametrize("format", [Format.PNG, Format.WEBP, Format.AVIF])
def test_transparency_is_kept(format: Format, palette: bool) -> None:
    data = encode(translucent(), Output(format=format, palette=palette, quality=95), has_alpha=True)
    pixels = pyvips.Image.new_from_buffer(data, "").numpy().astype(int)
    assert np.abs(pixels[20, 10] - (255, 0, 0, 128)).max() <= 4
    assert np.abs(pixels[20, 50] - (0, 0, 255, 255)).max() <= 4


def test_transparent_jpeg_is_on_white() -> None:
    pixels = pyvips.Image.new_from_buffer(encode(translucent(), Output(quality=100), has_alpha=True), "").numpy()
    assert pixels[20, 10].tolist() == pytest.approx([255, 127, 127], abs=3)


def test_png_with_alpha_is_lossless() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 11, 4), np.uint8)
    image = Image.open(io.BytesIO(encode(pixels, Output(format=Format.PNG, color_profile=True), has_alpha=True)))
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("format", Format)
@pytest.mark.parametrize("more", [{}, {"palette": True, "optimize": True}], ids=str)
def test_color_profile_is_embedded_when_asked_for(format: Format, more: dict[str, Any]) -> None:
    plain, tagged = (
        Image.open(io.BytesIO(encode(photo(), Output(format=format, color_profile=wanted, **more))))
        for wanted in (False, True)
    )
    assert "icc_profile" not in plain.info or not plain.info["icc_profile"]
    profile = ImageCms.ImageCmsProfile(io.BytesIO(tagged.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_new_options_keep_the_canonical_output() -> None:
    """The output is part of the digest that names an image."""
    assert "color_profile" not in Output().model_dump()

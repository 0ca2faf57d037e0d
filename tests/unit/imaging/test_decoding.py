import resource
import struct
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging import decoding
from cwz_web.imaging.decoding import MAX_BYTES, fit_image
from cwz_web.imaging.errors import InvalidImageError
from cwz_web.imaging.file_types import name_file_type
from cwz_web.imaging.layers import ImageLayer
from tests.factories import jpeg
from tests.installation import ROOT

IMAGES = ROOT / "tests" / "data" / "images"


def layer(**values: Any) -> ImageLayer:
    defaults = {"type": "image", "name": "i", "source": "s", "x": 0, "y": 0, "width": 100, "height": 100}
    return ImageLayer.model_validate(defaults | values)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG of a few hundred bytes whose header has any size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_decompression_bomb_is_rejected_without_decoding() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidImageError, match="60000 x 60000"):
        fit_image(layer(), png_header(60_000, 60_000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>'


@pytest.mark.parametrize(
    "data",
    [b"not an image", SVG, b"%PDF-1.4\n%%EOF", pyvips.Image.black(4, 4).tiffsave_buffer(), b"\x89PNG\r\n\x1a\n"],
    ids=["text", "svg", "pdf", "tiff", "truncated"],
)
def test_unsupported_format_is_rejected(data: bytes) -> None:
    with pytest.raises(InvalidImageError, match="Use JPEG, PNG, WebP, GIF or AVIF"):
        fit_image(layer(), data)


def test_too_large_file_is_rejected() -> None:
    with pytest.raises(InvalidImageError, match="larger than 20 MB"):
        fit_image(layer(), jpeg() + bytes(MAX_BYTES))


def test_empty_file_is_rejected() -> None:
    with pytest.raises(InvalidImageError, match="empty"):
        fit_image(layer(), b"")


def test_jpeg_with_many_scans_is_rejected() -> None:
    """Each scan of a progressive JPEG is decoded separately."""
    valid = pyvips.Image.black(64, 64, bands=3).copy(interpretation="srgb").jpegsave_buffer(interlace=True)
    assert fit_image(layer(), valid).patch.color.shape[:2] == (100, 100)
    with pytest.raises(InvalidImageError, match="more than 20 scans"):
        fit_image(layer(), valid[:-2] + b"\xff\xda\0\x02" * 30 + valid[-2:])


def test_image_of_200_megapixels_is_rejected_without_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise AssertionError("the image must not be decoded")

    monkeypatch.setattr(decoding.pyvips.Image, "copy_memory", fail)
    monkeypatch.setattr(decoding.simplejpeg, "decode_jpeg", fail)
    with pytest.raises(InvalidImageError, match="20000 x 10000"):
        fit_image(layer(), png_header(20_000, 10_000))


def test_decoding_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "DECODE_SECONDS", -1.0)
    large = pyvips.Image.gaussnoise(2000, 2000).cast("uchar").pngsave_buffer(compression=1)
    with pytest.raises(InvalidImageError, match="too long"):
        fit_image(layer(), large)


@pytest.mark.parametrize("name", ["png16a", "greya16"])
@pytest.mark.parametrize("fit", ["cover", "contain", "fill"])
def test_16_bit_image_with_alpha_looks_like_its_8_bit_version(name: str, fit: str) -> None:
    data = (IMAGES / f"{name}.png").read_bytes()
    deep = pyvips.Image.new_from_buffer(data, "")
    shallow = (deep / 257).cast("uchar").copy(interpretation="srgb" if deep.bands == 4 else "b-w")
    one, other = (fit_image(layer(fit=fit), each).patch for each in (data, shallow.pngsave_buffer()))
    assert np.abs(one.color.astype(int) - other.color.astype(int)).max() <= 2
    assert np.abs(one.mask().astype(int) - other.mask().astype(int)).max() <= 2
    assert one.color[..., :3].mean() < 250


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_with_more_than_8_bits(bits: int) -> None:
    gray = (pyvips.Image.black(80, 80, bands=4) + [30_000, 30_000, 30_000, 50_000]).cast("ushort")
    data = gray.copy(interpretation="rgb16").heifsave_buffer(compression="av1", bitdepth=bits)
    patch = fit_image(layer(), data).patch
    assert abs(int(patch.color[50, 50, 0]) - 117) <= 2
    assert abs(int(patch.mask()[50, 50]) - 195) <= 2


def test_jpeg_without_its_last_bytes_is_decoded() -> None:
    data = (IMAGES / "trunc_eoi.jpg").read_bytes()
    cut_off, whole = fit_image(layer(), data), fit_image(layer(), data + b"\xff\xd9")
    assert (cut_off.is_cut_off, whole.is_cut_off) == (True, False)
    assert np.abs(cut_off.patch.color.astype(int) - whole.patch.color.astype(int)).mean() < 3


def photo(**options: Any) -> bytes:
    """Return the JPEG of a photo of a product: noise on white."""
    noise = pyvips.Image.gaussnoise(160, 90, mean=128, sigma=40, seed=1).cast("uchar")
    white = noise.embed(40, 20, 240, 160, extend="white").copy(interpretation="b-w").colourspace("srgb")
    data: bytes = white.jpegsave_buffer(Q=80, **options)
    return data


@pytest.mark.parametrize("options", [{}, {"interlace": True}, {"profile": "srgb"}], ids=str)
@pytest.mark.parametrize("cut", [1, 2, 3, 12, 40])
def test_jpeg_can_lack_a_part_of_its_white_bottom(options: dict[str, Any], cut: int) -> None:
    assert fit_image(layer(), photo(**options)[:-cut]).is_cut_off


def test_jpeg_without_its_lower_part_is_rejected() -> None:
    data = photo()
    with pytest.raises(InvalidImageError, match=r"cut off: the lower \d\d % are missing"):
        fit_image(layer(), data[: len(data) // 2])


@given(cut=st.integers(min_value=1, max_value=20_000))
def test_jpeg_of_any_length_is_decoded_or_rejected(cut: int) -> None:
    with suppress(InvalidImageError):
        assert fit_image(layer(), photo()[:-cut]).is_cut_off


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ((IMAGES / "photo.heic").read_bytes(), "a HEIC image"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "a HEIC image"),
        ((IMAGES / "photo.jxl").read_bytes(), "a JPEG XL image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0", "a JPEG XL image"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isom", "a video"),
        (b"II*\0" + bytes(100), "a TIFF image"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><p>Not found", "a web page"),
        (b"<html>", "a web page"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "an SVG image"),
        (b"<Error><Code>AccessDenied</Code></Error>", "an XML document"),
        (b' {"error": 1}', "a JSON document"),
        (b"%PDF-1.7", "a PDF document"),
    ],
)
def test_file_that_is_not_supported_is_named(data: bytes, name: str) -> None:
    with pytest.raises(InvalidImageError, match=f"The file is {name}, which is not supported. Use JPEG"):
        fit_image(layer(), data)


@given(st.binary(max_size=200))
def test_any_bytes_have_at_most_one_name(data: bytes) -> None:
    assert name_file_type(data) is None or name_file_type(data).startswith(("a ", "an "))


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.85])
@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_damaged_image_is_rejected_with_a_message(format: str, cut: float) -> None:
    image = pyvips.Image.gaussnoise(300, 200).cast("uchar").copy(interpretation="b-w")
    data = image.write_to_buffer(f".{format}")
    with pytest.raises(InvalidImageError, match=r"damaged|not a supported image|cut off"):
        fit_image(layer(), data[: int(len(data) * cut)])


def test_jpeg_with_and_without_color_profile_look_the_same() -> None:
    """The former is decoded by libvips, the latter directly by libjpeg-turbo."""
    bands = [pyvips.Image.perlin(400, 300, cell_size=64, seed=seed) * 100 + 128 for seed in (1, 2, 3)]
    image = bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb")
    plain = fit_image(layer(), image.jpegsave_buffer(Q=95))
    profiled = fit_image(layer(), image.jpegsave_buffer(Q=95, profile="srgb"))
    difference = plain.patch.color[..., :3].astype(int) - profiled.patch.color[..., :3].astype(int)
    assert np.abs(difference).mean() < 3


def test_cmyk_is_converted_to_rgb() -> None:
    cmyk = (pyvips.Image.black(60, 60) + [0, 255, 255, 0]).cast("uchar").copy(interpretation="cmyk")
    fitted = fit_image(layer(), cmyk.jpegsave_buffer(Q=95))
    red, green, blue = fitted.patch.color[30, 30, :3]
    assert red > 180
    assert green < 90
    assert blue < 90


def test_first_frame_of_an_animation_is_used() -> None:
    red, blue = (pyvips.Image.black(40, 40) + color for color in ([250, 0, 0], [0, 0, 250]))
    animation = red.join(blue, "vertical").cast("uchar").copy(interpretation="srgb")
    animation.set_type(pyvips.GValue.gint_type, "page-height", 40)
    fitted = fit_image(layer(), animation.gifsave_buffer())
    assert fitted.patch.shape == (100, 100)
    assert fitted.patch.color[50, 50, 0] > 240

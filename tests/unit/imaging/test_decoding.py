import resource
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import pyvips

from cwz_web.imaging import decoding
from cwz_web.imaging.decoding import MAX_BYTES, fit_image
from cwz_web.imaging.errors import InvalidImageError
from cwz_web.imaging.layers import ImageLayer
from tests.factories import jpeg


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


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_damaged_image_is_rejected_with_a_message(format: str, cut: float) -> None:
    image = pyvips.Image.gaussnoise(300, 200).cast("uchar").copy(interpretation="b-w")
    data = image.write_to_buffer(f".{format}")
    with pytest.raises(InvalidImageError, match=r"damaged|not a supported image"):
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

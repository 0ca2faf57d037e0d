import resource
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import pyvips

from cwz_web.imaging import decoding
from cwz_web.imaging.decoding import MAX_BYTES, FittedImages, Source, check_image
from cwz_web.imaging.errors import InvalidImageError
from cwz_web.imaging.layers import ImageLayer
from tests.factories import jpeg


def layer(**more: Any) -> ImageLayer:
    given = {"type": "image", "name": "i", "source": "s", "x": 0, "y": 0, "width": 100, "height": 100}
    return ImageLayer.model_validate(given | more)


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that says it has that many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_a_image_is_measured() -> None:
    assert check_image(jpeg(60, 40)) == (60, 40)


def test_a_bomb_is_refused_by_its_header_in_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidImageError, match="60000 x 60000"):
        check_image(png_header(60_000, 60_000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>'


@pytest.mark.parametrize(
    "data",
    [b"not an image", SVG, b"%PDF-1.4\n%%EOF", pyvips.Image.black(4, 4).tiffsave_buffer(), b"\x89PNG\r\n\x1a\n"],
    ids=["text", "svg", "pdf", "tiff", "truncated"],
)
def test_anything_but_the_known_formats_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImageError, match="use JPEG, PNG, WebP, GIF or AVIF"):
        check_image(data)


def test_a_file_that_is_too_large_is_not_looked_at() -> None:
    with pytest.raises(InvalidImageError, match="larger than 20 MB"):
        check_image(jpeg() + bytes(MAX_BYTES))


def test_an_empty_file_says_so() -> None:
    with pytest.raises(InvalidImageError, match="empty"):
        check_image(b"")


def test_a_jpeg_of_many_scans_is_refused() -> None:
    """Each scan of a progressive JPEG is a decode of its own."""
    honest = pyvips.Image.black(64, 64, bands=3).copy(interpretation="srgb").jpegsave_buffer(interlace=True)
    assert check_image(honest) == (64, 64)
    with pytest.raises(InvalidImageError, match="more than 20 steps"):
        check_image(honest[:-2] + b"\xff\xda\0\x02" * 30 + honest[-2:])


def test_a_image_of_200_megapixels_is_refused_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object, **options: object) -> None:
        raise AssertionError("it must not be decoded")

    monkeypatch.setattr(decoding.pyvips.Image, "copy_memory", never)
    monkeypatch.setattr(decoding.simplejpeg, "decode_jpeg", never)
    with pytest.raises(InvalidImageError, match="20000 x 10000"):
        FittedImages(1000).fit(layer(), Source.of(png_header(20_000, 10_000)))


def test_decoding_ends_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "DECODE_SECONDS", -1.0)
    large = pyvips.Image.gaussnoise(2000, 2000).cast("uchar").pngsave_buffer(compression=1)
    with pytest.raises(InvalidImageError, match="too long"):
        FittedImages(1000).fit(layer(), Source.of(large))


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_a_damaged_image_is_refused_in_words(kind: str, cut: float) -> None:
    image = pyvips.Image.gaussnoise(300, 200).cast("uchar").copy(interpretation="b-w")
    data = image.write_to_buffer(f".{kind}")
    with pytest.raises(InvalidImageError, match=r"damaged|can be read"):
        FittedImages(1000).fit(layer(), Source.of(data[: int(len(data) * cut)]))


def test_both_ways_to_decode_a_jpeg_agree() -> None:
    """An ordinary one takes the quick way; one with a profile goes through libvips."""
    bands = [pyvips.Image.perlin(400, 300, cell_size=64, seed=seed) * 100 + 128 for seed in (1, 2, 3)]
    image = bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb")
    plain = FittedImages(1000).fit(layer(), Source.of(image.jpegsave_buffer(Q=95)))
    profiled = FittedImages(1000).fit(layer(), Source.of(image.jpegsave_buffer(Q=95, profile="srgb")))
    difference = plain.patch.color[..., :3].astype(int) - profiled.patch.color[..., :3].astype(int)
    assert np.abs(difference).mean() < 3


def test_a_image_in_inks_becomes_one_in_light() -> None:
    inks = (pyvips.Image.black(60, 60) + [0, 255, 255, 0]).cast("uchar").copy(interpretation="cmyk")
    fitted = FittedImages(1000).fit(layer(), Source.of(inks.jpegsave_buffer(Q=95)))
    red, green, blue = fitted.patch.color[30, 30, :3]
    assert red > 180
    assert green < 90
    assert blue < 90


def test_only_the_first_frame_of_a_moving_image_is_rendered() -> None:
    red, blue = (pyvips.Image.black(40, 40) + color for color in ([250, 0, 0], [0, 0, 250]))
    film = red.join(blue, "vertical").cast("uchar").copy(interpretation="srgb")
    film.set_type(pyvips.GValue.gint_type, "page-height", 40)
    fitted = FittedImages(1000).fit(layer(), Source.of(film.gifsave_buffer()))
    assert fitted.patch.shape == (100, 100)
    assert fitted.patch.color[50, 50, 0] > 240


def test_a_decoded_image_is_kept_for_every_layer_that_shows_it_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, source = FittedImages(10_000_000), Source.of(jpeg())
    first = kept.fit(layer(), source)
    assert kept.fit(layer(x=50, radius=9, opacity=0.5), source) is first
    assert kept.fit(layer(width=50), source) is not first

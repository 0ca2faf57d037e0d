"""Uploaded images without metadata: same pixels, no position, nothing behind the image."""

from typing import Any

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.errors import InvalidImageError
from cwz_web.imaging.image_uploads import prepare_image
from cwz_web.imaging.metadata import strip_metadata
from tests.factories import jpeg

GPS = "52/1 31/1 12/1 (52, 31, 12, Rational, 3 components, 24 bytes)"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>the photographer</x:xmpmeta>"
SUFFIXES = [".jpg", ".png", ".webp", ".avif"]


def photo(suffix: str, orientation: int = 1) -> bytes:
    """Return an image of 64 x 48 with metadata, red at its left edge."""
    pixels = pyvips.Image.xyz(64, 48)[0] * [3, 2, 1] + [40, 60, 80]
    image = pixels.cast("uchar").copy(interpretation="srgb").draw_rect([250, 0, 0], 0, 0, 16, 48, fill=True)
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd3-GPSLatitude", GPS)
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image.set_type(pyvips.GValue.blob_type, "xmp-data", XMP)
    data: bytes = image.write_to_buffer(suffix)
    assert "exif-ifd3-GPSLatitude" in load(data).get_fields()
    return data


def load(data: bytes) -> Any:
    return pyvips.Image.new_from_buffer(data, "")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_position_and_author_are_removed_from_the_same_pixels(suffix: str) -> None:
    data = photo(suffix)
    stripped = strip_metadata(data)
    assert not [name for name in load(stripped).get_fields() if "GPS" in name]
    assert b"the photographer" not in stripped
    assert load(stripped).numpy().tobytes() == load(data).numpy().tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_rotated_photo_is_stored_upright(suffix: str) -> None:
    stored = load(prepare_image(photo(suffix, orientation=6)))
    assert (stored.width, stored.height) == (48, 64)
    assert not stored.get_typeof("orientation") or stored.get("orientation") == 1
    assert stored(24, 4)[0] > 200  # the left edge is on top now
    assert stored(24, 60)[0] < 240


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_what_follows_an_image_is_removed(suffix: str) -> None:
    page = b"<script>alert(1)</script>PK\x03\x04"
    stripped = strip_metadata(photo(suffix) + page)
    assert page not in stripped
    assert load(stripped).width == 64


def test_comments_are_removed() -> None:
    data = jpeg()
    comment = b"\xff\xfe" + (2 + 28).to_bytes(2) + b"<?php system($_GET['x']); ?>"
    assert strip_metadata(data[:2] + comment + data[2:]) == strip_metadata(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff\xfe\x00\x02" * 150_000 + jpeg()[2:],
        photo(".png")[:33] + (b"\0\0\0\0tEXt" + b"\0\0\0\0") * 150_000 + photo(".png")[33:],
    ],
    ids=["jpeg", "png"],
)
def test_number_of_parts_is_limited(data: bytes) -> None:
    with pytest.raises(InvalidImageError, match="more than 100,000 parts"):
        strip_metadata(data)


def test_fill_bytes_are_skipped_at_once() -> None:
    assert strip_metadata(b"\xff\xd8" + b"\xff" * 8_000_000 + jpeg()[2:]) == strip_metadata(jpeg())
    assert strip_metadata(b"\xff\xd8" + b"\xff\xd0" * 4_000_000 + jpeg()[2:]) == strip_metadata(jpeg())


def test_color_profile_is_kept() -> None:
    image = load(jpeg()).icc_export(output_profile="p3")
    stripped = load(strip_metadata(image.jpegsave_buffer()))
    assert stripped.get_typeof("icc-profile-data")


def test_gif_is_stored_as_png() -> None:
    stored = prepare_image(load(jpeg()).gifsave_buffer())
    assert stored.startswith(b"\x89PNG")
    assert load(stored).width == 60


@given(st.data())
def test_damaged_file_is_rejected_or_stripped(data: st.DataObject) -> None:
    file = bytearray(photo(data.draw(st.sampled_from(SUFFIXES))))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(12, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(file[: data.draw(st.integers(13, len(file)))])
    try:
        stripped = strip_metadata(cut)
    except InvalidImageError:
        return
    assert len(stripped) <= len(cut)

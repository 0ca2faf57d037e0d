import resource
import struct
import zlib

import pytest
import pyvips

from cwz_web.imaging.errors import BadPicture
from cwz_web.imaging.pictures import MAX_BYTES, check_picture
from tests.factories import jpeg


def bomb(side: int = 60_000) -> bytes:
    """A PNG of a few hundred bytes that says it has 3,600 million pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_a_picture_is_measured() -> None:
    assert check_picture(jpeg(60, 40)) == (60, 40)


def test_a_bomb_is_refused_by_its_header_in_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadPicture, match="60000 x 60000"):
        check_picture(bomb())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>'


@pytest.mark.parametrize(
    "data",
    [b"not a picture", SVG, b"%PDF-1.4\n%%EOF", pyvips.Image.black(4, 4).tiffsave_buffer(), b"\x89PNG\r\n\x1a\n"],
    ids=["text", "svg", "pdf", "tiff", "truncated"],
)
def test_anything_but_the_known_formats_is_refused(data: bytes) -> None:
    with pytest.raises(BadPicture, match="use JPEG, PNG, WebP, GIF or AVIF"):
        check_picture(data)


def test_a_file_that_is_too_large_is_not_looked_at() -> None:
    with pytest.raises(BadPicture, match="larger than 20 MB"):
        check_picture(jpeg() + bytes(MAX_BYTES))

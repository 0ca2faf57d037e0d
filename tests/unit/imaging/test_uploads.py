"""Files as they are stored: recognized by their content, checked, and with a thumbnail."""

import io
import zipfile

import pytest
import pyvips

from cwz_web.imaging.errors import ImagingError
from cwz_web.imaging.fonts import MAX_FONT_BYTES
from cwz_web.imaging.image_uploads import MAX_UPLOAD_BYTES
from cwz_web.imaging.uploads import THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH, UploadKind, prepare_upload
from tests.factories import FONT, jpeg, small_font
from tests.unit.imaging.test_decoding import png_header

LOGO = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 2"><rect width="4" height="2" fill="#f00"/></svg>'


def archive(prefix: bytes) -> bytes:
    """Return a ZIP archive behind other bytes, which is valid as an archive all the same."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("index.html", "<script>alert(1)</script>")
    return prefix + file.getvalue()


def test_image_is_stored_with_a_thumbnail() -> None:
    prepared = prepare_upload(jpeg(1200, 300))
    assert (prepared.kind, prepared.content_type, prepared.width, prepared.height) == ("image", "image/jpeg", 1200, 300)
    thumbnail = pyvips.Image.new_from_buffer(prepared.thumbnail, "")
    assert (thumbnail.width, thumbnail.height) == (THUMBNAIL_WIDTH, 100)


@pytest.mark.parametrize(("width", "height"), [(16, 2000), (2000, 16), (1, 9000), (5, 5)])
def test_thumbnail_fits_into_its_box(width: int, height: int) -> None:
    thumbnail = pyvips.Image.new_from_buffer(prepare_upload(jpeg(width, height)).thumbnail, "")
    assert thumbnail.width <= THUMBNAIL_WIDTH
    assert thumbnail.height <= THUMBNAIL_HEIGHT


def test_svg_is_stored_as_png() -> None:
    prepared = prepare_upload(LOGO)
    assert (prepared.content_type, prepared.width, prepared.height) == ("image/png", 2048, 1024)


def test_font_is_stored_with_its_name_and_letters() -> None:
    prepared = prepare_upload(small_font())
    assert (prepared.kind, prepared.title, prepared.content_type) == (UploadKind.FONT, "Caveat Bold", "font/ttf")
    assert prepared.source.data == small_font()
    thumbnail = pyvips.Image.new_from_buffer(prepared.thumbnail, "")
    assert thumbnail.min() < 40
    assert thumbnail.max() > 250


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "The file is empty"),
        (b"%PDF-1.7", "a PDF document, which is not supported. Use JPEG, PNG"),
        (b"<html><svg xmlns='http://www.w3.org/2000/svg'/></html>", "a web page"),
        (b"GIF89a<script>alert(1)</script>", "not a supported image|damaged"),
        (b"\xff\xd8\xff" + b"<script>alert(1)</script>", "not a supported image|damaged"),
        (png_header(60_000, 60_000), "60000 x 60000 pixels; the limit is 50 million"),
        (bytes(4) + b"ftypheic" + bytes(40), "a HEIC image"),
        (archive(b""), "a ZIP archive"),
        (b"MZ" + bytes(100), "The file type is not supported"),
        (b"<svg " + bytes(MAX_UPLOAD_BYTES), "larger than 16 MB"),
        (FONT.read_bytes()[:900], "The font is damaged"),
        (b"\0\1\0\0" + bytes(MAX_FONT_BYTES), "larger than 10 MB"),
        (b"wOFF" + bytes(100), "The file type is not supported"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value[:20],
)
def test_other_file_is_rejected(data: bytes, message: str) -> None:
    with pytest.raises(ImagingError, match=message):
        prepare_upload(data)


def test_polyglot_loses_its_second_meaning() -> None:
    stored = prepare_upload(archive(jpeg())).source.data
    assert not zipfile.is_zipfile(io.BytesIO(stored))
    assert stored.endswith(b"\xff\xd9")

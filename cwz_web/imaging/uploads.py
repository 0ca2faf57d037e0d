"""Uploads: files that customers use in their templates, as they are stored, and their thumbnails."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from html import escape

import pyvips
from fontTools.ttLib import TTFont

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.decoding import Source, read_image_size, thumbnail
from cwz_web.imaging.errors import InvalidFontError, InvalidImageError
from cwz_web.imaging.file_types import is_svg, may_be_decoded, name_file_type
from cwz_web.imaging.fonts import check_font, use_font
from cwz_web.imaging.image_uploads import prepare_image
from cwz_web.imaging.woff2 import WOFF2

# Twice the sides at which a page shows a thumbnail, for high-density screens.
THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT = 400, 300
SAMPLE = "Aa"
SAMPLE_SIZE = 140
SUPPORTED = gettext_lazy("JPEG, PNG, WebP, AVIF, GIF and SVG images, and TTF, OTF and WOFF2 fonts")
FONT_TYPES = {b"\0\1\0\0": "font/ttf", b"true": "font/ttf", b"OTTO": "font/otf", WOFF2: "font/woff2"}
# Of fonts that were uploaded before their type was recorded. They have no thumbnail.
FORMER_FONT = "font/sfnt"
# By content type: the extension of a download, and the name that people read.
EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/avif": "avif",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "font/woff2": "woff2",
    FORMER_FONT: "ttf",
}
TYPE_LABELS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WebP",
    "image/avif": "AVIF",
    "font/ttf": "TTF",
    "font/otf": "OTF",
    "font/woff2": "WOFF2",
    FORMER_FONT: "Font",
}


class UploadKind(StrEnum):
    """What an upload is used as."""

    IMAGE = "image"
    FONT = "font"


@dataclass(frozen=True)
class PreparedUpload:
    """A file as it is stored.

    Attributes:
        title: the name that the file itself contains, as fonts do; empty for images.
        width: of an image, in pixels; None for a font.
        height: likewise.
        thumbnail: as WebP.
    """

    kind: UploadKind
    source: Source
    content_type: str
    title: str
    width: int | None
    height: int | None
    thumbnail: bytes


def prepare_upload(data: bytes) -> PreparedUpload:
    """Check a file, and return it as it is stored. Its name and its declared type say nothing about its content.

    Raises:
        InvalidImageError: the file is empty, not supported, or an image that is damaged or too large.
        InvalidFontError: the file is a font that is damaged or too large.
    """
    if not data:
        raise InvalidImageError(gettext_lazy("The file is empty"))
    if data[:4] in FONT_TYPES:
        return _prepare_font(data)
    if not (may_be_decoded(data) or is_svg(data)):
        name = name_file_type(data)
        raise InvalidImageError(
            gettext_lazy("The file is %(type)s, which is not supported. Use %(formats)s", type=name, formats=SUPPORTED)
            if name
            else gettext_lazy("The file type is not supported. Use %(formats)s", formats=SUPPORTED)
        )
    stored = prepare_image(data)
    width, height = read_image_size(stored)
    return PreparedUpload(
        UploadKind.IMAGE,
        Source.of(stored),
        _image_type(stored),
        "",
        width,
        height,
        thumbnail(stored, THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT),
    )


def _prepare_font(data: bytes) -> PreparedUpload:
    family, style = check_font(data)
    source = Source.of(data)
    title = f"{family[:100]} {style[:100]}"
    return PreparedUpload(
        UploadKind.FONT, source, FONT_TYPES[data[:4]], title, None, None, _font_thumbnail(data, source.digest)
    )


def _image_type(data: bytes) -> str:
    """Return the content type of an image that `prepare_image` has returned."""
    if data.startswith(b"\xff\xd8"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if data.startswith(b"RIFF") else "image/avif"


def _font_thumbnail(data: bytes, digest: str) -> bytes:
    """Return two letters of a font, black on white; the font is prepared as for rendering."""
    try:
        family, path = use_font(data, digest)
        with TTFont(path, lazy=True) as font:
            text = _sample(font.getBestCmap())
        mask = pyvips.Image.text(text, font=f"{family} {SAMPLE_SIZE}", fontfile=str(path), dpi=72)
        width, height = min(mask.width, THUMBNAIL_WIDTH), min(mask.height, THUMBNAIL_HEIGHT)
        letters = mask.crop((mask.width - width) // 2, (mask.height - height) // 2, width, height)
        page = letters.gravity("centre", THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT).invert()
        encoded: bytes = page.copy(interpretation="b-w").webpsave_buffer(Q=80, keep="none")
    except InvalidFontError:
        raise
    except Exception:  # fontTools raises errors of many types for a damaged table
        raise InvalidFontError(gettext_lazy("The font is damaged and cannot be read")) from None
    return encoded


def _sample(characters: Mapping[int, str]) -> str:
    """Return the letters that show a font, as Pango markup: its first two if it is not Latin."""
    if all(ord(each) in characters for each in SAMPLE):
        return SAMPLE
    visible = [chr(code) for code in sorted(characters) if chr(code).isprintable() and not chr(code).isspace()]
    return escape("".join(visible[:2]), quote=False)

"""Removal of metadata from uploaded images: EXIF with GPS positions, XMP, IPTC, comments, and data behind the image.

JPEG, PNG and WebP files are copied part by part, those of an allow-list only, so that no pixel changes. In AVIF files,
the metadata is overwritten in place, since other boxes refer to positions in the file.

Formats: ITU-T T.81 (JPEG), PNG third edition (W3C), RFC 9649 (WebP).
"""

import re

import pyvips

from cwz_web.i18n import gettext_lazy, number_lazy
from cwz_web.imaging.errors import InvalidImageError

# Segments or chunks of a file: more than any encoder writes.
MAX_PARTS = 100_000
_SOS, _EOI, _COMMENT = 0xDA, 0xD9, 0xFE
# Application segments that say how pixels are to be read, by their marker: JFIF, an ICC profile, Adobe's color model.
_APPLICATIONS = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
_FIRST_APPLICATION, _LAST_APPLICATION = 0xE0, 0xEF
# The next segment of a JPEG. Decoders skip fill bytes and markers without a length (TEM, RST, SOI).
_segment = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")
# The end of a scan: a marker that is neither a stuffed 0xff nor a restart.
_marker = re.compile(rb"\xff(?=[^\x00\xff\xd0-\xd7])")
_PNG_CHUNKS = frozenset(b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP bKGD pHYs acTL fcTL fdAT".split())
_WEBP_CHUNKS = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})
# The flags of VP8X that announce EXIF and XMP.
_WEBP_METADATA_FLAGS = 0x08 | 0x04
_AVIF_METADATA = ("exif-data", "xmp-data")
_EXIF_PREFIX = b"Exif\0\0"


def strip_metadata(data: bytes) -> bytes:
    """Return a JPEG, PNG, WebP or AVIF file without metadata, with the same pixels.

    Raises:
        InvalidImageError: the file is damaged.
    """
    if data.startswith(b"\xff\xd8"):
        return _strip_jpeg(data)
    if data.startswith(b"\x89PNG"):
        return _strip_png(data)
    if data.startswith(b"RIFF"):
        return _strip_webp(data)
    return _strip_avif(data)


def _strip_jpeg(data: bytes) -> bytes:
    parts, at = [data[:2]], 2
    for _ in range(MAX_PARTS):
        found = _segment.search(data, at)
        if found is None:
            return b"".join(parts)  # cut off, which the decoder judges
        at, marker = found.start(), data[found.start() + 1]
        if marker == _EOI:
            return b"".join([*parts, found[0]])
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == _SOS:
            following = _marker.search(data, end)
            end = following.start() if following else len(data)
        if _is_kept(marker, data[at + 4 : end]):
            parts.append(data[at:end])
        at = end
    raise _too_many_parts()


def _is_kept(marker: int, content: bytes) -> bool:
    if _FIRST_APPLICATION <= marker <= _LAST_APPLICATION:
        wanted = _APPLICATIONS.get(marker)
        return wanted is not None and content.startswith(wanted)
    return marker != _COMMENT


def _strip_png(data: bytes) -> bytes:
    parts, at = [data[:8]], 8
    for _ in range(MAX_PARTS):
        if at + 12 > len(data):
            raise _damaged()
        end = at + 12 + int.from_bytes(data[at : at + 4])
        name = data[at + 4 : at + 8]
        if name in _PNG_CHUNKS:
            parts.append(data[at:end])
        if name == b"IEND":
            return b"".join(parts)
        at = end
    raise _too_many_parts()


def _strip_webp(data: bytes) -> bytes:
    parts, at = [b"WEBP"], 12
    last = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    for _ in range(MAX_PARTS):
        if at + 8 > last:
            body = b"".join(parts)
            return b"RIFF" + len(body).to_bytes(4, "little") + body
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + length + length % 2
        chunk = data[at:end]
        if name == b"VP8X" and len(chunk) > 8:
            chunk = chunk[:8] + bytes([chunk[8] & ~_WEBP_METADATA_FLAGS]) + chunk[9:]
        if name in _WEBP_CHUNKS:
            parts.append(chunk)
        at = end
    raise _too_many_parts()


def _strip_avif(data: bytes) -> bytes:
    for metadata in _read_avif_metadata(data):
        if metadata not in data:
            raise InvalidImageError(
                gettext_lazy("The metadata of the AVIF image cannot be removed. Save it without metadata")
            )
        data = data.replace(metadata, bytes(len(metadata)))
    if any(each.strip(b"\0") for each in _read_avif_metadata(data)):
        raise InvalidImageError(
            gettext_lazy("The metadata of the AVIF image cannot be removed. Save it without metadata")
        )
    return data


def _read_avif_metadata(data: bytes) -> list[bytes]:
    """Return the metadata of an AVIF file, as it is in the file."""
    try:
        header = pyvips.Image.new_from_buffer(data, "", access="sequential")
        found = [bytes(header.get(name)) for name in _AVIF_METADATA if header.get_typeof(name)]
    except pyvips.Error:
        raise _damaged() from None
    # libvips writes this prefix before the metadata of some files.
    return [each.removeprefix(_EXIF_PREFIX) for each in found if each.removeprefix(_EXIF_PREFIX)]


def _damaged() -> InvalidImageError:
    return InvalidImageError(gettext_lazy("The image is damaged and cannot be decoded"))


def _too_many_parts() -> InvalidImageError:
    return InvalidImageError(
        gettext_lazy("The image consists of more than %(max)s parts. Save it again", max=number_lazy(MAX_PARTS))
    )

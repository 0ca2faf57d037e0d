"""The size of a WOFF2 font (W3C WOFF File Format 2.0): fontTools decompresses it without a limit."""

import struct

import brotli

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.errors import InvalidFontError

WOFF2 = b"wOF2"
HEADER_BYTES = 48
# The index of the tag that follows as four bytes, and the transforms that change the length of a table.
_ARBITRARY_TAG = 63
_GLYF, _LOCA, _NULL_TRANSFORM = 10, 11, 3
_PART = 64 * 1024


def check_decompressed_size(data: bytes, limit: int) -> None:
    """Decompress a font to see how large it is.

    Args:
        data: the file.
        limit: in bytes.

    Raises:
        InvalidFontError: the font is larger, or damaged.
    """
    try:
        [tables], [compressed] = struct.unpack_from(">H", data, 12), struct.unpack_from(">L", data, 20)
        start = end_of_directory(data, tables)
        decompressor, size = brotli.Decompressor(), 0
        part = decompressor.process(data[start : start + compressed], output_buffer_limit=_PART)
        while part:
            size += len(part)
            if size > limit:
                raise InvalidFontError(
                    gettext_lazy("The font is larger than %(max)s MB when decompressed", max=limit // 1024**2)
                )
            part = decompressor.process(b"", output_buffer_limit=_PART)
    except (struct.error, IndexError, brotli.error):
        raise InvalidFontError(gettext_lazy("The font is damaged and cannot be read")) from None


def end_of_directory(data: bytes, tables: int) -> int:
    """Return where the table directory (section 4.1) ends and the compressed data begins."""
    position = HEADER_BYTES
    for _ in range(tables):
        flags = data[position]
        index, transform = flags & 63, flags >> 6
        position = _skip_number(data, position + (5 if index == _ARBITRARY_TAG else 1))
        # For glyf and loca, the null transform is number 3, for others number 0.
        is_transformed = transform != (_NULL_TRANSFORM if index in (_GLYF, _LOCA) else 0)
        if is_transformed:
            position = _skip_number(data, position)
    return position


def _skip_number(data: bytes, position: int) -> int:
    """Return the position after a number of the type UIntBase128."""
    while data[position] & 0x80:
        position += 1
    return position + 1

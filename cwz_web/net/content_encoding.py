"""Decoding of compressed response bodies (RFC 9110, section 8.4): some servers send them unasked."""

import zlib
from collections.abc import Iterable, Iterator

from cwz_web.i18n import gettext_lazy

GZIP = frozenset({"gzip", "x-gzip"})
ENCODINGS = GZIP | {"deflate"}
GZIP_SIGNATURE = b"\x1f\x8b"
# zlib's codes for a gzip stream (RFC 1952), a zlib stream (RFC 1950) and a bare deflate stream (RFC 1951).
_GZIP_BITS, _ZLIB_BITS, _BARE_BITS = 31, 15, -15
# The largest part that is decoded at once: a small body can expand a thousandfold.
MAX_PART = 64 * 1024


class ContentEncodingError(Exception):
    """The body is compressed in a way that is not supported, or is damaged. The message is a sentence for users."""


def decode_body(parts: Iterable[bytes], encoding: str | None) -> Iterator[bytes]:
    """Decode a body in parts of at most MAX_PART bytes; a body that is not compressed passes unchanged.

    Args:
        parts: the body as it arrives.
        encoding: the value of the header Content-Encoding.

    Raises:
        ContentEncodingError: the encoding is not supported, or the body is damaged.
        EOFError: the body ends too early.
    """
    name = (encoding or "identity").strip().lower()
    if name in ("", "identity"):
        yield from parts
        return
    if name not in ENCODINGS:
        raise ContentEncodingError(
            gettext_lazy("The server uses the compression “%(name)s”, which is not supported", name=name[:20])
        )
    body = _join_first_bytes(parts)
    first = next(body, b"")
    if name in GZIP and not first.startswith(GZIP_SIGNATURE):
        # The header is wrong.
        yield first
        yield from body
        return
    yield from _inflate(first, body, _GZIP_BITS if name in GZIP else _bits_of_deflate(first))


def _join_first_bytes(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the parts, the first one with at least two bytes if there are as many."""
    start = b""
    remaining = iter(parts)
    for part in remaining:
        start += part
        if len(start) >= len(GZIP_SIGNATURE):
            break
    yield start
    yield from remaining


def _bits_of_deflate(first: bytes) -> int:
    """Return the code for what servers send as `deflate`: a zlib stream, or wrongly a bare deflate stream."""
    is_zlib = len(first) > 1 and first[0] & 15 == zlib.DEFLATED and int.from_bytes(first[:2]) % 31 == 0
    return _ZLIB_BITS if is_zlib else _BARE_BITS


def _inflate(data: bytes, parts: Iterator[bytes], bits: int) -> Iterator[bytes]:
    """Decompress a body, which may have several gzip members one after another."""
    decompressor = zlib.decompressobj(bits)
    try:
        while not decompressor.eof:
            decompressed = decompressor.decompress(data, MAX_PART)
            yield decompressed
            data = decompressor.unconsumed_tail
            if decompressor.eof and bits == _GZIP_BITS:
                data = decompressor.unused_data
                while len(data) < len(GZIP_SIGNATURE) and (part := next(parts, None)) is not None:
                    data += part
                if data.startswith(GZIP_SIGNATURE):
                    decompressor = zlib.decompressobj(bits)
            elif not decompressor.eof and not data and len(decompressed) < MAX_PART:
                data = _next_part(parts)
    except zlib.error:
        raise ContentEncodingError(gettext_lazy("The compressed file is damaged")) from None


def _next_part(parts: Iterator[bytes]) -> bytes:
    part = next(parts, None)
    if part is None:
        raise EOFError("The compressed file ends too early")
    return part

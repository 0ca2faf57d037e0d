"""File types by the first bytes of a file: which ones are decoded, and the names of others for error messages."""

import re

from cwz_web.i18n import gettext_lazy

# The compatible brands of ISO base media files (ISO/IEC 14496-12), as registered at mp4ra.org.
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}
_VIDEO_BRANDS = {b"isom", b"iso2", b"mp41", b"mp42", b"qt  ", b"M4V ", b"3gp4", b"3gp5", b"dash"}
MAX_BRANDS = 16
SEARCHED_BYTES = 4096
# JPEG, PNG, GIF, WebP, and ISO base media files such as AVIF.
_image = re.compile(rb"\xff\xd8|\x89PNG\r\n\x1a\n|GIF8|RIFF....WEBP|\0\0..ftyp", re.DOTALL)

_SIGNATURES = {
    b"\xff\x0a": gettext_lazy("a JPEG XL image"),
    b"\0\0\0\x0cJXL \r\n\x87\n": gettext_lazy("a JPEG XL image"),
    b"\0\0\0\x0cjP  \r\n\x87\n": gettext_lazy("a JPEG 2000 image"),
    b"\xff\x4f\xff\x51": gettext_lazy("a JPEG 2000 image"),
    b"II*\0": gettext_lazy("a TIFF image"),
    b"MM\0*": gettext_lazy("a TIFF image"),
    b"BM": gettext_lazy("a BMP image"),
    b"8BPS": gettext_lazy("a Photoshop document"),
    b"\0\0\1\0": gettext_lazy("an icon (ICO)"),
    b"%PDF-": gettext_lazy("a PDF document"),
    b"%!PS": gettext_lazy("a PostScript document"),
    b"PK\3\4": gettext_lazy("a ZIP archive"),
    b"\x1f\x8b": gettext_lazy("a gzip archive"),
    b"\x1a\x45\xdf\xa3": gettext_lazy("a WebM or Matroska video"),
}
_markup = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*<")
_svg, _html = (
    re.compile(rb"<(?:\w{1,20}:)?svg[\s>/]", re.IGNORECASE),
    re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE),
)


def may_be_decoded(data: bytes) -> bool:
    """Return whether the file begins like an image of a supported format. None of them can be XML or compressed XML."""
    return bool(_image.match(data)) and not is_heic(data)


def is_svg(data: bytes) -> bool:
    """Return whether the file looks like an SVG image, not like a web page with one."""
    head = data[:SEARCHED_BYTES]
    svg, html = _svg.search(head), _html.search(head)
    return bool(_markup.match(head) and svg and not (html and html.start() < svg.start()))


def is_heic(data: bytes) -> bool:
    """Return whether the file is an image compressed with HEVC (ISO/IEC 23008-12), as iPhones save photos."""
    brands = _brands(data)
    return not brands.isdisjoint(_HEIC_BRANDS) and brands.isdisjoint(_AVIF_BRANDS)


def name_file_type(data: bytes) -> str | None:
    """Return the type of a file that is not rendered, with its article, such as “a HEIC image”; None if unknown."""
    if is_heic(data):
        return gettext_lazy("a HEIC image")
    if not _brands(data).isdisjoint(_VIDEO_BRANDS):
        return gettext_lazy("a video")
    for signature, name in _SIGNATURES.items():
        if data.startswith(signature):
            return name
    if is_svg(data):
        return gettext_lazy("an SVG image")
    head = data[:SEARCHED_BYTES]
    if _markup.match(head):
        return gettext_lazy("a web page") if _html.search(head) else gettext_lazy("an XML document")
    return gettext_lazy("a JSON document") if head.lstrip()[:1] in (b"{", b"[") else None


def _brands(data: bytes) -> frozenset[bytes]:
    """Return the brands of an ISO base media file; none for any other file."""
    if data[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(data[:4]), 16 + 4 * MAX_BRANDS)
    return frozenset([data[8:12], *(data[at : at + 4] for at in range(16, end, 4))])

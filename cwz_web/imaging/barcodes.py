"""QR codes (ISO/IEC 18004, by segno) and barcodes (Code 128, EAN and UPC, by python-barcode) as pixels."""

import re

import barcode
import numpy as np
import segno
from barcode.errors import BarcodeError

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.code_checks import RenderedCode
from cwz_web.imaging.compositing import Patch, Pixels, parse_color
from cwz_web.imaging.effects import from_pixels
from cwz_web.imaging.errors import InvalidBarcodeError
from cwz_web.imaging.layers import CodeLayer

QUIET_ZONE = 4
MAX_CONTENT_LENGTH = 1000

# The number of digits of a GS1 identification number, with its check digit, by its symbol.
GS1_DIGITS = {"ean8": 8, "upca": 12, "ean13": 13}

# Full-width characters and their ASCII characters. Other forms of digits, such as superscripts, mean something else.
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}

_digits = re.compile(r"\A[0-9]+\Z")
_separators = re.compile(r"[\s\u2010-\u2015\u2212-]+")


def qr_png(text: str, module: int = 6) -> bytes:
    """Render a black QR code on white as PNG.

    Args:
        text: the content.
        module: the side length of a module in pixels.
    """
    modules = np.pad(_qr_modules(text, "M"), QUIET_ZONE)
    pixels = np.kron((1 - modules) * 255, np.ones((module, module), np.uint8)).astype(np.uint8)
    png: bytes = from_pixels(pixels).pngsave_buffer(compression=9, bitdepth=1)
    return png


def render_code(layer: CodeLayer, content: str) -> RenderedCode | None:
    """Render a layer's code, centered in its box, without the background.

    A module is a whole number of pixels, so that all edges are sharp.

    Returns:
        The code with its dark modules, or None for an empty content.

    Raises:
        InvalidBarcodeError: the code cannot encode the content, or the box is too small for it.
    """
    content = content.strip()
    if not content:
        return None
    if len(content) > MAX_CONTENT_LENGTH:
        raise InvalidBarcodeError(
            gettext_lazy(
                "the content has %(number)s characters; the limit is %(max)s",
                number=len(content),
                max=MAX_CONTENT_LENGTH,
            )
        )
    modules = _modules(layer, content)
    width, height = layer.width - 2 * layer.padding, layer.height - 2 * layer.padding
    module = min(width, height if layer.code == "qr" else width) // modules.shape[1]
    if module < 1 or height < 1:
        side = modules.shape[1] + 2 * layer.padding
        raise InvalidBarcodeError(gettext_lazy("the box is too small; it needs at least %(side)s pixels", side=side))
    module_height = module if layer.code == "qr" else height
    mask = np.kron(modules, np.ones((module_height, module), np.uint8)) * np.uint8(255)
    left, top = layer.left + (layer.width - mask.shape[1]) // 2, layer.top + (layer.height - mask.shape[0]) // 2
    color, opacity = parse_color(layer.color)
    patch = Patch(left, top, color, mask).faded(opacity)
    return RenderedCode(layer.name, patch, module, layer.code == "qr", bool(layer.rotation % 360))


def _modules(layer: CodeLayer, content: str) -> Pixels:
    """Return the modules as an array of ones (dark) and zeros."""
    match layer.code:
        case "qr":
            return _qr_modules(content, layer.correction)
        case "code128":
            try:
                return _bars(barcode.get("code128", content.translate(FULL_WIDTH)))
            except BarcodeError:
                raise InvalidBarcodeError(
                    gettext_lazy("“%(content)s” has characters other than ASCII", content=content[:40])
                ) from None
        case _:
            symbol, number = _gs1_number(layer.code, content)
            return _bars(barcode.get(symbol, number))


def is_upca(content: str) -> bool:
    """Return whether the content is a UPC-A number. It could also be an EAN-13 number without its check digit."""
    digits = _compact(content)
    return len(digits) == GS1_DIGITS["upca"] and bool(_digits.match(digits)) and has_check_digit(digits)


def _compact(content: str) -> str:
    """Return a number without blanks and dashes, and with ASCII digits for full-width ones."""
    return _separators.sub("", content.translate(FULL_WIDTH))


def _gs1_number(code: str, content: str) -> tuple[str, str]:
    """Return the symbol and the digits of a GS1 number (GS1 General Specifications, section 2.1), with its check digit.

    A GTIN has the symbol of its length. A UPC-A number is an EAN-13 number with a leading zero, and has the same bars.
    """
    digits = _compact(content)
    if code == "gtin":
        digits = digits.removeprefix("0") if len(digits) == 14 else digits
        code = next((symbol for symbol, length in GS1_DIGITS.items() if length == len(digits)), code)
    length = GS1_DIGITS.get(code)
    if length is None:
        raise InvalidBarcodeError(
            gettext_lazy(
                "“%(content)s” does not have 8, 12 or 13 digits; leading zeros may be lost", content=content[:40]
            )
        )
    if code == "ean13" and is_upca(content):
        return code, f"0{digits}"
    if len(digits) not in (length - 1, length) or not _digits.match(digits):
        raise InvalidBarcodeError(
            gettext_lazy(
                "“%(content)s” does not have %(one)s or %(other)s digits",
                content=content[:40],
                one=length - 1,
                other=length,
            )
        )
    if len(digits) == length and not has_check_digit(digits):
        raise InvalidBarcodeError(gettext_lazy("the check digit of %(digits)s is wrong", digits=digits))
    return code, digits


def has_check_digit(digits: str) -> bool:
    """Return whether the last digit is the check digit of the others (GS1 General Specifications, section 7.9)."""
    weights = (3 if position % 2 else 1 for position in range(len(digits)))
    return sum(int(digit) * weight for digit, weight in zip(reversed(digits), weights, strict=True)) % 10 == 0


def _bars(code: barcode.base.Barcode) -> Pixels:
    [bars] = code.build()
    return np.array([[bar != "0" for bar in bars]], np.uint8)


def _qr_modules(text: str, correction: str) -> Pixels:
    try:
        matrix = segno.make_qr(text, error=correction).matrix
    except segno.DataOverflowError:
        raise InvalidBarcodeError(gettext_lazy("the content is too long for a QR code")) from None
    return np.array([list(row) for row in matrix], np.uint8)

"""QR codes (ISO/IEC 18004) by segno and barcodes (Code 128, EAN-13) by python-barcode: the bars, rendered as pixels."""

import re

import barcode
import numpy as np
import segno
from barcode.errors import BarcodeError

from cwz_web.imaging.compositing import Patch, Pixels, parse_color
from cwz_web.imaging.effects import from_pixels
from cwz_web.imaging.errors import InvalidBarcodeError
from cwz_web.imaging.layers import CodeLayer

QUIET_ZONE = 4
MAX_CONTENT = 1000

_ean_digits = re.compile(r"\A[0-9]{12,13}\Z")


def qr_png(text: str, module: int = 6) -> bytes:
    """A black-on-white QR code as a PNG.

    Arguments:
        text: what it says.
        module: the side of one of its squares, in pixels.
    """
    framed = np.pad(_qr_modules(text, "M"), QUIET_ZONE)
    pixels = np.kron((1 - framed) * 255, np.ones((module, module), np.uint8)).astype(np.uint8)
    png: bytes = from_pixels(pixels).pngsave_buffer(compression=9, bitdepth=1)
    return png


def render_code(layer: CodeLayer, content: str) -> Patch | None:
    """The bars of the layer's code, in the middle of its box; None for an empty content.

    A module is a whole number of pixels, so that every edge is sharp. Raises InvalidBarcodeError for what the code cannot hold,
    and for a box that is too small for it.
    """
    content = content.strip()
    if not content:
        return None
    if len(content) > MAX_CONTENT:
        raise InvalidBarcodeError(f"it has {len(content)} characters, and {MAX_CONTENT} are the most")
    modules = _modules(layer, content)
    width, height = layer.width - 2 * layer.padding, layer.height - 2 * layer.padding
    module = min(width, height if layer.code == "qr" else width) // modules.shape[1]
    if module < 1 or height < 1:
        raise InvalidBarcodeError(f"the box is too small: {modules.shape[1] + 2 * layer.padding} pixels are the least")
    tall = module if layer.code == "qr" else height
    mask = np.kron(modules, np.ones((tall, module), np.uint8)) * np.uint8(255)
    left, top = layer.left + (layer.width - mask.shape[1]) // 2, layer.top + (layer.height - mask.shape[0]) // 2
    color, opacity = parse_color(layer.color)
    return Patch(left, top, color, mask).faded(opacity)


def _modules(layer: CodeLayer, content: str) -> Pixels:
    """The code as an array of ones (dark) and zeros, one element a module."""
    match layer.code:
        case "qr":
            return _qr_modules(content, layer.correction)
        case "ean13":
            return _bars(_ean13(content))
        case "code128":
            try:
                return _bars(barcode.get("code128", content))
            except BarcodeError:
                raise InvalidBarcodeError(
                    f"“{content[:40]}” holds more than letters, digits and signs of ASCII"
                ) from None


def _ean13(content: str) -> barcode.base.Barcode:
    if not _ean_digits.match(content):
        raise InvalidBarcodeError(f"“{content[:40]}” is not 12 or 13 digits")
    code = barcode.get("ean13", content)
    if len(content) == 13 and code.get_fullcode() != content:
        raise InvalidBarcodeError(f"the last digit of {content} does not fit the others")
    return code


def _bars(code: barcode.base.Barcode) -> Pixels:
    [bars] = code.build()
    return np.array([[bar != "0" for bar in bars]], np.uint8)


def _qr_modules(text: str, correction: str) -> Pixels:
    try:
        matrix = segno.make_qr(text, error=correction).matrix
    except segno.DataOverflowError:
        raise InvalidBarcodeError("it is too long for a QR code") from None
    return np.array([list(row) for row in matrix], np.uint8)

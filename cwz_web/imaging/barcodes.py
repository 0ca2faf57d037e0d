"""QR codes (ISO/IEC 18004, by segno) and barcodes (Code 128 and EAN-13, by python-barcode) as pixels."""

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
MAX_CONTENT_LENGTH = 1000

_ean_digits = re.compile(r"\A[0-9]{12,13}\Z")


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


def render_code(layer: CodeLayer, content: str) -> Patch | None:
    """Render a layer's code, centered in its box, without the background.

    A module is a whole number of pixels, so that all edges are sharp.

    Returns:
        The dark modules, or None for an empty content.

    Raises:
        InvalidBarcodeError: the code cannot encode the content, or the box is too small for it.
    """
    content = content.strip()
    if not content:
        return None
    if len(content) > MAX_CONTENT_LENGTH:
        raise InvalidBarcodeError(f"the content has {len(content)} characters; the limit is {MAX_CONTENT_LENGTH}")
    modules = _modules(layer, content)
    width, height = layer.width - 2 * layer.padding, layer.height - 2 * layer.padding
    module = min(width, height if layer.code == "qr" else width) // modules.shape[1]
    if module < 1 or height < 1:
        side = modules.shape[1] + 2 * layer.padding
        raise InvalidBarcodeError(f"the box is too small; it needs at least {side} pixels")
    module_height = module if layer.code == "qr" else height
    mask = np.kron(modules, np.ones((module_height, module), np.uint8)) * np.uint8(255)
    left, top = layer.left + (layer.width - mask.shape[1]) // 2, layer.top + (layer.height - mask.shape[0]) // 2
    color, opacity = parse_color(layer.color)
    return Patch(left, top, color, mask).faded(opacity)


def _modules(layer: CodeLayer, content: str) -> Pixels:
    """Return the modules as an array of ones (dark) and zeros."""
    match layer.code:
        case "qr":
            return _qr_modules(content, layer.correction)
        case "ean13":
            return _bars(_ean13(content))
        case "code128":
            try:
                return _bars(barcode.get("code128", content))
            except BarcodeError:
                raise InvalidBarcodeError(f"“{content[:40]}” has characters other than ASCII") from None


def _ean13(content: str) -> barcode.base.Barcode:
    if not _ean_digits.match(content):
        raise InvalidBarcodeError(f"“{content[:40]}” does not have 12 or 13 digits")
    code = barcode.get("ean13", content)
    if len(content) == 13 and code.get_fullcode() != content:
        raise InvalidBarcodeError(f"the check digit of {content} is wrong")
    return code


def _bars(code: barcode.base.Barcode) -> Pixels:
    [bars] = code.build()
    return np.array([[bar != "0" for bar in bars]], np.uint8)


def _qr_modules(text: str, correction: str) -> Pixels:
    try:
        matrix = segno.make_qr(text, error=correction).matrix
    except segno.DataOverflowError:
        raise InvalidBarcodeError("the content is too long for a QR code") from None
    return np.array([list(row) for row in matrix], np.uint8)

"""Checks whether a code in a finished image can be scanned: contrast, polarity, quiet zone (ISO/IEC 15415, 15416)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.compositing import Patch, Pixels
from cwz_web.imaging.luminance import LINEAR, WEIGHTS

# The free modules around a code that readers need; the standards of the codes ask for twice as many.
QR_QUIET_ZONE, BAR_QUIET_ZONE = 2, 5
# The smallest difference of reflectance between dark and light, from 0 to 1: grade C of ISO/IEC 15415.
MIN_CONTRAST = 0.4
# The part of the quiet zone that may be dark: round corners of a box do no harm.
MAX_DARK = 0.08
# The lightest tenth of the dark modules and the darkest tenth of the light ones decide.
OUTLIERS = 10
# How many rows of a barcode are read (as in ISO/IEC 15416), and how many pixels along a module of the quiet zone.
SCANS, ZONE_SAMPLES = 10, 4

# Laser scanners of barcodes are red.
_red = np.array([1.0, 0.0, 0.0])


@dataclass(frozen=True)
class RenderedCode:
    """The dark modules of a code on the canvas.

    Attributes:
        layer: the layer's name.
        patch: the modules, without rotation.
        module: the width of a module in pixels.
        is_qr: whether it is a QR code, not a barcode.
        is_rotated: whether the code is at another place on the canvas than its patch.
    """

    layer: str
    patch: Patch
    module: int
    is_qr: bool
    is_rotated: bool = False

    @property
    def quiet_zone(self) -> int:
        """The width of the quiet zone in pixels."""
        return self.module * (QR_QUIET_ZONE if self.is_qr else BAR_QUIET_ZONE)


def find_scan_problem(code: RenderedCode, canvas: Pixels) -> str | None:
    """Return why a code on a finished image cannot be scanned reliably, or None.

    Args:
        code: the code.
        canvas: the pixels of the image.
    """
    height, width = code.patch.shape
    top, left = code.patch.y, code.patch.x
    if top < 0 or left < 0 or top + height > canvas.shape[0] or left + width > canvas.shape[1]:
        return gettext_lazy("it is partly outside of the image")
    samples = _sample_positions(code)
    is_module = code.patch.mask()[samples] > 0
    if not is_module.any():
        return gettext_lazy("it is not visible. Use an opaque color")
    light_of = WEIGHTS if code.is_qr else _red
    reflectance = LINEAR[canvas[top : top + height, left : left + width, :3][samples]] @ light_of
    dark = float(np.percentile(reflectance[is_module], 100 - OUTLIERS))
    light = float(np.percentile(reflectance[~is_module], OUTLIERS))
    if reflectance[is_module].mean() > reflectance[~is_module].mean():
        return gettext_lazy("it is light on dark. Use a dark color on a light background")
    if light - dark < MIN_CONTRAST:
        return gettext_lazy("its contrast is too low. Use a darker color, or a lighter background")
    if _is_covered(code, canvas, light_of, (dark + light) / 2):
        return gettext_lazy(
            "it has no quiet zone. Leave %(pixels)s light pixels free around it", pixels=code.quiet_zone
        )
    return None


def _sample_positions(code: RenderedCode) -> tuple[slice, slice]:
    """Return the rows and columns that decide: the centers of the modules, in SCANS rows of a barcode."""
    step = code.module if code.is_qr else max(code.patch.shape[0] // SCANS, 1)
    return slice(step // 2, None, step), slice(code.module // 2, None, code.module)


def _is_covered(code: RenderedCode, canvas: Pixels, light_of: NDArray[np.float64], threshold: float) -> bool:
    """Return whether a part of the quiet zone is dark, or outside of the image."""
    height, width = code.patch.shape
    top, left, zone = code.patch.y, code.patch.x, code.quiet_zone
    rows = zone if code.is_qr else 0
    if top < rows or left < zone or top + height + rows > canvas.shape[0] or left + width + zone > canvas.shape[1]:
        return True
    around = canvas[top - rows : top + height + rows, left - zone : left + width + zone, :3]
    is_zone = np.ones(around.shape[:2], np.bool_)
    is_zone[rows : rows + height, zone : zone + width] = False
    step = max(code.module // ZONE_SAMPLES, 1)
    samples = (slice(step // 2, None, step),) * 2
    return bool((LINEAR[around[samples][is_zone[samples]]] @ light_of < threshold).mean() > MAX_DARK)

"""Relative luminance of sRGB colors, from 0 for black to 1 for white (WCAG 2.2; IEC 61966-2-1)."""

import numpy as np

from cwz_web.imaging.compositing import RGB

# From the value of a channel to linear light.
LINEAR = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.arange(256) / 255])
# The part of each channel.
WEIGHTS = np.array([0.2126, 0.7152, 0.0722])


def relative_luminance(color: RGB) -> float:
    """Return the luminance of a color."""
    return float(LINEAR[list(color)] @ WEIGHTS)

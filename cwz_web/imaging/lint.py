"""What somebody should look at before an image is sent: the findings of rendering one row with one template."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from cwz_web.imaging.compositing import RGB, Patch, Pixels
from cwz_web.imaging.layers import TextLayer

# WCAG 2.2, 1.4.3: large text is at least 24 pixels high, or 19 where it is bold.
LARGE, LARGE_BOLD, BOLD = 24, 19, 700
CONTRAST, CONTRAST_LARGE = 4.5, 3.0
# An image may be shown a little larger than it is; nobody sees it.
ENLARGED = 1.25


class Check(StrEnum):
    """What is looked at."""

    OVERFLOW = "overflow"
    BELOW_MINIMUM = "below_minimum"
    MISSING_GLYPH = "missing_glyph"
    UPSCALED = "upscaled"
    LOW_CONTRAST = "low_contrast"
    DEAD_IMAGE = "dead_image"
    BAD_CODE = "bad_code"
    NO_NUMBER = "no_number"


@dataclass(frozen=True)
class Finding:
    """Something about one layer. The message completes the layer's name to a sentence for people."""

    layer: str
    check: Check
    message: str


def text_findings(layer: TextLayer, cut: bool, missing: tuple[str, ...]) -> tuple[Finding, ...]:
    """What rendering a text brought to light."""
    findings = []
    if cut and layer.min_size and layer.min_size < layer.size:
        message = f"does not fit even at its smallest size of {layer.min_size}, and is cut"
        findings.append(Finding(layer.name, Check.BELOW_MINIMUM, message))
    elif cut:
        findings.append(Finding(layer.name, Check.OVERFLOW, "does not fit into its box, and is cut"))
    if missing:
        signs = " ".join(missing[:10])
        findings.append(Finding(layer.name, Check.MISSING_GLYPH, f"has signs that no font has: {signs}"))
    return tuple(findings)


def contrast_finding(layer: TextLayer, size: int, letters: Patch, canvas: Pixels) -> Finding | None:
    """Whether the letters can be told from what lies below them (WCAG 2.2, 1.4.3)."""
    top, left = max(letters.y, 0), max(letters.x, 0)
    bottom, right = letters.y + letters.shape[0], letters.x + letters.shape[1]
    under = canvas[top : max(bottom, top), left : max(right, left)]
    cover = letters.mask()[top - letters.y :, left - letters.x :][: under.shape[0], : under.shape[1]]
    if not isinstance(letters.color, tuple) or not cover.any():
        return None
    below = np.average(under.reshape(-1, 4), axis=0, weights=cover.ravel())
    ratio = _contrast(letters.color, (int(below[0]), int(below[1]), int(below[2])))
    large = size >= LARGE or (size >= LARGE_BOLD and layer.weight >= BOLD)
    least = CONTRAST_LARGE if large else CONTRAST
    if ratio >= least:
        return None
    return Finding(
        layer.name, Check.LOW_CONTRAST, f"is hard to read: its contrast is {ratio:.1f} to 1, and {least:g} is the least"
    )


def _contrast(one: RGB, other: RGB) -> float:
    """The contrast ratio of two colors (WCAG 2.2): 1 for the same, 21 for black on white."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: RGB) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

"""Checks of rendered texts: whether they fit, their characters and their contrast."""

from collections.abc import Iterator
from dataclasses import replace
from math import floor

import numpy as np

from cwz_web.i18n import gettext_lazy, number_lazy
from cwz_web.imaging.compositing import RGB, Patch, Pixels, parse_color
from cwz_web.imaging.findings import Finding, FindingCode
from cwz_web.imaging.luminance import relative_luminance
from cwz_web.imaging.text import RenderedText
from cwz_web.imaging.text_fitting import MAX_CHARACTERS
from cwz_web.imaging.text_layers import TextLayer
from cwz_web.imaging.text_runs import RunStyle, Typeface

# WCAG 2.2, success criterion 1.4.3: large text is at least 24 pixels high, or 19 pixels if it is bold.
LARGE, LARGE_BOLD, BOLD = 24, 19, 700
MIN_CONTRAST, MIN_CONTRAST_LARGE = 4.5, 3.0
# A smaller enlargement is not visible.
MAX_ENLARGEMENT = 1.25
MAX_LISTED = 10


def text_findings(layer: TextLayer, text: RenderedText) -> tuple[Finding, ...]:
    """Return the findings of a rendered text."""
    findings = []
    cut, missing = text.is_cut, text.missing
    if text.is_too_long:
        message = gettext_lazy("has more than %(max)s characters and is cut", max=number_lazy(MAX_CHARACTERS))
        findings.append(Finding(FindingCode.OVERFLOW, message, layer.name))
    if text.is_too_high:
        message = gettext_lazy(
            "does not fit its height: a line of %(size)s pixels is higher than the box", size=text.font_size
        )
        findings.append(Finding(FindingCode.TOO_HIGH, message, layer.name))
    is_reduced = layer.fit in ("shrink", "grow")
    if cut and is_reduced and layer.min_size and layer.min_size < layer.size:
        message = gettext_lazy("does not fit at its minimum size of %(size)s and is cut", size=layer.min_size)
        findings.append(Finding(FindingCode.BELOW_MINIMUM, message, layer.name))
    elif cut:
        findings.append(Finding(FindingCode.OVERFLOW, gettext_lazy("does not fit into its box and is cut"), layer.name))
    if missing:
        listed = ", ".join(f"U+{ord(character):04X}" for character in missing[:MAX_LISTED])
        listed += ", …" if len(missing) > MAX_LISTED else ""
        message = (
            gettext_lazy(
                "has %(number)s characters that no font supports: %(listed)s", number=len(missing), listed=listed
            )
            if len(missing) > 1
            else gettext_lazy("has a character that no font supports: %(listed)s", listed=listed)
        )
        findings.append(Finding(FindingCode.MISSING_GLYPH, message, layer.name))
    return tuple(findings)


def contrast_findings(layer: TextLayer, text: RenderedText, letters: Patch, canvas: Pixels) -> Iterator[Finding]:
    """Yield the finding of the first color of a text that is hard to read.

    Args:
        layer: the layer of the text.
        text: the rendered text.
        letters: its letters.
        canvas: the pixels below them (height, width, 4).
    """
    styles = text.styles or (RunStyle(Typeface(layer.font), layer.weight, layer.italic, layer.color),)
    for style in styles:
        part = letters
        if text.styles and isinstance(letters.color, np.ndarray):
            color = parse_color(style.color)[0]
            is_part = (letters.color[..., :3] == color).all(axis=2)
            part = replace(letters, color=color, alpha=letters.mask() * is_part)
        if finding := _contrast_finding(layer.name, round(text.font_size * style.scale), style.weight, part, canvas):
            yield finding
            return


def _contrast_finding(name: str, size: int, weight: int, letters: Patch, canvas: Pixels) -> Finding | None:
    """Check the contrast of letters with the canvas (WCAG 2.2, success criterion 1.4.3).

    Args:
        name: the name of the layer.
        size: the font size, in pixels.
        weight: the font weight.
        letters: the rendered letters.
        canvas: the pixels below them (height, width, 4).

    Returns:
        The finding, or None if the contrast is sufficient.
    """
    top, left = max(letters.y, 0), max(letters.x, 0)
    bottom, right = letters.y + letters.shape[0], letters.x + letters.shape[1]
    under = canvas[top : max(bottom, top), left : max(right, left)]
    cover = letters.mask()[top - letters.y :, left - letters.x :][: under.shape[0], : under.shape[1]]
    if not isinstance(letters.color, tuple) or not cover.any():
        return None
    below = np.average(under.reshape(-1, 4), axis=0, weights=cover.ravel())
    ratio = _contrast(letters.color, (int(below[0]), int(below[1]), int(below[2])))
    large = size >= LARGE or (size >= LARGE_BOLD and weight >= BOLD)
    required = MIN_CONTRAST_LARGE if large else MIN_CONTRAST
    if ratio >= required:
        return None
    # Rounded down, so that 4.46 is not reported as 4.5.
    message = gettext_lazy(
        "is hard to read: its contrast is %(contrast)s:1; at least %(required)s:1 is needed",
        contrast=f"{floor(ratio * 10) / 10:.1f}",
        required=f"{required:g}",
    )
    return Finding(FindingCode.LOW_CONTRAST, message, name)


def _contrast(one: RGB, other: RGB) -> float:
    """Return the contrast ratio of two colors (WCAG 2.2): 1 if they are equal, 21 for black on white."""
    darker, lighter = sorted((relative_luminance(one), relative_luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)

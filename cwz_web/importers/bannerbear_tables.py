"""The values of Bannerbear's properties, and what they are in a document."""

from collections.abc import Collection, Mapping
from math import cos, pi, sin
from typing import Any

from cwz_web.i18n import gettext_lazy

# The values of properties that change nothing.
NEUTRAL: Collection[Any] = (0, "0", "0px", "", "none", "off", "normal", "false", "disabled")
# What concerns the editor of Bannerbear alone.
EDITOR_ONLY = ("aspect-ratio-locked", "collapsed", "locked", "type", "id", "name")
# Why properties are left out, if it is not only that nothing is their equal.
REASONS = {
    **dict.fromkeys(
        ("anchor-to", "anchor-point", "anchor-gap-x", "anchor-gap-y", "anchor-type", "responsive-anchor-gap"),
        gettext_lazy("Layers do not follow each other outside of a stack: the position stays. Put them into a stack"),
    ),
    **dict.fromkeys(("ai-background-generate", "ai-prompt", "ai-model"), gettext_lazy("No images are generated")),
}

PINS_OF_POSITION: Mapping[str, tuple[str, str]] = {
    "none": ("left", "top"),
    "scale": ("scale", "scale"),
    "center-x": ("center", "top"),
    "center-y": ("left", "center"),
    "center": ("center", "center"),
    "pin-right": ("right", "top"),
    "pin-bottom": ("left", "bottom"),
    "pin-right-bottom": ("right", "bottom"),
}
# Where the size follows the canvas, it decides; otherwise the position does.
PINS_OF_SIZE: Mapping[str, tuple[str, str]] = {
    "none": ("", ""),
    "scale": ("scale", "scale"),
    "stretch-x": ("both", ""),
    "stretch-y": ("", "both"),
    "stretch": ("both", "both"),
}
GRADIENT_ANGLES = {"right": 0, "bottom": 90, "left": 180, "top": 270}
WEIGHTS = {"normal": 400, "bold": 700}
STYLES = {"normal": False, "italic": True, "oblique": True}
CASES = {"none": "none", "uppercase": "upper", "lowercase": "lower", "capitalize": "title"}
DECORATIONS: Mapping[str, str] = {"none": "", "underline": "underline", "line-through": "strike"}
DIRECTIONS = {"ltr": "ltr", "rtl": "rtl"}
VALIGNS = {"start": "top", "center": "middle", "end": "bottom"}
# In a text from left to right; from right to left, left and right change sides.
ALIGNS = {"left": "start", "right": "end", "center": "center", "justify": "justify", "start": "start", "end": "end"}
OTHER_SIDE = {"left": "end", "right": "start"}
FITS = {"off": "clip", "none": "clip", "auto_fit": "grow", "resize_overflow": "shrink"}
# How many lines a text has at most; None for as many as fit.
LINES = {"normal": None, "nowrap": 1, "pre": 1}
OBJECT_FITS = {"cover": "cover", "contain": "contain"}
FOCUSES = {"off": "center", "none": "center", "face": "face", "subject": "attention"}
PROCESSED: Mapping[str, bool] = {"enabled": True, "true": True, "disabled": False, "off": False, "none": False}
EDGES = {"left": 0.0, "top": 0.0, "center": 0.5, "right": 1.0, "bottom": 1.0}
CODES = {"code128": "code128", "ean13": "ean13", "ean8": "ean8", "upc": "upca"}
BORDERS = {"none": False, "hidden": False, "solid": True}


def _polygon(corners: int, turn: float = 0.0) -> list[tuple[float, float]]:
    """Return a regular polygon that fills its box, its first corner at the top unless it is turned."""
    angles = [(at + turn) * 2 * pi / corners for at in range(corners)]
    points = [(sin(angle), -cos(angle)) for angle in angles]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    return [(_fraction((x - left) / (right - left)), _fraction((y - top) / (bottom - top))) for x, y in points]


def _fraction(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 4)


# Our own outlines: those of Bannerbear are not public.
OUTLINES: Mapping[str, list[tuple[float, float]]] = {
    "triangle": [(0.5, 0), (1, 1), (0, 1)],
    "right": [(0, 0), (1, 1), (0, 1)],
    "pentagon": _polygon(5),
    "hexagon": _polygon(6, 0.5),
    "octagon": _polygon(8, 0.5),
    "rhombus": _polygon(4),
    "trapeze": [(0.25, 0), (0.75, 0), (1, 1), (0, 1)],
    "parallelogram": [(0.25, 0), (1, 0), (0.75, 1), (0, 1)],
    "cross": [
        *[(0.35, 0), (0.65, 0), (0.65, 0.35), (1, 0.35), (1, 0.65), (0.65, 0.65)],
        *[(0.65, 1), (0.35, 1), (0.35, 0.65), (0, 0.65), (0, 0.35), (0.35, 0.35)],
    ],
}
FIGURES = ("rectangle", "ellipse", "star", "arrow")

"""The texts of Bannerbear as layers of a document."""

import re
from math import floor

from cwz_web.i18n import gettext_lazy
from cwz_web.importers.bannerbear_layers import BACKGROUND, MAX_PADDING, BannerbearConversion, LayerDict
from cwz_web.importers.bannerbear_tables import (
    ALIGNS,
    CASES,
    DECORATIONS,
    DIRECTIONS,
    FITS,
    LINES,
    OTHER_SIDE,
    STYLES,
    VALIGNS,
    WEIGHTS,
)
from cwz_web.importers.properties import MAX_SHADOWS, MAX_SIDE, Properties, read_number

MAX_FONT_SIZE, MIN_FONT_SIZE, MAX_LINES, MAX_STROKE = 1000, 6, 50, 40
# For a text without a size, which is reported.
DEFAULT_SIZE = 40
DEFAULT_COLOR = "#111111"
# The second style that the text in asterisks has.
SECONDARY_STYLE = tuple(
    f"{name}-secondary" for name in ("color", "font-family", "font-weight", "font-style", "text-decoration")
)
_marked = re.compile(r"\*([^*\n]+)\*")


def convert_text(conversion: BannerbearConversion, properties: Properties, is_named: bool) -> list[LayerDict]:
    """Convert a text."""
    layer = {"type": "text", **conversion.box(properties)}
    below, boxed = _text_box(conversion, properties, layer)
    size = properties.whole("font-size", MIN_FONT_SIZE, MAX_FONT_SIZE)
    if size is None:
        size = DEFAULT_SIZE
        properties.changed("font-size", gettext_lazy("The JSON does not say it: it is %(side)s pixels", side=size))
    color = properties.color("color") or DEFAULT_COLOR
    layer |= boxed | {"size": size, "color": color} | _typeface(conversion, properties)
    layer |= _text_lines(properties, layer)
    shadows = [*layer.pop("shadow", []), *properties.shadows("text-shadow", color)]
    layer |= {"shadow": shadows[:MAX_SHADOWS]} if shadows else {}
    if width := properties.number("text-stroke-width", 0, MAX_STROKE):
        stroke = {"color": properties.color("text-stroke-color") or color, "width": width, "position": "center"}
        layer["stroke"] = stroke
        text = gettext_lazy("The line is centered on the edges of letters; Bannerbear does not document it. Check it")
        properties.changed("text-stroke-width", text)
    _hug(properties, layer)
    layer["text"] = conversion.content(properties, "text", _read_text(properties), is_named=is_named)
    conversion.describe(properties, layer)
    return [*below, layer]


def _typeface(conversion: BannerbearConversion, properties: Properties) -> LayerDict:
    typeface: LayerDict = {}
    if family := properties.text("font-family"):
        typeface["font"] = conversion.builder.find_font(properties.layer, "font-family", family)
    if weight := _weight(properties, "font-weight"):
        typeface["weight"] = weight
    if properties.choice("font-style", STYLES):
        typeface["italic"] = True
    if case := properties.choice("text-transform", CASES):
        typeface["case"] = case
    if decoration := properties.choice("text-decoration", DECORATIONS):
        typeface[decoration] = True
    if height := properties.number("line-height", 0.7, 3):
        typeface["line_height"] = height
    if spacing := properties.number("letter-spacing", -20, 100):
        typeface["letter_spacing"] = spacing
    return typeface


def _weight(properties: Properties, name: str) -> int | None:
    value = properties.take(name)
    weight = WEIGHTS.get(value.strip().lower()) if isinstance(value, str) else None
    number = weight or read_number(value)
    if number is None:
        if value is not None:
            properties.left_out(name, gettext_lazy("The value cannot be read"))
        return None
    return min(max(round(number / 100) * 100, 100), 900)


def _text_lines(properties: Properties, layer: LayerDict) -> LayerDict:
    """Return how a text is aligned, broken into lines and fitted."""
    lines: LayerDict = {}
    direction = properties.choice("direction", DIRECTIONS)
    word = properties.choice("text-align", {name: name for name in ALIGNS})
    if word:
        lines["align"] = (OTHER_SIDE if direction == "rtl" else {}).get(word, ALIGNS[word])
    lines |= {"direction": direction} if direction else {}
    lines |= {"valign": valign} if (valign := properties.choice("align-items", VALIGNS)) else {}
    fit = properties.choice("text-fit", FITS)
    ends_with_ellipsis = properties.flag("text-ellipsis")
    if ends_with_ellipsis and fit in (None, "clip"):
        fit = "ellipsis"
    if fit:
        lines["fit"] = fit
    if fit == "grow":
        height = min(max(layer.get("height", 0), layer["size"]), MAX_FONT_SIZE)
        lines |= {"max_size": height, "min_size": MIN_FONT_SIZE}
    if fit == "shrink":
        lines["min_size"] = MIN_FONT_SIZE
    if fit in ("grow", "shrink"):
        text = gettext_lazy(
            "Bannerbear does not document the smallest and the largest size: they are %(low)s and %(high)s pixels",
            low=MIN_FONT_SIZE,
            high=lines.get("max_size", layer["size"]),
        )
        properties.changed("text-fit", text)
    limit = properties.choice("white-space", LINES)
    lines["max_lines"] = limit or _count_lines(layer)
    return lines


def _count_lines(layer: LayerDict) -> int:
    if "height" not in layer:
        return MAX_LINES
    lines = floor(layer["height"] / (layer["size"] * layer.get("line_height", 1.2)))
    return int(min(max(lines, 1), MAX_LINES))


def _text_box(
    conversion: BannerbearConversion, properties: Properties, layer: LayerDict
) -> tuple[list[LayerDict], LayerDict]:
    """Return the layers below a text, and what is behind it: a box, or one behind each line."""
    background = properties.color(BACKGROUND)
    padding = properties.whole("padding", 0, MAX_PADDING) or 0
    highlight = properties.color("text-highlight-color")
    names = ("text-highlight-padding-vertical", "text-highlight-padding-horizontal")
    sides = [properties.whole(name, 0, MAX_PADDING) or 0 for name in names]
    radius = properties.number("text-highlight-border-radius", 0, MAX_SIDE)
    if not highlight:
        boxed: LayerDict = {"background": background} if background else {}
        return [], boxed | ({"padding": padding} if padding else {})
    if sides[0] != sides[1]:
        text = gettext_lazy("The padding is the same on all sides: the larger one is used")
        properties.changed(names[0], text)
    boxed = {"background": highlight, "box": "lines", "padding": max(sides)}
    if padding:
        properties.left_out("padding", gettext_lazy("A text with a highlight has the padding of the highlight only"))
    below = [conversion.below(conversion.sized(layer), background)] if background else []
    if below:
        layer.pop("border", None)
    layer.pop("radius", None)
    return below, boxed | ({"radius": radius} if radius else {})


def _hug(properties: Properties, layer: LayerDict) -> None:
    """Let the text decide about a side that the JSON does not have."""
    missing = [side for side in ("width", "height") if side not in layer]
    if missing:
        layer["sizing"] = dict.fromkeys(missing, "hug")
        for side in missing:
            properties.changed(side, gettext_lazy("The JSON does not say it: the box is as large as the text"))


def _read_text(properties: Properties) -> str:
    """Return the text, without the asterisks that only a second style gives a meaning."""
    text = properties.text("text") or ""
    if not [name for name in SECONDARY_STYLE if properties.take(name) is not None] or not _marked.search(text):
        return text
    reason = gettext_lazy("The text of a field has one style: the style of the text in asterisks is missing")
    properties.left_out("*-secondary", reason)
    return _marked.sub(r"\1", text)

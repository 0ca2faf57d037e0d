"""The images of Bannerbear as layers of a document."""

from typing import Any

from cwz_web.i18n import gettext_lazy
from cwz_web.importers.bannerbear_layers import (
    BLACK,
    MAX_PADDING,
    MAX_PROCESSED_PHOTOS,
    BannerbearConversion,
    LayerDict,
)
from cwz_web.importers.bannerbear_tables import EDGES, FOCUSES, OBJECT_FITS, PROCESSED
from cwz_web.importers.properties import MAX_SHADOWS, MAX_SIDE, Properties, read_number

MAX_OUTLINE = 40


def convert_image(
    conversion: BannerbearConversion, properties: Properties, is_named: bool, *, mask: str | None = None
) -> list[LayerDict]:
    """Convert an image; a container of images is one, and a round one has a mask."""
    layer = {"type": "image", **conversion.sized(conversion.box(properties))}
    layer |= {"mask": mask} if mask else {}
    ground = conversion.fill(properties)
    url = conversion.image_url(properties, "background-image")
    layer["source"] = conversion.content(properties, "background-image", url, is_named=is_named, field_type="image")
    layer |= _placing(properties) | _adjusting(conversion, properties)
    shadows = [*layer.get("shadow", []), *properties.shadows("png-shadow", BLACK)]
    layer |= {"shadow": shadows[:MAX_SHADOWS]} if shadows else {}
    below = _pad(conversion, properties, layer, ground)
    if ground and not below:
        layer["background"] = ground
        layer |= {"placeholder": ground} if isinstance(ground, str) else {}
    conversion.describe(properties, layer)
    return [*below, layer]


def _placing(properties: Properties) -> LayerDict:
    """Return how a photo fills its box."""
    placing: LayerDict = {}
    if fit := properties.choice("background-size", OBJECT_FITS):
        placing["fit"] = fit
    position = properties.text("background-position")
    focus = properties.choice("ai-detect", FOCUSES)
    if focus and focus != "center":
        return placing | {"focus": focus}
    point = _read_position(position or "")
    if point is None and position:
        properties.left_out("background-position", gettext_lazy("The value cannot be read"))
    if point and point != (0.5, 0.5):
        if fit == "contain":
            text = gettext_lazy("A photo that is inside of its box as a whole is centered")
            properties.left_out("background-position", text)
        else:
            placing["focus"] = point
    return placing


def _read_position(text: str) -> tuple[float, float] | None:
    """Return a position of CSS as fractions; None if it has none of the words, and no percentages."""
    words = text.lower().split()
    if not words or len(words) > len(("x", "y")):
        return None
    if words[0] in ("top", "bottom") or words[-1] in ("left", "right"):
        words.reverse()  # CSS takes the words in any order
        words = words if len(words) > 1 or words[0] in ("left", "right") else ["center", *words]
    values = [EDGES.get(word, _read_percentage(word)) for word in words]
    x, y = [*values, 0.5][:2]
    return None if x is None or y is None else (x, y)


def _read_percentage(word: str) -> float | None:
    number = read_number(word.removesuffix("%")) if word.endswith("%") else None
    return None if number is None or not 0 <= number <= 100 else number / 100


def _adjusting(conversion: BannerbearConversion, properties: Properties) -> LayerDict:
    """Return what changes the pixels of a photo."""
    adjust: LayerDict = {}
    for name, key in (("brightness", "brightness"), ("contrast", "contrast"), ("saturate", "saturation")):
        factor = properties.number(name, 0, 4)
        if factor not in (None, 1):
            adjust[key] = factor
    if blur := properties.number("blur", 0, 100):
        adjust["blur"] = blur
    changes: LayerDict = {}
    gray = properties.number("grayscale", 0, 1) or 0
    if gray == 1:
        changes["grayscale"] = True
    elif gray:
        adjust["saturation"] = adjust.get("saturation", 1) * (1 - gray)
    changes |= {"adjust": adjust} if adjust else {}
    if _is_cut_out(conversion, properties):
        changes["process"] = "cutout"
    width, color = properties.number("png-stroke-width", 0, MAX_OUTLINE), properties.color("png-stroke-color")
    if width:
        changes["outline"] = {"color": color or BLACK, "width": width}
    return changes


def _is_cut_out(conversion: BannerbearConversion, properties: Properties) -> bool:
    """Return whether the background of the photo is removed."""
    name = "ai-background-remove"
    if not properties.choice(name, PROCESSED):
        return False
    if not conversion.count_processed():
        properties.left_out(name, gettext_lazy("At most %(max)s photos can be processed", max=MAX_PROCESSED_PHOTOS))
        return False
    properties.changed(
        name, gettext_lazy("Only a plain background is removed, which counts like an image of the quota")
    )
    return True


def _pad(conversion: BannerbearConversion, properties: Properties, layer: LayerDict, ground: Any) -> list[LayerDict]:
    """Shrink a photo by its padding, and return its background as a layer below."""
    padding = properties.whole("padding", 0, MAX_PADDING) or 0
    if not padding:
        return []
    if 2 * padding >= min(layer["width"], layer["height"]):
        properties.left_out("padding", gettext_lazy("The padding leaves no room for the image"))
        return []
    below = [conversion.below(layer, ground)] if ground else []
    x, y = (min(layer[key] + padding, MAX_SIDE) for key in ("x", "y"))
    layer |= {"x": x, "y": y, "width": layer["width"] - 2 * padding, "height": layer["height"] - 2 * padding}
    for key in ("radius", "border") if below else ():
        layer.pop(key, None)
    return below

"""The layers of Bannerbear as layers of a document: what all have in common, and the types with few properties."""

from math import fmod
from typing import Any

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.field_values import FieldType
from cwz_web.importers.bannerbear_tables import (
    BORDERS,
    CODES,
    FIGURES,
    GRADIENT_ANGLES,
    OUTLINES,
    PINS_OF_POSITION,
    PINS_OF_SIZE,
)
from cwz_web.importers.builder import DocumentBuilder
from cwz_web.importers.naming import MAX_LAYER_NAME
from cwz_web.importers.properties import MAX_SHADOWS, MAX_SIDE, Properties
from cwz_web.importers.report import converted_message, shown

LayerDict = dict[str, Any]
MAX_PADDING, MAX_BORDER = 500, 200
MAX_PROCESSED_PHOTOS, MAX_URL = 10, 2000
# For a box without a width or a height, which is reported.
DEFAULT_SIDE = 100
URL_STARTS = ("https://", "http://")
BLACK = "#000000"
BACKGROUND = "background-color"


class BannerbearConversion:
    """The conversion of one template, layer by layer."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self.builder, self.report = builder, builder.report
        self._processed = 0

    def describe(self, properties: Properties, layer: LayerDict) -> None:
        """Report a layer that was converted."""
        contents = "".join(str(layer.get(key, "")) for key in ("text", "source", "content", "value"))
        self.report.converted(converted_message(layer["type"], has_field="{{" in contents), properties.layer)

    def box(self, properties: Properties) -> LayerDict:
        """Return what all layers have in common: the box, its pins, rotation, opacity, border and shadow."""
        layer: LayerDict = {"name": properties.layer}
        layer["x"] = properties.whole("left", -MAX_SIDE, MAX_SIDE) or 0
        layer["y"] = properties.whole("top", -MAX_SIDE, MAX_SIDE) or 0
        for side in ("width", "height"):
            length = properties.whole(side, 1, MAX_SIDE)
            if length is not None:
                layer[side] = length
        rotations = [properties.number(name, -1e6, 1e6) or 0 for name in ("rotate", "rotateZ")]
        if rotation := round(fmod(sum(rotations), 360), 3):
            layer["rotation"] = rotation
            text = gettext_lazy("The layer rotates around its center; Bannerbear does not document its own. Check it")
            properties.changed("rotate", text)
        opacity = properties.number("opacity", 0, 1)
        layer |= {} if opacity is None else {"opacity": opacity}
        layer |= {"hidden": True} if properties.flag("hidden") else {}
        layer |= {"radius": radius} if (radius := properties.number("border-radius", 0, MAX_SIDE)) else {}
        if border := self._border(properties):
            layer["border"] = border
        if shadows := properties.shadows("box-shadow", BLACK):
            layer["shadow"] = shadows
        return layer | self._pins(properties)

    def sized(self, layer: LayerDict) -> LayerDict:
        """Return a layer that has both sides; one that is missing is reported."""
        for side in ("width", "height"):
            if side not in layer:
                layer[side] = DEFAULT_SIDE
                text = gettext_lazy("The JSON does not say it: it is %(side)s pixels", side=DEFAULT_SIDE)
                self.report.changed(text, layer["name"], side)
        return layer

    def below(self, layer: LayerDict, fill: Any) -> LayerDict:
        """Return a rectangle in the place of a layer, for a background that the layer itself cannot have."""
        name = self.builder.name_extra(f"{layer['name']} background"[:MAX_LAYER_NAME])
        kept = ("x", "y", "width", "height", "rotation", "opacity", "hidden", "radius", "border", "pins")
        place = {key: layer[key] for key in kept if key in layer}
        self.report.changed(
            gettext_lazy("It is a layer of its own now: “%(name)s”", name=name), layer["name"], BACKGROUND
        )
        return {"type": "shape", "shape": "rectangle", **place, "name": name, "fill": fill}

    def content(
        self, properties: Properties, name: str, default: str, *, is_named: bool, field_type: FieldType = "text"
    ) -> str:
        """Return a content as a field, if requests can address the layer, or fixed.

        Args:
            properties: those of the layer.
            name: the property, for the report.
            default: the content in the JSON.
            is_named: whether the layer has a name, by which requests address it.
            field_type: the type of the field.
        """
        if is_named or "{{" in default:
            return self.builder.bind(properties.layer, default, field_type, name)
        return self.builder.fix(properties.layer, default, name)

    def image_url(self, properties: Properties, name: str) -> str:
        """Return the URL of an image, which is fetched only when an image is rendered; empty if it is not usable."""
        url = (properties.text(name) or "").strip()
        if url and (not url.lower().startswith(URL_STARTS) or len(url) > MAX_URL or not url.isprintable()):
            properties.left_out(name, gettext_lazy("It is not a URL that begins with https:// or http://"))
            return ""
        return url

    def fill(self, properties: Properties, default: str | None = None) -> Any:
        """Return the background of a shape: a color, a gradient of two, or None."""
        color = properties.color(BACKGROUND) or default
        end = properties.color("background-color-gradient")
        direction = properties.choice("background-gradient-direction", GRADIENT_ANGLES)
        if end is None:
            return color
        angle = GRADIENT_ANGLES["bottom"] if direction is None else direction
        text = gettext_lazy("The gradient runs towards its direction; Bannerbear does not document it. Check it")
        properties.changed("background-color-gradient", text)
        return {"type": "linear", "start": color or f"{end[:7]}00", "end": end, "angle": angle}

    def count_processed(self) -> bool:
        """Count one more photo whose background is removed; return whether a document can have it."""
        self._processed += 1
        return self._processed <= MAX_PROCESSED_PHOTOS

    def _border(self, properties: Properties) -> LayerDict | None:
        is_solid = properties.choice("border-style", BORDERS)
        color, width = properties.color("border-color"), properties.number("border-width", 0, MAX_BORDER)
        if not is_solid or not width:
            return None
        return {"color": color or BLACK, "width": width}

    def _pins(self, properties: Properties) -> LayerDict:
        position = properties.choice("responsive-position", PINS_OF_POSITION) or PINS_OF_POSITION["none"]
        size = properties.choice("responsive-size", PINS_OF_SIZE) or PINS_OF_SIZE["none"]
        horizontal, vertical = (of_size or of_position for of_size, of_position in zip(size, position, strict=True))
        if (horizontal, vertical) == PINS_OF_POSITION["none"]:
            return {}
        return {"pins": {"horizontal": horizontal, "vertical": vertical}}


def convert_shape(
    conversion: BannerbearConversion, properties: Properties, is_named: bool, *, shape: str
) -> list[LayerDict]:
    """Convert a rectangle or a circle."""
    layer = {"type": "shape", "shape": shape, **conversion.sized(conversion.box(properties))}
    properties.take("padding")  # a shape has no content that it could keep away from its edge
    if fill := conversion.fill(properties):
        layer["fill"] = fill
    conversion.describe(properties, layer)
    return [layer]


def convert_svg_shape(conversion: BannerbearConversion, properties: Properties, is_named: bool) -> list[LayerDict]:
    """Convert a shape with an outline of its own."""
    word = properties.text("basic-shape") or ""
    shape = word.strip().lower()
    box = conversion.sized(conversion.box(properties))
    background = properties.color(BACKGROUND)
    below = [conversion.below(box, background)] if background else []
    fill, stroke = properties.color("fill"), properties.color("stroke")
    width = properties.number("stroke-width", 0, MAX_BORDER)
    box.pop("border", None)
    layer: LayerDict = {"type": "shape", **box}
    layer |= {"border": {"color": stroke, "width": width}} if stroke and width else {}
    layer |= {"fill": fill} if fill else {}
    if shape in FIGURES:
        layer["shape"] = shape
    elif shape == "ring":
        layer["shape"] = "ellipse"
        layer.pop("fill", None)
    elif shape in OUTLINES:
        layer |= {"shape": "polygon", "points": OUTLINES[shape]}
        text = gettext_lazy("The outline is ours: that of Bannerbear is not public. Check it")
        properties.changed("basic-shape", text)
    else:
        properties.left_out("basic-shape", gettext_lazy("The shape “%(name)s” has no equivalent", name=shown(word)))
        return below
    conversion.describe(properties, layer)
    return [*below, layer]


def convert_barcode(conversion: BannerbearConversion, properties: Properties, is_named: bool) -> list[LayerDict]:
    """Convert a barcode."""
    code = properties.choice("barcode-format", CODES)
    if code is None:
        code = "code128"
        properties.changed(
            "barcode-format", gettext_lazy("The kind of the code is Code 128: the JSON names no other one")
        )
    return convert_code(conversion, properties, is_named, code=code, content="barcode-data", color="barcode-color")


def convert_code(
    conversion: BannerbearConversion,
    properties: Properties,
    is_named: bool,
    *,
    code: str = "qr",
    content: str = "qr-target",
    color: str = "qr-color",
) -> list[LayerDict]:
    """Convert a QR code, or a code of another kind, whose properties have other names."""
    layer = {"type": "code", "code": code, **conversion.sized(conversion.box(properties))}
    layer["padding"] = properties.whole("padding", 0, MAX_PADDING) or 0
    layer["background"] = conversion.fill(properties)
    layer["color"] = properties.color(color) or BLACK
    text = properties.text(content) or ""
    layer["content"] = conversion.content(properties, content, text, is_named=is_named)
    if not layer["padding"]:
        properties.changed(
            "padding", gettext_lazy("The code has no quiet zone, which scanners need: check the findings")
        )
    conversion.describe(properties, layer)
    return [layer]


def convert_rating(conversion: BannerbearConversion, properties: Properties, is_named: bool) -> list[LayerDict]:
    """Convert a rating; requests send its score, of which a computed field makes stars."""
    layer = {"type": "rating", **conversion.sized(conversion.box(properties))}
    background = properties.color(BACKGROUND)
    below = [conversion.below(layer, background)] if background else []
    stars = properties.whole("rating-count", 1, 10) or 5
    score = properties.number("rating-score", 0, 100) or 0
    layer |= {"stars": stars, "value": f"{score * stars / 100:g}"}
    if is_named:
        field = conversion.builder.add_field(properties.layer, "number", f"{score:g}", "rating-score")
        value = conversion.builder.compute(f"{field} stars", f"{field} * {stars} / 100") if field else None
        layer |= {"value": f"{{{{ {value} }}}}"} if value else {}
    for name, key in (("rating-color", "color"), ("rating-background-color", "empty")):
        if color := properties.color(name):
            layer[key] = color
    if (shape := properties.text("rating-shape")) and shape.strip().lower() != "star":
        properties.changed(
            "rating-shape", gettext_lazy("The shape is a star: “%(name)s” has no equivalent", name=shown(shape))
        )
    shadows = [*layer.get("shadow", []), *properties.shadows("rating-shadow", BLACK)]
    layer |= {"shadow": shadows[:MAX_SHADOWS]} if shadows else {}
    conversion.describe(properties, layer)
    return [*below, layer]


def convert_group(conversion: BannerbearConversion, properties: Properties, is_named: bool) -> list[LayerDict]:
    """Report a group, whose layers stay where they are."""
    box = conversion.box(properties)
    background = properties.color(BACKGROUND)
    text = gettext_lazy("Bannerbear does not document which layers a group has: they stay where they are. Check them")
    properties.left_out("", text)
    for key in ("hidden", "opacity", "rotation"):
        if box.get(key, 1) != 1 or box.get(key) is True:
            properties.left_out(key, gettext_lazy("The layers of the group do not have it"))
    return [conversion.below(conversion.sized(box), background)] if background else []


def report_animation(conversion: BannerbearConversion, properties: Properties, is_named: bool) -> list[LayerDict]:
    """Report an animation."""
    properties.drop()
    properties.left_out("", gettext_lazy("Animations have no equivalent"))
    return []

"""The layers of a template and their validation. Layers are rendered in order, the first one lowest.

Lengths are pixels of the canvas, angles are degrees clockwise, colors are `#rrggbb` or `#rrggbbaa`.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from cwz_web.i18n import gettext
from cwz_web.imaging.bindings import BoundText, is_entry_name, parse_bindings
from cwz_web.imaging.brand_references import read_reference
from cwz_web.imaging.document_parts import (
    MAX_SIDE,
    MIN_CORNERS,
    PIXELS,
    Bound,
    BoundName,
    Color,
    DocumentPart,
    IconName,
    Point,
    new_key,
)
from cwz_web.imaging.expressions import parse_expression
from cwz_web.imaging.layer_base import OF_LOCALE, SOURCE, Layer, LayerMask, MaskableLayer
from cwz_web.imaging.processors import PROCESSOR_NAME
from cwz_web.imaging.styles import Adjustments, Duotone, Fade, Fill, Outline
from cwz_web.imaging.text_layers import TextLayer

MAX_LAYERS = 100
# How deep groups and stacks can be nested.
MAX_DEPTH = 6
MAX_REPEATS = 20
MAX_ZOOM = 10
# A discriminated union, as Fill is.
ImageMask = Annotated[
    Annotated[Literal["box", "circle", "polygon"], Tag("shape_mask")] | Annotated[LayerMask, Tag("layer_mask")],
    Discriminator(lambda mask: "layer_mask" if isinstance(mask, dict | LayerMask) else "shape_mask"),
]


class ShapeLayer(MaskableLayer):
    """A rectangle, an ellipse, a line, a polygon, an icon, or a figure that fills the box.

    Lines and polygons have `points` in fractions of the box. `corners` is the number of corners of a star and a burst,
    and `depth` how deep their notches are, those of a ribbon, and the head of an arrow, as fractions.
    `icon` is the name of an icon of Lucide, whose lines have the `fill` and a `stroke_width`: a twelfth of the icon's
    side, unless it is given.
    """

    type: Literal["shape"]
    shape: Literal["rectangle", "ellipse", "line", "polygon", "arrow", "star", "burst", "ribbon", "bubble", "icon"] = (
        "rectangle"
    )
    fill: Fill | None = None
    points: Annotated[tuple[Point, ...], Field(max_length=60)] = ()
    corners: Annotated[int, Field(ge=3, le=60)] = new_key(5)
    depth: Annotated[float, Field(ge=0.02, le=0.95)] = new_key(0.5)
    icon: IconName | None = new_key(None)
    stroke_width: Annotated[float | None, Field(gt=0, le=200), PIXELS] = new_key(None)

    @model_validator(mode="after")
    def _check_points(self) -> Self:
        required = {"line": 2, "polygon": MIN_CORNERS}.get(self.shape, 0)
        if len(self.points) < required:
            raise ValueError(
                gettext("A line needs at least 2 points, each a pair of fractions of the box")
                if self.shape == "line"
                else gettext("A polygon needs at least 3 points, each a pair of fractions of the box")
            )
        return self

    @model_validator(mode="after")
    def _check_icon(self) -> Self:
        if self.shape != "icon":
            return self
        if self.icon is None:
            raise ValueError(gettext("Enter an icon, such as shopping-cart. An expression needs one as its default"))
        if self.fill is None:
            raise ValueError(gettext("Enter a fill, which is the color of the icon"))
        if self.border:
            raise ValueError(gettext("An icon has no border. Use fill for its color and stroke_width for its lines"))
        return self


class ImageLayer(Layer):
    """An image from a URL, from the workspace's uploads (`upload:<sha256>`), or a logo of the brand (`brand:name`).

    `fit`: `trim` finds the product on a uniform ground and shows it with a padding of `trim_padding` on all sides, a
    fraction of the box's shorter side; a photo without such a ground is contained. `extend` contains the image and
    continues its edges. `focus` is the focal point when `cover` crops the image: the center, its most salient part
    (`attention`), the faces in it (`face`), or a point in fractions of the image. `zoom` enlarges what `cover` shows
    around the focal point: 2 shows half of the width and of the height. `missing` decides what happens if the image is
    not available: render a placeholder, skip the layer, fail the row, or use the image that `fallback` refers to.
    `outline` follows the visible pixels: it is that of a cut-out, a circle or a polygon.
    `process` names an image processor that changes the photo first, such as `cutout`; if it fails, the photo is shown
    as it is.
    """

    type: Literal["image"]
    source: Annotated[Bound, AfterValidator(partial(read_reference, "logo"))]
    fit: Literal["cover", "contain", "fill", "trim", "extend"] = "cover"
    trim_padding: Annotated[float, Field(ge=0, le=0.45)] = new_key(0.08)
    focus: Literal["center", "attention", "face"] | Point = "center"
    zoom: Annotated[float, Field(ge=1, le=MAX_ZOOM)] = new_key(1)
    process: Annotated[str | None, Field(pattern=PROCESSOR_NAME)] = new_key(None)
    mask: ImageMask = "box"
    mask_points: Annotated[tuple[Point, ...], Field(max_length=60)] = new_key(())
    grayscale: bool = False
    adjust: Adjustments | None = new_key(None)
    duotone: Duotone | None = new_key(None)
    fade: Fade | None = new_key(None)
    outline: Outline | None = new_key(None)
    background: Fill | None = None
    missing: Literal["placeholder", "skip", "fail", "fallback"] = "placeholder"
    placeholder: Color = "#d5dae3"
    fallback: Annotated[str, Field(max_length=2000), AfterValidator(partial(read_reference, "logo"))] = ""

    @model_validator(mode="after")
    def _check_mask(self) -> Self:
        if self.mask == "polygon" and len(self.mask_points) < MIN_CORNERS:
            raise ValueError(
                gettext(
                    "A polygon mask needs %(min)s or more mask_points: pairs of fractions of the image", min=MIN_CORNERS
                )
            )
        return self

    @property
    def layer_mask(self) -> LayerMask | None:
        return self.mask if isinstance(self.mask, LayerMask) else None

    @model_validator(mode="after")
    def _check_fallback(self) -> Self:
        if self.missing == "fallback" and not self.fallback:
            raise ValueError(gettext("Enter the URL of the fallback image"))
        return self

    def bound_texts(self) -> tuple[BoundText, ...]:
        return (parse_bindings(self.source),)

    def content_fields(self) -> frozenset[str]:
        fields = super().content_fields()
        return fields | parse_expression(self.bound[SOURCE]).fields if SOURCE in self.bound else fields


class CodeLayer(MaskableLayer):
    """A QR code (ISO/IEC 18004) or a barcode: Code 128 (ISO/IEC 15417), EAN-13, EAN-8 or UPC-A (ISO/IEC 15420).

    `gtin` is EAN-13, EAN-8 or UPC-A, whichever the number is. Blanks and dashes in numbers are ignored. An empty
    content renders nothing. A content that the code cannot encode fails the row, since a wrong code would be worse
    than none.
    """

    type: Literal["code"]
    code: Literal["qr", "code128", "ean13", "ean8", "upca", "gtin"] = "qr"
    content: Bound
    color: Color = "#000000"
    background: Fill | None = "#ffffff"
    correction: Literal["L", "M", "Q", "H"] = "M"
    padding: Annotated[int, Field(ge=0, le=500), PIXELS] = 12

    def bound_texts(self) -> tuple[BoundText, ...]:
        return (parse_bindings(self.content),)


class RatingLayer(MaskableLayer):
    """A row of stars, filled up to `value`, including a part of a star. A value without a number renders nothing."""

    type: Literal["rating"]
    value: Bound
    stars: Annotated[int, Field(ge=1, le=10)] = 5
    color: Color = "#f4a83d"
    empty: Color = "#d5dae3"

    def bound_texts(self) -> tuple[BoundText, ...]:
        return (parse_bindings(self.value),)


class Container(MaskableLayer):
    """A layer that contains layers. `clip` cuts them off at the edges of its box, with its round corners."""

    layers: Annotated[tuple["AnyLayer", ...], Field(max_length=MAX_LAYERS)]
    clip: bool = False

    def content_fields(self) -> frozenset[str]:
        return frozenset[str]().union(*(layer.fields() for layer in self.layers))


class GroupLayer(Container):
    """Layers with positions of their own, relative to the group. They rotate, fade and blend together."""

    type: Literal["group"]


class Repeat(DocumentPart):
    """A stack that shows its layers once for each entry of a list, such as the photos or the features of a product."""

    field: BoundName
    limit: Annotated[int, Field(ge=1, le=MAX_REPEATS)] = 5


class StackLayer(Container):
    """Layers in a row or a column, one after the other. What is hidden or empty takes no room.

    `justify` places them along the stack, `align` across it. Layers that do not fit shrink, as their `sizing` says.
    `mirror` swaps left and right: always, or with `auto` if the locale of the image is written from right to left.
    """

    type: Literal["stack"]
    direction: Literal["row", "column"] = "column"
    gap: Annotated[int, Field(ge=0, le=MAX_SIDE), PIXELS] = 0
    padding: Annotated[int, Field(ge=0, le=MAX_SIDE), PIXELS] = 0
    align: Literal["start", "center", "end", "stretch", "baseline"] = "start"
    justify: Literal["start", "center", "end", "space-between", "space-evenly"] = "start"
    wrap: bool = False
    background: Fill | None = None
    repeat: Repeat | None = None
    mirror: Literal["never", "auto", "always"] = new_key("never")

    def decided(self) -> tuple[str, ...]:
        return (*super().decided(), *(("mirror",) if self.mirror == OF_LOCALE else ()))

    @model_validator(mode="after")
    def _check_direction(self) -> Self:
        if self.direction == "column" and (self.wrap or self.align == "baseline"):
            raise ValueError(gettext("Only a row can wrap or be aligned by the baseline"))
        return self

    def own_fields(self) -> frozenset[str]:
        return super().own_fields() | ({self.repeat.field} if self.repeat else frozenset())

    def content_fields(self) -> frozenset[str]:
        fields = super().content_fields()
        if self.repeat is None:
            return fields
        return frozenset(name for name in fields if not is_entry_name(name)) | {self.repeat.field}


AnyLayer = Annotated[
    ShapeLayer | ImageLayer | TextLayer | CodeLayer | RatingLayer | GroupLayer | StackLayer,
    Field(discriminator="type"),
]  # fmt: skip
for _container in (GroupLayer, StackLayer):
    _container.model_rebuild()


def walk_layers(layers: Iterable[AnyLayer]) -> Iterator[AnyLayer]:
    """Yield layers and all layers in them, each container before its content."""
    for layer in layers:
        yield layer
        if isinstance(layer, Container):
            yield from walk_layers(layer.layers)


def pair_masks(layers: Iterable[AnyLayer]) -> list[tuple[AnyLayer, AnyLayer | None]]:
    """Return the layers of a canvas or a container that are rendered, each with the one that is its mask, if any.

    Hidden layers and masks are not rendered; a mask that is hidden has no effect.
    """
    named = {layer.name: layer for layer in layers}
    masks = {layer.layer_mask.layer for layer in named.values() if layer.layer_mask}
    pairs = []
    for layer in named.values():
        if not layer.hidden and layer.name not in masks:
            mask = named.get(layer.layer_mask.layer) if layer.layer_mask else None
            pairs.append((layer, None if mask is None or mask.hidden else mask))
    return pairs

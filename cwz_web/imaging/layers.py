"""The layers of a template: what each kind holds, and what is valid. Layers are rendered in order, the first one lowest.

Lengths are pixels of the canvas, angles are degrees clockwise, colors are `#rrggbb` or `#rrggbbaa`. A length is marked
with PIXELS, so that a whole template can be rendered at two or three times its size.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from cwz_web.imaging.bindings import FIELD_NAME, BoundText, parse
from cwz_web.imaging.fonts import FAMILIES

MAX_SIDE = 4096
# Parameters that a signed URL keeps for itself, so no field can have these names.
RESERVED_FIELDS = {"s", "k", "e", "v"}
PIXELS = "pixels"

_uploaded_font = re.compile(r"\Aupload:[0-9a-f]{64}\Z")


def _bound(value: str) -> str:
    parse(value)
    return value


def _font(value: str) -> str:
    if value not in FAMILIES and not _uploaded_font.match(value):
        raise ValueError(f"There is no font {value}; there are {', '.join(sorted(FAMILIES))}")
    return value


def _not_reserved(value: str) -> str:
    if value in RESERVED_FIELDS:
        raise ValueError(f"{value} is reserved for signed URLs; choose another name")
    return value


Color = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}(?:[0-9a-fA-F]{2})?$")]
FieldName = Annotated[str, Field(pattern=rf"^{FIELD_NAME}$"), AfterValidator(_not_reserved)]
Bound = Annotated[str, Field(max_length=2000), AfterValidator(_bound)]
Position = Annotated[int, Field(ge=-MAX_SIDE, le=MAX_SIDE), PIXELS]
Length = Annotated[int, Field(ge=1, le=MAX_SIDE), PIXELS]
Thickness = Annotated[float, Field(ge=0, le=200), PIXELS]
Fraction = Annotated[float, Field(ge=0, le=1)]
Point = tuple[Fraction, Fraction]
Anchor = Literal[
    "top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right"
]  # fmt: skip


class Strict(BaseModel):
    """A part of a document: what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=10_000)

    def scaled(self, factor: int) -> Self:
        """The same with every length multiplied."""
        return self.model_copy(
            update={
                name: value * factor if PIXELS in field.metadata and value is not None else _scaled(value, factor)
                for name, field in type(self).model_fields.items()
                if (value := getattr(self, name)) is not None
            }
        )


def _scaled(value: object, factor: int) -> object:
    if isinstance(value, Strict):
        return value.scaled(factor)
    if isinstance(value, tuple):
        return tuple(_scaled(each, factor) for each in value)
    return value


class Gradient(Strict):
    """A gradient of two or three colors. `angle` of a linear one: 0 runs to the right, 90 downwards."""

    type: Literal["linear", "radial"] = "linear"
    start: Color
    middle: Color | None = None
    end: Color
    angle: Annotated[float, Field(ge=-360, le=360)] = 90


# Which of the two is meant is told by the form, so that a wrong one gets one message.
Fill = Annotated[
    Annotated[Color, Tag("color")] | Annotated[Gradient, Tag("gradient")],
    Discriminator(lambda fill: "gradient" if isinstance(fill, dict | Gradient) else "color"),
]


class Border(Strict):
    """A line of one color along the edge of a layer, inside of its box."""

    color: Color
    width: Annotated[float, Field(gt=0, le=200), PIXELS]


class Stroke(Strict):
    """A line of one color around letters, outside of them."""

    color: Color
    width: Annotated[float, Field(gt=0, le=40), PIXELS]


class Shadow(Strict):
    """What the layer throws on the layers below it. `blur` is the standard deviation of a Gauss curve."""

    color: Color = "#00000066"
    x: Annotated[int, Field(ge=-500, le=500), PIXELS] = 0
    y: Annotated[int, Field(ge=-500, le=500), PIXELS] = 8
    blur: Annotated[float, Field(ge=0, le=100), PIXELS] = 12


class Condition(Strict):
    """Whether a layer is rendered for a row. `more` and `less` compare numbers; a text without one is neither."""

    field: FieldName
    test: Annotated[
        Literal["filled", "empty", "equal", "different", "contains", "more", "less"], Field(alias="is")
    ] = "filled"  # fmt: skip
    value: Annotated[str, Field(max_length=200)] = ""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class Layer(Strict):
    """What every layer has.

    (`x`, `y`) is where the box's anchor lies. The box turns around its middle. A hidden layer is never rendered; whether a
    layer is locked only matters to the designer.
    """

    name: Annotated[str, Field(min_length=1, max_length=60, pattern=r"^\S(?:.*\S)?$")]
    x: Position
    y: Position
    width: Length
    height: Length
    anchor: Anchor = "top-left"
    rotation: Annotated[float, Field(ge=-360, le=360)] = 0
    opacity: Fraction = 1
    radius: Annotated[float, Field(ge=0, le=MAX_SIDE), PIXELS] = 0
    border: Border | None = None
    shadow: Shadow | None = None
    show_if: Condition | None = None
    hidden: bool = False
    locked: bool = False

    @property
    def left(self) -> int:
        """The left edge of the box."""
        return self.x - (0 if "left" in self.anchor else self.width if "right" in self.anchor else self.width // 2)

    @property
    def top(self) -> int:
        """The upper edge of the box."""
        return self.y - (0 if "top" in self.anchor else self.height if "bottom" in self.anchor else self.height // 2)

    def bound(self) -> BoundText | None:
        """The text with bindings that decides what the layer shows, if it has one."""
        return None

    def content_fields(self) -> frozenset[str]:
        """The columns that decide what the layer looks like when it is rendered."""
        bound = self.bound()
        return bound.fields if bound else frozenset()

    def fields(self) -> frozenset[str]:
        """The columns that decide how the layer looks, and whether it is rendered at all."""
        return self.content_fields() | ({self.show_if.field} if self.show_if else set())


class ShapeLayer(Layer):
    """A rectangle, an ellipse, a line or a polygon. `points` of the last two are fractions of the box."""

    type: Literal["shape"]
    shape: Literal["rectangle", "ellipse", "line", "polygon"] = "rectangle"
    fill: Fill | None = None
    points: Annotated[tuple[Point, ...], Field(max_length=60)] = ()

    @model_validator(mode="after")
    def _enough_points(self) -> Self:
        least = {"line": 2, "polygon": 3}.get(self.shape, 0)
        if len(self.points) < least:
            raise ValueError(f"A {self.shape} has at least {least} points, each a pair of fractions of the box")
        return self


class ImageLayer(Layer):
    """An image: a URL, or `upload:<sha256>` for one that the workspace keeps.

    `focus` is what stays in sight when `cover` cuts: the middle, what renders the eye (`attention`), or a point in
    fractions of the image. `missing` says what happens when the image cannot be had: render a placeholder, leave
    the layer out, fail the row, or show the image that `fallback` names.
    """

    type: Literal["image"]
    source: Bound
    fit: Literal["cover", "contain", "fill"] = "cover"
    focus: Literal["center", "attention"] | Point = "center"
    mask: Literal["box", "circle"] = "box"
    grayscale: bool = False
    background: Fill | None = None
    missing: Literal["placeholder", "skip", "fail", "fallback"] = "placeholder"
    placeholder: Color = "#d5dae3"
    fallback: Annotated[str, Field(max_length=2000)] = ""

    @model_validator(mode="after")
    def _fallback_is_given(self) -> Self:
        if self.missing == "fallback" and not self.fallback:
            raise ValueError("Give the address of the image to fall back on")
        return self

    def bound(self) -> BoundText:
        return parse(self.source)


class TextLayer(Layer):
    """Plain text, never markup: wrapped into the box, made smaller down to `min_size`, then cut with an ellipsis.

    `background`, `radius` and `border` render a box behind it: the layer's own, or with `hug` one that fits the text.
    """

    type: Literal["text"]
    text: Bound
    font: Annotated[str, AfterValidator(_font)] = "Inter"
    weight: Annotated[int, Field(ge=100, le=900, multiple_of=100)] = 400
    italic: bool = False
    size: Annotated[int, Field(ge=6, le=1000), PIXELS]
    min_size: Annotated[int | None, Field(ge=6, le=1000), PIXELS] = None
    color: Color = "#111111"
    align: Literal["start", "center", "end", "justify"] = "start"
    valign: Literal["top", "middle", "bottom"] = "top"
    line_height: Annotated[float, Field(ge=0.7, le=3)] = 1.2
    letter_spacing: Annotated[float, Field(ge=-20, le=100), PIXELS] = 0
    max_lines: Annotated[int, Field(ge=1, le=50)] = 1
    case: Literal["none", "upper", "lower", "title"] = "none"
    stroke: Stroke | None = None
    background: Fill | None = None
    padding: Annotated[int, Field(ge=0, le=500), PIXELS] = 0
    hug: bool = False

    def bound(self) -> BoundText:
        return parse(self.text)


class CodeLayer(Layer):
    """A QR code (ISO/IEC 18004) or a barcode: Code 128 (ISO/IEC 15417) or EAN-13 (ISO/IEC 15420).

    An empty content renders nothing. What a code cannot hold fails the row: a wrong code is worse than none.
    """

    type: Literal["code"]
    code: Literal["qr", "code128", "ean13"] = "qr"
    content: Bound
    color: Color = "#000000"
    background: Fill | None = "#ffffff"
    correction: Literal["L", "M", "Q", "H"] = "M"
    padding: Annotated[int, Field(ge=0, le=500), PIXELS] = 12

    def bound(self) -> BoundText:
        return parse(self.content)


class RatingLayer(Layer):
    """A row of stars, of which `value` are filled, parts of a star included. Without a number, nothing is rendered."""

    type: Literal["rating"]
    value: Bound
    stars: Annotated[int, Field(ge=1, le=10)] = 5
    color: Color = "#f4a83d"
    empty: Color = "#d5dae3"

    def bound(self) -> BoundText:
        return parse(self.value)


AnyLayer = Annotated[
    ShapeLayer | ImageLayer | TextLayer | CodeLayer | RatingLayer, Field(discriminator="type")
]  # fmt: skip

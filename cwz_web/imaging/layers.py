"""The layers of a template and their validation. Layers are rendered in order, the first one lowest.

Lengths are pixels of the canvas, angles are degrees clockwise, colors are `#rrggbb` or `#rrggbbaa`. Lengths are marked
with PIXELS, so that a template can be rendered at two or three times its size.
"""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from cwz_web.imaging.bindings import BOUND_NAME, FIELD_NAME, BoundText, is_entry_name, parse_bindings
from cwz_web.imaging.blending import BlendMode
from cwz_web.imaging.expression_syntax import MAX_LENGTH as MAX_EXPRESSION_LENGTH
from cwz_web.imaging.expressions import parse_expression
from cwz_web.imaging.fonts import FAMILIES
from cwz_web.imaging.icons import check_icon
from cwz_web.imaging.line_breaking import can_hyphenate
from cwz_web.imaging.processors import PROCESSOR_NAME

MAX_SIDE = 4096
MAX_LAYERS = 100
MAX_SPANS = 30
MAX_FONT_SIZE = 1000
# Query parameters of signed URLs, which fields must not shadow.
RESERVED_FIELDS = {"s", "k", "e", "v"}
PIXELS = "pixels"
# The width and height of a layer whose sizing decides about both.
DEFAULT_SIDE = 100
# How deep groups and stacks can be nested.
MAX_DEPTH = 6
MAX_REPEATS = 20
MIN_CORNERS = 3

SOURCE = "source"
# The properties that an expression can decide.
BINDABLE = frozenset(
    [
        *("x", "y", "width", "height", "rotation", "opacity", "background", "fill", "color", "font", "size", "weight"),
        *("focus", "icon", SOURCE),
    ]
)

# Those of a span.
SPAN_BINDABLE = frozenset(
    ["font", "weight", "italic", "scale", "color", "strike", "underline", "highlight"],
)
# The language of a text and the mirroring of a stack that depend on the locale of the image.
OF_LOCALE = "auto"

_uploaded_font = re.compile(r"\Aupload:[0-9a-f]{64}\Z")


def _check_bindings(value: str) -> str:
    parse_bindings(value)
    return value


def _check_expression(value: str) -> str:
    parse_expression(value)
    return value


def _check_font(value: str) -> str:
    if value not in FAMILIES and not _uploaded_font.match(value):
        raise ValueError(f"Unknown font: {value[:60]}. Use an upload or one of: {', '.join(sorted(FAMILIES))}")
    return value


def _check_not_reserved(value: str) -> str:
    if value in RESERVED_FIELDS:
        raise ValueError(f"{value} is reserved for signed URLs. Choose another name")
    return value


Color = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}(?:[0-9a-fA-F]{2})?$")]
FieldName = Annotated[str, Field(pattern=rf"^{FIELD_NAME}$"), AfterValidator(_check_not_reserved)]
# A field, or a part of the entry of a repeated stack.
BoundName = Annotated[str, Field(pattern=rf"^{BOUND_NAME}$"), AfterValidator(_check_not_reserved)]
Bound = Annotated[str, Field(max_length=2000), AfterValidator(_check_bindings)]
IconName = Annotated[
    str,
    Field(
        max_length=60,
        description="The name of an icon at https://lucide.dev/icons.",
        examples=["shopping-cart", "truck", "star", "badge-percent", "arrow-right"],
    ),
    AfterValidator(check_icon),
]
ExpressionText = Annotated[str, Field(max_length=MAX_EXPRESSION_LENGTH), AfterValidator(_check_expression)]
LayerName = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^\S(?:.*\S)?$")]
Position = Annotated[int, Field(ge=-MAX_SIDE, le=MAX_SIDE), PIXELS]
Length = Annotated[int, Field(ge=1, le=MAX_SIDE), PIXELS]
Fraction = Annotated[float, Field(ge=0, le=1)]
Point = tuple[Fraction, Fraction]
Anchor = Literal[
    "top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right"
]  # fmt: skip


def new_key(default: Any) -> Any:
    """Define a key that documents did not have at first.

    It is left out of the canonical document while it has its default, so that the digests of documents without the key,
    and with them the URLs of their images, stay as they were.
    """
    return Field(default=default, exclude_if=lambda value: value == default)


class DocumentPart(BaseModel):
    """A part of a document, which rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=10_000)

    def scaled(self, factor: int) -> Self:
        """Return a copy with every length multiplied."""
        return self.model_copy(
            update={
                name: value * factor if PIXELS in field.metadata and value is not None else _scaled(value, factor)
                for name, field in type(self).model_fields.items()
                if (value := getattr(self, name)) is not None
            }
        )


def _scaled(value: object, factor: int) -> object:
    if isinstance(value, DocumentPart):
        return value.scaled(factor)
    if isinstance(value, tuple):
        return tuple(_scaled(each, factor) for each in value)
    return value


class GradientStop(DocumentPart):
    """A color of a gradient at a fraction of the way from its start to its end."""

    offset: Fraction
    color: Color


class Gradient(DocumentPart):
    """A gradient of two to eight colors: `start`, `stops` or a `middle` between them, and `end`.

    A linear one has an `angle`: 0 runs to the right, 90 down. A conic one turns clockwise around the center and begins
    at its `angle`: 0 is to the right, 90 below.
    """

    type: Literal["linear", "radial", "conic"] = "linear"
    start: Color
    middle: Color | None = None
    stops: Annotated[tuple[GradientStop, ...], Field(max_length=6)] = new_key(())
    end: Color
    angle: Annotated[float, Field(ge=-360, le=360)] = 90

    @model_validator(mode="after")
    def _check_stops(self) -> Self:
        if self.middle and self.stops:
            raise ValueError("A gradient has either a middle or stops. Make the middle a stop at 0.5")
        offsets = [stop.offset for stop in self.stops]
        if offsets != sorted(offsets):
            raise ValueError("The stops of a gradient are in the order of their offsets, the smallest one first")
        return self

    def colors(self) -> list[tuple[float, str]]:
        """Return all colors with their offsets from 0 to 1."""
        middle = [(0.5, self.middle)] if self.middle else [(stop.offset, stop.color) for stop in self.stops]
        return [(0.0, self.start), *middle, (1.0, self.end)]


# A discriminated union, so that an invalid value gets one error message and not two.
Fill = Annotated[
    Annotated[Color, Tag("color")] | Annotated[Gradient, Tag("gradient")],
    Discriminator(lambda fill: "gradient" if isinstance(fill, dict | Gradient) else "color"),
]


class Border(DocumentPart):
    """A line in one color along the inside of a layer's edge, with `dash` in dashes of this length and gaps as long."""

    color: Color
    width: Annotated[float, Field(gt=0, le=200), PIXELS]
    dash: Annotated[float | None, Field(ge=1, le=500), PIXELS] = new_key(None)


class Stroke(DocumentPart):
    """A line in one color along the edge of letters: below the letters if it is outside, otherwise above them."""

    color: Color
    width: Annotated[float, Field(gt=0, le=40), PIXELS]
    position: Literal["outside", "center", "inside"] = new_key("outside")


class Outline(DocumentPart):
    """A line in one color around the visible pixels of a photo."""

    color: Color
    width: Annotated[float, Field(gt=0, le=40), PIXELS]


class Shadow(DocumentPart):
    """The shadow of a layer on the layers below. `blur` is the standard deviation of a Gaussian blur."""

    color: Color = "#00000066"
    x: Annotated[int, Field(ge=-500, le=500), PIXELS] = 0
    y: Annotated[int, Field(ge=-500, le=500), PIXELS] = 8
    blur: Annotated[float, Field(ge=0, le=100), PIXELS] = 12


# One shadow or several, the first one on top.
Shadows = Annotated[
    Annotated[Shadow, Tag("one")] | Annotated[tuple[Shadow, ...], Tag("several"), Field(min_length=1, max_length=4)],
    Discriminator(lambda shadows: "several" if isinstance(shadows, list | tuple) else "one"),
]


class Adjustments(DocumentPart):
    """Adjustments of a photo. Brightness, contrast and saturation are factors; 1 changes nothing.

    `sharpen` is an amount from 0 to 1, `blur` the standard deviation of a Gaussian blur.
    """

    brightness: Annotated[float, Field(ge=0, le=4)] = 1
    contrast: Annotated[float, Field(ge=0, le=4)] = 1
    saturation: Annotated[float, Field(ge=0, le=4)] = 1
    sharpen: Fraction = 0
    blur: Annotated[float, Field(ge=0, le=100), PIXELS] = 0


class Duotone(DocumentPart):
    """Two colors that replace the dark and the light tones of a photo."""

    dark: Color = "#000000"
    light: Color = "#ffffff"


class Fade(DocumentPart):
    """A layer's transition to transparent: 0 degrees runs to the right, 90 down.

    `start` and `end` are fractions of the way: opaque up to the first, transparent from the second on.
    """

    angle: Annotated[float, Field(ge=-360, le=360)] = 90
    start: Fraction = 0
    end: Fraction = 1

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.start > self.end:
            raise ValueError("A fade starts before it ends: choose a start that is not larger than the end")
        return self


class LayerMask(DocumentPart):
    """Another layer of the same canvas or group that shows a layer where it is itself, and is not rendered.

    `alpha`: as far as it is opaque. `luminance`: as far as it is also bright.
    """

    layer: LayerName
    mode: Literal["alpha", "luminance"] = "alpha"


class Condition(DocumentPart):
    """A condition on a field. `more` and `less` compare numbers; they are false if a value is not a number."""

    field: BoundName
    test: Annotated[
        Literal["filled", "empty", "equal", "different", "contains", "more", "less"], Field(alias="is")
    ] = "filled"  # fmt: skip
    value: Annotated[str, Field(max_length=200)] = ""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


# A discriminated union, as Fill is.
ShowIf = Annotated[
    Annotated[Condition, Tag("condition")] | Annotated[ExpressionText, Tag("expression")],
    Discriminator(lambda value: "expression" if isinstance(value, str) else "condition"),
]


class Sizing(DocumentPart):
    """How a layer's box gets its size: `fixed`, from its content (`hug`), or from the room in its stack (`fill`).

    The limits apply to `hug` and `fill`. In a stack without enough room, layers with a higher `shrink` become smaller
    first, down to their minimum; those with 0 keep their size.
    """

    width: Literal["fixed", "hug", "fill"] = "fixed"
    height: Literal["fixed", "hug", "fill"] = "fixed"
    min_width: Annotated[Length | None, PIXELS] = None
    max_width: Annotated[Length | None, PIXELS] = None
    min_height: Annotated[Length | None, PIXELS] = None
    max_height: Annotated[Length | None, PIXELS] = None
    shrink: Annotated[int, Field(ge=0, le=9)] = 1

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        for side in ("width", "height"):
            low, high = getattr(self, f"min_{side}"), getattr(self, f"max_{side}")
            if low and high and low > high:
                raise ValueError(f"min_{side} is larger than max_{side}. Enter at most {high}")
        return self


class Pins(DocumentPart):
    """How a layer follows the size of its group or canvas: by its distance to edges, or in proportion (`scale`)."""

    horizontal: Literal["left", "right", "both", "center", "scale"] = "left"
    vertical: Literal["top", "bottom", "both", "center", "scale"] = "top"


def _split_bound_properties(part: dict[str, Any], bindable: AbstractSet[str] = BINDABLE) -> dict[str, Any]:
    """Return a layer or a span with its bound properties as their defaults, and with the expressions in `bound`."""
    split, bound = dict(part), {}
    for name, value in part.items():
        if name in bindable and isinstance(value, dict) and "value" in value and value.keys() <= {"value", "default"}:
            bound[name] = value["value"]
            del split[name]
            split |= {name: value["default"]} if "default" in value else {}
    if bound and isinstance(part.get("bound", {}), dict):
        split["bound"] = {**part.get("bound", {}), **bound}
    return split


def _check_bound(bound: AbstractSet[str], possible: AbstractSet[str]) -> None:
    if unknown := sorted(bound - possible):
        raise ValueError(f"{unknown[0]} cannot be bound. Use one of: {', '.join(sorted(possible))}")


def count_expressions(layer: dict[str, Any]) -> int:
    """Return how many expressions a layer of a document has that is not validated yet, without the layers in it."""
    bound = [_split_bound_properties(layer).get("bound")]
    spans = layer.get("spans")
    for span in spans if isinstance(spans, list | tuple) else ():
        bound += [_split_bound_properties(span, SPAN_BINDABLE).get("bound")] if isinstance(span, dict) else []
    return isinstance(layer.get("show_if"), str) + sum(len(each) for each in bound if isinstance(each, dict))


def _describe_bound_properties(schema: dict[str, Any], part: type[DocumentPart]) -> None:
    """Say in the JSON Schema of a layer or a span which properties can be an expression with a default."""
    properties = schema["properties"]
    bindable = BINDABLE if issubclass(part, Layer) else SPAN_BINDABLE
    for name in sorted(bindable & properties.keys()):
        own = properties[name]
        described = {key: own.pop(key) for key in ("title", "description", "default") if key in own}
        expression = {"type": "string", "maxLength": MAX_EXPRESSION_LENGTH, "description": "An expression in CEL."}
        bound = {
            "type": "object",
            "properties": {"value": expression, "default": own},
            "required": ["value"],
            "additionalProperties": False,
        }
        properties[name] = {"anyOf": [own, bound], **described}


class Layer(DocumentPart):
    """What all layers have in common.

    (`x`, `y`) is the position of the box's anchor, on the canvas or in the layer's group; a stack ignores it. The box
    rotates around its center. A hidden layer is never rendered; `locked` only concerns the designer.

    `bound` has the expressions of properties; the property itself is their default. A document can write both at once:
    `"color": {"value": "brand_color", "default": "#111111"}`.
    """

    model_config = ConfigDict(json_schema_extra=_describe_bound_properties)

    name: LayerName
    x: Position = 0
    y: Position = 0
    width: Length = DEFAULT_SIDE
    height: Length = DEFAULT_SIDE
    sizing: Sizing = new_key(Sizing())
    pins: Pins | None = new_key(None)
    anchor: Anchor = "top-left"
    rotation: Annotated[float, Field(ge=-360, le=360)] = 0
    opacity: Fraction = 1
    blend: BlendMode = new_key("normal")
    radius: Annotated[float, Field(ge=0, le=MAX_SIDE), PIXELS] = 0
    border: Border | None = None
    shadow: Shadows | None = None
    show_if: ShowIf | None = None
    hidden: bool = False
    locked: bool = False
    bound: dict[str, ExpressionText] = new_key({})

    @model_validator(mode="before")
    @classmethod
    def _split_bound_properties(cls, layer: Any) -> Any:
        return _split_bound_properties(layer) if isinstance(layer, dict) else layer

    @model_validator(mode="after")
    def _check_bound(self) -> Self:
        _check_bound(self.bound.keys(), BINDABLE & type(self).model_fields.keys())
        return self

    @model_validator(mode="after")
    def _check_sides(self) -> Self:
        for side in ("width", "height"):
            if getattr(self.sizing, side) == "fixed" and side not in self.model_fields_set:
                raise ValueError(f"Enter the {side}, or a sizing with the {side} hug or fill")
        return self

    @property
    def shadows(self) -> tuple[Shadow, ...]:
        """The shadows, the first one on top."""
        if self.shadow is None:
            return ()
        return self.shadow if isinstance(self.shadow, tuple) else (self.shadow,)

    @property
    def layer_mask(self) -> LayerMask | None:
        """The mask by another layer."""
        return None

    @property
    def left(self) -> int:
        """The x coordinate of the box's left edge."""
        return self.x - (0 if "left" in self.anchor else self.width if "right" in self.anchor else self.width // 2)

    @property
    def top(self) -> int:
        """The y coordinate of the box's top edge."""
        return self.y - (0 if "top" in self.anchor else self.height if "bottom" in self.anchor else self.height // 2)

    def bound_texts(self) -> tuple[BoundText, ...]:
        """Parse the texts with bindings that define the layer's content, if it has any."""
        return ()

    def content_fields(self) -> frozenset[str]:
        """Return the fields that the layer's content depends on."""
        return frozenset[str]().union(*(bound.fields for bound in self.bound_texts()))

    def own_fields(self) -> frozenset[str]:
        """Return the fields that the layer itself depends on, without the layers in it."""
        fields = frozenset[str]().union(*(bound.fields for bound in self.bound_texts())) | self.expression_fields()
        return fields | {self.show_if.field} if isinstance(self.show_if, Condition) else fields

    def fields(self) -> frozenset[str]:
        """Return the fields that the layer's content, its condition or its bound properties depend on."""
        return self.content_fields() | self.own_fields()

    def expressions(self) -> tuple[str, ...]:
        """Return the expressions of the layer's condition and its bound properties."""
        condition = (self.show_if,) if isinstance(self.show_if, str) else ()
        return (*condition, *self.bound.values())

    def decided(self) -> tuple[str, ...]:
        """Return the names of the properties that a row or the locale of its image decides."""
        return tuple(sorted(self.bound))

    def expression_fields(self) -> frozenset[str]:
        """Return the fields that these expressions depend on."""
        return frozenset[str]().union(*(parse_expression(source).fields for source in self.expressions()))


class MaskableLayer(Layer):
    """A layer that can have another layer as its mask. Images have it among their other masks."""

    mask: LayerMask | None = new_key(None)

    @property
    def layer_mask(self) -> LayerMask | None:
        return self.mask


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
            raise ValueError(f"A {self.shape} needs at least {required} points, each a pair of fractions of the box")
        return self

    @model_validator(mode="after")
    def _check_icon(self) -> Self:
        if self.shape != "icon":
            return self
        if self.icon is None:
            raise ValueError("Enter an icon, such as shopping-cart. An expression needs one as its default")
        if self.fill is None:
            raise ValueError("Enter a fill, which is the color of the icon")
        if self.border:
            raise ValueError("An icon has no border. Use fill for its color and stroke_width for its lines")
        return self


class ImageLayer(Layer):
    """An image from a URL or from the workspace's uploads (`upload:<sha256>`).

    `fit`: `trim` finds the product on a uniform ground and shows it with a padding of `trim_padding` on all sides, a
    fraction of the box's shorter side; a photo without such a ground is contained. `extend` contains the image and
    continues its edges. `focus` is the focal point when `cover` crops the image: the center, its most salient part
    (`attention`), the faces in it (`face`), or a point in fractions of the image. `missing` decides what happens if the
    image is not available: render a placeholder, skip the layer, fail the row, or use the image that `fallback` refers
    to.
    `outline` follows the visible pixels: it is that of a cut-out, a circle or a polygon.
    `process` names an image processor that changes the photo first, such as `cutout`; if it fails, the photo is shown
    as it is.
    """

    type: Literal["image"]
    source: Bound
    fit: Literal["cover", "contain", "fill", "trim", "extend"] = "cover"
    trim_padding: Annotated[float, Field(ge=0, le=0.45)] = new_key(0.08)
    focus: Literal["center", "attention", "face"] | Point = "center"
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
    fallback: Annotated[str, Field(max_length=2000)] = ""

    @model_validator(mode="after")
    def _check_mask(self) -> Self:
        if self.mask == "polygon" and len(self.mask_points) < MIN_CORNERS:
            raise ValueError(f"A polygon mask needs {MIN_CORNERS} or more mask_points: pairs of fractions of the image")
        return self

    @property
    def layer_mask(self) -> LayerMask | None:
        return self.mask if isinstance(self.mask, LayerMask) else None

    @model_validator(mode="after")
    def _check_fallback(self) -> Self:
        if self.missing == "fallback" and not self.fallback:
            raise ValueError("Enter the URL of the fallback image")
        return self

    def bound_texts(self) -> tuple[BoundText, ...]:
        return (parse_bindings(self.source),)

    def content_fields(self) -> frozenset[str]:
        fields = super().content_fields()
        return fields | parse_expression(self.bound[SOURCE]).fields if SOURCE in self.bound else fields


class TextSpan(DocumentPart):
    """A part of a text with a style of its own; what it leaves open is as in the layer.

    `scale` is the font size relative to the layer's. A `super` or `sub` belongs to the span before it: the capitals and
    digits of a `super` are as high as those of that span, and its scale is 0.6 of that, unless it has one of its own.
    `highlight` is a color behind the letters. `gradient` colors the letters of all spans that have the same one.
    `bound` has the expressions of properties, as that of a layer has.
    """

    model_config = ConfigDict(json_schema_extra=_describe_bound_properties)

    text: Bound
    font: Annotated[str | None, AfterValidator(lambda font: font and _check_font(font))] = None
    weight: Annotated[int | None, Field(ge=100, le=900, multiple_of=100)] = None
    italic: bool | None = None
    scale: Annotated[float | None, Field(ge=0.1, le=4)] = None
    color: Color | None = None
    gradient: Gradient | None = None
    strike: bool | None = None
    underline: bool | None = None
    position: Literal["normal", "super", "sub"] = "normal"
    highlight: Color | None = None
    bound: dict[str, ExpressionText] = new_key({})

    @model_validator(mode="before")
    @classmethod
    def _split_bound_properties(cls, span: Any) -> Any:
        return _split_bound_properties(span, SPAN_BINDABLE) if isinstance(span, dict) else span

    @model_validator(mode="after")
    def _check_bound(self) -> Self:
        _check_bound(self.bound.keys(), SPAN_BINDABLE)
        return self


class TextLayer(MaskableLayer):
    """Text: wrapped into the box, reduced down to `min_size`, then cut with an ellipsis.

    This is the `fit` `shrink`; `grow` enlarges it up to `max_size` first, `ellipsis` and `clip` keep its size and cut
    it with and without an ellipsis. `balance` makes lines about as long as each other.
    It has a `text` in one style, or `spans` in several. Spans are joined as they are: blanks between them are a part of
    their texts. A span whose text is empty in a row disappears. All lines are as high as the largest span needs.

    `gradient` colors the ink of the letters in the place of `color`. `figures` that are tabular have one width.
    `direction` is that of paragraphs; `auto` is the direction of their first letter. `language` (BCP 47) affects case
    and hyphens; `auto` is that of the image's locale. Words are hyphenated only with `hyphens`.
    Paragraphs are the lines of the text as it is written: they are `paragraph_gap` apart, relative to the font size.
    With a `list_style`, each has a `bullet` or a number, beside which its lines are indented.
    `background`, `radius` and `border` render a box behind the text: the layer's own, with `hug` one that fits the
    text, or with `box` `lines` one behind each line.
    """

    type: Literal["text"]
    text: Bound | None = None
    spans: Annotated[tuple[TextSpan, ...], Field(max_length=MAX_SPANS)] = new_key(())
    font: Annotated[str, AfterValidator(_check_font)] = "Inter"
    weight: Annotated[int, Field(ge=100, le=900, multiple_of=100)] = 400
    italic: bool = False
    size: Annotated[int, Field(ge=6, le=MAX_FONT_SIZE), PIXELS]
    min_size: Annotated[int | None, Field(ge=6, le=MAX_FONT_SIZE), PIXELS] = None
    max_size: Annotated[int | None, Field(ge=6, le=MAX_FONT_SIZE), PIXELS] = new_key(None)
    fit: Literal["shrink", "grow", "ellipsis", "clip"] = new_key("shrink")
    balance: bool = new_key(False)
    color: Color = "#111111"
    gradient: Gradient | None = new_key(None)
    strike: bool = new_key(False)
    underline: bool = new_key(False)
    figures: Literal["default", "tabular"] = new_key("default")
    align: Literal["start", "center", "end", "justify"] = "start"
    valign: Literal["top", "middle", "bottom"] = "top"
    line_height: Annotated[float, Field(ge=0.7, le=3)] = 1.2
    letter_spacing: Annotated[float, Field(ge=-20, le=100), PIXELS] = 0
    max_lines: Annotated[int, Field(ge=1, le=50)] = 1
    paragraph_gap: Annotated[float, Field(ge=0, le=5)] = new_key(0)
    list_style: Literal["none", "bullets", "numbers"] = new_key("none")
    bullet: Annotated[str, Field(min_length=1, max_length=8, pattern=r"^\S+$")] = new_key("•")
    case: Literal["none", "upper", "lower", "title"] = "none"
    direction: Literal["auto", "ltr", "rtl"] = "auto"
    language: Annotated[str | None, Field(pattern=r"^(auto|[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3})$")] = None
    hyphens: Literal["none", "auto"] = "none"
    stroke: Stroke | None = None
    background: Fill | None = None
    padding: Annotated[int, Field(ge=0, le=500), PIXELS] = 0
    hug: bool = False
    box: Literal["layer", "lines"] = new_key("layer")

    @model_validator(mode="after")
    def _check_spans(self) -> Self:
        if (self.text is None) == (not self.spans):
            raise ValueError("Enter either a text or spans")
        if (self.fit == "grow") != (self.max_size is not None):
            raise ValueError("The fit “grow” needs a maximum size, and other fits have none")
        if self.max_size is not None and self.max_size < self.size:
            raise ValueError(f"The maximum size is smaller than the size. Enter at least {self.size}")
        largest = max((span.scale or 1 for span in self.spans), default=1) * self.largest_size
        if largest > MAX_FONT_SIZE:
            raise ValueError(f"A span is {largest:g} pixels high; the limit is {MAX_FONT_SIZE}. Reduce its scale")
        return self

    @model_validator(mode="after")
    def _check_hyphens(self) -> Self:
        can = self.language and (self.language == OF_LOCALE or can_hyphenate(self.language))
        if self.hyphens == "auto" and not can:
            raise ValueError("Enter a language that has hyphenation, such as de or en-GB, or auto")
        return self

    @model_validator(mode="after")
    def _check_list(self) -> Self:
        if self.list_style != "none" and self.align not in ("start", "justify"):
            raise ValueError(f"A list cannot have the align {self.align}. Use start or justify")
        if self.list_style != "bullets" and self.bullet != "•":
            raise ValueError("Only a list of bullets has a bullet. Set list_style to bullets, or remove the bullet")
        return self

    @property
    def largest_size(self) -> int:
        """The largest font size that the text can have, in pixels."""
        return max(self.size, self.max_size or 0)

    def bound_texts(self) -> tuple[BoundText, ...]:
        texts = [span.text for span in self.spans] or [self.text or ""]
        return tuple(parse_bindings(text) for text in texts)

    def expressions(self) -> tuple[str, ...]:
        return (*super().expressions(), *(source for span in self.spans for source in span.bound.values()))

    def decided(self) -> tuple[str, ...]:
        spans = ("spans",) if any(span.bound for span in self.spans) else ()
        return (*super().decided(), *spans, *(("language",) if self.language == OF_LOCALE else ()))

    def fonts(self) -> list[str]:
        """Return the fonts of the text, each once."""
        return list(dict.fromkeys([self.font, *(span.font for span in self.spans if span.font)]))


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
            raise ValueError("Only a row can wrap or be aligned by the baseline")
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

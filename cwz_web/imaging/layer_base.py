"""What all layers have in common: their box, visibility, effects and bound properties."""

from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from cwz_web.i18n import gettext
from cwz_web.imaging.bindings import BoundText
from cwz_web.imaging.blending import BlendMode
from cwz_web.imaging.document_parts import (
    MAX_SIDE,
    PIXELS,
    Anchor,
    BoundName,
    DocumentPart,
    ExpressionText,
    Fraction,
    LayerName,
    Length,
    Position,
    new_key,
)
from cwz_web.imaging.expression_syntax import MAX_LENGTH as MAX_EXPRESSION_LENGTH
from cwz_web.imaging.expressions import parse_expression
from cwz_web.imaging.styles import Border, Shadow, Shadows

# The width and height of a layer whose sizing decides about both.
DEFAULT_SIDE = 100
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
# What a template cannot open to requests: what its other parts refer to, and what its images do not show.
_FIXED = frozenset(["name", "type", "layers", "style", "locked", "bound", "open"])
# The language of a text and the mirroring of a stack that depend on the locale of the image.
OF_LOCALE = "auto"


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
                raise ValueError(
                    gettext("min_%(side)s is larger than max_%(side)s. Enter at most %(max)s", side=side, max=high)
                )
        return self


class Pins(DocumentPart):
    """How a layer follows the size of its group or canvas: by its distance to edges, or in proportion (`scale`)."""

    horizontal: Literal["left", "right", "both", "center", "scale"] = "left"
    vertical: Literal["top", "bottom", "both", "center", "scale"] = "top"


def split_bound_properties(part: dict[str, Any], bindable: AbstractSet[str] = BINDABLE) -> dict[str, Any]:
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


def check_bound(bound: AbstractSet[str], possible: AbstractSet[str]) -> None:
    if unknown := sorted(bound - possible):
        names = ", ".join(sorted(possible))
        raise ValueError(gettext("%(name)s cannot be bound. Use one of: %(names)s", name=unknown[0], names=names))


def count_expressions(layer: dict[str, Any]) -> int:
    """Return how many expressions a layer of a document has that is not validated yet, without the layers in it."""
    bound = [split_bound_properties(layer).get("bound")]
    spans = layer.get("spans")
    for span in spans if isinstance(spans, list | tuple) else ():
        bound += [split_bound_properties(span, SPAN_BINDABLE).get("bound")] if isinstance(span, dict) else []
    return isinstance(layer.get("show_if"), str) + sum(len(each) for each in bound if isinstance(each, dict))


def describe_bound_properties(schema: dict[str, Any], part: type[DocumentPart]) -> None:
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

    `open` has the names of properties that a request can override, such as `["color", "hidden"]`.
    """

    model_config = ConfigDict(json_schema_extra=describe_bound_properties)

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
    open: Annotated[tuple[str, ...], Field(max_length=60)] = new_key(())

    @model_validator(mode="before")
    @classmethod
    def _split_bound_properties(cls, layer: Any) -> Any:
        return split_bound_properties(layer) if isinstance(layer, dict) else layer

    @model_validator(mode="after")
    def _check_bound(self) -> Self:
        check_bound(self.bound.keys(), BINDABLE & type(self).model_fields.keys())
        return self

    @model_validator(mode="after")
    def _check_open(self) -> Self:
        possible = self.openable()
        if unknown := sorted(set(self.open) - possible):
            names = ", ".join(sorted(possible))
            raise ValueError(gettext("%(name)s cannot be open. Use one of: %(names)s", name=unknown[0], names=names))
        return self

    @classmethod
    def openable(cls) -> frozenset[str]:
        """Return the names of the properties that a template can open to requests."""
        return frozenset(cls.model_fields) - _FIXED

    @model_validator(mode="after")
    def _check_sides(self) -> Self:
        for side in ("width", "height"):
            if getattr(self.sizing, side) == "fixed" and side not in self.model_fields_set:
                raise ValueError(
                    gettext("Enter the width, or a sizing with the width hug or fill")
                    if side == "width"
                    else gettext("Enter the height, or a sizing with the height hug or fill")
                )
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

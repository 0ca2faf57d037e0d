"""The template document: what a customer designs, as a validated, versioned JSON document.

The engine's word for it is always ImageTemplate, so that it is never taken for a Jinja template. Lengths are pixels of
the canvas, colours are `#rrggbb` or `#rrggbbaa`, layers are drawn in order, the first one lowest.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cwz_web.imaging.bindings import COLUMN, BindingError, BoundText, parse
from cwz_web.imaging.fonts import FAMILIES

MAX_SIDE = 4096
MAX_LAYERS = 100
# Parameters that a signed URL keeps for itself, so no column may bear these names.
RESERVED_COLUMNS = {"s", "k", "e", "v"}


def _bound(value: str) -> str:
    parse(value)
    return value


def _font(value: str) -> str:
    if value not in FAMILIES:
        raise ValueError(f"There is no font {value}; there are {', '.join(sorted(FAMILIES))}")
    return value


def _not_reserved(value: str) -> str:
    if value in RESERVED_COLUMNS:
        raise ValueError(f"{value} is reserved for signed URLs; choose another name")
    return value


Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}(?:[0-9a-fA-F]{2})?$")]
ColumnName = Annotated[str, Field(pattern=rf"^{COLUMN}$"), AfterValidator(_not_reserved)]
Bound = Annotated[str, Field(max_length=2000), AfterValidator(_bound)]
Position = Annotated[int, Field(ge=-MAX_SIDE, le=MAX_SIDE)]
Length = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Opacity = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """A part of a document: what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=10_000)


class Gradient(Strict):
    """A linear gradient. `angle` in degrees: 0 runs to the right, 90 downwards."""

    start: Colour
    end: Colour
    angle: Annotated[float, Field(ge=-360, le=360)] = 90


class Canvas(Strict):
    """The picture's size and what lies under every layer."""

    width: Length
    height: Length
    background: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] = "#ffffff"


class Column(Strict):
    """A value that changes from picture to picture."""

    name: ColumnName
    label: Annotated[str, Field(min_length=1, max_length=60)]
    kind: Literal["text", "image"] = "text"
    default: Annotated[str, Field(max_length=2000)] = ""


class Layer(Strict):
    """What every layer has. With `show_if`, it is drawn only for rows where that column is not empty."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    x: Position
    y: Position
    width: Length
    height: Length
    opacity: Opacity = 1
    show_if: ColumnName | None = None

    def content_columns(self) -> frozenset[str]:
        """The columns that decide what the layer looks like when it is drawn."""
        return frozenset()

    def columns(self) -> frozenset[str]:
        """The columns that decide how the layer looks, and whether it is drawn at all."""
        return self.content_columns() | ({self.show_if} if self.show_if else set())


class ShapeLayer(Layer):
    """A rectangle (rounded with `radius`) or an ellipse."""

    type: Literal["shape"]
    shape: Literal["rectangle", "ellipse"] = "rectangle"
    fill: Colour | Gradient | None = None
    stroke: Colour | None = None
    stroke_width: Annotated[float, Field(ge=0, le=200)] = 0
    radius: Annotated[float, Field(ge=0, le=MAX_SIDE)] = 0


class ImageLayer(Layer):
    """A picture: a URL, or `original:<sha256>` for one that the workspace keeps.

    `missing` says what happens when it can not be had: draw a placeholder, leave the layer out, or fail the row.
    """

    type: Literal["image"]
    source: Bound
    fit: Literal["cover", "contain", "fill"] = "cover"
    radius: Annotated[float, Field(ge=0, le=MAX_SIDE)] = 0
    missing: Literal["placeholder", "skip", "fail"] = "placeholder"
    placeholder: Colour = "#d5dae3"

    def content_columns(self) -> frozenset[str]:
        return self.bound_source().columns

    def bound_source(self) -> BoundText:
        return parse(self.source)


class TextLayer(Layer):
    """Plain text, never markup: wrapped into the box, made smaller down to `min_size`, then cut with an ellipsis."""

    type: Literal["text"]
    text: Bound
    font: Annotated[str, AfterValidator(_font)] = "Inter"
    weight: Annotated[int, Field(ge=100, le=900, multiple_of=100)] = 400
    size: Annotated[int, Field(ge=6, le=1000)]
    min_size: Annotated[int, Field(ge=6, le=1000)] | None = None
    colour: Colour = "#111111"
    align: Literal["start", "centre", "end"] = "start"
    valign: Literal["top", "middle", "bottom"] = "top"
    line_height: Annotated[float, Field(ge=0.7, le=3)] = 1.2
    letter_spacing: Annotated[float, Field(ge=-20, le=100)] = 0
    max_lines: Annotated[int, Field(ge=1, le=50)] = 1

    def content_columns(self) -> frozenset[str]:
        return self.bound_text().columns

    def bound_text(self) -> BoundText:
        return parse(self.text)


AnyLayer = Annotated[ShapeLayer | ImageLayer | TextLayer, Field(discriminator="type")]


class ImageTemplate(Strict):
    """A template: canvas, columns, layers."""

    version: Literal[1] = 1
    canvas: Canvas
    columns: Annotated[tuple[Column, ...], Field(max_length=50)] = ()
    layers: Annotated[tuple[AnyLayer, ...], Field(max_length=MAX_LAYERS)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, names in (("columns", [c.name for c in self.columns]), ("layers", [la.name for la in self.layers])):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"Two {what} share the name {', '.join(sorted(twice))}")
        return self

    @model_validator(mode="after")
    def _columns_exist(self) -> Self:
        known = {column.name for column in self.columns}
        for layer in self.layers:
            unknown = layer.columns() - known
            if unknown:
                raise ValueError(
                    f"The layer “{layer.name}” uses the column {', '.join(sorted(unknown))}, which the template"
                    f" does not have; it has {', '.join(sorted(known)) or 'none'}"
                )
        return self

    def canonical(self) -> dict[str, Any]:
        """The document as plain JSON values, with every default written out."""
        return self.model_dump(mode="json")


__all__ = ["BindingError", "Canvas", "Column", "Gradient", "ImageLayer", "ImageTemplate", "ShapeLayer", "TextLayer"]

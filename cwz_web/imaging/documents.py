"""The template document: what a customer designs, as a validated, versioned JSON document.

The engine's word for it is always ImageTemplate, so that it is never taken for a Jinja template. What its layers hold
is in `layers.py`. A document of an older version is understood, and written anew in the present one.
"""

import json
from hashlib import sha256
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from cwz_web.imaging.layers import (
    Anchor,
    AnyLayer,
    Color,
    ColumnName,
    Fill,
    Layer,
    Length,
    Position,
    Strict,
)

MAX_LAYERS = 100
MAX_DOCUMENT_BYTES = 500_000
# The name of the canvas's own size, beside the formats that a template has.
OWN_SIZE = "default"


def _opaque(value: Color | Any) -> Color | Any:
    if isinstance(value, str) and len(value) > 7:
        raise ValueError("The background of the canvas cannot be see-through: use #rrggbb")
    return value


Opaque = Annotated[Fill, AfterValidator(_opaque)]


class Canvas(Strict):
    """The image's size and what lies under every layer."""

    width: Length
    height: Length
    background: Opaque = "#ffffff"


class Column(Strict):
    """A value that changes from image to image."""

    name: ColumnName
    label: Annotated[str, Field(min_length=1, max_length=60)]
    kind: Literal["text", "image"] = "text"
    default: Annotated[str, Field(max_length=2000)] = ""


class Override(Strict):
    """How a layer differs in one format: what is None is as in the template."""

    x: Position | None = None
    y: Position | None = None
    width: Length | None = None
    height: Length | None = None
    anchor: Anchor | None = None
    size: Annotated[int | None, Field(ge=6, le=1000)] = None
    min_size: Annotated[int | None, Field(ge=6, le=1000)] = None
    max_lines: Annotated[int | None, Field(ge=1, le=50)] = None
    hidden: bool | None = None

    def changes(self, layer: Layer) -> dict[str, Any]:
        """What it changes of a layer: the fields that the layer has."""
        fields = type(layer).model_fields
        return {name: value for name, value in self if value is not None and name in fields}


class Format(Strict):
    """Another size of the same design. It shares the layers; `overrides` moves them, by name."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    width: Length
    height: Length
    background: Opaque | None = None
    overrides: dict[str, Override] = Field(default_factory=dict)


class ImageTemplate(Strict):
    """A template: canvas, columns, layers, and other formats."""

    version: Literal[2] = 2
    canvas: Canvas
    columns: Annotated[tuple[Column, ...], Field(max_length=50)] = ()
    layers: Annotated[tuple[AnyLayer, ...], Field(max_length=MAX_LAYERS)]
    formats: Annotated[tuple[Format, ...], Field(max_length=12)] = ()

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, document: Any) -> Any:
        return _from_version_1(document) if isinstance(document, dict) and document.get("version") == 1 else document

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, parts in (("columns", self.columns), ("layers", self.layers), ("formats", self.formats)):
            names = [part.name for part in parts]
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

    @model_validator(mode="after")
    def _formats_move_layers_that_exist(self) -> Self:
        known = {layer.name for layer in self.layers}
        for format in self.formats:
            if format.name == OWN_SIZE:
                raise ValueError(f"“{OWN_SIZE}” is the canvas’s own size; give the format another name")
            if unknown := set(format.overrides) - known:
                raise ValueError(f"The format {format.name} moves {', '.join(sorted(unknown))}, which is no layer")
        return self

    def layer(self, name: str) -> AnyLayer | None:
        """The layer of a name."""
        return next((layer for layer in self.layers if layer.name == name), None)

    def format(self, name: str) -> Format | None:
        """The format of a name."""
        return next((format for format in self.formats if format.name == name), None)

    @property
    def sizes(self) -> list[str]:
        """The names of the sizes that it can be rendered in: its own, and its formats'."""
        return [OWN_SIZE, *(format.name for format in self.formats)]

    def in_format(self, name: str) -> "ImageTemplate":
        """The template as one of its formats shows it, which has no other formats.

        Raises KeyError for a format that it does not have.
        """
        if name == OWN_SIZE:
            return self.model_copy(update={"formats": ()})
        format = self.format(name)
        if format is None:
            raise KeyError(name)
        background = format.background or self.canvas.background
        canvas = Canvas(width=format.width, height=format.height, background=background)
        unmoved = Override()
        layers = (
            layer.model_copy(update=format.overrides.get(layer.name, unmoved).changes(layer)) for layer in self.layers
        )
        return self.model_copy(update={"canvas": canvas, "layers": tuple(layers), "formats": ()})

    def canonical(self) -> dict[str, Any]:
        """The document as plain JSON values, with every default written out."""
        return self.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """The SHA-256 of the document."""
        return sha256(json.dumps(self.canonical(), sort_keys=True).encode()).hexdigest()

    def written(self) -> str:
        """The document as text for people and files: what is as usual is left out."""
        document = {"version": 2, **self.model_dump(mode="json", exclude_defaults=True)}
        return json.dumps(document, indent=2, ensure_ascii=False)


def _from_version_1(document: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had `show_if` as a column's name, and a shape's outline in two fields of its own."""
    layers = document.get("layers")
    if not isinstance(layers, list | tuple):
        return document
    return {**document, "version": 2, "layers": [_layer_from_version_1(layer) for layer in layers]}


def _layer_from_version_1(layer: Any) -> Any:
    if not isinstance(layer, dict):
        return layer
    layer = dict(layer)
    if isinstance(layer.get("show_if"), str):
        layer["show_if"] = {"column": layer["show_if"]}
    color, width = layer.pop("stroke", None), layer.pop("stroke_width", 0)
    if color and width:
        layer["border"] = {"color": color, "width": width}
    return layer

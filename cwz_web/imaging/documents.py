"""The template document: what a user designs, as a validated and versioned JSON document.

Its class is ImageTemplate, to distinguish it from a Jinja template. Its layers are in `layers.py`; documents of
older versions are converted on load by `document_migrations.py`.
"""

import json
from hashlib import sha256
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cwz_web.imaging.compositing import parse_color
from cwz_web.imaging.document_migrations import migrate_document
from cwz_web.imaging.layers import (
    Anchor,
    AnyLayer,
    DocumentPart,
    FieldName,
    Fill,
    Layer,
    Length,
    Position,
)

MAX_LAYERS = 100
MAX_DOCUMENT_BYTES = 500_000
# The name of the canvas's own size, beside the template's other sizes.
DEFAULT_SIZE = "default"


class Canvas(DocumentPart):
    """The image's size, and the background below every layer.

    A background of None, or of a color with alpha, makes the image transparent. A gradient with alpha is on white.
    """

    width: Length
    height: Length
    background: Fill | None = "#ffffff"

    @property
    def opacity(self) -> float:
        """The opacity of the background, 0 to 1."""
        if self.background is None:
            return 0
        return parse_color(self.background)[1] if isinstance(self.background, str) else 1


class TemplateField(DocumentPart):
    """An input of the template: a value that differs from image to image."""

    name: FieldName
    label: Annotated[str, Field(min_length=1, max_length=60)]
    type: Literal["text", "image"] = "text"
    default: Annotated[str, Field(max_length=2000)] = ""


class Override(DocumentPart):
    """How a layer differs in one size; None keeps the layer's own value."""

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
        """Return the overridden values that this type of layer has."""
        names = type(layer).model_fields
        return {name: value for name, value in self if value is not None and name in names}


class TemplateSize(DocumentPart):
    """Another canvas size of the template. It has the same layers; `overrides` changes them by name."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    width: Length
    height: Length
    background: Fill | None = None
    overrides: dict[str, Override] = Field(default_factory=dict)


class ImageTemplate(DocumentPart):
    """A template: canvas, fields, layers and additional sizes."""

    version: Literal[3] = 3
    canvas: Canvas
    fields: Annotated[tuple[TemplateField, ...], Field(max_length=50)] = ()
    layers: Annotated[tuple[AnyLayer, ...], Field(max_length=MAX_LAYERS)]
    sizes: Annotated[tuple[TemplateSize, ...], Field(max_length=12)] = ()

    @model_validator(mode="before")
    @classmethod
    def _migrate(cls, document: Any) -> Any:
        return migrate_document(document)

    @model_validator(mode="after")
    def _check_unique_names(self) -> Self:
        for plural, parts in (("fields", self.fields), ("layers", self.layers), ("sizes", self.sizes)):
            names = [part.name for part in parts]
            repeated = {name for name in names if names.count(name) > 1}
            if repeated:
                raise ValueError(f"Two {plural} have the same name: {', '.join(sorted(repeated))}")
        return self

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        known = {field.name for field in self.fields}
        for layer in self.layers:
            unknown = layer.fields() - known
            if unknown:
                raise ValueError(
                    f"The layer “{layer.name}” uses the unknown field {', '.join(sorted(unknown))}."
                    f" The template has: {', '.join(sorted(known)) or 'no fields'}"
                )
        return self

    @model_validator(mode="after")
    def _check_overrides(self) -> Self:
        known = {layer.name for layer in self.layers}
        for size in self.sizes:
            if size.name == DEFAULT_SIZE:
                raise ValueError(f"The size name “{DEFAULT_SIZE}” is reserved for the canvas. Choose another name")
            if unknown := set(size.overrides) - known:
                raise ValueError(f"The size {size.name} overrides an unknown layer: {', '.join(sorted(unknown))}")
        return self

    def find_layer(self, name: str) -> AnyLayer | None:
        """Return the layer of this name, if there is one."""
        return next((layer for layer in self.layers if layer.name == name), None)

    def find_size(self, name: str) -> TemplateSize | None:
        """Return the additional size of this name, if there is one."""
        return next((size for size in self.sizes if size.name == name), None)

    @property
    def size_names(self) -> list[str]:
        """The names of all sizes, the canvas's own first."""
        return [DEFAULT_SIZE, *(size.name for size in self.sizes)]

    def in_size(self, name: str) -> "ImageTemplate":
        """Return the template as it is in one of its sizes, without the other sizes.

        Raises:
            KeyError: the template does not have this size.
        """
        if name == DEFAULT_SIZE:
            return self.model_copy(update={"sizes": ()})
        size = self.find_size(name)
        if size is None:
            raise KeyError(name)
        background = size.background or self.canvas.background
        canvas = Canvas(width=size.width, height=size.height, background=background)
        unchanged = Override()
        layers = (
            layer.model_copy(update=size.overrides.get(layer.name, unchanged).changes(layer)) for layer in self.layers
        )
        return self.model_copy(update={"canvas": canvas, "layers": tuple(layers), "sizes": ()})

    def visible(self) -> "ImageTemplate":
        """Return a template in one size without what no image shows: hidden layers, unused fields, labels and locks."""
        layers = tuple(layer.model_copy(update={"locked": False}) for layer in self.layers if not layer.hidden)
        used = frozenset[str]().union(*(layer.fields() for layer in layers))
        fields = sorted((field for field in self.fields if field.name in used), key=lambda field: field.name)
        unlabeled = tuple(field.model_copy(update={"label": field.name, "type": "text"}) for field in fields)
        return self.model_copy(update={"layers": layers, "fields": unlabeled})

    def canonical(self) -> dict[str, Any]:
        """Return the document as plain JSON values, including every default."""
        return self.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """The SHA-256 of the document."""
        return sha256(self.model_dump_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the document as indented JSON text without default values, as users export it."""
        document = {"version": self.version, **self.model_dump(mode="json", exclude_defaults=True)}
        return json.dumps(document, indent=2, ensure_ascii=False)

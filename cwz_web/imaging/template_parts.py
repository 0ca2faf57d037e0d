"""Parts of a template beside its layers: canvas, fields and sizes."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cwz_web.i18n import gettext, translate
from cwz_web.imaging.compositing import parse_color
from cwz_web.imaging.document_parts import (
    MAX_SIDE,
    Anchor,
    DocumentPart,
    ExpressionText,
    FieldName,
    Length,
    Position,
    new_key,
)
from cwz_web.imaging.field_values import FieldType, read_field
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layers import AnyLayer, Container, GroupLayer
from cwz_web.imaging.pins import pin_layer
from cwz_web.imaging.styles import Fill
from cwz_web.values.formats import CurrencyCode, LocaleCode, Unclear, ValueFormat, format_of, with_format


class Canvas(DocumentPart):
    """The image's size, and the background below every layer.

    A background of None, or of a color with alpha, makes the image transparent. A gradient with alpha is on white.
    `open` says whether a request can decide about the `width` and the `height`, for one image.
    """

    width: Length
    height: Length
    background: Fill | None = "#ffffff"
    open: Annotated[tuple[Literal["width", "height"], ...], Field(max_length=2)] = new_key(())

    @property
    def opacity(self) -> float:
        """The opacity of the background, 0 to 1."""
        if self.background is None:
            return 0
        return parse_color(self.background)[1] if isinstance(self.background, str) else 1


class TemplateField(DocumentPart):
    """An input of the template: a value that differs from image to image.

    `locale` says how its numbers, prices and dates are written, and `currency` what amounts are in, where neither the
    value, its column, the request nor the workspace does.
    """

    name: FieldName
    label: Annotated[str, Field(min_length=1, max_length=60)]
    type: FieldType = "text"
    default: Annotated[str, Field(max_length=2000)] = ""
    locale: LocaleCode | None = new_key(None)
    currency: CurrencyCode | None = new_key(None)

    @property
    def formatted_default(self) -> str:
        """The default, as the locale and the currency of the field say."""
        return self.with_own_format(self.default)

    def with_own_format(self, text: str) -> str:
        """Return a value with the locale and the currency of the field, as far as it has none."""
        if self.locale is None and self.currency is None:
            return text
        own = ValueFormat(locale=self.locale, currency=self.currency)
        return with_format(text, format_of(text).with_defaults(own))

    @model_validator(mode="after")
    def _check_default(self) -> Self:
        value = read_field(self.type, self.formatted_default)
        if isinstance(value, Unclear):
            raise ValueError(
                gettext(
                    "The default of the field “%(name)s” %(reason)s", name=self.name, reason=translate(value.reason)
                )
            )
        return self


class ComputedField(DocumentPart):
    """A value that an expression computes from fields and other computed fields."""

    name: FieldName
    value: ExpressionText


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
    gap: Annotated[int | None, Field(ge=0, le=MAX_SIDE)] = new_key(None)
    padding: Annotated[int | None, Field(ge=0, le=500)] = new_key(None)
    direction: Literal["row", "column"] | None = new_key(None)
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


def override_layer(
    layer: AnyLayer, overrides: Mapping[str, Override], old: tuple[int, int], new: tuple[int, int]
) -> AnyLayer:
    """Return a layer as it is in one size: placed by its pins, then changed by overrides, also those of its content."""
    changed = pin_layer(layer, old, new)
    override = overrides.get(layer.name)
    if override:
        changed = changed.model_copy(update=override.changes(layer))
    if isinstance(layer, GroupLayer):
        old, new = (layer.width, layer.height), (changed.width, changed.height)
    if isinstance(layer, Container):
        # The content of a stack is placed by the stack.
        children = tuple(override_layer(child, overrides, old, new) for child in layer.layers)
        changed = changed.model_copy(update={"layers": children})
    return changed


def without_label(field: TemplateField) -> TemplateField:
    """Return a field as images depend on it: an image is a text that an image layer shows."""
    changes = {"label": field.name, "type": "text" if field.type == "image" else field.type}
    return field.model_copy(update=changes)

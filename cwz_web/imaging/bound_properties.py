"""Properties of layers that a row decides, such as a color that comes from the data, or the locale of its image.

The expressions of a row are evaluated before (`row_values.py`). Here their values are validated as the property is, and
take its place; where there is none, or an invalid one, the property keeps its own value, which is its default.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.bindings import LOCALE_KEY
from cwz_web.imaging.brand_references import is_reference
from cwz_web.imaging.document_parts import PIXELS
from cwz_web.imaging.field_values import FieldText, result_key
from cwz_web.imaging.layer_base import OF_LOCALE, SOURCE, Layer
from cwz_web.imaging.layers import StackLayer
from cwz_web.imaging.text_layers import TextLayer, TextSpan
from cwz_web.values.formats import DEFAULT_LOCALE, Unclear, is_right_to_left

MAX_SHOWN = 40


def resolve_layer(
    layer: Layer, values: Mapping[str, str], scale: int
) -> tuple[dict[str, Any], dict[str, tuple[str, Unclear]]]:
    """Return the values that a row and the locale of its image give to properties of a layer and of its spans.

    Args:
        layer: the layer.
        values: the row, with the results of the layer's expressions.
        scale: how many pixels of the image correspond to one pixel of the canvas.

    Returns:
        The values by property, and for each property whose value cannot be used the expression with the reason.
    """
    changes, problems = _resolve(layer, values, scale)
    locale = values.get(LOCALE_KEY, DEFAULT_LOCALE)
    if isinstance(layer, TextLayer) and layer.language == OF_LOCALE:
        changes["language"] = locale.replace("_", "-")
    if isinstance(layer, StackLayer) and layer.mirror == OF_LOCALE:
        changes["mirror"] = "always" if is_right_to_left(locale) else "never"
    if isinstance(layer, TextLayer) and any(span.bound for span in layer.spans):
        spans = []
        for number, span in enumerate(layer.spans, start=1):
            changed, unclear = _resolve(span, values, scale)
            spans.append(span.model_copy(update=changed))
            problems |= {f"{name} of span {number}": problem for name, problem in unclear.items()}
        changes["spans"] = tuple(spans)
    return changes, problems


def _resolve(
    part: Layer | TextSpan, values: Mapping[str, str], scale: int
) -> tuple[dict[str, Any], dict[str, tuple[str, Unclear]]]:
    """Return the values of bound properties, and what is wrong with others. An empty value is none."""
    changes: dict[str, Any] = {}
    problems: dict[str, tuple[str, Unclear]] = {}
    for name, source in part.bound.items():
        result = values[result_key(source)]
        if not isinstance(result, FieldText) or result.value in (None, "", ()):
            if isinstance(result, FieldText) and result.unclear:
                problems[name] = source, result.unclear
            continue
        if is_reference(result.value):
            problems[name] = (
                source,
                Unclear(
                    gettext_lazy("is “%(value)s”. Only the default can refer to the brand", value=result[:MAX_SHOWN])
                ),
            )
            continue
        try:
            changes[name] = _validate(type(part), name, result, scale)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            problems[name] = (
                source,
                Unclear(
                    gettext_lazy(
                        "is “%(value)s”, which cannot be used: %(reason)s", value=result[:MAX_SHOWN], reason=reason
                    )
                ),
            )
    return changes, problems


def _validate(part: type[Layer | TextSpan], name: str, result: FieldText, scale: int) -> Any:
    """Return the value of a property. Raises pydantic.ValidationError."""
    if name == SOURCE:
        return str(result)  # no bindings are read in a value of a row
    adapter = _adapter(part, name)
    try:
        valid = adapter.validate_python(result.value)
    except ValidationError:
        if not isinstance(result.value, float):
            raise
        valid = adapter.validate_python(round(result.value))  # a length in whole pixels
    return valid * scale if PIXELS in part.model_fields[name].metadata else valid


@cache  # a constant for each property
def _adapter(part: type[Layer | TextSpan], name: str) -> TypeAdapter[Any]:
    field = part.model_fields[name]
    annotation: Any = Annotated[field.annotation, field]
    return TypeAdapter(annotation)

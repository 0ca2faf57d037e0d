"""Properties of layers that an expression decides, such as a color that comes from the data.

The expressions of a row are evaluated before (`row_values.py`). Here their values are validated as the property is, and
take its place; where there is none, or an invalid one, the property keeps its own value, which is its default.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from cwz_web.imaging.field_values import FieldText, result_key
from cwz_web.imaging.layers import PIXELS, SOURCE, Layer
from cwz_web.values.formats import Unclear

MAX_SHOWN = 40


def resolve_properties(
    layer: Layer, values: Mapping[str, str], scale: int
) -> tuple[dict[str, Any], dict[str, tuple[str, Unclear]]]:
    """Return the values that a row gives to bound properties.

    Args:
        layer: the layer.
        values: the row, with the results of the layer's expressions.
        scale: how many pixels of the image correspond to one pixel of the canvas.

    Returns:
        The values by property, and for each property whose value cannot be used the expression with the reason. An
        empty value is none.
    """
    changes: dict[str, Any] = {}
    problems: dict[str, tuple[str, Unclear]] = {}
    for name, source in layer.bound.items():
        result = values[result_key(source)]
        if not isinstance(result, FieldText) or result.value in (None, "", ()):
            if isinstance(result, FieldText) and result.unclear:
                problems[name] = source, result.unclear
            continue
        try:
            changes[name] = _validate(type(layer), name, result, scale)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            problems[name] = source, Unclear(f"is “{result[:MAX_SHOWN]}”, which cannot be used: {reason}")
    return changes, problems


def _validate(layer_type: type[Layer], name: str, result: FieldText, scale: int) -> Any:
    """Return the value of a property. Raises pydantic.ValidationError."""
    if name == SOURCE:
        return str(result)  # no bindings are read in a value of a row
    adapter = _adapter(layer_type, name)
    try:
        valid = adapter.validate_python(result.value)
    except ValidationError:
        if not isinstance(result.value, float):
            raise
        valid = adapter.validate_python(round(result.value))  # a length in whole pixels
    return valid * scale if PIXELS in layer_type.model_fields[name].metadata else valid


@cache  # a constant for each property
def _adapter(layer_type: type[Layer], name: str) -> TypeAdapter[Any]:
    field = layer_type.model_fields[name]
    annotation: Any = Annotated[field.annotation, field]
    return TypeAdapter(annotation)

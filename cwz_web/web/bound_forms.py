"""The form of a layer's bound properties: an expression, a default and the live result of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.editing import LayerNotFoundError, change_layer
from cwz_web.imaging.layer_base import BINDABLE, SOURCE
from cwz_web.imaging.layers import AnyLayer
from cwz_web.imaging.styles import Gradient
from cwz_web.web.design_selection import Change, InvalidDesignError, Selection, Typed
from cwz_web.web.live_results import LiveResult, property_result

# The properties in the order of the form, with their labels.
PROPERTIES = {
    "color": gettext_noop("Color"),
    "fill": gettext_noop("Fill"),
    "background": gettext_noop("Background"),
    "icon": gettext_noop("Icon"),
    SOURCE: gettext_noop("Image"),
    "focus": gettext_noop("Focal point"),
    "font": gettext_noop("Font"),
    "size": gettext_noop("Size"),
    "weight": gettext_noop("Weight"),
    "opacity": gettext_noop("Opacity"),
    "rotation": gettext_noop("Rotation"),
    "x": "X",
    "y": "Y",
    "width": gettext_noop("Width"),
    "height": gettext_noop("Height"),
}


@dataclass(frozen=True)
class BoundProperty:
    """A bound property.

    Attributes:
        name: its name in the document.
        label: its label.
        expression: what decides about it.
        default: its value if there is none, as text; None if a text cannot be, as for a gradient.
        result: what the expression is for the sample row.
        error: why the form was refused.
    """

    name: str
    label: str
    expression: str
    default: str | None
    result: LiveResult | None
    error: str = ""


@dataclass(frozen=True)
class BoundPanel:
    """The view model of panels/_bound.jinja2.

    Attributes:
        layer: the name of the layer.
        properties: those that are bound.
        unbound: the labels of those that can be, by name.
        names: what expressions can use.
        new: the property that was to be bound, as it was typed.
        error: why this was refused.
    """

    layer: str
    properties: list[BoundProperty]
    unbound: dict[str, str]
    names: list[str]
    new: dict[str, str]
    error: str


def change_bound(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    """Bind a property of the selected layer to an expression, change its default, or unbind it.

    Raises:
        InvalidDesignError: the form is not valid.
        pydantic.ValidationError: the document is not valid with this expression or default.
    """
    layer = document.in_size(selection.size).find_layer(selection.layer)
    if layer is None:
        raise LayerNotFoundError(selection.layer)
    name, expression = typed.get("property", ""), typed.get("expression", "").strip()
    if name not in BINDABLE & type(layer).model_fields.keys():
        raise InvalidDesignError({"property": gettext("Choose a property")})
    if typed.get("change") == "unbind":
        bound = {key: source for key, source in layer.bound.items() if key != name}
    elif expression:
        bound = {**layer.bound, name: expression}
    else:
        raise InvalidDesignError({"expression": gettext("Enter a field or an expression, such as brand_color")})
    values: dict[str, Any] = {"bound": bound}
    if default := typed.get("default", "").strip():
        values[name] = default.split(",") if name == "focus" and "," in default else default
    return change_layer(document, layer.name, values, selection.size), selection, f"{layer.name}: bound {name}"


def read_bound_values(layer: AnyLayer, name: str) -> dict[str, str]:
    """Return the values of the form of a bound property; none if it is not bound."""
    if name not in layer.bound:
        return {}
    default = _default_text(getattr(layer, name))
    return {"expression": layer.bound[name]} | ({} if default is None else {"default": default})


def bound_panel(
    document: ImageTemplate, layer: AnyLayer, values: Mapping[str, str], typed: Typed, errors: Mapping[str, str]
) -> BoundPanel:
    """Return the form of a layer's bound properties.

    Args:
        document: the draft.
        layer: the layer in the selected size.
        values: the sample row with the results of expressions.
        typed: the form that was refused; empty otherwise.
        errors: why it was refused, by field.
    """
    possible = [name for name in PROPERTIES if name in type(layer).model_fields]
    error = next(iter(errors.values()), "")
    refused = typed.get("property", "") if error else ""
    entry = ["item", "index", "count"] if document.is_repeated(layer.name) else []
    return BoundPanel(
        layer=layer.name,
        properties=[
            _bound_property(layer, name, values, typed if refused == name else {}, error if refused == name else "")
            for name in possible
            if name in layer.bound
        ],
        unbound={name: property_label(name) for name in possible if name not in layer.bound},
        names=[*(field.name for field in document.fields), *(field.name for field in document.computed), *entry],
        new=dict(typed) if error and refused not in layer.bound else {},
        error=error if refused not in layer.bound else "",
    )


def property_label(name: str) -> str:
    """Return the label of a property."""
    return gettext(PROPERTIES[name])


def _bound_property(layer: AnyLayer, name: str, values: Mapping[str, str], typed: Typed, error: str) -> BoundProperty:
    source = layer.bound[name]
    default = _default_text(getattr(layer, name))
    return BoundProperty(
        name=name,
        label=property_label(name),
        expression=typed.get("expression", source),
        default=None if default is None else typed.get("default", default),
        result=None if error else property_result(layer, name, values),
        error=error,
    )


def _default_text(value: Any) -> str | None:
    if isinstance(value, Gradient):
        return None
    if isinstance(value, tuple):
        return ",".join(f"{each:g}" for each in value)
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)

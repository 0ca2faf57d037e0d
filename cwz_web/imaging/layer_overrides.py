"""Overrides of a request: other values for properties of named layers, for one image.

A template opens properties of its layers (`open`); a trusted caller can override all that can be open. The overridden
document is validated as a document is, so that an override has the types and limits of the property itself.

An override reaches no image and no font that the fields of the template could not reach: it neither shows another
upload nor has another URL fetched, unless a field, or an open property, could name any.
"""

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from cwz_web.imaging.bindings import Binding, is_entry_name, parse_bindings
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.layer_base import SOURCE, Layer
from cwz_web.imaging.layers import ImageLayer, walk_layers
from cwz_web.imaging.template_parts import Override
from cwz_web.imaging.text_layers import TextLayer

MAX_LAYERS, MAX_PROPERTIES = 50, 40
# Of all overrides of a request as JSON, in characters.
MAX_LENGTH = 20_000
# How many names a message lists.
MAX_LISTED = 20
FONT, IMAGE = "font", "image"
# The types of fields whose value can be any text.
_FREE_TYPES = frozenset({"text", "image"})
# A text is in one style or in several.
_EXCLUSIVE: dict[str, dict[str, Any]] = {"text": {"spans": []}, "spans": {"text": None}}

LayerOverrides = Mapping[str, Mapping[str, JsonValue]]


class LayerOverrideError(Exception):
    """Layers cannot be overridden so. `errors` has a message for each path, such as `layers.Title.color`."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{path}: {text}" for path, text in errors.items()))
        self.errors = dict(errors)


class InvalidOverrideError(Exception):
    """The overridden document is not valid. `document` is what was validated."""

    def __init__(self, document: dict[str, Any], error: ValidationError) -> None:
        super().__init__(str(error))
        self.document, self.error = document, error


def override_layers(template: ImageTemplate, overrides: LayerOverrides, *, is_trusted: bool = False) -> ImageTemplate:
    """Return a template with other values for properties of its layers, in all of its sizes.

    Args:
        template: the template.
        overrides: the values of properties, by the names of layers.
        is_trusted: whether properties that the template has not opened can be overridden as well.

    Raises:
        LayerOverrideError: there is no such layer or property, or it is not open to this.
        InvalidOverrideError: a value is not valid.
    """
    if not overrides:
        return template
    layers = {each.name: each for each in walk_layers(template.layers)}
    if errors := dict(_find_errors(layers, overrides, is_trusted=is_trusted)):
        raise LayerOverrideError(errors)
    document = template.canonical()
    for layer in _walk(document["layers"]):
        if layer["name"] in overrides:
            _override(layer, overrides[layer["name"]])
    for size in document["sizes"]:
        for name, values in overrides.items():
            # In every size, not only where the size has no value of its own.
            own = {key: value for key, value in values.items() if key in Override.model_fields}
            if own:
                size["overrides"][name] = {**size["overrides"].get(name, {}), **own}
    try:
        changed = ImageTemplate.model_validate(document)
    except ValidationError as error:
        raise InvalidOverrideError(document, error) from None
    except (ValueError, RecursionError) as error:
        raise LayerOverrideError({"layers": str(error)}) from None
    if errors := {**dict(_find_expressions(layers, changed, overrides)), **dict(_find_unreachable(template, changed))}:
        raise LayerOverrideError(errors)
    return changed


def _find_errors(
    layers: Mapping[str, Layer], overrides: LayerOverrides, *, is_trusted: bool
) -> Iterator[tuple[str, str]]:
    """Yield the paths of layers and properties that cannot be overridden, and why."""
    for name, values in overrides.items():
        layer = layers.get(name)
        if layer is None:
            yield f"layers.{name}", f"The template has no layer with this name. {_suggest(name, list(layers))}"
            continue
        possible = layer.openable()
        allowed = possible if is_trusted else possible & set(layer.open)
        for key in values.keys() - allowed:
            yield f"layers.{name}.{key}", _why_not(key, sorted(possible), sorted(allowed))


def _why_not(key: str, possible: list[str], allowed: list[str]) -> str:
    """Return why a property cannot be overridden."""
    if key not in possible:
        return f"The layer has no property with this name that can be overridden. {_suggest(key, allowed or possible)}"
    is_open = f"Open are: {', '.join(allowed)}" if allowed else "It opens none of this layer"
    return f"The template does not open this property. {is_open}. A key with the scope layers.override can override it"


def _suggest(name: str, names: list[str]) -> str:
    """Return a sentence with the names that are near to a name, or with all of them."""
    if near := get_close_matches(name[:60], names, n=3):
        return f"Did you mean {' or '.join(f'“{each}”' for each in near)}?"
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"There are: {', '.join(names[:MAX_LISTED])}{more}" if names else "There are none"


def _walk(layers: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for layer in layers:
        yield layer
        yield from _walk(layer.get("layers", []))


def _override(values: dict[str, Any], overrides: Mapping[str, JsonValue]) -> None:
    """Override properties of a layer of a canonical document. They are not bound to an expression then."""
    for key, rest in _EXCLUSIVE.items():
        if key in overrides:
            values |= rest
    values |= overrides
    if bound := {key: source for key, source in values.get("bound", {}).items() if key not in overrides}:
        values["bound"] = bound
    else:
        values.pop("bound", None)


def _find_expressions(
    layers: Mapping[str, Layer], changed: ImageTemplate, overrides: LayerOverrides
) -> Iterator[tuple[str, str]]:
    """Yield the paths of overrides with expressions, which only the template has."""
    for layer in walk_layers(changed.layers):
        if layer.name in overrides and set(layer.expressions()) - set(layers[layer.name].expressions()):
            yield f"layers.{layer.name}", "An override is a value, not an expression. Put expressions into the template"


def _find_unreachable(template: ImageTemplate, changed: ImageTemplate) -> Iterator[tuple[str, str]]:
    """Yield the paths of overrides that show images and fonts which no field of the template could show."""
    known = {(kind, reference) for _, kind, reference in _references(template)}
    for path, kind, reference in _references(changed):
        if (kind, reference) in known:
            continue
        if kind == IMAGE and any(isinstance(part, Binding) for part in parse_bindings(reference).parts):
            yield path, "Use a URL or an upload (upload:…), without {{ }}. The values of fields belong to data"
        elif not (_can_show_any_image(template) if kind == IMAGE else _can_use_any_font(template)):
            yield path, f"No field and no open property of the template could name this {kind}. Open the property there"


def _references(template: ImageTemplate) -> Iterator[tuple[str, str, str]]:
    """Yield the images and the uploaded fonts that layers refer to: path, kind and reference."""
    for layer in walk_layers(template.layers):
        path = f"layers.{layer.name}"
        if isinstance(layer, ImageLayer):
            yield f"{path}.source", IMAGE, layer.source
            if layer.fallback:
                yield f"{path}.fallback", IMAGE, layer.fallback
        elif isinstance(layer, TextLayer):
            own = (f"{path}.font", layer.font), *((f"{path}.spans", span.font) for span in layer.spans if span.font)
            yield from ((place, FONT, font) for place, font in own if ":" in font)


def _can_show_any_image(template: ImageTemplate) -> bool:
    """Return whether a field or an open property decides alone about the source of an image."""
    free = _free_fields(template)
    for layer in walk_layers(template.layers):
        if not isinstance(layer, ImageLayer):
            continue
        if {SOURCE, "fallback"} & set(layer.open) or layer.bound.get(SOURCE, "").strip() in free:
            return True
        first: str | Binding = next(iter(parse_bindings(layer.source).parts), "")
        if SOURCE in layer.bound or not isinstance(first, Binding) or first.filters:
            continue
        if first.field in free or is_entry_name(first.field):
            return True
    return False


def _can_use_any_font(template: ImageTemplate) -> bool:
    """Return whether a field or an open property decides alone about a font."""
    free, texts = _free_fields(template), (each for each in walk_layers(template.layers) if isinstance(each, TextLayer))
    return any({FONT, "spans"} & set(layer.open) or layer.bound.get(FONT, "").strip() in free for layer in texts)


def _free_fields(template: ImageTemplate) -> frozenset[str]:
    return frozenset(field.name for field in template.fields if field.type in _FREE_TYPES)


@cache  # a constant for each property
def schema_of(layer: type[Layer], name: str) -> dict[str, Any]:
    """Return the JSON Schema of a property of a type of layer."""
    field = layer.model_fields[name]
    annotation: Any = Annotated[field.annotation, field]
    return TypeAdapter(annotation).json_schema()


def length_of(overrides: LayerOverrides) -> int:
    """Return the length of overrides as JSON, in characters."""
    return len(json.dumps(overrides, ensure_ascii=False))

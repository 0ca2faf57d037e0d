"""Conversion of template documents of versions 1 and 2 to version 3, on load.

This is the only module that knows the older spellings. A malformed part is passed on as it is: the validation of the
converted document reports it.
"""

from collections.abc import Callable
from typing import Any

_COLOR_NAMES = {"colour": "color"}
_UPLOAD_BEFORE, _UPLOAD = "original:", "upload:"


def migrate_document(document: Any) -> Any:
    """Convert a document to the current version.

    Args:
        document: the parsed JSON of a document of any version.

    Returns:
        A converted copy of a document of version 1 or 2; anything else as it is.
    """
    if isinstance(document, dict) and document.get("version") == 1:
        document = _upgrade_from_version_1(document)
    if isinstance(document, dict) and document.get("version") == 2:
        document = _upgrade_from_version_2(document)
    return document


def _upgrade_from_version_1(document: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had a column's name as `show_if`, and the border of a shape in two values of the layer."""
    return {**document, "version": 2, "layers": _each(document.get("layers"), _upgrade_layer_from_version_1)}


def _upgrade_layer_from_version_1(layer: dict[str, Any]) -> dict[str, Any]:
    layer = dict(layer)
    if isinstance(layer.get("show_if"), str):
        layer["show_if"] = {"column": layer["show_if"]}
    color, width = layer.pop("stroke", None), layer.pop("stroke_width", 0)
    if color and width:
        layer["border"] = {"colour": color, "width": width}
    return layer


def _upgrade_from_version_2(document: dict[str, Any]) -> dict[str, Any]:
    """Version 2 had British spelling, and `columns` and `formats` where version 3 has `fields` and `sizes`."""
    converted: dict[str, Any] = _change(
        _rename_keys({**document, "version": 3}, {"columns": "fields", "formats": "sizes"}),
        canvas=_upgrade_background,
        fields=lambda fields: _each(fields, _upgrade_field),
        layers=lambda layers: _each(layers, _upgrade_layer),
        sizes=lambda sizes: _each(sizes, _upgrade_size),
    )
    return {**converted, "legacy_edges": True} if _rotates(document.get("layers")) else converted


def _rotates(layers: Any) -> bool:
    """Return whether a layer rotates, so that its edges would change without `legacy_edges`."""
    return isinstance(layers, list | tuple) and any(isinstance(each, dict) and each.get("rotation") for each in layers)


def _upgrade_field(field: Any) -> Any:
    return _change(_rename_keys(field, {"kind": "type"}), default=_upgrade_reference)


def _upgrade_layer(layer: Any) -> Any:
    return _change(
        _rename_keys(layer, {"colour": "color", "greyscale": "grayscale"}),
        anchor=_upgrade_center,
        align=_upgrade_center,
        focus=_upgrade_center,
        fill=_upgrade_gradient,
        background=_upgrade_gradient,
        border=lambda border: _rename_keys(border, _COLOR_NAMES),
        stroke=lambda stroke: _rename_keys(stroke, _COLOR_NAMES),
        shadow=lambda shadow: _rename_keys(shadow, _COLOR_NAMES),
        show_if=lambda condition: _rename_keys(condition, {"column": "field"}),
        source=_upgrade_reference,
        fallback=_upgrade_reference,
        font=_upgrade_reference,
    )


def _upgrade_size(size: Any) -> Any:
    return _change(_upgrade_background(size), overrides=_upgrade_overrides)


def _upgrade_overrides(overrides: Any) -> Any:
    if not isinstance(overrides, dict):
        return overrides
    return {name: _change(override, anchor=_upgrade_center) for name, override in overrides.items()}


def _upgrade_background(part: Any) -> Any:
    return _change(part, background=_upgrade_gradient)


def _upgrade_gradient(fill: Any) -> Any:
    return _rename_keys(fill, {"kind": "type"})


def _upgrade_center(value: Any) -> Any:
    return "center" if value == "centre" else value


def _upgrade_reference(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_UPLOAD_BEFORE):
        return _UPLOAD + value.removeprefix(_UPLOAD_BEFORE)
    return value


def _each(parts: Any, upgrade: Callable[[dict[str, Any]], Any]) -> Any:
    """Apply a function to the objects of a list."""
    if not isinstance(parts, list | tuple):
        return parts
    return [upgrade(part) if isinstance(part, dict) else part for part in parts]


def _change(part: Any, **changes: Callable[[Any], Any]) -> Any:
    """Apply functions to those values of an object that it has, by key."""
    if not isinstance(part, dict):
        return part
    return {key: changes[key](value) if key in changes else value for key, value in part.items()}


def _rename_keys(part: Any, names: dict[str, str]) -> Any:
    return {names.get(key, key): value for key, value in part.items()} if isinstance(part, dict) else part

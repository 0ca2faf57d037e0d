"""Edits of a template document. Each function takes a document and returns a changed, valid copy.

An edit that would make the document invalid raises pydantic's ValidationError.
"""

from typing import Any, Literal

from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate, Override

LayerType = Literal["text", "image", "shape", "code", "rating"]
# The offset of a copy from its original, in pixels, so that both are visible.
COPY_OFFSET = 24
# The values of a layer that a size can override in the designer.
OVERRIDABLE = tuple(name for name in Override.model_fields if name != "hidden")
MIN_FONT_SIZE = 6

_NEW_LAYERS: dict[str, dict[str, Any]] = {
    "text": {"text": "Your text", "size": 48, "weight": 600, "width": 480, "height": 120, "max_lines": 2},
    "image": {"source": "", "width": 320, "height": 320},
    "shape": {"fill": "#3d4ee0", "width": 240, "height": 160},
    "code": {"content": "https://example.org", "width": 180, "height": 180},
    "rating": {"value": "4.5", "width": 240, "height": 44},
}
_LAYER_NAMES = {"text": "Text", "image": "Image", "shape": "Shape", "code": "Code", "rating": "Stars"}


class LayerNotFoundError(LookupError):
    """The document does not have a layer of this name, for example because another user removed it."""


def add_layer(template: ImageTemplate, layer_type: LayerType) -> tuple[ImageTemplate, str]:
    """Add a layer on top, in the center of the canvas.

    Returns:
        The changed document and the new layer's name.
    """
    values = dict(_NEW_LAYERS[layer_type])
    canvas = template.canvas
    width, height = min(values["width"], canvas.width), min(values["height"], canvas.height)
    box = {"x": (canvas.width - width) // 2, "y": (canvas.height - height) // 2, "width": width, "height": height}
    name = _unused_name(template, _LAYER_NAMES[layer_type])
    layer = {"type": layer_type, "name": name} | values | box
    return _replace_layers(template, [*_layers(template), layer]), name


def duplicate_layer(template: ImageTemplate, name: str) -> tuple[ImageTemplate, str]:
    """Add a copy of a layer directly above it. Raises LayerNotFoundError.

    Returns:
        The changed document and the copy's name.
    """
    layers, index = _layers(template), _layer_index(template, name)
    original = layers[index]
    copy = original | {
        "name": _unused_name(template, name),
        "x": original["x"] + COPY_OFFSET,
        "y": original["y"] + COPY_OFFSET,
    }
    return _replace_layers(template, [*layers[: index + 1], copy, *layers[index + 1 :]]), copy["name"]


def remove_layer(template: ImageTemplate, name: str) -> ImageTemplate:
    """Remove a layer and its overrides. Raises LayerNotFoundError."""
    layers = _layers(template)
    del layers[_layer_index(template, name)]
    sizes = _sizes(template)
    for size in sizes:
        size["overrides"].pop(name, None)
    return _replace_layers(template, layers, sizes)


def move_layer(template: ImageTemplate, name: str, position: int) -> ImageTemplate:
    """Move a layer to another position, counted from the lowest layer. Raises LayerNotFoundError."""
    layers = _layers(template)
    layer = layers.pop(_layer_index(template, name))
    layers.insert(min(max(position, 0), len(layers)), layer)
    return _replace_layers(template, layers)


def change_layer(template: ImageTemplate, name: str, values: dict[str, Any], size: str = DEFAULT_SIZE) -> ImageTemplate:
    """Change values of a layer. Raises LayerNotFoundError.

    Args:
        values: the new values by name.
        size: the size that is being edited. Values that a size can override change in this size only, all others in
            every size.
    """
    layers, index = _layers(template), _layer_index(template, name)
    sizes = _sizes(template)
    if size != DEFAULT_SIZE:
        current = template.in_size(size).layers[index].model_dump(mode="json")
        overridable = {key: values.pop(key) for key in OVERRIDABLE if key in values}
        changed = {key: value for key, value in overridable.items() if value != current.get(key)}
        overrides = _named(sizes, size)["overrides"]
        overrides[name] = {**overrides.get(name, {}), **changed}
    layers[index] |= values
    new_name = layers[index]["name"]
    if new_name != name:
        for each in sizes:
            if name in each["overrides"]:
                each["overrides"][new_name] = each["overrides"].pop(name)
    return _replace_layers(template, layers, sizes)


def change_canvas(template: ImageTemplate, values: dict[str, Any], size: str = DEFAULT_SIZE) -> ImageTemplate:
    """Change the width, height or background of the canvas, or of one of the additional sizes."""
    document = template.canonical()
    target = document["canvas"] if size == DEFAULT_SIZE else _named(document["sizes"], size)
    target |= values
    return ImageTemplate.model_validate(document)


def change_fields(template: ImageTemplate, fields: list[dict[str, Any]]) -> ImageTemplate:
    """Replace the template's fields. A field that a layer uses cannot be removed."""
    return ImageTemplate.model_validate({**template.canonical(), "fields": fields})


def add_size(template: ImageTemplate, name: str, width: int, height: int) -> ImageTemplate:
    """Add a size, with the layers scaled and placed in proportion to the canvas.

    Each box keeps its aspect ratio: it is scaled by the smaller of the two ratios, and its center keeps its relative
    position. A layer that covers the whole canvas covers the whole new size.

    Args:
        template: the document.
        name: the name of the size.
        width: its width, in pixels.
        height: its height, in pixels.
    """
    canvas = template.canvas
    x_ratio, y_ratio = width / canvas.width, height / canvas.height
    ratio = min(x_ratio, y_ratio)
    overrides: dict[str, dict[str, int]] = {}
    for layer in template.layers:
        if layer.width >= canvas.width and layer.height >= canvas.height:
            position = {"x": round(layer.x * x_ratio), "y": round(layer.y * y_ratio)}
            extent = {"width": round(layer.width * x_ratio), "height": round(layer.height * y_ratio)}
            overrides[layer.name] = position | extent
            continue
        center_x, center_y = (layer.left + layer.width / 2) * x_ratio, (layer.top + layer.height / 2) * y_ratio
        new_width, new_height = max(round(layer.width * ratio), 1), max(round(layer.height * ratio), 1)
        # From the upper left corner to the layer's own anchor.
        anchor_x, anchor_y = (layer.x - layer.left) * ratio, (layer.y - layer.top) * ratio
        overrides[layer.name] = {
            "x": round(center_x - new_width / 2) + round(anchor_x),
            "y": round(center_y - new_height / 2) + round(anchor_y),
            "width": new_width,
            "height": new_height,
        }
        for key in ("size", "min_size"):
            value = getattr(layer, key, None)
            if value is not None:
                overrides[layer.name][key] = max(round(value * ratio), MIN_FONT_SIZE)
    size = {"name": name, "width": width, "height": height, "overrides": overrides}
    return ImageTemplate.model_validate({**template.canonical(), "sizes": [*_sizes(template), size]})


def remove_size(template: ImageTemplate, name: str) -> ImageTemplate:
    """Remove an additional size."""
    sizes = [size for size in _sizes(template) if size["name"] != name]
    return ImageTemplate.model_validate({**template.canonical(), "sizes": sizes})


def _layers(template: ImageTemplate) -> list[dict[str, Any]]:
    layers: list[dict[str, Any]] = template.canonical()["layers"]
    return layers


def _sizes(template: ImageTemplate) -> list[dict[str, Any]]:
    sizes: list[dict[str, Any]] = template.canonical()["sizes"]
    return sizes


def _named(parts: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(part for part in parts if part["name"] == name)


def _layer_index(template: ImageTemplate, name: str) -> int:
    for index, layer in enumerate(template.layers):
        if layer.name == name:
            return index
    raise LayerNotFoundError(name)


def _replace_layers(
    template: ImageTemplate, layers: list[dict[str, Any]], sizes: list[dict[str, Any]] | None = None
) -> ImageTemplate:
    document = {**template.canonical(), "layers": layers}
    return ImageTemplate.model_validate(document if sizes is None else {**document, "sizes": sizes})


def _unused_name(template: ImageTemplate, name: str) -> str:
    used = {layer.name for layer in template.layers}
    stem = name[:50].rstrip("0123456789 ") or name[:50]
    candidates = (stem if number == 1 else f"{stem} {number}" for number in range(1, len(used) + 3))
    return next(candidate for candidate in candidates if candidate not in used)

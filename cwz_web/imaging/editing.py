"""Changes of a template's document: each takes a document and gives the changed one, whole and valid.

A change that would make the document invalid raises pydantic's ValidationError, and the document is as it was.
"""

from typing import Any, Literal

from cwz_web.imaging.documents import OWN_SIZE, ImageTemplate, Override

LayerKind = Literal["text", "image", "shape", "code", "rating"]
# How far a copy lies from what it was copied of, so that both are seen.
BESIDE = 24
# The fields of a layer that a format may have of its own.
MOVABLE = tuple(name for name in Override.model_fields if name != "hidden")

_FRESH: dict[str, dict[str, Any]] = {
    "text": {"text": "Your text", "size": 48, "weight": 600, "width": 480, "height": 120, "max_lines": 2},
    "image": {"source": "", "width": 320, "height": 320},
    "shape": {"fill": "#3d4ee0", "width": 240, "height": 160},
    "code": {"content": "https://example.org", "width": 180, "height": 180},
    "rating": {"value": "4.5", "width": 240, "height": 44},
}
_NAMES = {"text": "Text", "image": "Image", "shape": "Shape", "code": "Code", "rating": "Stars"}


class LayerNotFoundError(LookupError):
    """The document has no layer of this name; somebody else may have removed it."""


def add_layer(template: ImageTemplate, kind: LayerKind) -> tuple[ImageTemplate, str]:
    """The document with a new layer on top, in the middle of the canvas, and the layer's name."""
    fresh = dict(_FRESH[kind])
    width, height = min(fresh["width"], template.canvas.width), min(fresh["height"], template.canvas.height)
    place = {"x": (template.canvas.width - width) // 2, "y": (template.canvas.height - height) // 2}
    name = _free_name(template, _NAMES[kind])
    layer = {"type": kind, "name": name} | fresh | place | {"width": width, "height": height}
    return _with_layers(template, [*_layers(template), layer]), name


def duplicate_layer(template: ImageTemplate, name: str) -> tuple[ImageTemplate, str]:
    """The document with a copy of a layer just above it, and the copy's name. Raises LayerNotFoundError."""
    layers, at = _layers(template), _index(template, name)
    copy = {
        **layers[at],
        "name": _free_name(template, name),
        "x": layers[at]["x"] + BESIDE,
        "y": layers[at]["y"] + BESIDE,
    }
    return _with_layers(template, [*layers[: at + 1], copy, *layers[at + 1 :]]), copy["name"]


def remove_layer(template: ImageTemplate, name: str) -> ImageTemplate:
    """The document without a layer. Raises LayerNotFoundError."""
    layers = _layers(template)
    del layers[_index(template, name)]
    formats = [
        {**format, "overrides": {key: value for key, value in format["overrides"].items() if key != name}}
        for format in template.canonical()["formats"]
    ]
    return _with_layers(template, layers, formats)


def move_layer(template: ImageTemplate, name: str, place: int) -> ImageTemplate:
    """The document with a layer at another place, counted from the lowest. Raises LayerNotFoundError."""
    layers = _layers(template)
    layer = layers.pop(_index(template, name))
    layers.insert(min(max(place, 0), len(layers)), layer)
    return _with_layers(template, layers)


def change_layer(template: ImageTemplate, name: str, values: dict[str, Any], size: str = OWN_SIZE) -> ImageTemplate:
    """The document with other values of a layer's fields.

    In a format, what a format may have of its own (its place, its letters' size) changes for that format alone, and all
    else for every one. Raises LayerNotFoundError.
    """
    layers, at = _layers(template), _index(template, name)
    formats = template.canonical()["formats"]
    if size != OWN_SIZE:
        shown = template.in_format(size).layers[at].model_dump(mode="json")
        own = {key: values.pop(key) for key in MOVABLE if key in values}
        moved = {key: value for key, value in own.items() if value != shown.get(key)}
        [format] = [each for each in formats if each["name"] == size]
        overrides = format["overrides"]
        overrides[name] = {**overrides.get(name, {}), **moved}
    layers[at] |= values
    new_name = layers[at]["name"]
    if new_name != name:
        for format in formats:
            if name in format["overrides"]:
                format["overrides"][new_name] = format["overrides"].pop(name)
    return _with_layers(template, layers, formats)


def change_canvas(template: ImageTemplate, values: dict[str, Any], size: str = OWN_SIZE) -> ImageTemplate:
    """The document with another width, height or background; of one of its formats, when one is named."""
    document = template.canonical()
    if size == OWN_SIZE:
        document["canvas"] |= values
    else:
        [format] = [each for each in document["formats"] if each["name"] == size]
        format |= values
    return ImageTemplate.model_validate(document)


def change_columns(template: ImageTemplate, columns: list[dict[str, Any]]) -> ImageTemplate:
    """The document with other columns. One that a layer uses cannot be left out."""
    return ImageTemplate.model_validate({**template.canonical(), "columns": columns})


def add_format(template: ImageTemplate, name: str, width: int, height: int) -> ImageTemplate:
    """The document with another format, its layers put where they lie in the canvas's own size, scaled to fit.

    Each box keeps its shape: it grows or shrinks by the smaller of the two ratios, and its middle keeps its place in
    proportion. What covered the whole canvas covers the whole format.
    """
    canvas = template.canvas
    across, down = width / canvas.width, height / canvas.height
    ratio = min(across, down)
    overrides: dict[str, dict[str, int]] = {}
    for layer in template.layers:
        if layer.width >= canvas.width and layer.height >= canvas.height:
            box = {"x": round(layer.x * across), "y": round(layer.y * down)}
            overrides[layer.name] = box | {"width": round(layer.width * across), "height": round(layer.height * down)}
            continue
        middle = ((layer.left + layer.width / 2) * across, (layer.top + layer.height / 2) * down)
        new_width, new_height = max(round(layer.width * ratio), 1), max(round(layer.height * ratio), 1)
        moved = (round(middle[0] - new_width / 2), round(middle[1] - new_height / 2))
        # From the upper left corner to the layer's own anchor.
        offset = ((layer.x - layer.left) * ratio, (layer.y - layer.top) * ratio)
        overrides[layer.name] = {
            "x": moved[0] + round(offset[0]),
            "y": moved[1] + round(offset[1]),
            "width": new_width,
            "height": new_height,
        }
        for field in ("size", "min_size"):
            value = getattr(layer, field, None)
            if value is not None:
                overrides[layer.name][field] = max(round(value * ratio), 6)
    format = {"name": name, "width": width, "height": height, "overrides": overrides}
    document = template.canonical()
    return ImageTemplate.model_validate({**document, "formats": [*document["formats"], format]})


def remove_format(template: ImageTemplate, name: str) -> ImageTemplate:
    """The document without a format."""
    document = template.canonical()
    formats = [format for format in document["formats"] if format["name"] != name]
    return ImageTemplate.model_validate({**document, "formats": formats})


def _layers(template: ImageTemplate) -> list[dict[str, Any]]:
    layers: list[dict[str, Any]] = template.canonical()["layers"]
    return layers


def _index(template: ImageTemplate, name: str) -> int:
    for at, layer in enumerate(template.layers):
        if layer.name == name:
            return at
    raise LayerNotFoundError(name)


def _with_layers(
    template: ImageTemplate, layers: list[dict[str, Any]], formats: list[dict[str, Any]] | None = None
) -> ImageTemplate:
    document = {**template.canonical(), "layers": layers}
    return ImageTemplate.model_validate(document if formats is None else {**document, "formats": formats})


def _free_name(template: ImageTemplate, name: str) -> str:
    taken = {layer.name for layer in template.layers}
    stem = name[:50].rstrip("0123456789 ") or name[:50]
    candidates = (stem if number == 1 else f"{stem} {number}" for number in range(1, len(taken) + 3))
    return next(candidate for candidate in candidates if candidate not in taken)

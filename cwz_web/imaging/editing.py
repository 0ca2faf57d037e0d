"""Edits of a template document. Each function takes a document and returns a changed, valid copy.

An edit that would make the document invalid raises pydantic's ValidationError.
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from cwz_web.imaging.document_parts import MAX_SIDE
from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layers import AnyLayer, Container, GroupLayer, StackLayer
from cwz_web.imaging.scaling import scale_layers
from cwz_web.imaging.template_parts import Override
from cwz_web.imaging.text_layers import TextLayer

LayerType = Literal["text", "image", "shape", "code", "rating", "group", "stack"]
# The left, top, width and height of a layer, in pixels of the canvas.
Box = tuple[int, int, int, int]
# The offset of a copy from its original, in pixels, so that both are visible.
COPY_OFFSET = 24
# The values of a layer that a size can override in the designer.
OVERRIDABLE = tuple(name for name in Override.model_fields if name != "hidden")
# The values that decide where a layer is.
_GEOMETRY = ("x", "y", "width", "height", "anchor")
_SIDES = ("width", "height")

_NEW_LAYERS: dict[str, dict[str, Any]] = {
    "text": {"text": "Your text", "size": 48, "weight": 600, "width": 480, "height": 120, "max_lines": 2},
    "image": {"source": "", "width": 320, "height": 320},
    "shape": {"fill": "#3d4ee0", "width": 240, "height": 160},
    "code": {"content": "https://example.org", "width": 180, "height": 180},
    "rating": {"value": "4.5", "width": 240, "height": 44},
    "group": {"width": 480, "height": 320, "layers": []},
    "stack": {"width": 480, "height": 320, "gap": 16, "layers": []},
}
# New layers of these types take the width of their stack, and the height of their content.
_FLEXIBLE_TYPES = {"text", "stack"}
_LAYER_NAMES = {
    "text": "Text",
    "image": "Image",
    "shape": "Shape",
    "code": "Code",
    "rating": "Stars",
    "group": "Group",
    "stack": "Stack",
}
_any_layer: TypeAdapter[Layer] = TypeAdapter(AnyLayer)


class LayerNotFoundError(LookupError):
    """The document does not have a layer of this name, for example because another user removed it."""


@dataclass(frozen=True)
class _Spot:
    """Where a layer is in a document: in which list, at which index, and in which container, if any."""

    siblings: list[dict[str, Any]]
    index: int
    parent: dict[str, Any] | None

    @property
    def layer(self) -> dict[str, Any]:
        """The layer."""
        return self.siblings[self.index]

    @property
    def is_in_stack(self) -> bool:
        """Whether a stack places the layer."""
        return self.parent is not None and self.parent["type"] == "stack"


def add_layer(template: ImageTemplate, layer_type: LayerType, beside: str = "") -> tuple[ImageTemplate, str]:
    """Add a layer: into a container, above a layer in a container, or on top of the canvas.

    Args:
        template: the document.
        layer_type: the type of the new layer.
        beside: the name of the container, or of the layer. The new layer is on the canvas if this layer is, too.

    Returns:
        The changed document and the new layer's name.
    """
    document = template.canonical()
    spot = _spot_of_new_layer(document, beside)
    name = _unused_name(_names(document["layers"]), _LAYER_NAMES[layer_type])
    layer = {"type": layer_type, "name": name} | deepcopy(_NEW_LAYERS[layer_type])
    spot.siblings.insert(spot.index, layer | _new_box(layer, spot.parent or document["canvas"]))
    return ImageTemplate.model_validate(document), name


def duplicate_layer(template: ImageTemplate, name: str) -> tuple[ImageTemplate, str]:
    """Add a copy of a layer, and of the layers in it, directly above it. Raises LayerNotFoundError.

    Returns:
        The changed document and the copy's name.
    """
    document = template.canonical()
    spot = _locate(document, name)
    copy, used = deepcopy(spot.layer), _names(document["layers"])
    renamed = {}
    for layer in _walk([copy]):
        renamed[layer["name"]] = layer["name"] = _unused_name(used, layer["name"])
        used.add(layer["name"])
    _rename_masks([copy], renamed)
    for size in document["sizes"]:
        overrides = size["overrides"]
        overrides |= {new: dict(overrides[old]) for old, new in renamed.items() if old in overrides}
    if not spot.is_in_stack:
        for values in (copy, *_overrides_of(document, copy["name"])):
            _move(values, COPY_OFFSET, COPY_OFFSET)
    spot.siblings.insert(spot.index + 1, copy)
    return ImageTemplate.model_validate(document), copy["name"]


def remove_layer(template: ImageTemplate, name: str) -> ImageTemplate:
    """Remove a layer and the layers in it, with their overrides. Raises LayerNotFoundError."""
    document = template.canonical()
    spot = _locate(document, name)
    _remove_overrides(document, _names([spot.siblings.pop(spot.index)]))
    _remove_lost_masks(document)
    return ImageTemplate.model_validate(document)


def move_layer(template: ImageTemplate, name: str, position: int) -> ImageTemplate:
    """Move a layer to another position in its container, counted from the lowest layer. Raises LayerNotFoundError."""
    document = template.canonical()
    spot = _locate(document, name)
    layer = spot.siblings.pop(spot.index)
    spot.siblings.insert(min(max(position, 0), len(spot.siblings)), layer)
    return ImageTemplate.model_validate(document)


def change_layer(template: ImageTemplate, name: str, values: dict[str, Any], size: str = DEFAULT_SIZE) -> ImageTemplate:
    """Change values of a layer. Raises LayerNotFoundError.

    Args:
        template: the document.
        name: the name of the layer.
        values: the new values by name.
        size: the size that is being edited. Values that a size can override change in this size only, all others in
            every size.
    """
    document = template.canonical()
    layer = _locate(document, name).layer
    if size != DEFAULT_SIZE:
        changed = _changed_in_size(template, name, values, size)
        overrides = _named(document["sizes"], size)["overrides"]
        if changed:
            overrides[name] = {**overrides.get(name, {}), **changed}
        values = {key: value for key, value in values.items() if key not in _overridable(layer["type"])}
    layer |= values
    if layer["name"] != name:
        _rename_masks(document["layers"], {name: layer["name"]})
        for each in document["sizes"]:
            if name in each["overrides"]:
                each["overrides"][layer["name"]] = each["overrides"].pop(name)
    return ImageTemplate.model_validate(document)


def wrap_in_stack(template: ImageTemplate, name: str) -> tuple[ImageTemplate, str]:
    """Put a layer into a new stack in its place. Raises LayerNotFoundError.

    The stack hugs the layer, except for sides that fill another stack or follow the canvas by their pins: these are
    the stack's own, and the layer fills them.

    Returns:
        The changed document and the stack's name.
    """
    document = template.canonical()
    spot = _locate(document, name)
    original = template.find_layer(name)
    assert original is not None
    outer, inner = original.sizing.model_dump(), original.sizing.model_dump()
    for side in _SIDES:
        if outer[side] == "fixed":
            is_pinned = not spot.is_in_stack and _resizes(original, side)
            outer[side], inner[side] = ("fixed", "fill") if is_pinned else ("hug", "fixed")
            # The limits do not apply to a fixed side, and would limit the new ones.
            outer[f"min_{side}"] = outer[f"max_{side}"] = inner[f"min_{side}"] = inner[f"max_{side}"] = None
    layer = spot.layer | {"x": 0, "y": 0, "anchor": "top-left", "sizing": inner, "pins": None}
    stack = _container(document, "stack", spot.layer, layer) | {"gap": 16, "sizing": outer}
    for size in document["sizes"]:
        override = size["overrides"].get(name, {})
        own = [key for key in _GEOMETRY if key not in _SIDES or outer[key] == "fixed"]
        size["overrides"][stack["name"]] = {key: override.pop(key) for key in own if key in override}
    spot.siblings[spot.index] = stack
    return _without_empty_overrides(document), stack["name"]


def wrap_in_group(template: ImageTemplate, name: str, box: Box | None = None) -> tuple[ImageTemplate, str]:
    """Put a layer into a new group of its size, in its place. Raises LayerNotFoundError.

    Args:
        template: the document.
        name: the name of the layer.
        box: where a row shows the layer, for the sides that its sizing decides about.

    Returns:
        The changed document and the group's name.
    """
    document = template.canonical()
    spot = _locate(document, name)
    original = template.find_layer(name)
    assert original is not None
    kinds = {side: getattr(original.sizing, side) for side in _SIDES}
    lengths = {
        side: box[at] + _text_margin(original) if box and kinds[side] != "fixed" else spot.layer[side]
        for at, side in enumerate(_SIDES, start=2)
    }
    fills = {side: "fill" if kind == "fill" else "fixed" for side, kind in kinds.items()}
    hugs = {side: "hug" if kind == "hug" else "fixed" for side, kind in kinds.items()}
    layer = spot.layer | lengths | {"sizing": original.sizing.model_dump() | hugs, "pins": _inner_pins(original)}
    layer["x"], layer["y"] = _anchor_offset(original.anchor, *lengths.values())
    group = _container(document, "group", spot.layer | lengths, layer) | {"sizing": fills}
    for size in document["sizes"]:
        override = size["overrides"].get(name, {})
        moved = {key: override.pop(key) for key in _GEOMETRY if override.get(key) is not None}
        size["overrides"][group["name"]] = moved
        sized = template.in_size(size["name"]).find_layer(name)
        if moved and sized:
            x, y = _anchor_offset(sized.anchor, sized.width, sized.height)
            override |= {"x": x, "y": y, "width": sized.width, "height": sized.height, "anchor": sized.anchor}
    spot.siblings[spot.index] = group
    return _without_empty_overrides(document), group["name"]


def unwrap_container(template: ImageTemplate, name: str, boxes: Mapping[str, Box] | None = None) -> ImageTemplate:
    """Replace a group or a stack by its layers, where they are. Raises LayerNotFoundError.

    Args:
        template: the document.
        name: the name of the container.
        boxes: where a row shows the layers, by name: only a placed stack knows where its layers are.
    """
    document = template.canonical()
    spot = _locate(document, name)
    container = template.find_layer(name)
    if not isinstance(container, Container):
        raise LayerNotFoundError(name)
    layers = spot.layer["layers"]
    spot.siblings[spot.index : spot.index + 1] = layers
    _remove_overrides(document, {name})
    if spot.is_in_stack:
        for layer in layers:
            layer["pins"] = None
        _remove_lost_masks(document)
        return ImageTemplate.model_validate(document)
    placed, inner = _placed_container(container, boxes or {})
    pins = container.pins.model_dump() if container.pins else None
    for layer, child in zip(layers, container.layers, strict=True):
        sizing = {side: "fixed" for side in _SIDES if getattr(child.sizing, side) == "fill"}
        layer |= _unwrapped(placed, child, inner.get(child.name))
        layer |= {"sizing": child.sizing.model_dump() | sizing, "pins": pins}
    return _keep_places_in_sizes(template, ImageTemplate.model_validate(document), placed, inner)


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
    """Add a size, with the layers scaled and placed in proportion to the canvas, except for those with pins.

    Args:
        template: the document.
        name: the name of the size.
        width: its width, in pixels.
        height: its height, in pixels.
    """
    canvas = template.canvas
    overrides = dict(scale_layers(template.layers, (canvas.width, canvas.height), (width, height)))
    size = {"name": name, "width": width, "height": height, "overrides": overrides}
    document = template.canonical()
    return ImageTemplate.model_validate({**document, "sizes": [*document["sizes"], size]})


def remove_size(template: ImageTemplate, name: str) -> ImageTemplate:
    """Remove an additional size."""
    document = template.canonical()
    sizes = [size for size in document["sizes"] if size["name"] != name]
    return ImageTemplate.model_validate({**document, "sizes": sizes})


def _named(parts: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(part for part in parts if part["name"] == name)


def _walk(layers: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for layer in layers:
        yield layer
        yield from _walk(layer.get("layers", ()))


def _names(layers: Iterable[dict[str, Any]]) -> set[str]:
    return {layer["name"] for layer in _walk(layers)}


def _find(layers: list[dict[str, Any]], name: str, parent: dict[str, Any] | None = None) -> _Spot | None:
    for index, layer in enumerate(layers):
        if layer["name"] == name:
            return _Spot(layers, index, parent)
        if spot := _find(layer.get("layers", []), name, layer):
            return spot
    return None


def _locate(document: dict[str, Any], name: str) -> _Spot:
    spot = _find(document["layers"], name)
    if spot is None:
        raise LayerNotFoundError(name)
    return spot


def _spot_of_new_layer(document: dict[str, Any], beside: str) -> _Spot:
    spot = _find(document["layers"], beside)
    if spot and "layers" in spot.layer:
        return _Spot(spot.layer["layers"], len(spot.layer["layers"]), spot.layer)
    if spot and spot.parent:
        return _Spot(spot.siblings, spot.index + 1, spot.parent)
    return _Spot(document["layers"], len(document["layers"]), None)


def _new_box(layer: dict[str, Any], parent: dict[str, Any]) -> dict[str, Any]:
    """Return the box of a new layer: in the center of its parent; a stack places it."""
    width, height = min(layer["width"], parent["width"]), min(layer["height"], parent["height"])
    if parent.get("type") == "stack":
        sizing = {"sizing": {"width": "fill", "height": "hug"}} if layer["type"] in _FLEXIBLE_TYPES else {}
        return {"width": width, "height": height, **sizing}
    return {
        "x": (parent["width"] - width) // 2,
        "y": (parent["height"] - height) // 2,
        "width": width,
        "height": height,
    }


def _changed_in_size(template: ImageTemplate, name: str, values: dict[str, Any], size: str) -> dict[str, Any]:
    """Return the values that a size overrides and that differ from those of the layer in this size."""
    layer = template.in_size(size).find_layer(name)
    assert layer is not None
    current = layer.model_dump(mode="json")
    wanted = _any_layer.validate_python(current | values).model_dump(mode="json")
    return {key: wanted[key] for key in _overridable(layer.type) if key in values and wanted[key] != current[key]}


def _overridable(layer_type: str) -> tuple[str, ...]:
    """Return the values of a layer that a size can override. The direction of a text is that of its letters."""
    return tuple(name for name in OVERRIDABLE if name != "direction" or layer_type == "stack")


def _container(
    document: dict[str, Any], layer_type: LayerType, box: dict[str, Any], layer: dict[str, Any]
) -> dict[str, Any]:
    """Return a container with the position, size and pins of a layer, around this layer."""
    name = _unused_name(_names(document["layers"]), _LAYER_NAMES[layer_type])
    place = {key: box[key] for key in (*_GEOMETRY, "pins") if key in box}
    bound = layer.get("bound", {})
    moved = {key: bound[key] for key in ("x", "y") if key in bound}
    inner = {key: value for key, value in bound.items() if key not in moved}
    return {"type": layer_type, "name": name, **place, "bound": moved, "layers": [layer | {"bound": inner}]}


def _resizes(layer: Layer, side: str) -> bool:
    """Return whether the pins of a layer change its width or height."""
    if layer.pins is None:
        return False
    return (layer.pins.horizontal if side == "width" else layer.pins.vertical) in ("both", "scale")


def _inner_pins(layer: Layer) -> dict[str, str] | None:
    """Return the pins of a layer in a group of its size: it follows the group where it filled a stack."""
    pins = layer.pins.model_dump() if layer.pins else {"horizontal": "left", "vertical": "top"}
    for side, axis in zip(_SIDES, ("horizontal", "vertical"), strict=True):
        if getattr(layer.sizing, side) == "fill":
            pins[axis] = "both"
    return pins if layer.pins or "both" in pins.values() else None


def _text_margin(layer: Layer) -> int:
    """Return the room that a text needs beside its box: the box is that of the ink, lines end after the last letter."""
    return 2 * (layer.size // 8) if isinstance(layer, TextLayer) and layer.sizing.width == "hug" else 0


def _anchor_offset(anchor: str, width: int, height: int) -> tuple[int, int]:
    """Return the position of an anchor in a box."""
    return (
        0 if "left" in anchor else width if "right" in anchor else width // 2,
        0 if "top" in anchor else height if "bottom" in anchor else height // 2,
    )


def _placed_container(container: Container, boxes: Mapping[str, Box]) -> tuple[Container, dict[str, Box]]:
    """Return a container with its placed size, and the boxes of its layers relative to it, as far as they are known."""
    if container.name not in boxes:
        return container, {}
    left, top, width, height = boxes[container.name]
    known = {child.name: boxes[child.name] for child in container.layers if child.name in boxes}
    inner = {name: (box[0] - left, box[1] - top, box[2], box[3]) for name, box in known.items()}
    return container.model_copy(update={"width": width, "height": height}), inner


def _unwrapped(container: Container, layer: Layer, box: Box | None, ratio: float = 1) -> dict[str, int]:
    """Return the box of a layer without its container, in the coordinates of the container's parent.

    Args:
        container: the container.
        layer: the layer in it.
        box: where the layer is, relative to the container; needed for the layers of a stack only.
        ratio: the factor of the box.
    """
    if isinstance(container, GroupLayer):
        place = {"x": container.left + layer.x, "y": container.top + layer.y}
        return {key: _clamp(value) for key, value in place.items()} | {"width": layer.width, "height": layer.height}
    assert isinstance(container, StackLayer)
    scaled = [round(length * ratio) for length in box] if box else [container.padding] * 2 + [layer.width, layer.height]
    left, top, *lengths = scaled
    width, height = (
        getattr(layer, side) if getattr(layer.sizing, side) == "fixed" else min(max(length, 1), MAX_SIDE)
        for side, length in zip(_SIDES, lengths, strict=True)
    )
    x, y = _anchor_offset(layer.anchor, width, height)
    return {
        "x": _clamp(container.left + left + x),
        "y": _clamp(container.top + top + y),
        "width": width,
        "height": height,
    }


def _keep_places_in_sizes(
    template: ImageTemplate, unwrapped: ImageTemplate, container: Container, boxes: Mapping[str, Box]
) -> ImageTemplate:
    """Override the places of layers that are no longer in a container, where they would differ in a size.

    Where a stack places its layers in another size is not known: they are taken to be in proportion.
    """
    document, canvas = unwrapped.canonical(), template.canvas
    for size in document["sizes"]:
        before, after = template.in_size(size["name"]), unwrapped.in_size(size["name"])
        outer = before.find_layer(container.name)
        assert isinstance(outer, Container)
        ratio = 1 if container.pins else min(size["width"] / canvas.width, size["height"] / canvas.height)
        flexible = [side for side in _SIDES if getattr(container.sizing, side) != "fixed"]
        outer = outer.model_copy(update={side: round(getattr(container, side) * ratio) for side in flexible})
        for layer in outer.layers:
            now = after.find_layer(layer.name)
            fonts = {key: getattr(layer, key) for key in ("size", "min_size") if getattr(layer, key, None)}
            wanted = _unwrapped(outer, layer, boxes.get(layer.name), ratio) | fonts
            changed = {key: value for key, value in wanted.items() if value != getattr(now, key)}
            if changed:
                size["overrides"][layer.name] = size["overrides"].get(layer.name, {}) | changed
    return ImageTemplate.model_validate(document)


def _overrides_of(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [size["overrides"][name] for size in document["sizes"] if name in size["overrides"]]


def _remove_overrides(document: dict[str, Any], names: Iterable[str]) -> None:
    for size in document["sizes"]:
        for name in names:
            size["overrides"].pop(name, None)


def _without_empty_overrides(document: dict[str, Any]) -> ImageTemplate:
    _remove_lost_masks(document)
    for size in document["sizes"]:
        size["overrides"] = {
            name: override
            for name, override in size["overrides"].items()
            if any(value is not None for value in override.values())
        }
    return ImageTemplate.model_validate(document)


def _rename_masks(layers: Iterable[dict[str, Any]], renamed: Mapping[str, str]) -> None:
    """Let the masks of layers follow changed names."""
    for layer in _walk(layers):
        mask = layer.get("mask")
        if isinstance(mask, dict) and mask["layer"] in renamed:
            layer["mask"] = mask | {"layer": renamed[mask["layer"]]}


def _remove_lost_masks(document: dict[str, Any]) -> None:
    """Remove the masks of layers that are no longer beside the layer that is their mask."""
    for parent in (document, *_walk(document["layers"])):
        siblings = parent.get("layers", [])
        names = set() if parent.get("type") == "stack" else {layer["name"] for layer in siblings}
        for layer in siblings:
            if isinstance(layer.get("mask"), dict) and layer["mask"]["layer"] not in names:
                layer["mask"] = "box" if layer["type"] == "image" else None


def _move(values: dict[str, Any], right: int, down: int) -> None:
    """Move a layer or an override; a value that the override does not have stays as it is."""
    for key, offset in (("x", right), ("y", down)):
        if values.get(key) is not None:
            values[key] = _clamp(values[key] + offset)


def _clamp(position: int) -> int:
    return min(max(position, -MAX_SIDE), MAX_SIDE)


def _unused_name(used: set[str], name: str) -> str:
    stem = name[:50].rstrip("0123456789 ") or name[:50]
    candidates = (stem if number == 1 else f"{stem} {number}" for number in range(1, len(used) + 3))
    return next(candidate for candidate in candidates if candidate not in used)

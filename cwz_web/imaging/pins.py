"""Pins: how a layer follows the size of its group or of the canvas."""

from typing import Any, TypeVar

from cwz_web.imaging.layer_base import Layer, Pins
from cwz_web.imaging.text_layers import TextLayer

MIN_FONT_SIZE = 6

AnyLayerT = TypeVar("AnyLayerT", bound=Layer)


def pin_layer(layer: AnyLayerT, old: tuple[int, int], new: tuple[int, int]) -> AnyLayerT:
    """Return a layer as it is placed in a parent of another size.

    Args:
        layer: the layer; without pins, it keeps its distance from the upper left corner.
        old: the width and height that the layer was designed for.
        new: the width and height of the parent.
    """
    if layer.pins is None or old == new:
        return layer
    left, width = _pin(layer.pins.horizontal, layer.left, layer.width, old[0], new[0])
    top, height = _pin(layer.pins.vertical, layer.top, layer.height, old[1], new[1])
    changes: dict[str, Any] = {"width": width, "height": height}
    if isinstance(layer, TextLayer):
        changes |= _scale_font(layer, old, new)
    resized = layer.model_copy(update=changes)
    # From the upper left corner to the anchor.
    return resized.model_copy(update={"x": left + resized.x - resized.left, "y": top + resized.y - resized.top})


def _pin(pin: str, start: int, length: int, old: int, new: int) -> tuple[int, int]:
    """Return the position and the length of a box along one axis."""
    match pin:
        case "right" | "bottom":
            return start + new - old, length
        case "center":
            return start + round((new - old) / 2), length
        case "both":
            return start, max(length + new - old, 1)
        case "scale":
            return round(start * new / old), max(round(length * new / old), 1)
    return start, length


def _scale_font(layer: TextLayer, old: tuple[int, int], new: tuple[int, int]) -> dict[str, int]:
    """Return the font sizes of a text that is scaled with its parent, by the smaller ratio of both sides."""
    pins: Pins | None = layer.pins
    assert pins is not None
    sides = zip((pins.horizontal, pins.vertical), old, new, strict=True)
    ratio = min((after / before for pin, before, after in sides if pin == "scale"), default=1.0)
    sizes = {"size": layer.size, "min_size": layer.min_size, "max_size": layer.max_size}
    return {name: max(round(size * ratio), MIN_FONT_SIZE) for name, size in sizes.items() if size is not None}

"""Scaling of a template's layers to another canvas size: a proposal of overrides, which the user then adjusts."""

from collections.abc import Iterable, Iterator
from math import sqrt
from typing import Any

from cwz_web.imaging.document_parts import MAX_FONT_SIZE, MAX_SIDE
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layers import AnyLayer, GroupLayer, StackLayer
from cwz_web.imaging.pins import MIN_FONT_SIZE, pin_layer

MAX_PADDING = 500
# A banner: columns become rows.
WIDE = 2.2
MAX_STACK_SCALE = 2.2
# How far the edges of aligned layers can be apart, in pixels.
ALIGNED = 1

Extent = tuple[int, int]
Overrides = Iterator[tuple[str, dict[str, Any]]]


def scale_layers(layers: Iterable[AnyLayer], old: Extent, new: Extent) -> Overrides:
    """Yield overrides for layers with positions of their own, and for the layers in them.

    Each box keeps its aspect ratio: it is scaled by the smaller of the two ratios, and its center keeps its relative
    position; where it is aligned with other layers by an edge, that edge does. A layer that covers its whole parent
    covers the whole new one. Layers with pins follow by these.

    Args:
        layers: the layers of the canvas or of a group.
        old: the width and height of this parent.
        new: its width and height in the new size.
    """
    ratio = min(new[0] / old[0], new[1] / old[1])
    layers = list(layers)
    for layer in layers:
        if layer.pins:
            pinned = pin_layer(layer, old, new)
            extent = (pinned.width, pinned.height)
            scale = _scale_of(layer, extent)
            override: dict[str, Any] = {}
            if isinstance(layer, StackLayer) and scale != 1:
                override = _scale_lengths(layer, scale)
            if isinstance(layer, StackLayer) and (turned := _turn(layer, extent)):
                override |= {"direction": turned}
        else:
            others = [each for each in layers if each is not layer and not _covers(each, old)]
            box = _scale_box(layer, others, old, new)
            extent, scale = (box.get("width", layer.width), box.get("height", layer.height)), ratio
            override = box | _scale_lengths(layer, ratio)
        if override:
            yield layer.name, override
        yield from _scale_content(layer, extent, scale)


def _scale_of(layer: Layer, extent: Extent) -> float:
    """Return the scale of the content of a pinned layer.

    A stack arranges its layers again, so their scale follows the area, as long as the shorter side has room.
    """
    ratios = extent[0] / layer.width, extent[1] / layer.height
    if not isinstance(layer, StackLayer):
        return min(ratios)
    return min(sqrt(ratios[0] * ratios[1]), MAX_STACK_SCALE * min(ratios))


def _turn(layer: StackLayer, extent: Extent) -> str | None:
    """Return another direction for a stack whose box has become much wider or higher than before; None for its own."""
    width, height = extent
    if layer.direction == "row" and layer.width > layer.height and height >= width:
        return "column"
    if layer.direction == "column" and not layer.wrap and width > WIDE * height and layer.width < WIDE * layer.height:
        return "row"
    return None


def _scale_content(layer: AnyLayer, extent: Extent, ratio: float) -> Overrides:
    if isinstance(layer, GroupLayer):
        yield from scale_layers(layer.layers, (layer.width, layer.height), extent)
    elif isinstance(layer, StackLayer):
        for child in layer.layers:
            yield from _scale_stacked(child, ratio)


def _scale_stacked(layer: AnyLayer, ratio: float) -> Overrides:
    """Yield overrides for a layer that a stack places, and for the layers in it."""
    # The layers of a group are relative to its width and height, also where its sizing decides about these.
    sides = ("width", "height")
    own = [side for side in sides if isinstance(layer, GroupLayer) or getattr(layer.sizing, side) == "fixed"]
    override: dict[str, Any] = {side: _length(getattr(layer, side) * ratio) for side in own}
    override |= _scale_lengths(layer, ratio)
    if override:
        yield layer.name, override
    extent = (override.get("width", layer.width), override.get("height", layer.height))
    yield from _scale_content(layer, extent, ratio)


def _covers(layer: Layer, extent: Extent) -> bool:
    return layer.width >= extent[0] and layer.height >= extent[1]


def _part_to_keep(layer: Layer, others: Iterable[Layer], start: str, side: str) -> float:
    """Return the part of a side at which most other layers are aligned: 0 the start, 1 the end; else the middle."""

    def position(each: Layer, part: float) -> float:
        return float(getattr(each, start) + getattr(each, side) * part)

    aligned = {
        part: sum(abs(position(each, part) - position(layer, part)) <= ALIGNED for each in others)
        for part in (0.5, 0, 1)
    }
    return max(aligned, key=lambda part: aligned[part])


def _scale_box(layer: Layer, others: Iterable[Layer], old: Extent, new: Extent) -> dict[str, int]:
    """Return the scaled box of a layer; a flexible side keeps the relative position of its anchor."""
    ratios = (new[0] / old[0], new[1] / old[1])
    covers = _covers(layer, old)
    box = {}
    for side, axis, edge, ratio in zip(("width", "height"), ("x", "y"), ("left", "top"), ratios, strict=True):
        length, anchor, start = getattr(layer, side), getattr(layer, axis), getattr(layer, edge)
        if getattr(layer.sizing, side) != "fixed":
            box[axis] = _position(anchor * ratio)
        elif covers:
            box |= {axis: _position(anchor * ratio), side: _length(length * ratio)}
        else:
            box[side] = _length(length * min(ratios))
            part = _part_to_keep(layer, others, edge, side)
            kept = (start + length * part) * ratio
            box[axis] = _position(round(kept - box[side] * part) + round((anchor - start) * min(ratios)))
    return box


def _scale_lengths(layer: Layer, ratio: float) -> dict[str, int]:
    """Return the scaled font sizes, gap and padding of a layer."""
    lengths = {}
    limits = {"size": (MIN_FONT_SIZE, MAX_FONT_SIZE), "min_size": (MIN_FONT_SIZE, MAX_FONT_SIZE)}
    limits |= {"gap": (0, MAX_SIDE), "padding": (0, MAX_PADDING)}
    for key, (low, high) in limits.items():
        if value := getattr(layer, key, None):
            lengths[key] = min(max(round(value * ratio), low), high)
    return lengths


def _length(value: float) -> int:
    return min(max(round(value), 1), MAX_SIDE)


def _position(value: float) -> int:
    return min(max(round(value), -MAX_SIDE), MAX_SIDE)

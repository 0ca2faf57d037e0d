"""Tiles: the layers of an image one by one, as an editor shows them, so that it can move them before they are rendered.

A tile has everything of a layer but its opacity and its blend mode, which every browser mixes by the same formulas.
The tiles of an image on its background, from the lowest to the highest, are the image.

A container whose layers rotate, fade, blend or are cut off together is one tile; the layers in it have none.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import cos, radians, sin

import numpy as np

from cwz_web.imaging.blending import BlendMode
from cwz_web.imaging.compositing import Patch, Pixels, merge_patches, new_canvas
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.effects import Window, has_effects
from cwz_web.imaging.encoders import Format, Output, encode
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layers import AnyLayer, Container, StackLayer, walk_layers
from cwz_web.imaging.placement import PlacedLayer

TILE_OUTPUT = Output(format=Format.PNG)
# The properties that make a tile of a container if a row decides about them.
_BOUND_EFFECTS = frozenset({"opacity", "rotation"})


@dataclass(frozen=True)
class Tile:
    """The pixels of a layer as a PNG file, with its upper left corner at (x, y) of the canvas.

    Attributes:
        digest: of the file, which is the same wherever its pixels are.
    """

    x: int
    y: int
    width: int
    height: int
    digest: str
    png: bytes

    @property
    def nbytes(self) -> int:
        """The size of the file in bytes."""
        return len(self.png)

    @classmethod
    def of(cls, patches: Sequence[Patch], window: Window) -> "Tile | None":
        """Merge and encode patches as far as they are in a window; None if nothing of them is.

        Raises:
            ImageTooLargeError: they are too far apart.
        """
        inside = [cropped for patch in patches if (cropped := patch.cropped(*window))]
        if not inside:
            return None
        patch = merge_patches(inside)
        png = encode(_pixels(patch), TILE_OUTPUT, has_alpha=True)
        height, width = patch.shape
        return cls(patch.x, patch.y, width, height, blake2b(png, digest_size=16).hexdigest(), png)


@dataclass(frozen=True)
class TiledLayer:
    """A layer of a row, as an editor shows it.

    Attributes:
        layer: the layer at its place in this row.
        instance: 0, or which repetition of a repeated layer it is.
        parent: the name of its container; empty on the canvas.
        center: the center of its box on the canvas, in pixels.
        rotation: degrees clockwise on the canvas, those of the containers included.
        opacity: what the tile is to be shown with.
        blend: how the tile mixes with what is below.
        tile: the pixels; None if it shows none, is a part of its container's tile, or is the mask of another layer.
        problem: why it cannot be rendered, if so.
    """

    layer: Layer
    instance: int
    parent: str
    center: tuple[float, float]
    rotation: float
    opacity: float
    blend: BlendMode
    tile: Tile | None = None
    problem: str = ""


@dataclass(frozen=True)
class _Turn:
    """The rotation of the containers around a layer, around a point of the canvas."""

    angle: float = 0.0
    x: float = 0.0
    y: float = 0.0
    around: "_Turn | None" = None

    def apply(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the canvas is after the rotation."""
        cosine, sine = cos(radians(self.angle)), sin(radians(self.angle))
        x, y = x - self.x, y - self.y
        turned = x * cosine - y * sine + self.x, x * sine + y * cosine + self.y
        return self.around.apply(*turned) if self.around else turned

    @property
    def total(self) -> float:
        """The degrees of all rotations."""
        return self.angle + (self.around.total if self.around else 0.0)


# Renders a layer with the layers in it, or only its own box, as a tile; returns why it cannot be rendered instead.
RenderTile = Callable[[PlacedLayer, bool], Tile | str | None]


def without_mixing(template: ImageTemplate) -> ImageTemplate:
    """Return a template with all layers opaque and without blend modes, as tiles show them, except for masks."""
    masks = frozenset(layer.layer_mask.layer for layer in walk_layers(template.layers) if layer.layer_mask)
    return template.model_copy(update={"layers": _without_mixing(template.layers, masks)})


def tile_layers(placed: Iterable[PlacedLayer], template: ImageTemplate, render: RenderTile) -> Iterator[TiledLayer]:
    """Yield the layers of a row, each container before the layers in it.

    Args:
        placed: the layers of the canvas, placed without opacity and blend modes.
        template: the template in one size, with them.
        render: renders a tile.
    """
    counts: Counter[str] = Counter()
    designs = {layer.name: layer for layer in walk_layers(template.layers)}

    def walk(layers: Iterable[PlacedLayer], parent: str, turn: _Turn, *, is_inside: bool) -> Iterator[TiledLayer]:
        for each in layers:
            layer = each.layer
            designed = designs[layer.name]
            is_whole = isinstance(layer, Container) and _is_whole(designed)
            own = None if is_inside else render(each, is_whole)
            center = (layer.left + layer.width / 2, layer.top + layer.height / 2)
            instance = counts[layer.name]
            counts[layer.name] += 1
            yield TiledLayer(
                layer=layer,
                instance=instance,
                parent=parent,
                center=turn.apply(*center),
                rotation=layer.rotation + turn.total,
                opacity=1 if "opacity" in designed.bound else designed.opacity,
                blend=designed.blend,
                tile=own if isinstance(own, Tile) else None,
                problem=own if isinstance(own, str) else "",
            )
            inner = _Turn(layer.rotation, *center, turn) if layer.rotation % 360 else turn
            yield from walk(each.children, layer.name, inner, is_inside=is_inside or is_whole)
            if each.mask:
                yield from walk([each.mask], parent, turn, is_inside=True)

    yield from walk(placed, "", _Turn(), is_inside=False)


def _without_mixing(layers: Sequence[AnyLayer], masks: frozenset[str]) -> tuple[AnyLayer, ...]:
    return tuple(layer if layer.name in masks else _without_own_mixing(layer, masks) for layer in layers)


def _without_own_mixing(layer: AnyLayer, masks: frozenset[str]) -> AnyLayer:
    changes: dict[str, object] = {"blend": "normal"}
    if "opacity" not in layer.bound:
        changes["opacity"] = 1.0
    if isinstance(layer, Container):
        changes["layers"] = _without_mixing(layer.layers, masks)
    return layer.model_copy(update=changes)


def _is_whole(layer: Layer) -> bool:
    """Return whether the layers of a container are rendered together."""
    assert isinstance(layer, Container)
    # The shadow of a stack's box is part of the box.
    has_box = isinstance(layer, StackLayer) and bool(layer.background or layer.border)
    is_mixed = has_effects(layer.model_copy(update={"shadow": None}) if has_box else layer)
    return layer.clip or is_mixed or layer.layer_mask is not None or bool(_BOUND_EFFECTS & layer.bound.keys())


def _pixels(patch: Patch) -> Pixels:
    """Return the color and the alpha of a patch as an array (height, width, 4)."""
    height, width = patch.shape
    pixels = patch.color.copy() if isinstance(patch.color, np.ndarray) else new_canvas(width, height, patch.color)
    pixels[..., 3] = patch.mask()
    return pixels

"""The canvas: an array of bytes on which patches are laid. A patch touches only the rectangle it covers.

A pixel has four bytes, red, green, blue and one that means nothing: numpy and libjpeg are faster over four than over
three.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import local
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
RGB: TypeAlias = tuple[int, int, int]

# Blending goes by strips of at most so many values, computed in memory that is there already: fresh memory would cost
# more than the arithmetic, and many small strips would let threads wait for each other.
STRIP = 600_000


class _Scratch(local):
    """Two arrays of a thread's own."""

    def __init__(self) -> None:
        self.cover, self.mixed = np.empty(STRIP, np.uint16), np.empty(STRIP, np.uint16)


_scratch = _Scratch()


@dataclass(frozen=True)
class Patch:
    """Something to lay on a canvas with its top left corner at (x, y).

    Attributes:
        color: one color for the whole patch, or an array (height, width, 4) of which the last band means nothing.
        alpha: an array (height, width) that says how much covers, 0 to 255; None covers everything.
    """

    x: int
    y: int
    color: RGB | Pixels
    alpha: Pixels | None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        array = self.alpha if self.alpha is not None else self.color
        assert isinstance(array, np.ndarray)
        return array.shape[0], array.shape[1]

    @property
    def nbytes(self) -> int:
        """How much memory the patch holds."""
        return sum(part.nbytes for part in (self.color, self.alpha) if isinstance(part, np.ndarray))

    def mask(self) -> Pixels:
        """The alpha as an array, whatever the patch has."""
        return np.full(self.shape, 255, np.uint8) if self.alpha is None else self.alpha

    def moved(self, x: int, y: int) -> "Patch":
        """The same patch, further to the right and downwards."""
        return replace(self, x=self.x + x, y=self.y + y)

    def faded(self, opacity: float) -> "Patch":
        """The same patch, weakened by an opacity of 0 to 1."""
        if opacity >= 1:
            return self
        return replace(self, alpha=(self.mask() * np.float32(opacity) + np.float32(0.5)).astype(np.uint8))

    def clipped(self, mask: Pixels) -> "Patch":
        """The same patch, seen through a mask of its size."""
        alpha = mask if self.alpha is None else (self.alpha * mask.astype(np.uint16) // 255).astype(np.uint8)
        return replace(self, alpha=alpha)


def blank(width: int, height: int, color: RGB) -> Pixels:
    """A canvas of one color."""
    pixel = np.array((*color, 255), np.uint8).view(np.uint32)
    return np.full((height, width), pixel, np.uint32).view(np.uint8).reshape(height, width, 4)


def lay(canvas: Pixels, patch: Patch) -> None:
    """Blend a patch onto the canvas; what reaches beyond the edges is cut off."""
    height, width = patch.shape
    top, left = max(patch.y, 0), max(patch.x, 0)
    bottom, right = min(patch.y + height, canvas.shape[0]), min(patch.x + width, canvas.shape[1])
    if bottom <= top or right <= left:
        return
    inside = (slice(top - patch.y, bottom - patch.y), slice(left - patch.x, right - patch.x))
    color = patch.color[inside] if isinstance(patch.color, np.ndarray) else patch.color
    if patch.alpha is None:
        canvas[top:bottom, left:right] = color if isinstance(color, np.ndarray) else (*color, 255)
        return
    alpha, under = patch.alpha[inside], canvas[top:bottom, left:right]
    strip = max(STRIP // (4 * (right - left)), 1)
    for start in range(0, bottom - top, strip):
        rows = slice(start, start + strip)
        columns = _covered(alpha[rows])
        if columns is not None:
            above = color[rows, columns] if isinstance(color, np.ndarray) else color
            _blend(under[rows, columns], above, alpha[rows, columns])


def merge(patches: Sequence[Patch]) -> Patch:
    """Several patches as one that looks the same on every canvas."""
    if len(patches) == 1:
        return patches[0]
    left, top = min(patch.x for patch in patches), min(patch.y for patch in patches)
    right = max(patch.x + patch.shape[1] for patch in patches)
    bottom = max(patch.y + patch.shape[0] for patch in patches)
    light = np.zeros((bottom - top, right - left, 4), np.float32)
    cover = np.zeros((bottom - top, right - left, 1), np.float32)
    for patch in patches:
        height, width = patch.shape
        place = (slice(patch.y - top, patch.y - top + height), slice(patch.x - left, patch.x - left + width))
        alpha = patch.mask()[..., None] / np.float32(255)
        above = patch.color if isinstance(patch.color, np.ndarray) else np.array((*patch.color, 255), np.uint8)
        light[place] += (above.astype(np.float32) - light[place]) * alpha
        cover[place] += (1 - cover[place]) * alpha
    # `light` is premultiplied by `cover`.
    color = np.divide(light, cover, out=np.zeros_like(light), where=cover > 0)
    return Patch(left, top, _whole(color), _whole(cover[..., 0] * 255))


def parse_color(text: str) -> tuple[RGB, float]:
    """`#rrggbb` or `#rrggbbaa` as a color and its opacity, 0 to 1."""
    red, green, blue = (int(text[i : i + 2], 16) for i in (1, 3, 5))
    return (red, green, blue), int(text[7:9], 16) / 255 if len(text) == 9 else 1.0


def _covered(alpha: Pixels) -> slice | None:
    """The columns from the first to the last in which anything covers."""
    covered: NDArray[np.bool_] = np.any(alpha, axis=0)
    first = int(covered.argmax())
    if not covered[first]:
        return None
    return slice(first, len(covered) - int(covered[::-1].argmax()))


def _blend(under: Pixels, color: RGB | Pixels, alpha: Pixels) -> None:
    """under = (color * alpha + under * (255 - alpha)) / 255, rounded, exactly, with 16-bit integers."""
    height, width = alpha.shape
    above = (
        color.reshape(height, -1)
        if isinstance(color, np.ndarray)
        else np.tile(np.array((*color, 255), np.uint8), width)
    )
    cover, mixed = (part[: alpha.size * 4].reshape(height, -1) for part in (_scratch.cover, _scratch.mixed))
    # Each alpha four times, by one multiplication.
    cover[:] = (alpha * np.uint32(0x01010101)).view(np.uint8)
    np.multiply(cover, above, out=mixed)
    np.subtract(255, cover, out=cover)
    cover *= under.reshape(height, -1)
    mixed += cover
    mixed += 128
    np.right_shift(mixed, 8, out=cover)
    mixed += cover
    mixed >>= 8
    under[:] = mixed.reshape(height, width, 4)


def _whole(values: NDArray[np.float32]) -> Pixels:
    return (values + np.float32(0.5)).clip(0, 255).astype(np.uint8)

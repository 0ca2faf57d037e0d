"""The canvas: an array of RGB bytes on which patches are laid. A patch touches only the rectangle it covers."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
RGB: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Patch:
    """Something to lay on a canvas with its top left corner at (x, y).

    Attributes:
        colour: one colour for the whole patch, or an array (height, width, 3).
        alpha: an array (height, width) that says how much covers, 0 to 255; None covers everything.
    """

    x: int
    y: int
    colour: RGB | Pixels
    alpha: Pixels | None

    @property
    def nbytes(self) -> int:
        """How much memory the patch holds."""
        return sum(part.nbytes for part in (self.colour, self.alpha) if isinstance(part, np.ndarray))


def blank(width: int, height: int, colour: RGB) -> Pixels:
    """A canvas of one colour."""
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = colour
    return canvas


def lay(canvas: Pixels, patch: Patch) -> None:
    """Blend a patch onto the canvas; what reaches beyond the edges is cut off."""
    shape = patch.alpha if patch.alpha is not None else patch.colour
    assert isinstance(shape, np.ndarray)
    top, left = max(patch.y, 0), max(patch.x, 0)
    bottom = min(patch.y + shape.shape[0], canvas.shape[0])
    right = min(patch.x + shape.shape[1], canvas.shape[1])
    if bottom <= top or right <= left:
        return
    inside = (slice(top - patch.y, bottom - patch.y), slice(left - patch.x, right - patch.x))
    if isinstance(patch.colour, np.ndarray):
        colour = _rows(patch.colour[inside])
    else:
        colour = np.tile(np.array(patch.colour, np.uint8), right - left)
    under = _rows(canvas)[top:bottom, left * 3 : right * 3]
    if patch.alpha is None:
        under[:] = colour
    else:
        _blend(under, colour, patch.alpha[inside])


def _rows(pixels: Pixels) -> Pixels:
    """The pixels as an array (height, width * 3): numpy is many times faster over long rows than over triples."""
    return pixels.reshape(pixels.shape[0], -1)


def _blend(under: Pixels, colour: Pixels, alpha: Pixels) -> None:
    """under = (colour * alpha + under * (255 - alpha)) / 255, rounded, exactly, with 16-bit integers."""
    cover = np.repeat(alpha, 3, axis=1).astype(np.uint16)
    mixed = colour * cover
    np.subtract(255, cover, out=cover)
    cover *= under
    mixed += cover
    mixed += 128
    mixed += mixed >> 8
    mixed >>= 8
    under[:] = mixed


def parse_colour(text: str) -> tuple[RGB, float]:
    """`#rrggbb` or `#rrggbbaa` as a colour and its opacity, 0 to 1."""
    red, green, blue = (int(text[i : i + 2], 16) for i in (1, 3, 5))
    return (red, green, blue), int(text[7:9], 16) / 255 if len(text) == 9 else 1.0


def faded(alpha: Pixels, opacity: float) -> Pixels:
    """The mask, weakened by an opacity of 0 to 1."""
    if opacity >= 1:
        return alpha
    return (alpha * np.float32(opacity) + np.float32(0.5)).astype(np.uint8)

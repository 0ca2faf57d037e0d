"""The canvas, an array of pixels, and the patches that are blended onto it.

A pixel has four bytes: red, green, blue and one that is not used. numpy and libjpeg-turbo are faster with four bytes
than with three. In a transparent canvas the fourth byte is alpha, and colors are not premultiplied.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from threading import local
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.blending import BlendMode, mix_bytes, mix_colors
from cwz_web.imaging.errors import ImageTooLargeError

Pixels: TypeAlias = NDArray[np.uint8]
RGB: TypeAlias = tuple[int, int, int]

WHITE: RGB = (255, 255, 255)
# The colors that leave a canvas as it is, of the blend modes that mix in proportion to a color: to mix with a part of
# it is to mix with the color that has this part of the neutral one.
NEUTRAL: dict[BlendMode, RGB] = {"multiply": WHITE, "screen": (0, 0, 0)}

# Blending works on strips of at most this many values in preallocated arrays: allocating memory takes longer than the
# arithmetic. Smaller strips would make threads wait for the interpreter lock.
STRIP = 150_000
# Five bytes for each of them.
MAX_MERGED_PIXELS = 40_000_000


class _Scratch(local):
    """Two preallocated arrays for each thread."""

    def __init__(self) -> None:
        self.cover, self.mixed = np.empty(STRIP, np.uint16), np.empty(STRIP, np.uint16)


_scratch = _Scratch()


@dataclass(frozen=True)
class Part:
    """A part of a patch that is not fully transparent: its rows and columns, and whether it is opaque."""

    rows: slice
    columns: slice
    is_opaque: bool


@dataclass(frozen=True)
class Patch:
    """A rectangle of pixels to blend onto a canvas, with its top left corner at (x, y).

    Attributes:
        color: one color for the whole patch, or an array (height, width, 4) whose last band is not used.
        alpha: the coverage, an array (height, width) of 0 to 255; None is opaque.
        blend: how the color mixes with the canvas.
        weighted: the color on the one that its blend mode leaves as it is, by its alpha. It mixes with an opaque canvas
            like the color with its alpha.
    """

    x: int
    y: int
    color: RGB | Pixels
    alpha: Pixels | None
    blend: BlendMode = "normal"
    weighted: Pixels | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """The height and width in pixels."""
        array = self.alpha if self.alpha is not None else self.color
        assert isinstance(array, np.ndarray)
        return array.shape[0], array.shape[1]

    @property
    def nbytes(self) -> int:
        """The size of the arrays in bytes."""
        return sum(part.nbytes for part in (self.color, self.alpha, self.weighted) if isinstance(part, np.ndarray))

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What of the patch is visible. A patch that several images show is examined once."""
        return tuple(_find_parts(self.mask()))

    def mask(self) -> Pixels:
        """Return the coverage as an array."""
        return np.full(self.shape, 255, np.uint8) if self.alpha is None else self.alpha

    def moved(self, x: int, y: int) -> "Patch":
        """Return the patch at a position further right and down."""
        return replace(self, x=self.x + x, y=self.y + y)

    def faded(self, opacity: float) -> "Patch":
        """Return the patch with an opacity of 0 to 1."""
        if opacity >= 1:
            return self
        alpha = (self.mask() * np.float32(opacity) + np.float32(0.5)).astype(np.uint8)
        return replace(self, alpha=alpha, weighted=None)

    def clipped(self, mask: Pixels) -> "Patch":
        """Return the patch with its coverage multiplied by a mask of the same size."""
        alpha = mask if self.alpha is None else (self.alpha * mask.astype(np.uint16) // 255).astype(np.uint8)
        return replace(self, alpha=alpha, weighted=None)

    def blended(self, mode: BlendMode) -> "Patch":
        """Return the patch with a blend mode."""
        weighted = None
        if mode in NEUTRAL and self.alpha is not None:
            height, width = self.shape
            weighted = new_canvas(width, height, NEUTRAL[mode])
            blend_patch(weighted, replace(self, x=0, y=0, blend="normal"))
        return replace(self, blend=mode, weighted=weighted)

    def cropped(self, left: int, top: int, width: int, height: int) -> "Patch | None":
        """Return the part of the patch within a box, in pixels of the canvas; None if there is none."""
        own_height, own_width = self.shape
        start, end = max(left - self.x, 0), min(left + width - self.x, own_width)
        upper, lower = max(top - self.y, 0), min(top + height - self.y, own_height)
        if end <= start or lower <= upper:
            return None
        if (end - start, lower - upper) == (own_width, own_height):
            return self
        inside = (slice(upper, lower), slice(start, end))
        color = self.color[inside] if isinstance(self.color, np.ndarray) else self.color
        alpha, weighted = (None if part is None else part[inside] for part in (self.alpha, self.weighted))
        return replace(self, x=self.x + start, y=self.y + upper, color=color, alpha=alpha, weighted=weighted)


def new_canvas(width: int, height: int, color: RGB) -> Pixels:
    """Return a canvas of one color."""
    pixel = np.array((*color, 255), np.uint8).view(np.uint32)
    return np.full((height, width), pixel, np.uint32).view(np.uint8).reshape(height, width, 4)


def new_transparent_canvas(width: int, height: int, color: RGB, opacity: float) -> Pixels:
    """Return a canvas of one color with an opacity of 0 to 1."""
    pixels = new_canvas(width, height, color)
    pixels[..., 3] = round(opacity * 255)
    return pixels


def blend_patch(canvas: Pixels, patch: Patch, *, has_alpha: bool = False) -> None:
    """Blend a patch onto the canvas; pixels outside of the canvas are ignored.

    Args:
        canvas: the pixels, which change.
        patch: the patch.
        has_alpha: whether the canvas is transparent.
    """
    inside = patch.cropped(0, 0, canvas.shape[1], canvas.shape[0])
    if inside is None:
        return
    height, width = inside.shape
    under = canvas[inside.y : inside.y + height, inside.x : inside.x + width]
    if inside.weighted is not None and not has_alpha:
        _mix_weighted(under, inside.weighted, inside.blend)
        return
    if inside.alpha is None and inside.blend == "normal":
        under[:] = inside.color if isinstance(inside.color, np.ndarray) else (*inside.color, 255)
        if has_alpha:
            under[..., 3] = 255
        return
    alpha = inside.mask()
    for part in inside.parts:
        place = (part.rows, part.columns)
        above = inside.color[place] if isinstance(inside.color, np.ndarray) else inside.color
        if has_alpha:
            _blend_transparent(under[place], above, alpha[place], inside.blend)
            continue
        if inside.blend != "normal":
            above = mix_bytes(inside.blend, under[place], _color_array(above))
        if part.is_opaque:
            under[place] = _color_array(above)
        else:
            _blend(under[place], above, alpha[place])


def _mix_weighted(under: Pixels, color: Pixels, mode: BlendMode) -> None:
    """Mix a weighted color with the canvas, in strips."""
    step = max(STRIP // (4 * under.shape[1]), 1)
    for start in range(0, under.shape[0], step):
        rows = slice(start, start + step)
        under[rows] = mix_bytes(mode, under[rows], color[rows])


def flatten(canvas: Pixels, color: RGB) -> Pixels:
    """Return a transparent canvas on an opaque color."""
    opaque = new_canvas(canvas.shape[1], canvas.shape[0], color)
    blend_patch(opaque, Patch(0, 0, canvas, np.ascontiguousarray(canvas[..., 3])))
    return opaque


def merge_patches(patches: Sequence[Patch]) -> Patch:
    """Combine patches into one that looks the same on every canvas.

    Patches with a blend mode mix with the ones below them only, on a transparent backdrop: the merged patch is an
    isolated group (Compositing and Blending Level 1, section 5.2).
    """
    if len(patches) == 1:
        return patches[0] if patches[0].blend == "normal" else patches[0].blended("normal")
    left, top = min(patch.x for patch in patches), min(patch.y for patch in patches)
    right = max(patch.x + patch.shape[1] for patch in patches)
    bottom = max(patch.y + patch.shape[0] for patch in patches)
    if (bottom - top) * (right - left) > MAX_MERGED_PIXELS:
        raise ImageTooLargeError(
            gettext_lazy("The layers that rotate, fade or blend together are too large, or too far apart")
        )
    color = np.empty((bottom - top, right - left, 4), np.uint8)
    alpha = np.empty((bottom - top, right - left), np.uint8)
    # In strips: floating-point numbers of all pixels would take five times the memory of the result.
    step = max(STRIP // (4 * (right - left)), 1)
    for start in range(top, bottom, step):
        rows = slice(start - top, start - top + step)
        color[rows], alpha[rows] = _merge_rows(patches, left, start, right, min(start + step, bottom))
    return Patch(left, top, color, alpha)


def _merge_rows(patches: Sequence[Patch], left: int, top: int, right: int, bottom: int) -> tuple[Pixels, Pixels]:
    """Return the colors and the alpha of merged patches within a box."""
    light = np.zeros((bottom - top, right - left, 4), np.float32)
    cover = np.zeros((bottom - top, right - left, 1), np.float32)
    for patch in patches:
        inside = patch.cropped(left, top, right - left, bottom - top)
        if inside is not None:
            height, width = inside.shape
            target = (slice(inside.y - top, inside.y - top + height), slice(inside.x - left, inside.x - left + width))
            _composite(light[target], cover[target], _color_array(inside.color), inside.mask(), inside.blend)
    return _to_bytes(_unpremultiply(light, cover)), _to_bytes(cover[..., 0] * 255)


def parse_color(text: str) -> tuple[RGB, float]:
    """Return the color and the opacity (0 to 1) of `#rrggbb` or `#rrggbbaa`."""
    red, green, blue = (int(text[i : i + 2], 16) for i in (1, 3, 5))
    return (red, green, blue), int(text[7:9], 16) / 255 if len(text) == 9 else 1.0


def _find_parts(alpha: Pixels) -> Iterator[Part]:
    """Yield the visible parts in strips of at most STRIP values.

    Opaque rows, as between round corners, are on their own, as are the opaque columns above and below them.
    """
    height, width = alpha.shape
    opaque = _range(alpha.min(axis=1) == 255)
    bounds = [0, opaque.start, opaque.stop, height] if opaque else [0, height]
    step = max(STRIP // (4 * width), 1)
    for first, last in pairwise(bounds):
        for start in range(first, last, step):
            rows = slice(start, min(start + step, last))
            yield from _find_columns(alpha[rows], rows, beside_opaque_rows=opaque is not None)


def _find_columns(alpha: Pixels, rows: slice, *, beside_opaque_rows: bool) -> Iterator[Part]:
    """Yield the parts of a strip, from its first to its last column that is not fully transparent."""
    covered = alpha.max(axis=0) > 0
    first = int(covered.argmax())
    if not covered[first]:
        return
    last = len(covered) - int(covered[::-1].argmax())
    opaque = _range(alpha.min(axis=0) == 255) if beside_opaque_rows else None
    if opaque is None:
        yield Part(rows, slice(first, last), bool(alpha[:, first:last].min() == 255))
        return
    for start, end in ((first, opaque.start), (opaque.start, opaque.stop), (opaque.stop, last)):
        if start < end:
            yield Part(rows, slice(start, end), start == opaque.start)


def _range(chosen: NDArray[np.bool_]) -> slice | None:
    """Return the range of chosen positions; None if there is none, or they are not in one range."""
    positions = np.flatnonzero(chosen)
    if not len(positions) or positions[-1] - positions[0] >= len(positions):
        return None
    return slice(int(positions[0]), int(positions[-1]) + 1)


def _blend(under: Pixels, color: RGB | Pixels, alpha: Pixels) -> None:
    """Compute under = (color * alpha + under * (255 - alpha)) / 255, exactly rounded, with 16-bit integers."""
    height, width = alpha.shape
    above: NDArray[np.unsignedinteger[Any]]
    if isinstance(color, np.ndarray):
        above = color.reshape(height, -1)
    else:
        # Repeat a pixel as one number, which takes a tenth of repeating its four.
        above = np.full(width, np.array((*color, 255), np.uint16).view(np.uint64), np.uint64).view(np.uint16)
    cover, mixed = (part[: alpha.size * 4].reshape(height, -1) for part in (_scratch.cover, _scratch.mixed))
    # Repeat each alpha four times with one multiplication.
    cover[:] = (alpha * np.uint32(0x01010101)).view(np.uint8)
    np.multiply(cover, above, out=mixed)
    np.subtract(255, cover, out=cover)
    cover *= under.reshape(height, -1)
    mixed += cover
    mixed += 127
    mixed //= 255
    under[:] = mixed.reshape(height, width, 4)


def _blend_transparent(under: Pixels, color: RGB | Pixels, alpha: Pixels, mode: BlendMode) -> None:
    """Blend a color onto pixels with alpha."""
    cover = under[..., 3:].astype(np.float32) / np.float32(255)
    light = under * cover
    _composite(light, cover, _color_array(color), alpha, mode)
    under[:] = _to_bytes(_unpremultiply(light, cover))
    under[..., 3] = _to_bytes(cover[..., 0] * 255)


def _composite(
    light: NDArray[np.float32], cover: NDArray[np.float32], color: Pixels, alpha: Pixels, mode: BlendMode
) -> None:
    """Put a color above pixels whose colors are premultiplied (Compositing and Blending Level 1, sections 5 and 9).

    Args:
        light: premultiplied colors of 0 to 255, an array (height, width, 4), which changes.
        cover: their alpha of 0 to 1, an array (height, width, 1), which changes.
        color: the colors above.
        alpha: their alpha.
        mode: how they mix.
    """
    opacity = alpha[..., None] / np.float32(255)
    above = color.astype(np.float32)
    if mode != "normal":
        below = _unpremultiply(light, cover)[..., :3] / 255
        mixed = mix_colors(mode, below, above[..., :3] / 255) * 255
        above = np.broadcast_to(above, light.shape).copy()
        above[..., :3] += (mixed - above[..., :3]) * cover
    light += (above - light) * opacity
    cover += (1 - cover) * opacity


def _unpremultiply(light: NDArray[np.float32], cover: NDArray[np.float32]) -> NDArray[np.float32]:
    # Where nothing covers a pixel, its light is 0. Dividing only elsewhere takes twice as long.
    color: NDArray[np.float32] = np.divide(light, np.where(cover > 0, cover, np.float32(1)))
    return color


def _color_array(color: RGB | Pixels) -> Pixels:
    return color if isinstance(color, np.ndarray) else np.array((*color, 255), np.uint8)


def _to_bytes(values: NDArray[np.float32]) -> Pixels:
    return (values + np.float32(0.5)).clip(0, 255).astype(np.uint8)

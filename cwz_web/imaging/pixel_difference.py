"""The difference of two images, pixel by pixel: how many pixels differ, and where, as a heat image.

A pixel differs if any of its channels does. Transparent images are compared on white and on black, so that neither a
color without opacity counts as a difference nor a white layer on a transparent canvas is missed.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from cwz_web.imaging.compositing import RGB, WHITE, Pixels, flatten, new_canvas
from cwz_web.imaging.composition import Composition
from cwz_web.imaging.decoding import decode_pixels
from cwz_web.imaging.effects import shrink

# Larger images are reduced before they are compared, which takes four arrays of this many pixels.
MAX_COMPARED_PIXELS = 4_000_000
# Files are reduced to this side first: of an image that is much longer than wide, many pixels are left.
MAX_SIDE = 4_000
BLACK: RGB = (0, 0, 0)
# The colors of the smallest and of the largest difference.
SMALL, LARGE = np.array((255, 176, 0)), np.array((196, 0, 40))
# The unchanged part of a heat image has this fraction of its contrast.
FADE = 4


@dataclass(frozen=True)
class PixelDifference:
    """The difference of two images.

    Attributes:
        changed: how many pixels differ.
        total: the pixels of both images; where only one of them is, each differs.
        heat: the newer image in faint gray, with the pixels that differ in color: the redder, the more they differ.
    """

    changed: int
    total: int
    heat: Pixels

    @property
    def share(self) -> float:
        """The share of pixels that differ, 0 to 1."""
        return self.changed / self.total


def compare_files(before: bytes, after: bytes, *, threshold: int = 0, side: int = MAX_SIDE) -> PixelDifference:
    """Compare two image files.

    Args:
        before: the older file.
        after: the newer one.
        threshold: as in `compare_images`; files of lossy formats differ slightly where they show the same.
        side: they are compared at most so many pixels long.

    Raises:
        InvalidImageError: a file cannot be decoded.
    """
    decoded = [decode_pixels(data, side) for data in (before, after)]
    old, new = (Composition(pixels, has_alpha=not is_opaque) for pixels, is_opaque in decoded)
    return compare_images(old, new, threshold)


def compare_images(before: Composition, after: Composition, threshold: int = 0) -> PixelDifference:
    """Compare two images, which can have different sizes; their upper left corners are on one another.

    Args:
        before: the older image.
        after: the newer one.
        threshold: by how much a channel of a pixel may differ, of 255, before the pixel counts as changed.
    """
    grounds = (WHITE, BLACK) if before.has_alpha or after.has_alpha else (WHITE,)
    scale = _scale(before, after)
    pairs = [(_opaque(before, ground, scale), _opaque(after, ground, scale)) for ground in grounds]
    old, new = pairs[0]
    amount = _amount(old, new)
    for pair in pairs[1:]:
        np.maximum(amount, _amount(*pair), out=amount)
    amount[amount <= threshold] = 0
    common = min(old.shape[0], new.shape[0]) * min(old.shape[1], new.shape[1])
    total = old.shape[0] * old.shape[1] + new.shape[0] * new.shape[1] - common
    return PixelDifference(int(np.count_nonzero(amount)), total, _draw_heat(old, new, amount))


def _scale(*images: Composition) -> float:
    """Return the factor at which none of the images has too many pixels."""
    largest = max(image.pixels.shape[0] * image.pixels.shape[1] for image in images)
    return min(sqrt(MAX_COMPARED_PIXELS / largest), 1)


def _opaque(image: Composition, ground: RGB, scale: float) -> Pixels:
    pixels = flatten(image.pixels, ground) if image.has_alpha else image.pixels
    return shrink(pixels, max(int(pixels.shape[1] * scale), 1))


def _amount(old: Pixels, new: Pixels) -> Pixels:
    """Return how much each pixel differs, 0 to 255, on a canvas that has both images."""
    height, width = max(old.shape[0], new.shape[0]), max(old.shape[1], new.shape[1])
    amount = np.zeros((height, width), np.uint8)
    for each in (old, new):
        amount[: each.shape[0], : each.shape[1]] = 255
    inside = (slice(min(old.shape[0], new.shape[0])), slice(min(old.shape[1], new.shape[1])))
    one, other = old[inside], new[inside]
    difference = np.maximum(one, other) - np.minimum(one, other)
    # numpy takes a tenth of the time for one band at a time.
    red, green, blue = (difference[..., band] for band in range(3))
    amount[inside] = np.maximum(np.maximum(red, green), blue)
    return amount


def _draw_heat(old: Pixels, new: Pixels, amount: Pixels) -> Pixels:
    heat = new_canvas(amount.shape[1], amount.shape[0], WHITE)
    for each in (old, new):  # the newer one on top
        red, green, blue = (each[..., band].astype(np.float32) for band in range(3))
        light = (255 - (255 - (red + green + blue) / 3) / FADE).astype(np.uint8)
        for band in range(3):
            heat[: each.shape[0], : each.shape[1], band] = light
    strength = np.linspace(0, 1, 256)[:, None]
    palette = (SMALL + (LARGE - SMALL) * strength).astype(np.uint8)
    is_changed = amount > 0
    heat[is_changed, :3] = palette[amount[is_changed]]
    return heat

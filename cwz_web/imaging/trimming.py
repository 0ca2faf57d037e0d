"""The ground of a photo: its color, where the product is on it, and how it is called in expressions.

A photo of a shop has a uniform ground (white, a color, or transparent) or shows a scene. The ground is recognized by
the pixels along the border, and the product by what differs from it. Soft shadows differ from the ground, but do not
count as product: they have its hue and no edges.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cwz_web.imaging.compositing import Pixels
from cwz_web.imaging.photo_facts import PhotoBackground

# The longest side of the pixels that are examined.
EXAMINED_SIDE = 320
# The border that is examined, as a part of the shorter side, and how much of it has to look like the ground.
BORDER, UNIFORM = 0.02, 0.85
# Opacity from which a pixel is visible, and differences of a channel (0 to 255).
VISIBLE = 16
MIN_DIFFERENCE, MAX_DIFFERENCE, NOISE_FACTOR = 12, 24, 4
# A white product on a white ground; less than the noise of a JPEG file beside other products.
FAINT_DIFFERENCE = 5
# A shadow is darker than the ground by at most this part, and deviates from its hue by at most this difference.
SHADOW_DEPTH, SHADOW_HUE = 0.45, 7
# An edge is steeper, from one pixel to the next, than this difference, and than this part of its difference from the
# ground: the shadow of a soft light is wide.
MIN_SLOPE, EDGE_SLOPE = 4, 0.35
WHITE_LEVEL = 240
# A smaller part of the photo is a speck and no product.
MIN_PRODUCT = 0.04
# A pixel with two neighbors or fewer is a speck.
MAX_SPECK = 3
# A placeholder is gray, has few colors (of 4 levels each) and little contrast.
PLACEHOLDER_SHARE, PLACEHOLDER_COLORS, PLACEHOLDER_CONTRAST, GRAY = 0.97, 4, 130, 6

# An edge is a gradient if the medians of its parts differ by so much in total, and by so little from one to the next.
EDGE_PARTS, MIN_GRADIENT_PART, MIN_GRADIENT_REACH, MAX_GRADIENT_STEP = 16, 4, 3, 10

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Box:
    """A part of a photo, in fractions of its width and height."""

    left: float = 0
    top: float = 0
    right: float = 1
    bottom: float = 1


@dataclass(frozen=True)
class Ground:
    """The uniform ground of a photo.

    Attributes:
        color: red, green and blue; None if it is transparent.
        product: where the product is; None if there is none.
    """

    color: tuple[int, int, int] | None
    product: Box | None


def find_ground(pixels: Pixels) -> Ground | None:
    """Return the ground of a photo; None if it has none.

    Args:
        pixels: the photo, an array (height, width, 4) of at most EXAMINED_SIDE pixels a side, with alpha.
    """
    border = _border(pixels)
    visible = pixels[..., 3] >= VISIBLE
    if np.mean(~visible[border]) >= UNIFORM:
        return Ground(None, _find_box(visible))
    channels = _split_channels(pixels).astype(np.float32)
    color = np.median(channels[:, border], axis=1)
    lightness = channels.mean(axis=0)
    factor = lightness / max(float(color.mean()), 1)
    hue = np.abs(channels - factor * color[:, None, None]).max(axis=0)
    noise = float(np.median(hue[border]))
    least = min(NOISE_FACTOR * noise, MAX_DIFFERENCE)
    limit = max(MIN_DIFFERENCE, least)
    differences = np.abs(channels - color[:, None, None]).max(axis=0)
    is_shadow = (hue <= max(SHADOW_HUE, least)) & (factor >= 1 - SHADOW_DEPTH)
    is_shadow &= _is_soft_light(lightness, differences)
    without_shadow = differences * ~is_shadow
    if np.mean(without_shadow[border] > limit) > 1 - UNIFORM:
        return None
    red, green, blue = (int(channel) for channel in color)
    box = _find_box(without_shadow > limit) or _find_box(without_shadow > max(FAINT_DIFFERENCE, least))
    return Ground((red, green, blue), box)


def classify_background(pixels: Pixels) -> PhotoBackground:
    """Return what is behind the product in a photo: a ground, or a scene; or that there is no product.

    Args:
        pixels: the photo, an array (height, width, 4) of at most EXAMINED_SIDE pixels a side, with alpha.
    """
    ground = find_ground(pixels)
    if ground is None:
        return "lifestyle"
    if ground.product is None or (ground.color and _is_placeholder(pixels)):
        return "placeholder"
    if ground.color is None:
        return "cutout"
    return "white" if min(ground.color) >= WHITE_LEVEL else "uniform"


def extend_edges(pixels: Pixels, left: int, top: int, right: int, bottom: int) -> Pixels:
    """Return pixels with margins, each in the colors of the edge beside it; the upper and lower ones last.

    An edge in a gradient is continued as a gradient, any other one in its median color.
    """
    height, width = pixels.shape[:2]
    extended = np.empty((height + top + bottom, width + left + right, 4), np.uint8)
    extended[top : top + height, left : left + width] = pixels
    # Repeating a pixel as one number takes a tenth of repeating its four.
    numbers = extended.view(np.uint32)[..., 0]
    middle = numbers[top : top + height]
    middle[:, :left] = _edge_colors(pixels[:, 0]).view(np.uint32)
    middle[:, left + width :] = _edge_colors(pixels[:, -1]).view(np.uint32)
    numbers[:top] = _edge_colors(pixels[0], left, right).view(np.uint32).T
    numbers[top + height :] = _edge_colors(pixels[-1], left, right).view(np.uint32).T
    return extended


def _edge_colors(line: Pixels, before: int = 0, after: int = 0) -> Pixels:
    """Return the colors beside an edge, without its noise: those of its gradient, or its median color.

    Args:
        line: the pixels of the edge.
        before: how far the margin extends beyond its start.
        after: how far the margin extends beyond its end.
    """
    positions = np.arange(-before, len(line) + after)
    medians = _part_medians(line)
    if medians is None:
        return np.full((len(positions), 4), np.median(line, axis=0).astype(np.uint8))
    # Each median is that of the middle of its part; the ends continue the outermost steps.
    middles = (np.arange(-1, EDGE_PARTS + 1) + 0.5) * (len(line) // EDGE_PARTS) - 0.5
    ends = 2 * medians[[0, -1]] - medians[[1, -2]]
    known = np.concatenate([ends[:1], medians, ends[1:]])
    inside = positions.clip(0, len(line) - 1)
    colors = np.stack([np.interp(inside, middles, channel) for channel in known.T], axis=-1)
    rounded: Pixels = np.rint(colors.clip(0, 255)).astype(np.uint8)
    return rounded


def _part_medians(line: Pixels) -> NDArray[np.float64] | None:
    """Return the colors of equal parts of an edge that is in a gradient; None for any other edge."""
    length = len(line) // EDGE_PARTS
    if length < MIN_GRADIENT_PART:
        return None
    medians: NDArray[np.float64] = np.median(line[: length * EDGE_PARTS].reshape(EDGE_PARTS, length, 4), axis=1)
    steps, reach = np.abs(np.diff(medians, axis=0)), np.ptp(medians, axis=0)
    return medians if reach.max() >= MIN_GRADIENT_REACH and steps.max() <= MAX_GRADIENT_STEP else None


def _border(pixels: Pixels) -> Mask:
    """Return which pixels are along the border."""
    height, width = pixels.shape[:2]
    depth = max(round(min(height, width) * BORDER), 1)
    border = np.ones((height, width), bool)
    border[depth : height - depth, depth : width - depth] = False
    return border


def _is_soft_light(lightness: NDArray[np.float32], differences: NDArray[np.float32]) -> Mask:
    """Return which pixels are not beside an edge: their lightness changes slowly, relative to their difference."""
    padded = np.pad(lightness, 1, mode="edge")
    across = np.abs(padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    down = np.abs(padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    is_edge = np.maximum(across, down) > np.maximum(MIN_SLOPE, EDGE_SLOPE * differences)
    soft: Mask = _count_neighbors(is_edge) == 0
    return soft


def _find_box(product: Mask) -> Box | None:
    """Return the box around the pixels of a product, without specks; None if there is no product."""
    whole = product & (_count_neighbors(product) > MAX_SPECK)
    rows, columns = np.flatnonzero(whole.any(axis=1)), np.flatnonzero(whole.any(axis=0))
    if not len(rows):
        return None
    height, width = product.shape
    left, right = (float(at) / width for at in (columns[0], columns[-1] + 1))
    top, bottom = (float(at) / height for at in (rows[0], rows[-1] + 1))
    box = Box(left, top, right, bottom)
    is_speck = box.right - box.left < MIN_PRODUCT and box.bottom - box.top < MIN_PRODUCT
    return None if is_speck else box


def _count_neighbors(mask: Mask) -> NDArray[np.uint8]:
    """Return how many pixels are set in each square of three by three."""
    padded = np.pad(mask, 1).astype(np.uint8)
    height, width = mask.shape
    offsets = [(down, right) for down in range(3) for right in range(3)]
    count = np.zeros(mask.shape, np.uint8)
    for down, right in offsets:
        count += padded[down : down + height, right : right + width]
    return count


def _split_channels(pixels: Pixels) -> Pixels:
    """Return red, green and blue as one array each: numpy takes several times as long for many rows of three values."""
    return np.moveaxis(pixels[..., :3], -1, 0).copy()


def _is_placeholder(pixels: Pixels) -> bool:
    """Return whether an image is a gray graphic of a few colors, such as “no image available”."""
    channels = _split_channels(pixels)
    if np.mean(np.ptp(channels, axis=0) <= GRAY) < PLACEHOLDER_SHARE:
        return False
    levels = channels.mean(axis=0)
    counts = np.sort(np.bincount((levels.astype(int) // 4).ravel()))[::-1]
    few = counts[:PLACEHOLDER_COLORS].sum() >= PLACEHOLDER_SHARE * counts.sum()
    return bool(few and np.ptp(levels) <= PLACEHOLDER_CONTRAST)

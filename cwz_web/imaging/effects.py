"""Effects on the patches of a layer: shadow, rotation, opacity and outline; conversion between arrays and libvips."""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, cos, hypot, radians, sin
from typing import TypeAlias

import numpy as np
import pyvips
from numpy.typing import NDArray

from cwz_web.imaging.compositing import STRIP, Patch, Pixels, merge_patches, parse_color
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.styles import Outline, Shadow

# The left and upper edge of a box, its width and its height, in pixels of the canvas.
Window: TypeAlias = tuple[int, int, int, int]
# Transparent pixels around a patch, so that its rotated edges are antialiased.
ROTATION_MARGIN = 2
# An image with more pixels is computed in tiles, by several threads. This takes a quarter of the time and a tenth of
# the memory: at once, libvips has floating-point numbers of all pixels between its operations. The results are equal.
MAX_PIXELS_AT_ONCE = 1_000_000
# A Gaussian blur ends where its amplitude is below this part. libvips takes 20 times as long for more numbers in a row.
MIN_AMPLITUDE, MAX_KERNEL = 0.02, 1024
# A shadow of a layer that is larger than any image is blurred with at most this standard deviation, on fewer pixels.
MAX_LARGE_SIGMA = 16
# A wider outline is computed on a smaller mask: the time grows with the square of the width.
MAX_EXACT_OUTLINE = 12


def apply_effects(
    layer: Layer, patches: Sequence[Patch], visible: Window | None = None, *, legacy_edges: bool = False
) -> Sequence[Patch]:
    """Apply the shadows, the rotation, the opacity and the blend mode of a layer to its patches.

    Args:
        layer: the layer.
        patches: its pixels.
        visible: what `find_window` returns for a very large layer: its shadows are not rendered beyond.
        legacy_edges: as in `rotate`.
    """
    if not patches:
        return patches
    if layer.shadow:
        patches = [*cast_shadows(layer, merge_patches(patches), visible), *patches]
    if visible:
        reach = _reach(layer)
        left, top, width, height = visible
        inner = (left + reach, top + reach, width - 2 * reach, height - 2 * reach)
        patches = [inside for patch in patches if (inside := patch.cropped(*inner))]
    if not patches:
        return patches
    if layer.rotation % 360:
        center = (layer.left + layer.width / 2, layer.top + layer.height / 2)
        patches = [rotate(merge_patches(patches), layer.rotation, center, legacy_edges=legacy_edges)]
    if layer.opacity < 1:
        patches = [merge_patches(patches).faded(layer.opacity)]
    if layer.blend != "normal":
        patches = [merge_patches(patches).blended(layer.blend)]
    return patches


def has_effects(layer: Layer) -> bool:
    """Return whether apply_effects would change the patches of a layer."""
    return bool(layer.shadow or layer.rotation % 360 or layer.opacity < 1 or layer.blend != "normal")


def find_window(layer: Layer, window: Window) -> Window:
    """Return which part of a layer can be seen in a window, before the layer is rotated and casts its shadow."""
    left, top, width, height = window
    if layer.rotation % 360:
        x, y = layer.left + layer.width / 2, layer.top + layer.height / 2
        corners = [(a - x, b - y) for a in (left, left + width) for b in (top, top + height)]
        cosine, sine = cos(radians(-layer.rotation)), sin(radians(-layer.rotation))
        turned = [(a * cosine - b * sine + x, a * sine + b * cosine + y) for a, b in corners]
        left, top = (int(min(corner[axis] for corner in turned)) - ROTATION_MARGIN for axis in (0, 1))
        right, bottom = (ceil(max(corner[axis] for corner in turned)) + ROTATION_MARGIN for axis in (0, 1))
        width, height = right - left, bottom - top
    reach = _reach(layer)
    return left - reach, top - reach, width + 2 * reach, height + 2 * reach


def _reach(layer: Layer) -> int:
    """Return how far the shadows of a layer extend beyond it at most."""
    return max((ceil(each.blur * 3) + max(abs(each.x), abs(each.y)) for each in layer.shadows), default=0)


def cast_shadows(layer: Layer, patch: Patch, visible: Window | None = None) -> list[Patch]:
    """Return the shadows of a layer with the shape of a patch, the lowest first."""
    shadows = reversed(layer.shadows)
    if visible is None:
        return [cast_shadow(patch, shadow) for shadow in shadows]
    return [inside for shadow in shadows if (inside := _cast_within(patch, shadow, visible))]


def _cast_within(patch: Patch, shadow: Shadow, visible: Window) -> Patch | None:
    """Return the shadow of a very large patch as far as it is visible; None if it is not."""
    color, opacity = parse_color(shadow.color)
    margin, (left, top, width, height) = ceil(shadow.blur * 3), visible
    rows = _room(patch.y - top, patch.shape[0], height, margin)
    columns = _room(patch.x - left, patch.shape[1], width, margin)
    mask = np.pad(patch.mask(), (rows, columns))
    if shadow.blur:
        mask = _blur_reduced(mask, shadow.blur)
    cast = Patch(patch.x - columns[0] + shadow.x, patch.y - rows[0] + shadow.y, color, mask).faded(opacity)
    return cast.cropped(*visible)


def _room(before: int, length: int, whole: int, margin: int) -> tuple[int, int]:
    """Return how far a blurred part of a line extends beyond itself on both sides, up to the ends of the line."""
    return min(max(before, 0), margin), min(max(whole - before - length, 0), margin)


def _blur_reduced(mask: Pixels, sigma: float) -> Pixels:
    """Return a mask with a Gaussian blur, a wide one computed on fewer pixels."""
    factor = ceil(sigma / MAX_LARGE_SIGMA)
    if factor == 1:
        return _blur(mask, sigma)
    height, width = mask.shape
    reduced = to_pixels(from_pixels(mask).shrink(factor, factor, ceil=True))
    enlarged = from_pixels(_blur(reduced, sigma / factor)).resize(factor, kernel="cubic")
    return compute_pixels(enlarged)[:height, :width]


def cast_shadow(patch: Patch, shadow: Shadow) -> Patch:
    """Return the shadow of a patch: its shape in one color, moved and blurred."""
    color, opacity = parse_color(shadow.color)
    margin = ceil(shadow.blur * 3)
    mask = np.pad(patch.mask(), margin)
    if shadow.blur:
        mask = _blur(mask, shadow.blur)
    return Patch(patch.x - margin + shadow.x, patch.y - margin + shadow.y, color, mask).faded(opacity)


def _blur(mask: Pixels, sigma: float) -> Pixels:
    """Return a mask with a Gaussian blur."""
    kernel = pyvips.Image.gaussmat(sigma, MIN_AMPLITUDE, separable=True, precision="integer")
    if kernel.width <= MAX_KERNEL:
        return to_pixels(from_pixels(mask).gaussblur(sigma, min_ampl=MIN_AMPLITUDE, precision="integer"))
    weights, total = kernel.numpy().ravel(), int(kernel.get("scale"))
    across = _convolve_rows(mask, weights, total)
    return np.ascontiguousarray(_convolve_rows(np.ascontiguousarray(across.T), weights, total).T)


def _convolve_rows(pixels: Pixels, weights: NDArray[np.float64], total: int) -> Pixels:
    """Convolve each row with weights by a Fourier transform, rounded as libvips does it with integers."""
    height, width = pixels.shape
    length, first = width + len(weights) - 1, len(weights) // 2
    spectrum = np.fft.rfft(weights, length)
    convolved = np.empty_like(pixels)
    step = max(STRIP // length, 1)
    for start in range(0, height, step):
        rows = np.fft.irfft(np.fft.rfft(pixels[start : start + step], length) * spectrum, length)
        sums = np.rint(rows[:, first : first + width]).astype(np.int64)
        convolved[start : start + step] = ((sums + (total + 1) // 2) // total).clip(0, 255)
    return convolved


def rotate(patch: Patch, angle: float, center: tuple[float, float], *, legacy_edges: bool = False) -> Patch:
    """Rotate a patch around a point of the canvas.

    Args:
        angle: degrees, clockwise.
        center: x and y of the point on the canvas.
        legacy_edges: multiply colors by their alpha twice, as documents of versions 1 and 2: edges are too light.
    """
    cosine, sine = cos(radians(angle)), sin(radians(angle))
    height, width = (side + 2 * ROTATION_MARGIN for side in patch.shape)
    left, top = patch.x - ROTATION_MARGIN - center[0], patch.y - ROTATION_MARGIN - center[1]
    corners = [(x, y) for x in (left, left + width) for y in (top, top + height)]
    rotated = [(x * cosine - y * sine, x * sine + y * cosine) for x, y in corners]
    new_left, new_top = (int(min(each[axis] for each in rotated) + center[axis]) - 1 for axis in (0, 1))
    new_width, new_height = (ceil(max(p[axis] for p in rotated) - min(p[axis] for p in rotated)) + 2 for axis in (0, 1))
    # The new position of the upper left corner of the padded patch.
    odx = left * cosine - top * sine + center[0]
    ody = left * sine + top * cosine + center[1]
    # libvips refuses an area that is beside or above its origin as a whole, as a part of a group can be.
    beside, above = min(new_left + new_width, 0), min(new_top + new_height, 0)

    def rotate_pixels(pixels: Pixels) -> Pixels:
        padded = np.pad(pixels, ((ROTATION_MARGIN,) * 2, (ROTATION_MARGIN,) * 2, *(((0, 0),) * (pixels.ndim - 2))))
        image = from_pixels(padded)
        if image.bands == 4:
            image = image.premultiply()
        image = image.affine(
            [cosine, -sine, sine, cosine],
            interpolate=pyvips.Interpolate.new("bicubic"),
            oarea=[new_left - beside, new_top - above, new_width, new_height],
            odx=odx - beside,
            ody=ody - above,
            premultiplied=not legacy_edges,
        )
        return compute_pixels(image.unpremultiply().rint().cast("uchar") if image.bands == 4 else image)

    if isinstance(patch.color, tuple):
        return Patch(new_left, new_top, patch.color, rotate_pixels(patch.mask()))
    pixels = rotate_pixels(np.dstack([patch.color[..., :3], patch.mask()]))
    return Patch(new_left, new_top, pixels, pixels[..., 3].copy())


def outline_patch(patch: Patch, line: Outline) -> Patch:
    """Return an outline around a patch, to be blended below it. A wide one is computed on fewer pixels."""
    factor = ceil(line.width / MAX_EXACT_OUTLINE)
    # A multiple of the factor, so that the reduced mask has no part of a pixel on the left.
    margin = ceil((line.width + 1) / factor) * factor
    height, width = (side + 2 * margin for side in patch.shape)
    mask = np.pad(patch.mask(), margin)
    if factor > 1:
        mask = to_pixels(from_pixels(mask).shrink(factor, factor, ceil=True))
    inset = ceil(line.width / factor)
    grown = outline(mask, line.width / factor)[inset:-inset, inset:-inset]
    if factor > 1:
        grown = to_pixels(from_pixels(grown).resize(factor, kernel="cubic"))[:height, :width]
    color, opacity = parse_color(line.color)
    return Patch(patch.x - margin, patch.y - margin, color, grown).faded(opacity)


def outline(mask: Pixels, width: float) -> Pixels:
    """Return the mask grown by a width in pixels; the array grows by the next whole number on every side.

    This is a grayscale dilation: each value is the largest one within a disc with a soft edge.
    """
    margin = ceil(width)
    grown = np.pad(mask, margin)
    height, across = mask.shape
    for down, right, weight in _disc(width):
        target = grown[margin + down : margin + down + height, margin + right : margin + right + across]
        np.maximum(target, mask if weight == 255 else mask * np.uint16(weight) // 255, out=target, casting="unsafe")
    return grown


def shrink_mask(mask: Pixels, width: float) -> Pixels:
    """Return the mask reduced by a width in pixels on every side of its ink; the array keeps its size."""
    margin = ceil(width)
    grown = outline(255 - np.pad(mask, margin), width)
    return 255 - grown[2 * margin : -2 * margin, 2 * margin : -2 * margin]


@lru_cache(maxsize=64)  # constant for a radius
def _disc(radius: float) -> list[tuple[int, int, int]]:
    """Return the rim and every second inner point of a disc, as (down, right, weight)."""
    reach = ceil(radius)
    points = []
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            distance = hypot(down, right)
            weight = round(255 * min(max(radius + 0.5 - distance, 0), 1))
            inner = distance < radius - 1.5
            if weight and not (inner and (down % 2 or right % 2)):
                points.append((down, right, weight))
    return points


def shrink(pixels: Pixels, width: int, *, has_alpha: bool = False) -> Pixels:
    """Scale a canvas down to at most a width in pixels."""
    if pixels.shape[1] <= width:
        return pixels
    if has_alpha:
        return np.ascontiguousarray(to_pixels(from_pixels(pixels).thumbnail_image(width)))
    image = from_pixels(pixels)[0:3].thumbnail_image(width).bandjoin(255)
    return np.ascontiguousarray(to_pixels(image))


def from_pixels(pixels: NDArray[np.uint8]) -> pyvips.Image:
    """Return pixels as an sRGB or gray image, which shares their memory.

    Args:
        pixels: an array (height, width) or (height, width, bands).
    """
    bands = pixels.shape[2] if pixels.ndim == 3 else 1
    pixels = np.ascontiguousarray(pixels)
    image = pyvips.Image.new_from_memory(pixels.data, pixels.shape[1], pixels.shape[0], bands, "uchar")
    return image.copy(interpretation="srgb" if bands > 2 else "b-w")


def to_pixels(image: pyvips.Image) -> Pixels:
    """Return the pixels of an image: an array (height, width), with a third axis for more than one band."""
    width, height, bands = (image.get(name) for name in ("width", "height", "bands"))
    # A region does not start threads, which would take longer than rendering a word.
    pixels = np.frombuffer(pyvips.Region.new(image).fetch(0, 0, width, height), np.uint8)
    return pixels.reshape((height, width, bands) if bands > 1 else (height, width))


def compute_pixels(image: pyvips.Image) -> Pixels:
    """Return the pixels of an image that takes several operations, as `to_pixels` does."""
    if image.width * image.height <= MAX_PIXELS_AT_ONCE:
        return to_pixels(image)
    pixels = np.frombuffer(image.write_to_memory(), np.uint8)
    return pixels.reshape((image.height, image.width, image.bands) if image.bands > 1 else (image.height, image.width))

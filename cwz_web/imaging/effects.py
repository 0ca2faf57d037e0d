"""What can be done to any layer's patches: a shadow below them, a turn, an opacity, an outline around letters."""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, cos, hypot, radians, sin

import numpy as np
import pyvips
from numpy.typing import NDArray

from cwz_web.imaging.compositing import Patch, Pixels, merge, parse_color
from cwz_web.imaging.layers import Layer, Shadow

SOFT_EDGE = 2


def finish(layer: Layer, patches: Sequence[Patch]) -> Sequence[Patch]:
    """A layer's patches with the shadow, the rotation and the opacity of the layer."""
    if not patches:
        return patches
    if layer.shadow:
        patches = [cast_shadow(merge(patches), layer.shadow), *patches]
    if layer.rotation % 360:
        middle = (layer.left + layer.width / 2, layer.top + layer.height / 2)
        patches = [rotate(merge(patches), layer.rotation, middle)]
    if layer.opacity < 1:
        patches = [merge(patches).faded(layer.opacity)]
    return patches


def cast_shadow(patch: Patch, shadow: Shadow) -> Patch:
    """The shadow of a patch: its shape, moved and blurred, in one color."""
    color, opacity = parse_color(shadow.color)
    room = ceil(shadow.blur * 3)
    mask = np.pad(patch.mask(), room)
    if shadow.blur:
        mask = to_pixels(from_pixels(mask).gaussblur(shadow.blur, min_ampl=0.02, precision="integer"))
    return Patch(patch.x - room + shadow.x, patch.y - room + shadow.y, color, mask).faded(opacity)


def rotate(patch: Patch, angle: float, middle: tuple[float, float]) -> Patch:
    """A patch turned clockwise around a point of the canvas.

    Arguments:
        angle: in degrees.
        middle: x and y of the point.
    """
    across, down = cos(radians(angle)), sin(radians(angle))
    height, width = (side + 2 * SOFT_EDGE for side in patch.shape)
    left, top = patch.x - SOFT_EDGE - middle[0], patch.y - SOFT_EDGE - middle[1]
    corners = [(x, y) for x in (left, left + width) for y in (top, top + height)]
    turned = [(x * across - y * down, x * down + y * across) for x, y in corners]
    new_left, new_top = (int(min(each[axis] for each in turned) + middle[axis]) - 1 for axis in (0, 1))
    new_width, new_height = (ceil(max(p[axis] for p in turned) - min(p[axis] for p in turned)) + 2 for axis in (0, 1))
    # Where the upper left corner of the patch's own pixels comes to lie.
    odx = left * across - top * down + middle[0]
    ody = left * down + top * across + middle[1]

    def turn(pixels: Pixels) -> Pixels:
        framed = np.pad(pixels, ((SOFT_EDGE,) * 2, (SOFT_EDGE,) * 2, *(((0, 0),) * (pixels.ndim - 2))))
        image = from_pixels(framed)
        if image.bands == 4:
            image = image.premultiply()
        image = image.affine(
            [across, -down, down, across],
            interpolate=pyvips.Interpolate.new("bicubic"),
            oarea=[new_left, new_top, new_width, new_height],
            odx=odx,
            ody=ody,
        )
        return to_pixels(image.unpremultiply().rint().cast("uchar") if image.bands == 4 else image)

    if isinstance(patch.color, tuple):
        return Patch(new_left, new_top, patch.color, turn(patch.mask()))
    pixels = turn(np.dstack([patch.color[..., :3], patch.mask()]))
    return Patch(new_left, new_top, pixels, pixels[..., 3].copy())


def outline(mask: Pixels, width: float) -> Pixels:
    """A mask grown by a width on every side; the array grows by as many whole pixels on every side.

    The largest of the mask's values within a disc of that radius (gray dilation), the disc's edge being soft.
    """
    room = ceil(width)
    grown = np.pad(mask, room)
    height, across = mask.shape
    for down, right, weight in _disc(width):
        target = grown[room + down : room + down + height, room + right : room + right + across]
        np.maximum(target, mask if weight == 255 else mask * np.uint16(weight) // 255, out=target, casting="unsafe")
    return grown


@lru_cache(maxsize=64)
def _disc(radius: float) -> list[tuple[int, int, int]]:
    """The places of a disc that matter for its outline, as (down, right, weight): its rim and every second ring."""
    room = ceil(radius)
    places = []
    for down in range(-room, room + 1):
        for right in range(-room, room + 1):
            distance = hypot(down, right)
            weight = round(255 * min(max(radius + 0.5 - distance, 0), 1))
            inner = distance < radius - 1.5
            if weight and not (inner and (down % 2 or right % 2)):
                places.append((down, right, weight))
    return places


def shrink(pixels: Pixels, width: int) -> Pixels:
    """The pixels of a canvas, at most so many wide."""
    if pixels.shape[1] <= width:
        return pixels
    image = from_pixels(pixels)[0:3].thumbnail_image(width).bandjoin(255)
    return np.ascontiguousarray(to_pixels(image))


def from_pixels(pixels: NDArray[np.uint8]) -> pyvips.Image:
    """An array (height, width) or (height, width, bands) as an image in sRGB, or in gray. The bytes are shared."""
    bands = pixels.shape[2] if pixels.ndim == 3 else 1
    pixels = np.ascontiguousarray(pixels)
    image = pyvips.Image.new_from_memory(pixels.data, pixels.shape[1], pixels.shape[0], bands, "uchar")
    return image.copy(interpretation="srgb" if bands > 2 else "b-w")


def to_pixels(image: pyvips.Image) -> Pixels:
    """The pixels of an image, as an array (height, width), or (height, width, bands) for more than one band."""
    width, height, bands = (image.get(name) for name in ("width", "height", "bands"))
    # By a region, since libvips' other ways start threads, which cost more than the pixels of a word.
    pixels = np.frombuffer(pyvips.Region.new(image).fetch(0, 0, width, height), np.uint8)
    return pixels.reshape((height, width, bands) if bands > 1 else (height, width))

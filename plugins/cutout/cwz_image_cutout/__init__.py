"""Cut-outs: the product of a photo on a uniform ground, without the ground.

The ground is what is connected with the border of the photo and has its color: a white shirt on a white wall keeps its
inside. At the edge of the product, pixels are a mixture of both; they get the color of the product and a part of its
opacity, so that no seam of the ground is left.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from cwz_web.imaging.processors import ImageProcessor, ProcessingError, hookimpl

# The longest side of a result. A larger photo is reduced.
MAX_SIDE = 2048
# The border whose color is that of the ground, as a part of the shorter side, and how much of it has to have the color.
BORDER, UNIFORM = 0.02, 0.85
# Differences of a channel (0 to 255) from the ground up to which a pixel is ground; more in a noisy photo.
GROUND, NOISE_FACTOR, MAX_NOISE = 6, 3, 8
# How wide the edge of a product is, how much of it is a mixture with the ground, and the differences that are
# transparent and opaque in it. JPEG files have noise beside an edge.
EDGE, MIXTURE, FAINT, CLEAR = 4, 2, 5, 40
# A shadow on a light ground is darker by at most this part, has its hue, and no edge: its lightness changes by at most
# this difference from one pixel to the next, or this part of its difference from the ground.
SHADOW_DEPTH, SHADOW_HUE, MIN_SLOPE, EDGE_SLOPE, LIGHT = 0.6, 8, 2, 0.12, 128
# A ground that covers less is none, and one that covers more leaves no product.
MIN_GROUND, MAX_GROUND = 0.02, 0.998
TRANSPARENT = 0.5

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Cutout(ImageProcessor):
    """Cuts the product out of a photo on a uniform ground."""

    api_version = 1
    name = "cutout"
    version = "1"
    cost = 1

    def process(self, photo: bytes) -> bytes:
        """Return a photo without its ground, as PNG. A photo that is transparent already is returned as it is."""
        try:
            pixels = _read(photo)
            if np.mean(pixels[_border(pixels.shape), 3] < TRANSPARENT * 255) >= UNIFORM:
                return _write(pixels)
            return _write(cut_out(pixels))
        except pyvips.Error:
            raise ProcessingError("The image is damaged and cannot be decoded") from None


@hookimpl
def cwz_image_processors() -> Iterable[ImageProcessor]:
    """Return the processor of this plugin."""
    return [Cutout()]


def cut_out(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a photo without its ground.

    Args:
        pixels: the photo, an array (height, width, 4) in sRGB.

    Raises:
        ProcessingError: the photo has no uniform ground, or nothing else.
    """
    colors = pixels[..., :3].astype(np.float32)
    border = colors[_border(pixels.shape)]
    ground = np.median(border, axis=0).astype(np.float32)
    noise = np.abs(border - ground).max(axis=-1)
    limit = GROUND + NOISE_FACTOR * min(float(np.median(noise)), MAX_NOISE)
    if np.mean(noise <= limit + CLEAR) < UNIFORM:
        raise ProcessingError("The photo has no uniform ground that could be cut off")
    differences = np.abs(colors - ground).max(axis=-1)
    outside = _reach_from_border(differences <= limit)
    if not MIN_GROUND <= outside.mean() <= MAX_GROUND:
        raise ProcessingError("The photo shows no product on a uniform ground")
    alpha = _soft_alpha(outside, differences, limit)
    result = _without_ground(colors, ground, alpha)
    if ground.mean() >= LIGHT:
        _lift_shadow(result, outside, colors, ground, limit)
    return result


def _reach_from_border(similar: Mask) -> Mask:
    """Return the parts of a mask that are connected with the border of the photo."""
    # With a margin around it, the border is one region: the one of the first pixel.
    padded = np.pad(similar, 1, constant_values=True)
    image = _from_array(padded.astype(np.uint8))
    regions = image.labelregions().numpy()
    reached: Mask = (regions == regions[0, 0])[1:-1, 1:-1]
    return reached


def _soft_alpha(outside: Mask, differences: Floats, limit: float) -> Floats:
    """Return the opacity: 0 outside, 1 inside, and in the pixels between them by the difference from the ground."""
    alpha = np.where(outside, np.float32(0), np.float32(1))
    edge = _grown(outside, EDGE) & ~outside
    alpha[edge] = np.clip((differences[edge] - limit - FAINT) / (CLEAR - FAINT), 0, 1)
    # The outermost pixels are mixtures of the ground and the product beside them.
    mixed = _grown(outside, MIXTURE) & ~outside
    product = np.maximum(_largest(differences, MIXTURE)[mixed], CLEAR)
    alpha[mixed] = np.minimum(alpha[mixed], differences[mixed] / product)
    return alpha


def _lift_shadow(result: NDArray[np.uint8], outside: Mask, colors: Floats, ground: Floats, limit: float) -> None:
    """Make the soft shadow around a product black and as opaque as it is dark, so that it falls on any ground."""
    factor = colors.mean(axis=-1) / ground.mean()
    hue = np.abs(colors - factor[..., None] * ground).max(axis=-1)
    is_dark = (factor <= 1) & (factor >= 1 - SHADOW_DEPTH)
    most = max(SHADOW_HUE, limit)
    shadow = _reach_from_border((is_dark & (hue <= most) & ~_steep(colors, ground)) | outside) & ~outside
    # Also where it touches the product, and the noise in it.
    shadow |= _grown(shadow, EDGE) & is_dark & (hue <= 2 * most) & ~outside
    result[shadow, :3] = 0
    result[shadow, 3] = np.rint((1 - factor[shadow]) * 255)


def _steep(colors: Floats, ground: Floats) -> Mask:
    """Return which pixels are at an edge."""
    lightness = colors.mean(axis=-1)
    smooth = _from_array(lightness).gaussblur(1).numpy()
    padded = np.pad(smooth, 1, mode="edge")
    slope = np.maximum(np.abs(padded[1:-1, 2:] - padded[1:-1, :-2]), np.abs(padded[2:, 1:-1] - padded[:-2, 1:-1])) / 2
    steep: Mask = slope > np.maximum(MIN_SLOPE, EDGE_SLOPE * np.abs(lightness - ground.mean()))
    return _grown(steep, 1)


def _without_ground(colors: Floats, ground: Floats, alpha: Floats) -> NDArray[np.uint8]:
    """Return the pixels with opacity; at the edge, the color that is left if the ground is subtracted."""
    result = np.empty((*alpha.shape, 4), np.uint8)
    result[..., :3] = colors
    result[..., 3] = np.rint(alpha * 255)
    mixed = (alpha > 0) & (alpha < 1)
    own = ground + (colors[mixed] - ground) / alpha[mixed][:, None]
    result[mixed, :3] = np.rint(np.clip(own, 0, 255))
    result[alpha == 0, :3] = 0
    return result


def _grown(mask: Mask, pixels: int) -> Mask:
    grown: Mask = _largest(mask, pixels)
    return grown


def _largest(values: NDArray[Any], pixels: int) -> NDArray[Any]:
    """Return the largest value within a distance of so many pixels, horizontally and vertically together."""
    for _ in range(pixels):
        padded = np.pad(values, 1)
        across = np.maximum(padded[1:-1, :-2], padded[1:-1, 2:])
        values = np.maximum(values, np.maximum(across, np.maximum(padded[:-2, 1:-1], padded[2:, 1:-1])))
    return values


def _border(shape: tuple[int, ...]) -> Mask:
    """Return which pixels are along the border."""
    height, width = shape[:2]
    depth = max(round(min(height, width) * BORDER), 1)
    border = np.ones((height, width), bool)
    border[depth : height - depth, depth : width - depth] = False
    return border


def _read(photo: bytes) -> NDArray[np.uint8]:
    """Decode a photo upright, in sRGB with alpha, at most MAX_SIDE pixels long. Raises pyvips.Error."""
    image: Any = pyvips.Image.thumbnail_buffer(photo, MAX_SIDE, size="down", export_profile="srgb")
    image = image.colourspace("srgb").cast("uchar")
    image = image if image.hasalpha() else image.bandjoin(255)
    pixels: NDArray[np.uint8] = image.numpy()
    return pixels


def _write(pixels: NDArray[np.uint8]) -> bytes:
    data: bytes = _from_array(pixels).copy(interpretation="srgb").pngsave_buffer(compression=1, keep="none")
    return data


def _from_array(array: NDArray[Any]) -> Any:
    height, width, *bands = array.shape
    format = "float" if array.dtype == np.float32 else "uchar"
    return pyvips.Image.new_from_memory(array.tobytes(), width, height, *(bands or [1]), format)

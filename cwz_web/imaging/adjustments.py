"""Adjustments of photos: brightness, contrast, saturation, duotone, sharpness and blur.

The first three are the functions of the same names of Filter Effects Level 1 (W3C), on sRGB values.
"""

import numpy as np
import pyvips

from cwz_web.imaging.compositing import Pixels, parse_color
from cwz_web.imaging.effects import compute_pixels, from_pixels
from cwz_web.imaging.layers import ImageLayer
from cwz_web.imaging.styles import Adjustments, Duotone, Fade

# The weight of each channel in a gray, as in the saturation matrix of the specification.
GRAY = np.array([0.2126, 0.7152, 0.0722])
# A larger blur is computed on fewer pixels, which looks the same and takes less time.
MAX_SIGMA = 4
# The strength of sharpening at an amount of 1.
SHARPNESS = 4


def adjust_pixels(layer: ImageLayer, pixels: Pixels) -> Pixels:
    """Return the pixels (height, width, 4) of a photo with the adjustments of its layer."""
    image = from_pixels(pixels)
    if layer.adjust:
        image = _adjust_colors(image, layer.adjust)
    if layer.duotone:
        image = _apply_duotone(image, layer.duotone)
    if layer.adjust and layer.adjust.sharpen:
        image = _sharpen(image, layer.adjust.sharpen)
    if layer.adjust and layer.adjust.blur:
        image = _blur(image, layer.adjust.blur)
    return compute_pixels(image)


def fade_mask(width: int, height: int, fade: Fade) -> Pixels:
    """Return a mask (height, width) that decreases from 255 to 0 in the direction of a fade."""
    angle = np.radians(fade.angle)
    across = (np.arange(width) + 0.5 - width / 2) * np.cos(angle)
    down = (np.arange(height) + 0.5 - height / 2) * np.sin(angle)
    # As in CSS, the line of the gradient ends where a perpendicular line meets the corners.
    length = abs(width * np.cos(angle)) + abs(height * np.sin(angle))
    position = (across + down[:, None]) / length + 0.5
    rest = (fade.end - position) / max(fade.end - fade.start, 1e-6)
    mask: Pixels = np.rint(rest.clip(0, 1) * 255).astype(np.uint8)
    return mask


def _adjust_colors(image: pyvips.Image, adjust: Adjustments) -> pyvips.Image:
    """Apply saturation, brightness and contrast, in this order, as one matrix."""
    if (adjust.saturation, adjust.brightness, adjust.contrast) == (1, 1, 1):
        return image
    saturation = np.tile(GRAY, (3, 1)) * (1 - adjust.saturation) + np.eye(3) * adjust.saturation
    matrix = saturation * adjust.brightness * adjust.contrast
    colors = image[0:3].recomb(pyvips.Image.new_from_array(matrix.tolist()))
    colors = (colors + 127.5 * (1 - adjust.contrast)).rint().cast("uchar").copy(interpretation="srgb")
    return colors.bandjoin(image[3])


def _apply_duotone(image: pyvips.Image, duotone: Duotone) -> pyvips.Image:
    """Replace the grays of an image by colors between the dark and the light one."""
    pixels = compute_pixels(image)
    grays = np.rint(pixels[..., :3] @ GRAY.astype(np.float32)).astype(np.uint8)
    dark, light = parse_color(duotone.dark)[0], parse_color(duotone.light)[0]
    colors = np.rint(np.linspace(dark, light, 256)).astype(np.uint8)
    return from_pixels(np.dstack([colors[grays], pixels[..., 3]]))


def _sharpen(image: pyvips.Image, amount: float) -> pyvips.Image:
    colors = image[0:3].sharpen(sigma=1, x1=1, m1=0, m2=amount * SHARPNESS)
    return colors.colourspace("srgb").cast("uchar").bandjoin(image[3])


def _blur(image: pyvips.Image, sigma: float) -> pyvips.Image:
    width, height = image.width, image.height
    factor = max(sigma / MAX_SIGMA, 1)
    reduced = [max(round(side / factor), 1) for side in (width, height)]
    image = image.premultiply()
    image = image.resize(reduced[0] / width, vscale=reduced[1] / height).gaussblur(sigma / factor)
    if factor > 1:
        image = image.copy_memory()  # each tile of the enlarged image would blur its part again
    image = image.resize(width / reduced[0], vscale=height / reduced[1], kernel="cubic")
    return image.unpremultiply().rint().cast("uchar").copy(interpretation="srgb")

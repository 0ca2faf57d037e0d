"""Blend modes: how the color of a layer mixes with the color below it.

The formulas are those of Compositing and Blending Level 1 (W3C), sections 10.1 and 10.2, for colors of 0 to 1. A mode
that mixes each channel on its own becomes a table of its results for every pair of bytes; the most common modes are
computed with integers instead, which is five times as fast.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

BlendMode = Literal[
    "normal",
    "multiply",
    "screen",
    "overlay",
    "darken",
    "lighten",
    "color-dodge",
    "color-burn",
    "hard-light",
    "soft-light",
    "difference",
    "exclusion",
    "hue",
    "saturation",
    "color",
    "luminosity",
]
Colors: TypeAlias = NDArray[np.floating[Any]]
# The part of each channel in the luminosity of a color.
LUMINOSITY = np.array([0.3, 0.59, 0.11], np.float32)


def mix_bytes(mode: BlendMode, under: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the mixed colors of an opaque layer and what is below it.

    Args:
        mode: the blend mode.
        under: the colors below, an array (height, width, 4) whose last band is not used.
        above: the layer's colors, an array that numpy can broadcast to the same shape.
    """
    if mode in BYTE_MIXES:
        return BYTE_MIXES[mode](under, above)
    if mode in SEPARABLE:
        pairs = under.astype(np.uint16)
        pairs <<= 8
        pairs |= above
        mixed: NDArray[np.uint8] = _table(mode).take(pairs)
        return mixed
    mixed = np.empty_like(under)
    colors = mix_colors(mode, under[..., :3] / np.float32(255), above[..., :3] / np.float32(255))
    mixed[..., :3] = np.rint(colors * 255)
    mixed[..., 3] = 255
    return mixed


def mix_colors(mode: BlendMode, under: Colors, above: Colors) -> Colors:
    """Return the mixed colors of a layer and what is below it, both opaque; arrays (…, 3) of 0 to 1."""
    mix = SEPARABLE[mode] if mode in SEPARABLE else NONSEPARABLE[mode]
    return mix(under, above)


@lru_cache(maxsize=16)  # one table of 64 KB for each mode
def _table(mode: BlendMode) -> NDArray[np.uint8]:
    """Return the results for every pair of bytes, at 256 times the lower byte plus the upper one."""
    values = np.arange(256) / 255
    results = SEPARABLE[mode](values[:, None], values[None, :])
    return np.rint(results * 255).astype(np.uint8).ravel()


def _multiply_bytes(under: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return under * above / 255, exactly rounded."""
    product = under.astype(np.uint16)
    product *= above
    product += 127
    product //= 255
    return product.astype(np.uint8)


def _screen_bytes(under: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return under + above - _multiply_bytes(under, above)


def _hard_light(under: Colors, above: Colors) -> Colors:
    return np.where(above <= 0.5, under * 2 * above, _screen(under, 2 * above - 1))


def _screen(under: Colors, above: Colors) -> Colors:
    return under + above - under * above


def _color_dodge(under: Colors, above: Colors) -> Colors:
    rest = 1 - above
    quotient = np.divide(under, rest, out=np.ones(np.broadcast_shapes(under.shape, above.shape)), where=rest > 0)
    return np.where(under <= 0, 0, np.minimum(quotient, 1))


def _color_burn(under: Colors, above: Colors) -> Colors:
    shape = np.broadcast_shapes(under.shape, above.shape)
    quotient = np.divide(1 - under, above, out=np.ones(shape), where=np.broadcast_to(above > 0, shape))
    return np.where(under >= 1, 1, 1 - np.minimum(quotient, 1))


def _soft_light(under: Colors, above: Colors) -> Colors:
    bright = np.where(under <= 0.25, ((16 * under - 12) * under + 4) * under, np.sqrt(under))
    darker = under - (1 - 2 * above) * under * (1 - under)
    return np.where(above <= 0.5, darker, under + (2 * above - 1) * (bright - under))


def _luminosity(color: Colors) -> Colors:
    return (color @ LUMINOSITY)[..., None]


def _saturation(color: Colors) -> Colors:
    saturation: Colors = np.ptp(color, axis=-1, keepdims=True)
    return saturation


def _set_luminosity(color: Colors, luminosity: Colors) -> Colors:
    """Return colors with another luminosity, with channels outside of 0 to 1 moved towards it (`ClipColor`)."""
    color = color + (luminosity - _luminosity(color))
    lowest, highest = color.min(axis=-1, keepdims=True), color.max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        raised = luminosity + (color - luminosity) * luminosity / (luminosity - lowest)
        color = np.where(lowest < 0, raised, color)
        lowered = luminosity + (color - luminosity) * (1 - luminosity) / (highest - luminosity)
        color = np.where(highest > 1, lowered, color)
    return np.clip(np.nan_to_num(color), 0, 1)


def _set_saturation(color: Colors, saturation: Colors) -> Colors:
    lowest, reach = color.min(axis=-1, keepdims=True), _saturation(color)
    # A gray has no hue that could be saturated.
    return np.where(reach > 0, (color - lowest) * saturation / np.where(reach > 0, reach, 1), 0)


Mix: TypeAlias = Callable[[Colors, Colors], Colors]
SEPARABLE: dict[str, Mix] = {
    "normal": lambda under, above: np.broadcast_to(above, np.broadcast_shapes(under.shape, above.shape)),
    "multiply": lambda under, above: under * above,
    "screen": _screen,
    "overlay": lambda under, above: _hard_light(above, under),
    "darken": np.minimum,
    "lighten": np.maximum,
    "color-dodge": _color_dodge,
    "color-burn": _color_burn,
    "hard-light": _hard_light,
    "soft-light": _soft_light,
    "difference": lambda under, above: np.abs(under - above),
    "exclusion": lambda under, above: under + above - 2 * under * above,
}
NONSEPARABLE: dict[str, Mix] = {
    "hue": lambda under, above: _set_luminosity(_set_saturation(above, _saturation(under)), _luminosity(under)),
    "saturation": lambda under, above: _set_luminosity(_set_saturation(under, _saturation(above)), _luminosity(under)),
    "color": lambda under, above: _set_luminosity(above, _luminosity(under)),
    "luminosity": lambda under, above: _set_luminosity(under, _luminosity(above)),
}
BYTE_MIXES: dict[str, Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "multiply": _multiply_bytes,
    "screen": _screen_bytes,
}

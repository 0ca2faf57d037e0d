"""Blend modes, checked against the formulas of Compositing and Blending Level 1, computed one pixel at a time."""

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from cwz_web.imaging.blending import BlendMode, mix_bytes, mix_colors
from cwz_web.imaging.compositing import Patch, blend_patch

MODES: list[BlendMode] = list(get_args(BlendMode))
# Every pair of these values of a channel, and random colors.
EDGES = [0, 1, 63, 64, 65, 127, 128, 200, 254, 255]


def mix_channel(mode: str, cb: float, cs: float) -> float:
    """Return B(cb, cs) of the separable blend modes (section 10.1)."""
    match mode:
        case "normal":
            return cs
        case "multiply":
            return cb * cs
        case "screen":
            return cb + cs - cb * cs
        case "overlay":
            return mix_channel("hard-light", cs, cb)
        case "darken":
            return min(cb, cs)
        case "lighten":
            return max(cb, cs)
        case "color-dodge":
            return 0 if cb == 0 else 1 if cs == 1 else min(1, cb / (1 - cs))
        case "color-burn":
            return 1 if cb == 1 else 0 if cs == 0 else 1 - min(1, (1 - cb) / cs)
        case "hard-light":
            return cb * 2 * cs if cs <= 0.5 else mix_channel("screen", cb, 2 * cs - 1)
        case "soft-light":
            if cs <= 0.5:
                return cb - (1 - 2 * cs) * cb * (1 - cb)
            d = ((16 * cb - 12) * cb + 4) * cb if cb <= 0.25 else cb**0.5
            return cb + (2 * cs - 1) * (d - cb)
        case "difference":
            return abs(cb - cs)
    assert mode == "exclusion"
    return cb + cs - 2 * cb * cs


def lum(color: list[float]) -> float:
    return 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2]


def sat(color: list[float]) -> float:
    return max(color) - min(color)


def set_lum(color: list[float], value: float) -> list[float]:
    difference = value - lum(color)
    color = [channel + difference for channel in color]
    level, lowest, highest = lum(color), min(color), max(color)
    if lowest < 0:
        color = [level + (channel - level) * level / (level - lowest) for channel in color]
    if highest > 1:
        color = [level + (channel - level) * (1 - level) / (highest - level) for channel in color]
    return color


def set_sat(color: list[float], value: float) -> list[float]:
    low, middle, high = sorted(range(3), key=lambda channel: color[channel])
    result = [0.0, 0.0, 0.0]
    if color[high] > color[low]:
        result[middle] = (color[middle] - color[low]) * value / (color[high] - color[low])
        result[high] = value
    return result


def mix(mode: str, cb: Any, cs: Any) -> list[float]:
    """Return B(cb, cs), also of the non-separable blend modes (section 10.2)."""
    cb, cs = [float(channel) for channel in cb], [float(channel) for channel in cs]
    match mode:
        case "hue":
            return set_lum(set_sat(cs, sat(cb)), lum(cb))
        case "saturation":
            return set_lum(set_sat(cb, sat(cs)), lum(cb))
        case "color":
            return set_lum(cs, lum(cb))
        case "luminosity":
            return set_lum(cb, lum(cs))
    return [mix_channel(mode, below, above) for below, above in zip(cb, cs, strict=True)]


def composite(mode: str, backdrop: Any, source: Any, opacity: float) -> list[float]:
    """Return the color and the alpha of a source above a backdrop with alpha (sections 5.1 and 10)."""
    *cb, ab = (float(value) for value in backdrop)
    mixed = [(1 - ab) * above + ab * both for above, both in zip(source, mix(mode, cb, source), strict=True)]
    alpha = opacity + ab * (1 - opacity)
    light = [opacity * above + ab * below * (1 - opacity) for above, below in zip(mixed, cb, strict=True)]
    return [*(channel / alpha if alpha else 0.0 for channel in light), alpha]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("solid", [True, False])
def test_blend_mode_matches_the_formula_of_the_specification(mode: BlendMode, solid: bool) -> None:
    random = np.random.default_rng(29)
    pairs = np.array([(below, above) for below in EDGES for above in EDGES], np.uint8)
    colors = np.concatenate([random.choice(EDGES, (300, 6)), random.integers(0, 256, (300, 6))])
    under = np.concatenate([np.repeat(pairs[:, :1], 3, 1), colors[:, :3]])
    above = np.concatenate([np.repeat(pairs[:, 1:], 3, 1), colors[:, 3:]])
    if solid:
        above[:] = (200, 30, 90)
    alpha = random.choice([255, 255, 128, 1], len(under)).astype(np.uint8)
    canvas = np.pad(under, ((0, 0), (0, 1))).astype(np.uint8)[None].copy()
    layer = np.pad(above, ((0, 0), (0, 1))).astype(np.uint8)[None]
    blend_patch(canvas, Patch(0, 0, (200, 30, 90) if solid else layer, alpha[None], mode))
    expected = [
        composite(mode, [*below / 255, 1], over / 255, opacity / 255)[:3]
        for below, over, opacity in zip(under, above, alpha, strict=True)
    ]
    assert np.abs(canvas[0, :, :3] - np.array(expected) * 255).max() <= 1.01


@pytest.mark.parametrize("mode", ["multiply", "screen", "overlay"])
def test_mixed_bytes_are_the_rounded_colors(mode: BlendMode) -> None:
    under, above = (np.repeat(each[..., None], 4, 2) for each in np.indices((256, 256)).astype(np.uint8))
    expected = np.rint(mix_colors(mode, under / 255, above / 255) * 255)
    assert np.array_equal(mix_bytes(mode, under, above), expected)


@pytest.mark.parametrize("mode", ["multiply", "screen", "overlay"])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_layer_mixes_like_each_of_its_pixels(mode: BlendMode, has_alpha: bool) -> None:
    random = np.random.default_rng(29)
    canvas, color = random.integers(0, 256, (2, 20, 30, 4)).astype(np.uint8)
    alpha, mask = random.integers(0, 256, (2, 20, 30)).astype(np.uint8)
    patch = Patch(0, 0, color, alpha)
    for layer, expected in [
        (patch.blended(mode), patch),
        (patch.blended(mode).faded(0.5), patch.faded(0.5)),
        (patch.blended(mode).clipped(mask), patch.clipped(mask)),
        (patch.blended(mode).moved(3, 4).cropped(5, 6, 9, 8), patch.moved(3, 4).cropped(5, 6, 9, 8)),
    ]:
        assert layer is not None
        assert expected is not None
        mixed, directly = canvas.copy(), canvas.copy()
        blend_patch(mixed, layer, has_alpha=has_alpha)
        blend_patch(directly, replace(expected, blend=mode), has_alpha=has_alpha)
        assert np.abs(mixed[..., :3].astype(int) - directly[..., :3]).max() <= 1

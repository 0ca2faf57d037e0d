"""Masks: the pixels of one layer decide how far another one is shown (CSS Masking Level 1, section 7)."""

from collections.abc import Sequence

import numpy as np

from cwz_web.imaging.compositing import Patch, Pixels, merge_patches
from cwz_web.imaging.layer_base import LayerMask

# The weight of each channel in the luminance of a color.
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
# A box on the canvas: left, top, width and height in pixels.
Box = tuple[int, int, int, int]


def enclose(patches: Sequence[Patch]) -> Box:
    """Return the smallest box around patches."""
    left, top = min(patch.x for patch in patches), min(patch.y for patch in patches)
    right = max(patch.x + patch.shape[1] for patch in patches)
    bottom = max(patch.y + patch.shape[0] for patch in patches)
    return left, top, right - left, bottom - top


def mask_patches(patches: Sequence[Patch], above: Sequence[Patch], mask: LayerMask) -> list[Patch]:
    """Return patches as far as a mask shows them.

    Args:
        patches: the pixels of the masked layer.
        above: the pixels of the layer that is the mask; beside them, nothing is shown.
        mask: which of their values counts.
    """
    box = enclose(patches)
    inside = [cropped for patch in above if (cropped := patch.cropped(*box))]
    if not inside:
        return []
    merged = merge_patches(inside)
    coverage = _coverage(merged, mask)
    height, width = merged.shape
    masked = []
    for patch in patches:
        if shown := patch.cropped(merged.x, merged.y, width, height):
            top, left = shown.y - merged.y, shown.x - merged.x
            rows, columns = slice(top, top + shown.shape[0]), slice(left, left + shown.shape[1])
            masked.append(shown.clipped(coverage[rows, columns]))
    return masked


def _coverage(patch: Patch, mask: LayerMask) -> Pixels:
    """Return how far a mask shows what is below it, 0 to 255."""
    if mask.mode == "alpha":
        return patch.mask()
    colors = np.asarray(patch.color, np.uint8)[..., :3]
    return np.rint((colors @ LUMINANCE) * (patch.mask() / np.float32(255))).astype(np.uint8)

"""Pictures from outside: recognised, measured from their header, decoded, and fitted into a layer's box.

Whatever bytes arrive, only the loaders named here ever run; a picture with too many pixels is refused before it is
decoded.
"""

from dataclasses import dataclass
from hashlib import sha256
from threading import Lock

import cachetools
import numpy as np
import pyvips

from cwz_web.imaging.canvas import Patch, faded
from cwz_web.imaging.documents import ImageLayer
from cwz_web.imaging.errors import BadPicture
from cwz_web.imaging.shapes import draw_placeholder, rounded_mask

MAX_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 50_000_000
LOADERS = {"jpegload_buffer", "pngload_buffer", "webpload_buffer", "gifload_buffer", "heifload_buffer"}
ACCEPTED = "JPEG, PNG, WebP, GIF or AVIF"

# Nothing else decodes in this process: SVG is for our own shapes, the others are for LOADERS.
pyvips.operation_block_set("VipsForeignLoad", True)
for _allowed in ("Jpeg", "Png", "Webp", "Nsgif", "Heif", "Svg"):
    pyvips.operation_block_set(f"VipsForeignLoad{_allowed}", False)


@dataclass(frozen=True)
class Source:
    """The bytes of a picture and their SHA-256, which names them."""

    data: bytes
    digest: str

    @classmethod
    def of(cls, data: bytes) -> "Source":
        return cls(data, sha256(data).hexdigest())


class FittedPictures:
    """Decoded pictures, cut to the boxes they were needed in. Decoding costs more than all the rest of a card.

    Arguments:
        max_bytes: how much memory the kept pictures may hold.
    """

    def __init__(self, max_bytes: int) -> None:
        self._kept: cachetools.LRUCache[tuple[object, ...], Patch] = cachetools.LRUCache(
            max_bytes, getsizeof=lambda patch: patch.nbytes
        )
        self._lock = Lock()

    def fit(self, layer: ImageLayer, source: Source) -> Patch:
        """The picture as the layer shows it. Raises BadPicture."""
        key = (source.digest, layer.x, layer.y, layer.width, layer.height, layer.fit, layer.radius, layer.opacity)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None:
            return kept
        patch = _fit(layer, source.data)
        with self._lock:
            if patch.nbytes <= self._kept.maxsize:
                self._kept[key] = patch
        return patch


def placeholder(layer: ImageLayer) -> Patch:
    """A quiet area of the layer's placeholder colour, in its shape, with the sign of a picture in its middle."""
    return draw_placeholder(layer.x, layer.y, layer.width, layer.height, layer.radius, layer.placeholder, layer.opacity)


def check_picture(data: bytes) -> tuple[int, int]:
    """Width and height of a picture, from its header. Raises BadPicture for bytes that will not be decoded."""
    if len(data) > MAX_BYTES:
        raise BadPicture(f"The picture is larger than {MAX_BYTES // 1024**2} MB")
    try:
        image = pyvips.Image.new_from_buffer(data, "", access="sequential")
        loader = image.get("vips-loader")
    except pyvips.Error:
        raise BadPicture(f"This is not a picture that can be read; use {ACCEPTED}") from None
    if loader not in LOADERS:
        raise BadPicture(f"This kind of picture is not supported; use {ACCEPTED}")
    if image.width * image.height > MAX_PIXELS:
        raise BadPicture(
            f"The picture has {image.width} x {image.height} pixels; {MAX_PIXELS // 10**6} million are the most"
        )
    return image.width, image.height


def _fit(layer: ImageLayer, data: bytes) -> Patch:
    check_picture(data)
    try:
        image = pyvips.Image.thumbnail_buffer(
            data,
            layer.width,
            height=layer.height,
            fail_on="error",
            **{"cover": {"crop": "centre"}, "contain": {}, "fill": {"size": "force"}}[layer.fit],
        )
        if image.get_typeof("icc-profile-data"):
            image = image.icc_transform("srgb")
        image = image.colourspace("srgb").cast("uchar")
        pixels = image.numpy()
    except pyvips.Error:
        raise BadPicture("The picture is damaged and can not be decoded") from None
    height, width = pixels.shape[:2]
    alpha = pixels[..., 3].copy() if pixels.shape[2] == 4 else None
    if layer.radius:
        mask = rounded_mask(width, height, layer.radius)
        alpha = mask if alpha is None else (alpha * mask.astype(np.uint16) // 255).astype(np.uint8)
    if layer.opacity < 1:
        alpha = faded(np.full((height, width), 255, np.uint8) if alpha is None else alpha, layer.opacity)
    left, top = layer.x + (layer.width - width) // 2, layer.y + (layer.height - height) // 2
    return Patch(left, top, np.ascontiguousarray(pixels[..., :3]), alpha)

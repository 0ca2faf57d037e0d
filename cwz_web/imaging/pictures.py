"""Pictures from outside: recognised, measured from their header, decoded, and fitted into a layer's box.

Whatever bytes arrive, only the loaders named here ever run; a picture with too many pixels is refused before it is
decoded, and decoding ends when its time is up.
"""

import time
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock

import cachetools
import numpy as np
import pyvips

from cwz_web.imaging.canvas import Patch, Pixels
from cwz_web.imaging.errors import BadPicture
from cwz_web.imaging.layers import ImageLayer

MAX_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 50_000_000
# A progressive JPEG is decoded once for each of its scans; honest ones have about ten.
MAX_SCANS = 60
DECODE_SECONDS = 8.0
LOADERS = {"jpegload_buffer", "pngload_buffer", "webpload_buffer", "gifload_buffer", "heifload_buffer"}
ACCEPTED = "JPEG, PNG, WebP, GIF or AVIF"
SIDEWAYS = 5  # from this EXIF orientation on, width and height change places

# Nothing else decodes in this process: SVG is for our own shapes, the others are for LOADERS.
pyvips.operation_block_set("VipsForeignLoad", True)
for _allowed in ("Jpeg", "Png", "Webp", "Nsgif", "Heif", "Svg"):
    pyvips.operation_block_set(f"VipsForeignLoad{_allowed}", False)


@dataclass(frozen=True)
class Source:
    """The bytes of a picture or a font and their SHA-256, which names them."""

    data: bytes
    digest: str

    @classmethod
    def of(cls, data: bytes) -> "Source":
        return cls(data, sha256(data).hexdigest())


@dataclass(frozen=True)
class Fitted:
    """A picture, cut to a box whose corner is at (0, 0), and how many times larger than it is it is shown."""

    patch: Patch
    enlarged: float


class FittedPictures:
    """Decoded pictures, cut to the boxes they were needed in. Decoding costs more than all the rest of a card.

    Arguments:
        max_bytes: how much memory the kept pictures may hold.
    """

    def __init__(self, max_bytes: int) -> None:
        self._kept: cachetools.LRUCache[tuple[object, ...], Fitted] = cachetools.LRUCache(
            max_bytes, getsizeof=lambda fitted: fitted.patch.nbytes
        )
        self._lock = Lock()

    def fit(self, layer: ImageLayer, source: Source) -> Fitted:
        """The picture as the layer's box shows it. Raises BadPicture."""
        key = (source.digest, layer.width, layer.height, layer.fit, layer.focus, layer.greyscale)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None:
            return kept
        fitted = _fit(layer, source.data)
        with self._lock:
            if fitted.patch.nbytes <= self._kept.maxsize:
                self._kept[key] = fitted
        return fitted


def check_picture(data: bytes) -> tuple[int, int]:
    """Width and height of a picture as it is shown, from its header. Raises BadPicture for what will not be decoded."""
    if not data:
        raise BadPicture("The picture is empty")
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
    if loader == "jpegload_buffer" and data.count(b"\xff\xda") > MAX_SCANS:
        raise BadPicture(f"The picture is built up in more than {MAX_SCANS} steps; save it as an ordinary JPEG")
    sideways = image.get_typeof("orientation") and image.get("orientation") >= SIDEWAYS
    return (image.height, image.width) if sideways else (image.width, image.height)


def _fit(layer: ImageLayer, data: bytes) -> Fitted:
    size = check_picture(data)
    try:
        pixels = _decode(layer, data, size)
    except pyvips.Error as error:
        if "killed" in str(error):
            raise BadPicture("The picture takes too long to decode") from None
        raise BadPicture("The picture is damaged and can not be decoded") from None
    height, width = pixels.shape[:2]
    ratios = (layer.width / size[0], layer.height / size[1])
    enlarged = min(ratios) if layer.fit == "contain" else max(ratios)
    alpha = pixels[..., 3].copy()
    left, top = (layer.width - width) // 2, (layer.height - height) // 2
    return Fitted(Patch(left, top, pixels, None if alpha.min() == 255 else alpha), enlarged)


def _decode(layer: ImageLayer, data: bytes, size: tuple[int, int]) -> Pixels:
    """The pixels, (height, width, 4), in sRGB. Raises pyvips.Error."""
    width, height = layer.width, layer.height
    focus = layer.focus if layer.fit == "cover" and isinstance(layer.focus, tuple) else None
    fits: dict[str, dict[str, object]] = {
        "contain": {},
        "fill": {"size": "force"},
        "cover": {"crop": layer.focus},
    }
    how = fits[layer.fit]
    if focus:
        scale = max(width / size[0], height / size[1])
        width, height = max(round(size[0] * scale), width), max(round(size[1] * scale), height)
        how = {"size": "force"}
    image = pyvips.Image.thumbnail_buffer(data, width, height=height, fail_on="error", **how)
    if focus:
        left, top = (
            min(max(round(whole * at - part / 2), 0), whole - part)
            for whole, part, at in zip((width, height), (layer.width, layer.height), focus, strict=True)
        )
        image = image.crop(left, top, layer.width, layer.height)
    if image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb")
    if layer.greyscale:
        image = image.colourspace("b-w")
    image = image.colourspace("srgb").cast("uchar")
    if not image.hasalpha():
        image = image.bandjoin(255)
    _limit_time(image)
    return np.frombuffer(image.write_to_memory(), np.uint8).reshape(image.height, image.width, 4)


def _limit_time(image: pyvips.Image) -> None:
    """Let libvips give up on an image when its time is over; it looks at the clock as it goes."""
    ends = time.monotonic() + DECODE_SECONDS

    def look(image: pyvips.Image, progress: object) -> None:
        if time.monotonic() > ends:
            image.set_kill(True)

    image.set_progress(True)
    image.signal_connect("eval", look)

"""Images from outside: recognised, measured from their header, decoded, and fitted into a layer's box.

Whatever bytes arrive, only the loaders named here ever run; an image with too many pixels is refused before it is
decoded, and decoding ends when its time is up.
"""

import time
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from threading import BoundedSemaphore

import numpy as np
import pyvips
import simplejpeg

from cwz_web.imaging.byte_cache import ByteCache
from cwz_web.imaging.compositing import Patch
from cwz_web.imaging.effects import from_pixels
from cwz_web.imaging.errors import InvalidImageError
from cwz_web.imaging.layers import ImageLayer

MAX_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 50_000_000
# A progressive JPEG is decoded once for each of its scans; honest ones have about ten.
MAX_SCANS = 20
DECODE_SECONDS = 8.0
# Of images with more pixels than these, at most two are in memory whole at a time.
LARGE_PIXELS = 12_000_000
JPEG, WEBP = "jpegload_buffer", "webpload_buffer"
LOADERS = {JPEG, WEBP, "pngload_buffer", "gifload_buffer", "heifload_buffer"}
ACCEPTED = "JPEG, PNG, WebP, GIF or AVIF"
SIDEWAYS = 5  # from this EXIF orientation on, width and height change places

# Nothing else decodes in this process: SVG is for our own shapes, the others are for LOADERS.
pyvips.operation_block_set("VipsForeignLoad", True)
for _allowed in ("Jpeg", "Png", "Webp", "Nsgif", "Heif", "Svg"):
    pyvips.operation_block_set(f"VipsForeignLoad{_allowed}", False)
# What is worth keeping is kept by us; libvips would keep a hundred operations with their pixels, and look there first.
pyvips.cache_set_max(0)

_large = BoundedSemaphore(2)


@dataclass(frozen=True)
class Source:
    """The bytes of an image or a font and their SHA-256, which names them."""

    data: bytes
    digest: str

    @property
    def nbytes(self) -> int:
        """How much memory the source holds."""
        return len(self.data)

    @classmethod
    def of(cls, data: bytes) -> "Source":
        return cls(data, sha256(data).hexdigest())


@dataclass(frozen=True)
class Fitted:
    """An image, cut to a box whose corner is at (0, 0), and how many times larger than it is it is shown."""

    patch: Patch
    enlarged: float

    @property
    def nbytes(self) -> int:
        """How much memory the image holds."""
        return self.patch.nbytes


class FittedImages:
    """Decoded images, cut to the boxes they were needed in. Decoding costs more than all the rest of a card.

    Arguments:
        max_bytes: how much memory the kept images may hold.
    """

    def __init__(self, max_bytes: int) -> None:
        self._kept: ByteCache[Fitted] = ByteCache(max_bytes)

    def fit(self, layer: ImageLayer, source: Source) -> Fitted:
        """The image as the layer's box shows it. Raises InvalidImageError."""
        key = (source.digest, layer.width, layer.height, layer.fit, layer.focus, layer.grayscale)
        return self._kept.get(key) or self._kept.keep(key, _fit(layer, source.data))


def check_image(data: bytes) -> tuple[int, int]:
    """Width and height of an image as it is shown, from its header. Raises InvalidImageError for what will not be decoded."""
    return _shown_size(_header(data))


def thumbnail(data: bytes, width: int) -> bytes:
    """An image as WebP, at most so many pixels wide, without metadata. Raises InvalidImageError."""
    header = _header(data)
    own_width, own_height = _shown_size(header)
    width = min(width, own_width)
    height = max(round(own_height * width / own_width), 1)
    try:
        image = _resized(_decoded(data, header, width, height), width, height)
        small: bytes = image.webpsave_buffer(Q=80, effort=2, keep="icc")
    except pyvips.Error:
        raise InvalidImageError("The image is damaged and cannot be decoded") from None
    return small


def _header(data: bytes) -> pyvips.Image:
    """An image of which only the header has been read. Raises InvalidImageError for what will not be decoded."""
    if not data:
        raise InvalidImageError("The image is empty")
    if len(data) > MAX_BYTES:
        raise InvalidImageError(f"The image is larger than {MAX_BYTES // 1024**2} MB")
    try:
        header = pyvips.Image.new_from_buffer(data, "", access="sequential")
        loader = header.get("vips-loader")
    except pyvips.Error:
        raise InvalidImageError(f"This is not an image that can be read; use {ACCEPTED}") from None
    if loader not in LOADERS:
        raise InvalidImageError(f"This kind of image is not supported; use {ACCEPTED}")
    if header.width * header.height > MAX_PIXELS:
        raise InvalidImageError(
            f"The image has {header.width} x {header.height} pixels; {MAX_PIXELS // 10**6} million are the most"
        )
    if loader == JPEG and data.count(b"\xff\xda") > MAX_SCANS:
        raise InvalidImageError(f"The image is built up in more than {MAX_SCANS} steps; save it as an ordinary JPEG")
    return header


def _orientation(header: pyvips.Image) -> int:
    """How the image is turned (EXIF): 1 is upright."""
    return int(header.get("orientation")) if header.get_typeof("orientation") else 1


def _shown_size(header: pyvips.Image) -> tuple[int, int]:
    size = header.width, header.height
    return size[::-1] if _orientation(header) >= SIDEWAYS else size


def _fit(layer: ImageLayer, data: bytes) -> Fitted:
    header = _header(data)
    size = _shown_size(header)
    try:
        image = _fitted(layer, data, header)
        opaque = not image.hasalpha()
        image = image.bandjoin(255) if opaque else image
        pixels = np.frombuffer(image.write_to_memory(), np.uint8).reshape(image.height, image.width, 4)
    except pyvips.Error as error:
        if "killed" in str(error):
            raise InvalidImageError("The image takes too long to decode") from None
        raise InvalidImageError("The image is damaged and cannot be decoded") from None
    height, width = pixels.shape[:2]
    ratios = (layer.width / size[0], layer.height / size[1])
    enlarged = min(ratios) if layer.fit == "contain" else max(ratios)
    left, top = (layer.width - width) // 2, (layer.height - height) // 2
    return Fitted(Patch(left, top, pixels, None if opaque else pixels[..., 3].copy()), enlarged)


def _fitted(layer: ImageLayer, data: bytes, header: pyvips.Image) -> pyvips.Image:
    """The image at the size in which the layer shows it, in sRGB. Raises pyvips.Error."""
    box = (layer.width, layer.height)
    size = _shown_size(header)
    ratios = [side / own for side, own in zip(box, size, strict=True)]
    scale = min(ratios) if layer.fit == "contain" else max(ratios)
    whole = box if layer.fit == "fill" else tuple(max(round(own * scale), 1) for own in size)
    image = _decoded(data, header, *whole)
    if layer.fit == "cover" and layer.focus == "attention":
        image = _resized(image, *whole).smartcrop(*box, interesting="attention")
    elif layer.fit == "cover":
        # Cut first: what is cut away need not be resized.
        focus = (0.5, 0.5) if layer.focus == "center" else layer.focus
        sides = (image.width, image.height)
        kept = [max(round(own * part / full), 1) for own, part, full in zip(sides, box, whole, strict=True)]
        corner = [
            min(max(round(own * at - part / 2), 0), own - part)
            for own, at, part in zip(sides, focus, kept, strict=True)
        ]
        image = _resized(image.crop(*corner, *kept), *box)
    else:
        image = _resized(image, *whole)
    if image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb")
    if layer.grayscale:
        image = image.colourspace("b-w")
    return image.colourspace("srgb").cast("uchar")


def _resized(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    if (image.width, image.height) == (width, height):
        return image
    across, down = width / image.width, height / image.height
    if not image.hasalpha():
        return image.resize(across, vscale=down)
    # What is see-through has a color too, which must not seep into its neighbours.
    return image.premultiply().resize(across, vscale=down).unpremultiply().cast("uchar")


def _decoded(data: bytes, header: pyvips.Image, width: int, height: int) -> pyvips.Image:
    """The whole image, upright, in memory, at least as large as asked for where it is. Raises pyvips.Error."""
    plain = _plain_jpeg(data, header, width, height)
    if plain is not None:
        return plain
    size = _shown_size(header)
    ratio = min(own / wanted for own, wanted in zip(size, (width, height), strict=True))
    options: dict[str, object] = {}
    if header.get("vips-loader") == JPEG:
        options = {"shrink": max(shrink for shrink in (1, 2, 4, 8) if shrink <= max(ratio, 1))}
    elif header.get("vips-loader") == WEBP:
        options = {"scale": min(1 / ratio, 1)}
    with _large if header.width * header.height > LARGE_PIXELS else nullcontext():
        image = pyvips.Image.new_from_buffer(data, "", access="sequential", fail_on="truncated", **options)
        _limit_time(image)
        image = image.copy_memory()
    return image.autorot() if _orientation(header) != 1 else image


def _plain_jpeg(data: bytes, header: pyvips.Image, width: int, height: int) -> pyvips.Image | None:
    """A JPEG without a color profile that stands upright, or None for any other.

    libjpeg-turbo decodes it faster than libvips lets it, and at a scale nearer to the one that is wanted.
    """
    if header.get("vips-loader") != JPEG or header.get_typeof("icc-profile-data") or _orientation(header) != 1:
        return None
    try:
        if simplejpeg.decode_jpeg_header(data)[2] != "YCbCr":
            return None
        return from_pixels(simplejpeg.decode_jpeg(data, min_width=width, min_height=height))
    except ValueError:  # even a warning; libvips is more forgiving, and knows what to say
        return None


def _limit_time(image: pyvips.Image) -> None:
    """Let libvips give up on an image when its time is over; it looks at the clock as it goes."""
    ends = time.monotonic() + DECODE_SECONDS

    def look(image: pyvips.Image, progress: object) -> None:
        if time.monotonic() > ends:
            image.set_kill(True)

    image.set_progress(True)
    image.signal_connect("eval", look)

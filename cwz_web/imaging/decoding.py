"""Images from outside: recognized and measured by their header, decoded, and fitted into a layer's box.

Only the loaders that are named here ever run. An image with too many pixels is rejected before it is decoded, and
decoding has a deadline.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from math import ceil
from threading import BoundedSemaphore

import numpy as np
import pyvips
import simplejpeg

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.adjustments import adjust_pixels
from cwz_web.imaging.compositing import Patch, Pixels
from cwz_web.imaging.effects import from_pixels
from cwz_web.imaging.errors import InvalidImageError
from cwz_web.imaging.faces import FACES_SIDE, find_faces
from cwz_web.imaging.file_types import may_be_decoded, name_file_type
from cwz_web.imaging.layers import ImageLayer
from cwz_web.imaging.photo_facts import PhotoFacts
from cwz_web.imaging.trimming import EXAMINED_SIDE, Box, classify_background, extend_edges, find_ground

MAX_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 50_000_000
# A progressive JPEG is decoded once for each scan; usual files have about ten.
MAX_SCANS = 20
DECODE_SECONDS = 8.0
# At most two images with more pixels are decoded at the same time.
LARGE_PIXELS = 12_000_000
JPEG, WEBP, GIF = "jpegload_buffer", "webpload_buffer", "gifload_buffer"
LOADERS = {JPEG, WEBP, GIF, "pngload_buffer", "heifload_buffer"}
SUPPORTED_FORMATS = gettext_lazy("JPEG, PNG, WebP, GIF or AVIF")
JPEG_END = b"\xff\xd9"
# Without 0xff, which begins a marker.
OTHER_BITS = bytes(range(1, 255)) * 8
# The part of a photo's height that may be missing; more if it continues a plain background.
MAX_MISSING = 0.125
PLAIN = 8
# A progressive JPEG with so many scans lacks details at most (libjpeg's standard scan script has ten).
MIN_SCANS = 6
# EXIF orientations from here on swap width and height.
FIRST_SIDEWAYS_ORIENTATION = 5

# Block every other loader of libvips in this process. SVG is for the shapes that this package generates.
pyvips.operation_block_set("VipsForeignLoad", True)
for _allowed in ("Jpeg", "Png", "Webp", "Nsgif", "Heif", "Svg"):
    pyvips.operation_block_set(f"VipsForeignLoad{_allowed}", False)
# libvips' own operation cache would hold pixels beside the engine's cache.
pyvips.cache_set_max(0)

_large_images = BoundedSemaphore(2)


@dataclass(frozen=True)
class Source:
    """The bytes of an image or a font, and their SHA-256; validators if it was fetched (RFC 9110, section 8.8)."""

    data: bytes
    digest: str
    etag: str | None = None
    last_modified: str | None = None

    @classmethod
    def of(cls, data: bytes) -> "Source":
        return cls(data, sha256(data).hexdigest())


@dataclass(frozen=True)
class FittedImage:
    """A decoded image, fitted into a box at (0, 0).

    Attributes:
        patch: the pixels.
        enlargement: by which factor the image was enlarged; below 1 it was reduced.
        is_cut_off: whether the file ends too early.
    """

    patch: Patch
    enlargement: float
    is_cut_off: bool = False

    @property
    def nbytes(self) -> int:
        """The size of the pixels in bytes."""
        return self.patch.nbytes


def thumbnail(data: bytes, width: int, height: int | None = None) -> bytes:
    """Return an image as WebP without metadata, reduced to at most a width and, if given, a height in pixels.

    Raises:
        InvalidImageError: the image cannot be decoded.
    """
    header = _read_header(data)
    full_width, full_height = _displayed_size(header)
    lowest = full_height if height is None else height
    if full_height * min(width, full_width) > full_width * lowest:
        width, height = max(full_width * lowest // full_height, 1), lowest
    else:
        width = min(width, full_width)
        height = max(round(full_height * width / full_width), 1)
    try:
        image = _resize(_decode(data, header, width, height)[0], width, height)
        encoded: bytes = image.webpsave_buffer(Q=80, effort=2, keep="icc")
    except pyvips.Error:
        raise InvalidImageError(gettext_lazy("The image is damaged and cannot be decoded")) from None
    return encoded


def reencode_upright(data: bytes) -> bytes:
    """Return an image that is neither rotated by its metadata nor a GIF: such an image is encoded again.

    A rotated JPEG remains one, with hardly visible losses; others become PNG.

    Raises:
        InvalidImageError: the image cannot be decoded.
    """
    header = _read_header(data)
    loader = header.get("vips-loader")
    if _orientation(header) == 1 and loader != GIF:
        return data
    try:
        image = _decode(data, header, *_displayed_size(header))[0]
        if loader == JPEG:
            encoded: bytes = image.jpegsave_buffer(Q=95, keep="icc")
        else:
            encoded = image.pngsave_buffer(keep="icc")
    except pyvips.Error:
        raise InvalidImageError(gettext_lazy("The image is damaged and cannot be decoded")) from None
    return encoded


def read_photo_facts(data: bytes) -> PhotoFacts:
    """Return what expressions can use of a photo. Raises InvalidImageError."""
    header = _read_header(data)
    try:
        return PhotoFacts(classify_background(_examined_pixels(data, header)), *_displayed_size(header))
    except pyvips.Error:
        raise InvalidImageError(gettext_lazy("The image is damaged and cannot be decoded")) from None


def find_product(data: bytes) -> Box | None:
    """Return where the product is in a photo; None if it has no uniform ground. Raises pyvips.Error."""
    ground = find_ground(_examined_pixels(data, _read_header(data)))
    return ground.product if ground else None


def find_face(data: bytes) -> tuple[float, float] | None:
    """Return the middle of the faces in a photo, in fractions; None if there is no face, or it cannot be decoded."""
    try:
        return find_faces(_examined_pixels(data, _read_header(data), FACES_SIDE))
    except (InvalidImageError, pyvips.Error):
        return None


def fit_image(layer: ImageLayer, data: bytes, find: Callable[[bytes], Box | None] = find_product) -> FittedImage:
    """Decode an image and fit it into the layer's box.

    Args:
        layer: the layer.
        data: the file of the image.
        find: finds the product in the photo of a trimmed layer.

    Raises:
        InvalidImageError: the image cannot be decoded.
    """
    header = _read_header(data)
    try:
        # The part of the image that a trimmed or extended layer contains.
        product = find(data) if layer.fit == "trim" else Box() if layer.fit == "extend" else None
        return _fit_product(layer, data, header, product) if product else _fit_whole(layer, data, header)
    except pyvips.Error as error:
        if "killed" in str(error):
            raise InvalidImageError(gettext_lazy("The image takes too long to decode")) from None
        raise InvalidImageError(gettext_lazy("The image is damaged and cannot be decoded")) from None


def _fit_whole(layer: ImageLayer, data: bytes, header: pyvips.Image) -> FittedImage:
    image, is_cut_off = _fit(layer, data, header)
    pixels, opaque = _adjusted_pixels(layer, image)
    height, width = pixels.shape[:2]
    left, top = (layer.width - width) // 2, (layer.height - height) // 2
    patch = Patch(left, top, pixels, None if opaque else pixels[..., 3].copy())
    return FittedImage(patch, _scale(layer, _displayed_size(header)), is_cut_off)


def _fit_product(layer: ImageLayer, data: bytes, header: pyvips.Image, product: Box) -> FittedImage:
    """Fit a part of an image into the layer's box with even padding; what surrounds it fills the rest of the box.

    Raises pyvips.Error.
    """
    size, box = _displayed_size(header), (layer.width, layer.height)
    starts, ends = (product.left, product.top), (product.right, product.bottom)
    padding = round(min(box) * layer.trim_padding) if layer.fit == "trim" else 0
    inner = [max(side - 2 * padding, 1) for side in box]
    scale = min(
        side / (whole * (end - start)) for side, whole, start, end in zip(inner, size, starts, ends, strict=True)
    )
    full = [max(round(side * scale), 1) for side in size]
    image, is_cut_off = _decode(data, header, *full)
    # Where the whole image would begin in the box, and which part of it is inside.
    centers = [(start + end) * whole / 2 for start, end, whole in zip(starts, ends, full, strict=True)]
    corner = [round(side / 2 - center) for side, center in zip(box, centers, strict=True)]
    first = [max(at, 0) for at in corner]
    last = [min(at + whole, side) for at, whole, side in zip(corner, full, box, strict=True)]
    sides = (image.width, image.height)
    cut = [(at - start) * side // whole for at, start, side, whole in zip(first, corner, sides, full, strict=True)]
    kept = [
        min(max(round((end - at) * side / whole), 1), side - begin)
        for end, at, side, whole, begin in zip(last, first, sides, full, cut, strict=True)
    ]
    image = _resize(image.crop(*cut, *kept), *(end - at for end, at in zip(last, first, strict=True)))
    pixels, opaque = _adjusted_pixels(layer, image)
    pixels = extend_edges(pixels, *first, *(side - end for side, end in zip(box, last, strict=True)))
    return FittedImage(Patch(0, 0, pixels, None if opaque else pixels[..., 3].copy()), scale, is_cut_off)


def _examined_pixels(data: bytes, header: pyvips.Image, side: int = EXAMINED_SIDE) -> Pixels:
    """Return an image in sRGB with alpha, at most `side` pixels long. Raises pyvips.Error."""
    size = _displayed_size(header)
    scale = min(side / max(size), 1)
    width, height = (max(round(each * scale), 1) for each in size)
    image = _resize(_decode(data, header, width, height)[0], width, height)
    return _to_srgb_pixels(image, grayscale=False)[0]


def decode_pixels(data: bytes, side: int) -> tuple[Pixels, bool]:
    """Return an image in sRGB with alpha, at most `side` pixels long, and whether it is opaque.

    Raises:
        InvalidImageError: the image cannot be decoded.
    """
    header = _read_header(data)
    try:
        return _examined_pixels(data, header, side), not header.hasalpha()
    except pyvips.Error:
        raise InvalidImageError(gettext_lazy("The image is damaged and cannot be decoded")) from None


def _adjusted_pixels(layer: ImageLayer, image: pyvips.Image) -> tuple[Pixels, bool]:
    """Return an image in sRGB with the layer's adjustments, and whether it is opaque. Raises pyvips.Error."""
    pixels, opaque = _to_srgb_pixels(image, grayscale=layer.grayscale)
    return adjust_pixels(layer, pixels) if layer.adjust or layer.duotone else pixels, opaque


def _to_srgb_pixels(image: pyvips.Image, *, grayscale: bool) -> tuple[Pixels, bool]:
    """Return an image in sRGB as an array (height, width, 4), and whether it is opaque. Raises pyvips.Error."""
    if image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb")
    if grayscale:
        image = image.colourspace("b-w")
    image = image.colourspace("srgb").cast("uchar")
    opaque = not image.hasalpha()
    image = image.bandjoin(255) if opaque else image
    return np.frombuffer(image.write_to_memory(), np.uint8).reshape(image.height, image.width, 4), opaque


def read_image_size(data: bytes) -> tuple[int, int]:
    """Return the width and the height of an image as it is displayed, in pixels. Raises InvalidImageError."""
    return _displayed_size(_read_header(data))


def has_alpha(data: bytes) -> bool:
    """Return whether an image has transparency. Raises InvalidImageError."""
    return bool(_read_header(data).hasalpha())


def _read_header(data: bytes) -> pyvips.Image:
    """Read an image's header without decoding it. Raises InvalidImageError for an image that will not be decoded."""
    if not data:
        raise InvalidImageError(gettext_lazy("The image is empty"))
    if len(data) > MAX_BYTES:
        raise InvalidImageError(gettext_lazy("The image is larger than %(max)s MB", max=MAX_BYTES // 1024**2))
    # By its first bytes, since libvips would parse an SVG file to read its header. libvips also reads the header of a
    # HEIC image, but cannot decode its pixels.
    if not may_be_decoded(data):
        raise InvalidImageError(_unsupported(data))
    try:
        header = pyvips.Image.new_from_buffer(data, "", access="sequential")
        loader = header.get("vips-loader")
    except pyvips.Error:
        loader = None
    if loader not in LOADERS:
        raise InvalidImageError(_unsupported(data))
    if header.width * header.height > MAX_PIXELS:
        size, limit = f"{header.width} x {header.height}", MAX_PIXELS // 10**6
        raise InvalidImageError(
            gettext_lazy("The image has %(size)s pixels; the limit is %(max)s million", size=size, max=limit)
        )
    if loader == JPEG and data.count(b"\xff\xda") > MAX_SCANS:
        raise InvalidImageError(
            gettext_lazy("The image is a JPEG with more than %(max)s scans. Save it as a baseline JPEG", max=MAX_SCANS)
        )
    return header


def _unsupported(data: bytes) -> str:
    name = name_file_type(data)
    if name:
        return gettext_lazy(
            "The file is %(type)s, which is not supported. Use %(formats)s", type=name, formats=SUPPORTED_FORMATS
        )
    return gettext_lazy("The file is not a supported image. Use %(formats)s", formats=SUPPORTED_FORMATS)


def _orientation(header: pyvips.Image) -> int:
    """Return the EXIF orientation; 1 is upright."""
    return int(header.get("orientation")) if header.get_typeof("orientation") else 1


def _displayed_size(header: pyvips.Image) -> tuple[int, int]:
    size = header.width, header.height
    return size[::-1] if _orientation(header) >= FIRST_SIDEWAYS_ORIENTATION else size


def _scale(layer: ImageLayer, size: tuple[int, int]) -> float:
    """Return the factor by which an image of this size is scaled to fit the layer's box."""
    ratios = (layer.width / size[0], layer.height / size[1])
    if layer.fit == "cover":
        return max(ratios) * layer.zoom
    return max(ratios) if layer.fit == "fill" else min(ratios)


def _fit(layer: ImageLayer, data: bytes, header: pyvips.Image) -> tuple[pyvips.Image, bool]:
    """Return the image at the size that the layer needs, and whether it is cut off. Raises pyvips.Error."""
    box = (layer.width, layer.height)
    size = _displayed_size(header)
    scale = _scale(layer, size)
    full = box if layer.fit == "fill" else tuple(max(round(side * scale), 1) for side in size)
    image, is_cut_off = _decode(data, header, *full)
    sides = (image.width, image.height)
    kept = [min(max(round(side * part / whole), 1), side) for side, part, whole in zip(sides, box, full, strict=True)]
    if layer.fit == "cover" and layer.focus in ("attention", "face"):
        if layer.zoom == 1:
            image = _resize(image, *full).smartcrop(*box, interesting="attention")
        else:
            image = _resize(image.smartcrop(*kept, interesting="attention"), *box)
    elif layer.fit == "cover":
        # Cropping first leaves fewer pixels to resize.
        focus = (0.5, 0.5) if isinstance(layer.focus, str) else layer.focus
        corner = [
            min(max(round(side * at - part / 2), 0), side - part)
            for side, at, part in zip(sides, focus, kept, strict=True)
        ]
        image = _resize(image.crop(*corner, *kept), *box)
    else:
        image = _resize(image, *full)
    return image, is_cut_off


def _resize(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    if (image.width, image.height) == (width, height):
        return image
    x_scale, y_scale = width / image.width, height / image.height
    if not image.hasalpha():
        return image.resize(x_scale, vscale=y_scale)
    # Premultiplied, so that the color of transparent pixels does not bleed into their neighbors.
    return image.premultiply().resize(x_scale, vscale=y_scale).unpremultiply().cast("uchar")


def _decode(data: bytes, header: pyvips.Image, width: int, height: int) -> tuple[pyvips.Image, bool]:
    """Decode an image into memory, upright, with 8 bits a channel, and not much larger than the given size.

    Returns:
        The image, and whether it is a JPEG that ends too early.

    Raises:
        InvalidImageError: too much of a JPEG is missing.
        pyvips.Error: the image is damaged, or takes too long to decode.
    """
    plain = _decode_plain_jpeg(data, header, width, height)
    if plain is not None:
        return plain, False
    size = _displayed_size(header)
    ratio = min(side / target for side, target in zip(size, (width, height), strict=True))
    options: dict[str, object] = {}
    if header.get("vips-loader") == JPEG:
        options = {"shrink": max(shrink for shrink in (1, 2, 4, 8) if shrink <= max(ratio, 1))}
    elif header.get("vips-loader") == WEBP:
        options = {"scale": min(1 / ratio, 1)}
    with _large_images if header.width * header.height > LARGE_PIXELS else nullcontext():
        image, is_cut_off = _load(data, header, options)
    image = _to_8_bits(image)
    return image.autorot() if _orientation(header) != 1 else image, is_cut_off


def _load(data: bytes, header: pyvips.Image, options: dict[str, object]) -> tuple[pyvips.Image, bool]:
    """Decode an image into memory, and return whether it is a JPEG that ends too early."""
    deadline = time.monotonic() + DECODE_SECONDS
    try:
        return _load_in_time(data, options, deadline), False
    except pyvips.Error as error:
        if header.get("vips-loader") != JPEG or "killed" in str(error):
            raise
    return _load_cut_off_jpeg(data, options, deadline), True


def _load_cut_off_jpeg(data: bytes, options: dict[str, object], deadline: float) -> pyvips.Image:
    """Decode a JPEG without its end, as browsers do, if no more than MAX_MISSING of its height is missing.

    libjpeg continues a cut-off scan with zeros, which repeat the last color. The rows that look different if it
    continues with other bits are the ones that are missing.
    """
    image = _load_in_time(data + JPEG_END, options, deadline)
    if data.count(b"\xff\xda") >= MIN_SCANS:
        return image
    other = _load_in_time(data + OTHER_BITS + JPEG_END, options, deadline)
    rows, other_rows = (each.numpy().reshape(each.height, each.width, -1) for each in (image, other))
    changed = np.any(rows != other_rows, axis=(1, 2))
    first = int(changed.argmax()) if changed.any() else image.height
    missing = 1 - first / image.height
    if missing > MAX_MISSING and not (first and np.ptp(rows[first - 1], axis=0).max() <= PLAIN):
        raise InvalidImageError(
            gettext_lazy("The image is cut off: the lower %(percent)s %% are missing", percent=ceil(missing * 100))
        )
    return image


def _load_in_time(data: bytes, options: dict[str, object], deadline: float) -> pyvips.Image:
    image = pyvips.Image.new_from_buffer(data, "", access="sequential", fail_on="truncated", **options)
    _set_deadline(image, deadline)
    return image.copy_memory()


def _to_8_bits(image: pyvips.Image) -> pyvips.Image:
    """Return an image of 16 bits a channel with 8 bits, alpha included."""
    if image.format != "ushort":
        return image
    interpretation = {"rgb16": "srgb", "grey16": "b-w"}.get(image.interpretation, image.interpretation)
    return image.cast("uchar", shift=True).copy(interpretation=interpretation)


def _decode_plain_jpeg(data: bytes, header: pyvips.Image, width: int, height: int) -> pyvips.Image | None:
    """Decode an upright JPEG without a color profile; return None for any other image.

    Calling libjpeg-turbo directly is faster than through libvips, and it offers more scales to decode at.
    """
    if header.get("vips-loader") != JPEG or header.get_typeof("icc-profile-data") or _orientation(header) != 1:
        return None
    try:
        if simplejpeg.decode_jpeg_header(data)[2] != "YCbCr":
            return None
        return from_pixels(simplejpeg.decode_jpeg(data, min_width=width, min_height=height))
    except ValueError:  # also for a mere warning; libvips is more tolerant
        return None


def _set_deadline(image: pyvips.Image, deadline: float) -> None:
    """Stop decoding of an image at a deadline. libvips reports its progress as it decodes."""

    def check_deadline(image: pyvips.Image, progress: object) -> None:
        if time.monotonic() > deadline:
            image.set_kill(True)

    image.set_progress(True)
    image.signal_connect("eval", check_deadline)

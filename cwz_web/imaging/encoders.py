"""Encoding of pixels as JPEG, PNG, WebP or AVIF. The settings were chosen by measurement (`bench/`)."""

import struct
import zlib
from enum import StrEnum
from typing import Any, Literal

import numpy as np
import pyvips
import simplejpeg
from isal import isal_zlib
from pydantic import BaseModel, ConfigDict, Field

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.bisection import find_largest
from cwz_web.imaging.compositing import WHITE, Pixels, flatten
from cwz_web.imaging.document_parts import DocumentPart, new_key
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.errors import ImageTooLargeError
from cwz_web.values.formats import CurrencyCode, LocaleCode

DEFAULT_QUALITY = 84
# From this quality on, the colors of a file keep their resolution by default.
FULL_CHROMA_QUALITY = 90
# `max_bytes` does not reduce the quality further.
MIN_QUALITY = 10
MAX_FILE_BYTES = 20 * 1024 * 1024
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_TRUECOLOR, PNG_TRUECOLOR_ALPHA, PNG_UP = 2, 6, 2
# An iCCP chunk begins with the name of the profile and the compression method.
PNG_PROFILE_NAME = b"sRGB\0\0"


class Format(StrEnum):
    """File formats of images; the value is the file extension."""

    JPEG = "jpg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"

    @property
    def content_type(self) -> str:
        return f"image/{'jpeg' if self is Format.JPEG else self.value}"


FORMAT_LABELS = {Format.JPEG: "JPEG", Format.PNG: "PNG", Format.WEBP: "WebP", Format.AVIF: "AVIF"}


LOSSLESS = {Format.WEBP, Format.AVIF}


class Localization(BaseModel):
    """The market that an image is for.

    Attributes:
        output_locale: the locale of numbers, prices and dates that the image shows, where the template names none.
        output_currency: the currency of amounts that name none. It comes before that of the column or the workspace.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    output_locale: LocaleCode | None = new_key(None)
    output_currency: CurrencyCode | None = new_key(None)


class Encoding(Localization):
    """The encoding options of an image, and its market. An option that a format does not have is ignored.

    Attributes:
        quality: 1 to 100, for the lossy formats.
        chroma: `420` halves the resolution of colors, which blurs small colored letters; `444` keeps it, for a file
            that is a fifth larger; `auto` keeps it from a quality of 90 on. WebP only has a sharper way to halve it.
        lossless: for WebP and AVIF.
        progressive: for JPEG: a tenth smaller, at four times the encoding time.
        optimize: for JPEG: 6 to 14 % smaller by optimized tables, at three times the encoding time.
        palette: for PNG: at most 256 colors, a third of the file size, at about twenty times the encoding time.
        color_profile: embeds the ICC profile of sRGB. Without one, an image is in sRGB by convention.
        max_bytes: the quality is reduced until the file is not larger; a PNG gets a palette.
    """

    quality: int = Field(default=DEFAULT_QUALITY, ge=1, le=100)
    chroma: Literal["auto", "420", "444"] = "auto"
    lossless: bool = False
    progressive: bool = False
    optimize: bool = False
    palette: bool = False
    color_profile: bool = new_key(False)
    max_bytes: int | None = Field(default=None, ge=1000, le=MAX_FILE_BYTES)

    def encoding_options(self) -> dict[str, Any]:
        """Return the encoding options, and the market, by name."""
        return {name: getattr(self, name) for name in Encoding.model_fields}

    @property
    def has_full_chroma(self) -> bool:
        """Whether colors keep their resolution."""
        return self.chroma == "444" or (self.chroma == "auto" and self.quality >= FULL_CHROMA_QUALITY)


class Output(Encoding, DocumentPart):
    """The size, file format and encoding options of an image.

    Attributes:
        size: the name of one of the template's sizes.
        scale: how many pixels of the image correspond to one pixel of the canvas, horizontally and vertically.
    """

    size: str = Field(default=DEFAULT_SIZE, max_length=40)
    format: Format = Format.JPEG
    scale: int = Field(default=1, ge=1, le=3)


def encode(pixels: Pixels, output: Output, *, has_alpha: bool = False) -> bytes:
    """Encode pixels as an image file in sRGB without other metadata.

    Args:
        pixels: an array (height, width, 4).
        output: the format and its options.
        has_alpha: whether the fourth byte of a pixel is alpha. JPEG has none: a transparent image is on white.

    Raises:
        ImageTooLargeError: the file is larger than the output's `max_bytes` at the lowest quality.
    """
    if has_alpha and output.format is Format.JPEG:
        pixels, has_alpha = flatten(pixels, WHITE), False
    bands = 4 if has_alpha else 3
    encoded = _encode(pixels, bands, output)
    if output.max_bytes is None or len(encoded) <= output.max_bytes:
        return encoded
    return _encode_within(pixels, bands, output, output.max_bytes)


def _encode_within(pixels: Pixels, bands: int, output: Output, max_bytes: int) -> bytes:
    """Encode pixels at the highest quality at which the file has at most `max_bytes`."""
    smallest = b""

    def encode_if_small(quality: int) -> bytes | None:
        nonlocal smallest
        smaller = {"quality": quality, "optimize": True, "palette": True}
        smallest = _encode(pixels, bands, output.model_copy(update=smaller))
        return smallest if len(smallest) <= max_bytes else None

    has_quality = output.format is not Format.PNG and not (output.lossless and output.format in LOSSLESS)
    lowest = min(MIN_QUALITY, output.quality) if has_quality else output.quality
    found = find_largest(lowest, output.quality, encode_if_small)
    if found is None:
        size, limit = (f"{each / 1000:,.0f} KB" for each in (len(smallest), max_bytes))
        raise ImageTooLargeError(
            gettext_lazy(
                "The image has %(size)s at the lowest quality; the limit is %(max)s. Use a smaller size or another"
                " format",
                size=size,
                max=limit,
            )
        )
    return found[1]


def _encode(pixels: Pixels, bands: int, output: Output) -> bytes:
    if output.format is Format.JPEG and not (output.progressive or output.optimize or output.color_profile):
        # Calling libjpeg-turbo directly is a third faster than calling it through libvips.
        chroma = "444" if output.has_full_chroma else "420"
        jpeg: bytes = simplejpeg.encode_jpeg(pixels, quality=output.quality, colorspace="RGBX", colorsubsampling=chroma)
        return jpeg
    if output.format is Format.PNG and not output.palette:
        return _png(pixels, bands, output.color_profile)
    height, width = pixels.shape[:2]
    image = pyvips.Image.new_from_memory(pixels.data, width, height, 4, "uchar")[0:bands].copy(interpretation="srgb")
    encoded: bytes
    quality, subsample_mode = output.quality, "off" if output.has_full_chroma else "on"
    metadata = {"keep": "icc", "profile": "srgb"} if output.color_profile else {"keep": "none"}
    match output.format:
        case Format.JPEG:
            encoded = image.jpegsave_buffer(
                Q=quality,
                interlace=output.progressive,
                optimize_coding=output.progressive or output.optimize,
                subsample_mode=subsample_mode,
                **metadata,
            )
        case Format.PNG:
            encoded = image.pngsave_buffer(compression=6, palette=True, effort=1, dither=0.8, **metadata)
        case Format.WEBP:
            encoded = image.webpsave_buffer(
                Q=quality,
                lossless=output.lossless,
                smart_subsample=output.has_full_chroma and not output.lossless,
                effort=2,
                **metadata,
            )
        case Format.AVIF:
            encoded = image.heifsave_buffer(
                Q=round(quality * 0.75),
                lossless=output.lossless,
                subsample_mode="off" if output.lossless else subsample_mode,
                compression="av1",
                effort=0,
                **metadata,
            )
    return encoded


def _png(pixels: Pixels, bands: int, has_profile: bool) -> bytes:
    """Encode a truecolor PNG (W3C PNG specification, RFC 2083) with the filter "up" and ISA-L's compression.

    This takes a quarter of the time of libvips with libpng and zlib, for a file that is 5 % larger.
    """
    height, width = pixels.shape[:2]
    filtered = np.empty((height, width * bands + 1), np.uint8)
    filtered[:, 0] = PNG_UP
    differences = np.empty_like(pixels)
    differences[0] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=differences[1:])
    if bands == 4:
        filtered[:, 1:] = differences.reshape(height, -1)
    else:
        rows = filtered[:, 1:].reshape(height, width, bands)
        for band in range(bands):  # numpy is four times as fast for one band at a time
            rows[..., band] = differences[..., band]
    color_type = PNG_TRUECOLOR_ALPHA if bands == 4 else PNG_TRUECOLOR
    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", isal_zlib.compress(filtered, 2)), (b"IEND", b"")]
    if has_profile:
        parts.insert(1, (b"iCCP", PNG_PROFILE_NAME + zlib.compress(pyvips.Operation.call("profile_load", "srgb"))))
    return PNG_SIGNATURE + b"".join(_chunk(name, content) for name, content in parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = isal_zlib.crc32(content, isal_zlib.crc32(name))
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

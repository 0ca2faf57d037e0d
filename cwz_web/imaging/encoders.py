"""Encoding of pixels as JPEG, PNG, WebP or AVIF. The settings were chosen by measurement (`bench/`)."""

import struct
import zlib
from enum import StrEnum

import numpy as np
import pyvips
import simplejpeg
from isal import isal_zlib
from pydantic import Field

from cwz_web.imaging.compositing import Pixels
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.layers import DocumentPart

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_TRUECOLOR, PNG_UP = 2, 2


class Format(StrEnum):
    """File formats of images; the value is the file extension."""

    JPEG = "jpg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"

    @property
    def content_type(self) -> str:
        return f"image/{'jpeg' if self is Format.JPEG else self.value}"


class Output(DocumentPart):
    """The size, file format and encoding options of an image.

    Attributes:
        size: the name of one of the template's sizes.
        quality: 1 to 100, for the lossy formats.
        scale: how many pixels of the image correspond to one pixel of the canvas, horizontally and vertically.
        progressive: for JPEG: a tenth smaller, at four times the encoding time.
        palette: for PNG: at most 256 colors, a third of the file size, at about twenty times the encoding time.
    """

    size: str = Field(default=DEFAULT_SIZE, max_length=40)
    format: Format = Format.JPEG
    quality: int = Field(default=84, ge=1, le=100)
    scale: int = Field(default=1, ge=1, le=3)
    progressive: bool = False
    palette: bool = False


def encode(pixels: Pixels, output: Output) -> bytes:
    """Encode pixels (height, width, 4) as an image file in sRGB without metadata."""
    if output.format is Format.JPEG and not output.progressive:
        # Calling libjpeg-turbo directly is a third faster than calling it through libvips.
        jpeg: bytes = simplejpeg.encode_jpeg(pixels, quality=output.quality, colorspace="RGBX", colorsubsampling="420")
        return jpeg
    if output.format is Format.PNG and not output.palette:
        return _png(pixels)
    height, width = pixels.shape[:2]
    image = pyvips.Image.new_from_memory(pixels.data, width, height, 4, "uchar")[0:3].copy(interpretation="srgb")
    encoded: bytes
    match output.format:
        case Format.JPEG:
            encoded = image.jpegsave_buffer(Q=output.quality, interlace=True, optimize_coding=True, keep="none")
        case Format.PNG:
            encoded = image.pngsave_buffer(compression=6, palette=True, effort=1, dither=0.8, keep="none")
        case Format.WEBP:
            encoded = image.webpsave_buffer(Q=output.quality, effort=2, keep="none")
        case Format.AVIF:
            encoded = image.heifsave_buffer(Q=round(output.quality * 0.75), compression="av1", effort=0, keep="none")
    return encoded


def _png(pixels: Pixels) -> bytes:
    """Encode a truecolor PNG (W3C PNG specification, RFC 2083) with the filter "up" and ISA-L's compression.

    This takes a quarter of the time of libvips with libpng and zlib, for a file that is 5 % larger.
    """
    height, width = pixels.shape[:2]
    filtered = np.empty((height, width * 3 + 1), np.uint8)
    filtered[:, 0] = PNG_UP
    rows = filtered[:, 1:].reshape(height, width, 3)
    rows[0] = pixels[0, :, :3]
    for band in range(3):  # numpy is four times as fast for one band at a time
        np.subtract(pixels[1:, :, band], pixels[:-1, :, band], out=rows[1:, :, band])
    header = struct.pack(">IIBBBBB", width, height, 8, PNG_TRUECOLOR, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", isal_zlib.compress(filtered, 2)), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(_chunk(name, content) for name, content in parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

"""Encoders: pixels become the bytes of a PNG, JPEG, WebP or AVIF file. Settings are chosen by measurement (bench/)."""

from enum import StrEnum

import pyvips
from pydantic import Field

from cwz_web.imaging.canvas import Pixels
from cwz_web.imaging.documents import Strict


class Format(StrEnum):
    """The formats of a finished picture; the value is the file's extension."""

    JPEG = "jpg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"

    @property
    def content_type(self) -> str:
        return f"image/{'jpeg' if self is Format.JPEG else self.value}"


class Output(Strict):
    """How a picture is written. `quality` (1 to 100) is for the lossy formats; PNG ignores it."""

    format: Format = Format.JPEG
    quality: int = Field(default=84, ge=1, le=100)


def encode(pixels: Pixels, output: Output) -> bytes:
    """The bytes of a picture file, in sRGB, without metadata."""
    height, width = pixels.shape[:2]
    image = pyvips.Image.new_from_memory(pixels.data, width, height, 3, "uchar").copy(interpretation="srgb")
    encoded: bytes
    match output.format:
        case Format.JPEG:
            encoded = image.jpegsave_buffer(Q=output.quality, keep="none")
        case Format.PNG:
            encoded = image.pngsave_buffer(compression=4, filter="sub", keep="none")
        case Format.WEBP:
            encoded = image.webpsave_buffer(Q=output.quality, effort=2, keep="none")
        case Format.AVIF:
            encoded = image.heifsave_buffer(Q=round(output.quality * 0.75), compression="av1", effort=0, keep="none")
    return encoded

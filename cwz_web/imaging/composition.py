"""The pixels of an image with what is known of it, and the image file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.code_checks import RenderedCode, find_scan_problem
from cwz_web.imaging.compositing import (
    WHITE,
    Pixels,
    blend_patch,
    flatten,
    new_canvas,
    new_transparent_canvas,
    parse_color,
)
from cwz_web.imaging.effects import shrink
from cwz_web.imaging.encoders import Output, encode
from cwz_web.imaging.findings import Finding, FindingCode
from cwz_web.imaging.shapes import render_box
from cwz_web.imaging.styles import Gradient
from cwz_web.imaging.template_parts import Canvas


@dataclass(frozen=True)
class RenderedImage:
    """An image file, and what is wrong with the image."""

    data: bytes
    findings: tuple[Finding, ...] = ()

    @property
    def nbytes(self) -> int:
        """The size of the file in bytes."""
        return len(self.data)


@dataclass(frozen=True)
class Composition:
    """The pixels of an image (height, width, 4), and the findings and the codes of its layers.

    The fourth byte of a pixel is alpha if `has_alpha`; otherwise it is not used.
    """

    pixels: Pixels
    findings: tuple[Finding, ...] = ()
    codes: tuple[RenderedCode, ...] = ()
    has_alpha: bool = False

    @property
    def nbytes(self) -> int:
        """The size of the pixels in bytes."""
        return self.pixels.nbytes

    def encode(self, output: Output, width: int | None = None) -> bytes:
        """Encode the image, at most `width` pixels wide. Raises ImageTooLargeError."""
        pixels = shrink(self.pixels, width, has_alpha=self.has_alpha) if width else self.pixels
        return encode(pixels, output, has_alpha=self.has_alpha)

    def opaque_pixels(self) -> Pixels:
        """Return the pixels on white, as checks see them."""
        return flatten(self.pixels, WHITE) if self.has_alpha else self.pixels


def render_background(canvas: Canvas) -> Composition:
    """Render the background of a canvas, on white if it is a gradient."""
    if isinstance(canvas.background, Gradient):
        pixels = new_canvas(canvas.width, canvas.height, WHITE)
        blend_patch(pixels, render_box(0, 0, canvas.width, canvas.height, canvas.background))
        return Composition(pixels)
    color = parse_color(canvas.background)[0] if canvas.background else WHITE
    if canvas.opacity == 1:
        return Composition(new_canvas(canvas.width, canvas.height, color))
    pixels = new_transparent_canvas(canvas.width, canvas.height, color, canvas.opacity)
    return Composition(pixels, has_alpha=True)


def check_codes(codes: Iterable[RenderedCode], canvas: Pixels) -> Iterator[Finding]:
    """Yield the findings of codes in a finished image. A rotated code is not checked."""
    for code in codes:
        problem = None if code.is_rotated else find_scan_problem(code, canvas)
        if problem:
            yield Finding(
                FindingCode.UNSCANNABLE,
                gettext_lazy("cannot be scanned reliably: %(problem)s", problem=problem),
                code.layer,
            )

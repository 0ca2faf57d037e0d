"""Text: shaped, wrapped and drawn by Pango inside libvips, placed by the font's metrics.

libvips trims a text to its ink and tells the offset: with an absolute line height the offset is the same for lines with
and without descenders, so words do not dance from row to row. Text that does not fit gets smaller in steps down to the
layer's `min_size`, and is then cut with an ellipsis.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from html import escape

import numpy as np
import pyvips

from cwz_web.imaging.canvas import Patch, Pixels, faded, parse_colour
from cwz_web.imaging.documents import TextLayer

MAX_CHARACTERS = 2000
PANGO_SCALE = 1024
ELLIPSIS = "…"
ALIGNMENTS = {"start": "low", "centre": "centre", "end": "high"}

_control = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_joiners = {"\u200d", "\ufe0f", "\ufe0e"}


@dataclass(frozen=True)
class _Style:
    """What decides how a text looks, apart from its size: the part of a layer that drawn text is remembered by."""

    font: str
    weight: int
    line_height: float
    letter_spacing: float
    align: str
    width: int

    def line(self, size: float) -> float:
        """The height of a line, in pixels."""
        return self.line_height * size


@dataclass(frozen=True)
class _Drawn:
    """A text's ink: a mask and where its corner lies in the layout."""

    mask: Pixels
    left: int
    top: int

    @property
    def bottom(self) -> int:
        """Where the ink ends, below the layout's top."""
        return self.top + int(self.mask.shape[0])

    def lines(self, style: _Style, size: float) -> int:
        """How many lines the layout has. The ink ends around the last line's baseline, whatever the words are."""
        last = (self.bottom - _baseline(style, size)) / style.line(size)
        return max(round(last + 0.1), 0) + 1


def draw_text(layer: TextLayer, text: str) -> Patch | None:
    """The text as the layer shows it, or None when there is nothing to draw."""
    text = _clean(text)
    if not text:
        return None
    style = _Style(layer.font, layer.weight, layer.line_height, layer.letter_spacing, layer.align, layer.width)
    size, drawn = _fit(layer, style, text)
    if drawn is None:
        return None
    room = layer.height - drawn.lines(style, size) * style.line(size)
    down = {"top": 0.0, "middle": room / 2, "bottom": room}[layer.valign]
    colour, opacity = parse_colour(layer.colour)
    return Patch(
        layer.x + drawn.left, layer.y + drawn.top + round(down), colour, faded(drawn.mask, opacity * layer.opacity)
    )


def _fit(layer: TextLayer, style: _Style, text: str) -> tuple[int, _Drawn | None]:
    """The largest size at which the text fits, or the smallest with the text cut short."""

    def fits(text: str, size: int) -> bool:
        drawn = _draw(text, style, size)
        if drawn is None:
            return True
        lines = drawn.lines(style, size)
        # One line may be taller than its box: the box then only places it.
        return lines <= layer.max_lines and (lines == 1 or lines * style.line(size) <= layer.height + 1)

    smallest = min(layer.min_size or layer.size, layer.size)
    size = _largest(smallest, layer.size, lambda size: fits(text, size))
    if size is None:
        size = smallest
        ends = _cut_places(text)
        best = _largest(0, len(ends) - 1, lambda at: fits(text[: ends[at]].rstrip() + ELLIPSIS, smallest))
        text = text[: ends[best or 0]].rstrip() + ELLIPSIS
    return size, _draw(text, style, size)


def _largest(low: int, high: int, holds: Callable[[int], bool]) -> int | None:
    """The largest whole number from low to high for which the predicate holds, or None. The highest is tried first."""
    if high < low:
        return None
    if holds(high):
        return high
    best = None
    high -= 1
    while low <= high:
        middle = (low + high) // 2
        if holds(middle):
            best, low = middle, middle + 1
        else:
            high = middle - 1
    return best


@lru_cache(maxsize=512)
def _draw(text: str, style: _Style, size: float) -> _Drawn | None:
    """Pango's drawing of a text wrapped at the style's width."""
    spacing = f' letter_spacing="{round(style.letter_spacing * PANGO_SCALE)}"' if style.letter_spacing else ""
    # Above 1,024 Pango takes a line height as absolute, in 1,024ths of a point; at 72 dpi a point is a pixel.
    line = round(style.line(size) * PANGO_SCALE)
    markup = f'<span weight="{style.weight}" line_height="{line}"{spacing}>{escape(text)}</span>'
    try:
        image = pyvips.Image.text(
            markup,
            font=f"{style.font} {size}",
            dpi=72,
            width=style.width,
            wrap="word-char",
            align=ALIGNMENTS[style.align],
        )
    except pyvips.Error:  # only invisible characters: there is no ink
        return None
    mask = np.frombuffer(image.write_to_memory(), np.uint8).reshape(image.height, image.width)
    return _Drawn(mask, image.xoffset, image.yoffset)


@lru_cache(maxsize=1024)
def _baseline(style: _Style, size: float) -> int:
    """How far the first baseline lies below the layout's top, in pixels."""
    drawn = _draw("H", style, size)
    assert drawn is not None, "every font of ours has an H"
    return drawn.bottom


def _clean(text: str) -> str:
    """Plain text that Pango takes: no control characters, a bounded length, canonical composition."""
    text = unicodedata.normalize("NFC", text[:MAX_CHARACTERS].replace("\r\n", "\n").replace("\t", " "))
    return _control.sub("", text).strip()


def _cut_places(text: str) -> list[int]:
    """Where a text may be cut: never before a combining mark, nor inside an emoji that is joined of several."""
    return [
        at
        for at in range(len(text))
        if not unicodedata.combining(text[at]) and text[at] not in _joiners and (at == 0 or text[at - 1] != "\u200d")
    ]

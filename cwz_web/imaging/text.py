"""Text: shaped, wrapped and rendered by Pango (inside libvips), and positioned by the font's metrics.

libvips trims a text to its ink and reports the offset. With an absolute line height, the offset is the same for lines
with and without descenders, so that text has the same position in every row. Text that does not fit is reduced in steps
down to the layer's `min_size`, and is then cut with an ellipsis.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from math import ceil
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyvips

from cwz_web.imaging import filters
from cwz_web.imaging.compositing import RGB, Patch, Pixels, parse_color
from cwz_web.imaging.effects import outline, to_pixels
from cwz_web.imaging.fonts import REPLACEMENT, find_missing_characters, font_families, has_color_glyphs
from cwz_web.imaging.layers import MAX_SIDE, TextLayer
from cwz_web.imaging.shapes import render_box

T = TypeVar("T")

MAX_CHARACTERS = 2000
PANGO_SCALE = 1024
ELLIPSIS = "…"
# libvips' names of the alignments that are not its default.
ALIGNMENTS = {"center": "centre", "end": "high"}
CASES: dict[str, Callable[[str], str]] = {"none": str, "upper": str.upper, "lower": str.lower, "title": filters.title}
# A lower bound of the average width of a character, relative to the font size, for any script.
MIN_CHARACTER_WIDTH = 0.15
# A longer or larger text (characters * font size squared) is measured at a small font size before it is rendered.
LARGE_TEXT = 2_000_000
SAMPLE_LENGTH, SAMPLE_FONT_SIZE = 100, 12
# The measured width at the sample size can be larger than at other sizes, by rounding.
SAMPLE_TOLERANCE = 0.8

# Words of scripts that separate words by spaces: their font size is reduced before a word is broken.
_words = re.compile(r"[^\s/\u00ad\u200b\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2010-\u2015\u2e80-\U0010ffff-]+")
_control = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_joiners = {"\u200d", "\ufe0f", "\ufe0e"}


@dataclass(frozen=True)
class Typeface:
    """A font family, and the font file if it is an upload."""

    family: str
    file: Path | None = None


@dataclass(frozen=True)
class RenderedText:
    """A text as a layer shows it.

    Attributes:
        patches: the box, the outline and the letters, in this order; each of them is optional.
        font_size: the font size that fits, in pixels.
        is_cut: whether the end of the text is cut.
        missing: the characters that no font supports.
    """

    patches: tuple[Patch, ...]
    font_size: int
    is_cut: bool
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Style:
    """Everything but the font size that determines how a text is rendered."""

    typeface: Typeface
    weight: int
    italic: bool
    line_height: float
    letter_spacing: float
    align: str
    width: int
    color: RGB

    def line(self, size: float) -> float:
        """Return the height of a line in pixels."""
        return self.line_height * size


@dataclass(frozen=True)
class _RenderedGlyphs:
    """The visible pixels of a text.

    Attributes:
        mask: the coverage; empty if the text has only invisible characters.
        colors: the pixels of a text with color glyphs, otherwise None.
        left: the x offset in the layout.
        top: the y offset in the layout.
    """

    mask: Pixels
    colors: Pixels | None
    left: int
    top: int

    @property
    def bottom(self) -> int:
        """The y offset of the lower edge in the layout."""
        return self.top + int(self.mask.shape[0])

    def lines(self, style: _Style, size: float) -> int:
        """Return the number of lines. The ink always ends near the baseline of the last line."""
        last = (self.bottom - _baseline(style, size)) / style.line(size)
        return max(round(last + 0.1), 0) + 1


_NO_INK = _RenderedGlyphs(np.empty((0, 0), np.uint8), None, 0, 0)


def render_text(layer: TextLayer, text: str, typeface: Typeface | None = None) -> RenderedText:
    """Render the text of a layer.

    An empty text has no letters, and no box if the layer's box hugs the text.
    """
    typeface = typeface or Typeface(layer.font)
    text = CASES[layer.case](_clean(text))
    missing = find_missing_characters(typeface.family, text)
    for character in missing:
        text = text.replace(character, REPLACEMENT)
    color, opacity = parse_color(layer.color)
    width = max(layer.width - 2 * layer.padding, 1)
    style = _Style(
        typeface, layer.weight, layer.italic, layer.line_height, layer.letter_spacing, layer.align, width, color
    )
    size, is_cut, ink = _fit(layer, style, text) if text else (layer.size, False, _NO_INK)
    if not ink.mask.size:
        box = () if layer.hug else _render_box(layer, layer.left, layer.top, layer.width, layer.height)
        return RenderedText(box, size, is_cut, tuple(missing))
    height = ink.lines(style, size) * style.line(size)
    free = layer.height - 2 * layer.padding - height
    down = layer.padding + round({"top": 0.0, "middle": free / 2, "bottom": free}[layer.valign])
    x, y = layer.left + layer.padding + ink.left, layer.top + down + ink.top
    if layer.hug:
        box = _render_box(
            layer,
            x - layer.padding,
            layer.top + down - layer.padding,
            ink.mask.shape[1] + 2 * layer.padding,
            ceil(height) + 2 * layer.padding,
        )
    else:
        box = _render_box(layer, layer.left, layer.top, layer.width, layer.height)
    letters = Patch(x, y, color if ink.colors is None else ink.colors, ink.mask).faded(opacity)
    return RenderedText((*box, *_render_stroke(layer, x, y, ink.mask), letters), size, is_cut, tuple(missing))


def _render_stroke(layer: TextLayer, x: int, y: int, mask: Pixels) -> tuple[Patch, ...]:
    if not layer.stroke:
        return ()
    margin = ceil(layer.stroke.width)
    color, opacity = parse_color(layer.stroke.color)
    return (Patch(x - margin, y - margin, color, outline(mask, layer.stroke.width)).faded(opacity),)


def _render_box(layer: TextLayer, x: int, y: int, width: int, height: int) -> tuple[Patch, ...]:
    if layer.background is None and layer.border is None:
        return ()
    return (render_box(x, y, width, height, layer.background, layer.radius, layer.border),)


def _fit(layer: TextLayer, style: _Style, text: str) -> tuple[int, bool, _RenderedGlyphs]:
    """Return the largest font size at which the text fits, whether the text is cut, and its ink."""
    height = layer.height - 2 * layer.padding
    smallest = min(layer.min_size or layer.size, layer.size)

    def render_if_fits(text: str, size: int) -> _RenderedGlyphs | None:
        # A single line may be higher than its box.
        max_lines = max(min(layer.max_lines, int((height + 1) / style.line(size))), 1)
        if _min_lines(text, style, size) > max_lines:  # do not render what cannot fit: it could be huge
            return None
        if size > smallest and _breaks_word(text, style, size):
            return None
        ink = _render(text, style, size)
        return ink if not ink.mask.size or ink.lines(style, size) <= max_lines else None

    found = _find_largest(smallest, layer.size, lambda size: render_if_fits(text, size))
    if found is not None:
        size, ink = found
        return size, False, ink
    ends = _cut_positions(text)

    def cut(index: int) -> str:
        return text[: ends[index]].rstrip() + ELLIPSIS

    longest = _find_largest(0, len(ends) - 1, lambda index: render_if_fits(cut(index), smallest))
    return smallest, True, longest[1] if longest else _render(cut(0), style, smallest)


def _breaks_word(text: str, style: _Style, size: int) -> bool:
    """Return whether the longest word is wider than a line."""
    longest = max(_words.findall(text), key=len, default="")
    # Hardly any letter is wider than the font size.
    if len(longest) * max(size + style.letter_spacing, 1) < style.width:
        return False
    if _min_lines(longest, style, size) > 1:
        return True
    ink = _render(longest, replace(style, width=MAX_SIDE * 3, align="start"), size)
    # The ink is slightly narrower than the advance width that Pango wraps by.
    return bool(ink.mask.size) and ink.mask.shape[1] + size * 0.2 > style.width


def _min_lines(text: str, style: _Style, size: int) -> float:
    """Return a lower bound of the number of lines."""
    is_large = len(text) * size**2 > LARGE_TEXT
    width = _measure_character_width(text[:SAMPLE_LENGTH], style) if is_large else MIN_CHARACTER_WIDTH
    advance = max(size * width + min(style.letter_spacing, 0), size * width / 4)
    if len(text) * advance <= style.width and "\n" not in text:
        return 1
    return sum(max(_count_advancing(line) * advance / style.width, 1) for line in text.split("\n"))


def _count_advancing(text: str) -> int:
    """Count the characters that have an advance width."""
    return sum(not unicodedata.combining(character) and character not in _joiners for character in text)


def _measure_character_width(text: str, style: _Style) -> float:
    """Return a lower bound of the average character width, relative to the font size, measured at a small size."""
    sample = replace(style, width=MAX_SIDE, letter_spacing=0, align="start")
    ink = _render(text.replace("\n", " "), sample, SAMPLE_FONT_SIZE)
    if not ink.mask.size:
        return MIN_CHARACTER_WIDTH
    return int(ink.mask.shape[1]) / (max(_count_advancing(text), 1) * SAMPLE_FONT_SIZE) * SAMPLE_TOLERANCE


def _find_largest(low: int, high: int, attempt: Callable[[int], T | None]) -> tuple[int, T] | None:
    """Find the largest number from `low` to `high` for which `attempt` succeeds, by bisection.

    The highest number is tried first, since it usually succeeds.

    Returns:
        The number and the result of the attempt, or None if all attempts returned None.
    """
    if high < low:
        return None
    if (result := attempt(high)) is not None:
        return high, result
    best = None
    high -= 1
    while low <= high:
        middle = (low + high) // 2
        if (result := attempt(middle)) is not None:
            best, low = (middle, result), middle + 1
        else:
            high = middle - 1
    return best


def _render(text: str, style: _Style, size: float) -> _RenderedGlyphs:
    """Render a text with Pango, wrapped at the style's width."""
    # Pango takes a line height above 1,024 as absolute, in 1,024ths of a point; at 72 dpi a point is a pixel.
    attributes = f'weight="{style.weight}" line_height="{round(style.line(size) * PANGO_SCALE)}"'
    if style.letter_spacing:
        attributes += f' letter_spacing="{round(style.letter_spacing * PANGO_SCALE)}"'
    if style.italic:
        attributes += ' style="italic"'
    family = style.typeface.family
    in_color = has_color_glyphs(family, text)
    if in_color:
        attributes += f' foreground="#{bytes(style.color).hex()}"'
    # One string: setting each option separately takes a tenth of the rendering time.
    options = [f'font="{font_families(family, text)} {size}"', f"width={style.width}", "wrap=word-char"]
    options += [f"align={ALIGNMENTS[style.align]}"] if style.align in ALIGNMENTS else []
    options += ["justify"] if style.align == "justify" else []
    options += ["rgba"] if in_color else []
    file = {"fontfile": str(style.typeface.file)} if style.typeface.file else {}
    try:
        image = pyvips.Image.text(f"<span {attributes}>{escape(text)}</span>", string_options=",".join(options), **file)
    except pyvips.Error:  # raised for a text without any ink
        return _NO_INK
    pixels, left, top = to_pixels(image), image.get("xoffset"), image.get("yoffset")
    if in_color:
        return _RenderedGlyphs(pixels[..., 3].copy(), pixels, left, top)
    return _RenderedGlyphs(pixels, None, left, top)


@lru_cache(maxsize=1024)  # metrics of fonts, independent of the text
def _baseline(style: _Style, size: float) -> int:
    """Return the distance of the first baseline from the top of the layout, in pixels."""
    ink = _render("H", style, size)
    return (ink if ink.mask.size else _render(REPLACEMENT, style, size)).bottom


def _clean(text: str) -> str:
    """Return a text of limited length in canonical composition, without control characters."""
    text = unicodedata.normalize("NFC", text[:MAX_CHARACTERS].replace("\r\n", "\n").replace("\t", " "))
    return _control.sub("", text).strip()


def _cut_positions(text: str) -> list[int]:
    """Return where a text can be cut: not before combining marks and not inside joined emoji."""
    return [
        index
        for index, character in enumerate(text)
        if not unicodedata.combining(character)
        and character not in _joiners
        and not "\U0001f3fb" <= character <= "\U0001f3ff"
        and (index == 0 or text[index - 1] != "\u200d")
    ]

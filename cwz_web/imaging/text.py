"""Text: shaped, wrapped and rendered by Pango inside libvips, placed by the font's metrics.

libvips trims a text to its ink and tells the offset: with an absolute line height the offset is the same for lines with
and without descenders, so words do not dance from row to row. Text that does not fit gets smaller in steps down to the
layer's `min_size`, and is then cut with an ellipsis.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from math import ceil
from pathlib import Path

import pyvips

from cwz_web.imaging import filters
from cwz_web.imaging.byte_cache import remembered
from cwz_web.imaging.compositing import RGB, Patch, Pixels, parse_color
from cwz_web.imaging.effects import outline, to_pixels
from cwz_web.imaging.fonts import MISSING, families, holds_emoji, missing_characters
from cwz_web.imaging.layers import MAX_SIDE, TextLayer
from cwz_web.imaging.shapes import render_box

MAX_CHARACTERS = 2000
PANGO_SCALE = 1024
ELLIPSIS = "…"
ALIGNMENTS = {"center": "centre", "end": "high"}
CASES: dict[str, Callable[[str], str]] = {"none": str, "upper": str.upper, "lower": str.lower, "title": filters.title}
# No script is so narrow that its letters are on average less wide than this part of their size.
NARROWEST = 0.15
# From so many square pixels on, a text is measured small before it is rendered large.
LARGE_TEXT = 2_000_000
SAMPLE, SAMPLE_SIZE = 100, 12

# Words of scripts that put spaces between them: those are better made smaller than broken.
_words = re.compile(r"[^\s/\u00ad\u200b\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2010-\u2015\u2e80-\U0010ffff-]+")
_control = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_joiners = {"\u200d", "\ufe0f", "\ufe0e"}


@dataclass(frozen=True)
class Typeface:
    """The family that Pango is asked for, and the file of one that a workspace brought."""

    family: str
    file: Path | None = None


@dataclass(frozen=True)
class Lettering:
    """A text as a layer shows it, and what had to be done to it.

    Attributes:
        patches: the box behind it, its outline, its letters; in this order, as far as there are any.
        size: the size of the letters, in pixels.
        cut: whether the end of the text is missing.
        missing: the characters that no font has.
    """

    patches: tuple[Patch, ...]
    size: int
    cut: bool
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Style:
    """What decides how a text looks, apart from its size: the part of a layer that rendered text is remembered by."""

    typeface: Typeface
    weight: int
    italic: bool
    line_height: float
    letter_spacing: float
    align: str
    width: int
    color: RGB

    def line(self, size: float) -> float:
        """The height of a line, in pixels."""
        return self.line_height * size


@dataclass(frozen=True)
class _Rendered:
    """A text's ink: a mask, its colors if they are its own, and where its corner lies in the layout."""

    mask: Pixels
    colors: Pixels | None
    left: int
    top: int

    @property
    def nbytes(self) -> int:
        """How much memory the rendering holds."""
        return self.mask.nbytes + (self.colors.nbytes if self.colors is not None else 0)

    @property
    def bottom(self) -> int:
        """Where the ink ends, below the layout's top."""
        return self.top + int(self.mask.shape[0])

    def lines(self, style: _Style, size: float) -> int:
        """How many lines the layout has. The ink ends around the last line's baseline, whatever the words are."""
        last = (self.bottom - _baseline(style, size)) / style.line(size)
        return max(round(last + 0.1), 0) + 1


def render_text(layer: TextLayer, text: str, typeface: Typeface | None = None) -> Lettering:
    """The text as the layer shows it. An empty text has no letters, and with `hug` no box."""
    typeface = typeface or Typeface(layer.font)
    text = CASES[layer.case](_clean(text))
    missing = missing_characters(typeface.family, text)
    for character in missing:
        text = text.replace(character, MISSING)
    color, opacity = parse_color(layer.color)
    width = max(layer.width - 2 * layer.padding, 1)
    style = _Style(
        typeface, layer.weight, layer.italic, layer.line_height, layer.letter_spacing, layer.align, width, color
    )
    size, cut, rendered = _fit(layer, style, text) if text else (layer.size, False, None)
    if rendered is None:
        return Lettering((() if layer.hug else tuple(_box(layer))), size, cut, tuple(missing))
    height = rendered.lines(style, size) * style.line(size)
    room = layer.height - 2 * layer.padding - height
    down = layer.padding + round({"top": 0.0, "middle": room / 2, "bottom": room}[layer.valign])
    x, y = layer.left + layer.padding + rendered.left, layer.top + down + rendered.top
    ink = rendered.mask.shape[1]
    box = (
        x - layer.padding,
        layer.top + down - layer.padding,
        ink + 2 * layer.padding,
        ceil(height) + 2 * layer.padding,
    )
    patches = _box(layer, *box) if layer.hug else _box(layer)
    if layer.stroke:
        grown = ceil(layer.stroke.width)
        stroke_color, stroke_opacity = parse_color(layer.stroke.color)
        rim = outline(rendered.mask, layer.stroke.width)
        patches.append(Patch(x - grown, y - grown, stroke_color, rim).faded(stroke_opacity))
    letters = Patch(x, y, color if rendered.colors is None else rendered.colors, rendered.mask)
    return Lettering((*patches, letters.faded(opacity)), size, cut, tuple(missing))


def _box(layer: TextLayer, *place: int) -> list[Patch]:
    """The box behind the text: at a place (x, y, width, height), or the layer's own."""
    if layer.background is None and layer.border is None:
        return []
    x, y, width, height = place or (layer.left, layer.top, layer.width, layer.height)
    # Rendered at (0, 0) and moved, so that a box is remembered by its look.
    return [render_box(0, 0, width, height, layer.background, layer.radius, layer.border).moved(x, y)]


def _fit(layer: TextLayer, style: _Style, text: str) -> tuple[int, bool, _Rendered | None]:
    """The largest size at which the text fits, or the smallest with the text cut short."""
    height = layer.height - 2 * layer.padding

    def fits(text: str, size: int) -> bool:
        # One line may be taller than its box: the box then only places it.
        most = max(min(layer.max_lines, int((height + 1) / style.line(size))), 1)
        if _least_lines(text, style, size) > most:  # never render what cannot fit: it might be huge
            return False
        if size > smallest and _breaks_a_word(text, style, size):
            return False
        rendered = _render(text, style, size)
        return rendered is None or rendered.lines(style, size) <= most

    smallest = min(layer.min_size or layer.size, layer.size)
    size = _largest(smallest, layer.size, lambda size: fits(text, size))
    if size is not None:
        return size, False, _render(text, style, size)
    ends = _cut_places(text)
    best = _largest(0, len(ends) - 1, lambda at: fits(text[: ends[at]].rstrip() + ELLIPSIS, smallest))
    return smallest, True, _render(text[: ends[best or 0]].rstrip() + ELLIPSIS, style, smallest)


def _breaks_a_word(text: str, style: _Style, size: int) -> bool:
    """Whether the longest word is wider than a line."""
    longest = max(_words.findall(text), key=len, default="")
    if (
        len(longest) * max(size + style.letter_spacing, 1) < style.width
    ):  # no letter is wider than it is high, or hardly
        return False
    if _least_lines(longest, style, size) > 1:
        return True
    rendered = _render(longest, replace(style, width=MAX_SIDE * 3, align="start"), size)
    # The ink is a little narrower than the room that Pango gives it.
    return rendered is not None and rendered.mask.shape[1] + size * 0.2 > style.width


def _least_lines(text: str, style: _Style, size: int) -> float:
    """A number of lines that the text cannot go below."""
    letter = _letter_width(text[:SAMPLE], style) if len(text) * size**2 > LARGE_TEXT else NARROWEST
    advance = max(size * letter + min(style.letter_spacing, 0), size * letter / 4)
    if len(text) * advance <= style.width and "\n" not in text:
        return 1
    return sum(max(_letters(line) * advance / style.width, 1) for line in text.split("\n"))


def _letters(text: str) -> int:
    """How many letters a text has that take up room."""
    return sum(not unicodedata.combining(character) and character not in _joiners for character in text)


def _letter_width(text: str, style: _Style) -> float:
    """How wide a text's letters are at least, compared with their size: measured on the text itself, but small."""
    rendered = _render(
        text.replace("\n", " "), replace(style, width=MAX_SIDE, letter_spacing=0, align="start"), SAMPLE_SIZE
    )
    return rendered.mask.shape[1] / (max(_letters(text), 1) * SAMPLE_SIZE) * 0.8 if rendered else NARROWEST


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


@remembered(48 * 1024 * 1024)
def _render(text: str, style: _Style, size: float) -> _Rendered | None:
    """Pango's rendering of a text wrapped at the style's width."""
    # Above 1,024 Pango takes a line height as absolute, in 1,024ths of a point; at 72 dpi a point is a pixel.
    attributes = f'weight="{style.weight}" line_height="{round(style.line(size) * PANGO_SCALE)}"'
    if style.letter_spacing:
        attributes += f' letter_spacing="{round(style.letter_spacing * PANGO_SCALE)}"'
    if style.italic:
        attributes += ' style="italic"'
    family = style.typeface.family
    in_color = holds_emoji(family, text)
    if in_color:
        attributes += f' foreground="#{bytes(style.color).hex()}"'
    # As one string: to set each option by itself takes a tenth of the time of the whole rendering.
    options = [f'font="{families(family, text)} {size}"', f"width={style.width}", "wrap=word-char"]
    options += [f"align={ALIGNMENTS[style.align]}"] if style.align in ALIGNMENTS else []
    options += ["justify"] if style.align == "justify" else []
    options += ["rgba"] if in_color else []
    file = {"fontfile": str(style.typeface.file)} if style.typeface.file else {}
    try:
        image = pyvips.Image.text(f"<span {attributes}>{escape(text)}</span>", string_options=",".join(options), **file)
    except pyvips.Error:  # only invisible characters: there is no ink
        return None
    pixels, left, top = to_pixels(image), image.get("xoffset"), image.get("yoffset")
    if in_color:
        return _Rendered(pixels[..., 3].copy(), pixels, left, top)
    return _Rendered(pixels, None, left, top)


@lru_cache(maxsize=1024)
def _baseline(style: _Style, size: float) -> int:
    """How far the first baseline lies below the layout's top, in pixels."""
    rendered = _render("H", style, size) or _render(MISSING, style, size)
    assert rendered is not None, "the fallbacks have this sign"
    return rendered.bottom


def _clean(text: str) -> str:
    """Plain text that Pango takes: no control characters, a bounded length, canonical composition."""
    text = unicodedata.normalize("NFC", text[:MAX_CHARACTERS].replace("\r\n", "\n").replace("\t", " "))
    return _control.sub("", text).strip()


def _cut_places(text: str) -> list[int]:
    """Where a text may be cut: never before a combining mark, nor inside an emoji that is joined of several."""
    return [
        at
        for at in range(len(text))
        if not unicodedata.combining(text[at])
        and text[at] not in _joiners
        and not "\U0001f3fb" <= text[at] <= "\U0001f3ff"
        and (at == 0 or text[at - 1] != "\u200d")
    ]

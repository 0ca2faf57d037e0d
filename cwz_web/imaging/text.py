"""Text: shaped, wrapped and rendered by Pango (inside libvips), and positioned by the font's metrics.

libvips trims a text to its ink and reports the offset. With an absolute line height, the offset is the same for lines
with and without descenders, so that text has the same position in every row. Text that does not fit is reduced in steps
down to the layer's `min_size`, and is then cut with an ellipsis. What Pango lacks is marked in the text beforehand
(`line_breaking.py`), or is done by markup (`text_markup.py`).
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil
from pathlib import Path

import numpy as np
import pyvips

from cwz_web.imaging.bisection import find_largest
from cwz_web.imaging.casing import change_case
from cwz_web.imaging.compositing import RGB, Patch, Pixels, parse_color
from cwz_web.imaging.effects import outline, to_pixels
from cwz_web.imaging.fonts import REPLACEMENT, find_missing_characters, font_families, has_color_glyphs
from cwz_web.imaging.layers import MAX_SIDE, TextLayer
from cwz_web.imaging.line_breaking import MARKS, SOFT_HYPHEN, character_ends, mark_breaks, mark_hyphens
from cwz_web.imaging.shapes import render_box
from cwz_web.imaging.text_markup import PANGO_SCALE, build_markup, deepest_ink

MAX_CHARACTERS = 2000
ELLIPSIS = "…"
# libvips' names of the alignments that are not its default.
ALIGNMENTS = {"center": "centre", "end": "high"}
# The marks that give a paragraph a direction, whatever its first letter is (Unicode Standard Annex 9).
DIRECTIONS = {"auto": "", "ltr": "\u200e", "rtl": "\u200f"}
# A lower bound of the average width of a character, relative to the font size, for any script.
MIN_CHARACTER_WIDTH = 0.15
# A longer or larger text (characters * font size squared) is measured at a small font size before it is rendered.
LARGE_TEXT = 2_000_000
SAMPLE_LENGTH, SAMPLE_FONT_SIZE = 100, 12
# The measured width at the sample size can be larger than at other sizes, by rounding.
SAMPLE_TOLERANCE = 0.8
# Lines are counted by their ink if no letter of the last line extends below the baseline by more than this part of a
# line; otherwise by rendering the text again with this line height.
MAX_DEPTH, SPREAD_LINE_HEIGHT = 0.38, 2.0
# The highest and deepest letters of Latin, Greek and Cyrillic texts.
TALL_LETTERS, DEEP_LETTERS = "Hgjp", "gjpqy,;()@ŞĘĶ"

# Words of scripts that separate words by spaces: their font size is reduced before a word is broken.
_words = re.compile(r"[^\s/\u00ad\u200b\u2010-\u2015\u2e80-\ua4cf\uf900-\ufaff\uff00-\uffef\U00010000-\U0010ffff-]+")
# Mandatory breaks (Unicode Standard Annex 14, BK, CR, LF and NL).
_line_break = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_control = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_simple = re.compile(r"[\x00-\u058f\u1e00-\u1fff\u2000-\u2bff\u2e00-\u2e7f]*\Z")
_without_width = {"\u200d", "\ufe0f", "\ufe0e", *MARKS, *DIRECTIONS.values()}
_removed_before_ellipsis = " \n\t\u00a0\u3000" + MARKS


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
        is_too_high: whether a line is higher than the box.
        is_too_long: whether the text has more than MAX_CHARACTERS, and is cut for that.
    """

    patches: tuple[Patch, ...]
    font_size: int
    is_cut: bool
    missing: tuple[str, ...] = ()
    is_too_high: bool = False
    is_too_long: bool = False


@dataclass(frozen=True)
class TextStyle:
    """Everything but the font size that determines how a text is rendered."""

    typeface: Typeface
    weight: int
    italic: bool
    line_height: float
    letter_spacing: float
    align: str
    width: int
    color: RGB
    language: str | None = None

    def line(self, size: float) -> float:
        """Return the height of a line in pixels."""
        return self.line_height * size


@dataclass(frozen=True)
class RenderedGlyphs:
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

    def lines(self, style: TextStyle, size: float) -> int:
        """Return the number of lines. The ink always ends near the baseline of the last line."""
        last = (self.bottom - _baseline(style, size)) / style.line(size)
        return max(round(last + 0.5 - MAX_DEPTH), 0) + 1


NO_INK = RenderedGlyphs(np.empty((0, 0), np.uint8), None, 0, 0)


@dataclass(frozen=True)
class FittedText:
    """A text as it fits a box, before it has a position.

    Attributes:
        style: how it is rendered, except for the font size.
        font_size: the font size that fits, in pixels.
        ink: its visible pixels.
        lines: the number of its lines; none without ink.
        is_cut: whether the end of the text is cut.
        missing: the characters that no font supports.
        is_too_high: whether a line is higher than the box.
        is_too_long: whether the text has more than MAX_CHARACTERS, and is cut for that.
    """

    style: TextStyle
    font_size: int
    ink: RenderedGlyphs
    lines: int
    is_cut: bool = False
    missing: tuple[str, ...] = ()
    is_too_high: bool = False
    is_too_long: bool = False

    @property
    def nbytes(self) -> int:
        """The size of the pixels in bytes."""
        return self.ink.mask.nbytes + (0 if self.ink.colors is None else self.ink.colors.nbytes)

    @property
    def height(self) -> float:
        """The height of the lines in pixels, without padding."""
        return self.lines * self.style.line(self.font_size)

    @property
    def natural_width(self) -> int:
        """The width that the lines need at least to be rendered alike, in pixels, without padding."""
        if not self.ink.mask.size:
            return 0
        left, right = self._room
        return self.style.width - round({0.0: right, 0.5: 2 * min(left, right), 1.0: left}[self.side])

    @property
    def side(self) -> float:
        """Where the lines are if there is more room: 0 on the left, 0.5 in the middle, 1 on the right."""
        if self.style.align == "center":
            return 0.5
        # Lines start on the left or on the right, by the direction of their letters.
        left, right = self._room
        return 0.0 if left <= right else 1.0

    @property
    def _room(self) -> tuple[int, int]:
        """The room on the left and on the right of the ink, in pixels."""
        return self.ink.left, self.style.width - self.ink.left - int(self.ink.mask.shape[1])

    @property
    def baseline(self) -> int:
        """The distance of the first baseline from the top of the first line, in pixels."""
        return _baseline(self.style, self.font_size)


def render_text(layer: TextLayer, texts: Sequence[str], typefaces: Mapping[str, Typeface]) -> RenderedText:
    """Render the text of a layer.

    An empty text has no letters, and no box if the layer's box hugs the text.

    Args:
        texts: the resolved text of each of the layer's bound texts.
        typefaces: the typeface of each of the layer's fonts.
    """
    fitted = fit_text(layer, texts, typefaces, layer.width, layer.height)
    return place_text(layer, fitted, layer.left, layer.top, layer.width, layer.height)


def fit_text(
    layer: TextLayer, texts: Sequence[str], typefaces: Mapping[str, Typeface], width: int, height: int
) -> FittedText:
    """Fit the text of a layer into a box.

    Args:
        texts: the resolved text of each of the layer's bound texts.
        typefaces: the typeface of each of the layer's fonts.
        width: the width of the box in pixels, with padding.
        height: the height of the box in pixels, with padding.
    """
    typeface = typefaces[layer.font]
    text, is_too_long = _clean(texts[0])
    text = change_case(text, layer.case, layer.language)
    missing = find_missing_characters(typeface.family, text)
    for character in missing:
        text = text.replace(character, REPLACEMENT)
    style = TextStyle(
        typeface,
        layer.weight,
        layer.italic,
        layer.line_height,
        layer.letter_spacing,
        layer.align,
        max(width - 2 * layer.padding, 1),
        parse_color(layer.color)[0],
        layer.language,
    )
    box = _Box(layer, height - 2 * layer.padding)
    text, has_more_lines = _limit_lines(box, style, text)
    fitted = _fit(box, style, _mark(layer, text)) if text else FittedText(style, layer.size, NO_INK, 0)
    is_cut = fitted.is_cut or has_more_lines
    return replace(fitted, is_cut=is_cut, missing=tuple(missing), is_too_long=is_too_long)


def place_text(layer: TextLayer, fitted: FittedText, left: int, top: int, width: int, height: int) -> RenderedText:
    """Place a fitted text in a box of the canvas, which can have another width than the one that it was fitted to.

    Args:
        left: the x coordinate of the box.
        top: the y coordinate of the box.
        width: the width of the box in pixels, with padding.
        height: the height of the box in pixels, with padding.
    """
    ink, padding = fitted.ink, layer.padding
    rendered = RenderedText((), fitted.font_size, fitted.is_cut, fitted.missing, fitted.is_too_high, fitted.is_too_long)
    if not ink.mask.size:
        box = () if layer.hug else _render_box(layer, left, top, width, height)
        return replace(rendered, patches=box)
    free = height - 2 * padding - fitted.height
    down = padding + round({"top": 0.0, "middle": free / 2, "bottom": free}[layer.valign])
    right = padding + round((max(width - 2 * padding, 1) - fitted.style.width) * fitted.side)
    x, y = left + right + ink.left, top + down + ink.top
    if layer.hug:
        hugged = ink.mask.shape[1] + 2 * padding, ceil(fitted.height) + 2 * padding
        box = _render_box(layer, x - padding, top + down - padding, *hugged)
    else:
        box = _render_box(layer, left, top, width, height)
    color, opacity = parse_color(layer.color)
    letters = Patch(x, y, color if ink.colors is None else ink.colors, ink.mask).faded(opacity)
    return replace(rendered, patches=(*box, *_render_stroke(layer, x, y, ink.mask), letters))


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


@dataclass(frozen=True)
class _Box:
    """The layer of a text, and the height that its lines have."""

    layer: TextLayer
    height: int

    @property
    def smallest_size(self) -> int:
        """The smallest font size in pixels."""
        return min(self.layer.min_size or self.layer.size, self.layer.size)

    def max_lines(self, style: TextStyle, size: int) -> int:
        """Return how many lines of a font size there is room for."""
        return max(min(self.layer.max_lines, int((self.height + 1) / style.line(size))), 1)


def _limit_lines(box: _Box, style: TextStyle, text: str) -> tuple[str, bool]:
    """Cut a text that has more line breaks than lines, which no font size could change. Return whether it is cut."""
    lines, max_lines = text.split("\n"), box.max_lines(style, box.smallest_size)
    if len(lines) <= max_lines:
        return text, False
    return "\n".join(lines[:max_lines]).rstrip(_removed_before_ellipsis) + ELLIPSIS, True


def _mark(layer: TextLayer, text: str) -> str:
    """Mark line breaks, hyphens and the direction of a text, by characters without a width."""
    text = mark_breaks(text)
    if layer.hyphens == "auto" and layer.language:
        text = mark_hyphens(text, layer.language)
    mark = DIRECTIONS[layer.direction]
    return mark + text.replace("\n", f"\n{mark}")


def _fit(box: _Box, style: TextStyle, text: str) -> FittedText:
    """Return the text at the largest font size at which it fits, or cut at the smallest one."""
    height, smallest = box.height, box.smallest_size

    def render_if_fits(text: str, size: int) -> FittedText | None:
        max_lines = box.max_lines(style, size)
        if _min_lines(text, style, size) > max_lines:  # do not render what cannot fit: it could be huge
            return None
        if size > smallest and _breaks_word(text, style, size):
            return None
        ink = _render(text, style, size)
        lines = _count_lines(text, style, size, ink)
        is_high = style.line(size) > height + 1
        # All rows shrink alike, but only a row whose own letters do not fit has a finding.
        if lines > max_lines or (is_high and size > smallest and _letter_height(style, size) > height + 1):
            return None
        is_too_high = is_high and ink.mask.shape[0] > height + 1
        return None if is_too_high and size > smallest else FittedText(style, size, ink, lines, is_too_high=is_too_high)

    found = find_largest(smallest, box.layer.size, lambda size: render_if_fits(text, size))
    if found is not None:
        return found[1]
    ends = [0, *character_ends(text)[:-1]]

    def cut(index: int) -> str:
        return text[: ends[index]].rstrip(_removed_before_ellipsis) + ELLIPSIS

    longest = find_largest(0, len(ends) - 1, lambda index: render_if_fits(cut(index), smallest))
    fit = longest[1] if longest else FittedText(style, smallest, _render(cut(0), style, smallest), 1)
    return replace(fit, is_cut=True)


def _count_lines(text: str, style: TextStyle, size: int, ink: RenderedGlyphs) -> int:
    """Count the lines of a rendered text; a text without ink has none."""
    if not ink.mask.size:
        return 0
    if _depth(text, style) <= MAX_DEPTH * style.line_height:
        return ink.lines(style, size)
    spread = replace(style, line_height=SPREAD_LINE_HEIGHT)
    return _render(text, spread, size).lines(spread, size)


def _depth(text: str, style: TextStyle) -> float:
    """Return how far the letters of a text can extend below the baseline, relative to the font size."""
    if _simple.match(text):
        return _latin_depth(style)
    return deepest_ink(style.typeface.family, text)


def _breaks_word(text: str, style: TextStyle, size: int) -> bool:
    """Return whether the longest word is wider than a line."""
    longest = max(_words.findall(text), key=len, default="")
    # Hardly any letter is wider than the font size.
    if len(longest) * (size + max(style.letter_spacing, 0)) < style.width:
        return False
    if _min_lines(longest, style, size) > 1:
        return True
    ink = _render(longest, replace(style, width=MAX_SIDE * 3, align="start"), size)
    # The ink is slightly narrower than the advance width that Pango wraps by.
    return bool(ink.mask.size) and ink.mask.shape[1] + size * 0.2 > style.width


def _min_lines(text: str, style: TextStyle, size: int) -> float:
    """Return a lower bound of the number of lines."""
    is_large = len(text) * size**2 > LARGE_TEXT
    width = _measure_character_width(text[:SAMPLE_LENGTH], style) if is_large else MIN_CHARACTER_WIDTH
    advance = max(size * width + min(style.letter_spacing, 0), size * width / 4)
    if len(text) * advance <= style.width and "\n" not in text:
        return 1
    return sum(max(_count_advancing(line) * advance / style.width, 1) for line in text.split("\n"))


def _count_advancing(text: str) -> int:
    """Count the characters that have an advance width."""
    return sum(not unicodedata.combining(character) and character not in _without_width for character in text)


def _measure_character_width(text: str, style: TextStyle) -> float:
    """Return a lower bound of the average character width, relative to the font size, measured at a small size."""
    sample = replace(style, width=MAX_SIDE, letter_spacing=0, align="start")
    ink = _render(text.replace("\n", " "), sample, SAMPLE_FONT_SIZE)
    if not ink.mask.size:
        return MIN_CHARACTER_WIDTH
    return int(ink.mask.shape[1]) / (max(_count_advancing(text), 1) * SAMPLE_FONT_SIZE) * SAMPLE_TOLERANCE


def _render(text: str, style: TextStyle, size: float) -> RenderedGlyphs:
    """Render a text with Pango, wrapped at the style's width."""
    # Pango takes a line height above 1,024 as absolute, in 1,024ths of a point; at 72 dpi a point is a pixel.
    attributes = f'weight="{style.weight}" line_height="{round(style.line(size) * PANGO_SCALE)}"'
    if style.italic:
        attributes += ' style="italic"'
    if style.language:
        attributes += f' lang="{style.language}"'
    if SOFT_HYPHEN not in text:
        # Where a word does not fit a line, Pango would insert a hyphen at any letter.
        attributes += ' insert_hyphens="false"'
    family = style.typeface.family
    in_color = has_color_glyphs(family, text)
    if in_color:
        attributes += f' foreground="#{bytes(style.color).hex()}"'
    # One string: setting each option separately takes a tenth of the rendering time.
    options = [f'font="{font_families(family, text, style.language)} {size}"', f"width={style.width}", "wrap=word-char"]
    options += [f"align={ALIGNMENTS[style.align]}"] if style.align in ALIGNMENTS else []
    options += ["justify"] if style.align == "justify" else []
    options += ["rgba"] if in_color else []
    file = {"fontfile": str(style.typeface.file)} if style.typeface.file else {}
    try:
        markup = build_markup(text, family, size, style.line(size), style.letter_spacing)
        image = pyvips.Image.text(f"<span {attributes}>{markup}</span>", string_options=",".join(options), **file)
    except pyvips.Error:  # raised for a text without any ink
        return NO_INK
    pixels, left, top = to_pixels(image), image.get("xoffset"), image.get("yoffset")
    if in_color:
        return RenderedGlyphs(pixels[..., 3].copy(), pixels, left, top)
    return RenderedGlyphs(pixels, None, left, top)


@lru_cache(maxsize=1024)  # metrics of fonts, independent of the text
def _baseline(style: TextStyle, size: float) -> int:
    """Return the distance of the first baseline from the top of the layout, in pixels."""
    ink = _render("H", style, size)
    return (ink if ink.mask.size else _render(REPLACEMENT, style, size)).bottom


@lru_cache(maxsize=1024)  # metrics of fonts, independent of the text
def _letter_height(style: TextStyle, size: float) -> int:
    """Return the height of the highest and deepest Latin letters, in pixels."""
    return int(_render(TALL_LETTERS, replace(style, width=MAX_SIDE), size).mask.shape[0])


@lru_cache(maxsize=1024)  # metrics of fonts, independent of the text
def _latin_depth(style: TextStyle) -> float:
    """Return how far Latin letters extend below the baseline, relative to the font size."""
    size = 100
    wide = replace(style, width=MAX_SIDE, letter_spacing=0, line_height=SPREAD_LINE_HEIGHT)
    return (_render(DEEP_LETTERS, wide, size).bottom - _baseline(wide, size)) / size


def _clean(text: str) -> tuple[str, bool]:
    """Return a text of limited length in canonical composition, without control characters, and whether it is cut."""
    is_too_long = len(text) > MAX_CHARACTERS
    text = _line_break.sub("\n", text[: MAX_CHARACTERS + 1]).replace("\t", " ")
    text = _control.sub("", unicodedata.normalize("NFC", text)).strip()
    if is_too_long:
        end = max((end for end in character_ends(text) if end < MAX_CHARACTERS), default=0)
        text = text[:end].rstrip() + ELLIPSIS
    return text, is_too_long

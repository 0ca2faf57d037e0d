"""Fitting of texts: cleaned, wrapped, and reduced in steps until they fit a box.

Text that does not fit at the layer's `min_size` is cut with an ellipsis.
"""

import re
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.bisection import find_largest
from cwz_web.imaging.casing import change_case
from cwz_web.imaging.compositing import parse_color
from cwz_web.imaging.document_parts import MAX_SIDE
from cwz_web.imaging.errors import ImageTooLargeError
from cwz_web.imaging.fonts import REPLACEMENT, find_missing_characters
from cwz_web.imaging.glyphs import (
    NO_INK,
    RenderedGlyphs,
    TextStyle,
    measure_baseline,
    measure_letters,
    render_glyphs,
)
from cwz_web.imaging.line_breaking import MARKS, can_hyphenate, character_ends, mark_breaks, mark_hyphens
from cwz_web.imaging.paragraphs import count_lines, find_indent, render_text_glyphs
from cwz_web.imaging.text_layers import TextLayer
from cwz_web.imaging.text_runs import (
    Run,
    Typeface,
    change_text,
    join_spans,
    keep_characters,
    move_to_marked,
    split_runs,
)

MAX_CHARACTERS = 2000
# Texts in larger boxes take gigabytes.
MAX_BOX_PIXELS = 100_000_000
FIT_SECONDS = 5.0
ELLIPSIS = "…"
# The marks that give a paragraph a direction, whatever its first letter is (Unicode Standard Annex 9).
DIRECTIONS = {"auto": "", "ltr": "\u200e", "rtl": "\u200f"}
# A lower bound of the average width of a character, relative to the font size, for any script.
MIN_CHARACTER_WIDTH = 0.15
# A longer or larger text (characters * font size squared) is measured at a small font size before it is rendered.
LARGE_TEXT = 2_000_000
SAMPLE_LENGTH, SAMPLE_FONT_SIZE = 100, 12
# Pixels of a box from which on it is worth guessing where its text is cut.
LARGE_BOX = 1_000_000
# The measured width at the sample size can be larger than at other sizes, by rounding.
SAMPLE_TOLERANCE = 0.8
# By how much the width of a text is reduced at a time to balance its lines, relative to the font size.
BALANCE_STEP = 0.25
# Words of scripts that separate words by spaces: their font size is reduced before a word is broken.
_words = re.compile(r"[^\s/\u00ad\u200b\u2010-\u2015\u2e80-\ua4cf\uf900-\ufaff\uff00-\uffef\U00010000-\U0010ffff-]+")
# Mandatory breaks (Unicode Standard Annex 14, BK, CR, LF and NL).
_line_break = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_control = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_without_width = {"\u200d", "\ufe0f", "\ufe0e", *MARKS, *DIRECTIONS.values()}
_removed_before_ellipsis = " \n\t\u00a0\u3000" + MARKS


@dataclass(frozen=True)
class FittedText:
    """A text as it fits a box, before it has a position.

    Attributes:
        style: how it is rendered, except for the font size.
        font_size: the font size that fits, in pixels.
        text: the text as it is rendered: marked and cut.
        ink: its visible pixels.
        lines: the number of its lines; none without ink.
        is_cut: whether the end of the text is cut.
        missing: the characters that no font supports.
        is_too_high: whether a line is higher than the box.
        is_too_long: whether the text has more than MAX_CHARACTERS, and is cut for that.
        narrowed: by how much the balanced lines are narrower than the width that the text was fitted to.
        shift: how far the balanced lines are to the right in that width.
    """

    style: TextStyle
    font_size: int
    text: str
    ink: RenderedGlyphs
    lines: int
    is_cut: bool = False
    missing: tuple[str, ...] = ()
    is_too_high: bool = False
    is_too_long: bool = False
    narrowed: int = 0
    shift: int = 0

    @property
    def width(self) -> int:
        """The width that the text was fitted to in pixels, without padding."""
        return self.style.width + self.narrowed

    @property
    def nbytes(self) -> int:
        """The size of the pixels in bytes."""
        return self.ink.mask.nbytes + (0 if self.ink.colors is None else self.ink.colors.nbytes)

    @property
    def height(self) -> float:
        """The height of the lines in pixels, without padding."""
        line = self.style.line(self.font_size)
        return self.ink.line_tops[-1] + line if self.ink.line_tops else self.lines * line

    def line_number(self, number: int) -> float:
        """Return where a line begins in the layout, relative to the height of a line."""
        return self.ink.line_tops[number] / self.style.line(self.font_size) if self.ink.line_tops else number

    @property
    def natural_width(self) -> int:
        """The width that the lines need at least to be rendered alike, in pixels, without padding."""
        if not self.ink.mask.size:
            return 0
        left, right = self._room
        return self.width - round({0.0: right, 0.5: 2 * min(left, right), 1.0: left}[self.side])

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
        left = self.ink.left + self.shift
        return left, self.width - left - int(self.ink.mask.shape[1])

    @cached_property
    def baseline(self) -> int:
        """The distance of the first baseline from the top of the first line, in pixels."""
        return measure_baseline(self.style.base, self.font_size)


def fit_text(
    layer: TextLayer, texts: Sequence[str], typefaces: Mapping[str, Typeface], width: int, height: int
) -> FittedText:
    """Fit the text of a layer into a box.

    Args:
        texts: the resolved text of each of the layer's bound texts.
        typefaces: the typeface of each of the layer's fonts.
        width: the width of the box in pixels, with padding.
        height: the height of the box in pixels, with padding.

    Raises:
        ImageTooLargeError: the box is larger than any image.
        RenderTimeoutError: fitting the text takes too long.
    """
    if width * height > MAX_BOX_PIXELS:
        limit = MAX_BOX_PIXELS // 10**6
        raise ImageTooLargeError(
            gettext_lazy(
                "The box of the text “%(name)s” has more than %(max)s million pixels", name=layer.name, max=limit
            )
        )
    text, runs = join_spans(layer, texts, typefaces)
    text, runs, is_too_long = _clean_runs(text, runs)
    text, runs = change_text(text, runs, lambda part: change_case(part, layer.case, layer.language))
    runs = keep_characters(text, runs)
    text, missing = _replace_missing(text, runs, typefaces[layer.font].family)
    style = _style(layer, typefaces[layer.font], runs, max(width - 2 * layer.padding, 1))
    if layer.list_style == "bullets":
        bullet, missing_bullets = _replace_missing(_clean(layer.bullet)[0], (), typefaces[layer.font].family)
        style, missing = replace(style, bullet=bullet), [*missing, *missing_bullets]
    box = _Box(layer, height - 2 * layer.padding, time.monotonic() + FIT_SECONDS)
    text, has_more_lines = _limit_lines(box, style, text)
    marked = _mark(layer, text)
    style = replace(style, runs=move_to_marked(runs, text, marked)) if runs else style
    fitted = _fit(box, style, marked) if text else FittedText(style, layer.size, "", NO_INK, 0)
    is_cut = fitted.is_cut or has_more_lines
    if layer.balance and not is_cut and fitted.lines > 1 and layer.align != "justify":
        fitted = _balance(fitted, box.deadline)
    return replace(fitted, is_cut=is_cut, missing=tuple(missing), is_too_long=is_too_long)


def _style(layer: TextLayer, typeface: Typeface, runs: tuple[Run, ...], width: int) -> TextStyle:
    colors = {run.style.color for run in runs} or {layer.color}
    # A text in one color is a mask; in several, each run has its color in the rendered pixels.
    color, opacity = parse_color(colors.pop()) if len(colors) == 1 else (parse_color(layer.color)[0], 1.0)
    return TextStyle(
        typeface,
        layer.weight,
        layer.italic,
        layer.line_height,
        layer.letter_spacing,
        layer.align,
        width,
        color,
        layer.language,
        opacity,
        max((run.style.scale for run in runs), default=1),
        runs,
        layer.figures == "tabular",
        paragraph_gap=layer.paragraph_gap,
        list_style=layer.list_style,
    )


def _replace_missing(text: str, runs: tuple[Run, ...], family: str) -> tuple[str, list[str]]:
    """Return the text with U+FFFD in the place of characters that no font supports, and these characters."""
    if not runs:
        missing = find_missing_characters(family, text)
        for character in missing:
            text = text.replace(character, REPLACEMENT)
        return text, missing
    parts = [_replace_missing(part, (), style.typeface.family) for part, style in split_runs(text, runs)]
    return "".join(part for part, _ in parts), sorted({character for _, missing in parts for character in missing})


@dataclass(frozen=True)
class _Box:
    """The layer of a text, the height that its lines have, and the monotonic time until which they may be fitted."""

    layer: TextLayer
    height: int
    deadline: float

    @property
    def smallest_size(self) -> int:
        """The smallest font size in pixels."""
        if self.layer.fit in ("ellipsis", "clip"):
            return self.layer.size
        return min(self.layer.min_size or self.layer.size, self.layer.size)

    def max_lines(self, style: TextStyle, size: int, paragraphs: int = 1) -> int:
        """Return how many lines of a font size there is room for."""
        lines = (self.height - (paragraphs - 1) * style.gap(size) + 1) / style.line(size)
        # The last line of a clipped text can be visible in part.
        return max(min(self.layer.max_lines, ceil(lines) if self.layer.fit == "clip" else int(lines)), 1)

    @property
    def ending(self) -> str:
        """What a text that is cut ends with."""
        return "" if self.layer.fit == "clip" else ELLIPSIS


def _limit_lines(box: _Box, style: TextStyle, text: str) -> tuple[str, bool]:
    """Cut a text that has more line breaks than lines, which no font size could change. Return whether it is cut."""
    lines, max_lines = text.split("\n"), box.max_lines(style, box.smallest_size)
    if len(lines) <= max_lines:
        return text, False
    return "\n".join(lines[:max_lines]).rstrip(_removed_before_ellipsis) + box.ending, True


def _mark(layer: TextLayer, text: str) -> str:
    """Mark line breaks, hyphens and the direction of a text, by characters without a width."""
    text = mark_breaks(text)
    if layer.hyphens == "auto" and layer.language and can_hyphenate(layer.language):
        text = mark_hyphens(text, layer.language)
    mark = DIRECTIONS[layer.direction]
    return mark + text.replace("\n", f"\n{mark}")


def _fit(box: _Box, style: TextStyle, text: str) -> FittedText:
    """Return the text at the largest font size at which it fits, or cut at the smallest one."""
    height, smallest = box.height, box.smallest_size

    def render_if_fits(text: str, size: int) -> FittedText | None:
        max_lines = box.max_lines(style, size, text.count("\n") + 1)
        if _min_lines(text, style, size) > max_lines:  # do not render what cannot fit: it could be huge
            return None
        if size > smallest and _breaks_word(text, style, size):
            return None
        ink = render_text_glyphs(text, style, size)
        lines = count_lines(text, style, size, ink)
        is_high = style.line(size) > height + 1
        if is_high and size > box.layer.size:
            return None
        # All rows shrink alike, but only a row whose own letters do not fit has a finding.
        if lines > max_lines or (is_high and size > smallest and measure_letters(style.base, size) > height + 1):
            return None
        is_too_high = is_high and ink.mask.shape[0] > height + 1
        if is_too_high and size > smallest:
            return None
        return FittedText(style, size, text, ink, lines, is_too_high=is_too_high)

    found = find_largest(smallest, box.layer.largest_size, lambda size: render_if_fits(text, size), box.deadline)
    if found is not None:
        return found[1]
    ends = [0, *character_ends(text)[:-1]]

    def cut(index: int) -> str:
        return text[: ends[index]].rstrip(_removed_before_ellipsis) + box.ending

    longest = find_largest(
        0,
        len(ends) - 1,
        lambda index: render_if_fits(cut(index), smallest),
        box.deadline,
        _guess_end(box, style, len(ends), cut),
    )
    first = cut(0)
    fit = longest[1] if longest else FittedText(style, smallest, first, render_text_glyphs(first, style, smallest), 1)
    return replace(fit, is_cut=True)


def _guess_end(box: _Box, style: TextStyle, ends: int, cut: Callable[[int], str]) -> int | None:
    """Return about where a text in a large box is cut: where it would be if everything were small.

    Rendering a large text takes a tenth of a second, which an exact search would do ten times.

    Args:
        ends: how many ends the text can have.
        cut: returns the text up to one of them.
    """
    size = box.smallest_size
    if size <= SAMPLE_FONT_SIZE or style.width * box.height < LARGE_BOX:
        return None
    factor = SAMPLE_FONT_SIZE / size
    width = max(round(style.width * factor), 1)
    small = replace(style, width=width, letter_spacing=style.letter_spacing * factor)

    def fits(end: int) -> bool | None:
        text = cut(end)
        ink = render_text_glyphs(text, small, SAMPLE_FONT_SIZE)
        lines = count_lines(text, small, SAMPLE_FONT_SIZE, ink)
        return True if lines <= box.max_lines(style, size, text.count("\n") + 1) else None

    found = find_largest(0, ends - 1, fits, box.deadline)
    return found[0] if found else None


def _balance(fitted: FittedText, deadline: float) -> FittedText:
    """Return the text in the smallest width that keeps its number of lines, so that they are about as long."""
    style, size, text = fitted.style, fitted.font_size, fitted.text
    step = max(round(size * BALANCE_STEP), 1)

    def narrow(steps: int) -> FittedText | None:
        narrowed = replace(style, width=max(style.width - steps * step, 1))
        if steps and _breaks_word(text, narrowed, size):
            return None
        ink = render_text_glyphs(text, narrowed, size)
        if count_lines(text, narrowed, size, ink) > fitted.lines:
            return None
        shift = round(steps * step * fitted.side)
        return replace(fitted, style=narrowed, ink=ink, narrowed=steps * step, shift=shift)

    found = find_largest(0, round(style.width * (1 - 1 / fitted.lines)) // step, narrow, deadline)
    return found[1] if found else fitted


def _breaks_word(text: str, style: TextStyle, size: int) -> bool:
    """Return whether the longest word is wider than a line."""
    style = replace(style.plain, width=max(style.width - find_indent(text, style, size), 1))
    words = ((match[0], match.start()) for match in _words.finditer(text))
    longest, start = max(words, key=lambda word: _count_advancing(word[0], style, word[1]), default=("", 0))
    # Hardly any letter is wider than the font size.
    if len(longest) * (size * style.scale + max(style.letter_spacing, 0)) < style.width:
        return False
    style = replace(style, runs=tuple(replace(run, start=max(run.start - start, 0)) for run in style.runs))
    if _min_lines(longest, style, size) > 1:
        return True
    ink = render_glyphs(longest, replace(style, width=MAX_SIDE * 3, align="start"), size)
    # The ink is slightly narrower than the advance width that Pango wraps by.
    return bool(ink.mask.size) and ink.mask.shape[1] + size * 0.2 > style.width


def _min_lines(text: str, style: TextStyle, size: int) -> float:
    """Return a lower bound of the number of lines."""
    is_large = len(text) * (size * style.scale) ** 2 > LARGE_TEXT
    width = _measure_character_width(text[:SAMPLE_LENGTH], style) if is_large else MIN_CHARACTER_WIDTH
    advance = max(size * width + min(style.letter_spacing, 0), size * width / 4)
    if len(text) * advance * style.scale <= style.width and "\n" not in text:
        return 1
    lines, start = 0.0, 0
    for line in text.split("\n"):
        lines += max(_count_advancing(line, style, start) * advance / style.width, 1)
        start += len(line) + 1
    return lines


def _count_advancing(text: str, style: TextStyle, start: int = 0) -> float:
    """Count the characters that have an advance width; one in twice the font size counts as two."""
    if style.runs:
        parts = split_runs(text, style.runs, start)
        return sum(_count_advancing(part, style.base) * each.scale for part, each in parts)
    return sum(not unicodedata.combining(character) and character not in _without_width for character in text)


def _measure_character_width(text: str, style: TextStyle) -> float:
    """Return a lower bound of the average character width, relative to the font size, measured at a small size."""
    sample = replace(style.plain, width=MAX_SIDE, letter_spacing=0, align="start")
    ink = render_glyphs(text.replace("\n", " "), sample, SAMPLE_FONT_SIZE)
    if not ink.mask.size:
        return MIN_CHARACTER_WIDTH
    return int(ink.mask.shape[1]) / (max(_count_advancing(text, style), 1) * SAMPLE_FONT_SIZE) * SAMPLE_TOLERANCE


def _clean_runs(text: str, runs: tuple[Run, ...]) -> tuple[str, tuple[Run, ...], bool]:
    cleaned, is_too_long = _clean(text)
    # A letter after the part of the text before a run keeps the blanks between them.
    starts = (len(_clean(text[: run.start] + "x")[0]) - 1 for run in runs)
    return cleaned, tuple(replace(run, start=start) for run, start in zip(runs, starts, strict=True)), is_too_long


def _clean(text: str) -> tuple[str, bool]:
    """Return a text of limited length in canonical composition, without control characters, and whether it is cut."""
    is_too_long = len(text) > MAX_CHARACTERS
    text = _line_break.sub("\n", text[: MAX_CHARACTERS + 1]).replace("\t", " ")
    text = _control.sub("", unicodedata.normalize("NFC", text)).strip()
    if is_too_long:
        end = max((end for end in character_ends(text) if end < MAX_CHARACTERS), default=0)
        text = text[:end].rstrip() + ELLIPSIS
    return text, is_too_long

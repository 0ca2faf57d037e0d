"""Text: shaped, wrapped and rendered by Pango (inside libvips), and positioned by the font's metrics.

libvips trims a text to its ink and reports the offset. With an absolute line height, the offset is the same for lines
with and without descenders, so that text has the same position in every row. Text that does not fit is reduced in steps
down to the layer's `min_size`, and is then cut with an ellipsis. What Pango lacks is marked in the text beforehand
(`line_breaking.py`), or is done by markup (`text_markup.py`).
"""

import re
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import ceil

import numpy as np
import pyvips

from cwz_web.imaging.bisection import find_largest
from cwz_web.imaging.casing import change_case
from cwz_web.imaging.compositing import RGB, Patch, Pixels, parse_color
from cwz_web.imaging.effects import outline, shrink_mask, to_pixels
from cwz_web.imaging.errors import ImageTooLargeError
from cwz_web.imaging.fonts import REPLACEMENT, find_missing_characters, font_families, has_color_glyphs
from cwz_web.imaging.layers import MAX_SIDE, Gradient, TextLayer
from cwz_web.imaging.line_breaking import MARKS, SOFT_HYPHEN, can_hyphenate, character_ends, mark_breaks, mark_hyphens
from cwz_web.imaging.shapes import render_box
from cwz_web.imaging.text_markup import PANGO_SCALE, build_markup, build_runs, deepest_ink
from cwz_web.imaging.text_runs import (
    Run,
    RunStyle,
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
# How high a highlight is, and how far it extends beyond its letters, relative to the font size.
HIGHLIGHT_HEIGHT, HIGHLIGHT_MARGIN = 1.2, 0.08
# By how much the width of a text is reduced at a time to balance its lines, relative to the font size.
BALANCE_STEP = 0.25
INVISIBLE = "#00000000"
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
class RenderedText:
    """A text as a layer shows it.

    Attributes:
        patches: the box, the outline and the letters, in this order; each of them is optional.
        font_size: the font size that fits, in pixels.
        is_cut: whether the end of the text is cut.
        missing: the characters that no font supports.
        is_too_high: whether a line is higher than the box.
        is_too_long: whether the text has more than MAX_CHARACTERS, and is cut for that.
        styles: the styles of its runs that are in one color.
    """

    patches: tuple[Patch, ...]
    font_size: int
    is_cut: bool
    missing: tuple[str, ...] = ()
    is_too_high: bool = False
    is_too_long: bool = False
    styles: tuple[RunStyle, ...] = ()


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
    opacity: float = 1
    # The size of the largest run, which all lines have room for, relative to the font size.
    scale: float = 1
    runs: tuple[Run, ...] = ()
    has_tabular_figures: bool = False
    # Whether each run is rendered in its color, also if all have the same one.
    is_painted: bool = False

    @property
    def is_in_color(self) -> bool:
        """Whether the text has several colors, and not one color that a mask is enough for."""
        return self.is_painted or len({run.style.color for run in self.runs}) > 1

    @cached_property
    def base(self) -> "TextStyle":
        """The style without runs: that of a letter in the layer's font, as large as the largest run."""
        return replace(self, runs=()) if self.runs else self

    def line(self, size: float) -> float:
        """Return the height of a line in pixels."""
        return self.line_height * size * self.scale

    @property
    def typefaces(self) -> set[Typeface]:
        """The typefaces of the runs."""
        return {run.style.typeface for run in self.runs} or {self.typeface}


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
        last = (self.bottom - _baseline(style.base, size)) / style.line(size)
        return max(round(last + 0.5 - MAX_DEPTH), 0) + 1


NO_INK = RenderedGlyphs(np.empty((0, 0), np.uint8), None, 0, 0)


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
        return self.lines * self.style.line(self.font_size)

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
        return _baseline(self.style.base, self.font_size)


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

    Raises:
        ImageTooLargeError: the box is larger than any image.
        RenderTimeoutError: fitting the text takes too long.
    """
    if width * height > MAX_BOX_PIXELS:
        limit = MAX_BOX_PIXELS // 10**6
        raise ImageTooLargeError(f"The box of the text “{layer.name}” has more than {limit} million pixels")
    text, runs = join_spans(layer, texts, typefaces)
    text, runs, is_too_long = _clean_runs(text, runs)
    text, runs = change_text(text, runs, lambda part: change_case(part, layer.case, layer.language))
    runs = keep_characters(text, runs)
    text, missing = _replace_missing(text, runs, typefaces[layer.font].family)
    style = _style(layer, typefaces[layer.font], runs, max(width - 2 * layer.padding, 1))
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
        box = () if layer.hug or layer.box == "lines" else _render_box(layer, left, top, width, height)
        return replace(rendered, patches=box)
    free = height - 2 * padding - fitted.height
    down = padding + round({"top": 0.0, "middle": free / 2, "bottom": free}[layer.valign])
    right = padding + fitted.shift + round((max(width - 2 * padding, 1) - fitted.width) * fitted.side)
    x, y = left + right + ink.left, top + down + ink.top
    if layer.box == "lines":
        box = _render_line_boxes(layer, fitted, left + right, top + down)
    elif layer.hug:
        hugged = ink.mask.shape[1] + 2 * padding, ceil(fitted.height) + 2 * padding
        box = _render_box(layer, x - padding, top + down - padding, *hugged)
    else:
        box = _render_box(layer, left, top, width, height)
    highlights = _render_highlights(fitted, left + right, top + down)
    letters = _paint_letters(fitted, x - ink.left, y - ink.top)
    styles = tuple(dict.fromkeys(run.style for run in fitted.style.runs if not run.style.gradient))
    stroke = _render_stroke(layer, x, y, ink.mask)
    if layer.fit == "clip":
        rows = top + padding, top + height - padding
        letters, stroke = (tuple(_clip_rows(patch, *rows) for patch in each) for each in (letters, stroke))
    is_below = layer.stroke is None or layer.stroke.position == "outside"
    patches = (*box, *highlights, *stroke, *letters) if is_below else (*box, *highlights, *letters, *stroke)
    return replace(rendered, styles=styles, patches=patches)


def _clip_rows(patch: Patch, top: int, bottom: int) -> Patch:
    """Return a patch without what is above or below a range of rows of the canvas."""
    mask = patch.mask().copy()
    mask[: max(top - patch.y, 0)] = 0
    mask[max(bottom - patch.y, 0) :] = 0
    return replace(patch, alpha=mask)


def _paint_letters(fitted: FittedText, left: int, top: int) -> tuple[Patch, ...]:
    """Return the letters: a patch for each gradient, and above them one for the letters without.

    Args:
        fitted: the text.
        left: the x coordinate of the layout.
        top: the y coordinate of the layout.
    """
    ink, style = fitted.ink, fitted.style
    gradients = list(dict.fromkeys(run.style.gradient for run in style.runs))
    if gradients in ([], [None]):
        color = style.color if ink.colors is None else ink.colors
        return (Patch(left + ink.left, top + ink.top, color, ink.mask).faded(style.opacity),)
    has_emoji = has_color_glyphs(style.typeface.family, fitted.text)
    emoji = _render_visible(fitted, ()) if has_emoji else NO_INK
    patches = []
    for gradient in filter(None, gradients):
        letters = _render_visible(fitted, (gradient,))
        mask = np.where(emoji.mask > 0, np.uint8(0), letters.mask) if has_emoji else letters.mask
        patches.append(_fill_letters(mask, gradient, left + letters.left, top + letters.top))
    if has_emoji or None in gradients:
        plain = _render_visible(fitted, (None,))
        assert plain.colors is not None
        patches.append(Patch(left + plain.left, top + plain.top, plain.colors, plain.mask))
    return tuple(patches)


def _render_visible(fitted: FittedText, gradients: Sequence[Gradient | None]) -> RenderedGlyphs:
    """Render a fitted text with the letters of these gradients, and the color glyphs, which are always visible."""
    runs = tuple(
        run if run.style.gradient in gradients else replace(run, style=replace(run.style, color=INVISIBLE))
        for run in fitted.style.runs
    )
    return _render(fitted.text, replace(fitted.style, runs=runs, is_painted=True), fitted.font_size)


def _fill_letters(mask: Pixels, gradient: Gradient, left: int, top: int) -> Patch:
    """Return letters in a gradient, which extends over their ink."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return Patch(left, top, (0, 0, 0), mask)
    ink = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = ink.shape
    fill = render_box(left + int(columns[0]), top + int(rows[0]), width, height, gradient)
    return fill.clipped(ink)


def _render_highlights(fitted: FittedText, left: int, top: int) -> tuple[Patch, ...]:
    """Render the colors behind runs: in each line, from the first pixel of a run to its last one.

    Args:
        fitted: the text.
        left: the x coordinate of the layout.
        top: the y coordinate of the layout.
    """
    style, size = fitted.style, fitted.font_size
    colors = list(dict.fromkeys(run.style.highlight for run in style.runs if run.style.highlight))
    if not colors:
        return ()
    height, margin = _box_height(style, size), round(size * HIGHLIGHT_MARGIN)
    is_broken = has_color_glyphs(style.typeface.family, fitted.text)
    patches = []
    for code, first, last, middle in _find_backgrounds(fitted, _code_highlights(style.runs, colors), is_broken):
        color, opacity = parse_color(colors[code - 1])
        mask = np.full((height, last - first + 2 * margin), 255, np.uint8)
        patches.append(Patch(left + first - margin, top + round(middle - height / 2), color, mask).faded(opacity))
    return tuple(patches)


def _render_line_boxes(layer: TextLayer, fitted: FittedText, left: int, top: int) -> tuple[Patch, ...]:
    """Render a box behind each line. Boxes do not overlap: their padding is above and below if lines have the room."""
    style, size = fitted.style, fitted.font_size
    runs = style.runs or (Run(0, RunStyle(style.typeface, style.weight, style.italic, layer.color)),)
    coded = tuple(replace(run, style=replace(run.style, color=INVISIBLE, background="#000001")) for run in runs)
    height = min(_box_height(style, size) + 2 * layer.padding, int(style.line(size)))
    boxes = list[Patch]()
    for _, first, last, middle in _find_backgrounds(fitted, coded, is_broken=True):
        x, y = left + first - layer.padding, top + round(middle - height / 2)
        boxes += _render_box(layer, x, y, last - first + 2 * layer.padding, height)
    return tuple(boxes)


def _box_height(style: TextStyle, size: int) -> int:
    return round(min(size * style.scale * HIGHLIGHT_HEIGHT, style.line(size)))


def _find_backgrounds(
    fitted: FittedText, runs: tuple[Run, ...], is_broken: bool
) -> Iterator[tuple[int, int, int, float]]:
    """Render runs on coded backgrounds, and yield where these are in each line.

    Args:
        fitted: the text.
        runs: its runs, without visible letters.
        is_broken: whether color glyphs interrupt the backgrounds; there is one range in a line then.

    Yields:
        The code of the background, its range of columns, and the middle of the line.
    """
    line, size = fitted.style.line(fitted.font_size), fitted.font_size
    coded = _render(fitted.text, replace(fitted.style, runs=runs, is_painted=True), size)
    codes = sorted({int(run.style.background[1:], 16) for run in runs if run.style.background} - {0})
    margin = round(size * HIGHLIGHT_MARGIN)
    for number in range(fitted.lines):
        rows, inner = (
            slice(*(max(round((number + each) * line) - coded.top, 0) for each in part))
            for part in ((0, 1), (0.2, 0.8))
        )
        ink = np.flatnonzero(fitted.ink.mask[inner].any(axis=0))
        for code in codes if ink.size else ():
            for first, last in _find_ranges(coded, rows, code, is_broken):
                # A blank at the end of a line has a background, too.
                first, last = max(first, int(ink[0]) - margin), min(last, int(ink[-1]) + 1 + margin)
                if first < last:
                    yield code, coded.left + first, coded.left + last, (number + 0.5) * line


def _code_highlights(runs: Sequence[Run], colors: Sequence[str]) -> tuple[Run, ...]:
    """Return runs without visible letters, on a background that is the number of their highlight, from 1 on."""
    numbers = {color: number for number, color in enumerate(colors, 1)}
    return tuple(
        replace(
            run,
            style=replace(run.style, color=INVISIBLE, background=f"#{numbers.get(run.style.highlight or '', 0):06x}"),
        )
        for run in runs
    )


def _find_ranges(coded: RenderedGlyphs, rows: slice, code: int, is_broken: bool) -> list[tuple[int, int]]:
    """Return the ranges of columns with a background.

    Args:
        coded: the runs with coded backgrounds.
        rows: the rows of a line.
        code: the code of the background.
        is_broken: whether color glyphs interrupt the backgrounds; there is one range then.
    """
    assert coded.colors is not None
    # Comparing pixels as whole numbers takes a tenth of comparing their bytes.
    pixel = np.array((0, 0, code, 255), np.uint8).view(np.uint32)[0]
    columns = (coded.colors[rows].view(np.uint32)[..., 0] == pixel).any(axis=0)
    starts, ends = (np.flatnonzero(np.diff(np.pad(columns, 1).astype(np.int8)) == step).tolist() for step in (1, -1))
    ranges = list(zip(starts, ends, strict=True))
    return [(ranges[0][0], ranges[-1][1])] if is_broken and ranges else ranges


def _render_stroke(layer: TextLayer, x: int, y: int, mask: Pixels) -> tuple[Patch, ...]:
    if not layer.stroke:
        return ()
    color, opacity = parse_color(layer.stroke.color)
    outside, inside = {"outside": (1.0, 0.0), "center": (0.5, 0.5), "inside": (0.0, 1.0)}[layer.stroke.position]
    margin = ceil(layer.stroke.width * outside)
    line = outline(mask, layer.stroke.width * outside) if outside else mask
    if inside:
        line = line - np.pad(shrink_mask(mask, layer.stroke.width * inside), margin)
    return (Patch(x - margin, y - margin, color, line).faded(opacity),)


def _render_box(layer: TextLayer, x: int, y: int, width: int, height: int) -> tuple[Patch, ...]:
    if layer.background is None and layer.border is None:
        return ()
    return (render_box(x, y, width, height, layer.background, layer.radius, layer.border),)


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

    def max_lines(self, style: TextStyle, size: int) -> int:
        """Return how many lines of a font size there is room for."""
        lines = (self.height + 1) / style.line(size)
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
        max_lines = box.max_lines(style, size)
        if _min_lines(text, style, size) > max_lines:  # do not render what cannot fit: it could be huge
            return None
        if size > smallest and _breaks_word(text, style, size):
            return None
        ink = _render(text, style, size)
        lines = _count_lines(text, style, size, ink)
        is_high = style.line(size) > height + 1
        if is_high and size > box.layer.size:
            return None
        # All rows shrink alike, but only a row whose own letters do not fit has a finding.
        if lines > max_lines or (is_high and size > smallest and _letter_height(style.base, size) > height + 1):
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

    longest = find_largest(0, len(ends) - 1, lambda index: render_if_fits(cut(index), smallest), box.deadline)
    first = cut(0)
    fit = longest[1] if longest else FittedText(style, smallest, first, _render(first, style, smallest), 1)
    return replace(fit, is_cut=True)


def _balance(fitted: FittedText, deadline: float) -> FittedText:
    """Return the text in the smallest width that keeps its number of lines, so that they are about as long."""
    style, size, text = fitted.style, fitted.font_size, fitted.text
    step = max(round(size * BALANCE_STEP), 1)

    def narrow(steps: int) -> FittedText | None:
        narrowed = replace(style, width=max(style.width - steps * step, 1))
        if steps and _breaks_word(text, narrowed, size):
            return None
        ink = _render(text, narrowed, size)
        if _count_lines(text, narrowed, size, ink) > fitted.lines:
            return None
        shift = round(steps * step * fitted.side)
        return replace(fitted, style=narrowed, ink=ink, narrowed=steps * step, shift=shift)

    found = find_largest(0, round(style.width * (1 - 1 / fitted.lines)) // step, narrow, deadline)
    return found[1] if found else fitted


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
        bases = [replace(style.base, typeface=each) for each in style.typefaces] if style.runs else [style]
        return max(_latin_depth(base) for base in bases)
    return max(deepest_ink(each.family, text) for each in style.typefaces)


def _breaks_word(text: str, style: TextStyle, size: int) -> bool:
    """Return whether the longest word is wider than a line."""
    words = ((match[0], match.start()) for match in _words.finditer(text))
    longest, start = max(words, key=lambda word: _count_advancing(word[0], style, word[1]), default=("", 0))
    # Hardly any letter is wider than the font size.
    if len(longest) * (size * style.scale + max(style.letter_spacing, 0)) < style.width:
        return False
    style = replace(style, runs=tuple(replace(run, start=max(run.start - start, 0)) for run in style.runs))
    if _min_lines(longest, style, size) > 1:
        return True
    ink = _render(longest, replace(style, width=MAX_SIDE * 3, align="start"), size)
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
    sample = replace(style, width=MAX_SIDE, letter_spacing=0, align="start")
    ink = _render(text.replace("\n", " "), sample, SAMPLE_FONT_SIZE)
    if not ink.mask.size:
        return MIN_CHARACTER_WIDTH
    return int(ink.mask.shape[1]) / (max(_count_advancing(text, style), 1) * SAMPLE_FONT_SIZE) * SAMPLE_TOLERANCE


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
    if style.has_tabular_figures:
        attributes += ' font_features="tnum"'
    family = style.typeface.family
    in_color = has_color_glyphs(family, text) or style.is_in_color
    if in_color:
        attributes += f' foreground="#{bytes(style.color).hex()}"'
    # One string: setting each option separately takes a tenth of the rendering time.
    font = f'font="{font_families(family, text, style.language)} {size * style.scale}"'
    options = [font, f"width={style.width}", "wrap=word-char"]
    options += [f"align={ALIGNMENTS[style.align]}"] if style.align in ALIGNMENTS else []
    options += ["justify"] if style.align == "justify" else []
    options += ["rgba"] if in_color else []
    file = {"fontfile": str(style.typeface.file)} if style.typeface.file else {}
    try:
        markup = f"<span {attributes}>{_build_markup(text, style, size)}</span>"
        image = pyvips.Image.text(markup, string_options=",".join(options), **file)
    except pyvips.Error:  # raised for a text without any ink
        return NO_INK
    pixels, left, top = to_pixels(image), image.get("xoffset"), image.get("yoffset")
    if in_color:
        return RenderedGlyphs(pixels[..., 3].copy(), pixels, left, top)
    return RenderedGlyphs(pixels, None, left, top)


def _build_markup(text: str, style: TextStyle, size: float) -> str:
    line = style.line(size)
    if not style.runs:
        return build_markup(text, style.typeface.family, size * style.scale, line, style.letter_spacing)
    for run in style.runs:
        if run.style.typeface.file:
            _load_font(run.style.typeface)
    color = f"#{bytes(style.color).hex()}" if style.is_in_color else style.runs[0].style.color
    base = RunStyle(style.typeface, style.weight, style.italic, color, style.scale)
    return build_runs([*split_runs(text, style.runs)], base, size, line, style.letter_spacing, style.language)


@lru_cache(maxsize=128)  # libvips keeps the fonts that it has loaded
def _load_font(typeface: Typeface) -> None:
    """Load the file of a font, of which an image has several."""
    pyvips.Image.text("x", font=f"{typeface.family} 12", fontfile=str(typeface.file))


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

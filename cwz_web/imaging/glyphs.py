"""Glyphs: a text in a style, rendered by Pango (inside libvips), and positioned by the font's metrics.

libvips trims a text to its ink and reports the offset. With an absolute line height, the offset is the same for lines
with and without descenders, so that text has the same position in every row. What Pango lacks is marked in the text
beforehand (`line_breaking.py`), or is done by markup (`text_markup.py`).
"""

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import pyvips

from cwz_web.imaging.compositing import RGB, Pixels
from cwz_web.imaging.document_parts import MAX_SIDE
from cwz_web.imaging.effects import to_pixels
from cwz_web.imaging.fonts import REPLACEMENT, font_families, has_color_glyphs
from cwz_web.imaging.line_breaking import SOFT_HYPHEN
from cwz_web.imaging.text_markup import PANGO_SCALE, build_markup, build_runs, deepest_ink
from cwz_web.imaging.text_runs import (
    Run,
    RunStyle,
    Typeface,
    split_runs,
)

# libvips' names of the alignments that are not its default.
ALIGNMENTS = {"center": "centre", "end": "high"}
# Lines are counted by their ink if no letter of the last line extends below the baseline by more than this part of a
# line; otherwise by rendering the text again with this line height.
MAX_DEPTH, SPREAD_LINE_HEIGHT = 0.38, 2.0
# The highest and deepest letters of Latin, Greek and Cyrillic texts.
TALL_LETTERS, DEEP_LETTERS = "Hgjp", "gjpqy,;()@ŞĘĶ"
_simple = re.compile(r"[\x00-\u058f\u1e00-\u1fff\u2000-\u2bff\u2e00-\u2e7f]*\Z")


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
    # The distance between paragraphs, relative to the font size, and what is beside them.
    paragraph_gap: float = 0
    list_style: str = "none"
    bullet: str = ""

    @property
    def is_in_color(self) -> bool:
        """Whether the text has several colors, and not one color that a mask is enough for."""
        return self.is_painted or len({run.style.color for run in self.runs}) > 1

    @cached_property
    def base(self) -> "TextStyle":
        """The style without runs: that of a letter in the layer's font, as large as the largest run."""
        return replace(self.plain, runs=()) if self.runs else self.plain

    @cached_property
    def plain(self) -> "TextStyle":
        """The style of one paragraph."""
        return replace(self, paragraph_gap=0, list_style="none") if self.has_paragraphs else self

    @property
    def has_paragraphs(self) -> bool:
        """Whether paragraphs are rendered one by one."""
        return self.paragraph_gap > 0 or self.list_style != "none"

    def gap(self, size: float) -> float:
        """Return the distance between paragraphs in pixels."""
        return self.paragraph_gap * size

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
        line_tops: where the lines begin in the layout, if its paragraphs were rendered one by one.
    """

    mask: Pixels
    colors: Pixels | None
    left: int
    top: int
    line_tops: tuple[float, ...] = ()

    def moved(self, right: int, down: int) -> "RenderedGlyphs":
        """Return the pixels further right and down in the layout."""
        return replace(self, left=self.left + right, top=self.top + down)

    @property
    def bottom(self) -> int:
        """The y offset of the lower edge in the layout."""
        return self.top + int(self.mask.shape[0])

    def lines(self, style: TextStyle, size: float) -> int:
        """Return the number of lines. The ink always ends near the baseline of the last line."""
        last = (self.bottom - measure_baseline(style.base, size)) / style.line(size)
        return max(round(last + 0.5 - MAX_DEPTH), 0) + 1


NO_INK = RenderedGlyphs(np.empty((0, 0), np.uint8), None, 0, 0)


def count_plain_lines(text: str, style: TextStyle, size: float, ink: RenderedGlyphs) -> int:
    """Count the lines of a text that was rendered at once; a text without ink has none."""
    if not ink.mask.size:
        return 0
    if _depth(text, style) <= MAX_DEPTH * style.line_height:
        return ink.lines(style, size)
    spread = replace(style, line_height=SPREAD_LINE_HEIGHT)
    return render_glyphs(text, spread, size).lines(spread, size)


def _depth(text: str, style: TextStyle) -> float:
    """Return how far the letters of a text can extend below the baseline, relative to the font size."""
    if _simple.match(text):
        bases = [replace(style.base, typeface=each) for each in style.typefaces] if style.runs else [style]
        return max(_latin_depth(base) for base in bases)
    return max(deepest_ink(each.family, text) for each in style.typefaces)


def render_glyphs(text: str, style: TextStyle, size: float) -> RenderedGlyphs:
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
def measure_baseline(style: TextStyle, size: float) -> int:
    """Return the distance of the first baseline from the top of the layout, in pixels."""
    ink = render_glyphs("H", style, size)
    return (ink if ink.mask.size else render_glyphs(REPLACEMENT, style, size)).bottom


@lru_cache(maxsize=1024)  # metrics of fonts, independent of the text
def measure_letters(style: TextStyle, size: float) -> int:
    """Return the height of the highest and deepest Latin letters, in pixels."""
    return int(render_glyphs(TALL_LETTERS, replace(style, width=MAX_SIDE), size).mask.shape[0])


@lru_cache(maxsize=1024)  # metrics of fonts, independent of the text
def _latin_depth(style: TextStyle) -> float:
    """Return how far Latin letters extend below the baseline, relative to the font size."""
    size = 100
    wide = replace(style, width=MAX_SIDE, letter_spacing=0, line_height=SPREAD_LINE_HEIGHT)
    return (render_glyphs(DEEP_LETTERS, wide, size).bottom - measure_baseline(wide, size)) / size

"""Paragraphs of a text: rendered one by one, with a gap between them, and as a list with bullets or numbers.

A marker hangs beside its paragraph: on the left, or on the right of a paragraph whose first letter is written from
right to left. All lines are indented by the widest marker.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cwz_web.imaging.document_parts import MAX_SIDE
from cwz_web.imaging.glyphs import NO_INK, RenderedGlyphs, TextStyle, count_plain_lines, render_glyphs
from cwz_web.imaging.text_runs import Run, RunStyle, split_runs

# The distance between a marker and its lines, relative to the font size.
MARKER_GAP = 0.4
RIGHT_TO_LEFT_MARK = "\u200f"


@dataclass(frozen=True)
class _Paragraph:
    """A paragraph of a text, which has no ink if it is blank.

    Attributes:
        text: its characters.
        runs: its runs.
        marker: what hangs beside it.
        is_right_to_left: whether its lines begin on the right.
    """

    text: str
    runs: tuple[Run, ...]
    marker: str
    is_right_to_left: bool

    @property
    def first_style(self) -> tuple[Run, ...]:
        """The style of its first letters without lines and backgrounds, for the marker."""
        parts = list(split_runs(self.text, self.runs))[:1]
        return tuple(Run(0, _undecorated(style)) for _, style in parts)


def render_text_glyphs(text: str, style: TextStyle, size: float) -> RenderedGlyphs:
    """Render a text of one or several paragraphs, wrapped at the style's width."""
    if not style.has_paragraphs:
        return render_glyphs(text, style, size)
    plain = replace(style.plain, is_painted=style.is_in_color)
    line, indent = style.line(size), find_indent(text, style, size)
    placed, tops = list[RenderedGlyphs](), list[float]()
    top = 0.0
    for paragraph in _paragraphs(text, style):
        own = replace(plain, runs=paragraph.runs, width=max(style.width - indent, 1))
        ink = render_glyphs(paragraph.text, own, size) if paragraph.text.strip() else NO_INK
        lines = max(count_plain_lines(paragraph.text, own, size, ink), 1)
        placed.append(ink.moved(0 if paragraph.is_right_to_left else indent, round(top)))
        if paragraph.marker:
            marker = _render_marker(paragraph, plain, size)
            beside = indent - round(MARKER_GAP * size)
            left = style.width - beside if paragraph.is_right_to_left else beside - int(marker.mask.shape[1])
            placed.append(marker.moved(left - marker.left, round(top)))
        tops += [top + number * line for number in range(lines)]
        top += lines * line + style.gap(size)
    return _join(placed, style, tuple(tops))


def count_lines(text: str, style: TextStyle, size: int, ink: RenderedGlyphs) -> int:
    """Count the lines of a rendered text; a text without ink has none."""
    if not ink.mask.size:
        return 0
    return len(ink.line_tops) or count_plain_lines(text, style, size, ink)


def find_indent(text: str, style: TextStyle, size: float) -> int:
    """Return by how many pixels the lines of a list are indented; 0 for other texts."""
    if style.list_style == "none":
        return 0
    markers = {paragraph.marker: paragraph for paragraph in _paragraphs(text, style) if paragraph.marker}
    widths = [int(_render_marker(each, style.plain, size).mask.shape[1]) for each in markers.values()]
    return max(widths, default=0) + round(MARKER_GAP * size)


def _paragraphs(text: str, style: TextStyle) -> Iterator[_Paragraph]:
    start = number = 0
    for part in text.split("\n"):
        runs = tuple(replace(run, start=max(run.start - start, 0)) for run in style.runs)
        marker = ""
        if style.list_style != "none" and part.strip():
            number += 1
            marker = style.bullet if style.list_style == "bullets" else f"{number}."
        yield _Paragraph(part, runs, marker, _is_right_to_left(part))
        start += len(part) + 1


def _is_right_to_left(text: str) -> bool:
    """Return whether the first letter or mark with a direction is written from right to left."""
    directions = map(unicodedata.bidirectional, text)
    return next((each for each in directions if each in ("L", "R", "AL")), "L") != "L"


def _undecorated(style: RunStyle) -> RunStyle:
    return replace(style, strike=False, underline=False, highlight=None, background=None, rise=0)


def _render_marker(paragraph: _Paragraph, plain: TextStyle, size: float) -> RenderedGlyphs:
    mark = RIGHT_TO_LEFT_MARK if paragraph.is_right_to_left else ""
    style = replace(plain, runs=paragraph.first_style, width=MAX_SIDE, align="start")
    return render_glyphs(mark + paragraph.marker, style, size)


def _join(parts: Sequence[RenderedGlyphs], style: TextStyle, tops: tuple[float, ...]) -> RenderedGlyphs:
    """Join rendered paragraphs and markers into one array."""
    visible = [part for part in parts if part.mask.size]
    if not visible:
        return NO_INK
    left, top = min(part.left for part in visible), min(part.top for part in visible)
    right = max(part.left + int(part.mask.shape[1]) for part in visible)
    bottom = max(part.bottom for part in visible)
    mask = np.zeros((bottom - top, right - left), np.uint8)
    colors = None
    if any(part.colors is not None for part in visible):
        colors = np.zeros((*mask.shape, 4), np.uint8)
    for part in visible:
        height, width = part.mask.shape
        target = slice(part.top - top, part.top - top + height), slice(part.left - left, part.left - left + width)
        mask[target] = np.maximum(mask[target], part.mask)
        if colors is not None:
            own = (*style.color, 255) if part.colors is None else part.colors
            np.copyto(colors[target], np.asarray(own, np.uint8), where=part.mask[..., None] > 0)
    return RenderedGlyphs(mask, colors, left, top, tops)

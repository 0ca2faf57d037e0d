"""Text layers: fitted (`text_fitting.py`), then placed in a box with their backgrounds, highlights and outline."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from cwz_web.imaging.compositing import Patch, Pixels, parse_color
from cwz_web.imaging.effects import outline, shrink_mask
from cwz_web.imaging.fonts import has_color_glyphs
from cwz_web.imaging.glyphs import NO_INK, RenderedGlyphs, TextStyle
from cwz_web.imaging.paragraphs import render_text_glyphs
from cwz_web.imaging.shapes import render_box
from cwz_web.imaging.styles import Gradient
from cwz_web.imaging.text_fitting import FittedText, fit_text
from cwz_web.imaging.text_layers import TextLayer
from cwz_web.imaging.text_runs import (
    Run,
    RunStyle,
    Typeface,
)

# How high a highlight is, and how far it extends beyond its letters, relative to the font size.
HIGHLIGHT_HEIGHT, HIGHLIGHT_MARGIN = 1.2, 0.08
INVISIBLE = "#00000000"


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


def render_text(layer: TextLayer, texts: Sequence[str], typefaces: Mapping[str, Typeface]) -> RenderedText:
    """Render the text of a layer.

    An empty text has no letters, and no box if the layer's box hugs the text.

    Args:
        texts: the resolved text of each of the layer's bound texts.
        typefaces: the typeface of each of the layer's fonts.
    """
    fitted = fit_text(layer, texts, typefaces, layer.width, layer.height)
    return place_text(layer, fitted, layer.left, layer.top, layer.width, layer.height)


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
    return render_text_glyphs(fitted.text, replace(fitted.style, runs=runs, is_painted=True), fitted.font_size)


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
    coded = render_text_glyphs(fitted.text, replace(fitted.style, runs=runs, is_painted=True), size)
    codes = sorted({int(run.style.background[1:], 16) for run in runs if run.style.background} - {0})
    margin = round(size * HIGHLIGHT_MARGIN)
    for number in map(fitted.line_number, range(fitted.lines)):
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

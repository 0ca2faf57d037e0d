"""Runs of a text: its spans, joined into one text, so that lines are broken and letters are joined across spans.

A run knows where it starts. What changes a text before it is rendered (cleaning, case, marks of line breaks) moves the
starts along. Adjacent spans that look alike are one run; a text whose spans all look like its layer has no runs.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cwz_web.imaging.fonts import font_metrics
from cwz_web.imaging.line_breaking import MARKS, character_ends
from cwz_web.imaging.styles import Gradient
from cwz_web.imaging.text_layers import TextLayer, TextSpan

# The size of superscripts and subscripts, unless the span has a scale of its own.
SCRIPT_SCALE = 0.6
# How far subscripts are below the baseline, relative to the font size.
SUBSCRIPT_DEPTH = 0.16
# A larger span takes gigabytes of memory: a document that is rendered at three times its size has 3,000 pixels.
MAX_FONT_PIXELS = 3000
_inserted = {*MARKS, "\u200e", "\u200f"}


@dataclass(frozen=True)
class Typeface:
    """A font family, and the font file if it is an upload."""

    family: str
    file: Path | None = None


@dataclass(frozen=True)
class RunStyle:
    """How a run looks.

    Attributes:
        scale: the font size, relative to the layer's.
        rise: how far it is above the baseline, relative to the layer's font size.
        color: `#rrggbb` or `#rrggbbaa`.
        highlight: the color behind it.
        gradient: the colors of its letters, in the place of its color.
        background: the color that Pango paints behind it.
    """

    typeface: Typeface
    weight: int
    italic: bool
    color: str
    scale: float = 1
    rise: float = 0
    strike: bool = False
    underline: bool = False
    highlight: str | None = None
    gradient: Gradient | None = None
    background: str | None = None


@dataclass(frozen=True)
class Run:
    """A part of a text in one style, up to the start of the next run."""

    start: int
    style: RunStyle


def join_spans(
    layer: TextLayer, texts: Sequence[str], typefaces: Mapping[str, Typeface]
) -> tuple[str, tuple[Run, ...]]:
    """Join the spans of a layer. A span without text disappears.

    Args:
        texts: the resolved text of each span, or the text of a layer without spans.
        typefaces: the typeface of each of the layer's fonts.
    """
    plain = RunStyle(
        typefaces[layer.font],
        layer.weight,
        layer.italic,
        layer.color[:7] if layer.gradient else layer.color,
        strike=layer.strike,
        underline=layer.underline,
        gradient=layer.gradient,
    )
    is_plain = not (layer.strike or layer.underline or layer.gradient)
    if not layer.spans:
        return texts[0], () if is_plain else (Run(0, plain),)
    joined, runs, beside = "", list[Run](), plain
    for span, text in zip(layer.spans, texts, strict=True):
        style = _style(layer, span, plain, beside, typefaces)
        if text and span.position == "normal":
            beside = style
        if text and (not runs or runs[-1].style != style):
            runs.append(Run(len(joined), style))
        joined += text
    return joined, () if is_plain and all(run.style == plain for run in runs) else tuple(runs)


def _style(
    layer: TextLayer, span: TextSpan, plain: RunStyle, beside: RunStyle, typefaces: Mapping[str, Typeface]
) -> RunStyle:
    """Return the style of a span; `beside` is that of the span that a superscript or subscript belongs to."""
    typeface = plain.typeface if span.font is None else typefaces[span.font]
    scale = span.scale or (1 if span.position == "normal" else SCRIPT_SCALE * beside.scale)
    scale = min(scale, max(MAX_FONT_PIXELS / layer.largest_size, 1))
    rise = {"normal": 0.0, "sub": -SUBSCRIPT_DEPTH * beside.scale}.get(span.position)
    if rise is None:
        # The capitals and digits of a superscript are as high as those beside it.
        height = font_metrics(beside.typeface.family).cap_height * beside.scale
        rise = max(height - font_metrics(typeface.family).cap_height * scale, 0)
    color, gradient = span.color or layer.color, span.gradient or (None if span.color else plain.gradient)
    return RunStyle(
        typeface,
        plain.weight if span.weight is None else span.weight,
        plain.italic if span.italic is None else span.italic,
        color[:7] if gradient else color,
        scale,
        rise,
        plain.strike if span.strike is None else span.strike,
        plain.underline if span.underline is None else span.underline,
        span.highlight,
        gradient,
    )


def split_runs(text: str, runs: Sequence[Run], start: int = 0) -> Iterator[tuple[str, RunStyle]]:
    """Yield the parts of a text with their style.

    Args:
        text: the text, or a part of it.
        runs: its runs.
        start: where the part starts in the text.
    """
    end = start + len(text)
    for at, run in enumerate(runs):
        first = max(run.start, start) if at else start
        last = min(runs[at + 1].start, end) if at + 1 < len(runs) else end
        if first < last:
            yield text[first - start : last - start], run.style


def change_text(text: str, runs: Sequence[Run], change: Callable[[str], str]) -> tuple[str, tuple[Run, ...]]:
    """Change a text, and move the starts of its runs: to where the changed text before them ends."""
    return change(text), tuple(replace(run, start=len(change(text[: run.start]))) for run in runs)


def keep_characters(text: str, runs: Sequence[Run]) -> tuple[Run, ...]:
    """Move the starts of runs within a character, as users perceive it, to its end: it is in one style."""
    if not runs or text.isascii():
        return tuple(runs)
    ends = [0, *character_ends(text)]
    return tuple(replace(run, start=ends[min(bisect_left(ends, run.start), len(ends) - 1)]) for run in runs)


def move_to_marked(runs: Sequence[Run], text: str, marked: str) -> tuple[Run, ...]:
    """Move the starts of runs to where their characters are in a text that marks were inserted into."""
    if not runs:
        return ()
    positions, at = list[int](), 0
    for character in text:
        while at < len(marked) and marked[at] != character and marked[at] in _inserted:
            at += 1
        positions.append(at)
        at += 1
    positions.append(at)
    return tuple(replace(run, start=positions[min(run.start, len(text))] if run.start else 0) for run in runs)

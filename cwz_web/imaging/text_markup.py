"""Pango markup of a text whose characters come from several fonts, or whose letters must not be spaced.

Pango places a line by the largest ascent and descent of its fonts, so a single character from a fallback font would
move the baseline and the lines below. Runs in fallback fonts get a line height that stays within that of the layer's
own font, and each line gets a strut: an invisible character with the line height of the layer's own font.
"""

import re
import unicodedata
from collections.abc import Iterator
from html import escape
from itertools import groupby

from cwz_web.imaging.fonts import fallback_families, find_fallback_characters, font_metrics
from cwz_web.imaging.line_breaking import BREAK

PANGO_SCALE = 1024
VARIATION_SELECTOR_16 = "\ufe0f"
# Characters that belong to the one before them, beside combining marks: joiners, variation selectors, soft hyphens.
_attached = {"\u200c", "\u200d", "\u2060", "\u00ad", "\ufe0e", VARIATION_SELECTOR_16}
_separators = {" ", "\n", BREAK}
_separator = re.compile(rf"[ \n]{BREAK}?|{BREAK}")
# Scripts whose letters are joined (Unicode, ArabicShaping.txt) or hang from a line: spacing would tear them.
_joined = re.compile(r"[\u0600-\u08ff\ufb50-\ufdff\ufe70-\ufefc\u1800-\u18af\ua840-\ua87f\u0900-\u0a7f]")


def build_markup(text: str, family: str, size: float, line: float, letter_spacing: float) -> str:
    """Return a text as Pango markup, to be wrapped in a span with the line height and the letter spacing.

    Args:
        text: the text, with U+200B where lines may end in scripts without spaces.
        family: the font family of the layer.
        size: the font size in pixels.
        line: the height of a line in pixels.
        letter_spacing: in pixels.
    """
    fallback = find_fallback_characters(family, text)
    if not fallback and not (letter_spacing and _joined.search(text)):
        return escape(text)
    spacing = ' letter_spacing="0"' if letter_spacing else ""
    strut = f"<span{spacing}>{BREAK}</span>" if fallback else ""
    reduced = max(line - _largest_difference(family, fallback) * size, 1)
    parts = [strut]
    for (in_fallback, is_joined), run in groupby(_classify(text, fallback), key=lambda each: each[1]):
        content = escape("".join(character for character, _ in run))
        attributes = f' line_height="{round(reduced * PANGO_SCALE)}"' if in_fallback else ""
        attributes += spacing if is_joined else ""
        if attributes:
            parts.append(f"<span{attributes}>{content}</span>")
        else:
            parts.append(_separator.sub(lambda match: match[0].rstrip(BREAK) + strut, content) if strut else content)
    return "".join([*parts, strut])


def deepest_ink(family: str, text: str) -> float:
    """Return how far glyphs of a text can extend below the baseline, relative to the font size."""
    families = fallback_families(find_fallback_characters(family, text)) | {family}
    return max(font_metrics(each).deepest for each in families)


def _largest_difference(family: str, fallback: frozenset[str]) -> float:
    """Return by how much a fallback font would move the baseline at most, relative to the font size."""
    own = font_metrics(family).baseline
    return max((abs(font_metrics(each).baseline - own) for each in fallback_families(fallback)), default=0.0)


def _classify(text: str, fallback: frozenset[str]) -> Iterator[tuple[str, tuple[bool, bool]]]:
    """Yield each character, with whether it is in a fallback font and whether its letters are joined."""
    in_fallback = is_joined = False
    for position, character in enumerate(text):
        if character in _separators:
            in_fallback = is_joined = False
        elif character not in _attached and not unicodedata.combining(character):
            is_emoji = text[position + 1 : position + 2] == VARIATION_SELECTOR_16
            in_fallback, is_joined = character in fallback or is_emoji, bool(_joined.match(character))
        yield character, (in_fallback, is_joined)

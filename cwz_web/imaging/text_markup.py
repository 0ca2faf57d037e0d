"""Pango markup of a text whose characters come from several fonts, or whose letters must not be spaced.

Pango places a line by the largest ascent and descent of its fonts, so a single character from a fallback font would
move the baseline and the lines below. Runs in fallback fonts get a line height that stays within that of the layer's
own font, and each line gets a strut: an invisible character with the line height of the layer's own font.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from cwz_web.imaging.compositing import parse_color
from cwz_web.imaging.fonts import fallback_families, find_fallback_characters, font_families, font_metrics
from cwz_web.imaging.line_breaking import BREAK, MARKS
from cwz_web.imaging.text_runs import RunStyle

PANGO_SCALE = 1024
VARIATION_SELECTOR_16 = "\ufe0f"
# Characters that belong to the one before them, beside combining marks: joiners, variation selectors, soft hyphens.
_attached = {"\u200c", "\u200d", "\u2060", "\u00ad", "\ufe0e", VARIATION_SELECTOR_16}
_separators = {" ", "\n", BREAK}
_mark = re.compile(f"[{MARKS}]")
_separator = re.compile(rf"[ \n]{BREAK}?|{BREAK}")
# What ends with a separator, or with the text.
_separated = re.compile(rf"[^ \n{BREAK}]*(?:[ \n]{BREAK}?|{BREAK}|\Z)")
# Scripts whose letters are joined or hang from a line (Arabic, Mongolian, Devanagari), or have parts above, below and
# around each other (Thai, Khmer and other scripts of Brahmic origin): spacing would tear them.
_joined = re.compile(
    r"[\u0600-\u109f\u1700-\u1cff\ua800-\ua95f\ua980-\uaaff\uabc0-\uabff\ufb50-\ufdff\ufe70-\ufefc"
    r"\U00010a00-\U00010a5f\U00010ac0-\U00010aff\U00010b80-\U00010baf\U00010d00-\U00010d3f\U00010ec0-\U00011fff"
    r"\U00016100-\U0001613f\U00016d40-\U00016d7f\U0001e900-\U0001e95f]"
)
# Pango moves the points of Hebrew letters away from the letters that it spaces.
_points = re.compile(r"[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]")
_joined_or_hebrew = re.compile(rf"{_joined.pattern}|[\u0590-\u05ff]")


def build_markup(text: str, family: str, size: float, line: float, letter_spacing: float) -> str:
    """Return a text as Pango markup, to be wrapped in a span with the line height.

    Letters are only spaced by an attribute of their own run: Pango disables ligatures, which Khmer is written with,
    wherever the attribute is set, even if it is zero.

    Args:
        text: the text, with U+200B where lines may end in scripts without spaces.
        family: the font family of the layer.
        size: the font size in pixels.
        line: the height of a line in pixels.
        letter_spacing: in pixels.
    """
    fallback = find_fallback_characters(family, text)
    spacing = f' letter_spacing="{round(letter_spacing * PANGO_SCALE)}"' if letter_spacing else ""
    joined = _joined_or_hebrew if _points.search(text) else _joined
    if not fallback and not (spacing and joined.search(text)):
        return _wrap(_escape(text, spacing), spacing)
    strut = _escape(BREAK, spacing) if fallback else ""
    reduced = max(line - _largest_difference(family, fallback) * size, 1)
    parts = [strut]
    for (in_fallback, is_joined), run in groupby(_classify(text, fallback, joined), key=lambda each: each[1]):
        content = "".join(character for character, _ in run)
        run_spacing = "" if is_joined else spacing
        if strut and not in_fallback:
            content = _separator.sub(lambda match: match[0].rstrip(BREAK) + BREAK, content)
        line_height = f' line_height="{round(reduced * PANGO_SCALE)}"' if in_fallback else ""
        parts.append(_wrap(_escape(content, run_spacing), line_height + run_spacing))
    return "".join([*parts, strut])


def build_runs(
    parts: Sequence[tuple[str, RunStyle]],
    base: RunStyle,
    size: float,
    line: float,
    letter_spacing: float,
    language: str | None,
) -> str:
    """Return the runs of a text as Pango markup, to be wrapped in a span with the style of the base.

    A run in another font or size has a line height that stays within that of the base, as runs in fallback fonts have.

    Args:
        parts: the parts of the text with their style, with U+200B where lines may end in scripts without spaces.
        base: the style of the struts: in the layer's font, as large as the largest run.
        size: the layer's font size in pixels.
        line: the height of a line in pixels.
        letter_spacing: in pixels.
        language: the language of the text.
    """
    whole = "".join(text for text, _ in parts)
    own_texts: dict[str, str] = {}
    for text, style in parts:
        own_texts[style.typeface.family] = own_texts.get(style.typeface.family, "") + text
    fallback = {family: find_fallback_characters(family, text) for family, text in own_texts.items()}
    needs_struts = any(fallback.values()) or any(_differs(style, base) for _, style in parts)
    spacing = f' letter_spacing="{round(letter_spacing * PANGO_SCALE)}"' if letter_spacing else ""
    joined = _joined_or_hebrew if _points.search(whole) else _joined
    strut = _escape(BREAK, spacing) if needs_struts else ""
    markup = [strut]
    for text, style in parts:
        family = style.typeface.family
        attributes = _attributes(style, base, size, font_families(family, whole, language))
        classified = _classify(text, fallback[family], joined)
        for (in_fallback, is_joined), characters in groupby(classified, key=lambda each: each[1]):
            run_spacing = "" if is_joined else spacing
            families = fallback_families(fallback[family]) if in_fallback else {family}
            difference = max((_difference(style, base, each) for each in families), default=0.0) * size
            height = f' line_height="{round(max(line - difference, 1) * PANGO_SCALE)}"' if difference else ""
            content = "".join(character for character, _ in characters)
            markup.append(_strut(content, strut, attributes + height + run_spacing, run_spacing, not in_fallback))
    return "".join([*markup, strut])


def _strut(content: str, strut: str, attributes: str, spacing: str, has_separators: bool) -> str:
    """Return a run with a strut after each place where a line can end. A strut is in the font of the base."""
    if not strut or not has_separators:
        return _wrap(_escape(content, spacing), attributes)
    return "".join(
        _wrap(_escape(piece.rstrip(BREAK), spacing), attributes) + (strut if piece[-1] in _separators else "")
        for piece in _separated.findall(content)
        if piece
    )


def _attributes(style: RunStyle, base: RunStyle, size: float, families: str) -> str:
    """Return the attributes of a run that differ from the base."""
    color, opacity = parse_color(style.color)
    attributes = {
        "face": families if style.typeface != base.typeface else None,
        "size": round(style.scale * size * PANGO_SCALE) if style.scale != base.scale else None,
        "rise": round(style.rise * size * PANGO_SCALE) or None,
        "weight": style.weight if style.weight != base.weight else None,
        "style": ("italic" if style.italic else "normal") if style.italic != base.italic else None,
        "strikethrough": "true" if style.strike else None,
        "underline": "single" if style.underline else None,
        "foreground": f"#{bytes(color).hex()}" if style.color != base.color else None,
        "background": style.background,
        "fgalpha": max(round(opacity * 65535), 1) if style.color != base.color else None,
    }
    return "".join(f' {name}="{value}"' for name, value in attributes.items() if value is not None)


def _differs(style: RunStyle, base: RunStyle) -> bool:
    """Return whether the lines of a run would be placed differently from those of the base."""
    return style.typeface != base.typeface or style.scale != base.scale or style.rise != base.rise


def _difference(style: RunStyle, base: RunStyle, family: str) -> float:
    """Return by how much a font of a run would move the baseline of the base, relative to the layer's font size."""
    own = font_metrics(family).baseline * style.scale + 2 * style.rise
    return abs(own - font_metrics(base.typeface.family).baseline * base.scale)


def _escape(text: str, spacing: str) -> str:
    """Escape a text for markup. Marks of line breaks have no spacing, which would be added to that of the letters."""
    escaped = escape(text)
    return _mark.sub(lambda match: f'<span letter_spacing="0">{match[0]}</span>', escaped) if spacing else escaped


def _wrap(content: str, attributes: str) -> str:
    return f"<span{attributes}>{content}</span>" if attributes else content


def deepest_ink(family: str, text: str) -> float:
    """Return how far glyphs of a text can extend below the baseline, relative to the font size."""
    families = fallback_families(find_fallback_characters(family, text)) | {family}
    return max(font_metrics(each).deepest for each in families)


def _largest_difference(family: str, fallback: frozenset[str]) -> float:
    """Return by how much a fallback font would move the baseline at most, relative to the font size."""
    own = font_metrics(family).baseline
    return max((abs(font_metrics(each).baseline - own) for each in fallback_families(fallback)), default=0.0)


def _classify(text: str, fallback: frozenset[str], joined: re.Pattern[str]) -> Iterator[tuple[str, tuple[bool, bool]]]:
    """Yield each character, with whether it is in a fallback font and whether its letters are joined."""
    in_fallback = is_joined = False
    for position, character in enumerate(text):
        if character in _separators:
            in_fallback = is_joined = False
        elif character not in _attached and not unicodedata.combining(character):
            is_emoji = text[position + 1 : position + 2] == VARIATION_SELECTOR_16
            in_fallback, is_joined = character in fallback or is_emoji, bool(joined.match(character))
        yield character, (in_fallback, is_joined)

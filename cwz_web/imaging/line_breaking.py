"""Line-break opportunities that Pango does not find: it has no dictionaries, and breaks Korean between syllables.

Thai, Lao, Khmer and Burmese are written without spaces; ICU knows their words. Opportunities are marked with U+200B,
hyphens with U+00AD, and places without a break with U+2060 (Unicode Standard Annex 14).
"""

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate

import pyphen
from icu4py.breakers import CharacterBreaker, LineBreaker

BREAK, SOFT_HYPHEN, NO_BREAK = "\u200b", "\u00ad", "\u2060"
# What these functions add: characters without a width, as long as no line ends at a soft hyphen.
MARKS = BREAK + SOFT_HYPHEN + NO_BREAK
# A shorter word is not hyphenated.
MIN_WORD = 5
IDEOGRAPHIC_GROUP = 3

# Scripts of which ICU has a dictionary: Thai, Lao, Burmese and Khmer.
_unspaced = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\ua9e0-\ua9ff\uaa60-\uaa7f]{2,}")
# Han, kana and what is written with them.
_ideographic = re.compile(r"[\u2e80-\u312f\u3190-\ua4cf\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]{2,}")
_hangul = re.compile(r"(?<=[\uac00-\ud7a3])(?=[\uac00-\ud7a3])")
_word = re.compile(rf"[^\W\d_]{{{MIN_WORD},}}")


def mark_breaks(text: str) -> str:
    """Mark where lines may end in scripts without spaces, and where not in Korean.

    Pango breaks Chinese and Japanese correctly; they have a mark at some places, where it also adds a strut to the line
    (`text_markup.py`).
    """
    if text.isascii():
        return text
    text = _unspaced.sub(lambda match: BREAK.join(_segments(match[0])), text)
    text = _ideographic.sub(lambda match: BREAK.join(_join_each(_segments(match[0]), IDEOGRAPHIC_GROUP)), text)
    return _hangul.sub(NO_BREAK, text)


def can_hyphenate(language: str) -> bool:
    """Return whether there are hyphenation patterns for a language, such as `de` or `en-GB`."""
    return pyphen.language_fallback(language.replace("-", "_")) is not None


def mark_hyphens(text: str, language: str) -> str:
    """Mark where words of a language may be hyphenated."""
    hyphenate = _hyphenator(language)
    return _word.sub(lambda match: hyphenate(match[0]), text)


def character_ends(text: str) -> list[int]:
    """Return where characters, as users perceive them, end (Unicode Standard Annex 29)."""
    if text.isascii():
        return list(range(1, len(text) + 1))
    return list(accumulate(map(len, CharacterBreaker(text, "en"))))


def _segments(text: str) -> list[str]:
    return list(LineBreaker(text, "en"))


def _join_each(parts: list[str], number: int) -> list[str]:
    return ["".join(parts[at : at + number]) for at in range(0, len(parts), number)]


@lru_cache(maxsize=64)  # constant for a language
def _hyphenator(language: str) -> Callable[[str], str]:
    patterns = pyphen.Pyphen(lang=pyphen.language_fallback(language.replace("-", "_")))
    return lambda word: str(patterns.inserted(word, SOFT_HYPHEN))

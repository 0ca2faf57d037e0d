"""Upper and lower case by language (Unicode, SpecialCasing.txt)."""

import re
import unicodedata
from typing import Literal

Case = Literal["none", "upper", "lower", "title"]

# Languages with a dotted and a dotless i.
DOTTED = {"tr", "az"}
GREEK = "el"
_TONOS = "\u0301"
_word = re.compile(r"\w[\w’'-]*")
_dotless_lower = str.maketrans({"I": "ı", "İ": "i"})


def change_case(text: str, case: Case, language: str | None = None) -> str:
    """Change the case of a text.

    Args:
        text: the text.
        case: the case.
        language: a code such as `tr`; without it, what most languages have in common.
    """
    language = (language or "").partition("-")[0]
    match case:
        case "upper":
            return _upper(text, language)
        case "lower":
            return text.translate(_dotless_lower).lower() if language in DOTTED else text.lower()
        case "title":
            return _word.sub(lambda word: _capitalize(word[0], language), text)
    return text


def _upper(text: str, language: str) -> str:
    if language in DOTTED:
        return text.replace("i", "İ").upper()
    if language == GREEK:
        # Greek capitals have no accents, but keep a dialytika.
        plain = unicodedata.normalize("NFD", text).replace(_TONOS, "")
        return unicodedata.normalize("NFC", plain).upper()
    return text.upper()


def _capitalize(word: str, language: str) -> str:
    """Return a word with its first letter in upper case; other capitals are kept."""
    if language == "nl" and word.startswith("ij"):
        return "IJ" + word[2:]
    first = _upper(word[0], language) if language in DOTTED else word[0].upper()
    return first + word[1:]

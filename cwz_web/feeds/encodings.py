"""Detection of a text file's encoding, by its byte order mark, as UTF-8, or by how plausible the decoded words are.

Most legacy encodings decode any bytes, so that an encoding is chosen by the words that it gives: each non-ASCII letter
is scored by how likely it is in a language, next to its neighbors (language_samples.py), and signs inside words, upper
case after lower case, and mixed scripts count against it. UTF-8 with a few damaged bytes is a candidate, too.
"""

import codecs
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import BinaryIO

from cwz_web.feeds.language_samples import LANGUAGE_SAMPLES
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.i18n import gettext, gettext_noop, ngettext

CHUNK = 1024 * 1024
HEAD = 64 * 1024
# Lines with non-ASCII bytes are collected up to this size; later ones only for bytes that did not occur before.
SAMPLE_BYTES = 24 * 1024
MAX_SAMPLE_BYTES = 96 * 1024
MAX_LINE = 4096
# Of ten characters of UTF-16, how many are ASCII or of the script with the most characters.
WIDE_SHARE = 8
# Lines with replaced bytes that a note lists.
LISTED_LINES = 10

_WESTERN = ("de", "fr", "es", "pt", "it", "ca", "nl", "da", "sv", "fi", "is")
_CENTRAL = ("pl", "cs", "sk", "hu", "hr", "ro", "de")
_CYRILLIC = ("ru", "uk", "bg", "sr")
_JAPANESE, _CHINESE, _TAIWANESE, _KOREAN = ("ja",), ("zh",), ("zht",), ("ko",)
# Encodings that are told apart, with their languages. Of equally plausible ones the first is chosen.
LANGUAGES: dict[str, tuple[str, ...]] = {
    "utf-8": tuple(LANGUAGE_SAMPLES),
    "cp1252": _WESTERN,
    "cp1250": _CENTRAL,
    "cp1251": _CYRILLIC,
    "cp1253": ("el",),
    "cp1254": ("tr", "de", "fr"),
    "cp1255": ("he",),
    "cp1256": ("ar",),
    "cp1257": ("lt", "lv", "et"),
    "cp1258": ("vi",),
    "cp874": ("th",),
    "cp932": _JAPANESE,
    "euc_jp": _JAPANESE,
    "gb18030": _CHINESE,
    "cp950": _TAIWANESE,
    "cp949": _KOREAN,
    "iso8859-15": _WESTERN,
    "iso8859-2": _CENTRAL,
    "iso8859-9": ("tr", "de", "fr"),
    "iso8859-7": ("el",),
    "koi8-r": ("ru", "bg"),
    "koi8-u": ("uk",),
    "cp866": _CYRILLIC,
    "iso8859-5": _CYRILLIC,
    "mac-cyrillic": _CYRILLIC,
    "mac-roman": _WESTERN,
    "mac-latin2": _CENTRAL,
    "cp850": _WESTERN,
    "cp852": _CENTRAL,
}
# What a user can choose, by the name in the interface.
ENCODING_LABELS = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 LE",
    "utf-16-be": "UTF-16 BE",
    "cp1252": gettext_noop("Windows-1252 (Western)"),
    "cp1250": gettext_noop("Windows-1250 (Central European)"),
    "cp1251": gettext_noop("Windows-1251 (Cyrillic)"),
    "cp1253": gettext_noop("Windows-1253 (Greek)"),
    "cp1254": gettext_noop("Windows-1254 (Turkish)"),
    "cp1255": gettext_noop("Windows-1255 (Hebrew)"),
    "cp1256": gettext_noop("Windows-1256 (Arabic)"),
    "cp1257": gettext_noop("Windows-1257 (Baltic)"),
    "cp1258": gettext_noop("Windows-1258 (Vietnamese)"),
    "cp874": gettext_noop("Windows-874 (Thai)"),
    "latin-1": gettext_noop("ISO 8859-1 (Western)"),
    "iso8859-2": gettext_noop("ISO 8859-2 (Central European)"),
    "iso8859-5": gettext_noop("ISO 8859-5 (Cyrillic)"),
    "iso8859-7": gettext_noop("ISO 8859-7 (Greek)"),
    "iso8859-9": gettext_noop("ISO 8859-9 (Turkish)"),
    "iso8859-15": gettext_noop("ISO 8859-15 (Western with €)"),
    "koi8-r": gettext_noop("KOI8-R (Russian)"),
    "koi8-u": gettext_noop("KOI8-U (Ukrainian)"),
    "cp850": gettext_noop("DOS 850 (Western)"),
    "cp852": gettext_noop("DOS 852 (Central European)"),
    "cp866": gettext_noop("DOS 866 (Cyrillic)"),
    "mac-roman": "Mac Roman",
    "mac-latin2": gettext_noop("Mac Central European"),
    "mac-cyrillic": gettext_noop("Mac Cyrillic"),
    "cp932": gettext_noop("Shift_JIS (Japanese)"),
    "euc_jp": gettext_noop("EUC-JP (Japanese)"),
    "iso2022_jp": gettext_noop("ISO-2022-JP (Japanese)"),
    "gb18030": gettext_noop("GB 18030, GBK, GB 2312 (Simplified Chinese)"),
    "cp950": gettext_noop("Big5 (Traditional Chinese)"),
    "cp949": gettext_noop("EUC-KR (Korean)"),
}
# Natural logarithms of probabilities.
_UNKNOWN_LETTER = -11.0  # a letter that the language does not have
_UNDECODABLE = -12.0
_CONTROL = -12.0
_MIXED_SCRIPTS = -8.0
_WRONG_CASE = -6.0
_SIGN_IN_WORD = -8.0
_RARE_SIGN = -7.0
_COMMON_SIGN = -2.5
_EURO_SIGN = -0.5
_LONE_LETTER = -1.0
_MISPLACED_SIGN = -6.0
_FOREIGN_LETTER = -7.5  # a letter that most languages use in names and loanwords
# How rare encodings are today, compared with the first ones of their languages.
_RARITY = {
    "utf-8": -1.0,
    "iso8859-15": -1.0,
    "iso8859-2": -0.5,
    "iso8859-9": -0.5,
    "iso8859-7": -1.5,
    "iso8859-5": -2.0,
    "cp1250": -0.8,
    "cp1254": -0.8,
    "cp1257": -0.8,
    "cp1258": -2.0,
    "cp866": -1.0,
    "mac-cyrillic": -3.0,
    "mac-roman": -1.5,
    "mac-latin2": -3.5,
    "cp850": -1.5,
    "cp852": -3.0,
}
_common_signs = frozenset("€£§°®™©×–—…„“”‘’«»‹›·•½¼²³µ±¡¿ºª№\u00a0†‰¥、。「」・ー，：；（）！？％～【】《》")
_signs_after_letters = frozenset("’”“»«›‹®™©…°²³·–—\u00a0、。」・ー，：；）！？")
_foreign_letters = frozenset("éèáàíóúñçöüäôâêãå")
_non_ascii = re.compile(r"[^\x00-\x7f]")
_ascii_bytes = bytes(range(128))


@dataclass(frozen=True)
class TextEncoding:
    """The encoding of a file.

    Attributes:
        name: The name of the codec.
        has_marks: Whether byte order marks stand inside the text.
        notes: Which lines contain bytes that are not valid in the encoding, as sentences.
    """

    name: str
    has_marks: bool = False
    notes: list[str] = field(default_factory=list)


def detect_encoding(file: BinaryIO, chosen: str | None = None) -> TextEncoding:
    """Return the encoding of a text file.

    Args:
        file: The file.
        chosen: The encoding to use instead of a detected one.

    Raises:
        InvalidFileError: The file is not text.
    """
    file.seek(0)
    head = file.read(HEAD)
    name = chosen or _marked_encoding(head) or _wide_encoding(file, head)
    if name == "utf-16" and _marked_encoding(head) != name:
        # Python's codec fails without a byte order mark; browsers take such a file for little endian.
        name = _wide_encoding(file, head) or "utf-16-le"
    if name is None and b"\x1b$" in head and _is_valid(file, "iso2022_jp"):
        name = "iso2022_jp"
    checked = _check_text(file, name or "utf-8")
    if checked.is_valid or name:
        notes = [] if checked.is_valid else _damage_notes(file, name or "")
        return TextEncoding(name or "utf-8-sig", checked.has_marks, notes)
    name = most_plausible_encoding(b"".join(_lines_with_high_bytes(file)))
    if name == "utf-8":
        name = "utf-8-sig"
    checked = _check_text(file, name)
    return TextEncoding(name, checked.has_marks, [] if checked.is_valid else _damage_notes(file, name))


def convert_to_utf8(file: BinaryIO, encoding: str) -> BinaryIO:
    """Return a copy of a text file in UTF-8; what cannot be decoded is replaced."""
    converted, decoder = temporary_file(), codecs.getincrementaldecoder(encoding)("replace")
    file.seek(0)
    while data := file.read(CHUNK):
        converted.write(decoder.decode(data).encode("utf-8", "replace"))
    converted.write(decoder.decode(b"", final=True).encode("utf-8", "replace"))
    return converted


def encoding_key(codec: str) -> str:
    """Return the name in ENCODING_LABELS of a codec, which has several names."""
    name = codec.removesuffix("-sig")
    if name in ENCODING_LABELS:
        return name
    canonical = codecs.lookup(name).name
    return next((key for key in ENCODING_LABELS if codecs.lookup(key).name == canonical), canonical)


def most_plausible_encoding(sample: bytes) -> str:
    """Return the encoding whose words are the most plausible ones of a sample that is not valid UTF-8."""
    scores = {name: _score(sample, name) + _RARITY.get(name, 0.0) for name in LANGUAGES}
    return max(scores, key=scores.__getitem__)


@dataclass(frozen=True)
class _Check:
    is_valid: bool
    has_marks: bool


def _check_text(file: BinaryIO, encoding: str) -> _Check:
    """Decode a file to its end. Raises InvalidFileError if it contains NUL characters."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)("strict")
    has_marks = False
    try:
        while chunk := file.read(CHUNK):
            text = decoder.decode(chunk)
            if "\x00" in text:
                raise InvalidFileError(gettext("This is not a text file; save the table as CSV"))
            has_marks = has_marks or "\ufeff" in text
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _Check(False, True)
    return _Check(True, has_marks)


def _is_valid(file: BinaryIO, encoding: str) -> bool:
    return _check_text(file, encoding).is_valid


def _marked_encoding(head: bytes) -> str | None:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else None


def _wide_encoding(file: BinaryIO, head: bytes) -> str | None:
    """Return UTF-16 for a file without a byte order mark whose text is mostly ASCII, or that and one other script."""
    for wide, high_bytes in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        common = Counter(high_bytes).most_common(2)
        is_wide = 0 in dict(common) and sum(count for _, count in common) * 10 > len(high_bytes) * WIDE_SHARE
        if (is_wide or high_bytes.count(0) * 2 > len(high_bytes)) and _is_valid(file, wide):
            return wide
    return None


def _lines_with_high_bytes(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines with non-ASCII bytes: the first ones, and later ones with bytes that did not occur before."""
    file.seek(0)
    size, seen = 0, set[int]()
    while size < MAX_SAMPLE_BYTES and (chunk := file.read(CHUNK)):
        if size >= SAMPLE_BYTES and seen.issuperset(chunk.translate(None, _ascii_bytes)):
            continue
        for line in chunk.splitlines(keepends=True):
            high = line.translate(None, _ascii_bytes)
            if high and (size < SAMPLE_BYTES or not seen.issuperset(high)):
                seen.update(high)
                size += len(line[:MAX_LINE])
                yield line[:MAX_LINE]
            if size >= MAX_SAMPLE_BYTES:
                break


def _damage_notes(file: BinaryIO, encoding: str) -> list[str]:
    """Return a note with the lines that contain bytes that the encoding cannot decode."""
    label = ENCODING_LABELS.get("utf-8" if encoding == "utf-8-sig" else encoding, encoding).partition(" (")[0]
    if encoding.startswith("utf-16"):
        return [gettext("Some bytes are not %(encoding)s and were replaced by “\ufffd”", encoding=label)]
    file.seek(0)
    lines, count = list[int](), 0
    decoder = codecs.getdecoder("utf-8" if encoding == "utf-8-sig" else encoding)
    for number, line in enumerate(iter(lambda: file.readline(CHUNK), b""), 1):
        if line.isascii():
            continue
        try:
            decoder(line, "strict")
        except UnicodeDecodeError:
            count += 1
            if len(lines) < LISTED_LINES:
                lines.append(number)
    if not lines:
        return []
    numbers, more = ", ".join(map(str, lines)), count - len(lines)
    if count == 1:
        where = gettext("Line %(number)s", number=numbers)
    elif more:
        where = ngettext(
            "Lines %(numbers)s and %(count)s more", "Lines %(numbers)s and %(count)s more", more, numbers=numbers
        )
    else:
        where = gettext("Lines %(numbers)s", numbers=numbers)
    return [gettext("%(lines)s: a byte is not %(encoding)s and was replaced by “\ufffd”", lines=where, encoding=label)]


def _score(sample: bytes, encoding: str) -> float:
    """Return the logarithm of the probability of a sample's non-ASCII characters in an encoding."""
    text = sample.decode(encoding, "replace")
    if encoding == "cp1258":
        text = unicodedata.normalize("NFC", text)
    contexts: Counter[tuple[str, str, str, str]] = Counter()
    padded = f"  {text} "
    for match in _non_ascii.finditer(text):
        start = match.start()
        contexts[padded[start], padded[start + 1], padded[start + 2], padded[start + 3]] += 1
    letters: list[tuple[tuple[str, str, str, str], int]] = []
    total = 0.0
    for context, count in contexts.items():
        total += _shape_score(*context) * count
        if _is_letter(context[2]):
            letters.append((context, count))
    return total + max(_language_score(letters, name) for name in LANGUAGES[encoding])


def _shape_score(before: str, previous: str, character: str, following: str) -> float:
    """Score a non-ASCII character by its kind and its neighbors, without regard to a language."""
    if character == "\ufffd":
        return _UNDECODABLE
    if _is_letter(character):
        return _letter_shape_score(before, previous, character, following)
    if unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs"):
        return _CONTROL
    if previous.isalpha() and following.isalpha() and _script(character) != "cjk":
        if character == "’":
            return _COMMON_SIGN
        return _MISPLACED_SIGN if character in "·-–\u00a0" else _SIGN_IN_WORD
    if character not in _common_signs:
        return _RARE_SIGN
    is_after_letter, is_before_letter = previous.isalpha(), following.isalpha()
    is_misplaced = (
        (is_after_letter and character not in _signs_after_letters)
        or (character in "²³" and previous not in "mM")
        or (character in "¿¡" and not is_before_letter)
        or (character in "°½¼¾ºª¹" and is_after_letter)
        or (not previous.isascii() and not previous.isalpha() and _script(character) != "cjk")
    )
    if is_misplaced:
        return _MISPLACED_SIGN
    return _EURO_SIGN if character == "€" else _COMMON_SIGN


def _is_letter(character: str) -> bool:
    """Whether a character is a letter, or a mark that is part of one."""
    return unicodedata.category(character)[0] in "LM"


def _letter_shape_score(before: str, previous: str, character: str, following: str) -> float:
    score, script = 0.0, _script(character)
    if not _is_letter(previous) and not _is_letter(following):
        score += _LONE_LETTER
    for neighbor in (previous, following):
        if neighbor.isalpha() and script != (other := _script(neighbor)):
            score += _MIXED_SCRIPTS / 4 if "cjk" in (script, other) else _MIXED_SCRIPTS
    if (character.isupper() and previous.islower()) or (
        character.islower() and previous.isupper() and before.isupper()
    ):
        score += _WRONG_CASE
    if character.islower() and following.isupper():
        score += _WRONG_CASE
    return score


@dataclass(frozen=True)
class _Language:
    """How often a language's non-ASCII letters occur: alone, after a letter, and before a letter."""

    alone: dict[str, float]
    after: dict[str, float]
    before: dict[str, float]


@lru_cache(len(LANGUAGE_SAMPLES))
def _language(name: str) -> _Language:
    """Learn the letters of a language from its sample."""
    text = " ".join(["", *LANGUAGE_SAMPLES[name].split(), ""])
    pairs = list(pairwise(text))
    alone = Counter(character for character in text if not character.isascii())
    after = Counter(previous + character for previous, character in pairs if not character.isascii())
    before = Counter(character + following for character, following in pairs if not character.isascii())
    total = alone.total()
    return _Language(
        {character: count / total for character, count in alone.items()},
        _conditional(after, 0),
        _conditional(before, 1),
    )


def _conditional(pairs: Counter[str], condition: int) -> dict[str, float]:
    """Return the frequency of each pair among the pairs with the same character at a place."""
    totals: Counter[str] = Counter()
    for pair, count in pairs.items():
        totals[pair[condition]] += count
    return {pair: count / (totals[pair[condition]] + 2) for pair, count in pairs.items()}


def _language_score(letters: list[tuple[tuple[str, str, str, str], int]], name: str) -> float:
    total, language = 0.0, _language(name)
    for (_, previous, character, following), count in letters:
        lower = character.lower()
        alone = language.alone.get(lower)
        if alone is None:
            total += _unknown_letter_score(lower, name) * count
            continue
        previous = previous.lower() if _is_letter(previous) else " "
        following = following.lower() if _is_letter(following) else " "
        after = 0.3 * alone + 0.7 * language.after.get(previous + lower, 0.0)
        before = 0.3 * alone + 0.7 * language.before.get(lower + following, 0.0)
        total += (math.log(after) + math.log(before)) * 0.6 * count
    return total


def _unknown_letter_score(character: str, language: str) -> float:
    """Score a letter that the sample of a language lacks; of the thousands of Chinese ones most are missing."""
    if "\u4e00" <= character <= "\u9fff":
        return -9.0 if language != "ko" and _is_frequent_ideograph(character, language) else -14.0
    if "\uac00" <= character <= "\ud7a3":
        return -9.0 if _is_encodable(character, "euc_kr") else -14.0
    if "\u30a1" <= character <= "\u30fa" or "\u3041" <= character <= "\u3096":
        return -8.0 if language == "ja" else -14.0
    return _FOREIGN_LETTER if character in _foreign_letters else _UNKNOWN_LETTER


def _is_frequent_ideograph(character: str, language: str) -> bool:
    """Whether a character is in the first level of its language's standard, which has the frequent ones."""
    encoding, last = {"zh": ("gb2312", 0xD7), "zht": ("big5", 0xC6)}.get(language, ("euc_jp", 0xCF))
    return _is_encodable(character, encoding) and character.encode(encoding)[0] <= last


def _is_encodable(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _script(character: str) -> str:
    code = ord(character)
    if code < 0x250 or 0x300 <= code < 0x370 or 0x1E00 <= code < 0x1F00:
        return "latin"
    if code < 0x700:
        return "greek" if code < 0x400 else "cyrillic" if code < 0x530 else "hebrew" if code < 0x600 else "arabic"
    return "thai" if 0xE00 <= code < 0xE80 else "cjk"

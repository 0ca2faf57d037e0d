"""Messages that are stored in English, in the language of their reader: findings, notes on imports, errors.

What workers store and the API returns is an English sentence. A page finds the message of the catalog that the sentence
was made of, reads the values of its variables from the sentence, and translates the message with them. So the stored
data, the protocol of render workers and the API need nothing for it, and rows of any age are translated.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Self

from cwz_web.i18n import (
    Language,
    LazyMessage,
    as_clause,
    current_language,
    current_locale,
    gettext,
    ngettext,
    number,
    translate,
)

# A longer text is not searched: no message is that long, unless a part was cut off.
MAX_LENGTH = 1000
# What is left of a message without its variables tells it from other sentences if it has so many letters.
_MIN_LETTERS = 8
# A message contains another one that contains a third one, and so on.
_MAX_DEPTH = 4
_variable = re.compile(r"%\((\w+)\)s")
_grouped = re.compile(r"\d{1,3}(,\d{3})+")
_quotes = frozenset("“”")


@dataclass(frozen=True)
class _Pattern:
    """A message with variables.

    Attributes:
        singular: The message for one, or its only form.
        plural: The message for other numbers; empty if it has one form.
        names: The names of the variables, in the order of their places.
        literals: The texts around the variables, one more than these.
        quoted: The variables in quotation marks: texts of users, which are not translated.
        letters: The number of letters of the literals.
    """

    singular: str
    plural: str
    names: tuple[str, ...]
    literals: tuple[str, ...]
    quoted: frozenset[str]
    letters: int

    @classmethod
    def of(cls, form: str, singular: str, plural: str = "") -> Self:
        """Split a form of a message at its variables."""
        names = _variable.findall(form)
        literals = [literal.replace("%%", "%") for literal in _variable.split(form)[::2]]
        places = zip(names, literals, literals[1:], strict=False)
        quoted = frozenset(name for name, before, after in places if before.endswith("“") and after.startswith("”"))
        return cls(singular, plural, tuple(names), tuple(literals), quoted, _count_letters("".join(literals)))

    @property
    def is_specific(self) -> bool:
        """Whether other sentences do not have its form, as they have that of “%(one)s and %(other)s”."""
        return self.letters >= _MIN_LETTERS or bool(self.quoted or self.literals[0])

    def read(self, text: str) -> Iterator[dict[str, str]]:
        """Yield the values with which the message is a text: with the shortest values first, then the longest."""
        first, *inner, last = self.literals
        if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
            return
        end = len(text) - len(last)
        for find in (str.find, str.rfind) if inner else (str.find,):
            values: list[str] = []
            start = len(first)
            for literal in inner:
                at = find(text, literal, start, end)
                if at < 0:
                    return
                values.append(text[start:at])
                start = at + len(literal)
            values.append(text[start:end])
            found = dict(zip(self.names, values, strict=True))
            # A variable with two places has one value.
            if all(found[name] == value for name, value in zip(self.names, values, strict=True)):
                yield found


@dataclass(frozen=True)
class _Messages:
    """The messages of a language that are stored: those without variables, and the others, the longest first."""

    plain: frozenset[str]
    patterns: tuple[_Pattern, ...]


@dataclass(frozen=True)
class _Translation:
    """A text in the current language, and how many letters of it may be English still."""

    text: str
    unknown: int = 0


def translate_stored(text: str) -> str:
    """Return a text that was stored in English in the current language; as it is if it is not of a known message."""
    if isinstance(text, LazyMessage):
        return translate(text)
    found = _find_translation(current_language(), current_locale(), text, 0)
    return found.text if found else text


@lru_cache(4096)
def _find_translation(language: Language, locale: str, text: str, depth: int) -> _Translation | None:
    """Return the translation of a text; None if no message is known that it was made of.

    Args:
        language: The current language.
        locale: The current locale, since numbers differ between those of a language.
        text: The text in English.
        depth: How many messages contain it.
    """
    if not language.stored or len(text) > MAX_LENGTH or depth > _MAX_DEPTH:
        return None
    if found := _match(language, locale, text, depth):
        return found
    # A sentence that is a part of another one begins in lower case.
    sentence = text[:1].upper() + text[1:]
    found = _match(language, locale, sentence, depth) if sentence != text and " " in text else None
    return replace(found, text=as_clause(found.text)) if found else None


def _match(language: Language, locale: str, text: str, depth: int) -> _Translation | None:
    """Return the translation by the message that leaves the fewest letters in English."""
    messages = _messages_of(language)
    if text in messages.plain:
        return _Translation(gettext(text))
    best: _Translation | None = None
    for pattern in messages.patterns:
        for values in pattern.read(text):
            parts = {
                name: _Translation(value, _count_letters(value) if _quotes.intersection(value) else 0)
                if name in pattern.quoted
                else _translate_part(language, locale, value, depth + 1)
                for name, value in values.items()
            }
            if pattern.letters < _MIN_LETTERS and not all(parts.values()):
                continue
            known = {
                name: part or _Translation(values[name], _count_letters(values[name])) for name, part in parts.items()
            }
            unknown = sum(part.unknown for part in known.values())
            if best is None or unknown < best.unknown:
                translated = _format(pattern, values, {name: part.text for name, part in known.items()})
                best = _Translation(translated, unknown) if translated else best
        if best and not best.unknown:
            break
    return best


def _translate_part(language: Language, locale: str, part: str, depth: int) -> _Translation | None:
    """Return the translation of the value of a variable; None for letters that are not of a known message."""
    if _grouped.fullmatch(part):
        return _Translation(number(int(part.replace(",", ""))))
    return _find_translation(language, locale, part, depth) or (None if _count_letters(part) else _Translation(part))


def _count_letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def _format(pattern: _Pattern, values: Mapping[str, str], translated: dict[str, str]) -> str | None:
    """Return the translation of a message with values; None if its number is none."""
    if not pattern.plural:
        return gettext(pattern.singular, **translated)
    count = values.get("count", "1").replace(",", "")
    if not (count.isascii() and count.isdecimal()):
        return None
    translated.pop("count", None)
    return ngettext(pattern.singular, pattern.plural, int(count), **translated)


@cache
def _messages_of(language: Language) -> _Messages:
    plain, patterns = set[str](), list[_Pattern]()
    for singular, plural in language.stored:
        if not plural and not _variable.search(singular):
            plain.add(singular)
            continue
        patterns += [_Pattern.of(form, singular, plural) for form in (singular, plural) if form]
    patterns = [pattern for pattern in patterns if pattern.is_specific]
    patterns.sort(key=lambda pattern: pattern.letters, reverse=True)
    return _Messages(frozenset(plain), tuple(patterns))

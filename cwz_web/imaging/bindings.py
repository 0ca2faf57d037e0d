"""Bindings: `{{ column | filter | filter(argument, argument) }}` inside a layer's text.

A closed, tiny language on purpose: no expressions, no loops, nothing that a template could do to a server. The filters
are those of `filters.py`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from cwz_web.imaging.filters import FILTERS

FIELD_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,62}"

_binding = re.compile(r"\{\{(.*?)(\}\}|\Z)", re.DOTALL)
_field = re.compile(rf"\A{FIELD_NAME}\Z")
_argument = r"""(?:"[^"]*"|'[^']*'|\d+)"""
_filter = re.compile(rf"\A([a-z_]+)(?:\(\s*({_argument}(?:\s*,\s*{_argument})*)?\s*\))?\Z")
_arguments = re.compile(_argument)
# Up to the next pipe that stands in no quotes.
_part = re.compile(r"""((?:[^|"']|"[^"]*"|'[^']*'|["'])*)\|""")


class BindingError(ValueError):
    """A binding is not written as one; the message quotes it."""


@dataclass(frozen=True)
class Binding:
    """One `{{ … }}`: a column and the filters that its value passes through."""

    field: str
    filters: tuple[tuple[Callable[..., str], tuple[object, ...]], ...]

    def resolve(self, values: Mapping[str, str]) -> str:
        text = values[self.field]
        for function, arguments in self.filters:
            text = function(text, *arguments)
        return text


@dataclass(frozen=True)
class BoundText:
    """Text with bindings in it, parsed once and resolved for each row."""

    parts: tuple[str | Binding, ...]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(part.field for part in self.parts if isinstance(part, Binding))

    def resolve(self, values: Mapping[str, str]) -> str:
        """The text for a row. `values` holds every column that is bound."""
        return "".join(part if isinstance(part, str) else part.resolve(values) for part in self.parts)


@lru_cache(maxsize=4096)
def parse(text: str) -> BoundText:
    """Parse the bindings of a text. Raises BindingError, which quotes what is wrong and says what would be right."""
    parts: list[str | Binding] = []
    end = 0
    for match in _binding.finditer(text):
        if not match[2]:
            raise BindingError(f"“{match[0][:40]}” is never closed: end it with }}}}")
        parts += [text[end : match.start()], _parse_binding(match[1])]
        end = match.end()
    return BoundText(tuple(part for part in [*parts, text[end:]] if part != ""))


def _parse_binding(inside: str) -> Binding:
    field, *filters = (part.strip() for part in _part.findall(inside + "|"))
    if not _field.match(field):
        raise BindingError(f"“{{{{{inside}}}}}” does not name a column: use letters, digits and _")
    return Binding(field, tuple(_parse_filter(each) for each in filters))


def _parse_filter(written: str) -> tuple[Callable[..., str], tuple[object, ...]]:
    match = _filter.match(written)
    if match is None or match[1] not in FILTERS:
        raise BindingError(f"“{written}” is not a filter; there are {', '.join(sorted(FILTERS))}")
    found = FILTERS[match[1]]
    arguments = [each if each.isdecimal() else each[1:-1] for each in _arguments.findall(match[2] or "")]
    try:
        return found.function, found.arguments(match[1], arguments)
    except ValueError as error:
        raise BindingError(str(error)) from None

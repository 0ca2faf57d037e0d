"""Bindings: `{{ column | filter | filter(argument) }}` inside a layer's text.

A closed, tiny language on purpose: no expressions, no loops, nothing that a template could do to a server. A filter
takes text and gives text.
"""

import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

COLUMN = r"[A-Za-z_][A-Za-z0-9_]{0,62}"

_binding = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_column = re.compile(rf"\A{COLUMN}\Z")
_filter = re.compile(r"""\A([a-z_]+)(?:\(\s*(?:"([^"]*)"|'([^']*)'|(\d+))\s*\))?\Z""")
_pipe = re.compile(r"""\|(?=(?:[^"']|"[^"]*"|'[^']*')*\Z)""")
_block_end = re.compile(r"</(?:p|div|li|h[1-6]|tr)\s*>|<br\s*/?>", re.IGNORECASE)
_hidden = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_tag = re.compile(r"</?[A-Za-z][^<>]*>")


class BindingError(ValueError):
    """A binding is not written as one; the message quotes it."""


def strip_html(text: str) -> str:
    """The text that a browser would show of a piece of HTML, on one line a block."""
    text = _tag.sub("", _block_end.sub("\n", _hidden.sub("", text)))
    lines = (" ".join(line.split()) for line in html.unescape(text).splitlines())
    return "\n".join(line for line in lines if line)


def truncate(text: str, length: int) -> str:
    """At most `length` characters, cut between words where there is one, with an ellipsis."""
    if len(text) <= length:
        return text
    cut = text[: max(length - 1, 0)]
    head, space, _ = cut.rpartition(" ")
    return (head if space and len(head) > length // 2 else cut).rstrip() + "…"


# name -> (function, the kind of argument it takes)
FILTERS: dict[str, tuple[Callable[..., str], type[int] | type[str] | None]] = {
    "upper": (str.upper, None),
    "lower": (str.lower, None),
    "title": (str.title, None),
    "strip_html": (strip_html, None),
    "truncate": (truncate, int),
    "default": (lambda text, other: text if text.strip() else other, str),
}


@dataclass(frozen=True)
class Binding:
    """One `{{ … }}`: a column and the filters that its value passes through."""

    column: str
    filters: tuple[tuple[Callable[..., str], tuple[object, ...]], ...]

    def resolve(self, values: Mapping[str, str]) -> str:
        text = values[self.column]
        for function, arguments in self.filters:
            text = function(text, *arguments)
        return text


@dataclass(frozen=True)
class BoundText:
    """Text with bindings in it, parsed once and resolved for each row."""

    parts: tuple[str | Binding, ...]

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(part.column for part in self.parts if isinstance(part, Binding))

    def resolve(self, values: Mapping[str, str]) -> str:
        """The text for a row. `values` holds every column that is bound."""
        return "".join(part if isinstance(part, str) else part.resolve(values) for part in self.parts)


def parse(text: str) -> BoundText:
    """Parse the bindings of a text. Raises BindingError, which quotes what is wrong and says what would be right."""
    parts: list[str | Binding] = []
    end = 0
    for match in _binding.finditer(text):
        parts += [text[end : match.start()], _parse_binding(match[1])]
        end = match.end()
    rest = text[end:]
    if "{{" in rest:
        raise BindingError(f"“{rest[rest.index('{{') :][:40]}” is never closed: end it with }}}}")
    return BoundText(tuple(part for part in [*parts, rest] if part != ""))


def _parse_binding(inside: str) -> Binding:
    column, *filters = (part.strip() for part in _pipe.split(inside))
    if not _column.match(column):
        raise BindingError(f"“{{{{{inside}}}}}” does not name a column: use letters, digits and _")
    return Binding(column, tuple(_parse_filter(each) for each in filters))


def _parse_filter(written: str) -> tuple[Callable[..., str], tuple[object, ...]]:
    match = _filter.match(written)
    if match is None or match[1] not in FILTERS:
        raise BindingError(f"“{written}” is not a filter; there are {_names(FILTERS)}")
    function, takes = FILTERS[match[1]]
    quoted = match[2] if match[2] is not None else match[3]
    given: object = int(match[4]) if match[4] is not None else quoted
    if takes is None and given is None:
        return function, ()
    if takes is None or not isinstance(given, takes):
        wanted = {
            None: "takes no argument",
            int: "takes a number, as in truncate(40)",
            str: 'takes a text, as in default("none")',
        }
        raise BindingError(f"The filter {match[1]} {wanted[takes]}")
    return function, (given,)


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))

"""Bindings: `{{ field | filter | filter(argument, argument) }}` inside a layer's text.

The language is closed on purpose: it has no expressions and no loops, so a template cannot do any harm. The filters are
in `filters.py`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cwz_web.i18n import gettext
from cwz_web.imaging.filters import FILTERS, decode_html, raw
from cwz_web.values.formats import Unclear

# The locale of the image among the values of a row, if one was asked for. No field or expression has this name.
LOCALE_KEY = "==locale"
FIELD_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
# The entry of a repeated stack, its number, and how many there are; `item.name` is a member of an entry.
ENTRY_NAMES = frozenset({"item", "index", "count"})
ENTRY_MEMBER = "item."
BOUND_NAME = rf"(?:item\.)?{FIELD_NAME}"

_binding = re.compile(r"\{\{(.*?)(\}\}|\Z)", re.DOTALL)
_field = re.compile(rf"\A{BOUND_NAME}\Z")
_argument = r"""(?:"[^"]*"|'[^']*'|\d+)"""
_filter = re.compile(rf"\A([a-z_]+)(?:\(\s*({_argument}(?:\s*,\s*{_argument})*)?\s*\))?\Z")
_arguments = re.compile(_argument)
# Everything up to the next pipe outside of quotes.
_part = re.compile(r"""((?:[^|"']|"[^"]*"|'[^']*'|["'])*)\|""")


class BindingError(ValueError):
    """A binding has a syntax error; the message quotes it."""


@dataclass(frozen=True)
class BoundFilter:
    """A filter with its arguments.

    Attributes:
        function: the filter.
        arguments: its arguments.
        takes_locale: whether it has a locale for the output, and the arguments do not name one.
    """

    function: Callable[..., str | Unclear]
    arguments: tuple[object, ...]
    takes_locale: bool

    def apply(self, text: str, locale: str | None) -> str | Unclear:
        """Return the filtered text.

        Args:
            text: the text.
            locale: the locale of the image, if one was asked for.
        """
        if locale and self.takes_locale:
            return self.function(text, *self.arguments, locale=locale)
        return self.function(text, *self.arguments)


@dataclass(frozen=True)
class Binding:
    """One `{{ … }}`: a field and the filters that its value passes through."""

    field: str
    filters: tuple["BoundFilter", ...]

    def resolve(self, values: Mapping[str, str]) -> tuple[str, Unclear | None]:
        """Return the text for a row, and why a filter left it as it was.

        HTML in the value is decoded, unless the first filter is `raw`.
        """
        text, unclear = values[self.field], None
        if not self.filters or self.filters[0].function is not raw:
            text = decode_html(text)
        for each in self.filters:
            result = each.apply(text, values.get(LOCALE_KEY))
            if not isinstance(result, Unclear):
                text = result
            elif text.strip():
                unclear = result
        return text, unclear


@dataclass(frozen=True)
class BoundText:
    """A parsed text with bindings, which is resolved for each row."""

    parts: tuple[str | Binding, ...]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(part.field for part in self.parts if isinstance(part, Binding))

    def resolve(self, values: Mapping[str, str]) -> tuple[str, tuple[tuple[str, Unclear], ...]]:
        """Return the text for a row, and the field of each value that a filter left as it was, with the reason.

        The text of a single binding keeps its format.

        Args:
            values: the row, which has every bound field.
        """
        texts: list[str] = []
        unclear_values: list[tuple[str, Unclear]] = []
        for part in self.parts:
            text, unclear = (part, None) if isinstance(part, str) else part.resolve(values)
            texts.append(text)
            if isinstance(part, Binding) and unclear:
                unclear_values.append((part.field, unclear))
        return texts[0] if len(texts) == 1 else "".join(texts), tuple(unclear_values)


def is_entry_name(name: str) -> bool:
    """Return whether a name stands for a part of the entry of a repeated stack."""
    return name in ENTRY_NAMES or name.startswith(ENTRY_MEMBER)


def parse_bindings(text: str) -> BoundText:
    """Parse the bindings of a text. Raises BindingError, which quotes the error and says how to fix it."""
    parts: list[str | Binding] = []
    end = 0
    for match in _binding.finditer(text):
        if not match[2]:
            raise BindingError(gettext("“%(text)s” is not closed. End it with }}", text=match[0][:40]))
        parts += [text[end : match.start()], _parse_binding(match[1])]
        end = match.end()
    return BoundText(tuple(part for part in [*parts, text[end:]] if part != ""))


def _parse_binding(inner: str) -> Binding:
    field, *filters = (part.strip() for part in _part.findall(inner + "|"))
    if not _field.match(field):
        raise BindingError(gettext("“{{%(name)s}}” is not a field name. Use letters, digits and _", name=inner))
    return Binding(field, tuple(_parse_filter(text) for text in filters))


def _parse_filter(text: str) -> BoundFilter:
    match = _filter.match(text)
    if match is None or match[1] not in FILTERS:
        names = ", ".join(sorted(FILTERS))
        raise BindingError(gettext("“%(text)s” is not a filter. Use one of: %(names)s", text=text, names=names))
    name = match[1]
    arguments = [each if each.isdecimal() else each[1:-1] for each in _arguments.findall(match[2] or "")]
    known = FILTERS[name]
    try:
        parsed = known.parse_arguments(name, arguments)
        return BoundFilter(known.function, parsed, known.has_locale and len(parsed) < len(known.parsers))
    except ValueError as error:
        raise BindingError(str(error)) from None

"""The entries of repeated stacks: what their layers can use beside the fields of the row.

`item` is the entry, `index` its number, and `count` how many entries are shown. Of an entry that is an object,
`item.name` is a member. In the layers of a stack, these names hide fields of the same name.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from cwz_web.imaging.bindings import ENTRY_MEMBER, is_entry_name
from cwz_web.imaging.expression_functions import EvaluationContext
from cwz_web.imaging.expressions import Expression, FieldValue, parse_expression
from cwz_web.imaging.field_values import FieldText, computed_text, result_key
from cwz_web.imaging.filters import decode_html
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layers import Container, Repeat, StackLayer
from cwz_web.imaging.lists import split_list
from cwz_web.values.formats import UNKNOWN, ValueFormat, format_of, with_format

# Where the values of an entry say which entry of which lists they belong to. No field has this name.
ENTRY_KEY = "==entry"
# What follows an expression in the name of its result for an entry.
_path = re.compile(r"(?:/[\w.]+:\d+:\d+)*")


@dataclass(frozen=True)
class EntryUse:
    """What the layers of a repeated stack use of its entries.

    Attributes:
        names: the names, such as `index` and `item.name`.
        sources: the expressions with one of these names.
    """

    names: frozenset[str] = frozenset()
    sources: tuple[str, ...] = ()

    @classmethod
    def of(cls, stack: StackLayer) -> "EntryUse":
        """Find what the layers use. Those of a repeated stack in the stack use the entries of that one."""
        layers = list(_own_layers(stack))
        fields = frozenset[str]().union(*(layer.own_fields() for layer in layers))
        sources = dict.fromkeys(source for layer in layers for source in layer.expressions() if _uses_entry(source))
        return cls(frozenset(filter(is_entry_name, fields)), tuple(sources))


class RepeatedExpressions:
    """The expressions in a repeated stack that differ between its entries.

    Args:
        repeat: the list of the stack.
        stack: the stack.
    """

    def __init__(self, repeat: Repeat, stack: StackLayer) -> None:
        self._repeat, self._use = repeat, EntryUse.of(stack)
        self._expressions: list[Expression] = [parse_expression(source) for source in self._use.sources]
        self._inner = list(repeated_expressions(_own_layers(stack)))

    def evaluate(
        self, values: Mapping[str, str], known: Mapping[str, FieldValue], context: EvaluationContext
    ) -> Iterator[tuple[str, str]]:
        """Yield the results for all entries, with the names that `entry_values` looks for.

        Args:
            values: the row, or the values of the entry that the stack is in.
            known: what expressions compute with.
            context: what they depend on beside the values.
        """
        if not self._expressions and not self._inner:
            return
        for entry in _read_entries(self._repeat, self._use, values):
            own = {**known, **{name: _value(entry[name]) for name in self._use.names}}
            for expression in self._expressions:
                result = expression.evaluate(own, context)
                yield _entry_key(expression.source, entry), computed_text(result, expression.source)
            for inner in self._inner:
                yield from inner.evaluate(entry, own, context)


def repeated_expressions(layers: Iterable[Layer]) -> Iterator[RepeatedExpressions]:
    """Yield those of each repeated stack that is in no other one."""
    for layer in layers:
        if isinstance(layer, StackLayer) and layer.repeat:
            yield RepeatedExpressions(layer.repeat, layer)
        elif isinstance(layer, Container):
            yield from repeated_expressions(layer.layers)


def row_expressions(layers: Iterable[Layer], *, in_repeat: bool = False) -> Iterator[str]:
    """Yield the expressions of layers, and of the layers in them, that are evaluated once for a row."""
    for layer in layers:
        yield from (source for source in layer.expressions() if not (in_repeat and _uses_entry(source)))
        if isinstance(layer, Container):
            is_repeated = isinstance(layer, StackLayer) and layer.repeat is not None
            yield from row_expressions(layer.layers, in_repeat=in_repeat or is_repeated)


def entry_values(repeat: Repeat, use: EntryUse, values: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Yield the values for each entry of a list, with the results of expressions.

    Args:
        repeat: the list, and how many of its entries are shown.
        use: what the layers use of the entries.
        values: the row, or the values of the entry that the stack is in.
    """
    for entry in _read_entries(repeat, use, values):
        results = {result_key(source): values[_entry_key(source, entry)] for source in use.sources}
        yield {**entry, **results}


def find_results(values: Mapping[str, str], source: str) -> list[FieldText]:
    """Return the results of an expression for a row: one, or one for each entry of a repeated stack."""
    key = result_key(source)
    found = [text for name, text in values.items() if name.startswith(key) and _path.fullmatch(name[len(key) :])]
    return [text for text in found if isinstance(text, FieldText)]


def _read_entries(repeat: Repeat, use: EntryUse, values: Mapping[str, str]) -> Iterator[dict[str, str]]:
    text = values[repeat.field]
    typed = text.value if isinstance(text, FieldText) else None
    entries = typed if isinstance(typed, tuple) else split_list(text)
    shown = [with_format(entry, format_of(text)) for entry in entries[: repeat.limit]]
    for number, entry in enumerate(shown, start=1):
        path = f"{values.get(ENTRY_KEY, '')}/{repeat.field}:{repeat.limit}:{number}"
        own = {"item": entry, "index": _number_text(number), "count": _number_text(len(shown))}
        yield {**values, ENTRY_KEY: path, **own, **_read_members(entry, use.names)}


def _own_layers(stack: Container) -> Iterator[Layer]:
    """Yield all layers in a container, without those in repeated stacks in it."""
    for layer in stack.layers:
        yield layer
        if isinstance(layer, Container) and not (isinstance(layer, StackLayer) and layer.repeat):
            yield from _own_layers(layer)


def _uses_entry(source: str) -> bool:
    return any(map(is_entry_name, parse_expression(source).fields))


def _entry_key(source: str, entry: Mapping[str, str]) -> str:
    return f"{result_key(source)}{entry[ENTRY_KEY]}"


def _number_text(number: int) -> FieldText:
    return FieldText(str(number), value=float(number))


def _read_members(entry: str, names: Iterable[str]) -> dict[str, str]:
    """Return the members of an object that layers use. One that it lacks is empty, as are those of a text."""
    wanted = [name for name in names if name.startswith(ENTRY_MEMBER)]
    members: Any = {}
    if wanted and entry.startswith("{"):
        try:
            members = json.loads(entry)
        except (ValueError, RecursionError):
            members = {}
    return {name: _member(members.get(name.removeprefix(ENTRY_MEMBER)), format_of(entry)) for name in wanted}


def _member(value: Any, format: ValueFormat) -> FieldText:
    match value:
        case None:
            return FieldText("")
        case str():
            return FieldText(value, format, value=with_format(decode_html(value), format))
        case bool():
            return FieldText("true" if value else "false", value=value)
        case int() | float():
            return FieldText(json.dumps(value), UNKNOWN, is_number=True, value=_finite(value))
    return FieldText(json.dumps(value, ensure_ascii=False), value=None)


def _finite(value: float) -> float | None:
    try:
        return float(value) if isfinite(value) else None
    except OverflowError:
        return None


def _value(text: str) -> FieldValue:
    """Return what expressions compute with for a name of an entry."""
    return text.value if isinstance(text, FieldText) else with_format(decode_html(text), format_of(text))

"""Conditions as groups of rows, as people build them: to CEL, and back from what CEL they can show.

Each operator is a pattern of CEL with a field and a value. A row is written by filling the pattern, and read by
matching it, so that what is read means the same. Any other expression is no tree; it is edited as text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Literal

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.bindings import ENTRY_MEMBER
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.expression_syntax import ExpressionError, Token, read_tokens
from cwz_web.imaging.layer_base import Condition
from cwz_web.imaging.photo_facts import field_of

MAX_GROUPS, MAX_ROWS = 6, 20
MAX_VALUE = 200

Match = Literal["all", "any"]
# How the rows or groups are joined.
SIGNS: dict[Match, str] = {"all": "&&", "any": "||"}

_placeholder = re.compile(r"\b(?:FIELD|TEXT|NUMBER|DAY)\b")
_number = re.compile(r"-?\d{1,15}(?:\.\d{1,10})?")


@dataclass(frozen=True)
class Operator:
    """An operator: its label in English, its pattern in CEL, and what its value is: a text, number, day or nothing."""

    label: str
    pattern: str

    @property
    def value_kind(self) -> str:
        """What value the operator takes: TEXT, NUMBER, DAY, or "" for none."""
        return next((kind for kind in ("TEXT", "NUMBER", "DAY") if kind in self.pattern), "")


_SET = {
    "filled": Operator(gettext_noop("is set"), "filled(FIELD)"),
    "empty": Operator(gettext_noop("is empty"), "empty(FIELD)"),
}
_TEXT = {
    "equal": Operator(gettext_noop("is"), "same(FIELD, TEXT)"),
    "different": Operator(gettext_noop("is not"), "!same(FIELD, TEXT)"),
    "contains": Operator(gettext_noop("contains"), "has_text(FIELD, TEXT)"),
    "lacks": Operator(gettext_noop("does not contain"), "!has_text(FIELD, TEXT)"),
    "begins": Operator(gettext_noop("begins with"), "FIELD.startsWith(TEXT)"),
    "exactly": Operator(gettext_noop("is exactly"), "FIELD == TEXT"),
}
_NUMBER = {
    "equal": Operator(gettext_noop("equals"), "FIELD == NUMBER"),
    "different": Operator(gettext_noop("does not equal"), "FIELD != NUMBER"),
    "more": Operator(gettext_noop("is more than"), "FIELD > NUMBER"),
    "least": Operator(gettext_noop("is at least"), "FIELD >= NUMBER"),
    "less": Operator(gettext_noop("is less than"), "FIELD < NUMBER"),
    "most": Operator(gettext_noop("is at most"), "FIELD <= NUMBER"),
}
_AMOUNT = {
    f"number_{name}": Operator(operator.label, operator.pattern.replace("FIELD", "amount(FIELD)"))
    for name, operator in _NUMBER.items()
    if name not in ("equal", "different")
}
_BOOLEAN = {"true": Operator(gettext_noop("is true"), "FIELD"), "false": Operator(gettext_noop("is false"), "!FIELD")}
# The operators by the type of a field. What a computed field or a member of an entry is, is not known before a row.
OPERATORS: dict[str, dict[str, Operator]] = {
    "text": _SET | _TEXT | _AMOUNT,
    "number": _SET | _NUMBER,
    "money": _SET | _NUMBER,
    "date": _SET
    | {
        "on": Operator(gettext_noop("is on"), "FIELD == timestamp(DAY)"),
        "before": Operator(gettext_noop("is before"), "FIELD < timestamp(DAY)"),
        "after": Operator(gettext_noop("is after"), "FIELD > timestamp(DAY)"),
        "days": Operator(gettext_noop("is at most this many days away"), "days_until(FIELD) <= NUMBER"),
    },
    "boolean": _BOOLEAN | _SET,
    "color": _SET | {name: _TEXT[name] for name in ("equal", "different")},
    "image": _SET
    | {
        "white": Operator(gettext_noop("has a white ground"), 'FIELD.background == "white"'),
        "not_white": Operator(gettext_noop("has no white ground"), 'FIELD.background != "white"'),
        "small": Operator(gettext_noop("is too small"), "FIELD.too_small"),
    },
    "list": _SET
    | {
        "has": Operator(gettext_noop("contains the item"), "TEXT in FIELD"),
        "has_not": Operator(gettext_noop("does not contain the item"), "!(TEXT in FIELD)"),
        "longer": Operator(gettext_noop("has more items than"), "size(FIELD) > NUMBER"),
        "shorter": Operator(gettext_noop("has fewer items than"), "size(FIELD) < NUMBER"),
    },
    "computed": _SET | _TEXT | _AMOUNT | _BOOLEAN,
}


@dataclass(frozen=True)
class Row:
    """A comparison of a field."""

    field: str
    operator: str
    value: str = ""


@dataclass(frozen=True)
class Group:
    """Rows of which all or any hold."""

    rows: tuple[Row, ...]
    match: Match = "all"


@dataclass(frozen=True)
class Tree:
    """Groups of which all or any hold. Without groups, the layer is always shown."""

    groups: tuple[Group, ...] = ()
    match: Match = "all"


class InvalidRowsError(Exception):
    """Rows cannot be written; `errors` has a message for each by its positions in the tree and in its group."""

    def __init__(self, errors: dict[tuple[int, int], str]) -> None:
        self.errors = errors
        super().__init__("; ".join(errors.values()))


def field_types(template: ImageTemplate, layer: str) -> dict[str, str]:
    """Return the types of all that the condition of a layer can compare, by name."""
    types: dict[str, str] = {field.name: field.type for field in template.fields}
    types |= dict.fromkeys((field.name for field in template.computed), "computed")
    return types | ({"item": "text", "index": "number", "count": "number"} if template.is_repeated(layer) else {})


def condition_source(condition: Condition, types: Mapping[str, str]) -> str:
    """Return a condition on a single field in CEL.

    Args:
        condition: the condition.
        types: the types of fields by name.
    """
    for name in (condition.test, f"number_{condition.test}"):
        try:
            return _write_row(Row(condition.field, name, condition.value), types)
        except ValueError:
            continue
    value = json.dumps(condition.value, ensure_ascii=False)
    patterns = {
        "filled": f"filled({condition.field})",
        "empty": f"empty({condition.field})",
        "equal": f"same({condition.field}, {value})",
        "different": f"!same({condition.field}, {value})",
        "contains": f"has_text({condition.field}, {value})",
        "more": f"amount({condition.field}) > amount({value})",
        "less": f"amount({condition.field}) < amount({value})",
    }
    return patterns[condition.test]


def write_condition(tree: Tree, types: Mapping[str, str]) -> str:
    """Return a tree in CEL; empty without groups.

    Args:
        tree: the groups and rows.
        types: the types of fields by name.

    Raises:
        InvalidRowsError: a row has no field, operator or value that it could have.
    """
    errors: dict[tuple[int, int], str] = {}
    groups = []
    for number, group in enumerate(tree.groups):
        parts = []
        for position, row in enumerate(group.rows):
            try:
                parts.append(_write_row(row, types))
            except ValueError as error:
                errors[number, position] = str(error)
        groups.append(f" {SIGNS[group.match]} ".join(parts))
    if errors:
        raise InvalidRowsError(errors)
    return groups[0] if len(groups) == 1 else f" {SIGNS[tree.match]} ".join(f"({group})" for group in groups)


def parse_condition(source: str, types: Mapping[str, str]) -> Tree | None:
    """Return the tree of an expression in CEL, which means the same; None if it is no tree."""
    try:
        tokens = read_tokens(source)
    except ExpressionError:
        return None
    match: Match
    for match in ("any", "all"):
        parts = _split_at(tokens, SIGNS[match])
        if len(parts) > 1:
            return _parse_groups(parts, match, types)
    return _parse_groups([tokens], "all", types)


def _write_row(row: Row, types: Mapping[str, str]) -> str:
    """Return a row in CEL. Raises ValueError, which says what to enter."""
    operators = OPERATORS.get(_type_of(row.field, types), {})
    if not operators:
        raise ValueError(gettext("Choose a field"))
    if row.operator not in operators:
        raise ValueError(gettext("Choose a comparison for this field"))
    operator = operators[row.operator]
    value = _write_value(operator.value_kind, row.value.strip())
    return _placeholder.sub(lambda found: row.field if found[0] == "FIELD" else value, operator.pattern)


def _write_value(kind: str, value: str) -> str:
    if kind and not value:
        raise ValueError(gettext("Enter a value"))
    match kind:
        case "TEXT":
            if len(value) > MAX_VALUE:
                raise ValueError(gettext("Enter at most %(max)s characters", max=MAX_VALUE))
            return json.dumps(value, ensure_ascii=False)
        case "NUMBER":
            if not _number.fullmatch(value):
                raise ValueError(gettext("Enter a number, such as 9.99"))
            return value
        case "DAY":
            try:
                return json.dumps(f"{date.fromisoformat(value)}T00:00:00Z")
            except ValueError:
                raise ValueError(gettext("Enter a date, such as 2026-12-24")) from None
    return ""


def _parse_groups(parts: Sequence[list[Token]], match: Match, types: Mapping[str, str]) -> Tree | None:
    """Return the tree of the parts of an expression: rows beside each other are a group."""
    groups: list[Group] = []
    beside: list[Row] = []
    for part in parts:
        if row := _parse_row(part, types):
            beside.append(row)
            continue
        group = _parse_group(part, types)
        if group is None:
            return None
        groups += [Group(tuple(beside), match)] if beside else []
        groups.append(group)
        beside = []
    groups += [Group(tuple(beside), match)] if beside else []
    if len(groups) > MAX_GROUPS or sum(len(group.rows) for group in groups) > MAX_ROWS:
        return None
    return normalize(Tree(tuple(groups), match))


def normalize(tree: Tree) -> Tree:
    """Return a tree in which what is alone is not joined by anything."""
    groups = tuple(Group(each.rows, each.match if len(each.rows) > 1 else "all") for each in tree.groups if each.rows)
    return Tree(groups, tree.match if len(groups) > 1 else "all")


def _parse_group(tokens: list[Token], types: Mapping[str, str]) -> Group | None:
    """Return the group of rows in parentheses, or joined by a sign that binds closer than the one around it."""
    inner = tokens[1:-1] if _is_enclosed(tokens) else tokens
    match: Match
    for match in ("any", "all"):
        parts = _split_at(inner, SIGNS[match])
        if len(parts) > 1 or match == "all":
            rows = [_parse_row(part, types) for part in parts]
            return Group(tuple(row for row in rows if row), match) if all(rows) else None
    return None


def _parse_row(tokens: list[Token], types: Mapping[str, str]) -> Row | None:
    names = (
        field_of(token.text) if token.kind == "part" else token.text
        for token in tokens
        if token.kind in ("name", "part")
    )
    field = next((name for name in names if _type_of(name, types)), "")
    for name, operator in OPERATORS.get(_type_of(field, types), {}).items():
        value = _match(_pattern_tokens(operator.pattern), tokens, field)
        if value is not None:
            return Row(field, name, value)
    return None


def _type_of(name: str, types: Mapping[str, str]) -> str:
    is_member = name.startswith(ENTRY_MEMBER) and "item" in types
    return types.get(name, "computed" if is_member else "")


@cache  # a constant for each pattern
def _pattern_tokens(pattern: str) -> list[Token]:
    return read_tokens(pattern)


def _match(pattern: Sequence[Token], tokens: Sequence[Token], field: str) -> str | None:
    """Return the value of a row that matches a pattern; None if it does not."""
    found = ""
    remaining = list(tokens)
    for expected in pattern:
        if expected.text == "NUMBER" and remaining[:1] and remaining[0].text == "-":
            found = remaining.pop(0).text
        if not remaining:
            return None
        token = remaining.pop(0)
        if expected.text in ("TEXT", "NUMBER", "DAY"):
            value = _read_value(expected.text, token)
            if value is None:
                return None
            found += value
        elif token.text != expected.text.replace("FIELD", field, 1):
            return None
    return None if remaining else found


def _read_value(kind: str, token: Token) -> str | None:
    if kind == "NUMBER":
        return token.text if token.kind == "number" and _number.fullmatch(token.text) else None
    if token.kind != "string":
        return None
    value = _read_text(token.text)
    if value is None or kind == "TEXT":
        return value if value and value == value.strip() and len(value) <= MAX_VALUE else None
    day, _, time = value.partition("T")
    try:
        return str(date.fromisoformat(day)) if time == "00:00:00Z" else None
    except ValueError:
        return None


def _read_text(literal: str) -> str | None:
    """Return the text of a literal; None if its escapes are not those of JSON."""
    if literal.startswith("'") and not re.search(r"[\\'\"]", literal[1:-1]):
        return literal[1:-1]
    try:
        value = json.loads(literal)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _split_at(tokens: Sequence[Token], sign: str) -> list[list[Token]]:
    """Return the parts of an expression between a sign outside of brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.kind == "sign":
            depth += (token.text in "([{") - (token.text in ")]}")
        if token.kind == "sign" and token.text == sign and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _is_enclosed(tokens: Sequence[Token]) -> bool:
    """Return whether parentheses enclose the whole of an expression."""
    if len(tokens) < 2 or (tokens[0].text, tokens[-1].text) != ("(", ")"):
        return False
    depth = 0
    for token in tokens[:-1]:
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0:
            return False
    return True

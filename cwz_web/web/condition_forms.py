"""The form of a layer's condition: groups of rows, or an expression, and the change of the document that it requests.

The form has `match`, `group.0.match`, and `row.0.1.field`, `.operator` and `.value` of the second row in the first
group; `change` is the button that was pressed. An `expression` takes the place of the rows.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cwz_web.i18n import gettext
from cwz_web.imaging.condition_builder import (
    MAX_GROUPS,
    MAX_ROWS,
    OPERATORS,
    Group,
    InvalidRowsError,
    Match,
    Operator,
    Row,
    Tree,
    condition_source,
    field_types,
    normalize,
    parse_condition,
    write_condition,
)
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.editing import LayerNotFoundError, change_layer
from cwz_web.imaging.layers import AnyLayer
from cwz_web.web.design_selection import Change, InvalidDesignError, Selection, Typed
from cwz_web.web.live_results import LiveResult, condition_result

# Examples of values by what an operator takes.
PLACEHOLDERS = {"NUMBER": "9.99", "DAY": "2026-12-24"}

_row = re.compile(r"row\.(\d)\.(\d{1,2})\.field")
_button = re.compile(r"(add-row|remove):(\d)(?:\.(\d{1,2}))?")


@dataclass(frozen=True)
class RowForm:
    """A row of the form: the names of its inputs begin with `key`."""

    key: str
    row: Row
    operators: Mapping[str, Operator]
    placeholder: str
    error: str


@dataclass(frozen=True)
class GroupForm:
    """A group of rows: the names of its inputs begin with `key`."""

    key: str
    number: int
    match: Match
    rows: list[RowForm]


@dataclass(frozen=True)
class ConditionPanel:
    """The view model of panels/_condition.jinja2.

    Attributes:
        layer: the name of the layer.
        was: the condition in CEL, as the user has seen it: that of the draft can be another one when the form is sent.
        groups: the rows; none if the layer is always shown, or the condition is only a text.
        match: how the groups are joined.
        expression: the condition in CEL.
        is_text: whether rows cannot show the condition.
        fields: the labels of the fields by name.
        result: what the condition is for the sample row.
        error: why the form was refused as a whole.
    """

    layer: str
    was: str
    groups: list[GroupForm]
    match: Match
    expression: str
    is_text: bool
    fields: dict[str, str]
    can_add_row: bool
    can_add_group: bool
    result: LiveResult | None
    error: str


def change_condition(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    """Change the condition of the selected layer.

    Raises:
        InvalidDesignError: the form is not valid.
        pydantic.ValidationError: the document is not valid with this condition.
    """
    layer = document.find_layer(selection.layer)
    if layer is None:
        raise LayerNotFoundError(selection.layer)
    source = typed["expression"].strip() if "expression" in typed else _write_rows(document, layer.name, typed)
    changed = change_layer(document, layer.name, {"show_if": source or None})
    return changed, selection, f"{layer.name}: condition"


def replaces_other_condition(document: ImageTemplate, changed: ImageTemplate, layer: str, typed: Typed) -> bool:
    """Return whether a form has replaced a condition that is not the one that it has shown.

    Args:
        document: the draft.
        changed: the draft after the form.
        layer: the name of the layer.
        typed: the form; `was` is the condition that it has shown.
    """
    if typed.get("do") != "condition" or "was" not in typed:
        return False
    current = read_condition(document, layer)
    return current not in (_with_line_feeds(typed["was"]), read_condition(changed, layer))


def read_condition(document: ImageTemplate, layer: str) -> str:
    """Return the condition of a layer in CEL; empty if it is always shown."""
    found = document.find_layer(layer)
    return _with_line_feeds(_shown_condition(found, field_types(document, layer))[0]) if found else ""


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n")  # browsers send line breaks as CRLF


def condition_panel(
    document: ImageTemplate, layer: AnyLayer, values: Mapping[str, str], typed: Typed, errors: Mapping[str, str]
) -> ConditionPanel:
    """Return the form of a layer's condition.

    Args:
        document: the draft.
        layer: the layer.
        values: the sample row with the results of expressions.
        typed: the form that was refused; empty otherwise.
        errors: why it was refused, by field.
    """
    types = field_types(document, layer.name)
    source, tree = _shown_condition(layer, types)
    was = typed.get("was", source)
    if errors and "expression" in typed:
        source, tree = typed["expression"], None
    elif errors:
        tree = edited_tree(typed, types)
    groups = [group_form(number, group, types, errors) for number, group in enumerate(tree.groups)] if tree else []
    labels = {field.name: field.label for field in document.fields}
    row_errors = {f"{row.key}.value" for group in groups for row in group.rows}
    return ConditionPanel(
        layer=layer.name,
        was=was,
        groups=groups,
        match=tree.match if tree else "all",
        expression=source,
        is_text=tree is None,
        fields={name: labels.get(name, name) for name in types},
        can_add_row=sum(len(group.rows) for group in groups) < MAX_ROWS,
        can_add_group=len(groups) < MAX_GROUPS,
        result=None if errors else condition_result(layer, values),
        error=next((message for name, message in errors.items() if name not in row_errors), ""),
    )


def _shown_condition(layer: AnyLayer, types: Mapping[str, str]) -> tuple[str, Tree | None]:
    """Return the condition of a layer in CEL, and as a tree if it is one."""
    if layer.show_if is None:
        return "", Tree()
    source = layer.show_if if isinstance(layer.show_if, str) else condition_source(layer.show_if, types)
    return source, parse_condition(source, types)


def _write_rows(document: ImageTemplate, layer: str, typed: Typed) -> str:
    """Return the rows of a form in CEL. Raises InvalidDesignError."""
    types = field_types(document, layer)
    try:
        return write_condition(edited_tree(typed, types), types)
    except InvalidRowsError as error:
        raise InvalidDesignError(
            {f"row.{group}.{row}.value": message for (group, row), message in error.errors.items()}
        ) from None


def edited_tree(typed: Typed, types: Mapping[str, str]) -> Tree:
    """Return the rows of a form after the button that was pressed."""
    tree, change = _read_tree(typed, types), typed.get("change", "")
    new = Row(next(iter(types), ""), next(iter(OPERATORS[next(iter(types.values()), "text")])))
    if change == "clear":
        return Tree()
    if change == "add-group" and len(tree.groups) < MAX_GROUPS:
        return Tree((*tree.groups, Group((new,))), tree.match)
    if button := _button.fullmatch(change):
        groups = [_edit_group(group, number, button, new) for number, group in enumerate(tree.groups)]
        return normalize(Tree(tuple(groups), tree.match))
    return tree


def _edit_group(group: Group, number: int, button: re.Match[str], new: Row) -> Group:
    if int(button[2]) != number:
        return group
    if button[1] == "add-row":
        return Group((*group.rows, new), group.match)
    return Group(tuple(row for at, row in enumerate(group.rows) if at != int(button[3] or -1)), group.match)


def _read_tree(typed: Typed, types: Mapping[str, str]) -> Tree:
    """Return the rows of a form. An operator that a newly chosen field does not have becomes its first one."""
    rows: dict[int, dict[int, Row]] = {}
    for name in typed:
        if found := _row.fullmatch(name):
            group, position = int(found[1]), int(found[2])
            key = f"row.{group}.{position}"
            field, operator = typed[name], typed.get(f"{key}.operator", "")
            possible = OPERATORS[types[field]] if field in types else {}
            if possible and operator not in possible:
                operator = next(iter(possible))
            rows.setdefault(group, {})[position] = Row(field, operator, typed.get(f"{key}.value", ""))
    groups = [
        Group(
            tuple(row for _, row in sorted(rows[number].items())[:MAX_ROWS]), _match(typed.get(f"group.{number}.match"))
        )
        for number in sorted(rows)
    ]
    return Tree(tuple(groups[:MAX_GROUPS]), _match(typed.get("match")))


def _match(text: str | None) -> Match:
    return "any" if text == "any" else "all"


def group_form(number: int, group: Group, types: Mapping[str, str], errors: Mapping[str, str]) -> GroupForm:
    """Return a group of rows as a form shows it.

    Args:
        number: its position.
        group: the group.
        types: the types of fields by name.
        errors: why rows were refused, by field.
    """
    rows = []
    for position, row in enumerate(group.rows):
        key = f"row.{number}.{position}"
        operators = OPERATORS[types.get(row.field, "computed")]
        chosen = operators.get(row.operator)
        placeholder = PLACEHOLDERS.get(chosen.value_kind, "") if chosen else ""
        shown = {name: replace(each, label=gettext(each.label)) for name, each in operators.items()}
        rows.append(RowForm(key, row, shown, placeholder, errors.get(f"{key}.value", "")))
    return GroupForm(f"group.{number}", number, group.match, rows)

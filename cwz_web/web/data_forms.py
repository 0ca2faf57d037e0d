"""The forms of a template's data: its fields, computed fields and tables, and the changes that they request."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import getdoc
from typing import get_args

from cwz_web.imaging.documents import MAX_COMPUTED_FIELDS, MAX_TABLE_ENTRIES, MAX_TABLES, ImageTemplate
from cwz_web.imaging.expression_functions import FUNCTIONS
from cwz_web.imaging.field_values import FieldType
from cwz_web.web.design_selection import Change, InvalidDesignError, Selection, Typed
from cwz_web.web.live_results import LiveResult, computed_result

FIELD_TYPES: tuple[str, ...] = get_args(FieldType)
NEW = "new"

_key = re.compile(r"(\d{1,3})\.key")


@dataclass(frozen=True)
class FieldForm:
    """A field and its form. A new one has no `name`."""

    name: str
    values: Mapping[str, str]
    error: str = ""


@dataclass(frozen=True)
class ComputedForm:
    """A computed field and its form, with its value for the sample row. A new one has no `name`."""

    name: str
    typed_name: str
    expression: str
    result: LiveResult | None = None
    error: str = ""


@dataclass(frozen=True)
class TableForm:
    """A table and its form: the keys and values of its rows, an empty one last. A new one has no `name`."""

    name: str
    typed_name: str
    rows: list[tuple[str, str]]
    error: str = ""


@dataclass(frozen=True)
class FunctionHelp:
    """A function of expressions, as the reference lists it."""

    name: str
    example: str
    summary: str


@dataclass(frozen=True)
class DataPanel:
    """The view model of panels/_data.jinja2. The last form of a list is that of a new one, unless there are enough."""

    fields: list[FieldForm]
    types: tuple[str, ...]
    computed: list[ComputedForm]
    tables: list[TableForm]
    names: list[str]
    functions: Sequence[FunctionHelp]
    error: str


def change_field(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    """Add, change or remove a field. A field that is used can be neither removed nor renamed."""
    old = typed.get("old", "")
    fields = [field.model_dump(mode="json") for field in document.fields]
    if typed.get("change") == "remove":
        fields = [field for field in fields if field["name"] != old]
    else:
        name = typed.get("name", "").strip()
        label = typed.get("label", "").strip() or name.replace("_", " ").capitalize()
        new = {key: typed[key].strip() or None for key in ("locale", "currency") if key in typed}
        new |= {"name": name, "label": label, "type": typed.get("type", "text"), "default": typed.get("default", "")}
        fields = _replaced(fields, old, new)
    return _validated(document, fields=fields), selection, f"field {old or NEW}"


def change_computed(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    """Add, change or remove a computed field."""
    old = typed.get("old", "")
    computed = [field.model_dump(mode="json") for field in document.computed]
    if typed.get("change") == "remove":
        computed = [field for field in computed if field["name"] != old]
    else:
        new = {"name": typed.get("name", "").strip(), "value": typed.get("value", "").strip()}
        computed = _replaced(computed, old, new)
    return _validated(document, computed=computed), selection, f"computed field {old or NEW}"


def change_table(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    """Add, change or remove a table. A row without a key and a value is left out."""
    old = typed.get("old", "")
    tables = {name: dict(entries) for name, entries in document.tables.items()}
    if typed.get("change") == "remove":
        tables.pop(old, None)
    else:
        name, entries = typed.get("name", "").strip(), _read_table(typed)
        if name != old and name in tables:
            raise InvalidDesignError({"name": f"There is a table “{name}” already. Choose another name"})
        tables = {name if key == old else key: entries if key == old else value for key, value in tables.items()}
        tables.setdefault(name, entries)
    return _validated(document, tables=tables), selection, f"table {old or NEW}"


def data_panel(
    document: ImageTemplate, values: Mapping[str, str], typed: Typed, errors: Mapping[str, str]
) -> DataPanel:
    """Return the forms of the data of a template.

    Args:
        document: the draft.
        values: the sample row with the values of computed fields.
        typed: the form that was refused; empty otherwise.
        errors: why it was refused, by field.
    """
    error = next(iter(errors.values()), "")
    refused = {typed.get("do", ""): typed} if error else {}
    names = [*(field.name for field in document.fields), *(field.name for field in document.computed)]
    return DataPanel(
        fields=_field_forms(document, refused.get("field"), error),
        types=FIELD_TYPES,
        computed=_computed_forms(document, values, refused.get("computed"), error),
        tables=_table_forms(document, refused.get("table"), error),
        names=names,
        functions=list_functions(),
        error=error,
    )


@cache
def list_functions() -> Sequence[FunctionHelp]:
    """Return the functions of expressions in the order of the documentation, for the reference and for completion."""
    return tuple(
        FunctionHelp(function.example.partition("(")[0], function.example, _summary(name, function.call))
        for name, function in FUNCTIONS.items()
    )


def _summary(name: str, call: object) -> str:
    """Return what a function does: the first line of its docstring."""
    if name in ("upper", "lower", "title"):
        return f"Change the case of a text: {name}."
    return (getdoc(call) or "").partition("\n")[0].replace("None", "empty")


def _replaced(parts: Iterable[dict[str, object]], old: str, new: Mapping[str, object]) -> list[dict[str, object]]:
    """Return parts with one of them replaced, or with a new one behind them."""
    replaced = [{**part, **new} if old and part["name"] == old else part for part in parts]
    return replaced if old else [*replaced, dict(new)]


def _validated(document: ImageTemplate, **changes: object) -> ImageTemplate:
    """Return a changed document. Raises pydantic.ValidationError."""
    return ImageTemplate.model_validate({**document.canonical(), **changes})


def _read_table(typed: Typed) -> dict[str, str]:
    """Return the rows of a table. Raises InvalidDesignError if two of them have the same key."""
    entries: dict[str, str] = {}
    numbers = sorted(int(found[1]) for name in typed if (found := _key.fullmatch(name)))
    for number in numbers:
        key, value = typed[f"{number}.key"].strip(), typed.get(f"{number}.value", "")
        if key in entries:
            raise InvalidDesignError({"key": f"Two rows have the key “{key}”. Remove one of them"})
        if key:
            entries[key] = value
        elif value:
            raise InvalidDesignError({"key": f"Enter the key of the value “{value[:40]}”"})
    return entries


def _field_forms(document: ImageTemplate, refused: Typed | None, error: str) -> list[FieldForm]:
    forms = [
        FieldForm(field.name, {key: str(value or "") for key, value in field.model_dump(mode="json").items()})
        for field in document.fields
    ]
    forms.append(FieldForm("", {}))
    if refused is None:
        return forms
    return [FieldForm(form.name, refused, error) if form.name == refused.get("old", "") else form for form in forms]


def _computed_forms(
    document: ImageTemplate, values: Mapping[str, str], refused: Typed | None, error: str
) -> list[ComputedForm]:
    forms = [
        ComputedForm(field.name, field.name, field.value, computed_result(field.name, values))
        for field in document.computed
    ]
    if len(forms) < MAX_COMPUTED_FIELDS:
        forms.append(ComputedForm("", "", ""))
    if refused is None:
        return forms
    shown = ComputedForm(refused.get("old", ""), refused.get("name", ""), refused.get("value", ""), None, error)
    return [shown if form.name == shown.name else form for form in forms]


def _table_forms(document: ImageTemplate, refused: Typed | None, error: str) -> list[TableForm]:
    forms = [TableForm(name, name, _with_empty_row(entries.items())) for name, entries in document.tables.items()]
    if len(forms) < MAX_TABLES:
        forms.append(TableForm("", "", _with_empty_row([])))
    if refused is None:
        return forms
    numbers = sorted(int(found[1]) for name in refused if (found := _key.fullmatch(name)))
    rows = [(refused[f"{number}.key"], refused.get(f"{number}.value", "")) for number in numbers]
    shown = TableForm(refused.get("old", ""), refused.get("name", ""), rows, error)
    return [shown if form.name == shown.name else form for form in forms]


def _with_empty_row(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    listed = list(rows)
    return [*listed, ("", "")] if len(listed) < MAX_TABLE_ENTRIES else listed

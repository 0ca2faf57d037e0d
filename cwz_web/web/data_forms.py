"""The forms of a template's data: its fields, computed fields and tables, and the changes that they request."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from cwz_web.i18n import gettext, gettext_noop, translate_labels
from cwz_web.imaging.documents import MAX_COMPUTED_FIELDS, MAX_TABLE_ENTRIES, MAX_TABLES, ImageTemplate
from cwz_web.imaging.expression_functions import FUNCTIONS
from cwz_web.web.design_selection import Change, InvalidDesignError, Selection, Typed
from cwz_web.web.live_results import LiveResult, computed_result

# The labels of the types of fields.
FIELD_TYPES = {
    "text": gettext_noop("Text"),
    "number": gettext_noop("Number"),
    "money": gettext_noop("Money"),
    "date": gettext_noop("Date"),
    "boolean": gettext_noop("Boolean"),
    "color": gettext_noop("Color"),
    "image": gettext_noop("Image"),
    "list": gettext_noop("List"),
}
# What the functions of expressions do.
SUMMARIES = {
    "money": gettext_noop("Format an amount of money, in the currency of the value unless another one is asked for."),
    "number": gettext_noop("Format a number."),
    "date": gettext_noop("Format a date."),
    "amount": gettext_noop("Read the number in a text."),
    "percent_off": gettext_noop("Return the discount in whole percent, rounded down; empty if there is none."),
    "round_to": gettext_noop("Round a number to a multiple of another one, half a step away from zero."),
    "unit_price": gettext_noop("Return the price of a kilogram, a liter or another base unit."),
    "base_unit": gettext_noop("Return the unit of a unit price."),
    "days_until": gettext_noop("Return the days from today to a date; a past date has negative ones."),
    "upper": gettext_noop("Change the case of a text: upper."),
    "lower": gettext_noop("Change the case of a text: lower."),
    "title": gettext_noop("Change the case of a text: title."),
    "truncate": gettext_noop("Shorten a text between words."),
    "strip_html": gettext_noop("Return the text of an HTML fragment."),
    "match": gettext_noop("Return the first part of a text that matches a pattern: its first group, or all of it."),
    "has_match": gettext_noop("Return whether a part of a text matches a pattern."),
    "replace": gettext_noop(
        "Replace all parts of a text that match a pattern; \\1 in the replacement is the first group."
    ),
    "split": gettext_noop("Return the items of a text."),
    "item": gettext_noop("Return an item, counted from 1; nothing if there are fewer."),
    "first": gettext_noop("Return the first item; nothing if there is none."),
    "join": gettext_noop("Return the items in one text."),
    "text": gettext_noop("Return a value as text: a number without trailing zeros, a date in ISO 8601."),
    "length": gettext_noop("Return how many characters a text, or items a list, has."),
    "default": gettext_noop("Return another value if one is empty."),
    "filled": gettext_noop("Return whether there is a value."),
    "empty": gettext_noop("Return whether a value is missing: an empty text or list, or no number or date."),
    "same": gettext_noop("Return whether two texts are equal, whatever their case."),
    "has_text": gettext_noop("Return whether a text contains another one, whatever their case."),
    "translate": gettext_noop(
        "Return the entry of a text in a table of the template; the text itself if there is none."
    ),
}
NEW = "new"

_key = re.compile(r"(0|[1-9][0-9]{0,2})\.key")
# The key that a row of a table had when its form was rendered.
_old_key = re.compile(r"(0|[1-9][0-9]{0,2})\.old")


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
    types: dict[str, str]
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
            message = gettext("There is a table “%(name)s” already. Choose another name", name=name)
            raise InvalidDesignError({"name": message})
        tables = {name if key == old else key: entries if key == old else value for key, value in tables.items()}
        tables.setdefault(name, entries)
    return _validated(document, tables=tables), selection, f"table {old or NEW}"


def read_data_values(document: ImageTemplate, typed: Typed) -> dict[str, str]:
    """Return the values of the form of a field, computed field or table; none if the document does not have it."""
    old = typed.get("old", "")
    if typed.get("do") == "table":
        values = {"name": old}
        for number, (key, value) in enumerate(document.tables.get(old, {}).items()):
            values |= {f"{number}.key": key, f"{number}.value": value}
        return values if old in document.tables else {}
    parts = document.fields if typed.get("do") == "field" else document.computed
    return next((_form_values(each) for each in parts if each.name == old), {})


def merge_rows(document: ImageTemplate, typed: Typed, changed: Collection[str]) -> dict[str, str]:
    """Return the form of a table in which the rows that its user has not changed are those of the document.

    Args:
        document: the draft.
        typed: the form. `0.old` is the key that its first row had when it was rendered.
        changed: the form fields that the user has changed.
    """
    merged, current = dict(typed), document.tables.get(typed.get("old", ""), {})
    rendered = {int(found[1]): typed[name] for name in typed if (found := _old_key.fullmatch(name))}
    for number, key in rendered.items():
        if f"{number}.value" not in changed and key in current:
            merged[f"{number}.value"] = current[key]
        elif key and f"{number}.key" not in changed and f"{number}.value" not in changed:
            merged.pop(f"{number}.key", None)  # removed since then
    added = [key for key in current if key not in rendered.values()]
    for number, key in enumerate(added, max(rendered, default=-1) + 1):
        merged |= {f"{number}.key": key, f"{number}.value": current[key]}
    return merged


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
        types=translate_labels(FIELD_TYPES),
        computed=_computed_forms(document, values, refused.get("computed"), error),
        tables=_table_forms(document, refused.get("table"), error),
        names=names,
        functions=list_functions(),
        error=error,
    )


def list_functions() -> Sequence[FunctionHelp]:
    """Return the functions of expressions in the order of the documentation, for the reference and for completion."""
    return tuple(
        FunctionHelp(function.example.partition("(")[0], function.example, gettext(SUMMARIES[name]))
        for name, function in FUNCTIONS.items()
    )


def _form_values(part: BaseModel) -> dict[str, str]:
    """Return the values of a field or a computed field as its form has them."""
    return {name: str(value or "") for name, value in part.model_dump(mode="json").items()}


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
            raise InvalidDesignError({"key": gettext("Two rows have the key “%(key)s”. Remove one of them", key=key)})
        if key:
            entries[key] = value
        elif value:
            raise InvalidDesignError({"key": gettext("Enter the key of the value “%(value)s”", value=value[:40])})
    return entries


def _field_forms(document: ImageTemplate, refused: Typed | None, error: str) -> list[FieldForm]:
    forms = [FieldForm(field.name, _form_values(field)) for field in document.fields]
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

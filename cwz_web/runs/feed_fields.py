"""Fields that a template can take from a feed: one for each column, so that a design starts without typing names."""

import re
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from cwz_web.feeds.columns import ColumnType
from cwz_web.imaging.document_parts import RESERVED_FIELDS
from cwz_web.imaging.template_parts import TemplateField
from cwz_web.runs.mapping import FALLBACK, guess_mapping

FIELD_TYPES = {
    ColumnType.NUMBER: "number",
    ColumnType.PRICE: "money",
    ColumnType.IMAGE: "image",
    ColumnType.DATE: "date",
}
# Fields of which the name has a meaning: a feed's column for them is offered by this name, whatever it is called.
WELL_KNOWN = (
    TemplateField(name="title", label="Title"),
    TemplateField(name="price", label="Price", type="money"),
    TemplateField(name="old_price", label="Old price", type="money"),
    TemplateField(name="image", label="Image", type="image"),
)
MAX_FIELDS = 100
MAX_DEFAULT = 200


def propose_fields(
    fields: Sequence[TemplateField],
    columns: Sequence[str],
    types: Mapping[str, ColumnType],
    rows: Sequence[Mapping[str, str]],
) -> list[TemplateField]:
    """Return a field for each column that no field of a template shows yet, in the order of the columns.

    The mapping that is guessed for such a field is its column. Its default is the value of the first row that has one.

    Args:
        fields: the template's fields.
        columns: the feed's columns.
        types: the types of the columns; text by default.
        rows: some rows of the feed.
    """
    taken = {field.name for field in fields}
    shown = _mapped(guess_mapping(fields, columns, rows))
    known = [field for field in WELL_KNOWN if field.name not in taken]
    by_column = _known_columns(known, columns, rows, shown)
    proposed = []
    for column in columns:
        if column in shown and column not in by_column:
            continue
        known_field = by_column.get(column)
        field_type = known_field.type if known_field else FIELD_TYPES.get(types.get(column, ColumnType.TEXT), "text")
        name = known_field.name if known_field else _unused_name(column, taken)
        label = known_field.label if known_field else _label(column)
        taken.add(name)
        sample = next((row[column] for row in rows if row.get(column)), "")
        proposed.append(_create_field(name, label, field_type, sample))
    return proposed[:MAX_FIELDS]


def _known_columns(
    known: Sequence[TemplateField], columns: Sequence[str], rows: Sequence[Mapping[str, str]], shown: set[str]
) -> dict[str, TemplateField]:
    """Return the well-known fields by the first column that fills each."""
    found: dict[str, TemplateField] = {}
    for name, column in guess_mapping(known, columns, rows).items():
        first = column.split(FALLBACK)[0] if column not in columns else column
        if column and first not in shown and first not in found:
            found[first] = next(field for field in known if field.name == name)
    return found


def _mapped(mapping: Mapping[str, str]) -> set[str]:
    return {part for column in mapping.values() for part in (column, *column.split(FALLBACK)) if part}


def _create_field(name: str, label: str, field_type: str, sample: str) -> TemplateField:
    """Return a field with a sample as its default, if it is a value of the type. An image has none of its own."""
    default = "" if field_type == "image" else sample[:MAX_DEFAULT]
    try:
        return TemplateField.model_validate({"name": name, "label": label, "type": field_type, "default": default})
    except ValidationError:
        return TemplateField(name=name, label=label, default=default)


def _label(column: str) -> str:
    label = column.replace("_", " ").strip()[:60]
    return label[:1].upper() + label[1:] or "Column"


def _unused_name(column: str, taken: set[str]) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")[:50]
    base = plain if plain and not plain[0].isdigit() else f"column_{plain}".rstrip("_")
    base = f"{base}_value" if base in RESERVED_FIELDS else base
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name

"""The controls of a column's format on the page of columns: what is chosen, and what the values show."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from cwz_web.feeds.column_formats import FormatDetection
from cwz_web.feeds.columns import Column, ColumnType, FeedSchema
from cwz_web.feeds.models import Feed
from cwz_web.feeds.records import Table
from cwz_web.i18n import gettext, gettext_noop, translate_labels
from cwz_web.values.formats import UNKNOWN, DateOrder, DecimalSign, ValueFormat, load_formats
from cwz_web.web.forms import error_messages

DECIMAL_LABELS = {DecimalSign.POINT: "1,234.56", DecimalSign.COMMA: "1.234,56"}
ORDER_LABELS = {
    DateOrder.DMY: gettext_noop("Day first"),
    DateOrder.MDY: gettext_noop("Month first"),
    DateOrder.YMD: gettext_noop("Year first"),
}
# The controls of each type of column, by the names of the format's fields.
CONTROLS = {
    ColumnType.NUMBER: ("decimal", "locale"),
    ColumnType.PRICE: ("decimal", "currency", "locale"),
    ColumnType.DATE: ("date_order", "locale"),
}
CONTROL_LABELS = {
    "decimal": gettext_noop("Number format"),
    "currency": gettext_noop("Currency"),
    "date_order": gettext_noop("Date order"),
    "locale": gettext_noop("Locale"),
}
EXAMPLES = {"currency": "EUR", "locale": "de"}


@dataclass(frozen=True)
class FormatControl:
    """A select or, without options, a text field; `automatic` is what counts if nothing is chosen."""

    name: str
    label: str
    value: str
    automatic: str
    options: Mapping[str, str]


def detected_formats(feed: Feed, schema: FeedSchema, sample: Table, default: ValueFormat) -> dict[str, ValueFormat]:
    """Return the format of each column without what a user chose: of the last import, or else of the sample."""
    found = load_formats(feed.column_formats)
    if not found:
        detection, map_row = FormatDetection(schema, default), schema.row_mapper()
        rows = (map_row(row) if map_row else row for row in sample.rows)
        list(detection.observe((number, "", row) for number, row in enumerate(rows)))
        found = detection.formats()
    return {name: found.get(name, UNKNOWN).with_defaults(default) for name in schema.types}


def format_controls(
    number: int, column: Column, detected: ValueFormat, typed: Mapping[str, str]
) -> tuple[FormatControl, ...]:
    """Return the controls of a column, with the submitted values if there are any."""
    return tuple(
        FormatControl(
            name=f"{name}.{number}",
            label=gettext(CONTROL_LABELS[name]),
            value=typed.get(f"{name}.{number}", "") if typed else getattr(column.format, name) or "",
            automatic=_automatic(name, detected),
            options=translate_labels(_OPTIONS.get(name, {})),
        )
        for name in CONTROLS.get(column.type, ())
    )


def posted_format(posted: Mapping[str, str], number: int, current: ValueFormat) -> tuple[ValueFormat, dict[str, str]]:
    """Return the submitted format of a column, and a message for each invalid field.

    Args:
        posted: The form.
        number: The column's number in the form.
        current: The column's format; it counts for controls that the form does not have.
    """
    values = current.model_dump(mode="json")
    for name in CONTROL_LABELS:
        if f"{name}.{number}" in posted:
            text = posted[f"{name}.{number}"].strip()
            values[name] = (text.upper() if name == "currency" else text) or None
    try:
        return ValueFormat.model_validate(values), {}
    except ValidationError as error:
        return current, {f"{field}.{number}": message for field, message in error_messages(error).items()}


def _automatic(name: str, detected: ValueFormat) -> str:
    """Return the label of what counts if nothing is chosen."""
    value = detected.decimal_sign if name == "decimal" else detected.order if name == "date_order" else None
    if name in _OPTIONS:
        label = _OPTIONS[name].get(value) if value else None
        if label is None:
            return gettext("Automatic (not certain)")
        return gettext("Automatic (%(value)s)", value=gettext(label))
    return getattr(detected, name) or gettext("such as %(example)s", example=EXAMPLES[name])


_OPTIONS: dict[str, dict[str, str]] = {
    "decimal": {key.value: label for key, label in DECIMAL_LABELS.items()},
    "date_order": {key.value: label for key, label in ORDER_LABELS.items()},
}

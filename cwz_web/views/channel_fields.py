"""The table of a channel's fields: what is written into each, as a form."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cwz_web.channels.mapping import MAX_FIELDS, MAX_TEXT, FieldMapping, FieldSource
from cwz_web.channels.preset import ChannelField, ImageField, Preset
from cwz_web.i18n import gettext, ngettext
from cwz_web.imaging.encoders import FORMAT_LABELS, Output
from cwz_web.views.new_run import Choice, size_label

# Sources that need a value, which is chosen with them; those of a text come with a text field.
COLUMN, IMAGE = f"{FieldSource.COLUMN}:", f"{FieldSource.IMAGE}:"
TYPED = (FieldSource.CONSTANT, FieldSource.EXPRESSION)
PLAIN = (FieldSource.PHOTO, FieldSource.RULE, FieldSource.LABEL, FieldSource.KEY)
_row = re.compile(r"f\.(\d{1,3})\.source", re.ASCII)


@dataclass(frozen=True)
class FieldRow:
    """A field of the form.

    Attributes:
        key: What the names of its inputs begin with.
        number: Its number among the rows.
        name: The field, as the platform writes it.
        facts: What the platform wants, in words.
        is_required: Whether the platform refuses rows without it.
        chosen: The chosen source; "" to leave the field out.
        text: The text or the expression.
    """

    key: str
    number: int
    name: str
    facts: str
    is_required: bool
    chosen: str
    text: str


@dataclass(frozen=True)
class SourceGroup:
    """Sources that can be chosen, under a label."""

    label: str
    choices: list[Choice]


def output_labels(outputs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of a campaign's outputs: their size and format."""
    validated = map(Output.model_validate, outputs)
    return [f"{size_label(output.size)}, {FORMAT_LABELS[output.format]}" for output in validated]


def source_groups(columns: Sequence[str], outputs: Sequence[str]) -> list[SourceGroup]:
    """Return what can be written into a field.

    Args:
        columns: the columns of the campaign's rows.
        outputs: the names of its outputs.
    """
    images = [Choice(f"{IMAGE}{number}", label, False) for number, label in enumerate(outputs)]
    others = [Choice(source, source.label, False) for source in PLAIN[1:]]
    return [
        SourceGroup(gettext("Images"), [*images, Choice(FieldSource.PHOTO, FieldSource.PHOTO.label, False)]),
        SourceGroup(gettext("Columns"), [Choice(f"{COLUMN}{name}", name, False) for name in columns]),
        SourceGroup(gettext("Texts"), [*(Choice(source, source.label, False) for source in TYPED), *others]),
    ]


def stored_rows(preset: Preset, mappings: Sequence[FieldMapping], spare: int = 0) -> list[FieldRow]:
    """Return the rows of a channel's form: those of the platform, or those that were added, and a few empty ones."""
    if preset.is_generic:
        found: list[tuple[ChannelField, FieldMapping | None]] = [
            (ChannelField(mapping.name), mapping) for mapping in mappings
        ]
        found += [(ChannelField(""), None)] * spare
    else:
        found = []
        for field in ordered_fields(preset):
            own = [mapping for mapping in mappings if mapping.name == field.name]
            limit = field.max_images if isinstance(field, ImageField) else 1
            found += [(field, mapping) for mapping in own]
            if len(own) < limit:
                found.append((field, None))
    return [
        _row_of(number, field, _choice_of(mapping) if mapping else "", _text_of(mapping) if mapping else "")
        for number, (field, mapping) in enumerate(found)
    ]


def typed_rows(preset: Preset, typed: Mapping[str, str]) -> list[FieldRow]:
    """Return the rows that were sent, in the order in which they were sent."""
    numbers = [found[1] for name in typed if (found := _row.fullmatch(name))]
    return [
        _row_of(
            place,
            preset.field(typed.get(f"f.{number}.name", "").strip()),
            typed[f"f.{number}.source"],
            typed.get(f"f.{number}.text", "").strip(),
        )
        for place, number in enumerate(numbers[: MAX_FIELDS + 1])
    ]


def changed_rows(rows: Sequence[FieldRow], change: str) -> list[FieldRow]:
    """Return rows after a button was pressed: `add`, `remove:<n>`, or `up:<n>` and `down:<n>`."""
    action, _, text = change.partition(":")
    number = int(text) if text.isdecimal() and len(text) < 4 else -1
    changed = list(rows)
    if action == "add" and len(rows) < MAX_FIELDS:
        changed.append(_row_of(len(rows), ChannelField(""), "", ""))
    elif 0 <= number < len(rows) and action in ("remove", "up", "down"):
        row = changed.pop(number)
        if action != "remove":
            changed.insert(max(number - 1, 0) if action == "up" else number + 1, row)
    return [
        FieldRow(f"f.{place}", place, row.name, row.facts, row.is_required, row.chosen, row.text)
        for place, row in enumerate(changed)
    ]


def read_rows(rows: Sequence[FieldRow]) -> tuple[list[FieldMapping], dict[str, str]]:
    """Return the mappings of rows, and error messages by the keys of rows. Rows that are left out have none."""
    mappings, errors = [], {}
    for row in rows:
        if not row.chosen:
            continue
        source, _, value = row.chosen.partition(":")
        if source in TYPED:
            value = row.text
        if not row.name:
            errors[row.key] = gettext("Enter the name of the field")
            continue
        if len(value) > MAX_TEXT:
            errors[row.key] = gettext("Enter at most %(max)s characters", max=MAX_TEXT)
            continue
        try:
            mappings.append(FieldMapping.model_validate({"name": row.name, "source": source, "value": value}))
        except ValidationError:
            errors[row.key] = gettext("Choose an option, and a name of at most 200 characters")
    return mappings, errors


def ordered_fields(preset: Preset) -> list[ChannelField]:
    """Return the fields of a platform, required ones and images first."""
    images = {field.name for field in preset.image_fields}
    return sorted(preset.fields, key=lambda field: (not field.is_required, field.name not in images))


def _row_of(number: int, field: ChannelField, chosen: str, text: str) -> FieldRow:
    facts = []
    if field.max_length:
        facts.append(
            ngettext(
                "At most %(count)s character", "At most %(count)s characters", field.max_length, count=field.max_length
            )
        )
    if field.choices:
        facts.append(", ".join(list(field.choices)[:8]))
    return FieldRow(f"f.{number}", number, field.name, ". ".join(facts), field.is_required, chosen, text)


def _choice_of(mapping: FieldMapping) -> str:
    return (
        f"{mapping.source}:{mapping.value}"
        if mapping.source in (FieldSource.COLUMN, FieldSource.IMAGE)
        else mapping.source
    )


def _text_of(mapping: FieldMapping) -> str:
    return mapping.value if mapping.source in TYPED else ""

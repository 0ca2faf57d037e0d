"""Which columns and images of a campaign's rows probably belong into the fields of a preset."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cwz_web.campaigns.row_fields import JOINED
from cwz_web.channels.mapping import MAX_FIELDS, FieldMapping, FieldSource
from cwz_web.channels.preset import ChannelField, ImageField, Preset, ValueKind
from cwz_web.feeds.columns import ColumnType, normalize_name

# How much a ratio may differ from that of a field, as a factor.
TOLERANCE = 1.02
# A field of one of these kinds takes only columns of these types; others take all columns.
_TYPES: Mapping[ValueKind, frozenset[ColumnType]] = {
    ValueKind.PRICE: frozenset([ColumnType.PRICE, ColumnType.NUMBER]),
    ValueKind.URL: frozenset([ColumnType.URL, ColumnType.IMAGE]),
}
_prefix = re.compile(r"^(?:g|c):|^.*[.@/]")


@dataclass(frozen=True)
class OutputShape:
    """An image of each row.

    Attributes:
        name: the column that output feeds have for it.
        ratio: its width by its height; None if the designs differ in it.
    """

    name: str
    ratio: float | None = None


def suggest_mappings(
    preset: Preset, columns: Mapping[str, ColumnType], outputs: Sequence[OutputShape], *, has_photos: bool = True
) -> list[FieldMapping]:
    """Return the fields of a new channel: columns by their names, and images by their ratios.

    What no column says, such as the currency or the brand of a shop with one brand, is left to people.

    Args:
        preset: the platform.
        columns: the types of the columns.
        outputs: the images of each row.
        has_photos: whether rows have original photos.
    """
    if preset.is_generic:
        return _all_columns(columns, outputs)
    images = _images(preset, outputs)
    mappings: list[FieldMapping] = []
    for field in preset.fields:
        if isinstance(field, ImageField):
            numbers = images.get(field.name, [])
            mappings += [
                FieldMapping(name=field.name, source=FieldSource.IMAGE, value=str(number)) for number in numbers
            ]
            if field.is_required and not numbers and has_photos:
                mappings.append(FieldMapping(name=field.name, source=FieldSource.PHOTO))
        elif column := _column(field, columns):
            mappings.append(FieldMapping(name=field.name, source=FieldSource.COLUMN, value=column))
        elif field.is_unique:
            mappings.append(FieldMapping(name=field.name, source=FieldSource.KEY))
    return mappings


def _all_columns(columns: Mapping[str, ColumnType], outputs: Sequence[OutputShape]) -> list[FieldMapping]:
    mappings = [FieldMapping(name=name, source=FieldSource.COLUMN, value=name) for name in columns]
    mappings += [
        FieldMapping(name=output.name, source=FieldSource.IMAGE, value=str(number))
        for number, output in enumerate(outputs)
    ]
    return mappings[:MAX_FIELDS]


def _column(field: ChannelField, columns: Mapping[str, ColumnType]) -> str | None:
    """Return the column of a field: the one of its name, or else the first one of its other names."""
    allowed = _TYPES.get(field.kind)
    found = {
        plain: column
        for column, column_type in reversed(list(columns.items()))
        if allowed is None or column_type in allowed
        for plain in (_plain(column), _plain(_prefix.sub("", column)))
    }
    own = {_plain(column): column for column in columns if JOINED not in column}
    names = [_plain(name) for name in (field.name, *field.aliases)]
    # The column of exactly this name is it, whatever its type was guessed to be.
    return own.get(names[0]) or next((found[name] for name in names if name in found), None)


def _plain(name: str) -> str:
    return normalize_name(unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode())


def _images(preset: Preset, outputs: Sequence[OutputShape]) -> dict[str, list[int]]:
    """Return the numbers of the outputs of each field with an image.

    A field with a ratio of its own gets the first output that has it; the main field the first one that has none of
    these ratios; a field that takes several all others. Beside images of other ratios, the first of a list of images
    is that of the main field.
    """
    found: dict[str, list[int]] = {}
    left = list(range(len(outputs)))
    fields = preset.image_fields
    for field in fields:
        number = next((number for number in left if field.rules.min_ratio and _fits(field, outputs[number])), None)
        if number is not None:
            found[field.name] = [number]
            left.remove(number)
    main = next((field for field in fields if field.is_required and field.name not in found), None)
    if main is not None and left:
        found[main.name] = [left.pop(0)]
        for field in fields:
            if field.takes_photo and field is not main and any(each.tags and each.name in found for each in fields):
                found[field.name] = found[main.name]
    several = next((field for field in fields if field.max_images > 1 and field.name not in found), None)
    if several is not None and left:
        found[several.name] = left[: several.max_images]
    return found


def _fits(field: ImageField, output: OutputShape) -> bool:
    rules, ratio = field.rules, output.ratio
    if ratio is None or rules.min_ratio is None or rules.max_ratio is None:
        return False
    return rules.min_ratio / TOLERANCE <= ratio <= rules.max_ratio * TOLERANCE

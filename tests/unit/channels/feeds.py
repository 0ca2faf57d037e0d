"""Feeds of channels in tests: rows without a database, and readers of what was written."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from defusedxml import ElementTree

from cwz_web.channels.feed import FeedSettings, write_feed
from cwz_web.channels.field_columns import RowContext
from cwz_web.channels.findings import FeedReport
from cwz_web.channels.mapping import FieldMapping, FieldSource, MissingImage
from cwz_web.channels.preset import FileFormat, Preset
from cwz_web.channels.presets.generic import GENERIC
from cwz_web.channels.rows import ChannelRow, RowPage
from cwz_web.feeds.columns import ColumnType
from cwz_web.values.formats import DecimalSign, ValueFormat

IMAGES = ("https://cdn.example/1.jpg", "https://cdn.example/story.jpg")
EUROS = ValueFormat(decimal=DecimalSign.COMMA, currency="EUR")


def row(key: str = "1", images: Sequence[str | None] = IMAGES, **cells: str) -> ChannelRow:
    """Return a row with a photo and two images."""
    photo = cells.pop("photo", f"https://shop.example/{key}.jpg")
    return ChannelRow(key, cells, list(images), photo, "Sale", "A")


def columns(*names: str, **fields: str) -> list[FieldMapping]:
    """Return mappings of fields to columns of the same names, and to others by name."""
    both = {name: name for name in names} | fields
    return [FieldMapping(name=name, source=FieldSource.COLUMN, value=value) for name, value in both.items()]


def image(name: str, number: int = 0) -> FieldMapping:
    """Return the mapping of a field to an image."""
    return FieldMapping(name=name, source=FieldSource.IMAGE, value=str(number))


def constant(name: str, value: str) -> FieldMapping:
    """Return the mapping of a field to a text."""
    return FieldMapping(name=name, source=FieldSource.CONSTANT, value=value)


def write(
    rows: Sequence[ChannelRow],
    mappings: Sequence[FieldMapping],
    format: FileFormat = FileFormat.CSV,
    preset: Preset = GENERIC,
    on_missing: MissingImage = MissingImage.HOLD,
    **formats: ValueFormat,
) -> tuple[bytes, FeedReport]:
    """Return a feed and its report. Columns named price are prices in euros."""
    used = {mapping.value for mapping in mappings if mapping.source == FieldSource.COLUMN}
    types = {name: ColumnType.PRICE if "price" in name else ColumnType.TEXT for name in sorted(used)}
    context = RowContext(types, {name: EUROS for name in used if "price" in name} | formats)
    settings = FeedSettings(preset, format, mappings, on_missing, context, "Shop & co")
    file = io.BytesIO()
    report = write_feed([RowPage.of(rows)], settings, file)
    assert report.size == len(file.getvalue())
    return file.getvalue(), report


def read(data: bytes, format: FileFormat) -> list[dict[str, Any]]:
    """Return the rows of a feed as a standard reader has them; XML without prefixes of namespaces."""
    text = data.decode()
    match format:
        case FileFormat.CSV:
            return list(csv.DictReader(io.StringIO(text, newline="")))
        case FileFormat.TSV:
            return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t"))
        case FileFormat.JSON:
            return json.loads(text)  # type: ignore[no-any-return]
        case FileFormat.JSON_LINES:
            return [json.loads(line) for line in text.split("\n") if line]
    root = ElementTree.fromstring(data)
    items = [element for element in root.iter() if local_name(element) in ("item", "entry", "product")]
    return [{local_name(child): child.text or "" for child in item} for item in items]


def local_name(element: Any) -> str:
    """Return the name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]

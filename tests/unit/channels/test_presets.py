"""Presets of platforms: what they write is what a sample has that was written after the platform's specification."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from defusedxml import ElementTree

from cwz_web.channels.mapping import FieldMapping, FieldSource
from cwz_web.channels.preset import FileFormat, ImageField, Preset, ValueKind
from cwz_web.channels.presets import PRESETS
from cwz_web.channels.presets.google import GOOGLE
from cwz_web.channels.rows import ChannelRow
from cwz_web.channels.suggestions import OutputShape, suggest_mappings
from cwz_web.feeds.columns import ColumnType, guess_schema
from cwz_web.feeds.records import Table
from tests.unit.channels.feeds import columns, constant, local_name, row, write

DATA = Path(__file__).parents[2] / "data"
SAMPLES = sorted(path.name for path in (DATA / "channels").iterdir())


def preset_of(name: str) -> tuple[Preset, FileFormat]:
    return PRESETS[name.partition(".")[0]], FileFormat(name.partition(".")[2])


def test_every_preset_has_a_sample_for_each_of_its_own_formats() -> None:
    wanted = {f"{name}.{preset.formats[0]}" for name, preset in PRESETS.items() if not preset.is_generic}
    assert wanted <= set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_cells_of_a_sample_are_written_as_they_are(name: str) -> None:
    preset, format = preset_of(name)
    sample = (DATA / "channels" / name).read_bytes()
    records = _xml_records(preset, sample) if format == FileFormat.XML else _text_records(preset, sample, format)
    rows = [ChannelRow(str(number), record, []) for number, record in enumerate(records)]
    tags = {tag for field in preset.image_fields for tag, _ in field.tags}
    names = [each for each in records[0] if each not in tags]
    mappings = [FieldMapping(name=each, source=FieldSource.COLUMN, value=each) for each in names]
    data, report = write(rows, mappings, format, preset)
    assert (report.findings, report.rows) == ([], len(rows))
    if format == FileFormat.XML:
        assert _tree(data) == _tree(sample)
    else:
        delimiter = "," if format == FileFormat.CSV else "\t"
        assert _cells(data, delimiter) == _cells(sample, delimiter)
    known = {field.name for field in preset.fields} | tags
    assert set(records[0]) - known <= {"shipping(country:service:price)"}


def _cells(data: bytes, delimiter: str) -> list[list[tuple[str, str]]]:
    lines = csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter)
    header = next(lines)
    return [sorted(zip(header, line, strict=True)) for line in lines]


def _text_records(preset: Preset, data: bytes, format: FileFormat) -> list[dict[str, str]]:
    records = [dict(each) for each in _cells(data, "," if format == FileFormat.CSV else "\t")]
    for record in records:
        for field in preset.image_fields:
            if field.max_images > 1 and field.name in record:
                record[field.name] = record[field.name].replace(field.separator, " | ")
    return records


def _xml_records(preset: Preset, data: bytes) -> list[dict[str, str]]:
    return [dict(_xml_cells(preset, item)) for item in ElementTree.fromstring(data).iter("item")]


def _xml_cells(preset: Preset, item: Any) -> Iterator[tuple[str, str]]:
    """Yield the cells of a row as a text file has them."""
    several: dict[str, list[str]] = {}
    for child in item:
        name = local_name(child)
        parts = [(local_name(part), part.text or "") for part in child]
        if name in ("image", "video"):
            tags = {text for part, text in parts if part == "tag"}
            fields = (field for field in preset.image_fields if tags == {text for _, text in field.tags})
            yield next((field.name for field in fields if tags), f"{name}[0].url"), dict(parts)["url"]
        elif parts:
            yield f"{name}({':'.join(part for part, _ in parts)})", ":".join(text for _, text in parts)
        else:
            several.setdefault(name, []).append(child.text or "")
    yield from ((name, " | ".join(texts)) for name, texts in several.items())


def _tree(data: bytes) -> list[Any]:
    """Return the rows of a file with the full names of their elements, in any order."""
    return [
        sorted((child.tag, (child.text or "").strip(), [(part.tag, part.text) for part in child]) for child in item)
        for item in ElementTree.fromstring(data).iter("item")
    ]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_presets_are_consistent(preset: Preset) -> None:
    names = [field.name for field in preset.fields] + [tag for each in preset.image_fields for tag, _ in each.tags]
    assert len(names) == len(set(names))
    assert preset.is_generic or (preset.specifications and sum(field.is_unique for field in preset.fields) == 1)
    assert (FileFormat.XML in preset.formats) == (preset.xml is not None)
    for field in preset.fields:
        assert not field.below or field.below in names
        assert (field.choices is not None) == (field.kind in (ValueKind.CHOICE, ValueKind.AVAILABILITY))
        assert not isinstance(field, ImageField) or field.rules.formats


def test_fields_are_suggested_by_names_of_columns_and_ratios_of_images() -> None:
    shop = {
        "SKU": ColumnType.TEXT,
        "Titel": ColumnType.TEXT,
        "Preis": ColumnType.PRICE,
        "Menge": ColumnType.NUMBER,
        "g:image_link": ColumnType.IMAGE,
        "stock.Lagerbestand": ColumnType.NUMBER,
        "gtin": ColumnType.TEXT,
    }
    outputs = [
        OutputShape("story", 0.5625),
        OutputShape("square", 1.0),
        OutputShape("wide", 1.91),
        OutputShape("p", 0.8),
    ]
    found = {each.name: (each.source, each.value) for each in suggest_mappings(PRESETS["meta"], shop, outputs)}
    assert found == {
        "id": (FieldSource.COLUMN, "SKU"),
        "title": (FieldSource.COLUMN, "Titel"),
        "price": (FieldSource.COLUMN, "Preis"),
        "availability": (FieldSource.COLUMN, "stock.Lagerbestand"),
        "gtin": (FieldSource.COLUMN, "gtin"),
        "image_link": (FieldSource.IMAGE, "1"),
        "image[0].url": (FieldSource.IMAGE, "1"),
        "image[1].url": (FieldSource.IMAGE, "3"),
        "image[2].url": (FieldSource.IMAGE, "0"),
        "additional_image_link": (FieldSource.IMAGE, "2"),
    }
    (first, *_), *_ = [suggest_mappings(GOOGLE, {"Name": ColumnType.TEXT}, [])]
    assert (first.name, first.source) == ("id", FieldSource.KEY)
    generic = suggest_mappings(PRESETS["generic"], shop, outputs[:1])
    assert [each.name for each in generic] == [*shop, "story"]


@pytest.mark.parametrize("name", ["shopify-apparel.csv", "shopify-home-and-garden.csv"])
def test_product_export_of_a_shop_is_written_after_the_platforms_rules(name: str) -> None:
    text = io.StringIO((DATA / name).read_bytes().decode(), newline="")
    records = [line for line in csv.DictReader(text) if line["Title"]]
    schema = guess_schema(Table(columns=list(records[0]), rows=records))
    price = FieldMapping(name="price", source=FieldSource.EXPRESSION, value='string(amount(variant_price)) + " USD"')
    own = [price, constant("link", "https://shop.example/a"), constant("availability", "in stock")]
    own += [FieldMapping(name="id", source=FieldSource.KEY), *columns(size_system="Variant Price")]
    names = {each.name for each in own}
    suggested = suggest_mappings(GOOGLE, schema.types, [OutputShape("image_url")])
    assert {"title", "description", "brand", "gtin", "image_link"} <= {each.name for each in suggested}
    mappings = [*own, *(each for each in suggested if each.name not in names)]
    rows = [row(record["Handle"], **record) for record in records]
    data, report = write(rows, mappings, FileFormat.XML, GOOGLE)
    assert report.rows + report.held_rows == len(rows)
    assert report.rows > len(rows) // 2, report.findings
    items = list(ElementTree.fromstring(data).iter("item"))
    assert len(items) == report.rows
    assert all("<" not in (child.text or "") for item in items for child in item)

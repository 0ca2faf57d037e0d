"""Writes the feed of a channel in one pass over its rows, and checks it on the way.

A row without a required value is left out, and an invalid optional value is left empty; both are counted.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain
from typing import Any, BinaryIO
from urllib.parse import urljoin

from isal import igzip

from cwz_web.channels.feed_files import FileWriter, file_writer
from cwz_web.channels.field_columns import (
    Batch,
    FieldColumn,
    InvalidMappingError,
    JoinedColumn,
    RowContext,
    TagColumn,
    columns_of,
)
from cwz_web.channels.findings import FeedReport, FieldFinding, FindingKind, Findings, HoldReason
from cwz_web.channels.mapping import FieldMapping, FieldSource, MissingImage
from cwz_web.channels.preset import FileFormat, ImageField, Preset
from cwz_web.channels.rows import RowPage
from cwz_web.channels.unique_values import UniqueValues
from cwz_web.channels.values import convert_url
from cwz_web.i18n import gettext, gettext_noop

# How many characters a writer has at once as one text.
MAX_TEXT = 8 * 1024 * 1024
# Of a feed before compression: no platform reads more, and disks have to hold it.
MAX_BYTES = 4 * 1024**3
LINK = "link"
GZIP_LEVEL = 2
TOO_LARGE = gettext_noop("The feed is larger than 4 GB. Leave fields out, or choose fewer rows")


class FeedTooLargeError(ValueError):
    """A feed has more than `MAX_BYTES` before compression."""

    def __init__(self) -> None:
        super().__init__(TOO_LARGE)


@dataclass(frozen=True)
class FeedSettings:
    """What a channel writes.

    Attributes:
        preset: the platform's fields and rules.
        format: the file format.
        mappings: the fields in their order. Several of a field that takes several images are joined.
        on_missing: what a row without an approved image gets.
        context: what the values depend on beside the rows.
        title: what the file is about, where the format has a place for it.
    """

    preset: Preset
    format: FileFormat
    mappings: Sequence[FieldMapping]
    on_missing: MissingImage = MissingImage.HOLD
    context: RowContext = field(default_factory=RowContext)
    title: str = ""

    @property
    def columns(self) -> set[str]:
        """The columns of the rows that are written. Raises InvalidMappingError."""
        return columns_of(self.mappings, self.context)


def write_feed(
    pages: Iterable[RowPage], settings: FeedSettings, file: BinaryIO, *, is_gzipped: bool = False
) -> FeedReport:
    """Write rows into a file, and return what was written and what was not.

    Args:
        pages: the rows of a publication, some of them at once.
        settings: what the channel writes.
        file: the file.
        is_gzipped: whether it is compressed with gzip.

    Raises:
        InvalidMappingError: a mapping cannot be used with the columns of the feed.
        FeedTooLargeError: the rows make a file that is too large.
    """
    table = _Table(settings)
    pages = iter(pages)
    first = next(pages, None)
    site = _site_of(first, settings.mappings) if first else ""
    writer = file_writer(settings.format, settings.preset, table.fields, settings.title, site)
    with _Output(file, is_gzipped=is_gzipped) as output:
        output.write(writer.begin())
        for page in chain([first] if first else [], pages):
            columns = table.values(page)
            if columns and columns[0]:
                _write_columns(writer, columns, output)
        output.write(writer.end())
    return FeedReport(
        rows=table.written,
        held={reason: table.held[reason] for reason in HoldReason if table.held[reason]},
        findings=[*_check_file(settings.preset, table.written, output.size), *table.findings.list()],
        digest=output.digest.hexdigest(),
        size=output.size,
    )


def _site_of(page: RowPage, mappings: Sequence[FieldMapping]) -> str:
    """Return the site of the first row's page, which RSS has above its items; "" if there is none."""
    column = next((each.value for each in mappings if each.name == LINK and each.source == FieldSource.COLUMN), None)
    urls = map(convert_url, page.column(column)) if column is not None else iter(())
    first = next((url for url in urls if isinstance(url, str)), "")
    return urljoin(first, "/") if first else ""


def _check_file(preset: Preset, rows: int, size: int) -> Iterator[FieldFinding]:
    """Yield what is wrong with a file as a whole."""
    if preset.max_rows and rows > preset.max_rows:
        example = f"{rows} > {preset.max_rows}"
        yield FieldFinding(field="", kind=FindingKind.FILE, example=example, rows=rows, keys=[])
    if preset.max_bytes and size > preset.max_bytes:
        example = f"{size} > {preset.max_bytes}"
        yield FieldFinding(field="", kind=FindingKind.FILE, example=example, rows=rows, keys=[])


def _write_columns(writer: FileWriter, columns: Sequence[Sequence[str]], output: "_Output") -> None:
    """Write rows; half of them at once if they are long, since a writer has all of them as one text."""
    half = len(columns[0]) // 2
    if half and sum(sum(map(len, column)) for column in columns) > MAX_TEXT:
        _write_columns(writer, [column[:half] for column in columns], output)
        _write_columns(writer, [column[half:] for column in columns], output)
        return
    output.write(writer.rows(columns))


class _Output:
    """A file, compressed or not, and the digest and size of what was written before compression."""

    def __init__(self, file: BinaryIO, *, is_gzipped: bool) -> None:
        self.digest, self.size = sha256(), 0
        # Without a time, equal feeds are equal files.
        self._zip = _compress(file) if is_gzipped else None
        self._file = self._zip or file

    def __enter__(self) -> "_Output":
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip:
            self._zip.close()

    def write(self, data: bytes) -> None:
        """Write what comes next. Raises FeedTooLargeError."""
        self.size += len(data)
        if self.size > MAX_BYTES:
            raise FeedTooLargeError
        self.digest.update(data)
        self._file.write(data)


def _compress(file: BinaryIO) -> BinaryIO:
    zipped: Any = igzip.IGzipFile("", "wb", GZIP_LEVEL, file, mtime=0)  # type: ignore[no-untyped-call]
    output: BinaryIO = zipped
    return output


class _Table:
    """The columns of a feed's fields, and what happened to the rows so far."""

    def __init__(self, settings: FeedSettings) -> None:
        self.findings, self.held, self.written = Findings(), Counter[HoldReason](), 0
        self._on_missing = settings.on_missing
        self._columns = _columns(settings)
        self.fields = [column.field for column in self._columns]
        self._required = [place for place, field in enumerate(self.fields) if field.is_required]
        mapped = {field.name for field in self.fields}
        self._unmapped = [each for each in settings.preset.fields if each.is_required and each.name not in mapped]
        self._defaults = [(place, field.default) for place, field in enumerate(self.fields) if field.default]
        self._unique = [(place, UniqueValues()) for place, field in enumerate(self.fields) if field.is_unique]
        places = {field.name: place for place, field in enumerate(self.fields)}
        self._lower = [(place, places[each.below]) for place, each in enumerate(self.fields) if each.below in places]
        self._groups = [
            (
                group,
                [places[name] for name in group.names if name in places],
                [(places[name], value) for name, value in group.exempt_by if name in places],
            )
            for group in settings.preset.groups
        ]
        self._images = sorted({int(each.value) for each in settings.mappings if each.source == FieldSource.IMAGE})

    def values(self, page: RowPage) -> list[Sequence[str]]:
        """Return the values of each field, one for each row that is not left out."""
        if self._images:
            page = self._with_images(page)
        batch = Batch(page, self.findings)
        columns: list[Sequence[str]] = []
        for column in self._columns:
            columns.append(column.tags(columns) if isinstance(column, TagColumn) else column.values(batch))
        for place, default in self._defaults:
            columns[place] = [value or default for value in columns[place]]
        for place, other in self._lower:
            columns[place] = self._lower_values(place, columns[place], columns[other], page.keys)
        self._check_groups(columns, page.keys)
        held = self._held_places(batch, columns)
        if held:
            columns = [[value for place, value in enumerate(column) if place not in held] for column in columns]
        self.written += len(page) - len(held)
        return columns

    def _with_images(self, page: RowPage) -> RowPage:
        """Return the rows that have an image, or get one in its place."""
        # An earlier publication may have fewer images.
        urls = [page.images[number] if number < len(page.images) else [None] * len(page) for number in self._images]
        if True not in page.is_kept and not any(None in column for column in urls):
            return page
        shows_photo, kept = list(page.shows_photo), []
        rows = zip(zip(*urls, strict=True), page.shows_photo, page.is_kept, strict=True)
        for place, (shown, is_photo, is_kept) in enumerate(rows):
            if (is_photo or None not in shown) and (self._on_missing == MissingImage.LAST or not is_kept):
                kept.append(place)
            elif self._on_missing == MissingImage.PHOTO:
                shows_photo[place] = True
                kept.append(place)
            else:
                self.held[HoldReason.IMAGE] += 1
        images = [
            [None if is_photo else url for url, is_photo in zip(column, shows_photo, strict=True)]
            for column in page.images
        ]
        page = replace(page, images=images, shows_photo=shows_photo)
        return page if len(kept) == len(page) else page.select(kept)

    def _lower_values(
        self, place: int, values: Sequence[str], others: Sequence[str], keys: Sequence[str]
    ) -> Sequence[str]:
        """Return amounts without those that are not lower than those of another field."""
        lower = list(values)
        for number, (value, other) in enumerate(zip(values, others, strict=True)):
            if value and other and not _is_lower(value, other):
                example = f"{value}, {other}"
                self.findings.add(self.fields[place].name, FindingKind.ORDER, keys[number], example=example)
                lower[number] = ""
        return lower

    def _check_groups(self, columns: Sequence[Sequence[str]], keys: Sequence[str]) -> None:
        """Count the rows with too few values of fields of which the platform wants some."""
        for group, own, exempt_by in self._groups:
            if sum("" not in columns[place] for place in own) >= group.least:
                continue
            counts = [sum(map(bool, values)) for values in zip(*(columns[place] for place in own), strict=True)]
            for number, key in enumerate(keys):
                is_exempt = any(columns[place][number] == value for place, value in exempt_by)
                if not is_exempt and (counts[number] if counts else 0) < group.least:
                    self.findings.add(", ".join(group.names), FindingKind.GROUP, key)

    def _held_places(self, batch: Batch, columns: Sequence[Sequence[str]]) -> set[int]:
        """Return the places of rows that are left out, and count them by the reason."""
        held: set[int] = set()
        for each in self._unmapped:
            for key in batch.page.keys:
                self.findings.add(each.name, FindingKind.UNMAPPED, key)
            held.update(range(len(batch.page)))
        for place in self._required:
            if "" in columns[place]:
                empty = {number for number, value in enumerate(columns[place]) if not value}
                for number in sorted(empty - batch.unclear.get(self.fields[place].name, set())):
                    self.findings.add(self.fields[place].name, FindingKind.MISSING, batch.page.keys[number])
                held |= empty
        self.held[HoldReason.VALUE] += len(held)
        for place, known in self._unique:
            duplicates = self._duplicates(place, columns[place], known, batch, held)
            self.held[HoldReason.DUPLICATE] += len(duplicates)
            held |= duplicates
        return held

    def _duplicates(
        self, place: int, values: Sequence[str], known: UniqueValues, batch: Batch, held: Collection[int]
    ) -> set[int]:
        """Return the places of rows whose value an earlier row has."""
        hashes = list(map(hash, values))
        different = set(hashes)
        earlier = known.find(different)
        if not held and not earlier and len(different) == len(values):
            known.add(different)
            return set()
        duplicates: set[int] = set()
        new: set[int] = set()
        for number, each in enumerate(hashes):
            if number in held:
                continue
            if each in earlier or each in new:
                duplicates.add(number)
                key = batch.page.keys[number]
                self.findings.add(self.fields[place].name, FindingKind.DUPLICATE, key, example=values[number])
            new.add(each)
        known.add(new)
        return duplicates


def _is_lower(value: str, other: str) -> bool:
    """Return whether an amount is lower than another one in the same currency."""
    amount, _, currency = value.partition(" ")
    other_amount, _, other_currency = other.partition(" ")
    return currency == other_currency and float(amount) < float(other_amount)


def _columns(settings: FeedSettings) -> list[FieldColumn | JoinedColumn | TagColumn]:
    """Return the columns of the fields, in the order of the mappings."""
    preset, context = settings.preset, settings.context
    by_name: dict[str, list[FieldMapping]] = {}
    for mapping in settings.mappings:
        by_name.setdefault(mapping.name, []).append(mapping)
    for each in preset.fields:
        if each.default and each.is_required:
            by_name.setdefault(each.name, [FieldMapping(name=each.name, source=FieldSource.CONSTANT)])
    columns: list[FieldColumn | JoinedColumn | TagColumn] = []
    for name, mappings in by_name.items():
        channel_field = preset.field(name)
        own = [FieldColumn(channel_field, mapping, preset, context) for mapping in mappings]
        if len(own) == 1:
            columns.append(own[0])
        elif isinstance(channel_field, ImageField) and channel_field.max_images > 1:
            columns.append(JoinedColumn(channel_field, own))
        else:
            raise InvalidMappingError(name, gettext("The field has two values. Remove one of them"))
        if isinstance(channel_field, ImageField):
            place = len(columns) - 1
            columns += [TagColumn(tag, text, place) for tag, text in channel_field.tags if tag not in by_name]
    return columns

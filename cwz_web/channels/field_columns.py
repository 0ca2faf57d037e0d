"""The values of a channel's fields, computed column by column for many rows at once.

A feed has a million rows and a dozen fields, so that a call for each value would take most of the time. Values that
repeat, such as prices and availabilities, are converted once and kept in a bounded dictionary. Of others, such as
titles and URLs, only those are converted that a quick test does not let pass.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self
from zoneinfo import ZoneInfo

from cwz_web.campaigns.row_fields import RowField, SourceKind, row_fields
from cwz_web.channels.findings import FindingKind, Findings
from cwz_web.channels.mapping import FieldMapping, FieldSource
from cwz_web.channels.preset import ChannelField, ImageField, Preset, ValueKind
from cwz_web.channels.rows import RowPage
from cwz_web.channels.values import MAX_URL, Convert, CutText, convert_url, converter, match_safe_url
from cwz_web.feeds.columns import ColumnType
from cwz_web.i18n import gettext
from cwz_web.imaging.expression_functions import EvaluationContext
from cwz_web.imaging.expression_syntax import ExpressionError
from cwz_web.imaging.expressions import Expression, FieldValue, parse_expression
from cwz_web.imaging.field_values import computed_text
from cwz_web.imaging.photo_urls import split_urls
from cwz_web.values.formats import UNKNOWN, FormattedText, Unclear, ValueFormat

# How many converted values of a field are kept, and the characters of one at most: longer ones seldom repeat.
MAX_KNOWN = 50_000
MAX_KNOWN_LENGTH = 200
_markup = re.compile("[<&]")
# Between the URLs of a field that takes several; no URL contains it.
URL_SEPARATOR = "\n"
UTC_ZONE = ZoneInfo("UTC")

_Read = Callable[[RowPage], Sequence[str]]


class InvalidMappingError(ValueError):
    """The mapping of a field cannot be used with the columns of the feed.

    Attributes:
        field: the field's name.
    """

    @property
    def sentence(self) -> str:
        """The message with the field, for what is stored."""
        return gettext("The field “%(field)s” cannot be written: %(reason)s", field=self.field, reason=str(self))

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        super().__init__(reason)


@dataclass(frozen=True)
class RowContext:
    """What the values of a channel depend on beside its rows.

    Attributes:
        types: the types of the columns.
        formats: how their cells are written.
        zone: the time zone of times that name none.
        evaluation: what expressions depend on.
    """

    types: Mapping[str, ColumnType] = field(default_factory=dict)
    formats: Mapping[str, ValueFormat] = field(default_factory=dict)
    zone: ZoneInfo = UTC_ZONE
    evaluation: EvaluationContext = field(default_factory=EvaluationContext)

    def fields(self) -> dict[str, RowField]:
        """Return what expressions can use, by name: the columns of a row, but not how long it has been in its feed."""
        fields = row_fields(self.types, self.formats, self.zone)
        return {
            name: each
            for name, each in fields.items()
            if all(source.kind == SourceKind.COLUMN for source in each.sources)
        }


@dataclass
class Batch:
    """Rows whose values are computed together.

    Attributes:
        page: the rows.
        findings: counts what is found in their values.
        unclear: the places of rows in which the value of a field could not be converted, by the field's name.
    """

    page: RowPage
    findings: Findings
    unclear: dict[str, set[int]] = field(default_factory=dict)


class UnclearText(str):
    """The result of an expression that is not certain, which no conversion lets pass.

    Attributes:
        unclear: why.
    """

    __slots__ = ("unclear",)

    unclear: Unclear

    def __new__(cls, unclear: Unclear) -> Self:
        """Return a text that stands for the reason."""
        text = super().__new__(cls, f"\x00{unclear.reason}")
        text.unclear = unclear
        return text


class FieldColumn:
    """Computes the values of a field.

    Args:
        field: the field.
        mapping: where its values come from.
        preset: the preset of the channel.
        context: what they depend on beside the rows.

    Raises:
        InvalidMappingError: the mapping is an expression that is not valid, or an image that does not exist.
    """

    def __init__(self, field: ChannelField, mapping: FieldMapping, preset: Preset, context: RowContext) -> None:
        format = UNKNOWN
        if mapping.source == FieldSource.COLUMN:
            format = context.formats.get(mapping.value, UNKNOWN)
        is_photo = mapping.source == FieldSource.PHOTO
        if is_photo and field.kind == ValueKind.TEXT:
            field = replace(field, kind=ValueKind.URL)
        convert = converter(field, preset, format, context.zone)
        self._convert = _first_url(convert) if is_photo or isinstance(field, ImageField) else convert
        if isinstance(field, ImageField) and mapping.source == FieldSource.COLUMN and field.max_images > 1:
            self._convert = _all_urls
        self.field = field
        self._read = _reader(field, mapping, preset, context)
        # Image URLs of ours need no conversion.
        self._is_ready = mapping.source == FieldSource.IMAGE
        self._is_text = field.kind == ValueKind.TEXT
        self._is_url = field.kind == ValueKind.URL
        self._is_list = is_photo or isinstance(field, ImageField)
        self._keeps_html = preset.keeps_html
        self._known: dict[str, str] = {}
        self._unclear: dict[str, Unclear] = {}

    def values(self, batch: Batch) -> list[str]:
        """Return the field's value for each row; "" for none."""
        texts = self._read(batch.page)
        if self._is_ready:
            values: list[str | None] = list(texts)
        elif self._is_text:
            values = self._quick_texts(texts)
        elif self._is_url:
            values = [text if not text or (len(text) <= MAX_URL and match_safe_url(text)) else None for text in texts]
            if self._is_list and "," in "".join(texts):  # a URL can contain a comma, and so can a list of URLs
                values = [None if "," in text else value for text, value in zip(texts, values, strict=True)]
        else:
            return self._repeated_values(texts, batch)
        if None in values:
            for place, value in enumerate(values):
                if value is None:
                    values[place] = self._convert_one(texts[place], place, batch)
        return values  # type: ignore[return-value] # None was replaced

    def _quick_texts(self, texts: Sequence[str]) -> list[str | None]:
        """Return the texts that need no conversion, and None for others."""
        limit = self.field.max_length or sys.maxsize
        stripped = list(map(str.strip, texts))
        joined = "".join(stripped)
        has_html = not self._keeps_html and ("<" in joined or "&" in joined)
        if joined.isprintable() and not has_html and len(max(stripped, key=len)) <= limit:
            return stripped  # type: ignore[return-value] # no text needs a look of its own
        return [
            text if text.isprintable() and len(text) <= limit and not (has_html and _markup.search(text)) else None
            for text in stripped
        ]

    def _repeated_values(self, texts: Sequence[str], batch: Batch) -> list[str]:
        # A number of a JSON document can mean something else than the same text.
        has_numbers = FormattedText in set(map(type, texts))
        values = list(map(self._known.get, texts))
        if None in values or has_numbers:
            for place, value in enumerate(values):
                text = texts[place]
                is_number = has_numbers and type(text) is FormattedText
                if is_number or (value is None and len(text) > MAX_KNOWN_LENGTH):
                    values[place] = self._convert_one(text, place, batch)
                elif value is None:
                    values[place] = self._learn(text)
        if self._unclear:
            for place, text in enumerate(texts):
                if text in self._unclear and type(text) is not FormattedText:
                    self._report(self._unclear[text], text, place, batch)
        return values  # type: ignore[return-value] # None was replaced

    def _learn(self, text: str) -> str:
        """Convert a text and keep its value."""
        if text in self._known:  # an earlier row of the batch has it, too
            return self._known[text]
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
            self._unclear.clear()
        value = self._convert_text(text)
        if isinstance(value, Unclear):
            self._unclear[text] = value
            value = ""
        if len(value) <= MAX_KNOWN_LENGTH:
            self._known[text] = value
        return value

    def _convert_text(self, text: str) -> str | Unclear:
        return text.unclear if isinstance(text, UnclearText) else self._convert(text)

    def _convert_one(self, text: str, place: int, batch: Batch) -> str:
        value = self._convert_text(text)
        if isinstance(value, Unclear):
            self._report(value, text, place, batch)
            return ""
        if isinstance(value, CutText):
            batch.findings.add(self.field.name, FindingKind.CUT, batch.page.keys[place], example=text)
        return value

    def _report(self, unclear: Unclear, text: str, place: int, batch: Batch) -> None:
        key = batch.page.keys[place]
        example = "" if isinstance(text, UnclearText) else text
        batch.findings.add(self.field.name, FindingKind.UNCLEAR, key, reason=unclear.reason, example=example)
        batch.unclear.setdefault(self.field.name, set()).add(place)


class JoinedColumn:
    """Computes the URLs of a field that takes several images, each once."""

    def __init__(self, field: ImageField, columns: Sequence[FieldColumn]) -> None:
        self.field, self.columns = field, columns

    def values(self, batch: Batch) -> list[str]:
        """Return the field's URLs for each row."""
        columns = [column.values(batch) for column in self.columns]
        return [self._join(urls) for urls in zip(*columns, strict=True)]

    def _join(self, texts: Sequence[str]) -> str:
        urls = dict.fromkeys(url for text in texts if text for url in text.split(URL_SEPARATOR))
        return URL_SEPARATOR.join(list(urls)[: self.field.max_images])


class TagColumn:
    """Says what the images of another column are for."""

    def __init__(self, name: str, tag: str, place: int) -> None:
        self.field, self._tag, self._place = ChannelField(name), tag, place

    def tags(self, columns: Sequence[Sequence[str]]) -> list[str]:
        """Return the tag for each row with an image."""
        return [self._tag if url else "" for url in columns[self._place]]


def _first_url(convert: Convert) -> Convert:
    """Return a function that converts the first URL of a cell."""
    return lambda text: convert(next(iter(split_urls(text)), ""))


def _all_urls(text: str) -> str | Unclear:
    """Return all URLs of a cell that can be fetched; what is wrong with the first one if there is none."""
    urls = [convert_url(url) for url in split_urls(text)]
    valid = [url for url in urls if isinstance(url, str) and len(url) <= MAX_URL]
    return URL_SEPARATOR.join(valid) if valid or not urls else urls[0]


def columns_of(mappings: Iterable[FieldMapping], context: RowContext) -> set[str]:
    """Return the columns that values are made of. Raises InvalidMappingError."""
    columns: set[str] = set()
    for mapping in mappings:
        if mapping.source == FieldSource.COLUMN:
            columns.add(mapping.value)
        elif mapping.source == FieldSource.EXPRESSION:
            columns.update(_ExpressionReader(mapping.name, mapping.value, context).columns)
    return columns


def _reader(field: ChannelField, mapping: FieldMapping, preset: Preset, context: RowContext) -> _Read:
    """Return a function that reads what a field is made of from rows."""
    value = mapping.value
    match mapping.source:
        case FieldSource.COLUMN:
            return lambda page: page.column(value)
        case FieldSource.CONSTANT:
            return lambda page: [value] * len(page)
        case FieldSource.EXPRESSION:
            return _ExpressionReader(field.name, value, context).read
        case FieldSource.IMAGE:
            takes_photo = preset.is_generic or (isinstance(field, ImageField) and field.takes_photo)
            return _image_reader(_output_number(field, value), takes_photo=takes_photo)
        case FieldSource.PHOTO:
            return lambda page: page.photos
        case FieldSource.RULE:
            return lambda page: [rule for rule, _ in page.names]
        case FieldSource.LABEL:
            return lambda page: [label for _, label in page.names]
    return lambda page: page.keys


def _image_reader(number: int, *, takes_photo: bool) -> _Read:
    def read_photo(text: str) -> str:
        url = convert_url(next(iter(split_urls(text)), ""))
        return url if isinstance(url, str) else ""

    def read(page: RowPage) -> Sequence[str]:
        urls = page.images[number] if number < len(page.images) else [None] * len(page)
        if None not in urls:
            return urls  # type: ignore[return-value]
        rows = zip(urls, page.photos, page.shows_photo, strict=True)
        return [url or (read_photo(photo) if takes_photo and is_photo else "") for url, photo, is_photo in rows]

    return read


def _output_number(field: ChannelField, value: str) -> int:
    if not value.isascii() or not value.isdecimal():
        raise InvalidMappingError(field.name, gettext("Choose one of the campaign's images"))
    return int(value)


class _ExpressionReader:
    """Evaluates an expression for rows; the results are kept by the cells that it depends on.

    Attributes:
        columns: the columns that it depends on.
    """

    def __init__(self, name: str, source: str, context: RowContext) -> None:
        fields = context.fields()
        self._expression = _parse(name, source, fields)
        self._context, self._today = context.evaluation, context.evaluation.today
        used = [fields[name] for name in sorted(self._expression.fields)]
        self.columns = list(dict.fromkeys(source.column for each in used for source in each.sources))
        self._fields = [(each, [self.columns.index(source.column) for source in each.sources]) for each in used]
        self._known: dict[tuple[str, ...], str] = {}

    def read(self, page: RowPage) -> list[str]:
        """Return the result of each row as a text; "" if it has none or is not certain."""
        if not self.columns:
            return [self._evaluate(())] * len(page)
        cells = zip(*map(page.column, self.columns), strict=True)
        return [self._result(each) for each in cells]

    def _result(self, cells: tuple[str, ...]) -> str:
        is_long = sum(map(len, cells)) > MAX_KNOWN_LENGTH
        if is_long or FormattedText in map(type, cells):  # a number of a JSON document
            return self._evaluate(cells)
        result = self._known.get(cells)
        if result is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            result = self._evaluate(cells)
            if len(result) <= MAX_KNOWN_LENGTH:
                self._known[cells] = result
        return result

    def _evaluate(self, cells: tuple[str, ...]) -> str:
        values: dict[str, FieldValue] = {}
        for each, places in self._fields:
            value = each.read_texts([cells[place] for place in places], self._today)
            if isinstance(value, Unclear):
                return UnclearText(value)
            values[each.name] = value
        result = self._expression.evaluate(values, self._context)
        if isinstance(result, Unclear):
            return UnclearText(result)
        text = computed_text(result, "")
        return FormattedText(text, is_number=True) if text.is_number else str(text)


def _parse(name: str, source: str, fields: Mapping[str, RowField]) -> Expression:
    try:
        expression = parse_expression(source)
    except ExpressionError as error:
        raise InvalidMappingError(name, str(error)) from None
    unknown = sorted(expression.fields - fields.keys())
    if unknown:
        raise InvalidMappingError(name, gettext("The feed has no column “%(name)s”", name=unknown[0]))
    if expression.photos or expression.tables:
        raise InvalidMappingError(
            name, gettext("A channel's expression can use neither parts of photos nor tables of a template")
        )
    return expression

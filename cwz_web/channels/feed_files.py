"""File formats of feeds: CSV and TSV (RFC 4180), XML, JSON (RFC 8259) and JSON Lines, written column by column.

A value is a text without control characters. A field that takes several images has their URLs in lines.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from html import escape
from itertools import groupby
from urllib.parse import quote

import orjson

from cwz_web.channels.field_columns import URL_SEPARATOR
from cwz_web.channels.preset import ChannelField, FileFormat, ImageField, Preset, XmlShape
from cwz_web.channels.values import clean_text

Values = Sequence[str]

_blanks = re.compile(r"[\t\r\n]+")
# A name in the form of a path: image[0].url, or video[1].tag[0].
_path = re.compile(
    r"(?P<base>[a-z_]\w*)\[(?P<number>\d+)\]\.(?P<part>[a-z_]\w*?)(?:\[\d+\])?", re.ASCII | re.IGNORECASE
)
# A name of a field with parts: shipping(country:price).
_group = re.compile(r"(?P<base>[a-z_]\w*)\((?P<parts>[a-z_]\w*(?::[a-z_]\w*)*)\)", re.ASCII | re.IGNORECASE)
_quoted_or_separator = re.compile(r'"((?:[^"]|"")*)"|([,:])|([^",:]+|")')
_no_name_character = re.compile(r"[^\w.-]", re.ASCII)


class FileWriter(ABC):
    """Writes rows of a file format.

    Args:
        fields: the fields of a row, in their order.
    """

    def __init__(self, fields: Sequence[ChannelField]) -> None:
        self.fields = fields

    @abstractmethod
    def begin(self) -> bytes:
        """Return what comes before the first row."""

    @abstractmethod
    def rows(self, columns: Sequence[Values]) -> bytes:
        """Return rows, at least one.

        Args:
            columns: the values of each field, one for each row.
        """

    def end(self) -> bytes:
        """Return what comes after the last row."""
        return b""


def file_writer(format: FileFormat, preset: Preset, fields: Sequence[ChannelField], title: str, url: str) -> FileWriter:
    """Return the writer of a file format.

    Args:
        format: the file format.
        preset: the preset of the channel.
        fields: the fields of a row, in their order.
        title: what the file is about, for people.
        url: the site that it is about.
    """
    match format:
        case FileFormat.CSV:
            return _TextWriter(fields, ",", "\r\n", is_quoted=True)
        case FileFormat.TSV:
            return _TextWriter(fields, "\t", "\n", is_quoted=preset.is_quoted)
        case FileFormat.JSON:
            return _JsonWriter(fields)
        case FileFormat.JSON_LINES:
            return _JsonLinesWriter(fields)
    assert preset.xml, "a preset with XML has its shape"
    return _XmlWriter(fields, preset.xml, title, url)


class _TextWriter(FileWriter):
    """Writes what the csv module does, in less time: a column without special characters needs no look at each cell."""

    def __init__(self, fields: Sequence[ChannelField], delimiter: str, line_end: str, *, is_quoted: bool) -> None:
        super().__init__(fields)
        self._delimiter, self._line_end, self._is_quoted = delimiter, line_end, is_quoted
        self._special = re.compile(f'[{re.escape(delimiter)}"\r\n]')

    def begin(self) -> bytes:
        return self._lines([[field.name] for field in self.fields])

    def rows(self, columns: Sequence[Values]) -> bytes:
        return self._lines(
            [
                _join_urls(values, field.separator)
                if isinstance(field, ImageField) and field.max_images > 1
                else values
                for field, values in zip(self.fields, columns, strict=True)
            ]
        )

    def _lines(self, columns: Sequence[Values]) -> bytes:
        cells = [self._quote(values) if self._is_quoted else _flatten(values) for values in columns]
        if len(cells) == 1:  # readers skip an empty line
            cells = [[value or '""' for value in cells[0]]]
        lines = map(self._delimiter.join, zip(*cells, strict=True))
        return f"{self._line_end.join(lines)}{self._line_end}".encode()

    def _quote(self, values: Values) -> Values:
        joined = "".join(values)
        if not ('"' in joined or self._delimiter in joined or "\n" in joined or "\r" in joined):
            return values
        search = self._special.search
        return ['"' + value.replace('"', '""') + '"' if search(value) else value for value in values]


def _flatten(values: Values) -> Values:
    """Return values without tabs and line breaks."""
    return [_blanks.sub(" ", value) for value in values] if _blanks.search("".join(values)) else values


def _join_urls(values: Values, separator: str) -> Values:
    """Return URLs with a separator between. One inside of a URL is percent-encoded, as platforms want it."""
    encoded = quote(separator)
    return [value.replace(separator, encoded).replace(URL_SEPARATOR, separator) if value else value for value in values]


class _JsonLinesWriter(FileWriter):
    def __init__(self, fields: Sequence[ChannelField]) -> None:
        super().__init__(fields)
        self._names = [field.name for field in fields]

    def begin(self) -> bytes:
        return b""

    def rows(self, columns: Sequence[Values]) -> bytes:
        return b"\n".join(self._lines(columns)) + b"\n"

    def _lines(self, columns: Sequence[Values]) -> list[bytes]:
        names = self._names
        values: list[Sequence[object]] = [
            [value.split(URL_SEPARATOR) if value else [] for value in column]
            if isinstance(field, ImageField) and field.max_images > 1
            else column
            for field, column in zip(self.fields, columns, strict=True)
        ]
        return [orjson.dumps(dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]


class _JsonWriter(_JsonLinesWriter):
    def __init__(self, fields: Sequence[ChannelField]) -> None:
        super().__init__(fields)
        self._has_rows = False

    def begin(self) -> bytes:
        return b"["

    def rows(self, columns: Sequence[Values]) -> bytes:
        separator, self._has_rows = b",\n" if self._has_rows else b"\n", True
        return separator + b",\n".join(self._lines(columns))

    def end(self) -> bytes:
        return b"\n]\n"


class _XmlWriter(FileWriter):
    """Writes elements; a field without a value has none."""

    def __init__(self, fields: Sequence[ChannelField], shape: XmlShape, title: str, url: str) -> None:
        super().__init__(fields)
        self._shape = shape
        texts = {"{title}": clean_text(title), "{url}": clean_text(url)}
        self._texts = {name: escape(text, quote=False) for name, text in texts.items()}
        names = _element_names(fields, shape)
        self._elements = [_Element(field, name, shape.prefix) for field, name in zip(fields, names, strict=True)]
        self._item, self._between = f"<{shape.item}>", f"</{shape.item}>\n<{shape.item}>"

    def begin(self) -> bytes:
        before = self._shape.before
        for name, text in self._texts.items():
            before = before.replace(name, text)
        return before.encode()

    def rows(self, columns: Sequence[Values]) -> bytes:
        fragments: list[Values] = []
        both = zip(self._elements, columns, strict=True)
        for base, group in groupby(both, key=lambda each: each[0].base):
            parts = [element.fragments(values) for element, values in group]
            fragments += [_wrap(base, parts)] if base else parts
        items = map("".join, zip(*fragments, strict=True))
        return f"{self._item}{self._between.join(items)}</{self._shape.item}>\n".encode()

    def end(self) -> bytes:
        return self._shape.after.encode()


class _Element:
    """The element of a field.

    Attributes:
        base: what the elements of several fields are in, with its number, such as ("image", "0").
    """

    def __init__(self, field: ChannelField, name: str, prefix: str) -> None:
        self.base: tuple[str, str] | None = None
        self._parts: list[str] = []
        self._is_list = isinstance(field, ImageField) and field.max_images > 1
        if path := _path.fullmatch(field.name):
            self.base, name = (path["base"], path["number"]), path["part"]
        elif group := _group.fullmatch(field.name):
            name = f"{prefix}{group['base']}"
            self._parts = [f"{prefix}{part}" for part in group["parts"].split(":")]
        self._open, self._close = f"<{name}>", f"</{name}>"

    def fragments(self, values: Values) -> Values:
        """Return the element for each value."""
        begin, end = self._open, self._close
        if self._parts:
            return ["".join(map(self._group, split_groups(value))) if value else "" for value in values]
        joined = "".join(values)
        if "&" in joined or "<" in joined or ">" in joined:
            values = [escape(value, quote=False) for value in values]
        if self._is_list and URL_SEPARATOR in joined:
            values = [value.replace(URL_SEPARATOR, f"{end}{begin}") for value in values]
        return [f"{begin}{value}{end}" if value else "" for value in values]

    def _group(self, values: Sequence[str]) -> str:
        elements = [
            f"<{name}>{escape(value, quote=False)}</{name}>"
            for name, value in zip(self._parts, values, strict=False)
            if value
        ]
        return f"{self._open}{''.join(elements)}{self._close}" if elements else ""


def _wrap(base: tuple[str, str], parts: Sequence[Values]) -> Values:
    """Return elements in one of their own for each row that has any."""
    joined = map("".join, zip(*parts, strict=True))
    return [f"<{base[0]}>{each}</{base[0]}>" if each else "" for each in joined]


def _element_names(fields: Sequence[ChannelField], shape: XmlShape) -> list[str]:
    """Return the names of the fields' elements, each once: letters and digits of ASCII, underscores, dots, hyphens."""
    names: list[str] = []
    for field in fields:
        plain = _no_name_character.sub("_", field.name)
        if not plain[0].isalpha() and plain[0] != "_":
            plain = f"_{plain}"
        prefix = "" if field.name in shape.unprefixed else shape.prefix
        name, number = f"{prefix}{plain}", 2
        while name in names:
            name, number = f"{prefix}{plain}_{number}", number + 1
        names.append(name)
    return names


def split_groups(text: str) -> list[list[str]]:
    """Return the groups of a value such as `DE::4.90 EUR,AT::8.90 EUR`; a part with a comma or colon is in quotes."""
    groups: list[list[str]] = [[""]]
    for quoted, separator, plain in _quoted_or_separator.findall(text):
        if separator == ",":
            groups.append([""])
        elif separator == ":":
            groups[-1].append("")
        else:
            groups[-1][-1] += plain or quoted.replace('""', '"')
    return [[part.strip() for part in group] for group in groups]

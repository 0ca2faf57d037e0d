"""Reader of JSON: a list of objects or arrays, an object of objects, one object, or one object a line (JSON Lines).

The file is parsed as a stream (ijson), so that memory does not grow with its size or nesting. Each object becomes a
row: nested names are joined by dots, and a list is one cell. Of a list of objects, the first has columns of its own as
well: a template can repeat the list, or show what the first object has.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal, DecimalException
from typing import Any, BinaryIO

import ijson

from cwz_web.feeds.json_outline import RowKind, RowPath, json_outline
from cwz_web.feeds.limits import MAX_CELL, MAX_ROW_BYTES, InvalidFileError, check_row_count
from cwz_web.feeds.lists import join_list, write_json
from cwz_web.feeds.reading import FileFormat, Reading, ReadOptions
from cwz_web.feeds.records import BoundedReader, Entry, InvalidEntry, Records, RowSizeLimit, clean_row
from cwz_web.feeds.table_header import column_names, surplus_reason
from cwz_web.i18n import gettext, ngettext, number
from cwz_web.values.formats import json_number

MAX_DEPTH = 5
MAX_NESTING = 50
# The most digits that Python parses as an integer; with more, yajl crashes the process (ijson 3.6).
MAX_DIGITS = sys.int_info.default_max_str_digits
_quotation_mark = re.compile(rb'[^\\]"')  # not an escaped one inside a string
_many_digits = re.compile(rb"(?<!\d)\d{%d}" % (MAX_DIGITS + 1))
ITEM = "item"  # ijson's name for the elements of a list
# The column of a key that is the name of an object's member.
KEY = "key"


def json_records(file: BinaryIO, options: ReadOptions) -> Records:
    """Read a file of JSON. Raises InvalidFileError, also while the rows are read."""
    with _parser_errors():
        paths = json_outline(_limit_nesting(_events(_JsonReader(file))), ijson.JSONError).row_paths()
    row_path = next((row_path for row_path in paths if row_path.name == options.row_element), paths[0])
    if options.row_element and row_path.name != options.row_element:
        raise InvalidFileError(
            gettext("The JSON has no rows at “%(path)s”; choose another row element", path=options.row_element)
        )
    names = tuple(dict.fromkeys(each.name for each in (row_path, *paths)))
    reading = Reading(FileFormat.JSON, row_element=row_path.name, row_elements=names)
    return _noting_records(file, lambda long_lists: _rows(file, row_path, long_lists), "object", reading)


def json_lines_records(file: BinaryIO) -> Records:
    """Read a file of JSON Lines.

    Raises:
        InvalidFileError: the last line is incomplete; raised while the rows are read.
    """
    reading = Reading(FileFormat.JSON_LINES)
    return _noting_records(file, lambda long_lists: _lines(file, long_lists), "line", reading)


def _noting_records(
    file: BinaryIO, read: Callable[[Counter[str]], Iterator[Entry]], noun: str, reading: Reading
) -> Records:
    """Return rows that note at their end which lists of objects do not fit into a cell; `read` counts them by name."""

    def rows() -> Iterator[Entry]:
        long_lists: Counter[str] = Counter()
        yield from read(long_lists)
        records.notes += [_long_list_note(name, count) for name, count in long_lists.items()]

    records = Records(file, rows, noun, reading=reading)
    return records


def _long_list_note(name: str, count: int) -> str:
    return ngettext(
        "Of the list “%(name)s”, only the first entry was read in %(count)s row: it is longer than %(maximum)s "
        "characters",
        "Of the list “%(name)s”, only the first entry was read in %(count)s rows: it is longer than %(maximum)s "
        "characters",
        count,
        name=name,
        maximum=number(MAX_CELL),
    )


def _rows(file: BinaryIO, row_path: RowPath, long_lists: Counter[str]) -> Iterator[Entry]:
    with _parser_errors():
        header: list[str] | None = None
        for position, (key, record) in enumerate(_records(file, row_path), 1):
            check_row_count(position)
            if row_path.kind == RowKind.ARRAYS and isinstance(record, list):
                if header is None:
                    header = _header_of(record)
                    if all(isinstance(cell, str) for cell in record):
                        continue
                row = dict(zip(header, map(_cell, record), strict=False))
                surplus = len(record) - len(header)
                entry = clean_row(row, position)
                if surplus > 0 and not isinstance(entry, InvalidEntry):
                    entry = InvalidEntry(position, surplus_reason(len(record), header), entry[1])
            elif isinstance(record, dict):
                entry = clean_row(({KEY: key} if key else {}) | _flatten(record, long_lists), position)
            else:
                entry = InvalidEntry(position, gettext("The entry is not an object"), {"value": _text(record)[:200]})
            if isinstance(entry, InvalidEntry) or entry[1]:
                yield entry


def _records(file: BinaryIO, row_path: RowPath) -> Iterator[tuple[str, Any]]:
    """Yield the rows with their keys, which are empty unless the rows are members of an object."""
    path = row_path.path
    if row_path.kind == RowKind.KEYED:
        yield from ijson.kvitems(_bounded_events(file, path, is_keyed=True), path)
        return
    row = path if row_path.kind == RowKind.SINGLE else f"{path}.{ITEM}" if path else ITEM
    for record in ijson.items(_bounded_events(file, row), row):
        yield "", record


def _header_of(cells: list[Any]) -> list[str]:
    """Return the names of the columns of arrays, whose first one is a header if all its cells are texts."""
    is_header = all(isinstance(cell, str) for cell in cells)
    return column_names([cell if is_header else "" for cell in cells])


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return _list_cell(value)
    return write_json(value).replace("\x00", "") if isinstance(value, dict) else _text(value)


def _lines(file: BinaryIO, long_lists: Counter[str]) -> Iterator[Entry]:
    file.seek(0)
    limit, blank = RowSizeLimit(), 0
    for position, line in enumerate(iter(lambda: file.readline(MAX_ROW_BYTES + 1), b""), 1):
        limit.reset()
        limit.add(len(line))
        if not line.strip():
            blank += 1
            check_row_count(blank)
            continue
        try:
            record = _decoder.decode(line.decode())
        except (ValueError, RecursionError, DecimalException):
            if not line.endswith(b"\n"):
                raise InvalidFileError(
                    gettext("The file is incomplete: it ends in the middle of line %(number)s", number=position)
                ) from None
            yield InvalidEntry(
                position, gettext("The line is not valid JSON"), {"line": line[:200].decode(errors="replace").strip()}
            )
            continue
        if not isinstance(record, dict):
            yield InvalidEntry(position, gettext("The line is not a JSON object"), {"line": _text(record)[:200]})
        elif isinstance(entry := clean_row(_flatten(record, long_lists), position), InvalidEntry) or entry[1]:
            yield entry


def reject_constant(constant: str) -> None:
    """Raise ValueError for NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{constant} is not valid JSON")


_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=reject_constant)


@contextmanager
def _parser_errors() -> Iterator[None]:
    """Raise the parser's errors as InvalidFileError."""
    try:
        yield
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise InvalidFileError(gettext("This is not valid JSON: %(error)s", error=_short_message(error))) from None
    except DecimalException:
        raise InvalidFileError(gettext("This is not valid JSON: it contains a number that cannot be parsed")) from None


class _JsonReader(BoundedReader):
    """A file object that also fails at a number with too many digits."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, _quotation_mark)
        self._tail = b""

    def read(self, size: int) -> bytes:
        data = super().read(size)
        self._tail += data
        if _many_digits.search(self._tail):
            raise InvalidFileError(
                ngettext(
                    "The JSON contains a number with more than %(count)s digit",
                    "The JSON contains a number with more than %(count)s digits",
                    MAX_DIGITS,
                )
            )
        self._tail = self._tail[-MAX_DIGITS:]
        return data


def _events(reader: _JsonReader) -> Iterator[tuple[str, Any]]:
    events: Iterator[tuple[str, Any]] = ijson.basic_parse(reader)
    return events


def _bounded_events(file: BinaryIO, row: str, *, is_keyed: bool = False) -> Iterator[tuple[str, str, Any]]:
    """Yield the parser's events with their paths; each row is limited in size.

    Args:
        file: The file.
        row: The path of the rows, or of the object whose members are the rows.
        is_keyed: Whether the rows are the members of an object.
    """
    reader = _JsonReader(file)
    for event in ijson.parse(_limit_nesting(_events(reader))):
        if event[0] == row:
            if is_keyed:
                reader.in_row = event[1] == "map_key"
                reader.reset()
            elif event[1] in ("start_map", "start_array"):
                reader.reset()
                reader.in_row = True
            elif event[1] in ("end_map", "end_array"):
                reader.in_row = False
        yield event


def _limit_nesting(events: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield the events up to a limit of nesting, since ijson builds a path for each level."""
    depth = 0
    for event in events:
        if event[0] in ("start_map", "start_array"):
            depth += 1
            if depth > MAX_NESTING:
                raise InvalidFileError(
                    ngettext(
                        "The JSON is nested deeper than %(count)s level",
                        "The JSON is nested deeper than %(count)s levels",
                        MAX_NESTING,
                    )
                )
        elif event[0] in ("end_map", "end_array"):
            depth -= 1
        yield event


def _flatten(record: dict[str, Any], long_lists: Counter[str], prefix: str = "", depth: int = 1) -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in record.items():
        name = f"{prefix}{key}".strip() or "value"
        first = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
        if isinstance(first, dict) and depth < MAX_DEPTH:
            flat |= _flatten(first, long_lists, f"{name}.", depth + 1)
        if isinstance(value, list):
            cell = _list_cell(value)
            if first is not value and len(cell) > MAX_CELL:
                long_lists[name] += 1
            else:
                flat[name] = cell
        elif not isinstance(value, dict):
            flat[name] = _text(value)
    return flat


def _list_cell(values: list[Any]) -> str:
    """Return the entries of a list as a cell; numbers with decimals, which a locale could change, as JSON."""
    entries = [value for value in values if value is not None and value != ""]
    if any(isinstance(value, dict | list | Decimal) for value in entries):
        return write_json(entries)
    return join_list([text for value in entries if (text := _text(value).strip())])


def _text(value: Any) -> str:
    """Return a scalar as text; a number as one that has no locale."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return json_number(value)
    return str(value).replace("\x00", "")


def _short_message(error: Exception) -> str:
    return str(error).partition("\n")[0].strip()[:120]

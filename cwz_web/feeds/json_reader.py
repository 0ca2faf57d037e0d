"""Reading JSON: an array of objects, an object with such an array somewhere inside, or one object a line (JSON Lines).

The file is read as a stream (ijson), so that deep or endless nesting costs nothing. An object becomes a row: what lies
deeper gets a dotted name, a list of plain values is joined, and of a list of objects the first one counts.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal, DecimalException
from typing import Any, BinaryIO

import ijson

from cwz_web.feeds.limits import (
    MAX_ROW_BYTES,
    Entry,
    Invalid,
    InvalidFileError,
    Parts,
    Records,
    RowSize,
    check_rows,
    clean_row,
)

MAX_DEPTH = 5
DEEPEST = 50
# Of so many lists of objects one is chosen.
MAX_LISTS = 1000
# More than Python reads as one whole number; yajl then crashes, and the process with it (ijson 3.6).
MAX_DIGITS = sys.int_info.default_max_str_digits
_quotation_mark = re.compile(rb'[^\\]"')  # but none inside of a text
_many_digits = re.compile(rb"(?<!\d)\d{%d}" % (MAX_DIGITS + 1))
ITEM = "item"  # how ijson calls what lies in a list
JOINED = ", "
# Names of lists that hold the rows, where an object has several.
LIKELY = ("products", "items", "rows", "data", "entries", "records", "results", "offers", "listings")


def json_records(file: BinaryIO) -> Records:
    """The rows of a file of JSON. Raises InvalidFileError, at once or while reading."""
    with _told():
        prefix = _rows_at(file)
    return Records(file, lambda: _objects(file, prefix), "object")


def json_lines_records(file: BinaryIO) -> Records:
    """The rows of a file with one JSON object a line. Raises InvalidFileError while reading, when the last one breaks off."""
    return Records(file, lambda: _lines(file), "line")


def _objects(file: BinaryIO, prefix: str) -> Iterator[Entry]:
    row = f"{prefix}.{ITEM}" if prefix else ITEM
    with _told():
        for number, record in enumerate(ijson.items(_measured(file, row), row), 1):
            check_rows(number)
            if not isinstance(record, dict):
                yield Invalid(number, "This is not an object", {"value": _text(record)[:200]})
            elif isinstance(entry := clean_row(_flat(record), number), Invalid) or entry[1]:
                yield entry


def _lines(file: BinaryIO) -> Iterator[Entry]:
    file.seek(0)
    row, blank = RowSize(), 0
    for number, line in enumerate(iter(lambda: file.readline(MAX_ROW_BYTES + 1), b""), 1):
        row.begin()
        row.add(len(line))
        if not line.strip():
            blank += 1
            check_rows(blank)
            continue
        try:
            record = _line.decode(line.decode())
        except (ValueError, RecursionError, DecimalException):
            if not line.endswith(b"\n"):
                raise InvalidFileError(f"The file breaks off in line {number}") from None
            yield Invalid(number, "The line is not valid JSON", {"line": line[:200].decode(errors="replace").strip()})
            continue
        if not isinstance(record, dict):
            yield Invalid(number, "The line is not a JSON object", {"line": _text(record)[:200]})
        elif isinstance(entry := clean_row(_flat(record), number), Invalid) or entry[1]:
            yield entry


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


_line = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_number)


@contextmanager
def _told() -> Iterator[None]:
    """What the parser raises, as a message for people."""
    try:
        yield
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise InvalidFileError(f"This is not valid JSON: {_short(error)}") from None
    except DecimalException:
        raise InvalidFileError("This is not valid JSON: it holds a number that nobody can read") from None


class _Parts(Parts):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, _quotation_mark)
        self._end = b""

    def read(self, size: int) -> bytes:
        part = super().read(size)
        self._end += part
        if _many_digits.search(self._end):
            raise InvalidFileError(f"The JSON holds a number of more than {MAX_DIGITS:,} digits")
        self._end = self._end[-MAX_DIGITS:]
        return part


def _events(parts: _Parts) -> Iterator[tuple[str, Any]]:
    events: Iterator[tuple[str, Any]] = ijson.basic_parse(parts)
    return events


def _measured(file: BinaryIO, row: str) -> Iterator[tuple[str, str, Any]]:
    """The events with their paths, while the rows have the size that they may have."""
    parts = _Parts(file)
    for event in ijson.parse(_shallow(_events(parts))):
        if event[0] == row:
            if event[1] in ("start_map", "start_array"):
                parts.begin()
                parts.in_row = True
            elif event[1] in ("end_map", "end_array"):
                parts.in_row = False
        yield event


def _shallow(events: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The events, as long as the nesting is what a feed has: a path is built for each level."""
    depth = 0
    for event in events:
        if event[0] in ("start_map", "start_array"):
            depth += 1
            if depth > DEEPEST:
                raise InvalidFileError(f"The JSON is nested deeper than {DEEPEST} levels")
        elif event[0] in ("end_map", "end_array"):
            depth -= 1
        yield event


def _rows_at(file: BinaryIO) -> str:
    """The path of the list of objects that the rows are: the top, a likely name, or else the first one there is."""
    found: dict[str, None] = {}
    try:
        for path in _lists_of_objects(file):
            if path in found:
                continue
            found[path] = None
            if not path or path.rpartition(".")[2].lower() in LIKELY:
                return path
            if len(found) == MAX_LISTS:
                break
    except ijson.JSONError:
        if not found:  # else it is told where it is met when the rows are read
            raise
    if not found:
        raise InvalidFileError("The JSON holds no list of objects; a feed is a list with one object a row")
    return min(found, key=lambda path: path.count("."))


def _lists_of_objects(file: BinaryIO) -> Iterator[str]:
    """The path of the list that each object lies in which lies in no other list; "" for the top."""
    path: list[str] = []  # a name for each object that is open, "item" for each list
    for event, value in _shallow(_events(_Parts(file))):
        if event == "map_key":
            path[-1] = value
        elif event in ("start_map", "start_array"):
            if event == "start_map" and path and path[-1] == ITEM and ITEM not in path[:-1]:
                yield ".".join(path[:-1])
            path.append(ITEM if event == "start_array" else "")
        elif event in ("end_map", "end_array"):
            path.pop()


def _flat(record: dict[str, Any], before: str = "", depth: int = 1) -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in record.items():
        name = f"{before}{key}".strip() or "value"
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = value[0]
        if isinstance(value, dict):
            if depth < MAX_DEPTH:
                flat |= _flat(value, f"{name}.", depth + 1)
        elif isinstance(value, list):
            flat[name] = JOINED.join(_text(each) for each in value if not isinstance(each, list | dict))
        else:
            flat[name] = _text(value)
    return flat


def _text(value: Any) -> str:
    """A value as a person would write it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace("\x00", "")


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0].strip()[:120]

"""Reading JSON: an array of objects, an object with such an array somewhere inside, or one object a line (JSON Lines).

The file is read as a stream (ijson), so that deep or endless nesting costs nothing. An object becomes a row: what lies
deeper gets a dotted name, a list of plain values is joined, and of a list of objects the first one counts.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

import ijson

from cwz_web.feeds.tables import BadFile, Table, table_of

MAX_DEPTH = 5
DEEPEST = 50
ITEM = "item"  # how ijson calls what lies in a list
JOINED = ", "
# Names of lists that hold the rows, where an object has several.
LIKELY = ("products", "items", "rows", "data", "entries", "records", "results", "offers", "listings")


def read_json(data: bytes) -> Table:
    """Read a file of JSON. Raises BadFile."""
    try:
        prefix = _rows_at(data)
        records = ijson.items(io.BytesIO(data), f"{prefix}.{ITEM}" if prefix else ITEM, use_float=False)
        return table_of((_flat(record) for record in records if isinstance(record, dict)), "object")
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise BadFile(f"This is not valid JSON: {_short(error)}") from None
    except RecursionError:
        raise BadFile("The JSON is nested too deep") from None


def read_json_lines(data: bytes) -> Table:
    """Read a file with one JSON object a line. Raises BadFile, which names the line."""
    return table_of(_lines(data), "line")


def _lines(data: bytes) -> Iterator[dict[str, str]]:
    for number, line in enumerate(io.BytesIO(data), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise BadFile(f"Line {number} is not valid JSON") from None
        if not isinstance(record, dict):
            raise BadFile(f"Line {number} is not a JSON object")
        yield _flat(record)


def _rows_at(data: bytes) -> str:
    """The path of the list of objects that the rows are: the top, a likely name, or else the first one there is.

    Raises BadFile for nesting that no feed has, before anything is built of it.
    """
    found: dict[str, None] = {}
    path: list[str] = []  # a name for each object that is open, "item" for each list
    for event, value in ijson.basic_parse(io.BytesIO(data)):
        if event == "map_key":
            path[-1] = value
        elif event in ("start_map", "start_array"):
            if event == "start_map" and path and path[-1] == ITEM:
                if len(path) == 1:
                    return ""
                if ITEM not in path[:-1]:
                    found[".".join(path[:-1])] = None
            path.append(ITEM if event == "start_array" else "")
            if len(path) > DEEPEST:
                raise BadFile(f"The JSON is nested deeper than {DEEPEST} levels")
        elif event in ("end_map", "end_array"):
            path.pop()
    if not found:
        raise BadFile("The JSON holds no list of objects; a feed is a list with one object a row")
    return min(found, key=lambda path: (path.rpartition(".")[2].lower() not in LIKELY, path.count(".")))


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
    return str(value)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]

"""JSON in files that people and other programs write: parsed strictly, and the lines of its values."""

import json
import re
from collections.abc import Mapping
from json.decoder import JSONDecodeError, JSONDecoder
from typing import Any

# Deeper documents are refused by the server, and would exhaust the stack here.
MAX_DEPTH = 100
_space = re.compile(r"[ \t\n\r]*")
_decode = JSONDecoder().raw_decode


class JsonError(Exception):
    """The text is not valid JSON; the message says why.

    Attributes:
        line: where, counted from 1; 0 if that is not known.
    """

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def parse_json(data: bytes) -> Any:
    """Parse JSON without what programs read in different ways: repeated keys, NaN, lone surrogates.

    Raises:
        JsonError: it is not valid.
    """
    try:
        text = data.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except JSONDecodeError as error:
        raise JsonError(f"This is not valid JSON: {error.msg} at column {error.colno}", error.lineno) from None
    except UnicodeError:
        raise JsonError("The text is not valid UTF-8") from None
    except RecursionError:
        raise JsonError("The JSON is nested too deeply") from None
    except ValueError as error:
        raise JsonError(f"This is not valid JSON: {error}") from None
    if _depth(value) > MAX_DEPTH:
        raise JsonError("The JSON is nested too deeply")
    return value


def format_json(value: Any, *, sort_keys: bool = False) -> str:
    """Return JSON with a line for each property, so that a comparison of two versions shows what changed."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=sort_keys) + "\n"


def find_line(lines: Mapping[str, int], path: str) -> int:
    """Return the line of a path such as `layers.1.size`, or of the nearest part above that exists; 0 if none does."""
    while path and path not in lines:
        path = path.rpartition(".")[0]
    return lines.get(path, 0)


def locate_lines(text: str) -> dict[str, int]:
    """Return the lines of all values of valid JSON by their paths, such as `layers.1.size`; the root's is empty."""
    offsets: dict[str, int] = {}
    _locate(text, _skip(text, 0), "", offsets)
    lines, line, at = {}, 1, 0
    for path, offset in sorted(offsets.items(), key=lambda entry: entry[1]):
        line, at = line + text.count("\n", at, offset), offset
        lines[path] = line
    return lines


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key “{next(key for key in keys if keys.count(key) > 1)[:100]}” is repeated")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _depth(value: Any) -> int:
    """Return how deeply lists and objects are nested, without recursion."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [child for each in level for child in (each.values() if isinstance(each, dict) else each)]
    return depth


def _skip(text: str, at: int) -> int:
    found = _space.match(text, at)
    return found.end() if found else at


def _locate(text: str, at: int, path: str, offsets: dict[str, int]) -> int:
    """Note the offsets of a value and of the values in it, and return the offset behind it."""
    offsets.setdefault(path, at)
    opening = text[at]
    if opening not in "{[":
        return _decode(text, at)[1]
    at, number = _skip(text, at + 1), 0
    while text[at] not in "}]":
        name, start = str(number), at
        if opening == "{":
            name, at = _decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        inside = f"{path}.{name}" if path else name
        offsets.setdefault(inside, start)
        at = _skip(text, _locate(text, at, inside, offsets))
        if text[at] == ",":
            at = _skip(text, at + 1)
        number += 1
    return at + 1

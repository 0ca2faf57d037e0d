"""Lists in cells: several values as one text, from which list fields get the same values (imaging/lists.py)."""

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

_separator = re.compile(r"[,;|\r\n]")
_url = re.compile(r"https?://[^\s|;]+", re.IGNORECASE)
_scheme = re.compile(r"https?://", re.IGNORECASE)


def join_list(items: Sequence[str]) -> str:
    """Return several values as one cell.

    They are joined by commas for people, by vertical bars if commas would be unclear, or else are a JSON array. URLs
    are found between commas whatever is in them. A single value with a separator is an array as well.
    """
    if not items or all(_url.fullmatch(item) for item in items):
        return ", ".join(items)
    is_plain = not items[0].startswith("[") and not any(_scheme.search(item) for item in items)
    if is_plain and not any(_separator.search(item) for item in items):
        return ", ".join(items)
    if is_plain and len(items) > 1 and not any(re.search(r"[|\r\n]", item) for item in items):
        return " | ".join(items)
    return write_json(list(items))


def write_json(value: Any) -> str:
    """Return a value of a JSON file as JSON, with the digits that its numbers have there."""
    if isinstance(value, dict):
        members = (f"{write_json(str(key))}: {write_json(member)}" for key, member in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(write_json, value)) + "]"
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(value, ensure_ascii=False)

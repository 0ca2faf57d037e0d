"""Lists in a cell: several photos, features or reviews of one product.

An entry is a text, also where it is a number or an object of a JSON array: a number says so, and the text of an object
is JSON.
"""

import json
import re
from typing import Any

from cwz_web.imaging.photo_urls import split_urls
from cwz_web.values.formats import FormattedText, json_number

MAX_ENTRIES = 50

_url = re.compile(r"https?://", re.IGNORECASE)
_surrogate = re.compile("[\ud800-\udfff]")
# Lines, or what stands between vertical bars or semicolons.
_separators = (re.compile(r"[\r\n]+"), re.compile(r"\|"), re.compile(r";"))
# A comma between two digits belongs to a number.
_comma = re.compile(r",(?!\d)|(?<!\d),")


def split_list(text: str, *, has_commas: bool = False) -> list[str]:
    """Return the entries of a list: a JSON array, URLs, lines, or texts between vertical bars or semicolons.

    Args:
        text: the list.
        has_commas: whether commas separate entries if there is no other separator.
    """
    entries = _read_json_array(text)
    if entries is None and _url.search(text):
        entries = split_urls(text)
    if entries is None:
        separators = (*_separators, _comma) if has_commas else _separators
        separator = next((each for each in separators if each.search(text.strip())), None)
        entries = separator.split(text) if separator else [text]
    stripped = (entry if isinstance(entry, FormattedText) else entry.strip() for entry in entries)
    return [entry for entry in stripped if entry][:MAX_ENTRIES]


def _read_json_array(text: str) -> list[str] | None:
    """Return the entries of a JSON array of texts, numbers and objects; None if the text is none."""
    if not text.lstrip().startswith("["):
        return None
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or not all(isinstance(value, str | int | float | dict) for value in values):
        return None
    return [_entry(value) for value in values]


def _entry(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value)  # escapes what is not ASCII, and with it half of a character
    if isinstance(value, bool):
        return json.dumps(value)
    # JSON can have half of a character, which no other text of a row has.
    return _surrogate.sub("\ufffd", value) if isinstance(value, str) else json_number(json.dumps(value))

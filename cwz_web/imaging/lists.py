"""Lists in a cell: several photos, features or reviews of one product."""

import json
import re
from typing import Any

from cwz_web.imaging.photo_urls import split_urls

MAX_ENTRIES = 50

_url = re.compile(r"https?://", re.IGNORECASE)
_surrogate = re.compile("[\ud800-\udfff]")
# Lines, or what stands between vertical bars or semicolons.
_separators = (re.compile(r"[\r\n]+"), re.compile(r"\|"), re.compile(r";"))


def split_list(text: str) -> list[str]:
    """Return the entries of a list: a JSON array, URLs, lines, or texts between vertical bars or semicolons."""
    entries = _read_json_array(text)
    if entries is None and _url.search(text):
        entries = split_urls(text)
    if entries is None:
        separator = next((each for each in _separators if each.search(text.strip())), None)
        entries = separator.split(text) if separator else [text]
    stripped = (entry.strip() for entry in entries)
    return [entry for entry in stripped if entry][:MAX_ENTRIES]


def _read_json_array(text: str) -> list[str] | None:
    """Return the entries of a JSON array of texts and numbers; None if the text is none."""
    if not text.lstrip().startswith("["):
        return None
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or not all(isinstance(value, str | int | float) for value in values):
        return None
    # JSON can have half of a character, which no other text of a row has.
    return [_surrogate.sub("\ufffd", value) if isinstance(value, str) else json.dumps(value) for value in values]

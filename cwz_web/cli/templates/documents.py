"""Documents as JSON values: their digests, the uploads that they refer to, and whether two of them say the same."""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Any

_reference = re.compile(r"upload:([0-9a-f]{64})")
# Of a description; the others are counted.
MAX_CHANGES = 20


def digest_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys and the spaces in its file."""
    return sha256(_canonical(value).encode()).hexdigest()


def find_references(value: Any) -> list[str]:
    """Return the digests of the uploads that a JSON value refers to, sorted."""
    return sorted(set(_reference.findall(_canonical(value))))


def says_the_same(one: Any, other: Any) -> bool:
    """Return whether two documents are the same template, also if one of them writes default values."""
    return _canonical(one) == _canonical(other) or _normal_form(_canonical(one)) == _normal_form(_canonical(other))


def describe_changes(before: Any, after: Any) -> list[str]:
    """Return what differs between two documents, as sentences; none if they cannot be compared."""
    from cwz_web.imaging.document_changes import ORDER, list_changes

    old, new = (_validate(_canonical(each)) for each in (before, after))
    if old is None or new is None:
        return ["The documents cannot be compared: one of them is not valid for this version of cwz"]
    lines = []
    for change in list_changes(old, new):
        part = f"{change.part} “{change.name}”" if change.name else change.part
        properties = [
            "another place in the order"
            if each.path == ORDER
            else f"{'.'.join(each.path)} {each.before or '(not set)'} → {each.after or '(not set)'}"
            for each in change.properties
        ]
        lines.append(f"{part} {change.kind}" + (f": {'; '.join(properties)}" if properties else ""))
    return _shorten(lines)


def _shorten(lines: list[str]) -> list[str]:
    hidden = len(lines) - MAX_CHANGES
    return [*lines[:MAX_CHANGES], f"and {hidden} more"] if hidden > 0 else lines


def is_any_of(document: Any, others: Iterable[Any]) -> bool:
    """Return whether a document says the same as one of others, which are read as far as needed."""
    return any(says_the_same(document, other) for other in others)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=256)
def _normal_form(text: str) -> str:
    """Return a document without default values; the text itself if it is not valid for this version of cwz."""
    document = _validate(text)
    return document.to_json() if document is not None else text


@lru_cache(maxsize=64)
def _validate(text: str) -> Any:
    """Return the template of a document, or None if it is not valid."""
    from cwz_web.cli.templates.rendering import prepare_icons
    from cwz_web.imaging.documents import ImageTemplate

    prepare_icons()
    try:
        return ImageTemplate.model_validate(json.loads(text))
    except (ValueError, RecursionError):
        return None

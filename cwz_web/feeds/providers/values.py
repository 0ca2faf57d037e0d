"""Reading the JSON of an API: what is not of the expected type is left out, and codes of errors are recognized."""

import re
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

_code = re.compile(r"[A-Z_]{1,60}")


def value_at(node: Any, *path: str) -> Any:
    """Return what is at a path of objects; None if there is nothing."""
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return node


def list_of(value: Any) -> list[Any]:
    """Return a list; an empty one for anything else."""
    return value if isinstance(value, list) else []


def known_code(codes: Iterable[Any]) -> str:
    """Return an error code, if it is one: what a server sends is not repeated otherwise."""
    return next((code for code in codes if isinstance(code, str) and _code.fullmatch(code)), "UNKNOWN")


def plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the values that a cell can have."""
    return {name: value for name, value in row.items() if isinstance(value, str | int | float | list)}


def price_of(amount: Any, currency: Any) -> str | None:
    """Return a price with its currency, such as “19.90 EUR”; None for anything but a text."""
    return f"{amount} {currency or ''}".strip() if isinstance(amount, str) and amount else None


def plain_text(html: Any) -> str | None:
    """Return the text of HTML, without tags."""
    return Markup(html).striptags() if isinstance(html, str) else None  # noqa: S704 - the result is plain text

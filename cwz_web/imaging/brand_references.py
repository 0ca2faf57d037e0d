"""References to the brand in a document: `brand:primary` where a color, a font, an image or a style can be.

While a document is validated, a reader decides what becomes of each reference: it can check it, or put another value in
its place. So references are found only where the document can have them, and never in texts.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from cwz_web.i18n import gettext

PREFIX = "brand:"
ENTRY_NAME = "[a-z0-9][a-z0-9-]{0,39}"
Kind = Literal["color", "font", "logo", "style"]
KINDS: tuple[Kind, ...] = ("color", "font", "logo", "style")
# Returns what takes the place of the reference to an entry. Raises ValueError.
ReferenceReader = Callable[[Kind, str], Any]
_reference = re.compile(rf"{PREFIX}({ENTRY_NAME})")
_reader: ContextVar[ReferenceReader | None] = ContextVar("reference_reader", default=None)


def is_reference(value: object) -> bool:
    """Return whether a value refers to the brand."""
    return isinstance(value, str) and value.startswith(PREFIX)


def reference_to(name: str) -> str:
    """Return the reference to an entry of the brand."""
    return PREFIX + name


def read_reference(kind: Kind, value: str) -> Any:
    """Return a value of a document or, if it refers to the brand, what the reader puts in its place.

    Raises:
        ValueError: the reference is malformed, or the reader refuses it.
    """
    if not is_reference(value):
        return value
    found = _reference.fullmatch(value)
    if found is None:
        raise ValueError(gettext("Write a reference to the brand as brand:name, with lowercase letters, digits and -"))
    reader = _reader.get()
    return value if reader is None else reader(kind, found[1])


def is_reading_references() -> bool:
    """Return whether a reader is in use."""
    return _reader.get() is not None


@contextmanager
def reading_references(reader: ReferenceReader) -> Iterator[None]:
    """Use a reader for all references that are validated in this context."""
    token = _reader.set(reader)
    try:
        yield
    finally:
        _reader.reset(token)

"""Reading XML: Google Merchant and Meta feeds (RSS 2.0 or Atom with `g:`), and any file that repeats one element.

Neither DTDs nor entities are read (defusedxml), and the file is read as a stream. A row is one repeated element: its
children's texts under their names, deeper ones with a dot, attributes with an @, repeated ones joined.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from cwz_web.feeds.limits import Entry, Invalid, InvalidFileError, Parts, Records, check_rows, clean_row

GOOGLE = "http://base.google.com/ns/1.0"
# Elements that are rows wherever they are; else the element that is repeated most often is.
ROWS = ("item", "entry", "product", "offer", "row", "record")
MAX_DEPTH = 5
DEEPEST = 50
SAMPLE_ELEMENTS = 20_000
JOINED = ", "
_tag = re.compile(b"<")


def xml_records(file: BinaryIO) -> Records:
    """The rows of a file of XML. Raises InvalidFileError, at once or while reading."""
    with _told():
        name = _row_name(file)
    return Records(file, lambda: _records(file, name), f"<{name}>")


@contextmanager
def _told() -> Iterator[None]:
    """What the parser raises, as a message for people."""
    try:
        yield
    except DefusedXmlException:
        raise InvalidFileError(
            "The XML declares a DTD or entities of its own, which is not allowed; leave them out"
        ) from None
    except (ParseError, LookupError, ValueError) as error:
        raise InvalidFileError(f"This is not valid XML: {str(error)[:120]}") from None


def _row_name(file: BinaryIO) -> str:
    """The local name of the element that is a row: one of the known ones, or else the one that is repeated most."""
    seen: Counter[tuple[int, str]] = Counter()
    filled: set[str] = set()
    depth = 0
    try:
        for event, element in _events(Parts(file, _tag)):
            if event == "start":
                depth += 1
                name = _local(element.tag)
                if depth > 1:
                    seen[depth, name] += 1
                    if sum(seen.values()) > SAMPLE_ELEMENTS:
                        break
            else:
                depth -= 1
                if len(element) or element.attrib:
                    filled.add(_local(element.tag))
                if depth > 1:
                    continue
                element.clear()
    except ParseError:
        if not seen:  # else it is told where it is met when the rows are read
            raise
    known = [name for name in ROWS if any(name == found for _, found in seen)]
    if known:
        return known[0]
    repeated = [(count, -depth, name) for (depth, name), count in seen.items() if count > 1 and name in filled]
    if not repeated:
        raise InvalidFileError("The XML repeats no element; a feed has one element for each row")
    highest = max(depth for _, depth, _ in repeated)
    return max(each for each in repeated if each[1] == highest)[2]


def _records(file: BinaryIO, name: str) -> Iterator[Entry]:
    with _told():
        open_elements: list[Element] = []
        inside = number = 0
        parts = Parts(file, _tag)
        for event, element in _events(parts):
            if event == "start":
                open_elements.append(element)
                if len(open_elements) > DEEPEST:
                    raise InvalidFileError(f"The XML is nested deeper than {DEEPEST} levels")
                if _local(element.tag) == name:
                    inside += 1
                    if inside == 1:
                        parts.begin()
                        parts.in_row = True
                continue
            open_elements.pop()
            if inside and _local(element.tag) == name:
                inside -= 1
                if not inside:
                    parts.in_row = False
                    number += 1
                    check_rows(number)
                    if isinstance(entry := clean_row(_flat(element), number), Invalid) or entry[1]:
                        yield entry
            if not inside and open_elements:
                open_elements[-1].remove(element)  # what was read is not kept


def _flat(element: Element, before: str = "", depth: int = 1) -> dict[str, str]:
    found: dict[str, list[str]] = {}

    def add(name: str, value: str) -> None:
        if value.strip():
            found.setdefault(name, []).append(value.strip())

    for name, value in element.attrib.items():
        add(f"{before}@{_name(name)}", value)
    for child in element:
        name = f"{before}{_name(child.tag)}"
        if len(child) and depth < MAX_DEPTH:
            for deeper, value in _flat(child, f"{name}.", depth + 1).items():
                add(deeper, value)
            continue
        add(name, child.text or "")
        for attribute, value in child.attrib.items():
            add(f"{name}@{_name(attribute)}", value)
    if not len(element) and element.text:
        add(f"{before}text" if before else "text", element.text)
    return {name: JOINED.join(values) for name, values in found.items()}


def _events(parts: Parts) -> Iterator[tuple[str, Any]]:
    events: Iterator[tuple[str, Any]] = iterparse(parts, events=("start", "end"), forbid_dtd=True)
    return events


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _name(tag: str) -> str:
    """The name that people know: Google's own with its `g:`, any other without its namespace."""
    return f"g:{_local(tag)}" if tag.startswith(f"{{{GOOGLE}}}") else _local(tag)

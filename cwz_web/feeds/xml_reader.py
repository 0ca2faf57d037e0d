"""Reader of XML: Google Merchant and Meta feeds (RSS 2.0 or Atom with `g:`), and any file that repeats an element.

The file is parsed as a stream; DTDs and entities are rejected (defusedxml). Each repeated element becomes a row: the
texts of its children under their names, nested names joined by dots, attributes prefixed by @, repeated values joined.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from cwz_web.feeds.limits import InvalidFileError, check_row_count
from cwz_web.feeds.records import BoundedReader, Entry, InvalidEntry, Records, clean_row

GOOGLE = "http://base.google.com/ns/1.0"
# Names of elements that are rows; otherwise the element that is repeated most often is a row.
ROW_NAMES = ("item", "entry", "product", "offer", "row", "record")
MAX_DEPTH = 5
MAX_NESTING = 50
SAMPLE_ELEMENTS = 20_000
SEPARATOR = ", "
_tag_start = re.compile(b"<")


def xml_records(file: BinaryIO) -> Records:
    """Read a file of XML. Raises InvalidFileError, also while the rows are read."""
    with _parser_errors():
        name = _find_row_name(file)
    return Records(file, lambda: _records(file, name), f"<{name}>")


@contextmanager
def _parser_errors() -> Iterator[None]:
    """Raise the parser's errors as InvalidFileError."""
    try:
        yield
    except DefusedXmlException:
        raise InvalidFileError("The XML declares a DTD or entities, which is not allowed; remove them") from None
    except (ParseError, LookupError, ValueError) as error:
        raise InvalidFileError(f"This is not valid XML: {str(error)[:120]}") from None


def _find_row_name(file: BinaryIO) -> str:
    """Return the local name of the row's element: a known one, or else the one that is repeated most often."""
    seen: Counter[tuple[int, str]] = Counter()
    filled: set[str] = set()
    depth = 0
    try:
        for event, element in _events(BoundedReader(file, _tag_start)):
            if event == "start":
                depth += 1
                name = _local_name(element.tag)
                if depth > 1:
                    seen[depth, name] += 1
                    if sum(seen.values()) > SAMPLE_ELEMENTS:
                        break
            else:
                depth -= 1
                if len(element) or element.attrib:
                    filled.add(_local_name(element.tag))
                if depth > 1:
                    continue
                element.clear()
    except ParseError:
        if not seen:  # otherwise the error is reported when reading reaches it
            raise
    known = [name for name in ROW_NAMES if any(name == other for _, other in seen)]
    if known:
        return known[0]
    repeated = [(count, -depth, name) for (depth, name), count in seen.items() if count > 1 and name in filled]
    if not repeated:
        raise InvalidFileError("The XML has no repeated element; a feed has one element for each row")
    outermost = max(depth for _, depth, _ in repeated)
    return max(candidate for candidate in repeated if candidate[1] == outermost)[2]


def _records(file: BinaryIO, name: str) -> Iterator[Entry]:
    with _parser_errors():
        open_elements: list[Element] = []
        inside = number = 0
        reader = BoundedReader(file, _tag_start)
        for event, element in _events(reader):
            if event == "start":
                open_elements.append(element)
                if len(open_elements) > MAX_NESTING:
                    raise InvalidFileError(f"The XML is nested deeper than {MAX_NESTING} levels")
                if _local_name(element.tag) == name:
                    inside += 1
                    if inside == 1:
                        reader.reset()
                        reader.in_row = True
                continue
            open_elements.pop()
            if inside and _local_name(element.tag) == name:
                inside -= 1
                if not inside:
                    reader.in_row = False
                    number += 1
                    check_row_count(number)
                    if isinstance(entry := clean_row(_flatten(element), number), InvalidEntry) or entry[1]:
                        yield entry
            if not inside and open_elements:
                open_elements[-1].remove(element)  # free its memory


def _flatten(element: Element, prefix: str = "", depth: int = 1) -> dict[str, str]:
    found: dict[str, list[str]] = {}

    def add(name: str, value: str) -> None:
        if value.strip():
            found.setdefault(name, []).append(value.strip())

    for name, value in element.attrib.items():
        add(f"{prefix}@{_display_name(name)}", value)
    for child in element:
        name = f"{prefix}{_display_name(child.tag)}"
        if len(child) and depth < MAX_DEPTH:
            for nested, value in _flatten(child, f"{name}.", depth + 1).items():
                add(nested, value)
            continue
        add(name, child.text or "")
        for attribute, value in child.attrib.items():
            add(f"{name}@{_display_name(attribute)}", value)
    if not len(element) and element.text:
        add(f"{prefix}text" if prefix else "text", element.text)
    return {name: SEPARATOR.join(values) for name, values in found.items()}


def _events(reader: BoundedReader) -> Iterator[tuple[str, Any]]:
    events: Iterator[tuple[str, Any]] = iterparse(reader, events=("start", "end"), forbid_dtd=True)
    return events


def _local_name(tag: str) -> str:
    return tag.rpartition("}")[2]


def _display_name(tag: str) -> str:
    """Return the usual name: Google's elements with `g:`, others without their namespace."""
    return f"g:{_local_name(tag)}" if tag.startswith(f"{{{GOOGLE}}}") else _local_name(tag)

"""Reader of XML: Google Merchant and Meta feeds (RSS 2.0 or Atom with `g:`), and any other file with rows.

The file is parsed as a stream. A DOCTYPE without an internal subset is ignored and never fetched; entities are rejected
(defusedxml). Each row element becomes a row: the texts of its children under their names, nested names joined by dots,
attributes prefixed by @, repeated values joined.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import XMLParser, iterparse

from cwz_web.feeds.limits import InvalidFileError, check_row_count
from cwz_web.feeds.lists import join_list
from cwz_web.feeds.reading import FileFormat, Reading, ReadOptions
from cwz_web.feeds.records import BoundedReader, Entry, InvalidEntry, Records, clean_row
from cwz_web.feeds.xml_outline import ColumnNames, Outline, Path, local_name, outline_of, path_name
from cwz_web.feeds.xml_source import XmlSource
from cwz_web.i18n import gettext, ngettext

MAX_DEPTH = 5
MAX_NESTING = 50
# HTML inside an element is text with markup and not a list of columns.
HTML = frozenset(
    [
        "a",
        "abbr",
        "b",
        "big",
        "blockquote",
        "br",
        "center",
        "code",
        "div",
        "em",
        "font",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "li",
        "ol",
        "p",
        "pre",
        "s",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "tr",
        "u",
        "ul",
    ]
)
HTML_BLOCKS = frozenset(
    [
        "blockquote",
        "br",
        "center",
        "div",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
        "table",
        "tr",
        "ul",
    ]
)
_tag_start = re.compile(b"<")


class _Parser(XMLParser):  # type: ignore[misc]
    """A parser that ignores a DOCTYPE without an internal subset: it declares nothing, and is never fetched."""

    def defused_start_doctype_decl(self, name: str, sysid: str, pubid: str, has_internal_subset: int) -> None:
        if has_internal_subset:
            super().defused_start_doctype_decl(name, sysid, pubid, has_internal_subset)


def xml_records(file: BinaryIO, options: ReadOptions | None = None) -> Records:
    """Read a file of XML. Raises InvalidFileError, also while the rows are read."""
    options = options or ReadOptions()
    source = XmlSource(file, options)
    with _parser_errors():
        outline = outline_of(_events(_reader(source), namespaces=True), lambda error: isinstance(error, ParseError))
        row = _chosen_path(outline, options.row_element) or outline.row_path()
    names = ColumnNames(outline, row)
    reading = Reading(
        FileFormat.XML,
        encoding=source.encoding,
        row_element=path_name(row),
        row_elements=outline.choices(row),
    )
    noun = f"<{local_name(row[-1])}>"
    records = Records(source.file, lambda: _records(source, row, names, records), noun, reading=reading)
    records.file_notes += source.notes
    return records


def _chosen_path(outline: Outline, name: str | None) -> Path | None:
    """Return the path of a chosen row element; one that is not in the file's start is looked for while reading."""
    if name is None:
        return None
    return next((path for path in outline.elements if path_name(path) == name), tuple(name.split("/")))


@contextmanager
def _parser_errors() -> Iterator[None]:
    """Raise the parser's errors as InvalidFileError."""
    try:
        yield
    except DefusedXmlException:
        raise InvalidFileError(
            gettext("The XML declares a DTD or entities, which is not allowed; remove them")
        ) from None
    except (ParseError, LookupError, ValueError) as error:
        raise InvalidFileError(gettext("This is not valid XML: %(error)s", error=str(error)[:120])) from None


def _records(source: XmlSource, row: Path, names: ColumnNames, records: Records) -> Iterator[Entry]:
    with _parser_errors():
        open_elements: list[Element] = []
        depth, local = len(row), local_name(row[-1])
        number, inside = 0, False
        reader = _reader(source)
        for event, element in _events(reader):
            if event == "start":
                open_elements.append(element)
                if len(open_elements) == depth and local_name(element.tag) == local:
                    inside = reader.in_row = _is_at(open_elements, row)
                    if inside:
                        reader.reset()
                continue
            open_elements.pop()
            if inside and len(open_elements) == depth - 1:
                inside = reader.in_row = False
                number += 1
                check_row_count(number)
                if isinstance(entry := clean_row(_flatten(element, names), number), InvalidEntry) or entry[1]:
                    yield entry
            if not inside and open_elements:
                open_elements[-1].remove(element)  # free its memory
    records.notes += [note for note in source.notes if note not in records.notes]


def _is_at(open_elements: list[Element], row: Path) -> bool:
    return all(local_name(element.tag) == local_name(tag) for element, tag in zip(open_elements, row, strict=True))


def _flatten(element: Element, names: ColumnNames, prefix: str = "", depth: int = 1) -> dict[str, str]:
    found: dict[str, list[str]] = {}

    def add(name: str, value: str) -> None:
        if value.strip():
            found.setdefault(name, []).append(value.strip())

    for name, value in element.attrib.items():
        add(f"{prefix}@{names.of(name)}", value)
    for child in element:
        name = prefix + names.of(child.tag)
        if len(child):
            for nested, value in _nested(child, names, name, depth):
                add(nested, value)
            continue
        name = _leaf_name(child, names, name)
        add(name, child.text or "")
        for attribute, value in child.attrib.items():
            if attribute not in _leaf_attributes(child):
                add(f"{name}@{names.of(attribute)}", value)
    if not len(element) and element.text:
        add(f"{prefix}text" if prefix else "text", element.text)
    # A single element is a value, and no list of one.
    return {name: join_list(values) if len(values) > 1 else values[0] for name, values in found.items()}


def _nested(child: Element, names: ColumnNames, name: str, depth: int) -> Iterable[tuple[str, str]]:
    """Yield the columns of a child that has children: its text with markup, or its own text and nested columns."""
    if all(local_name(each.tag).lower() in HTML for each in child):
        yield name, _marked_up_text(child)
        return
    yield name, "".join([child.text or "", *(each.tail or "" for each in child)])
    if depth < MAX_DEPTH:
        yield from _flatten(child, names, f"{name}.", depth + 1).items()


def _marked_up_text(element: Element) -> str:
    """Return the text of an element with HTML inside, with a line break for each block."""
    lines = map(str.strip, "".join(_marked_up_parts(element)).split("\n"))
    return "\n".join(filter(None, lines))


def _marked_up_parts(element: Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        line_break = "\n" if local_name(child.tag).lower() in HTML_BLOCKS else ""
        yield line_break
        yield from _marked_up_parts(child)
        yield line_break
        yield child.tail or ""


def _leaf_name(child: Element, names: ColumnNames, name: str) -> str:
    """Return the column of a child without children: of `<param name="Color">` it is “Color”."""
    if not child.attrib:
        return name
    if child.text and (label := child.get("name")):
        return names.of_label(name, label) or name
    relation = child.get("rel")
    return f"{name}.{relation}" if relation and relation != "alternate" and child.get("href") else name


def _leaf_attributes(child: Element) -> tuple[str, ...]:
    """Return the attributes that are part of the column's name."""
    if child.text and child.get("name"):
        return ("name",)
    return ("rel",) if child.get("rel") and child.get("href") else ()


def _reader(source: XmlSource) -> BoundedReader:
    return BoundedReader(source, _tag_start)


def _events(reader: BoundedReader, *, namespaces: bool = False) -> Iterator[tuple[str, Any]]:
    parser = _Parser(target=TreeBuilder(), encoding="utf-8", forbid_dtd=True)
    names = ("start", "end", "start-ns") if namespaces else ("start", "end")
    return _limit_nesting(iterparse(reader, events=names, parser=parser))


def _limit_nesting(events: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield the events up to a limit of nesting, since the outline has a path for each element."""
    depth = 0
    for event in events:
        if event[0] == "start":
            depth += 1
            if depth > MAX_NESTING:
                raise InvalidFileError(
                    ngettext(
                        "The XML is nested deeper than %(count)s level",
                        "The XML is nested deeper than %(count)s levels",
                        MAX_NESTING,
                    )
                )
        elif event[0] == "end":
            depth -= 1
        yield event

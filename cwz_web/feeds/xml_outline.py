"""Outline of an XML file: which element is a row, and the names of its columns.

The row is chosen by structure: an element with several fields of its own (attributes and children with text),
preferably a repeated one, and rather an outer one than a list inside of it. A user can choose another one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from cwz_web.feeds.limits import InvalidFileError
from cwz_web.i18n import gettext

GOOGLE = "http://base.google.com/ns/1.0"
# Usual names of rows, which count as much as three fields.
ROW_NAMES = frozenset(
    (
        "item",
        "entry",
        "product",
        "offer",
        "row",
        "record",
        "article",
        "artikel",
        "produkt",
        "listing",
        "job",
        "property",
    )
)
NAME_BONUS = 3
SAMPLE_ELEMENTS = 20_000
MAX_CHOICES = 20
# Elements with a name attribute become columns, up to this number.
MAX_LABELS = 200

Path = tuple[str, ...]


@dataclass
class ElementOutline:
    """An element of the outline: how often it occurs, and the fields of all its occurrences."""

    count: int = 0
    fields: set[str] = field(default_factory=set)


@dataclass
class Outline:
    """The elements of a file's start by their paths of tags, and the prefixes of its namespaces."""

    elements: dict[Path, ElementOutline] = field(default_factory=dict)
    prefixes: dict[str, str] = field(default_factory=dict)

    def candidates(self) -> list[Path]:
        """Return the elements that can be rows, the outermost first."""
        found = [path for path, element in self.elements.items() if _score(path, element)]
        return sorted(found, key=len)

    def row_path(self) -> Path:
        """Return the path of the rows. Raises InvalidFileError if no element has fields."""
        best: Path | None = None
        for path in self.candidates():
            if best is None or _is_better(path, self.elements[path], best, self.elements[best]):
                best = path
        if best is None:
            raise InvalidFileError(gettext("The XML has no repeated element; a feed has one element for each row"))
        return best

    def choices(self, row: Path) -> tuple[str, ...]:
        """Return the paths that a user can choose from, the row's first, then the ones with most fields."""
        others = sorted(self.candidates(), key=lambda path: (-_score(path, self.elements[path]), len(path)))
        return tuple(dict.fromkeys(map(path_name, [row, *others])))[:MAX_CHOICES]


def _score(path: Path, element: ElementOutline) -> int:
    bonus = NAME_BONUS if _has_row_name(path) else 0
    if element.count < 2 and not bonus and len(element.fields) < 2:
        return 0
    return (len(element.fields) + bonus) * (2 if element.count > 1 else 1) if element.fields else 0


def _has_row_name(path: Path) -> bool:
    return local_name(path[-1]).lower() in ROW_NAMES


def _is_better(path: Path, element: ElementOutline, best: Path, best_element: ElementOutline) -> bool:
    """Whether an element is rather the row than the best one so far, which is not further inside."""
    new, old = _score(path, element), _score(best, best_element)
    if path[: len(best)] == best:
        if best_element.count == 1 and _has_row_name(path) and not _has_row_name(best):
            return True  # as the only item of a channel
        return (new >= 2 * old if best_element.count == 1 else new > 2 * old) and element.count > best_element.count
    return (new, element.count) > (old, best_element.count)


class ColumnNames:
    """The column names of a file's elements and attributes.

    Google's elements keep `g:`, others lose their namespace, unless two elements of a row would have the same name.

    Args:
        outline: The outline of the file.
        row: The path of the rows.
    """

    def __init__(self, outline: Outline, row: Path) -> None:
        self._prefixes = outline.prefixes
        inside = {path[-1] for path in outline.elements if path[: len(row)] == row and len(path) > len(row)}
        self._owners: dict[str, str] = {}
        namespaces: dict[str, set[str]] = {}
        for tag in sorted(inside):
            namespaces.setdefault(local_name(tag), set()).add(tag.rpartition("}")[0])
        self._ambiguous = {name for name, spaces in namespaces.items() if len(spaces) > 1}
        self._names: dict[str, str] = {}
        self._elements = {self.of(tag) for tag in inside}
        self._labels: set[str] = set()

    def of(self, tag: str) -> str:
        """Return the column name of a tag or an attribute."""
        name = self._names.get(tag)
        if name is None:
            name = self._names[tag] = self._new_name(tag)
        return name

    def _new_name(self, tag: str) -> str:
        namespace, _, local = tag.rpartition("}")
        namespace = namespace[1:]
        if namespace == GOOGLE:
            return f"g:{local}"
        prefix = self._prefixes.get(namespace, "")
        owner = self._owners.setdefault(local, tag) if not (namespace and prefix and local in self._ambiguous) else ""
        return local if owner == tag or not prefix else f"{prefix}:{local}"

    def of_label(self, name: str, label: str) -> str | None:
        """Return the column of an element with a name attribute; None if there are too many of them."""
        label = " ".join(label.split())
        if label not in self._labels:
            if len(self._labels) >= MAX_LABELS:
                return None
            self._labels.add(label)
        return f"{name}.{label}" if label in self._elements else label


def outline_of(events: Iterable[tuple[str, Any]], is_error: Callable[[Exception], bool]) -> Outline:
    """Return the outline of the start of a file.

    Args:
        events: The parser's events: start, end and start-ns.
        is_error: Whether an exception means that the file is damaged behind its start.
    """
    outline, path, count = Outline(), list[str](), 0
    try:
        for event, element in events:
            if event == "start-ns":
                outline.prefixes.setdefault(element[1], element[0])
            elif event == "start":
                path.append(element.tag)
                count += 1
                if count > SAMPLE_ELEMENTS:
                    break
                entry = outline.elements.setdefault(tuple(path), ElementOutline())
                entry.count += 1
                entry.fields.update(f"@{name}" for name in element.attrib)
            else:
                _end_element(outline, path, element)
    except Exception as error:
        if not is_error(error) or len(outline.elements) < 2:
            raise
    return outline


def _end_element(outline: Outline, path: list[str], element: Any) -> None:
    inner = tuple(path)
    path.pop()
    if not path:
        return
    is_leaf = not len(element) and ((element.text and element.text.strip()) or element.attrib)
    if is_leaf and inner in outline.elements:
        label = element.get("name") if element.text else None
        outline.elements[tuple(path)].fields.add(label or element.tag)
    if len(path) == 1:
        element.clear()


def path_name(path: Path) -> str:
    """Return a path as a user sees it."""
    return "/".join(map(local_name, path))


def local_name(tag: str) -> str:
    """Return a tag without its namespace."""
    return tag.rpartition("}")[2]

"""Outline of a JSON file: where its rows are.

Rows are the objects of a list, the arrays of a list below a header, the members of an object that are objects (keyed by
their names), or a single object. A list with a usual name is preferred. A user can choose another path.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cwz_web.feeds.columns import normalize_name
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.i18n import gettext

# Names of the list of rows in an object with several lists.
ROW_LIST_NAMES = ("products", "items", "item", "rows", "data", "entries", "records", "results", "listings", "offers")
# A record with one of these names may have a list of offers.
IDENTIFIERS = frozenset(
    ("id", "sku", "gid", "guid", "productid", "itemid", "articleid", "ean", "gtin", "articlenumber", "artikelnummer")
)
MAX_EVENTS = 20_000
MAX_ROW_PATHS = 1000
MAX_CHOICES = 20


class RowKind(StrEnum):
    """What the rows are."""

    OBJECTS = "objects"
    ARRAYS = "arrays"
    KEYED = "keyed"
    SINGLE = "single"


@dataclass(frozen=True)
class RowPath:
    """Where the rows are: the path of the list or object, and what its members are."""

    kind: RowKind
    path: str

    @property
    def name(self) -> str:
        """The path as a user sees it, such as $.data.products."""
        return f"$.{self.path}" if self.path else "$"


@dataclass
class _Object:
    """An object that is not in a list: the names of its scalars, and of the scalars of its members."""

    scalars: set[str] = field(default_factory=set)
    members: list[set[str]] = field(default_factory=list)
    has_others: bool = False


@dataclass
class JsonOutline:
    """The lists of objects, the lists of arrays, and the objects of a file's start by their paths."""

    lists: dict[str, None] = field(default_factory=dict)
    arrays: dict[str, None] = field(default_factory=dict)
    objects: dict[str, _Object] = field(default_factory=dict)

    def row_paths(self) -> list[RowPath]:
        """Return where the rows can be, the likeliest first. Raises InvalidFileError if there are none."""
        top = self.objects.get("")
        single = [RowPath(RowKind.SINGLE, path) for path in self._single_objects()]
        keyed = [RowPath(RowKind.KEYED, path) for path in sorted(filter(self._is_keyed, self.objects), key=_depth)]
        lists = [RowPath(RowKind.OBJECTS, path) for path in sorted(self.lists, key=self._list_order)]
        arrays = [RowPath(RowKind.ARRAYS, path) for path in sorted(self.arrays, key=_depth)]
        paths = [*lists, *arrays, *keyed, *single]
        if keyed and all(_is_inside(row_path.path, keyed[0].path) for row_path in lists):
            paths = [*keyed, *lists, *arrays, *single]
        elif top is not None and self._is_record(top):
            paths = [RowPath(RowKind.SINGLE, ""), *paths]
        if not paths:
            raise InvalidFileError(
                gettext("The JSON has no list of objects; a feed is a list with one object for each row")
            )
        return list(dict.fromkeys(paths))[:MAX_CHOICES]

    def _list_order(self, path: str) -> tuple[bool, int]:
        is_usual = not path or path.rpartition(".")[2].lower() in ROW_LIST_NAMES
        return not is_usual, 0 if is_usual else _depth(path)

    def _is_record(self, top: _Object) -> bool:
        """Whether the file is one record with lists inside, and not a list of rows with a few words about it."""
        has_identifier = not IDENTIFIERS.isdisjoint(map(normalize_name, top.scalars))
        usual = [path for path in self.lists if path.lower() in ROW_LIST_NAMES and path.lower() != "offers"]
        return has_identifier and len(top.scalars) > 1 and not usual

    def _is_keyed(self, path: str) -> bool:
        """Whether the members of an object are objects with the same fields."""
        found = self.objects[path]
        if found.has_others or found.scalars or len(found.members) < 2:
            return False
        first, *others = found.members[:20]
        alike = sum(1 for other in others if len(first & other) * 2 >= max(len(first | other), 1))
        return bool(first) and alike * 2 >= len(others)

    def _single_objects(self) -> list[str]:
        paths = [path for path, found in self.objects.items() if found.scalars]
        return sorted(paths, key=lambda path: (-min(len(self.objects[path].scalars), 2), _depth(path)))


def json_outline(events: Iterable[tuple[str, Any]], error: type[Exception]) -> JsonOutline:
    """Return the outline of the start of a file.

    Args:
        events: The parser's events.
        error: The parser's error; behind the file's first list it is reported when the rows are read.
    """
    outline = JsonOutline()
    try:
        _read_outline(events, outline)
    except error:
        if not outline.lists and not outline.arrays:
            raise
    return outline


def _read_outline(events: Iterable[tuple[str, Any]], outline: JsonOutline) -> None:
    path: list[str | None] = []  # a key for each open object, None for each open list
    for count, (event, value) in enumerate(events):
        if event == "map_key":
            path[-1] = value
        elif event in ("start_map", "start_array"):
            _start(outline, path, event)
            path.append(None if event == "start_array" else "")
            is_found = bool(outline.lists or outline.arrays)
            if (count > MAX_EVENTS and is_found) or len(outline.lists) >= MAX_ROW_PATHS:
                return
        elif event in ("end_map", "end_array"):
            path.pop()
        elif path and path[-1] is not None:
            _scalar(outline, path)


def _start(outline: JsonOutline, path: list[str | None], event: str) -> None:
    """Record where an object or a list begins, unless it is inside a list's element."""
    keys = [key for key in path if key is not None]
    if len(keys) < len(path):
        if len(keys) == len(path) - 1 and path[-1] is None:
            (outline.lists if event == "start_map" else outline.arrays).setdefault(".".join(keys))
        return
    if path and (owner := outline.objects.get(".".join(keys[:-1]))) is not None:
        owner.has_others = owner.has_others or event == "start_array"
        if event == "start_map":
            owner.members.append(set())
    if event == "start_map" and len(outline.objects) < MAX_ROW_PATHS:
        outline.objects[".".join(keys)] = _Object()


def _scalar(outline: JsonOutline, path: list[str | None]) -> None:
    """Record the name of a scalar in an object and in the object's owner."""
    keys = [key for key in path if key is not None]
    if len(keys) < len(path):
        return
    *outer, name = keys
    if (found := outline.objects.get(".".join(outer))) is not None:
        found.scalars.add(name)
    owner = outline.objects.get(".".join(outer[:-1])) if outer else None
    if owner is not None and owner.members:
        owner.members[-1].add(name)


def _depth(path: str) -> int:
    return path.count(".") + bool(path)


def _is_inside(path: str, owner: str) -> bool:
    return path.startswith(f"{owner}." if owner else "") and _depth(path) > _depth(owner) + 1

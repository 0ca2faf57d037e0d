"""What two documents of a template differ in, by the names of layers, fields and sizes, and by their properties."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from cwz_web.i18n import gettext
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.layers import AnyLayer, Container

MAX_TEXT = 120
CANVAS = "canvas"
# The path of a layer's place among its siblings.
ORDER = ("order",)


@dataclass(frozen=True)
class PropertyChange:
    """A property with its values as texts; empty where it is not set, or has a default that is not stored.

    Attributes:
        path: its key in the part, and the keys in that: `blur` of the shadow is `("shadow", "blur")`.
    """

    path: tuple[str, ...]
    before: str
    after: str


@dataclass(frozen=True)
class Change:
    """A part of a template that was added, removed or changed.

    Attributes:
        part: what it is.
        name: its name; empty for the canvas.
        properties: what was changed of it; empty if it was added or removed.
    """

    part: Literal["canvas", "layer", "field", "computed field", "table", "size"]
    name: str
    kind: Literal["added", "removed", "changed"]
    properties: tuple[PropertyChange, ...] = ()


def list_changes(before: ImageTemplate, after: ImageTemplate) -> list[Change]:
    """Return the changes from one document to another: of the canvas, then of layers, fields and sizes.

    A renamed part is one that was removed and another that was added.
    """
    old, new = before.canonical(), after.canonical()
    changes = []
    if canvas := tuple(_compare(old["canvas"], new["canvas"])):
        changes.append(Change("canvas", "", "changed", canvas))
    changes += _list_part("layer", _layers(before), _layers(after), moved=_find_reordered(before, after))
    changes += _list_part("field", _by_name(old["fields"]), _by_name(new["fields"]))
    changes += _list_part("computed field", _by_name(old.get("computed", ())), _by_name(new.get("computed", ())))
    changes += _list_part("table", old.get("tables", {}), new.get("tables", {}))
    changes += _list_part("size", _by_name(old["sizes"]), _by_name(new["sizes"]))
    return changes


def _list_part(
    part: Any, old: Mapping[str, Any], new: Mapping[str, Any], moved: frozenset[str] = frozenset()
) -> Iterator[Change]:
    for name in [*new, *(name for name in old if name not in new)]:
        if name not in old or name not in new:
            yield Change(part, name, "added" if name in new else "removed")
            continue
        properties = [*_compare(old[name], new[name])]
        properties += [PropertyChange(ORDER, "", "")] if name in moved else []
        if properties:
            yield Change(part, name, "changed", tuple(properties))


def _compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[PropertyChange]:
    before, after = dict(_flatten(old)), dict(_flatten(new))
    for path in [*after, *(path for path in before if path not in after)]:
        if before.get(path) != after.get(path):
            yield PropertyChange(path, _to_text(before.get(path)), _to_text(after.get(path)))


def _flatten(part: Mapping[str, Any], within: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the values of a part by path."""
    for key, value in part.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, (*within, key))
        elif value not in (None, {}):
            yield (*within, key), value


def _layers(document: ImageTemplate) -> dict[str, Any]:
    """Return the layers by name, without those in them, and with the container that they are in."""
    return {
        layer.name: {**layer.model_dump(mode="json", exclude={"layers", "name"}), "container": container}
        for layer, container in _walk(document.layers, CANVAS)
    }


def _walk(layers: Iterable[AnyLayer], container: str) -> Iterator[tuple[AnyLayer, str]]:
    for layer in layers:
        yield layer, container
        if isinstance(layer, Container):
            yield from _walk(layer.layers, layer.name)


def _find_reordered(before: ImageTemplate, after: ImageTemplate) -> frozenset[str]:
    """Return the layers whose place among the siblings that both documents have is another one."""
    old, new = _siblings(before), _siblings(after)
    moved: set[str] = set()
    for container in old.keys() & new.keys():
        one = [name for name in old[container] if name in new[container]]
        other = [name for name in new[container] if name in old[container]]
        blocks = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
        moved |= set(other) - {name for block in blocks for name in other[block.b : block.b + block.size]}
    return frozenset(moved)


def _siblings(document: ImageTemplate) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for layer, container in _walk(document.layers, CANVAS):
        found.setdefault(container, []).append(layer.name)
    return found


def _by_name(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {part["name"]: {key: value for key, value in part.items() if key != "name"} for part in parts}


def _to_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, float):
        return f"{value:g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"

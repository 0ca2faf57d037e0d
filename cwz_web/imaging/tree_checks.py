"""Checks of the layers of a document as a tree: their number, places, masks and the fields that they use."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from cwz_web.i18n import gettext, number
from cwz_web.imaging.bindings import ENTRY_NAMES, is_entry_name
from cwz_web.imaging.expressions import parse_expression
from cwz_web.imaging.layer_base import Layer, count_expressions
from cwz_web.imaging.layers import MAX_DEPTH, MAX_LAYERS, AnyLayer, Container, ImageLayer, StackLayer, walk_layers

# How many layers an image can show, those of repeated stacks counted as often as they can repeat.
MAX_REPEATED_LAYERS = 300
# How many expressions are evaluated for the entries of repeated stacks.
MAX_REPEATED_EXPRESSIONS = 300
# Compiling one takes up to 3 ms. Fewer than are kept compiled.
MAX_EXPRESSIONS = 250
# How many photos of an image can be processed. Each can take seconds.
MAX_PROCESSED_PHOTOS = 10


def check_sizes(document: dict[str, Any]) -> None:
    """Check how deep layers are nested, and how many expressions there are, before a document is validated.

    Raises:
        ValueError: there are too many.
    """
    if _depth(document.get("layers")) > MAX_DEPTH:
        raise ValueError(gettext("Groups and stacks are nested more than %(max)s deep", max=MAX_DEPTH))
    # Before they are compiled.
    if (count := _count_expressions(document)) > MAX_EXPRESSIONS:
        raise ValueError(
            gettext(
                "The template has %(number)s expressions; the limit is %(max)s. Use computed fields for those that"
                " several layers have in common, or fewer bound properties",
                number=number(count),
                max=MAX_EXPRESSIONS,
            )
        )


def check_tree(layers: Sequence[AnyLayer]) -> None:
    """Check how many layers there are, and that they are where they can be.

    Raises:
        ValueError: there are too many, or a layer cannot be where it is.
    """
    count = sum(1 for _ in walk_layers(layers))
    if count > MAX_LAYERS:
        raise ValueError(
            gettext(
                "The template has %(number)s layers, those in groups and stacks included; the limit is %(max)s",
                number=count,
                max=MAX_LAYERS,
            )
        )
    shown = sum(map(_count_repeated, layers))
    if shown > MAX_REPEATED_LAYERS:
        raise ValueError(
            gettext(
                "The repeated stacks show up to %(number)s layers; the limit is %(max)s. Use a lower limit or fewer"
                " layers",
                number=shown,
                max=MAX_REPEATED_LAYERS,
            )
        )
    if (processed := count_processed(layers).total()) > MAX_PROCESSED_PHOTOS:
        raise ValueError(
            gettext(
                "The image layers process up to %(number)s photos; the limit is %(max)s. Use a lower limit of the"
                " repeated stacks, or process fewer photos",
                number=processed,
                max=MAX_PROCESSED_PHOTOS,
            )
        )
    evaluated = sum(map(_count_repeated_expressions, layers))
    if evaluated > MAX_REPEATED_EXPRESSIONS:
        raise ValueError(
            gettext(
                "The repeated stacks evaluate up to %(number)s expressions; the limit is %(max)s. Use a lower limit, or"
                " computed fields for what does not depend on the entry",
                number=evaluated,
                max=MAX_REPEATED_EXPRESSIONS,
            )
        )
    for layer in layers:
        _check_parent(layer, parent=None)
    names = {layer.name for layer in walk_layers(layers)}
    for siblings, parent in _siblings(layers):
        _check_masks(siblings, parent, names)


def count_processed(layers: Iterable[AnyLayer]) -> Counter[str]:
    """Return how many photos an image shows at most of each image processor."""
    return Counter(name for layer in layers for name in _find_processors(layer))


def find_containers(layers: Iterable[AnyLayer], name: str) -> tuple[Container, ...] | None:
    """Return the containers around a layer; None if none of the layers is it or contains it."""
    for layer in layers:
        if layer.name == name:
            return ()
        inner = find_containers(layer.layers, name) if isinstance(layer, Container) else None
        if inner is not None and isinstance(layer, Container):
            return (layer, *inner)
    return None


def check_layer_fields(layer: Layer, known: AbstractSet[str], *, in_repeat: bool = False) -> None:
    """Check that a layer and the layers in it use known fields only.

    Args:
        layer: the layer.
        known: the fields of the template.
        in_repeat: whether it is in a repeated stack. The stack itself is not, unless it is in another one.
    """
    unknown = {name for name in layer.own_fields() - known if not (in_repeat and is_entry_name(name))}
    if unknown:
        usable = known | ENTRY_NAMES if in_repeat else known
        part = gettext("The layer “%(name)s”", name=layer.name)
        raise ValueError(describe_unknown_fields(part, unknown, usable))
    if isinstance(layer, Container):
        is_repeated = isinstance(layer, StackLayer) and layer.repeat is not None
        for child in layer.layers:
            check_layer_fields(child, known, in_repeat=in_repeat or is_repeated)


def describe_unknown_fields(part: str, unknown: AbstractSet[str], known: AbstractSet[str]) -> str:
    """Return the message about unknown fields that a part of a template, which begins the sentence, uses."""
    if entry := sorted(filter(is_entry_name, unknown)):
        return gettext(
            "%(part)s uses “%(name)s”, which only the layers in a repeated stack have. Put the layer into a stack with"
            " repeat, or use a field",
            part=part,
            name=entry[0],
        )
    return gettext(
        "%(part)s uses the unknown field %(names)s. The template has: %(known)s",
        part=part,
        names=", ".join(sorted(unknown)),
        known=", ".join(sorted(known)) or gettext("no fields"),
    )


def _check_parent(layer: Layer, parent: Layer | None) -> None:
    """Check that only layers in a stack fill its room, and that only other layers have pins."""
    if "fill" in (layer.sizing.width, layer.sizing.height) and not isinstance(parent, StackLayer):
        raise ValueError(
            gettext(
                "The layer “%(name)s” has the sizing fill, which needs a stack around it. Use pins", name=layer.name
            )
        )
    if layer.pins and isinstance(parent, StackLayer):
        raise ValueError(
            gettext(
                "The layer “%(name)s” has pins, but the stack “%(stack)s” places it. Remove them, and use sizing",
                name=layer.name,
                stack=parent.name,
            )
        )
    if isinstance(layer, Container):
        for child in layer.layers:
            _check_parent(child, layer)


def _siblings(
    layers: Sequence[AnyLayer], parent: Container | None = None
) -> Iterator[tuple[Sequence[AnyLayer], Container | None]]:
    """Yield the layers of the canvas and of each container, with the container."""
    yield layers, parent
    for layer in layers:
        if isinstance(layer, Container):
            yield from _siblings(layer.layers, layer)


def _check_masks(siblings: Sequence[AnyLayer], parent: Container | None, names: AbstractSet[str]) -> None:
    """Check that the masks of layers are beside them, have positions of their own, and have no masks themselves."""
    named = {layer.name: layer for layer in siblings}
    for layer in siblings:
        if layer.layer_mask is None:
            continue
        name = layer.layer_mask.layer
        if message := _find_mask_problem(layer, name, named, parent, names):
            raise ValueError(message)


def _find_mask_problem(
    layer: Layer, name: str, named: Mapping[str, Layer], parent: Container | None, names: AbstractSet[str]
) -> str:
    """Return what is wrong with the mask of a layer.

    Args:
        layer: the layer.
        name: the name of its mask.
        named: the layers beside it, by name.
        parent: the container around it.
        names: the names of all layers.
    """
    mask, both = named.get(name), {"layer": layer.name, "mask": name}
    if isinstance(parent, StackLayer):
        return gettext(
            "The layer “%(layer)s” has the mask “%(mask)s”, but is in the stack “%(stack)s”. Put the layer and its mask"
            " into a group",
            stack=parent.name,
            **both,
        )
    if name not in names:
        return gettext(
            "The layer “%(layer)s” has the mask “%(mask)s”, which does not exist. Beside the layer are: %(others)s",
            others=", ".join(sorted(named.keys() - {layer.name})) or gettext("no other layers"),
            **both,
        )
    if mask is None:
        return gettext(
            "The layer “%(layer)s” has the mask “%(mask)s”, which is in another group. Put both into the same one",
            **both,
        )
    if mask is layer:
        return gettext("The layer “%(name)s” is its own mask. Use another layer", name=name)
    if mask.layer_mask and mask.layer_mask.layer == layer.name:
        return gettext(
            "The layers “%(layer)s” and “%(mask)s” are masks of each other. Remove one of the two",
            **both,
        )
    if mask.layer_mask:
        return gettext(
            "The layer “%(layer)s” has the mask “%(mask)s”, which has a mask itself. Put “%(mask)s” and its mask into a"
            " group, and use that",
            **both,
        )
    return ""


def _count_repeated(layer: Layer) -> int:
    """Return how many layers an image can show of a layer and those in it."""
    if not isinstance(layer, Container):
        return 1
    repeats = layer.repeat.limit if isinstance(layer, StackLayer) and layer.repeat else 1
    return 1 + repeats * sum(map(_count_repeated, layer.layers))


def _find_processors(layer: Layer) -> Iterator[str]:
    """Yield the image processors of a layer and those in it, as often as they are shown."""
    if layer.hidden:
        return
    if isinstance(layer, ImageLayer) and layer.process:
        yield layer.process
    if isinstance(layer, Container):
        repeats = layer.repeat.limit if isinstance(layer, StackLayer) and layer.repeat else 1
        yield from (name for child in layer.layers for name in _find_processors(child) for _ in range(repeats))


def _count_repeated_expressions(layer: Layer, repeats: int = 0) -> int:
    """Return how many expressions the entries of repeated stacks have in a layer and those in it."""
    count = repeats * sum(any(map(is_entry_name, parse_expression(each).fields)) for each in layer.expressions())
    if isinstance(layer, StackLayer) and layer.repeat:
        repeats = max(repeats, 1) * layer.repeat.limit
    inner = layer.layers if isinstance(layer, Container) else ()
    return count + sum(_count_repeated_expressions(child, repeats) for child in inner)


def _depth(layers: Any) -> int:
    """Return how deep groups and stacks are nested in a document that is not validated yet, at most MAX_DEPTH + 1."""
    return sum(any(isinstance(layer, dict) and "layers" in layer for layer in level) for level in _levels(layers))


def _count_expressions(document: dict[str, Any]) -> int:
    """Return how many expressions a document has that is not validated yet."""
    computed = document.get("computed")
    layers = [layer for level in _levels(document.get("layers")) for layer in level if isinstance(layer, dict)]
    return sum(map(count_expressions, layers)) + (len(computed) if isinstance(computed, list | tuple) else 0)


def _levels(layers: Any) -> Iterator[Sequence[Any]]:
    """Yield the layers of a document that is not validated yet by how deep they are, until they are too deep."""
    level = layers
    for _ in range(MAX_DEPTH + 1):
        if not isinstance(level, list | tuple) or not level:
            return
        yield level
        level = [
            child
            for layer in level
            if isinstance(layer, dict) and isinstance(layer.get("layers"), list | tuple)
            for child in layer["layers"]
        ]

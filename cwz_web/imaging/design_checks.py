"""Checks of a design: what its document says without any effect, in any row.

What documents could contain from the beginning is reported here. What came later is refused by `documents.py`.
"""

from collections.abc import Iterator, Sequence
from functools import reduce

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.findings import Finding, FindingCode
from cwz_web.imaging.layer_base import Condition, Layer
from cwz_web.imaging.layers import AnyLayer, Container, ImageLayer, StackLayer
from cwz_web.imaging.template_parts import Override
from cwz_web.imaging.text_layers import TextLayer

SIDES = ("width", "height")
COMPARING = ("equal", "contains", "more", "less")


def check_design(template: ImageTemplate, size: str) -> list[Finding]:
    """Return the findings of a template in one of its sizes. Raises KeyError if it does not have this size."""
    sized = template.in_size(size)
    own = template.find_size(size)
    overrides = own.overrides if own else {}
    messages = [
        *((name, text) for name, each in overrides.items() for text in _check_override(sized, name, each)),
        *_check_layers(sized.layers),
        *(
            (layer.name, gettext_lazy("is outside of the canvas"))
            for layer in sized.layers
            if _is_outside(layer, sized)
        ),
    ]
    return [Finding(FindingCode.NO_EFFECT, text, name) for name, text in messages]


def _check_override(sized: ImageTemplate, name: str, override: Override) -> Iterator[str]:
    """Yield what an override changes without effect."""
    layer, containers = sized.find_layer(name), sized.find_containers(name)
    if layer is None:
        return
    changed = [key for key, value in override if value is not None and key != "hidden"]
    if unknown := [key for key in changed if key not in type(layer).model_fields]:
        yield gettext_lazy(
            "has an override of its %(keys)s, which a layer of the type %(type)s does not have",
            keys=_list(unknown),
            type=layer.type,
        )
    in_stack = bool(containers) and isinstance(containers[-1], StackLayer)
    if placed := [key for key in changed if key in ("x", "y", "anchor") and in_stack]:
        yield gettext_lazy(
            "has an override of its %(keys)s, but its stack places it. Override the stack", keys=_list(placed)
        )
    if sized_sides := [side for side in SIDES if side in changed and getattr(layer.sizing, side) != "fixed"]:
        yield gettext_lazy(
            "has an override of its %(keys)s, but its sizing decides about that", keys=_list(sized_sides)
        )


def _check_layers(layers: Sequence[AnyLayer]) -> Iterator[tuple[str, str]]:
    """Yield the name of each layer that is not hidden with what is wrong with it."""
    for layer in layers:
        if layer.hidden:
            continue
        yield from ((layer.name, text) for text in _check_layer(layer))
        if isinstance(layer, Container):
            yield from _check_layers(layer.layers)


def _check_layer(layer: AnyLayer) -> Iterator[str]:
    for side in SIDES:
        limits = [f"{end}_{side}" for end in ("min", "max") if getattr(layer.sizing, f"{end}_{side}") is not None]
        if limits and getattr(layer.sizing, side) == "fixed":
            yield gettext_lazy(
                "has a %(keys)s, but its %(side)s is fixed. Use the sizing hug or fill", keys=_list(limits), side=side
            )
    if isinstance(layer, TextLayer) and layer.min_size is not None:
        yield from _check_minimum(layer, layer.min_size)
    if isinstance(layer, ImageLayer) and layer.fallback and layer.missing != "fallback":
        yield gettext_lazy(
            "has a fallback image, but its missing is %(missing)s. Use the missing fallback", missing=layer.missing
        )
    condition = layer.show_if
    if isinstance(condition, Condition) and condition.test in COMPARING and not condition.value:
        yield gettext_lazy(
            "compares the field “%(field)s” with an empty value. Use the condition empty or filled",
            field=condition.field,
        )


def _check_minimum(layer: TextLayer, minimum: int) -> Iterator[str]:
    if minimum > layer.size:
        yield gettext_lazy(
            "has a min_size of %(min)s, which is larger than its size of %(size)s. Enter at most %(size)s",
            min=minimum,
            size=layer.size,
        )
    elif layer.fit in ("ellipsis", "clip") and minimum < layer.size:
        yield gettext_lazy("has a min_size, but its fit is %(fit)s. Use the fit shrink", fit=layer.fit)


def _is_outside(layer: Layer, sized: ImageTemplate) -> bool:
    """Return whether a layer, which nothing moves, is beside the canvas."""
    is_fixed = layer.sizing.width == layer.sizing.height == "fixed" and not layer.rotation % 360
    if layer.hidden or not is_fixed or set(layer.decided()) & {"x", "y", "width", "height", "rotation"}:
        return False
    if isinstance(layer, Container) or layer.shadow:
        return False
    return (
        layer.left >= sized.canvas.width
        or layer.top >= sized.canvas.height
        or layer.left + layer.width <= 0
        or layer.top + layer.height <= 0
    )


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else reduce(_join_and, names)


def _join_and(one: str, other: str) -> str:
    return gettext_lazy("%(one)s and %(other)s", one=one, other=other)

"""Live results: what expressions of a template are for the sample row, as its forms show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cwz_web.i18n import gettext, ngettext, translate
from cwz_web.imaging.bound_properties import resolve_layer
from cwz_web.imaging.conditions import evaluate_condition
from cwz_web.imaging.field_values import FieldText, result_key
from cwz_web.imaging.layers import AnyLayer
from cwz_web.imaging.repeats import find_results
from cwz_web.imaging.text_layers import TextLayer

MAX_SHOWN = 60
MAX_RESULTS = 5


@dataclass(frozen=True)
class LiveResult:
    """The result for the sample row: a text, and whether it says why there is none."""

    text: str
    is_problem: bool = False


def expression_result(source: str, values: Mapping[str, str]) -> LiveResult | None:
    """Return the result of a layer's expression; None if it was not evaluated, as for a hidden layer."""
    results = find_results(values, source)
    if not results:
        return None
    problem = next((result.unclear for result in results if result.unclear), None)
    if problem:
        return LiveResult(f"“{source[:MAX_SHOWN]}” {translate(problem.reason)}", is_problem=True)
    shown = ", ".join(_show(result) for result in results[:MAX_RESULTS])
    return LiveResult(f"{shown}, …" if len(results) > MAX_RESULTS else shown)


def property_result(layer: AnyLayer, name: str, values: Mapping[str, str]) -> LiveResult | None:
    """Return the value of a bound property, or why its default is used; None if it was not evaluated."""
    source = layer.bound[name]
    # Spans have bindings of their own.
    spans = {"spans": ()} if isinstance(layer, TextLayer) else {}
    alone = layer.model_copy(update={"bound": {name: source}, **spans})
    for result in find_results(values, source):
        _, problems = resolve_layer(alone, {result_key(source): result}, scale=1)
        if problems:
            return LiveResult(f"“{source[:MAX_SHOWN]}” {translate(problems[name][1].reason)}", is_problem=True)
    return expression_result(source, values)


def computed_result(name: str, values: Mapping[str, str]) -> LiveResult | None:
    """Return the value of a computed field; None if it is not known."""
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, FieldText) and value.unclear:
        return LiveResult(f"“{value.source[:MAX_SHOWN]}” {translate(value.unclear.reason)}", is_problem=True)
    return LiveResult(_show(value))


def condition_result(layer: AnyLayer, values: Mapping[str, str]) -> LiveResult | None:
    """Return whether the condition of a layer shows it, in how many entries of a repeated stack, or why it fails."""
    if layer.show_if is None:
        return LiveResult(gettext("Always shown"))
    if layer.hidden:
        return LiveResult(gettext("The layer is hidden in all rows"))
    if isinstance(layer.show_if, str):
        key = result_key(layer.show_if)
        outcomes = [evaluate_condition(layer.show_if, {key: each}) for each in find_results(values, layer.show_if)]
        source = layer.show_if
    elif layer.show_if.field in values:
        outcomes, source = [evaluate_condition(layer.show_if, values)], values[layer.show_if.field]
    else:
        outcomes, source = [], ""
    unclear = next((reason for _, reason in outcomes if reason), None)
    if unclear:
        return LiveResult(
            gettext("Hidden: “%(source)s” %(reason)s", source=source[:MAX_SHOWN], reason=translate(unclear.reason)),
            is_problem=True,
        )
    return _count_shown([shown for shown, _ in outcomes])


def _count_shown(outcomes: Sequence[bool]) -> LiveResult | None:
    match outcomes:
        case []:
            return None
        case [shown]:
            return LiveResult(gettext("Shown for this row") if shown else gettext("Hidden for this row"))
    total = len(outcomes)
    text = ngettext(
        "Shown for %(shown)s of %(count)s entry of this row",
        "Shown for %(shown)s of %(count)s entries of this row",
        total,
        shown=sum(outcomes),
    )
    return LiveResult(text)


def _show(text: str) -> str:
    if not text.strip():
        return gettext("empty")
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"

"""Layers with their parsed content: what a row's values decide about a layer, before anything is rendered."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cwz_web.imaging.bindings import BoundText
from cwz_web.imaging.conditions import evaluate_condition
from cwz_web.imaging.findings import Finding, FindingCode
from cwz_web.imaging.layers import Layer, RatingLayer
from cwz_web.values.formats import Unclear
from cwz_web.values.numbers import read_rating


@dataclass(frozen=True)
class PlannedLayer:
    """A layer with its parsed content: a text for each of its spans, or one text."""

    layer: Layer
    bound_texts: tuple[BoundText, ...]

    @property
    def is_static(self) -> bool:
        """Whether the layer looks the same in every row that shows it."""
        return not any(bound.fields for bound in self.bound_texts)

    def content(self, values: Mapping[str, str]) -> str:
        """Return the content of a layer that has one text at most."""
        return self.bound_texts[0].resolve(values)[0] if self.bound_texts else ""

    def texts(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """Return the layer's content for a row."""
        return tuple(bound.resolve(values)[0] for bound in self.bound_texts)

    def resolve(self, values: Mapping[str, str]) -> tuple[tuple[str, ...], Iterable[Finding]]:
        """Return the layer's content for a row, and the values that it cannot show as its template asks."""
        resolved = [bound.resolve(values) for bound in self.bound_texts]
        return tuple(text for text, _ in resolved), (
            unclear_value(self.layer, f"shows the field “{field}” as it is", values[field], unclear)
            for _, unclear_values in resolved
            for field, unclear in unclear_values
        )

    def is_shown(self, values: Mapping[str, str]) -> bool:
        """Return whether the layer's condition holds for a row."""
        condition = self.layer.show_if
        return condition is None or evaluate_condition(condition, values)[0]

    def appearance(self, values: Mapping[str, str]) -> str | tuple[str, ...] | None:
        """Return what the layer shows of a row; None if it is hidden."""
        if not self.is_shown(values):
            return None
        if len(self.bound_texts) > 1:
            return self.texts(values)
        content = self.content(values)
        return str(read_rating(content, self.layer.stars)) if isinstance(self.layer, RatingLayer) else content

    def unclear_condition(self, values: Mapping[str, str]) -> Iterator[Finding]:
        """Yield the value of a row that the layer's condition cannot compare."""
        condition = self.layer.show_if
        if condition and (unclear := evaluate_condition(condition, values)[1]):
            field = condition.field
            yield unclear_value(self.layer, f"is hidden because of the field “{field}”", values[field], unclear)


def unclear_value(layer: Layer, consequence: str, value: str, unclear: Unclear) -> Finding:
    """Return the finding of a value that cannot be read with certainty, and what it causes."""
    message = f"{consequence}: “{value[:40]}” {unclear.reason}"
    return Finding(FindingCode.VALUE_UNCLEAR, message.replace("\x00", ""), layer.name)

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
    """A layer with its parsed content."""

    layer: Layer
    bound_text: BoundText | None

    @property
    def is_static(self) -> bool:
        """Whether the layer looks the same in every row that shows it."""
        return self.bound_text is None or not self.bound_text.fields

    def content(self, values: Mapping[str, str]) -> str:
        """Return the layer's content for a row."""
        return self.bound_text.resolve(values)[0] if self.bound_text else ""

    def resolve(self, values: Mapping[str, str]) -> tuple[str, Iterable[Finding]]:
        """Return the layer's content for a row, and the values that it cannot show as its template asks."""
        content, unclear_values = self.bound_text.resolve(values) if self.bound_text else ("", ())
        return content, (
            unclear_value(self.layer, f"shows the field “{field}” as it is", values[field], unclear)
            for field, unclear in unclear_values
        )

    def is_shown(self, values: Mapping[str, str]) -> bool:
        """Return whether the layer's condition holds for a row."""
        condition = self.layer.show_if
        return condition is None or evaluate_condition(condition, values)[0]

    def appearance(self, values: Mapping[str, str]) -> str | None:
        """Return what the layer shows of a row; None if it is hidden."""
        if not self.is_shown(values):
            return None
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

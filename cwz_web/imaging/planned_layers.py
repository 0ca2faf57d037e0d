"""Layers with their parsed content: what a row's values decide about a layer, before anything is rendered."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from cwz_web.i18n import cut_message, gettext_lazy
from cwz_web.imaging.bindings import BoundText
from cwz_web.imaging.bound_properties import resolve_layer
from cwz_web.imaging.conditions import evaluate_condition
from cwz_web.imaging.errors import ImagingError
from cwz_web.imaging.findings import MAX_MESSAGE_LENGTH, Finding, FindingCode
from cwz_web.imaging.layer_base import SOURCE, Layer
from cwz_web.imaging.layers import AnyLayer, Container, RatingLayer, StackLayer, pair_masks
from cwz_web.imaging.prices import is_zero_price
from cwz_web.imaging.repeats import EntryUse, entry_values
from cwz_web.values.formats import Unclear
from cwz_web.values.numbers import read_rating


@dataclass(frozen=True)
class PlannedLayer:
    """A layer with its parsed content: a text for each of its spans, or one text; and the layers in it.

    Attributes:
        scale: how many pixels of the image correspond to one pixel of the canvas.
        is_bound: whether the layer, or one in it, has properties that depend on the row or the locale.
        decided: the names of the properties that the row or the locale decides.
        entry_use: what the layers of a repeated stack use of its entries.
        problems: the findings of properties that have their defaults in a row.
        mask: the layer that decides how far this one is shown.
    """

    layer: Layer
    bound_texts: tuple[BoundText, ...] = ()
    children: tuple["PlannedLayer", ...] = ()
    scale: int = 1
    is_bound: bool = False
    entry_use: EntryUse | None = None
    problems: tuple[Finding, ...] = ()
    mask: "PlannedLayer | None" = None
    decided: tuple[str, ...] = ()

    @classmethod
    def of(cls, layer: Layer, scale: int = 1, mask: Layer | None = None) -> "PlannedLayer":
        """Parse a scaled layer with the one that is its mask; hidden layers in a container are left out."""
        planned = plan_layers(layer.layers, scale) if isinstance(layer, Container) else ()
        planned_mask = cls.of(mask, scale) if mask else None
        decided = layer.decided()
        is_bound = bool(decided) or any(each.is_bound for each in (*planned, planned_mask) if each)
        entry_use = EntryUse.of(layer) if isinstance(layer, StackLayer) and layer.repeat else None
        return cls(layer, layer.bound_texts(), planned, scale, is_bound, entry_use, mask=planned_mask, decided=decided)

    def definitions(self) -> Iterator[Layer]:
        """Yield the layers of the document that this one consists of: itself, those in it, and masks."""
        yield self.layer
        for part in self._parts():
            yield from part.definitions()

    def fields(self) -> frozenset[str]:
        """Return the fields that the layer or its mask depends on."""
        return self.layer.fields() | (self.mask.layer.fields() if self.mask else frozenset())

    def _parts(self) -> Iterator["PlannedLayer"]:
        yield from self.children
        if self.mask:
            yield self.mask

    def for_row(self, values: Mapping[str, str]) -> "PlannedLayer":
        """Return the layer with the properties that it has in a row; likewise the layers in it.

        Those of a repeated stack get theirs with each entry.
        """
        if not self.is_bound:
            return self
        children = self.children if self.entry_use else tuple(child.for_row(values) for child in self.children)
        mask = self.mask.for_row(values) if self.mask else None
        changes, unclear = resolve_layer(self.layer, values, self.scale)
        texts = (BoundText((changes.pop(SOURCE),)),) if SOURCE in changes else self.bound_texts
        problems = tuple(
            unclear_value(self.layer, gettext_lazy("has its default %(property)s", property=name), source, reason)
            for name, (source, reason) in unclear.items()
        )
        layer = self.layer.model_copy(update=changes)
        return replace(self, layer=layer, bound_texts=texts, children=children, problems=problems, mask=mask)

    def instances(self, values: Mapping[str, str]) -> Iterator[tuple["PlannedLayer", Mapping[str, str]]]:
        """Yield the layers in a container with their values: those of the row, and of each entry of a repeated list."""
        repeat = self.layer.repeat if isinstance(self.layer, StackLayer) else None
        if repeat is None or self.entry_use is None:
            yield from ((child, values) for child in self.children)
            return
        for entry in entry_values(repeat, self.entry_use, values):
            yield from ((child.for_row(entry), entry) for child in self.children)

    def walk(self, values: Mapping[str, str]) -> Iterator[tuple["PlannedLayer", Mapping[str, str]]]:
        """Yield the layer and all layers in it that a row shows, with their values."""
        if self.is_shown(values):
            yield self, values
            for child, child_values in self.instances(values):
                yield from child.walk(child_values)
            if self.mask:
                yield from self.mask.walk(values)

    @property
    def has_static_box(self) -> bool:
        """Whether the layer is a stack whose box is the same in every image, and directly on the canvas."""
        layer = self.layer
        is_fixed = layer.sizing.width == layer.sizing.height == "fixed" and layer.show_if is None
        is_plain = not layer.rotation % 360 and layer.opacity == 1 and layer.blend == "normal" and not self.mask
        return isinstance(layer, StackLayer) and is_fixed and is_plain and not self.is_bound

    def content(self, values: Mapping[str, str]) -> str:
        """Return the content of a layer that has one text at most."""
        return self.bound_texts[0].resolve(values)[0] if self.bound_texts else ""

    def texts(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """Return the layer's content for a row."""
        return tuple(bound.resolve(values)[0] for bound in self.bound_texts)

    def resolve(self, values: Mapping[str, str]) -> tuple[tuple[str, ...], Iterable[Finding]]:
        """Return the layer's content for a row, and the values that it cannot show as its template asks."""
        resolved = [bound.resolve(values) for bound in self.bound_texts]
        unclear_findings = (
            unclear_value(
                self.layer, gettext_lazy("shows the field “%(field)s” as it is", field=field), values[field], unclear
            )
            for _, unclear_values in resolved
            for field, unclear in unclear_values
        )
        return tuple(text for text, _ in resolved), chain(unclear_findings, self._zero_prices(values))

    def _zero_prices(self, values: Mapping[str, str]) -> Iterator[Finding]:
        """Yield the prices of 0 that the layer shows. The message has no value: 0 and 0.00 are the same image."""
        for field in sorted(frozenset().union(*(bound.fields for bound in self.bound_texts))):
            if is_zero_price(field, values[field]):
                message = gettext_lazy("shows a price of 0, the value of the field “%(field)s”", field=field)
                yield Finding(FindingCode.VALUE_UNCLEAR, cut_message(message, MAX_MESSAGE_LENGTH), self.layer.name)

    def is_shown(self, values: Mapping[str, str]) -> bool:
        """Return whether the layer's condition holds for a row."""
        condition = self.layer.show_if
        return condition is None or evaluate_condition(condition, values)[0]

    def appearance(self, values: Mapping[str, str]) -> Any:
        """Return what the layer shows of a row, a container a list for its layers; None if it is hidden."""
        if not self.is_shown(values):
            return None
        shown = self._content_appearance(values)
        if self.mask:
            shown = {"content": shown, "mask": self.mask.appearance(values)}
        if not self.decided:
            return shown
        bound = self.layer.model_dump(mode="json", include=set(self.decided))
        return [shown, bound, [finding.message for finding in self.problems]]

    def _content_appearance(self, values: Mapping[str, str]) -> Any:
        if isinstance(self.layer, Container):
            return [child.appearance(child_values) for child, child_values in self.instances(values)]
        if len(self.bound_texts) > 1:
            return self.texts(values)
        content = self.content(values)
        if not isinstance(self.layer, RatingLayer):
            return content
        rating = read_rating(content, self.layer.stars)
        # The finding of a text that is no rating quotes it.
        return content if isinstance(rating, Unclear) else str(rating)

    def leaves(self) -> Iterator["PlannedLayer"]:
        """Yield the layer, or all layers in it that are no containers."""
        if not isinstance(self.layer, Container):
            yield self
        for part in self._parts():
            yield from part.leaves()

    def unclear_conditions(self, values: Mapping[str, str]) -> Iterator[Finding]:
        """Yield the values that conditions and properties of the layer, and of the layers in it, cannot use."""
        yield from self._unclear_condition(values)
        if self.problems and self.is_shown(values):
            yield from self.problems
        if self.children and self.is_shown(values):
            for child, child_values in self.instances(values):
                yield from child.unclear_conditions(child_values)
        if self.mask and self.is_shown(values):
            yield from self.mask.unclear_conditions(values)

    def _unclear_condition(self, values: Mapping[str, str]) -> Iterator[Finding]:
        """Yield the value of a row that the layer's condition cannot compare."""
        condition = self.layer.show_if
        if condition and (unclear := evaluate_condition(condition, values)[1]):
            if isinstance(condition, str):
                yield unclear_value(self.layer, gettext_lazy("is hidden because of its condition"), condition, unclear)
                return
            field = condition.field
            yield unclear_value(
                self.layer,
                gettext_lazy("is hidden because of the field “%(field)s”", field=field),
                values[field],
                unclear,
            )


def plan_layers(layers: Iterable[AnyLayer], scale: int = 1) -> tuple[PlannedLayer, ...]:
    """Parse the scaled layers of the canvas or of a container that are rendered, with their masks."""
    return tuple(PlannedLayer.of(layer, scale, mask) for layer, mask in pair_masks(layers))


def unclear_value(layer: Layer, consequence: str, value: str, unclear: Unclear) -> Finding:
    """Return the finding of a value that cannot be read with certainty, and what it causes."""
    message = gettext_lazy(
        "%(consequence)s: “%(value)s” %(reason)s",
        consequence=consequence,
        value=value[:40].replace("\x00", ""),
        reason=unclear.reason,
    )
    return Finding(FindingCode.VALUE_UNCLEAR, cut_message(message, MAX_MESSAGE_LENGTH), layer.name)


def photo_missing(layer: Layer, error: ImagingError) -> Finding:
    """Return the finding of a layer whose photo cannot be used."""
    message = gettext_lazy("has no image: %(reason)s", reason=error.clause)
    return Finding(FindingCode.PHOTO_MISSING, message, layer.name)

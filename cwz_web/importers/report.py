"""The report of an import: what was converted, what was changed, and what was left out."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from cwz_web.i18n import gettext_lazy, gettext_noop, number_lazy

# What a page can show. A JSON can have any number of unknown properties.
MAX_ENTRIES = 1000
MAX_SHOWN = 60
# Larger numbers are shown with an exponent.
MAX_WHOLE = 1e9


WITH_FIELD = {
    "text": gettext_lazy("Text with a field"),
    "image": gettext_lazy("Image with a field"),
    "code": gettext_lazy("Code with a field"),
    "rating": gettext_lazy("Rating with a field"),
}
WITHOUT_FIELD = {
    "text": gettext_lazy("Text"),
    "image": gettext_lazy("Image"),
    "code": gettext_lazy("Code"),
    "rating": gettext_lazy("Rating"),
    "shape": gettext_lazy("Shape"),
}


class Outcome(StrEnum):
    """What became of a layer or a property."""

    CONVERTED = "converted"
    CHANGED = "changed"
    LEFT_OUT = "left_out"


OUTCOME_LABELS = {
    Outcome.CONVERTED: gettext_noop("Converted"),
    Outcome.CHANGED: gettext_noop("Changed"),
    Outcome.LEFT_OUT: gettext_noop("Left out"),
}


@dataclass(frozen=True)
class ReportEntry:
    """What became of a layer or a property.

    Attributes:
        layer: the name of the layer; empty for the template or the request as a whole.
        property: the property as the other service names it; empty for the layer as a whole.
        message: what was done, as a sentence; it is translated where it is shown.
    """

    outcome: Outcome
    layer: str
    property: str
    message: str


@dataclass
class Report:
    """The entries in the order of the JSON; at most MAX_ENTRIES, and how many there are beyond."""

    entries: list[ReportEntry] = field(default_factory=list)
    omitted: int = 0

    def add(self, outcome: Outcome, message: str, layer: str = "", key: str = "") -> None:
        """Add an entry, unless there are too many."""
        if len(self.entries) < MAX_ENTRIES:
            self.entries.append(ReportEntry(outcome, layer, shown(key), message))
        else:
            self.omitted += 1

    def converted(self, message: str, layer: str = "", key: str = "") -> None:
        """Add an entry about what is the same."""
        self.add(Outcome.CONVERTED, message, layer, key)

    def changed(self, message: str, layer: str = "", key: str = "") -> None:
        """Add an entry about what differs, or has to be checked."""
        self.add(Outcome.CHANGED, message, layer, key)

    def left_out(self, message: str, layer: str = "", key: str = "") -> None:
        """Add an entry about what is missing."""
        self.add(Outcome.LEFT_OUT, message, layer, key)

    def of(self, outcome: Outcome) -> Iterator[ReportEntry]:
        """Yield the entries with an outcome."""
        return (entry for entry in self.entries if entry.outcome == outcome)


class InvalidImportError(ValueError):
    """A JSON cannot be imported; the message can be shown in a form."""


def shown(text: str) -> str:
    """Return a text of the JSON as a message can show it: in one line, and not long."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= MAX_SHOWN else f"{line[: MAX_SHOWN - 1]}…"


def converted_message(layer_type: str, *, has_field: bool) -> str:
    """Return the message about a layer that was converted."""
    return (WITH_FIELD if has_field else WITHOUT_FIELD)[layer_type]


def limit_message(value: float, limit: float) -> str:
    """Return the message about a value that is beyond a limit."""
    return gettext_lazy(
        "%(value)s is beyond the limit: it is %(limit)s now", value=_number(value), limit=_number(limit)
    )


def _number(value: float) -> str:
    return number_lazy(int(value)) if abs(value) < MAX_WHOLE and value == int(value) else f"{value:.4g}"

"""The properties of a layer of another service: each is read once, and the rest goes into the report."""

from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any, TypeVar

from cwz_web.i18n import gettext_lazy
from cwz_web.importers.css import CssShadow, is_visible, read_color, read_shadows
from cwz_web.importers.report import Report, limit_message

T = TypeVar("T")
MAX_SIDE, MAX_SHADOWS, MAX_OFFSET, MAX_BLUR = 4096, 4, 500, 100
# A font size or an offset such as "24px". Longer texts are no numbers.
MAX_NUMBER_LENGTH = 30
# Of a number that is a text.
MAX_WRITTEN = 10**15
# Of the properties of one layer that are left out.
MAX_UNKNOWN = 50


class Properties:
    """The properties of one layer, by the names of the other service. An absent one and null are the same.

    Args:
        layer: the name of the layer in the report.
        values: the properties of the JSON, of any type.
        report: gets an entry for what cannot be read, is beyond a limit, or is not read at all.
    """

    def __init__(self, layer: str, values: Mapping[str, Any], report: Report) -> None:
        self.layer, self.report = layer, report
        self._values = {name: value for name, value in values.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def changed(self, name: str, message: str) -> None:
        """Report a property that differs."""
        self.report.changed(message, self.layer, name)

    def left_out(self, name: str, message: str) -> None:
        """Report a property that is missing."""
        self.report.left_out(message, self.layer, name)

    def take(self, name: str) -> Any:
        """Return the value of a property, which counts as read; None if there is none."""
        return self._values.pop(name, None)

    def drop(self) -> None:
        """Count all properties as read: the layer as a whole is reported."""
        self._values.clear()

    def number(self, name: str, low: float, high: float) -> float | None:
        """Return a number within limits; None if there is none. A unit of px is ignored."""
        value = self.take(name)
        number = read_number(value)
        if number is None:
            self._expect_none(name, value)
            return None
        if not low <= number <= high:
            limit = low if number < low else high
            self.changed(name, limit_message(number, limit))
            return limit
        return number

    def whole(self, name: str, low: int, high: int) -> int | None:
        """Return a number within limits as a whole one."""
        number = self.number(name, low, high)
        return None if number is None else round(number)

    def text(self, name: str) -> str | None:
        """Return a text; a number or a boolean as JSON writes it."""
        value = self.take(name)
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float) and read_number(value) is not None and abs(value) < MAX_WRITTEN:
            return str(value)
        self._expect_none(name, value)
        return None

    def flag(self, name: str) -> bool:
        """Return whether a property is true; also if it is so as a text."""
        value = self.take(name)
        word = value.strip().lower() if isinstance(value, str) else value
        if word not in (None, True, False, "true", "false", ""):
            self._expect_none(name, value)
        return word is True or word == "true"

    def color(self, name: str) -> str | None:
        """Return a color as documents write it; None for none, and for one that is transparent."""
        value = self.take(name) or None
        color = read_color(value) if isinstance(value, str) else None
        if color is None:
            self._expect_none(name, value)
            return None
        return color if is_visible(color) else None

    def choice(self, name: str, choices: Mapping[str, T]) -> T | None:
        """Return what a table has for a word; None if the property is absent or not in the table."""
        value = self.take(name)
        word = value.strip().lower() if isinstance(value, str) else value
        if isinstance(word, str) and word in choices:
            return choices[word]
        self._expect_none(name, value)
        return None

    def shadows(self, name: str, default_color: str) -> list[dict[str, Any]]:
        """Return the shadows of a property of CSS as a document has them."""
        value = self.take(name)
        found = read_shadows(value, default_color) if isinstance(value, str) else None
        if found is None:
            self._expect_none(name, value)
            return []
        outer = [shadow for shadow in found if not shadow.inset]
        if len(outer) < len(found):
            self.left_out(name, gettext_lazy("Shadows inside of a layer have no equivalent"))
        if any(shadow.spread for shadow in outer):
            self.changed(name, gettext_lazy("The spread of the shadow has no equivalent"))
        if len(outer) > MAX_SHADOWS:
            self.changed(name, limit_message(len(outer), MAX_SHADOWS))
        return [self._shadow(name, shadow) for shadow in outer[:MAX_SHADOWS]]

    def report_rest(self, neutral: Collection[Any], reasons: Mapping[str, str]) -> None:
        """Report what was not read, without what has no effect.

        Args:
            neutral: the values that change nothing.
            reasons: why some properties are left out.
        """
        default = gettext_lazy("There is no equivalent")
        for number, (name, value) in enumerate(list(self._values.items())):
            if number >= MAX_UNKNOWN:
                rest = len(self._values) - number
                self.left_out("", gettext_lazy("%(count)s more properties have no equivalent", count=rest))
                return
            if is_one_of(value, neutral):
                continue
            self.left_out(name, reasons.get(name, default))

    def _shadow(self, name: str, shadow: CssShadow) -> dict[str, Any]:
        x, y = (min(max(each, -MAX_OFFSET), MAX_OFFSET) for each in (shadow.x, shadow.y))
        blur = min(max(shadow.blur / 2, 0), MAX_BLUR)
        if (x, y, blur) != (shadow.x, shadow.y, shadow.blur / 2):
            self.changed(name, gettext_lazy("The shadow is beyond the limits: its offset or its blur is smaller now"))
        return {"color": shadow.color, "x": round(x), "y": round(y), "blur": blur}

    def _expect_none(self, name: str, value: Any) -> None:
        """Report a value that could not be read, if there is one."""
        if value is not None:
            self.left_out(name, gettext_lazy("The value cannot be read"))


def read_number(value: Any) -> float | None:
    """Return a finite number, also of a text such as “24px”; None for anything else."""
    if isinstance(value, str) and len(value) <= MAX_NUMBER_LENGTH:
        value = value.strip().lower().removesuffix("px")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def is_one_of(value: Any, values: Collection[Any]) -> bool:
    """Return whether a value of JSON is one of some plain ones; words in any case."""
    word = value.strip().lower() if isinstance(value, str) else value
    return isinstance(word, str | int | float) and word in values

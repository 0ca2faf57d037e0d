"""Quantities of goods, such as 250 g or 6 x 330 ml, for prices of a kilogram or a liter."""

import re
from dataclasses import dataclass
from decimal import Decimal

from cwz_web.i18n import gettext_lazy
from cwz_web.values.formats import Unclear, format_of, with_format
from cwz_web.values.numbers import read_number
from cwz_web.values.texts import MAX_LENGTH, normalize

# By unit: the unit of its price, and how many of those it is.
_UNITS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("kg", "kilo", "kilogram", "kilograms"), ("kg", "1")),
    **dict.fromkeys(("g", "gr", "gram", "grams", "gramm"), ("kg", "0.001")),
    **dict.fromkeys(("mg",), ("kg", "0.000001")),
    **dict.fromkeys(("l", "lt", "ltr", "liter", "litre", "liters", "litres"), ("l", "1")),
    **dict.fromkeys(("dl",), ("l", "0.1")),
    **dict.fromkeys(("cl",), ("l", "0.01")),
    **dict.fromkeys(("ml", "milliliter", "millilitre"), ("l", "0.001")),
    **dict.fromkeys(("m", "meter", "metre", "meters", "metres"), ("m", "1")),
    **dict.fromkeys(("cm",), ("m", "0.01")),
    **dict.fromkeys(("mm",), ("m", "0.001")),
    **dict.fromkeys(("m²", "m2", "qm", "sqm"), ("m²", "1")),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds"), ("lb", "1")),
    **dict.fromkeys(("oz", "ounce", "ounces"), ("lb", "0.0625")),
    **dict.fromkeys(("gal", "gallon", "gallons"), ("gal", "1")),
    **dict.fromkeys(("fl oz", "floz"), ("gal", "0.0078125")),
    **dict.fromkeys(("", "piece", "pieces", "pc", "pcs", "st", "stk", "stück"), ("piece", "1")),
}
_quantity = re.compile(r"(?:(?P<count>\d{1,4}) ?[xX×] ?)?(?P<number>[\d.,' ]*\d) ?(?P<unit>[^\d\s.,'][^\d.,']*)?\.?")


@dataclass(frozen=True)
class Quantity:
    """How much of a good there is, in the unit of its price."""

    amount: Decimal
    unit: str


def read_quantity(text: str, unit: str = "") -> Quantity | Unclear:
    """Return the quantity in a text.

    Args:
        text: A number with a unit, perhaps several times (6 x 330 ml); perhaps with its format (FormattedText).
        unit: The unit of a number without one.
    """
    match = _quantity.fullmatch(normalize(text)) if len(text) <= MAX_LENGTH else None
    if match is None:
        return Unclear(gettext_lazy("is not a quantity, such as 250 g or 6 x 330 ml"))
    name = (match["unit"] or unit).strip().casefold().rstrip(".")
    if name not in _UNITS:
        return Unclear(
            gettext_lazy("has an unknown unit: “%(unit)s”. Use one such as g, kg, ml, l, m, oz or lb", unit=name[:20])
        )
    number = read_number(with_format(match["number"], format_of(text)))
    if isinstance(number, Unclear):
        return number
    if number <= 0:
        return Unclear(gettext_lazy("is not more than zero"))
    base, factor = _UNITS[name]
    return Quantity(int(match["count"] or 1) * number * Decimal(factor), base)

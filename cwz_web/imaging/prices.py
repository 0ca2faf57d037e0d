"""Prices of 0, and old prices: shown only if they are higher than the current one, wherever the values come from."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.expression_functions import ZeroPrice
from cwz_web.imaging.field_values import FieldText
from cwz_web.imaging.filters import decode_html
from cwz_web.values.formats import Unclear
from cwz_web.values.numbers import Money, Readings, read_money, read_number, scan_number

PRICE = "price"
OLD_PRICES = ("old_price", "compare_at_price")


class HiddenPrice(str):
    """An empty text in the place of an old price that is not shown.

    Attributes:
        text: The old price.
        unclear: Why it cannot be compared; None if it is not higher than the current price.
    """

    __slots__ = ("text", "unclear")

    text: str
    unclear: Unclear | None

    def __new__(cls, text: str, unclear: Unclear | None) -> "HiddenPrice":
        """Return an empty text."""
        hidden = super().__new__(cls)
        hidden.text, hidden.unclear = text, unclear
        return hidden

    def __reduce__(self) -> tuple[Any, ...]:
        return HiddenPrice, (self.text, self.unclear)


def hide_old_prices(values: Mapping[str, str]) -> dict[str, HiddenPrice]:
    """Return what takes the place of old prices that are not shown, by field.

    Args:
        values: by field; without a field for the current price nothing is hidden.
    """
    old_prices = {name: values[name] for name in OLD_PRICES if PRICE in values and values.get(name)}
    hidden: dict[str, HiddenPrice] = {}
    for name, text in old_prices.items():
        old_price = decode_html(text)
        if not old_price.strip():
            continue
        is_old_price_shown = is_higher(old_price, decode_html(values[PRICE]))
        if isinstance(is_old_price_shown, Unclear):
            hidden[name] = HiddenPrice(text, is_old_price_shown)
        elif not is_old_price_shown:
            hidden[name] = HiddenPrice(text, None)
    return hidden


def is_zero_price(field: str, text: str) -> bool:
    """Return whether a price is 0, as exports write what is not known: of a field for prices, or of type money.

    It is that of a computed field, too, if `money` has formatted it there.
    """
    value = text.value if isinstance(text, FieldText) else None
    if isinstance(value, ZeroPrice):
        return True
    is_price = field == PRICE or isinstance(value, Money)
    return is_price and read_number(decode_html(text)) == 0


def is_higher(old_price: str, price: str) -> bool | Unclear:
    """Return whether an old price is higher than the current one, or why they cannot be compared."""
    if not price.strip():
        return Unclear(gettext_lazy("cannot be compared, since there is no price"))
    old, current = read_money(old_price), read_money(price)
    if isinstance(old, Unclear) or isinstance(current, Unclear):
        amounts = _amounts_of_one_sign(old_price, price)
        if amounts is not None:
            return amounts[0] > amounts[1]
    if isinstance(old, Unclear):
        return old
    if isinstance(current, Unclear):
        return Unclear(
            gettext_lazy(
                "cannot be compared with the price “%(price)s”, which %(reason)s",
                price=price[:40],
                reason=current.reason,
            )
        )
    if old.currency and current.currency and old.currency != current.currency:
        return Unclear(
            gettext_lazy(
                "is in another currency than the price: %(currency)s, not %(expected)s",
                currency=old.currency,
                expected=current.currency,
            )
        )
    return old.amount > current.amount


def _amounts_of_one_sign(old_price: str, price: str) -> tuple[Decimal, Decimal] | None:
    """Return two amounts with the same currency sign, such as kr, which can be compared whatever it stands for."""
    readings = scan_number(old_price), scan_number(price)
    signs = [each.signs for each in readings if isinstance(each, Readings) and not each.is_percent]
    old, current = read_number(old_price), read_number(price)
    if len(signs) < 2 or signs[0] != signs[1] or not signs[0]:
        return None
    return None if isinstance(old, Unclear) or isinstance(current, Unclear) else (old, current)

"""Conditions that show or hide a layer."""

from collections.abc import Mapping

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.field_values import FieldText, result_key
from cwz_web.imaging.filters import decode_html
from cwz_web.imaging.layer_base import Condition
from cwz_web.values.formats import Unclear, format_of, with_format
from cwz_web.values.numbers import read_number


def evaluate_condition(condition: Condition | str, values: Mapping[str, str]) -> tuple[bool, Unclear | None]:
    """Return whether a condition holds for a row, and why it cannot be decided; then it does not hold.

    Args:
        condition: a condition on a field, or an expression.
        values: the row, with the results of expressions.
    """
    if isinstance(condition, str):
        return _read_result(values[result_key(condition)])
    value = decode_html(values[condition.field])
    text, expected = value.strip(), condition.value.strip()
    match condition.test:
        case "filled":
            return bool(text), None
        case "empty":
            return not text, None
        case "equal":
            return text.casefold() == expected.casefold(), None
        case "different":
            return text.casefold() != expected.casefold(), None
        case "contains":
            return expected.casefold() in text.casefold(), None
    if not text:
        return False, None
    number, limit = read_number(value), read_number(with_format(expected, format_of(value)))
    if isinstance(number, Unclear):
        return False, number
    if isinstance(limit, Unclear):
        return False, Unclear(
            gettext_lazy("is compared with “%(value)s”, which %(reason)s", value=expected[:40], reason=limit.reason)
        )
    return number > limit if condition.test == "more" else number < limit, None


def _read_result(result: str) -> tuple[bool, Unclear | None]:
    """Return whether an expression is true. An empty one, such as a comparison of an empty number, is not."""
    if not isinstance(result, FieldText) or result.unclear or result.value is None:
        return False, result.unclear if isinstance(result, FieldText) else None
    if not isinstance(result.value, bool):
        return False, Unclear(gettext_lazy("is neither true nor false, but “%(value)s”", value=result[:40]))
    return result.value, None

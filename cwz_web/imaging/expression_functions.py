"""The functions of expressions. docs/templates.md documents each with an example, which is a test.

A function that cannot read a value with certainty raises UnclearError. An empty number or date is None: functions
return None for it, so that the whole expression is empty and not half of a sentence.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal, localcontext
from typing import Any, TypeVar

import re2
from babel.dates import format_date
from babel.numbers import format_decimal

from cwz_web.i18n import gettext, gettext_lazy, number_lazy
from cwz_web.imaging import filters
from cwz_web.imaging.casing import Case, change_case
from cwz_web.imaging.lists import MAX_ENTRIES, split_list
from cwz_web.imaging.quantities import Quantity, read_quantity
from cwz_web.values.dates import read_date
from cwz_web.values.formats import DEFAULT_LOCALE, Unclear, check_currency, check_locale, format_of, with_format
from cwz_web.values.numbers import MAX_EXPONENT, Money, Readings, read_money, read_number, scan_number

MAX_TEXT_LENGTH = 10_000
MAX_PATTERN_LENGTH = 200
MAX_REPLACEMENTS = 100
# The memory of one compiled pattern, in bytes.
PATTERN_MEMORY = 1 << 18
# What the functions of one evaluation may do, in steps of about 10 nanoseconds, and what a call, a character and an
# item cost. They are counted and not timed, so that the result does not depend on how busy the machine is.
MAX_STEPS = 2_000_000
CALL_STEPS, CHARACTER_STEPS = 6000, 20
# A double has 15 certain digits. With more, 1.1 * 1.15 is 1.2649999999999999, and not rounded up.
CERTAIN_DIGITS = 15
NO_CURRENCY = gettext_lazy(
    'has no currency. Set the currency of the feed or the workspace, or name one, as in money(price, "EUR")'
)

# What a function takes and returns.
Value = str | float | bool | datetime | list[Any] | None
_T = TypeVar("_T")
_group = re.compile(r"\\([0-9])")


class UnclearError(Exception):
    """A function cannot compute its result with certainty."""

    def __init__(self, reason: str) -> None:
        self.unclear = Unclear(reason)
        super().__init__(reason)


class ZeroPrice(str):
    """A text with an amount of 0 that `money` has formatted, for the finding of a price of 0."""

    __slots__ = ()


@dataclass(frozen=True)
class EvaluationContext:
    """What an expression depends on beside the values of a row.

    Attributes:
        locale: the locale of formatted numbers and dates.
        currency: the currency of amounts that name none; "" if there is none.
        today: the current day, in UTC.
        tables: the template's tables for `translate`, by name.
    """

    locale: str = DEFAULT_LOCALE
    currency: str = ""
    today: date = date.min
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass
class Evaluation:
    """The state of one evaluation: what its functions share.

    Attributes:
        context: what it depends on beside the values.
        texts: the row's texts with their formats, which do not survive the library.
        zero_amounts: the amounts of 0 that were formatted.
        currencies: the currencies of the amounts that were used; more than one is an error.
        unclear: why a function failed.
        is_empty: whether an empty value was used.
        steps: how much the functions may still do.
    """

    context: EvaluationContext
    texts: Mapping[str, str]
    zero_amounts: set[str] = field(default_factory=set)
    currencies: set[str] = field(default_factory=set)
    unclear: Unclear | None = None
    is_empty: bool = False
    steps: int = MAX_STEPS

    def bind(self, name: str) -> Callable[..., Value]:
        """Return a function of expressions that belongs to this evaluation."""
        function = FUNCTIONS[name]

        def call(*arguments: Value) -> Value:
            try:
                return self._call(function, arguments)
            except UnclearError as error:
                self.unclear = error.unclear
                raise

        return call

    def charge(self, steps: int) -> None:
        """Count work. Raises UnclearError if it is too much."""
        self.steps -= steps
        if self.steps < 0:
            raise UnclearError(gettext_lazy("takes too long. Use shorter texts, simpler patterns or fewer functions"))

    def use_currency(self, currency: str) -> None:
        """Remember the currency of an amount. Raises UnclearError if another one was used before."""
        if currency:
            self.currencies.add(currency)
        if len(self.currencies) > 1:
            one, other, *_ = sorted(self.currencies)
            raise UnclearError(
                gettext_lazy("has amounts in two currencies: %(one)s and %(other)s", one=one, other=other)
            )

    def _call(self, function: "Function", arguments: tuple[Value, ...]) -> Value:
        self.charge(CALL_STEPS + CHARACTER_STEPS * sum(_check_size(argument) for argument in arguments))
        pairs = list(zip(function.parameters, arguments, strict=False))
        if not function.takes_empty and any(_is_empty(convert, argument) for convert, argument in pairs):
            self.is_empty = True
            return None
        computed = function.call(self, *(convert(self, argument) for convert, argument in pairs))
        result: Value = float(computed) if isinstance(computed, Decimal) else computed
        if result is None:
            self.is_empty = True
        _check_size(result)
        return result


def _check_size(value: Value) -> int:
    """Return the characters and items of a value. Raises UnclearError if they are too many."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT_LENGTH:
            raise UnclearError(
                gettext_lazy("uses a text of more than %(max)s characters", max=number_lazy(MAX_TEXT_LENGTH))
            )
        return len(value)
    if isinstance(value, list):
        if len(value) > MAX_ENTRIES or any(isinstance(item, list | dict) for item in value):
            raise UnclearError(gettext_lazy("uses a list of lists, or of more than %(max)s items", max=MAX_ENTRIES))
        return len(value) + sum(len(item) for item in value if isinstance(item, str))
    return 1


def as_text(value: Value) -> str:
    """Return a value as text. Raises UnclearError."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return format(as_decimal(value), "f")
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, list):
        return ", ".join(as_text(item) for item in value)
    raise UnclearError(gettext_lazy("is neither a text, a number, a date nor a list"))


def as_decimal(value: float) -> Decimal:
    """Return a number without the digits that a double does not have. Raises UnclearError if it is not finite."""
    if not math.isfinite(value):
        raise UnclearError(gettext_lazy("is not a number: perhaps it divides by zero"))
    number = Decimal(f"{value:.{CERTAIN_DIGITS}g}")
    if not number:
        return Decimal(0)  # -0.0 has no sign as text
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise UnclearError(gettext_lazy("is too large or too small for a number"))
    return number.to_integral() if number == number.to_integral() else number.normalize()


# Conversions of arguments.


def _any(_: Evaluation, value: Value) -> Value:
    return value


def _text(_: Evaluation, value: Value) -> str:
    return as_text(value)


def _original(evaluation: Evaluation, value: Value) -> Value:
    """Return a text with the format that it has in the row."""
    return evaluation.texts.get(value, value) if isinstance(value, str) else value


def _number(evaluation: Evaluation, value: Value) -> Decimal:
    if isinstance(value, str):
        text = evaluation.texts.get(value, value)
        money = read_money(text, hint=evaluation.context.locale)
        if isinstance(money, Unclear):
            return _certain(text, read_number(text))
        readings = scan_number(text)
        if isinstance(readings, Readings) and readings.signs:
            evaluation.use_currency(money.currency)
        return money.amount
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnclearError(gettext_lazy("needs a number where it has none"))
    return as_decimal(value)


def _whole(evaluation: Evaluation, value: Value) -> int:
    return int(_number(evaluation, value))


def _date(evaluation: Evaluation, value: Value) -> date:
    if isinstance(value, str):
        text = evaluation.texts.get(value, value)
        return _certain(text, read_date(text, evaluation.context.locale))
    if not isinstance(value, datetime):
        raise UnclearError(gettext_lazy("needs a date where it has none"))
    return value.date()


def _list(evaluation: Evaluation, value: Value) -> list[str]:
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return _read_list(as_text(_original(evaluation, value)))


def _is_empty(convert: Callable[..., Any], argument: Value) -> bool:
    """Return whether an argument has no value: an empty text has none for a number or a date."""
    is_blank = isinstance(argument, str) and not argument.strip()
    return argument is None or (is_blank and convert in (_number, _date))


def _checked(check: Callable[[str], str]) -> Callable[[Evaluation, Value], str]:
    """Return the conversion of a text that must be a code, such as one of a locale."""

    def convert(_: Evaluation, value: Value) -> str:
        try:
            return check(as_text(value))
        except ValueError as error:
            raise UnclearError(gettext_lazy("has a wrong argument: %(error)s", error=str(error))) from None

    return convert


def _certain(text: str, value: _T | Unclear) -> _T:
    """Return what a text was read as. Raises UnclearError if it is not certain."""
    if isinstance(value, Unclear):
        raise UnclearError(gettext_lazy("reads “%(text)s”, which %(reason)s", text=text[:40], reason=value.reason))
    return value


# The functions. An argument of None was not passed.


def money(evaluation: Evaluation, amount: Value, currency: str = "", locale: str = "") -> str | None:
    """Format an amount of money, in the currency of the value unless another one is asked for."""
    context = evaluation.context
    locale = locale or context.locale
    if isinstance(amount, str):
        if not amount.strip():
            return None
        text = evaluation.texts.get(amount, amount)
        value = _certain(text, read_money(text, currency, locale))
    else:
        value = Money(_number(evaluation, amount), next(iter(evaluation.currencies), ""))
        if currency and value.currency not in ("", currency):
            raise UnclearError(
                gettext_lazy(
                    "has an amount in another currency: %(currency)s, not %(expected)s",
                    currency=value.currency,
                    expected=currency,
                )
            )
    code = currency or value.currency or context.currency
    if not code:
        raise UnclearError(NO_CURRENCY)
    text = _certain(as_text(amount), filters.show_money(Money(value.amount, code), locale))
    if not value.amount:
        evaluation.zero_amounts.add(text)
    return text


def number(evaluation: Evaluation, value: Value, locale: str = "") -> str | None:
    """Format a number."""
    if value == "":
        return None
    with localcontext(prec=filters.DIGITS):
        return format_decimal(_number(evaluation, value), locale=locale or evaluation.context.locale)


def show_date(evaluation: Evaluation, value: Value, style: str = "medium", locale: str = "") -> str | None:
    """Format a date."""
    if value == "":
        return None
    return format_date(_date(evaluation, value), style, locale=locale or evaluation.context.locale)


def amount(evaluation: Evaluation, value: Value) -> Decimal | None:
    """Read the number in a text."""
    return None if isinstance(value, str) and not value.strip() else _number(evaluation, value)


def percent_off(_: Evaluation, old: Decimal, new: Decimal) -> Decimal | None:
    """Return the discount in whole percent, rounded down; None if there is none."""
    if not 0 <= new < old:
        return None
    percent = ((old - new) * 100 / old).to_integral(ROUND_FLOOR)
    return percent or None


def round_to(_: Evaluation, value: Decimal, step: Decimal) -> Decimal:
    """Round a number to a multiple of another one, half a step away from zero."""
    if step <= 0:
        raise UnclearError(gettext_lazy("rounds to a step that is not more than zero"))
    with localcontext(prec=filters.DIGITS):
        return (value / step).quantize(Decimal(1), ROUND_HALF_UP) * step


def unit_price(evaluation: Evaluation, price: Decimal, quantity: Value, unit: str = "") -> Decimal:
    """Return the price of a kilogram, a liter or another base unit."""
    return price / _quantity(evaluation, quantity, unit).amount


def base_unit(evaluation: Evaluation, quantity: Value, unit: str = "") -> str:
    """Return the unit of a unit price."""
    return _quantity(evaluation, quantity, unit).unit


def _quantity(evaluation: Evaluation, value: Value, unit: str) -> Quantity:
    text = evaluation.texts.get(value, value) if isinstance(value, str) else as_text(value)
    return _certain(text, read_quantity(text, unit))


def split(evaluation: Evaluation, text: Value, separator: str = "") -> list[str]:
    """Return the items of a text."""
    return _read_list(as_text(_original(evaluation, text)), separator)


def _read_list(text: str, separator: str = "") -> list[str]:
    """Return the items of a text, each with the format of the text."""
    items = [item.strip() for item in text.split(separator)] if separator else split_list(text)
    formatted: list[str] = [with_format(item, format_of(text)) for item in items[:MAX_ENTRIES] if item]
    return formatted


def item(evaluation: Evaluation, values: Value, position: int) -> str:
    """Return an item, counted from 1; nothing if there are fewer."""
    if position < 1:
        raise UnclearError(gettext_lazy("needs the number of an item from 1"))
    return next(iter(_list(evaluation, values)[position - 1 : position]), "")


def first(evaluation: Evaluation, values: Value) -> str:
    """Return the first item; nothing if there is none."""
    return item(evaluation, values, 1)


def join(_: Evaluation, values: list[str], separator: str = ", ") -> str:
    """Return the items in one text."""
    return separator.join(values)


def _case(case: Case) -> Callable[[Evaluation, str], str]:
    """Return the function that changes the case of a text, by the language of the locale."""

    def change(evaluation: Evaluation, text: str) -> str:
        return change_case(text, case, evaluation.context.locale.partition("_")[0])

    return change


def truncate(_: Evaluation, text: str, length: int) -> str:
    """Shorten a text between words."""
    return filters.truncate(text, length)


def strip_html(_: Evaluation, text: str) -> str:
    """Return the text of an HTML fragment."""
    return filters.strip_html(text)


def default(evaluation: Evaluation, value: Value, other: Value) -> Value:
    """Return another value if one is empty."""
    return other if empty(evaluation, value) else value


def match(evaluation: Evaluation, text: str, pattern: str) -> str:
    """Return the first part of a text that matches a pattern: its first group, or all of it."""
    expression = _compile(evaluation, pattern, text)
    found = expression.search(text)
    return (found[1 if expression.groups else 0] or "") if found else ""


def has_match(evaluation: Evaluation, text: str, pattern: str) -> bool:
    """Return whether a part of a text matches a pattern."""
    return _compile(evaluation, pattern, text).search(text) is not None


def replace(evaluation: Evaluation, text: str, pattern: str, replacement: str) -> str:
    r"""Replace all parts of a text that match a pattern; \1 in the replacement is the first group."""
    expression = _compile(evaluation, pattern, text)
    parts: list[str] = []
    end = length = 0
    for found in expression.finditer(text):
        if len(parts) >= 2 * MAX_REPLACEMENTS:
            raise UnclearError(gettext_lazy("replaces more than %(max)s parts of a text", max=MAX_REPLACEMENTS))
        parts += [text[end : found.start()], _expand(replacement, found, expression.groups)]
        end = found.end()
        length += len(parts[-1])
        # The search for the next part can read the whole rest of the text.
        evaluation.charge(expression.programsize * (len(text) - end))
        if length > MAX_TEXT_LENGTH:
            raise UnclearError(
                gettext_lazy("makes a text of more than %(max)s characters", max=number_lazy(MAX_TEXT_LENGTH))
            )
    return "".join([*parts, text[end:]])


def _expand(replacement: str, found: Any, groups: int) -> str:
    return _group.sub(lambda group: (found[int(group[1])] or "") if int(group[1]) <= groups else "", replacement)


def _compile(evaluation: Evaluation, pattern: str, text: str) -> Any:
    """Compile a pattern for RE2, which matches in linear time. Raises UnclearError."""
    # re2.compile keeps the last patterns, as Python's re does.
    try:
        expression = compile_pattern(pattern)
    except ValueError as error:
        raise UnclearError(gettext_lazy("has a wrong argument: %(error)s", error=str(error))) from None
    evaluation.charge(expression.programsize * (len(text) + 100))
    return expression


def compile_pattern(pattern: str) -> Any:
    """Compile a pattern for RE2. Raises ValueError, which says what is wrong."""
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise ValueError(gettext("a pattern has more than %(max)s characters", max=MAX_PATTERN_LENGTH))
    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(
            gettext("“%(pattern)s” is not a pattern that RE2 accepts: %(reason)s", pattern=pattern[:40], reason=reason)
        ) from None


def days_until(evaluation: Evaluation, day: date, today: date | None = None) -> Decimal:
    """Return the days from today to a date; a past date has negative ones."""
    return Decimal((day - (today or evaluation.context.today)).days)


def length(_: Evaluation, value: Value) -> Decimal:
    """Return how many characters a text, or items a list, has."""
    return Decimal(len(value if isinstance(value, list) else as_text(value)))


def empty(_: Evaluation, value: Value) -> bool:
    """Return whether a value is missing: an empty text or list, or no number or date."""
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def filled(evaluation: Evaluation, value: Value) -> bool:
    """Return whether there is a value."""
    return not empty(evaluation, value)


def same(_: Evaluation, one: str, other: str) -> bool:
    """Return whether two texts are equal, whatever their case."""
    return one.strip().casefold() == other.strip().casefold()


def has_text(_: Evaluation, text: str, part: str) -> bool:
    """Return whether a text contains another one, whatever their case."""
    return part.strip().casefold() in text.casefold()


def translate(evaluation: Evaluation, text: str, table: str) -> str:
    """Return the entry of a text in a table of the template; the text itself if there is none."""
    entries = evaluation.context.tables.get(table)
    if entries is None:
        raise UnclearError(gettext_lazy("uses an unknown table: “%(table)s”", table=table[:40]))
    return entries.get(text.strip(), text)


def text(_: Evaluation, value: str) -> str:
    """Return a value as text: a number without trailing zeros, a date in ISO 8601."""
    return value


@dataclass(frozen=True)
class Function:
    """A function of expressions.

    Attributes:
        call: computes the result.
        parameters: the conversions of its arguments.
        required: how many arguments it needs.
        example: how it is used, for error messages.
        checks: what is wrong with an argument that does not depend on the row, by its position.
        takes_empty: whether an empty number or date is a value for it; otherwise its result is empty, too.
    """

    call: Callable[..., Any]
    parameters: tuple[Callable[[Evaluation, Value], Any], ...]
    required: int
    example: str
    checks: Mapping[int, Callable[[str], object]] = field(default_factory=dict)
    takes_empty: bool = False


def _check_code(code: str) -> str:
    return check_currency(code) if code else ""


_currency, _locale, _style = _checked(_check_code), _checked(check_locale), _checked(filters.check_style)
_pattern_check = {1: compile_pattern}
FUNCTIONS: dict[str, Function] = {
    "money": Function(money, (_any, _currency, _locale), 1, 'money(price, "EUR")', {1: _check_code, 2: check_locale}),
    "number": Function(number, (_any, _locale), 1, 'number(stock, "de")', {1: check_locale}),
    "date": Function(
        show_date, (_any, _style, _locale), 1, 'date(end, "long")', {1: filters.check_style, 2: check_locale}
    ),
    "amount": Function(amount, (_any,), 1, "amount(price)"),
    "percent_off": Function(percent_off, (_number, _number), 2, "percent_off(old_price, price)"),
    "round_to": Function(round_to, (_number, _number), 2, "round_to(price, 0.05)"),
    "unit_price": Function(unit_price, (_number, _any, _text), 2, 'unit_price(price, "250 g")'),
    "base_unit": Function(base_unit, (_any, _text), 1, 'base_unit("250 g")'),
    "days_until": Function(days_until, (_date, _date), 1, "days_until(end)"),
    "upper": Function(_case("upper"), (_text,), 1, "upper(brand)"),
    "lower": Function(_case("lower"), (_text,), 1, "lower(brand)"),
    "title": Function(_case("title"), (_text,), 1, "title(brand)"),
    "truncate": Function(truncate, (_text, _whole), 2, "truncate(name, 40)"),
    "strip_html": Function(strip_html, (_text,), 1, "strip_html(description)"),
    "match": Function(match, (_text, _text), 2, r'match(name, r"(\d+) ml")', _pattern_check),
    "has_match": Function(has_match, (_text, _text), 2, r'matches(name, r"\d+ ml")', _pattern_check),
    "replace": Function(replace, (_text, _text, _text), 3, r'replace(name, r"\s+", " ")', _pattern_check),
    "split": Function(split, (_any, _text), 1, 'split(tags, ",")'),
    "item": Function(item, (_any, _whole), 2, "item(photos, 2)"),
    "first": Function(first, (_any,), 1, "first(photos)"),
    "join": Function(join, (_list, _text), 1, 'join(tags, ", ")'),
    "text": Function(text, (_text,), 1, "string(stock)"),
    "length": Function(length, (_any,), 1, "length(name)", takes_empty=True),
    "default": Function(default, (_any, _any), 2, 'default(brand, "none")', takes_empty=True),
    "filled": Function(filled, (_any,), 1, "filled(price)", takes_empty=True),
    "empty": Function(empty, (_any,), 1, "empty(price)", takes_empty=True),
    "same": Function(same, (_text, _text), 2, 'same(color, "red")', takes_empty=True),
    "has_text": Function(has_text, (_text, _text), 2, 'has_text(name, "new")', takes_empty=True),
    "translate": Function(translate, (_text, _text), 2, 'translate(color, "colors")'),
}

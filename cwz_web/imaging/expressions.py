"""Expressions in the Common Expression Language (CEL): conditions, computed fields and bound properties of templates.

Three deviations from the specification are documented in docs/templates.md: numbers are doubles, an operator on an
empty value makes the whole expression empty, and `string`, `size` and `matches` are functions of ours.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cwz_web.i18n import gettext, gettext_lazy, gettext_noop, number_lazy
from cwz_web.imaging.expression_functions import (
    FUNCTIONS,
    Evaluation,
    EvaluationContext,
    Function,
    UnclearError,
    Value,
    ZeroPrice,
    as_decimal,
    as_text,
)
from cwz_web.imaging.expression_syntax import MAX_LIST_ITEMS, Call, ExpressionError, Syntax, Token, read_syntax
from cwz_web.imaging.photo_facts import field_of, unknown_part
from cwz_web.values.formats import FormattedText, Unclear, format_of
from cwz_web.values.numbers import Money

if TYPE_CHECKING:
    from cel import Program

# The texts that an expression may use, in bytes together: with macros each may be copied for each item.
MAX_INPUT, MAX_INPUT_WITH_MACROS = 50_000, 10_000
MAX_RESULT = 10_000
# How many compiled expressions are kept: compiling takes ten times as long as evaluating, and a document asks for each
# of its expressions many times.
PARSED = 512

# A value of a row. None is an empty number, amount or date.
FieldValue = str | float | Decimal | Money | bool | date | Sequence[str] | None

# Functions of CEL that the library computes as its specification says, in linear time.
_NATIVE = {"contains": 2, "endsWith": 2, "startsWith": 2, "timestamp": 1, "duration": 1}
# What the library calls its operators, and what its macros consist of.
_OPERATORS = frozenset(
    ["!_", "-_", "@in", "_!=_", "_&&_", "_*_", "_+_", "_-_", "_/_", "_<=_", "_<_", "_==_", "_>=_", "_>_", "_?_:_"]
) | {"_[_]", "_||_", "@not_strictly_false"}
_HINTS = {
    "int": "round_to(x, 1)",
    "uint": "round_to(x, 1)",
    "double": "amount(x)",
    "has": "filled(x)",
    "currency": "money(x)",
    "lookup": "translate(x, table)",
}
# Syntax errors; those at the operators of other languages say what to use.
_SYNTAX_ERRORS = {
    "and": gettext_noop("The expression has a syntax error at “%(text)s” (character %(position)s). Use &&"),
    "or": gettext_noop("The expression has a syntax error at “%(text)s” (character %(position)s). Use ||"),
    "not": gettext_noop("The expression has a syntax error at “%(text)s” (character %(position)s). Use ! for “not”"),
    "": gettext_noop("The expression has a syntax error at “%(text)s” (character %(position)s)"),
}
_position = re.compile(r"<input>:(\d+):(\d+):")
_surrogate = re.compile("[\ud800-\udfff]")
_ERRORS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Expression:
    """A compiled expression. Safe for several threads.

    Attributes:
        source: its text.
        fields: the fields that it depends on.
    """

    source: str
    fields: frozenset[str]
    _syntax: Syntax
    _program: "Program"

    @property
    def photo_parts(self) -> frozenset[str]:
        """The parts of photos that it depends on, such as photo.width."""
        return self._syntax.photo_parts

    @property
    def photos(self) -> frozenset[str]:
        """The fields with these photos."""
        return self._syntax.photos

    @property
    def comparisons(self) -> frozenset[tuple[str, str, str]]:
        """The fields and parts that are compared with a literal by == or !=, with its kind and its text.

        The kind is number or string.
        """
        known = self.fields | self.photo_parts
        return frozenset(
            (name, literal.kind, _literal(literal) if literal.kind == "string" else literal.text)
            for name, literal in self._syntax.comparisons
            if name in known
        )

    @property
    def tables(self) -> frozenset[str]:
        """The names of the tables that `translate` looks texts up in, where the row does not decide about them."""
        calls = (call for call in self._syntax.calls if call.name == "translate")
        arguments = (call.arguments[-1] for call in calls)
        return frozenset(_literal(argument[0]) for argument in arguments if _is_text(argument))

    def evaluate(
        self,
        values: Mapping[str, FieldValue],
        context: EvaluationContext,
    ) -> Value | Unclear:
        """Return the value of the expression for a row.

        Args:
            values: the row, which has every field of the expression, and the parts of its photos, such as photo.width.
                A text may have its format (FormattedText).
            context: what the result depends on beside the row.

        Returns:
            A text, a finite number, a boolean, a date (midnight in UTC) or a list of texts; None if it is empty; or the
            reason why it is not certain, which continues a sentence that begins with the expression. A text with an
            amount of 0 that `money` has formatted is a ZeroPrice.
        """
        used = {name: values[name] for name in self.fields}
        used |= {part: values.get(part, unknown_part(part)) for part in self.photo_parts}
        problem = self._check_inputs(used)
        if problem:
            return problem
        evaluation = _start(used, context)
        try:
            for value in used.values():
                if isinstance(value, Money):
                    evaluation.use_currency(value.currency)
            result = self._execute(used, evaluation)
            # An error of a function can be left out by && and ||, but not that there was too much to do.
            evaluation.charge(0)
            return _mark_zero_price(_check_result(result), evaluation, used)
        except UnclearError as error:
            return error.unclear

    def _check_inputs(self, used: Mapping[str, FieldValue]) -> Unclear | None:
        limit = MAX_INPUT_WITH_MACROS if self._syntax.has_macros else MAX_INPUT
        if sum(map(_bytes, used.values())) > limit:
            return Unclear(gettext_lazy("uses texts of more than %(max)s bytes", max=number_lazy(limit)))
        for name in sorted(self._syntax.repeated_names & used.keys()):
            if isinstance(used[name], list | tuple):
                return Unclear(
                    gettext_lazy(
                        "uses the list “%(name)s” inside of a macro, where it can only stand behind “in”", name=name
                    )
                )
        return None

    def _execute(self, used: Mapping[str, FieldValue], evaluation: Evaluation) -> Any:
        import cel  # imports a command line, which takes longer than the rest of the engine

        functions: dict[str, Callable[..., Any]] = {
            call.name: evaluation.bind(call.name) for call in self._syntax.calls if call.name in FUNCTIONS
        }
        own = {name: variable for variable, name in self._syntax.variables.items()}
        variables = {own.get(name, name): _to_library(value) for name, value in used.items()}
        try:
            return self._program.execute(cel.Context(variables, functions))
        except _ERRORS as error:
            if isinstance(error, RuntimeError) and evaluation.unclear:
                raise UnclearError(evaluation.unclear.reason) from None
            if isinstance(error, TypeError) and (evaluation.is_empty or None in used.values()):
                return None
            raise UnclearError(_explain(error)) from None


@lru_cache(PARSED)
def parse_expression(source: str) -> Expression:
    """Compile an expression. Raises ExpressionError, which says what is wrong and where."""
    syntax = read_syntax(source)
    for call in syntax.calls:
        _check_call(call)
    _compile(source)  # for the positions of syntax errors, which the translation changes
    program = _compile(syntax.translation)
    references = program.references()
    unknown = set(references["functions"]) - _OPERATORS - FUNCTIONS.keys() - _NATIVE.keys()
    if unknown:
        raise ExpressionError(gettext("“%(name)s” is not available in expressions", name=min(unknown)))
    names = (syntax.variables.get(name, name) for name in references["variables"])
    fields = (field_of(name) if name in syntax.photo_parts else name for name in names)
    return Expression(source, frozenset(fields) - syntax.macro_names, syntax, program)


def _compile(source: str) -> "Program":
    import cel  # see above

    # The library logs each error of a function, with values of the row. They are findings already.
    logging.getLogger("cel").setLevel(logging.ERROR)
    try:
        return cel.compile(source)
    except ValueError as error:
        raise ExpressionError(_explain_syntax_error(source, str(error))) from None


def _explain_syntax_error(source: str, message: str) -> str:
    """Return what is wrong with an expression; the library's own message lists all signs that could follow."""
    line, column = next(((int(line), int(column)) for line, column in _position.findall(message)), (1, len(source) + 1))
    lines = source.split("\n")
    position = sum(len(each) + 1 for each in lines[: line - 1]) + column - 1
    if position >= len(source.rstrip()):
        return gettext("The expression is not complete")
    word = source[position:].split()[0].lower()
    if source[:position].split()[-1:] == ["not"]:
        word = "not"
    error = _SYNTAX_ERRORS.get(word, _SYNTAX_ERRORS[""])
    return gettext(error, text=source[position : position + 20], position=position + 1)


def _check_call(call: Call) -> None:
    """Check the name and the number of arguments of a call, and the arguments that are the same for each row."""
    named = {"name": call.name, "position": call.position}
    if call.name in _NATIVE:
        if call.count != _NATIVE[call.name]:
            raise ExpressionError(
                gettext("%(name)s takes another number of arguments (character %(position)s)", **named)
            )
        return
    if call.name not in FUNCTIONS:
        raise ExpressionError(
            gettext(
                "“%(name)s” is not a function (character %(position)s). Use %(hint)s", hint=_HINTS[call.name], **named
            )
            if call.name in _HINTS
            else gettext(
                "“%(name)s” is not a function (character %(position)s). Use one of: %(names)s",
                names=", ".join(sorted(FUNCTIONS)),
                **named,
            )
        )
    function = FUNCTIONS[call.name]
    if not function.required <= call.count <= len(function.parameters):
        raise ExpressionError(
            gettext(
                "%(name)s takes other arguments (character %(position)s), as in %(example)s",
                example=function.example,
                **named,
            )
        )
    for position, argument in enumerate(call.arguments, start=int(call.has_target)):
        _check_argument(call, function, position, argument)


def _check_argument(call: Call, function: Function, position: int, argument: tuple[Token, ...]) -> None:
    if position not in function.checks or not _is_text(argument):
        return
    try:
        function.checks[position](_literal(argument[0]))
    except ValueError as error:
        raise ExpressionError(
            gettext(
                "%(name)s has a wrong argument (character %(position)s): %(error)s",
                name=call.name,
                position=call.position,
                error=error,
            )
        ) from None


def _is_text(argument: tuple[Token, ...]) -> bool:
    """Return whether an argument is a text that is the same for each row."""
    return [token.kind for token in argument] == ["string"]


def _literal(token: Token) -> str:
    """Return the text of a literal, without its quotes and escapes."""
    return str(_compile(token.text).execute())


def _start(used: Mapping[str, FieldValue], context: EvaluationContext) -> Evaluation:
    """Return the state of a new evaluation, with the formats of texts, which the library does not keep."""
    texts: dict[str, str] = {}
    unclear: set[str] = set()
    for text in _texts(used.values()):
        known = texts.setdefault(str(text), text)
        if format_of(known) != format_of(text) or type(known) is not type(text):
            unclear.add(str(text))
    # One text in two formats has none: it is not known which field a function got.
    texts = {key: text for key, text in texts.items() if key not in unclear and isinstance(text, FormattedText)}
    currencies = {format_of(text).currency for text in texts.values()} - {None}
    if len(currencies) == 1:
        context = replace(context, currency=currencies.pop() or context.currency)
    return Evaluation(context, texts)


def _texts(values: Iterable[FieldValue]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | tuple):
            yield from value


def _bytes(value: FieldValue) -> int:
    """Return the length of a text, or of the texts in a list, in UTF-8."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode(errors="replace"))
    return sum(map(_bytes, value)) if isinstance(value, list | tuple) else 0


def _to_library(value: FieldValue) -> object:
    if isinstance(value, Money):
        return float(value.amount)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, str):
        return _without_surrogates(value)
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value[:MAX_LIST_ITEMS]]
    return value


def _without_surrogates(text: str) -> str:
    """Return a text that UTF-8 can encode: a lone surrogate is no character."""
    return _surrogate.sub("\ufffd", text)


def _check_result(value: object) -> Value:
    """Return the result of an evaluation. Raises UnclearError if it is too long, or no value of a field."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        as_decimal(value)
        return float(value)
    if isinstance(value, list):
        if len(value) > MAX_LIST_ITEMS:
            raise UnclearError(gettext_lazy("makes a list of more than %(max)s items", max=MAX_LIST_ITEMS))
        texts = [as_text(item) for item in value if not isinstance(item, list)]
        if len(texts) < len(value):
            raise UnclearError(gettext_lazy("makes a list of lists"))
        return _check_length(texts)
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise UnclearError(gettext_lazy("is neither a text, a number, a date nor a list"))
    return _check_length([value])[0]


def _mark_zero_price(result: Value, evaluation: Evaluation, used: Mapping[str, FieldValue]) -> Value:
    """Return a result, a text with an amount of 0 as a ZeroPrice."""
    if not isinstance(result, str):
        return result
    zeros = {*evaluation.zero_amounts, *(value for value in used.values() if isinstance(value, ZeroPrice))}
    return ZeroPrice(result) if any(zero in result for zero in zeros) else result


def _check_length(texts: list[str]) -> list[str]:
    if sum(map(len, texts)) > MAX_RESULT:
        raise UnclearError(gettext_lazy("makes a text of more than %(max)s characters", max=number_lazy(MAX_RESULT)))
    return texts


def _explain(error: Exception) -> str:
    """Say why an evaluation failed."""
    match error:
        case KeyError():
            return gettext_lazy("has no entry for “%(key)s”", key=str(error.args[0])[:40])
        case IndexError():
            return gettext_lazy("has no item at this position. Use item(list, number)")
        case TypeError():
            return gettext_lazy(
                "combines values of different types. Convert a text with amount(…), a number with string(…)"
            )
        case ArithmeticError():
            return gettext_lazy("computes with a number that is too large, or divides by zero")
    return gettext_lazy("calls a function with a value that it does not take")

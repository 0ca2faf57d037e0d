"""Which rules take a row.

Rows of a feed share values: a brand is compared once, and not for each of its products. So the verdict of each part of
a condition is kept for the values that it depends on, in a bounded dictionary, and only new values are evaluated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from cwz_web.campaigns.row_fields import RowField, Source, load_cell
from cwz_web.campaigns.rules import DesignRule
from cwz_web.i18n import gettext
from cwz_web.imaging.condition_builder import parse_condition
from cwz_web.imaging.expression_functions import EvaluationContext
from cwz_web.imaging.expression_syntax import ExpressionError, split_operands
from cwz_web.imaging.expressions import Expression, FieldValue, parse_expression
from cwz_web.imaging.filters import decode_html
from cwz_web.values.formats import Unclear

# How many verdicts of a rule are kept.
MAX_KEPT = 100_000
# Longer texts are left to CEL, which limits them.
MAX_TESTED = 2000

Verdict = bool | Unclear


class InvalidConditionError(ValueError):
    """The condition of a rule cannot be evaluated for the rows of its feed.

    Attributes:
        rule: the number of the rule.
    """

    def __init__(self, rule: DesignRule, reason: str) -> None:
        self.rule = rule.number
        super().__init__(reason)


@dataclass(frozen=True)
class RowMatch:
    """The designs that rules give a row, best first, and why rules could not be decided, by their numbers.

    What follows the first design without a window never counts and is left out.
    """

    designs: tuple[int, ...]
    unclear: Mapping[int, Unclear]


class RowMatcher:
    """Finds the designs of rows.

    Args:
        rules: the rules, in their order.
        fields: what they can compare, by name.
        context: what expressions depend on beside the row.
        today: the day in the campaign's time zone.

    Raises:
        InvalidConditionError: a condition is not an expression, or uses what the feed does not have.
    """

    def __init__(
        self, rules: Sequence[DesignRule], fields: Mapping[str, RowField], context: EvaluationContext, today: date
    ) -> None:
        enabled = [rule for rule in rules if rule.is_enabled]
        compiled = [(rule, compile_condition(rule, fields)) for rule in enabled]
        used = dict.fromkeys(name for _, expression in compiled if expression for name in sorted(expression.fields))
        self.sources = list(dict.fromkeys(source for name in used for source in fields[name].sources))
        self._rules = [
            _CompiledRule(rule, expression, fields, self.sources, context, today) for rule, expression in compiled
        ]
        self.is_of_time = any(fields[name].is_of_time for name in used) or any(
            "days_until" in rule.condition for rule in enabled
        )

    def match(self, key: str, values: Sequence[str | None]) -> RowMatch:
        """Return the designs of a row.

        Args:
            key: the key of the row, which divides it among the designs of a rule.
            values: those of `sources`, as JSON.
        """
        designs: list[int] = []
        unclear: dict[int, Unclear] = {}
        for rule in self._rules:
            verdict = rule.verdict(values)
            if verdict is True:
                designs.append(rule.rule.design_of(key).number)
                if rule.rule.window is None:
                    break
            elif isinstance(verdict, Unclear):
                unclear[rule.rule.number] = verdict
        return RowMatch(tuple(designs), unclear)

    def explain(self, values: Sequence[str | None]) -> dict[int, Verdict]:
        """Return the verdict of each rule about a row, by its number, whether an earlier one takes it or not."""
        return {rule.rule.number: rule.verdict(values) for rule in self._rules}


class _CompiledRule:
    """A rule with its condition, which is evaluated in parts that depend on fewer values than the whole does."""

    def __init__(
        self,
        rule: DesignRule,
        expression: Expression | None,
        fields: Mapping[str, RowField],
        sources: Sequence[Source],
        context: EvaluationContext,
        today: date,
    ) -> None:
        def compiled(source: str) -> _CompiledPart:
            return _CompiledPart(source, fields, sources, context, today)

        self.rule = rule
        self._whole = compiled(expression.source) if expression else None
        parts = split_operands(expression.source, "&&") if expression else []
        self._parts = [compiled(part) for part in parts] if len(parts) > 1 else []

    def verdict(self, values: Sequence[str | None]) -> Verdict:
        if self._whole is None:
            return True
        for part in self._parts:
            verdict = part.verdict(values)
            if verdict is False:
                return False
            if verdict is not True:
                break  # what an empty or unclear part does to the others is decided by CEL
        else:
            if self._parts:
                return True
        return self._whole.verdict(values) or False


class _CompiledPart:
    """An expression whose verdicts are kept by the values that it depends on; None if it is empty."""

    def __init__(
        self,
        source: str,
        fields: Mapping[str, RowField],
        sources: Sequence[Source],
        context: EvaluationContext,
        today: date,
    ) -> None:
        self._expression, self._context, self._today = parse_expression(source), context, today
        used = [fields[name] for name in sorted(self._expression.fields)]
        places = {source: place for place, source in enumerate(sources)}
        self._fields = [(field, [places[source] for source in field.sources]) for field in used]
        self._places = sorted({place for _, own in self._fields for place in own})
        self._test = _text_test(source, used)
        self._kept: dict[str | tuple[str | None, ...] | None, Verdict | None] = {}

    def verdict(self, values: Sequence[str | None]) -> Verdict | None:
        places = self._places
        key = values[places[0]] if len(places) == 1 else tuple([values[place] for place in places])
        try:
            return self._kept[key]
        except KeyError:
            pass
        if self._test and len(text := decode_html(load_cell(values[places[0]]))) <= MAX_TESTED:
            verdict: Verdict | None = self._test(text)
        else:
            verdict = self._evaluate(values)
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[key] = verdict
        return verdict

    def _evaluate(self, values: Sequence[str | None]) -> Verdict | None:
        known: dict[str, FieldValue] = {}
        for field, places in self._fields:
            value = field.read([values[place] for place in places], self._today)
            if isinstance(value, Unclear):
                return Unclear(gettext("has “%(field)s”, which %(reason)s", field=field.label, reason=value.reason))
            known[field.name] = value
        result = self._expression.evaluate(known, self._context)
        if isinstance(result, Unclear):
            condition = self._expression.source.strip()
            return Unclear(
                gettext(
                    "has the condition “%(condition)s”, which %(reason)s", condition=condition, reason=result.reason
                )
            )
        if result is not None and not isinstance(result, bool):
            return Unclear(gettext("has a condition that is neither true nor false"))
        return result


def _text_test(source: str, fields: Sequence[RowField]) -> Callable[[str], bool] | None:
    """Return a test of a text that gives the same as an expression; None for other expressions.

    Texts such as titles differ in each row, and evaluating CEL takes 30 times as long.
    """
    if len(fields) != 1 or fields[0].type != "text":
        return None
    tree = parse_condition(source, {fields[0].name: "text"})
    if tree is None or len(tree.groups) != 1 or len(tree.groups[0].rows) != 1:
        return None
    row = tree.groups[0].rows[0]
    expected, folded = row.value, row.value.strip().casefold()
    tests: dict[str, Callable[[str], bool]] = {
        "equal": lambda text: text.strip().casefold() == folded,
        "different": lambda text: text.strip().casefold() != folded,
        "contains": lambda text: folded in text.casefold(),
        "lacks": lambda text: folded not in text.casefold(),
        "begins": lambda text: text.startswith(expected),
        "exactly": lambda text: text == expected,
        "filled": lambda text: bool(text.strip()),
        "empty": lambda text: not text.strip(),
    }
    return tests.get(row.operator)


def compile_condition(rule: DesignRule, fields: Mapping[str, RowField]) -> Expression | None:
    """Return the condition of a rule; None for all rows.

    Args:
        rule: the rule.
        fields: what it can compare, by name.

    Raises:
        InvalidConditionError: it is not an expression, or uses what the feed does not have.
    """
    if not rule.condition:
        return None
    try:
        expression = parse_expression(rule.condition)
    except ExpressionError as error:
        raise InvalidConditionError(rule, str(error)) from None
    unknown = sorted(expression.fields - fields.keys())
    if unknown:
        raise InvalidConditionError(
            rule,
            gettext(
                "The feed has no column “%(name)s”. Choose another one, or import the column again", name=unknown[0]
            ),
        )
    if expression.photos or expression.tables:
        raise InvalidConditionError(rule, gettext("A rule can use neither parts of photos nor tables of a template"))
    return expression

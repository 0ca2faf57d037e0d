"""Which rules take a row.

Rows of a feed share values: a brand is compared once, and not for each of its products. So the verdict of a rule is
kept for the values that it depends on, in a bounded dictionary, and only values that are new are evaluated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from cwz_web.campaigns.row_fields import RowField, Source
from cwz_web.campaigns.rules import DesignRule
from cwz_web.i18n import gettext
from cwz_web.imaging.expression_functions import EvaluationContext
from cwz_web.imaging.expression_syntax import ExpressionError
from cwz_web.imaging.expressions import Expression, FieldValue, parse_expression
from cwz_web.values.formats import Unclear

# How many verdicts of a rule are kept.
MAX_KEPT = 100_000

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
    def __init__(
        self,
        rule: DesignRule,
        expression: Expression | None,
        fields: Mapping[str, RowField],
        sources: Sequence[Source],
        context: EvaluationContext,
        today: date,
    ) -> None:
        self.rule, self._expression, self._context, self._today = rule, expression, context, today
        used = [fields[name] for name in sorted(expression.fields)] if expression else []
        places = {source: place for place, source in enumerate(sources)}
        self._fields = [(field, [places[source] for source in field.sources]) for field in used]
        self._places = sorted({place for _, own in self._fields for place in own})
        self._kept: dict[tuple[str | None, ...], Verdict] = {}

    def verdict(self, values: Sequence[str | None]) -> Verdict:
        if self._expression is None:
            return True
        key = tuple([values[place] for place in self._places])
        verdict = self._kept.get(key)
        if verdict is None:
            verdict = self._evaluate(self._expression, values)
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[key] = verdict
        return verdict

    def _evaluate(self, expression: Expression, values: Sequence[str | None]) -> Verdict:
        known: dict[str, FieldValue] = {}
        for field, places in self._fields:
            value = field.read([values[place] for place in places], self._today)
            if isinstance(value, Unclear):
                return Unclear(gettext("has “%(field)s”, which %(reason)s", field=field.label, reason=value.reason))
            known[field.name] = value
        result = expression.evaluate(known, self._context)
        if isinstance(result, Unclear):
            return Unclear(
                gettext(
                    "has the condition “%(condition)s”, which %(reason)s",
                    condition=expression.source,
                    reason=result.reason,
                )
            )
        if result is None:  # a comparison of an empty value
            return False
        if not isinstance(result, bool):
            return Unclear(gettext("has a condition that is neither true nor false"))
        return result


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

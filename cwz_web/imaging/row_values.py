"""The values of a row: its fields by type, its computed fields, and the results of the layers' expressions.

Everything is evaluated once for a row, before anything is rendered, so that all layers see the same day.
"""

from collections.abc import Mapping, Sequence

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.expression_functions import EvaluationContext, ZeroPrice
from cwz_web.imaging.expressions import parse_expression
from cwz_web.imaging.field_values import computed_text, fit_field, result_key, value_of
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.photo_facts import PhotoFacts
from cwz_web.imaging.prices import is_zero_price
from cwz_web.imaging.repeats import repeated_expressions, row_expressions


class RowReader:
    """Reads the values of rows for a template.

    Args:
        template: the template.
        layers: its layers whose expressions are evaluated.
    """

    def __init__(self, template: ImageTemplate, layers: Sequence[Layer]) -> None:
        self._fields = template.fields
        self._typed = [field for field in template.fields if field.type not in ("text", "image")]
        self._computed = [(field.name, parse_expression(field.value)) for field in template.ordered_computed()]
        self._expressions = [parse_expression(source) for source in dict.fromkeys(row_expressions(layers))]
        self._repeated = list(repeated_expressions(layers))

    def fit(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the values with the defaults of fields in the place of those that do not fit their type."""
        fitted = {
            field.name: fit_field(field.type, values[field.name], field.formatted_default) for field in self._typed
        }
        return {**values, **fitted}

    def evaluate(
        self, values: Mapping[str, str], context: EvaluationContext, photos: Mapping[str, PhotoFacts]
    ) -> dict[str, str]:
        """Return the values with those of computed fields, and with the results of expressions by their keys.

        Args:
            values: the values of fields.
            context: what the results depend on beside the row.
            photos: what is known of the photos of fields.
        """
        results: dict[str, str] = dict(values)
        if not self._computed and not self._expressions and not self._repeated:
            return results
        known = {field.name: value_of(field.type, values[field.name]) for field in self._fields}
        for name, facts in photos.items():
            known |= facts.parts(name)
        for name, expression in self._computed:
            result = expression.evaluate(known, context)
            uses_zero_price = any(is_zero_price(each, results[each]) for each in expression.fields)
            if isinstance(result, ZeroPrice) and not uses_zero_price:
                result = str(result)  # a difference, such as what is saved
            text = computed_text(result, expression.source)
            results[name], known[name] = text, text.value
        for expression in self._expressions:
            result = expression.evaluate(known, context)
            results[result_key(expression.source)] = computed_text(result, expression.source)
        for repeated in self._repeated:
            results |= dict(repeated.evaluate(results, known, context))
        return results

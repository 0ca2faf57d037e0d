"""Which rules take a row: parts of conditions and kept verdicts give what the whole expression gives."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.campaigns.matching import InvalidConditionError, RowMatcher
from cwz_web.campaigns.row_fields import is_sold_out, row_fields
from cwz_web.campaigns.rules import Design, DesignRule
from cwz_web.feeds.columns import ColumnType
from cwz_web.imaging.expression_functions import EvaluationContext
from cwz_web.imaging.expressions import parse_expression
from cwz_web.values.formats import Unclear, ValueFormat

COLUMNS = {
    "title": ColumnType.TEXT,
    "Brand Name": ColumnType.TEXT,
    "price": ColumnType.PRICE,
    "stock": ColumnType.NUMBER,
    "until": ColumnType.DATE,
}
FIELDS = row_fields(COLUMNS, {"price": ValueFormat(currency="EUR")}, ZoneInfo("Europe/Berlin"))
CONTEXT = EvaluationContext("en", "EUR", date(2026, 11, 30))
CONDITIONS = (
    'has_text(title, "Mug")',
    '!same(title, "red mug") && stock > 2',
    'title.startsWith("Red") || stock == 0',
    '(title == "a" || price > 10) && filled(brand_name) && !(stock < 1)',
    "price > 10 && stock > 2 && empty(title)",
    'price > 10 ? stock > 2 : title == "x"',
    "stock > 0 || price / stock > 2",
    'brand_name in ["a", "b"] && title != "x && y"',
)
texts = st.sampled_from(["", " ", "Red mug", "red MUG ", "a", "x", "&amp;", "<b>Mug</b>", "ß", "ẞ"])
numbers = st.sampled_from(["", "0", "1", "3", "12", "12.50", "unknown", "1.234,5"])


def matcher(*conditions: str) -> RowMatcher:
    rules = [
        DesignRule(number=number, name=f"Rule {number}", condition=condition, designs=[Design(number=number)])
        for number, condition in enumerate(conditions, start=1)
    ]
    return RowMatcher(rules, FIELDS, CONTEXT, CONTEXT.today)


@given(title=texts, brand=texts, price=numbers, stock=numbers)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_verdict_is_that_of_the_whole_expression(
    condition: str, title: str, brand: str, price: str, stock: str
) -> None:
    rules = matcher(condition)
    row = {"title": title, "Brand Name": brand, "price": price, "stock": stock}
    values = [json.dumps(row[source.column]) for source in rules.sources]
    known = {
        name: FIELDS[name].read([json.dumps(row[FIELDS[name].sources[0].column])], CONTEXT.today)
        for name in parse_expression(condition).fields
    }
    verdict = rules.explain(values)[1]
    if any(isinstance(value, Unclear) for value in known.values()):
        assert verdict is not True or "||" in condition
        return
    expected = parse_expression(condition).evaluate(known, CONTEXT)
    if isinstance(expected, Unclear):
        assert isinstance(verdict, Unclear) or verdict is False
    else:
        assert verdict is bool(expected)


def test_first_rule_wins_and_unclear_rules_are_named() -> None:
    rules = matcher("price > 10", 'same(title, "mug")', "")
    assert [source.column for source in rules.sources] == ["price", "title"]
    assert rules.match("1", ['"20"', '"Mug"']).designs == (1,)
    assert rules.match("1", ['"5"', '"Mug"']).designs == (2,)
    match = rules.match("1", ['"about ten"', '"Cup"'])
    assert match.designs == (3,)
    assert "“price”" in match.unclear[1].reason


def test_rows_are_divided_by_weight_and_stay_with_their_design() -> None:
    designs = [Design(number=1, label="A", weight=3), Design(number=2, label="B")]
    rule = DesignRule(number=1, name="Test", designs=designs)
    rules = RowMatcher([rule], FIELDS, CONTEXT, CONTEXT.today)
    first = [rules.match(f"{number}", []).designs[0] for number in range(4000)]
    assert first == [rules.match(f"{number}", []).designs[0] for number in range(4000)]
    assert 2850 < first.count(1) < 3150


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("margin > 1", "no column “margin”"),
        ("price >", "not complete"),
        ("title.width > 3", "parts of photos"),
        ('translate(title, "sizes") == "x"', "tables of a template"),
    ],
)
def test_condition_that_cannot_be_evaluated_is_refused(condition: str, message: str) -> None:
    with pytest.raises(InvalidConditionError, match=message):
        matcher(condition)


def test_names_of_columns_in_conditions() -> None:
    columns = {"Preis (€)": ColumnType.PRICE, "preis": ColumnType.PRICE, "2nd": ColumnType.TEXT, "in": ColumnType.TEXT}
    names = list(row_fields(columns, {}, ZoneInfo("UTC")))
    assert names[:4] == ["preis", "preis_2", "column_2nd", "in_2"]


def test_state_of_a_row() -> None:
    added = json.dumps(datetime(2026, 11, 27, 22, 30, tzinfo=UTC).isoformat())
    assert FIELDS["days_in_feed"].read([added], CONTEXT.today) == 3
    berlin = json.dumps(datetime(2026, 11, 27, 23, 30, tzinfo=UTC).isoformat())  # the 28th in Berlin
    assert row_fields(COLUMNS, {}, ZoneInfo("Europe/Berlin"))["days_in_feed"].read([berlin], CONTEXT.today) == 2
    change = FIELDS["price_change"]
    assert change.read(['"80"', '"100"'], CONTEXT.today) == Decimal(-20)
    assert change.read(['"80"', None], CONTEXT.today) is None
    assert isinstance(change.read(['"80"', '"0"'], CONTEXT.today), Unclear)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("in stock", False), ("Out of Stock", True), ("0", True), ("-1", True), ("12", False), ("ausverkauft", True)],
)
def test_stock(text: str, expected: bool) -> None:
    assert is_sold_out(text) is expected
    assert is_sold_out(" ") is None

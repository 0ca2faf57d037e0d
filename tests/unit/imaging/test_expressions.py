import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.expression_functions import FUNCTIONS, EvaluationContext, Value, as_text
from cwz_web.imaging.expression_syntax import ExpressionError
from cwz_web.imaging.expressions import FieldValue, parse_expression
from cwz_web.imaging.photo_facts import BACKGROUNDS, PHOTO_PARTS, PhotoFacts
from cwz_web.values.formats import DecimalSign, FormattedText, Unclear, ValueFormat, json_number
from cwz_web.values.numbers import Money

ROOT = Path(__file__).parents[3]
CONTEXT = EvaluationContext(today=date(2026, 11, 29), tables={"colors": {"red": "rot"}})
ROW: dict[str, FieldValue] = {
    "price": Money(Decimal("19.9"), "USD"),
    "old_price": Money(Decimal(25), "USD"),
    "stock": Decimal(3),
    "name": "Sea salt 250 g",
    "color": "red",
    "tags": ("new", "sale"),
    "photos": ("https://a.example/1.jpg", "https://a.example/2.jpg"),
    "end": date(2026, 12, 24),
    "photo": "https://a.example/3.jpg",
    **PhotoFacts("white", 1200, 800).parts("photo"),
    "rating": None,
    "none": None,
}
GERMAN = ValueFormat(decimal=DecimalSign.COMMA, currency="EUR")


def evaluate(source: str, context: EvaluationContext = CONTEXT, **values: FieldValue) -> Value | Unclear:
    return parse_expression(source).evaluate({**ROW, **values}, context)


def documented() -> Iterator[tuple[str, str]]:
    """Yield the examples of the documentation, with their results."""
    section = (ROOT / "docs" / "templates.md").read_text().partition("## Expressions")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if match := re.match(r"\| `(.+?)` \| `(.+?)` \|", line):
            yield match[1], match[2]


@pytest.mark.parametrize(("source", "result"), list(documented()))
def test_documented_example(source: str, result: str) -> None:
    value = evaluate(source)
    assert not isinstance(value, Unclear)
    assert as_text(value).replace("\xa0", " ") == result


def test_each_function_is_documented() -> None:
    examples = " ".join(source for source, _ in documented())
    assert [name for name in FUNCTIONS if f"{name}(" not in examples] == []
    for function in FUNCTIONS.values():
        parse_expression(function.example)


def test_each_part_of_a_photo_is_documented() -> None:
    examples = " ".join(source for source, _ in documented())
    assert [part for part in PHOTO_PARTS if f"photo.{part}" not in examples] == []
    text = (ROOT / "docs" / "templates.md").read_text().partition("### Parts of a photo")[2].partition("\n## ")[0]
    assert [background for background in BACKGROUNDS if f"| `{background}` |" not in text] == []


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("price * 2", 39.8),
        ("1 + 2 * 3 - 4 / 2", 5.0),
        ("tags[1]", "sale"),
        ("stock == 3 && stock in [1, 3]", True),
        ('string(0.1 + 0.2) + "/" + string(-0.0)', "0.3/0"),
        ("string(1.1 * 1.15)", "1.265"),
        ("money(1.1 * 1.15, 'USD')", "$1.27"),  # the double is 1.2649999999999999
        ('size("héé")', 3.0),
        ("color.upper()", "RED"),
        ('{"red": "rot"}[color]', "rot"),
        ('tags.map(tag, tag != "new", upper(tag))', ["SALE"]),
        ('tags.all(t, t in ["new", "sale"]) && tags.exists_one(t, t == "new")', True),
        ("[1, 2].map(x, x * 2)", ["2", "4"]),
        ('end < timestamp("2027-01-01T00:00:00Z")', True),
        ("end", datetime(2026, 12, 24, tzinfo=UTC)),
        ('date("1 May 2026", "short", "de")', "01.05.26"),
        ('days_until("2026-12-01", end)', -23.0),
        ("percent_off(3, 2)", 33.0),
        ("percent_off(price, old_price)", None),
        ('percent_off("", price)', None),
        ('percent_off(" ", "") > 5', None),
        ('days_until("")', None),
        ('unit_price(3, "6 x 0,5 l") + unit_price(1, 100, "ml")', 11.0),
        ('base_unit("2 Stück")', "piece"),
        ('replace("a-b", "(a)-(b)?", r"\\2\\1\\3")', "ba"),
        ('match("x", "y") == "" && match("abc", "b.") == "bc"', True),
        ('item("https://a.example/1.jpg, //a.example/2.jpg", 2)', "//a.example/2.jpg"),
        ('item(tags, 3) + first("a|b")', "a"),
        ('translate("blue", "colors")', "blue"),
        ('join(["a", 1, true])', "a, 1, true"),
        ("true // comment", True),
        ('r"\\d" + """a"b""" + "\\u00e4"', '\\da"bä'),
    ],
)
def test_value(source: str, result: Value) -> None:
    assert evaluate(source) == result


@pytest.mark.parametrize(
    "source",
    [
        *("none", "none * 2", '"From " + money(none)', 'money("")', "none < 5", "none ? 1 : 2", "-none", "!none"),
        *(
            '"-" + string(percent_off(1, 2))',
            "days_until(none)",
            "upper(none)",
            "amount(' ')",
            'number("")',
            'date("")',
        ),
    ],
)
def test_empty_value_makes_the_expression_empty(source: str) -> None:
    assert evaluate(source) is None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ('money("soon", "EUR")', "reads “soon”, which is not a number"),
        ("amount('1.234')", "can be 1.234 or 1234"),
        ("date('01/02/2026')", "can be 2 January or 1 February"),
        ("money(5)", "has no currency"),
        ('money(price, "EUR")', "has an amount in another currency: USD, not EUR"),
        ('amount("5 EUR") + price', "has amounts in two currencies: EUR and USD"),
        ("1 / 0", "perhaps it divides by zero"),
        ("0 / 0", "perhaps it divides by zero"),
        ("1e308 * 10", "perhaps it divides by zero"),
        ("string(1e300)", "too large or too small"),
        ("'5' + 5", "combines values of different types"),
        ("name < 5", "combines values of different types"),
        ("tags[stock]", "combines values of different types"),
        ("tags[5]", "has no item at this position"),
        ('{"blue": "blau"}[color]', "has no entry for “red”"),
        ("number(true)", "needs a number"),
        ("days_until(5)", "needs a date"),
        ("round_to(5, 0)", "not more than zero"),
        ("item(tags, 0)", "from 1"),
        ('unit_price(5, "250 blobs")', "has an unknown unit: “blobs”"),
        ('unit_price(5, "a lot")', "is not a quantity"),
        ('unit_price(5, "0 g")', "is not more than zero"),
        ('translate(color, "sizes")', "unknown table: “sizes”"),
        ("match(name, name + '(')", "is not a pattern that RE2 accepts"),
        ("money(price, color)", "“red” is not a currency"),
        ('timestamp("soon")', "calls a function with a value that it does not take"),
        ('duration("1h")', "is neither a text"),
        ('{"a": 1}', "is neither a text"),
        ("[tags]", "list of lists"),
    ],
)
def test_unclear_value(source: str, reason: str) -> None:
    value = evaluate(source)
    assert isinstance(value, Unclear)
    assert reason in value.reason


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "Enter an expression"),
        ("1 +", "is not complete"),
        ("price 5", "syntax error at “5” (character 7)"),
        ("price > 5 and stock", "syntax error at “and stock” (character 11). Use &&"),
        ("price > 5 OR stock", "syntax error at “OR stock” (character 11). Use ||"),
        ("price > 5 && not stock", "syntax error at “stock” (character 18). Use ! for “not”"),
        ("price = 5", "“= 5” is not expected here (character 7). Compare with =="),
        ("price % 5", "Use round_to"),
        ("(price", "“(” is not closed (character 1)"),
        ("price]", "“]” closes nothing (character 6)"),
        ("package + 1", "“package” is a reserved word"),
        ("price.currency", "remove “.currency” (character 7)"),
        ("has(price.x)", "Values have no parts"),
        ("foo(1)", "“foo” is not a function (character 1). Use one of: amount"),
        ("int(price)", "Use round_to(x, 1)"),
        ("double(price)", "Use amount(x)"),
        ("money()", 'money takes other arguments (character 1), as in money(price, "EUR")'),
        ("price.money(1, 2, 3)", "takes other arguments"),
        ("name.contains()", "another number of arguments"),
        ('money(price, "EURO")', "“EURO” is not a currency"),
        ('price.money("EURO")', "“EURO” is not a currency"),
        ('number(price, "xx-yy-zz")', "is not a locale"),
        ('date(end, "tiny")', "is not a date style"),
        ('match(name, "(?=a)")', "is not a pattern that RE2 accepts"),
        ("tags.map(a, tags.map(b, b))", "map contains another macro"),
        ("tags.map(a, a).map(b, b)", "map needs a field, a list or a function before it"),
        ("(tags + tags).map(a, a)", "map needs a field"),
        ("[tags][0].map(a, a)", "map needs a field"),
        ("tags.map(a)", "map needs a name and a value"),
        ("tags.map(1, a)", "map needs a name and a value"),
        ("tags.map(a, [a])", "A macro cannot make lists (character 13)"),
        ("tags.map(a, split(a))", "A macro cannot make lists"),
        ('tags.map(a, {"b": a})', "A macro cannot make lists"),
        ("tags.map(a, a) == a", "“a” is the name of a macro’s item (character 19)"),
        ('b"a"', "is not expected here"),
        ("5u", "is not expected here"),
        ("0x1F", "is not expected here"),
        ("type(1)", "is not a function"),
        ("cel.bind(x, 1, x)", "is not a function"),
        ("x" * 501, "has 501 characters. Use at most 500"),
        ("+".join(["1"] * 101), "has 201 names, values and signs. Use at most 200"),
        ("+".join(["a"] * 42), "more than 40 additions"),
        (f"tags.map(a, {'+'.join(['a'] * 8)})", "more than 6 additions"),
        (f"[{','.join(['1'] * 51)}]", "more than 50 items"),
    ],
)
def test_invalid_expression(source: str, message: str) -> None:
    with pytest.raises(ExpressionError) as error:
        parse_expression(source)
    assert message in str(error.value)


def test_fields_are_variables_without_those_of_macros() -> None:
    source = 'tags.exists(tag, tag == name) || title(title) == "x" || "sale" == color'
    assert parse_expression(source).fields == {"tags", "name", "title", "color"}


def test_text_keeps_the_format_of_its_column() -> None:
    text = FormattedText("1.234,5", GERMAN)
    assert evaluate("money(a) + money(amount(a) * 2)", a=text) == "€1,234.50€2,469"
    assert evaluate("first(a)", a=(text,)) == "1.234,5"
    assert evaluate("amount(first(a))", a=(FormattedText("1.234", GERMAN),)) == 1234.0
    assert evaluate("amount(a)", a=json_number("1.234")) == 1.234
    same = evaluate("amount(a)", a=FormattedText("1.234", GERMAN), b=json_number("1.234"))
    assert same == 1234.0, "a field that the expression does not use has no effect"
    both = evaluate("amount(a) + amount(b)", a=FormattedText("1.234", GERMAN), b=json_number("1.234"))
    assert isinstance(both, Unclear)


def test_locale_and_currency_are_those_of_the_context() -> None:
    context = EvaluationContext(locale="de", currency="CHF", today=date(2026, 11, 29))
    assert evaluate('money(5) + " " + number(1.5) + " " + date(end)', context) == "5\xa0CHF 1,5 24.12.2026"
    assert evaluate("money(price)", context) == "19,90\xa0$"
    assert evaluate("upper('i')", EvaluationContext(locale="tr")) == "İ"


def test_macro_uses_lists_only_as_tests() -> None:
    assert evaluate("tags.filter(t, t in other)", other=("sale",)) == ["sale"]
    value = evaluate("tags.map(t, other)", other=("sale",))
    assert isinstance(value, Unclear)
    assert "uses the list “other” inside of a macro" in value.reason


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("+".join(["big"] * 41), "makes a text of more than 10,000"),
        ("big + huge", "uses texts of more than 50,000 bytes"),
        ("many.map(x, big + huge)", "uses texts of more than 10,000 bytes"),
        ("many.map(x, wide)", "uses texts of more than 10,000 bytes"),
        ("upper(big + big)", "uses a text of more than 10,000"),
        ("many + many", "more than 50 items"),
        ("join(many + many)", "more than 50 items"),
        ("many.all(x, filled(strip_html(big)))", "takes too long"),
        ("many.exists(x, matches(x, x + '\\\\pL{3}\\\\pL{3}'))", "takes too long"),
        ("match(big, '((a?){20}){10}b')", "takes too long"),
        ("replace(big, 'a(.*b)?', 'x')", "takes too long"),
        ("replace(big, 'a', big)", "makes a text of more than 10,000"),
        ("replace(mid, 'a', 'x')", "replaces more than 100"),
        ("match(name, big)", "more than 200 characters"),
        ("match(name, '' + '((\\\\pL?){100}){10}')", "is not a pattern that RE2 accepts"),
    ],
)
def test_hostile_expression_is_limited(source: str, reason: str) -> None:
    value = evaluate(source, big="a" * 9000, huge="a" * 49_000, wide="ä" * 5000, mid="a" * 150, many=("a" * 20,) * 50)
    assert isinstance(value, Unclear)
    assert reason in value.reason


def test_value_of_a_row_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    parse_expression("1")
    with caplog.at_level(logging.INFO):
        assert isinstance(evaluate("amount(name)"), Unclear)
    assert not caplog.records


def test_character_that_is_none_is_replaced() -> None:
    assert evaluate("a + b[0]", a="\ud800", b=("\udfff",)) == "\ufffd\ufffd"


def test_threads_share_an_expression() -> None:
    expression = parse_expression("money(price * n)")
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda n: expression.evaluate({**ROW, "n": n}, CONTEXT), [1.0, 10.0] * 50)
    assert list(results) == ["$19.90", "$199"] * 50


@given(st.text(max_size=60))
def test_any_text_is_compiled_or_refused(source: str) -> None:
    with suppress(ExpressionError):  # anything else fails the test
        expression = parse_expression(source)
        expression.evaluate(dict.fromkeys(expression.fields, "1"), CONTEXT)


_parts = st.sampled_from(
    [
        *(
            "price",
            "tags",
            "name",
            "none",
            "1",
            "0.5",
            '"a"',
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ",",
            ".",
            "+",
            "-",
            "*",
            "/",
        ),
        *("==", "<", "&&", "||", "!", "?", ":", "in", "map(x, x)", "exists(t, t == 1)", "money(", "split(", "item("),
        *("true", "null"),
    ]
)


@given(st.lists(_parts, max_size=12))
def test_any_sequence_of_tokens_is_evaluated_or_refused(parts: list[str]) -> None:
    with suppress(ExpressionError):
        expression = parse_expression(" ".join(parts))
        expression.evaluate({**ROW, **dict.fromkeys(expression.fields - ROW.keys(), "1")}, CONTEXT)

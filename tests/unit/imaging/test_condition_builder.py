"""Conditions as rows: what is written in CEL is read as the same rows, and is valid."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.condition_builder import (
    OPERATORS,
    Group,
    InvalidRowsError,
    Row,
    Tree,
    field_types,
    normalize,
    parse_condition,
    write_condition,
)
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.expressions import parse_expression
from cwz_web.imaging.field_values import FieldType

TYPES = {kind: kind for kind in OPERATORS} | {"item": "text", "index": "number", "count": "number"}


def values(kind: str) -> st.SearchStrategy[str]:
    match kind:
        case "TEXT":
            texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
            return texts.map(str.strip).filter(bool) | st.sampled_from(['a "b"', "it's", "\\n", "TEXT", "FIELD", "😀"])
        case "NUMBER":
            return st.integers(-1000, 1000).map(str) | st.decimals(-100, 100, places=2).map(str)
        case "DAY":
            return st.dates().map(str)
    return st.just("")


@st.composite
def rows(draw: st.DrawFn) -> Row:
    field = draw(st.sampled_from([*sorted(TYPES), "item.name"]))
    name = draw(st.sampled_from(sorted(OPERATORS[TYPES.get(field, "computed")])))
    return Row(field, name, draw(values(OPERATORS[TYPES.get(field, "computed")][name].value_kind)))


matches = st.sampled_from(["all", "any"])
groups = st.builds(Group, st.lists(rows(), min_size=1, max_size=3).map(tuple), matches)
trees = st.builds(Tree, st.lists(groups, min_size=1, max_size=3).map(tuple), matches)


@given(trees)
def test_rows_are_read_as_they_were_written(tree: Tree) -> None:
    source = write_condition(tree, TYPES)
    assert parse_condition(source, TYPES) == normalize(tree)


@given(rows())
def test_every_row_is_a_valid_expression(row: Row) -> None:
    assert parse_expression(write_condition(Tree((Group((row,)),)), TYPES))


def test_no_rows_are_no_condition() -> None:
    assert write_condition(Tree(), TYPES) == ""


@pytest.mark.parametrize(
    ("source", "tree"),
    [
        ("number>5&&filled( text )", Tree((Group((Row("number", "more", "5"), Row("text", "filled"))),))),
        ("(number > 5)", Tree((Group((Row("number", "more", "5"),)),))),
        ("text == 'red'", Tree((Group((Row("text", "exactly", "red"),)),))),
        (
            "boolean || number < 1 && !boolean",
            Tree(
                (
                    Group((Row("boolean", "true"),)),
                    Group((Row("number", "less", "1"), Row("boolean", "false"))),
                ),
                "any",
            ),
        ),
        (
            "boolean && (number < 1 || number > 9) && filled(text)",
            Tree(
                (
                    Group((Row("boolean", "true"),)),
                    Group((Row("number", "less", "1"), Row("number", "more", "9")), "any"),
                    Group((Row("text", "filled"),)),
                )
            ),
        ),
    ],
)
def test_expressions_of_people_are_read(source: str, tree: Tree) -> None:
    assert parse_condition(source, TYPES) == tree


@pytest.mark.parametrize(
    "source",
    [
        "number > 5 + 1",
        "number > number",
        "5 < number",
        "other > 5",
        "!(number > 5)",
        "number > 5 ? true : false",
        "((number > 5 && boolean) || boolean) && boolean",
        "text.matches('a')",
        'text == " red "',
        r'text == "\x41"',
        'date > timestamp("2026-12-24T12:00:00Z")',
        "number >",
        "number % 2",
        "",
        "!boolean.x",
        " && ".join(["boolean"] * 21),
    ],
)
def test_what_rows_cannot_show_is_no_tree(source: str) -> None:
    assert parse_condition(source, TYPES) is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row("gone", "filled"), "Choose a field"),
        (Row("", ""), "Choose a field"),
        (Row("number", "contains", "x"), "Choose a comparison for this field"),
        (Row("number", "more", ""), "Enter a value"),
        (Row("number", "more", "ten"), "Enter a number, such as 9.99"),
        (Row("number", "more", "1,5"), "Enter a number, such as 9.99"),
        (Row("date", "before", "24.12."), "Enter a date, such as 2026-12-24"),
        (Row("text", "equal", "x" * 201), "Enter at most 200 characters"),
        (Row("text", "equal", " "), "Enter a value"),
    ],
)
def test_wrong_row_is_named(row: Row, message: str) -> None:
    with pytest.raises(InvalidRowsError) as error:
        write_condition(Tree((Group((Row("text", "filled"), row)),)), TYPES)
    assert error.value.errors == {(0, 1): message}


def test_operators_mean_what_their_labels_say() -> None:
    """Each operator of a type holds for the first value of its field and not for the second one."""
    cases: dict[tuple[str, str], tuple[str, str, str]] = {
        ("text", "equal"): ("Red", "RED", "blue"),
        ("text", "different"): ("red", "blue", "RED"),
        ("text", "contains"): ("sale", "Big SALE", "new"),
        ("text", "lacks"): ("sale", "new", "Big SALE"),
        ("text", "begins"): ("A", "Ab", "Ba"),
        ("text", "exactly"): ("red", "red", "RED"),
        ("text", "number_more"): ("5", "€5.50", "5"),
        ("number", "equal"): ("5", "5.0", "6"),
        ("number", "least"): ("5", "5", "4.9"),
        ("money", "less"): ("10", "9.99 EUR", "10 EUR"),
        ("date", "before"): ("2026-12-24", "2026-12-23", "2026-12-24"),
        ("date", "on"): ("2026-12-24", "24 December 2026", "2026-12-25"),
        ("boolean", "true"): ("", "yes", "no"),
        ("boolean", "false"): ("", "no", "yes"),
        ("color", "equal"): ("#ff0000", "f00", "#00ff00"),
        ("list", "has"): ("new", "new|sale", "newer|sale"),
        ("list", "has_not"): ("new", "sale", "new|sale"),
        ("list", "longer"): ("1", "a|b", "a"),
        ("text", "filled"): ("", "x", " "),
        ("number", "empty"): ("", "", "1"),
    }
    for (kind, operator), (value, holds, fails) in cases.items():
        source = write_condition(Tree((Group((Row("x", operator, value),)),)), {"x": kind})
        assert [is_shown(kind, source, text) for text in (holds, fails)] == [True, False], (kind, operator)


def is_shown(kind: str, source: str, text: str) -> bool:
    shape = {"type": "shape", "name": "s", "width": 9, "height": 9, "show_if": source}
    plan = Engine().plan(template(kind, shape))
    return bool(plan.place(plan.fill_values({"x": text}), {}))


def template(kind: str, *layers: dict[str, Any], **more: Any) -> ImageTemplate:
    fields = [{"name": "x", "label": "X", "type": kind}]
    return ImageTemplate.model_validate(
        {"canvas": {"width": 9, "height": 9}, "fields": fields, "layers": layers, **more}
    )


def test_layers_compare_fields_computed_fields_and_entries() -> None:
    shape = {"type": "shape", "name": "s", "width": 9, "height": 9}
    stack = {"type": "stack", "name": "r", "width": 9, "height": 9, "repeat": {"field": "x"}, "layers": [shape]}
    document = template("list", stack, computed=[{"name": "y", "value": "size(x)"}])
    assert field_types(document, "r") == {"x": "list", "y": "computed"}
    assert field_types(document, "s") == {
        "x": "list",
        "y": "computed",
        "item": "text",
        "index": "number",
        "count": "number",
    }


def test_every_type_of_a_field_has_operators() -> None:
    assert set(get_args(FieldType)) == OPERATORS.keys() - {"computed"}

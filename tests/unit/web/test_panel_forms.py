"""Panels: conditions, bound properties and data as forms, and the documents that they make."""

from typing import Any, get_args

import pytest

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.expression_functions import FUNCTIONS
from cwz_web.imaging.field_values import FieldType
from cwz_web.imaging.layer_base import BINDABLE
from cwz_web.web.bound_forms import PROPERTIES, bound_panel
from cwz_web.web.condition_forms import condition_panel
from cwz_web.web.data_forms import FIELD_TYPES, SUMMARIES, data_panel, list_functions
from cwz_web.web.design_forms import InvalidDesignError, Selection, change_design
from cwz_web.web.live_results import LiveResult


def template(**more: Any) -> ImageTemplate:
    fields = [
        {"name": "title", "label": "Title", "default": "Hello"},
        {"name": "price", "label": "Price", "type": "money", "default": "5"},
        {"name": "end", "label": "End", "type": "date"},
        {"name": "tags", "label": "Tags", "type": "list", "default": "new|sale|eco"},
    ]
    box = {"width": 90, "height": 40}
    dot = {"type": "shape", "name": "Dot", "fill": "#000000", **box}
    stack = {"type": "stack", "name": "Stack", "repeat": {"field": "tags"}, "layers": [{**dot, "name": "Tag"}], **box}
    document = {"canvas": {"width": 100, "height": 100}, "fields": fields, "layers": [dot, stack], **more}
    return ImageTemplate.model_validate(document)


def change(document: ImageTemplate, layer: str = "Dot", **typed: str) -> ImageTemplate:
    return change_design(
        document, Selection(layer=layer), {name.replace("__", "."): text for name, text in typed.items()}
    )[0]


def errors_of(document: ImageTemplate, layer: str = "Dot", **typed: str) -> dict[str, str]:
    with pytest.raises(InvalidDesignError) as refused:
        change(document, layer, **typed)
    return refused.value.errors


def row(document: ImageTemplate) -> dict[str, str]:
    return Engine().plan(document).fill_values({})


def condition(document: ImageTemplate, name: str = "Dot", **refused: Any) -> Any:
    layer = document.find_layer(name)
    assert layer is not None
    return condition_panel(document, layer, row(document), refused.get("typed", {}), refused.get("errors", {}))


def set_condition(document: ImageTemplate, expression: str, layer: str = "Dot") -> ImageTemplate:
    return change(document, layer, do="condition", expression=expression)


def test_buttons_of_a_condition() -> None:
    document = change(template(), do="condition", change="add-group")
    assert document.find_layer("Dot").show_if == "filled(title)"  # type: ignore[union-attr]
    typed = {"row__0__0__field": "price", "row__0__0__operator": "more", "row__0__0__value": "3"}
    document = change(document, do="condition", change="add-row:0", group__0__match="any", **typed)
    document = change(document, do="condition", change="add-group", **typed)
    assert document.find_layer("Dot").show_if == "(price > 3) && (filled(title))"  # type: ignore[union-attr]
    second = {"row__1__0__field": "title", "row__1__0__operator": "filled"}
    document = change(document, do="condition", change="remove:0.0", **typed, **second)
    assert document.find_layer("Dot").show_if == "filled(title)"  # type: ignore[union-attr]
    document = change(document, do="condition", change="clear", **typed)
    assert document.find_layer("Dot").show_if is None  # type: ignore[union-attr]


def test_new_field_of_a_row_has_an_operator_of_its_own() -> None:
    typed = {"row__0__0__field": "tags", "row__0__0__operator": "more", "row__0__0__value": "3"}
    assert change(template(), do="condition", **typed).find_layer("Dot").show_if == "filled(tags)"  # type: ignore[union-attr]


def test_refused_rows_are_shown_as_typed() -> None:
    typed = {
        "do": "condition",
        "change": "add-row:0",
        "row.0.0.field": "price",
        "row.0.0.operator": "more",
        "row.0.0.value": "x",
    }
    with pytest.raises(InvalidDesignError) as refused:
        change_design(template(), Selection(layer="Dot"), typed)
    assert refused.value.errors == {"row.0.0.value": "Enter a number, such as 9.99"}
    panel = condition(template(), typed=typed, errors=refused.value.errors)
    rows = panel.groups[0].rows
    assert [(each.row.value, each.error) for each in rows] == [("x", "Enter a number, such as 9.99"), ("", "")]
    assert (panel.result, panel.error) == (None, "")


@pytest.mark.parametrize(
    ("expression", "text", "is_problem"),
    [
        ("", "Always shown", False),
        ("price > 1", "Shown for this row", False),
        ("price > 9", "Hidden for this row", False),
        ("price > end", "Hidden for this row", False),
        ("title > price", "Hidden: “title > price” combines values of different types.", True),
        ("price", "Hidden: “price” is neither true nor false, but “5”", True),
    ],
)
def test_condition_has_a_live_result(expression: str, text: str, is_problem: bool) -> None:
    result = condition(set_condition(template(), expression)).result
    assert result.text.startswith(text)
    assert result.is_problem == is_problem


def test_condition_in_a_repeated_stack_counts_entries() -> None:
    document = set_condition(template(), "index > 1", "Tag")
    assert condition(document, "Tag").result == LiveResult("Shown for 2 of 3 entries of this row")
    assert "index" in condition(document, "Tag").fields
    assert "index" not in condition(document, "Dot").fields


@pytest.mark.parametrize(
    ("show_if", "expression"),
    [
        ({"field": "title", "is": "filled"}, "filled(title)"),
        ({"field": "title", "is": "equal", "value": 'a "b"'}, 'same(title, "a \\"b\\"")'),
        ({"field": "title", "is": "less", "value": "5"}, "amount(title) < 5"),
        ({"field": "price", "is": "more", "value": "5"}, "price > 5"),
        ({"field": "price", "is": "more", "value": "5,50 €"}, 'amount(price) > amount("5,50 €")'),
        ({"field": "tags", "is": "contains", "value": "new"}, 'has_text(tags, "new")'),
    ],
)
def test_condition_on_one_field_is_shown_in_cel_and_kept(show_if: dict[str, str], expression: str) -> None:
    dot = {"type": "shape", "name": "Dot", "fill": "#000000", "width": 9, "height": 9, "show_if": show_if}
    panel = condition(template(layers=[dot]))
    assert panel.expression == expression
    assert panel.result is not None
    set_condition(template(layers=[dot]), expression)


def test_every_bindable_property_has_a_place_in_the_form() -> None:
    assert set(PROPERTIES) == BINDABLE


def bound(document: ImageTemplate, **refused: Any) -> Any:
    layer = document.find_layer("Dot")
    assert layer is not None
    return bound_panel(document, layer, row(document), refused.get("typed", {}), refused.get("errors", {}))


def test_property_is_bound_changed_and_unbound() -> None:
    document = change(template(), do="bind", property="width", expression="price * 10")
    panel = bound(document)
    [width] = panel.properties
    assert (width.expression, width.default, width.result) == ("price * 10", "90", LiveResult("50"))
    assert "width" not in panel.unbound
    document = change(document, do="bind", property="width", expression="price", default="7")
    assert bound(document).properties[0].default == "7"
    document = change(document, do="bind", property="width", change="unbind")
    assert bound(document).properties == []
    assert document.find_layer("Dot").width == 7  # type: ignore[union-attr]


def test_value_that_a_property_cannot_have_is_named() -> None:
    document = change(template(), do="bind", property="fill", expression="price * 2")
    [fill] = bound(document).properties
    assert fill.result.is_problem
    assert fill.result.text.startswith("“price * 2” is “10”, which cannot be used")


def test_refused_bound_property_is_shown_as_typed() -> None:
    assert errors_of(template(), do="bind", property="name", expression="title") == {"property": "Choose a property"}
    assert "expression" in errors_of(template(), do="bind", property="width", expression=" ")
    typed = {"do": "bind", "property": "width", "expression": "price *"}
    panel = bound(template(), typed=typed, errors=errors_of(template(), **typed))
    assert "not complete" in panel.error
    assert panel.new["expression"] == "price *"
    document = change(template(), do="bind", property="width", expression="price")
    typed = {**typed, "default": "wide"}
    [width] = bound(document, typed=typed, errors=errors_of(document, **typed)).properties
    assert (width.expression, width.default, bool(width.error)) == ("price *", "wide", True)


def data(document: ImageTemplate, **refused: Any) -> Any:
    return data_panel(document, row(document), refused.get("typed", {}), refused.get("errors", {}))


def test_field_is_added_changed_and_removed() -> None:
    document = change(
        template(), do="field", name="old_price", type="money", currency="EUR", locale="de", default="1.299"
    )
    field = document.fields[-1]
    assert (field.label, field.currency, field.locale, field.default) == ("Old price", "EUR", "de", "1.299")
    document = change(
        document, do="field", old="old_price", name="was", label="Was", type="number", currency="", locale=""
    )
    assert [(field.name, field.currency) for field in document.fields[-1:]] == [("was", None)]
    assert len(change(document, do="field", old="was", change="remove").fields) == 4
    assert "uses the unknown field tags" in errors_of(document, do="field", old="tags", change="remove")[""]
    assert (
        "is not a currency"
        in errors_of(document, do="field", name="x", type="money", currency="EURO")["fields.5.currency"]
    )
    typed = {"do": "field", "old": "price", "name": "price", "type": "money", "default": "x"}
    forms = data(document, typed=typed, errors=errors_of(document, **typed)).fields
    assert [form.name for form in forms if form.error] == ["price"]
    assert forms[-1].name == ""


def test_computed_field_has_a_live_result() -> None:
    document = change(template(), do="computed", name="twice", value="price * 2")
    document = change(document, do="computed", name="wrong", value="title * 2")
    assert [(form.name, form.result) for form in data(document).computed[:1]] == [("twice", LiveResult("10"))]
    assert data(document).computed[1].result.is_problem
    document = change(document, do="computed", old="twice", name="triple", value="price * 3")
    assert data(document).computed[0].result == LiveResult("15")
    assert [field.name for field in change(document, do="computed", old="wrong", change="remove").computed] == [
        "triple"
    ]


def test_table_is_rows_of_keys_and_values() -> None:
    rows = {"0__key": "red", "0__value": "rot", "1__key": "", "1__value": "", "10__key": "blue", "10__value": "blau"}
    document = change(template(), do="table", name="colors", **rows)
    assert document.tables == {"colors": {"red": "rot", "blue": "blau"}}
    assert data(document).tables[0].rows == [("red", "rot"), ("blue", "blau"), ("", "")]
    document = change(document, do="table", old="colors", name="shades", **rows)
    assert list(document.tables) == ["shades"]
    document = change(document, do="computed", name="c", value='translate(title, "shades")')
    assert "unknown table shades" in errors_of(document, do="table", old="shades", change="remove")[""]
    twice = {"0__key": "a", "0__value": "1", "1__key": "a", "1__value": "2"}
    assert errors_of(document, do="table", name="t", **twice) == {
        "key": "Two rows have the key “a”. Remove one of them"
    }
    assert "Enter the key" in errors_of(document, do="table", name="t", **{"0__key": "", "0__value": "1"})["key"]
    assert "already" in errors_of(document, do="table", name="shades", **rows)["name"]


def test_functions_are_listed_with_what_they_do() -> None:
    functions = {function.name: function for function in list_functions()}
    assert functions["percent_off"].example == "percent_off(old_price, price)"
    assert functions["upper"].summary == "Change the case of a text: upper."
    assert all(function.summary.endswith((".", ";")) or function.summary for function in functions.values())


def test_unknown_change_and_layer_are_named() -> None:
    assert list(errors_of(template(), do="explode")) == ["do"]
    assert "no longer exists" in errors_of(template(), "Missing", do="condition", expression="")["layer"]
    assert "no longer exists" in errors_of(template(), "Missing", do="bind", property="x", expression="1")["layer"]


def test_each_type_and_function_has_a_text() -> None:
    assert tuple(FIELD_TYPES) == get_args(FieldType)
    assert SUMMARIES.keys() == FUNCTIONS.keys()

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine, Plan
from cwz_web.imaging.prices import hide_old_prices
from cwz_web.values.formats import ValueFormat, json_number, with_format

BOX: dict[str, Any] = {"x": 0, "y": 0, "width": 200, "height": 40, "size": 20}


def create_plan(**field: str) -> Plan:
    layers = [
        {"type": "text", "name": "Price", "text": "{{ price }}", **BOX},
        {"type": "text", "name": "Before", "text": "was {{ old_price }}", "show_if": {"field": "old_price"}, **BOX},
        {"type": "text", "name": "Sale", "text": "Sale", "show_if": {"field": "old_price"}, **BOX},
    ]
    fields = [{"name": "price", "label": "Price"}, {"name": "old_price", "label": "Before", **field}]
    document = {"canvas": {"width": 200, "height": 40}, "fields": fields, "layers": layers}
    return Engine().plan(ImageTemplate.model_validate(document))


def digest(plan: Plan, data: dict[str, str]) -> str:
    return plan.image_digest(plan.fill_values(data), {}, Output())


@pytest.mark.parametrize(
    ("price", "old_price"),
    [
        ("15.00", "20.00"),
        ("999,00 €", "1.000,00 €"),
        ("15", "20 EUR"),
        ("149 kr", "199 kr"),
        ("15&nbsp;&euro;", "<b>20 €</b>"),
        ("-", ""),
        ("15.00", " "),
        (json_number(1.333), json_number(1.334)),
        (with_format("999", ValueFormat(decimal="comma")), with_format("1.234", ValueFormat(decimal="comma"))),
    ],
)
def test_higher_old_price_is_shown(price: str, old_price: str) -> None:
    assert hide_old_prices({"price": price, "old_price": old_price}) == {}


@pytest.mark.parametrize(
    ("price", "old_price"),
    [("20.00", "20.00"), ("25.00", "20.00"), ("20 €", "19,99 €"), ("199 kr", "199 kr"), ("0", "0"), ("79 EUR", "79")],
)
def test_old_price_that_is_not_higher_is_hidden(price: str, old_price: str) -> None:
    hidden = hide_old_prices({"price": price, "compare_at_price": old_price})["compare_at_price"]
    assert (hidden, hidden.text, hidden.unclear) == ("", old_price, None)


@pytest.mark.parametrize(
    ("price", "old_price", "reason"),
    [
        ("15.00", "N/A", "is not a number"),
        ("15.00", "10-20 EUR", "is not one number"),
        ("10-20 EUR", "30", "cannot be compared with the price “10-20 EUR”, which is not one number"),
        ("15.00 EUR", "20.00 USD", "is in another currency than the price: USD, not EUR"),
        ("", "20.00", "cannot be compared, since there is no price"),
        ("kr 149", "199 EUR", "cannot be compared with the price “kr 149”"),
        ("10% €", "20% €", "is a percentage"),
    ],
)
def test_old_price_that_cannot_be_compared_is_a_finding(price: str, old_price: str, reason: str) -> None:
    data = {"price": price, "old_price": old_price}
    plan = create_plan()
    hidden = hide_old_prices(data)["old_price"]
    sent = copy.copy(hidden)  # as pickle does for a child process
    assert (sent, sent.text, sent.unclear) == ("", old_price, hidden.unclear)
    for findings in (plan.compose(plan.fill_values(data), {}).findings, plan.lint(plan.fill_values(data), {})):
        found = [finding for finding in findings if finding.code == "value_unclear"]
        assert [finding.layer for finding in found] == ["Before", "Sale"]
        assert all(f"leaves out the field “old_price”: “{old_price}” {reason}" in each.message for each in found)
    assert digest(plan, data) != digest(plan, data | {"old_price": ""}), "a cached image has its own findings"


def test_hidden_old_price_is_an_empty_one() -> None:
    plan = create_plan()
    assert digest(plan, {"price": "20", "old_price": "20"}) == digest(plan, {"price": "20"})
    assert digest(plan, {"price": "20", "old_price": "21"}) != digest(plan, {"price": "20"})
    values = [plan.fill_values({"price": "20", "old_price": old_price}) for old_price in ("20", "")]
    assert len({plan.compose(each, {}).pixels.tobytes() for each in values}) == 1
    assert not plan.compose(values[0], {}).findings


def test_default_is_compared_as_well() -> None:
    plan = create_plan(default="79 EUR")
    assert digest(plan, {"price": "99 EUR"}) == digest(plan, {"price": "99 EUR", "old_price": ""})


@pytest.mark.parametrize(
    ("field", "text", "is_found"),
    [
        ({"name": "price"}, "0", True),
        ({"name": "price"}, "0,00 €", True),
        ({"name": "price"}, "<b>0.00</b>", True),
        ({"name": "price"}, "0.50 EUR", False),
        ({"name": "price"}, "", False),
        ({"name": "amount", "type": "money"}, "0", True),
        ({"name": "amount", "type": "money"}, "", False),
        ({"name": "amount"}, "0 EUR", False),
        ({"name": "stock", "type": "number"}, "0", False),
    ],
)
def test_price_of_zero_is_a_finding(field: dict[str, str], text: str, is_found: bool) -> None:
    name = field["name"]
    layers = [
        {"type": "text", "name": "Formatted", "text": f'{{{{ {name} | money("EUR") }}}}', **BOX},
        {"type": "text", "name": "Plain", "text": f"{{{{ {name} }}}}", **BOX},
        {"type": "text", "name": "Hidden", "text": f"{{{{ {name} | money }}}}", **BOX}
        | {"show_if": {"field": name, "is": "empty"}},
    ]
    document = {"canvas": {"width": 200, "height": 40}, "fields": [{"label": "Price", **field}], "layers": layers}
    plan = Engine().plan(ImageTemplate.model_validate(document))
    values = plan.fill_values({name: text})
    for findings in (plan.compose(values, {}).findings, plan.lint(values, {})):
        found = [(each.layer, each.message) for each in findings if each.code == "value_unclear"]
        message = f"shows a price of 0, the value of the field “{name}”"
        assert found == ([("Formatted", message), ("Plain", message)] if is_found else [])


@pytest.mark.parametrize(
    ("expression", "price", "is_found"),
    [
        ('money(price, "EUR")', "0", True),
        ('"from " + money(amount, "EUR")', "0", True),
        ('money(price, "EUR")', "5", False),
        ('amount > 0 ? money(amount, "EUR") : "Free"', "0", False),
        ('money(price, "EUR") == "" ? "x" : "y"', "0", False),
        ('money(amount - 5, "EUR")', "5", False),
        ("string(title)", "0", False),
    ],
)
def test_price_of_zero_in_a_computed_field_is_a_finding(expression: str, price: str, is_found: bool) -> None:
    fields = [{"name": name, "label": name, "type": kind} for name, kind in [("price", "text"), ("amount", "money")]]
    document = {
        "canvas": {"width": 200, "height": 40},
        "fields": [*fields, {"name": "title", "label": "Title", "type": "text"}],
        "computed": [{"name": "shown", "value": expression}, {"name": "longer", "value": '"Now " + shown'}],
        "layers": [{"type": "text", "name": each, "text": f"{{{{ {each} }}}}", **BOX} for each in ("shown", "longer")],
    }
    plan = Engine().plan(ImageTemplate.model_validate(document))
    values = plan.fill_values({"price": price, "amount": price, "title": "0"})
    for findings in (plan.compose(values, {}).findings, plan.lint(values, {})):
        found = [each.message for each in findings if each.code == "value_unclear"]
        message = "shows a price of 0, the value of the field “{}”"
        assert found == ([message.format("shown"), message.format("longer")] if is_found else [])


def test_old_price_without_a_field_for_the_price_is_shown() -> None:
    assert hide_old_prices({"old_price": "20"}) == {}


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_compared(price: str, old_price: str) -> None:
    hidden = hide_old_prices({"price": price, "old_price": old_price})
    if old_price == price and old_price.strip():
        assert list(hidden) == ["old_price"]

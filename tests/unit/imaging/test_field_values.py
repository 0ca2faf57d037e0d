import pickle
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine, Plan
from cwz_web.imaging.expressions import FieldValue
from cwz_web.imaging.field_values import FieldText, FieldType, computed_text, read_field
from cwz_web.imaging.findings import FindingCode
from cwz_web.imaging.lists import split_list
from cwz_web.values.formats import DecimalSign, FormattedText, Unclear, ValueFormat, json_number, with_format
from cwz_web.values.numbers import Money


def plan(text: str, fields: dict[str, Any], computed: dict[str, str] | None = None, **more: Any) -> Plan:
    """Return the plan of a template with a text, and fields by name with their types or values."""
    layer = {"type": "text", "name": "t", "text": text, "x": 0, "y": 0, "width": 200, "height": 40, "size": 20}
    document = {
        "version": 3,
        "canvas": {"width": 200, "height": 40},
        "fields": [
            {"name": name, "label": name, **({"type": value} if isinstance(value, str) else value)}
            for name, value in fields.items()
        ],
        "computed": [{"name": name, "value": value} for name, value in (computed or {}).items()],
        "layers": [layer],
        **more,
    }
    return Engine().plan(ImageTemplate.model_validate(document))


def shown(plan: Plan, **data: str) -> str:
    """Return the text of a row."""
    return plan.template.layers[0].bound_texts()[0].resolve(plan.fill_values(data))[0]


def messages(plan: Plan, **data: str) -> list[str]:
    findings = plan.lint(plan.fill_values(data), {})
    return [finding.message for finding in findings if finding.code == FindingCode.VALUE_UNCLEAR]


@pytest.mark.parametrize(
    ("field_type", "text", "value"),
    [
        ("text", "Tom &amp; Jerry", "Tom & Jerry"),
        ("image", "https://a.example/?a=1&amp;b", "https://a.example/?a=1&amp;b"),
        ("number", "1,299.5", Decimal("1299.5")),
        ("number", " ", None),
        ("number", json_number("1.299"), Decimal("1.299")),
        ("money", "19.90 EUR", Money(Decimal("19.90"), "EUR")),
        ("money", FormattedText("19,90", ValueFormat(currency="CHF")), Money(Decimal("19.90"), "CHF")),
        ("date", "24 December 2026", date(2026, 12, 24)),
        ("boolean", "Yes", True),
        ("boolean", "0", False),
        ("boolean", "", None),
        ("color", "E4572E", "#e4572e"),
        ("color", "#fa0", "#ffaa00"),
        ("color", "#11223344", "#11223344"),
        ("list", "a | b|", ("a", "b")),
        ("list", "", ()),
    ],
)
def test_value_by_type(field_type: FieldType, text: str, value: FieldValue) -> None:
    assert read_field(field_type, text) == value


@pytest.mark.parametrize(
    ("field_type", "text"),
    [
        ("number", "soon"),
        ("number", "1.234"),
        ("money", "5%"),
        ("date", "1/2/2026"),
        ("boolean", "maybe"),
        ("color", "red"),
    ],
)
def test_text_that_does_not_fit_its_type(field_type: FieldType, text: str) -> None:
    assert isinstance(read_field(field_type, text), Unclear)


def test_default_takes_the_place_of_a_value_that_does_not_fit() -> None:
    stock = plan("{{ stock }} {{ twice }}", {"stock": {"type": "number", "default": "3"}}, {"twice": "stock * 2"})
    assert shown(stock, stock="4") == "4 8"
    assert shown(stock) == "3 6"
    assert shown(stock, stock="") == " "
    assert shown(stock, stock="many") == "3 6"
    assert messages(stock, stock="many") == ["uses the default of the field “stock”: “many” is not a number"]
    assert not messages(stock, stock="")


def test_default_is_validated_by_type() -> None:
    with pytest.raises(ValidationError, match="The default of the field “stock” is not a number"):
        plan("", {"stock": {"type": "number", "default": "many"}})


def test_computed_field_is_used_like_a_field() -> None:
    fields = {"price": "money", "old_price": "money", "stock": "number"}
    computed = {
        "badge": 'discount >= 20 ? "Sale " + label : label',
        "label": '"-" + string(discount) + "%"',
        "discount": "percent_off(old_price, price)",
    }
    template = plan("{{ badge }}, {{ discount | number('de') }}", fields, computed)
    assert shown(template, price="19.90 EUR", old_price="25 EUR") == "Sale -20%, 20"
    assert shown(template, price="19.90 EUR", old_price="") == ", "
    assert shown(template, price="19.90 EUR", old_price="9 EUR") == ", ", "a lower old price is not shown"
    assert template.used_fields == template.content_fields("t") == {"price", "old_price"}
    condition = {"show_if": {"field": "discount", "is": "more", "value": "10"}}
    document = template.template.model_dump(mode="json")
    document["layers"][0] |= condition
    hidden = Engine().plan(ImageTemplate.model_validate(document))
    values = hidden.fill_values({"price": "24 EUR", "old_price": "25 EUR"})
    assert hidden.image_digest(values, {}, Output()) == hidden.image_digest({**values, "badge": "x"}, {}, Output())


def test_computed_field_that_fails_is_a_finding() -> None:
    template = plan("{{ a }}{{ b }}", {"x": "text"}, {"a": "amount(x) * 2", "b": "a + 1"})
    assert shown(template, x="soon") == ""
    expected = "has no value for the computed field “a”: “amount(x) * 2” reads “soon”, which is not a number"
    assert messages(template, x="soon") == [expected]
    one, other = (template.fill_values({"x": text}) for text in ("", "soon"))
    assert template.image_digest(one, {}, Output()) != template.image_digest(other, {}, Output())


def test_translation_by_a_table_of_the_template() -> None:
    template = plan("{{ a }}", {"x": "text"}, {"a": 'translate(x, "colors")'}, tables={"colors": {"red": "rot"}})
    assert shown(template, x="red") == "rot"


def test_value_of_a_field_survives_pickling() -> None:
    text = computed_text(5.0, "2 + 3")
    copy = pickle.loads(pickle.dumps(text))  # noqa: S301
    assert isinstance(copy, FieldText)
    assert (copy, copy.value, copy.is_number) == ("5", 5.0, True)


@pytest.mark.parametrize("items", [["a", "b"], ["a; b"], ["a|b", "c"], []])
def test_computed_list_keeps_its_items(items: list[str]) -> None:
    text = computed_text(items, "x")
    assert split_list(text) == items
    assert text.value == tuple(items)


@pytest.mark.parametrize(
    ("computed", "message"),
    [
        ({"a": "b", "b": "c", "c": "a"}, "depend on one another: “"),
        ({"a": "a + 1"}, "depend on one another: “a” → “a”"),
        ({"a": "nothing"}, "The computed field “a” uses the unknown field nothing. The template has: a, n, sale, x"),
        ({"x": "1"}, "Two fields have the same name: x"),
        ({"a": "1 +"}, "The expression is not complete"),
        ({"a": "x == 5"}, "compares “x”, whose type is text, with a number, so that they always differ"),
        ({"a": "5 != x"}, "or use amount(x)"),
        ({"a": 'n == "5"'}, "compares “n”, whose type is number, with a string"),
        ({"a": 'sale == "yes"'}, "compares “sale”, whose type is boolean, with a string"),
        ({"a": 'translate(x, "colors")'}, "uses the unknown table colors. The template has: no tables"),
    ],
)
def test_invalid_computed_field(computed: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        plan("", {"x": "text", "n": "number", "sale": "boolean"}, computed)
    assert message in str(error.value)


def test_digest_of_a_plan_depends_on_what_layers_use() -> None:
    def digest(**more: Any) -> str:
        return plan("{{ a }}", {"x": "text"}, {"a": "x", **more}).digest

    assert digest(unused="x + x") == digest()
    assert digest(a="upper(x)") != digest()


def test_market_decides_what_the_template_leaves_open() -> None:
    text = "{{ price | money }} {{ price | money('CHF', 'en') }} {{ end | date('long') }} {{ n | number }} {{ badge }}"
    fields = {"price": "text", "end": "text", "n": "number"}
    market = plan(text, fields, {"badge": "money(amount(price) * 2) + date(end, 'short', 'en')"})
    data = {"price": FormattedText("19.90", ValueFormat(currency="EUR")), "end": "2026-12-24", "n": "1234.5"}

    def resolve(**options: str) -> str:
        values = market.fill_values(data, Output(**options))
        return market.template.layers[0].bound_texts()[0].resolve(values)[0].replace("\xa0", " ")

    assert resolve() == "€19.90 CHF 19.90 December 24, 2026 1,234.5 €39.8012/24/26"
    german = "19,90 $ CHF 19.90 24. Dezember 2026 1.234,5 39,80 $12/24/26"
    assert resolve(output_locale="de", output_currency="USD") == german


def test_market_of_an_image_that_shows_no_number_has_no_effect_on_its_digest() -> None:
    market = plan("{{ x }}", {"x": "text"})
    outputs = Output(), Output(output_locale="de", output_currency="USD")
    digests = {market.image_digest(market.fill_values({"x": "a"}, output), {}, output) for output in outputs}
    assert len(digests) == 1
    assert "output_locale" not in Output().model_dump()


def test_field_says_how_its_values_are_written_where_nothing_else_does() -> None:
    field = {"name": "x", "label": "X", "type": "money", "default": "1.299", "locale": "de", "currency": "EUR"}
    layer = {"type": "text", "name": "t", "text": "{{ x | currency }}", "size": 12, "width": 90, "height": 20}
    document = ImageTemplate.model_validate(
        {
            "canvas": {"width": 90, "height": 20},
            "fields": [field],
            "layers": [layer],
            "computed": [{"name": "y", "value": "money(x * 2)"}],
        }
    )
    plan = Engine().plan(document)

    def shown(text: str | None = None, output: Output | None = None) -> tuple[str, str]:
        values = plan.fill_values({} if text is None else {"x": text}, output or Output())
        return plan.template.layers[0].bound_texts()[0].resolve(values)[0], values["y"]

    assert shown() == ("€1,299", "€2,598")
    assert shown("2.500") == ("€2,500", "€5,000")
    assert shown("2.50 USD") == ("$2.50", "$5")
    assert shown(with_format("2.500", ValueFormat(decimal=DecimalSign.POINT, currency="USD"))) == ("$2.50", "$5")
    assert shown("3", Output(output_currency="USD")) == ("$3", "$6")
    plain = {**field, "default": "", "locale": None, "currency": None}
    assert (
        "locale"
        not in ImageTemplate.model_validate({**document.canonical(), "fields": [plain]}).canonical()["fields"][0]
    )
    with pytest.raises(ValidationError, match="is not a locale"):
        ImageTemplate.model_validate({**document.canonical(), "fields": [{**field, "locale": "xx-1"}]})

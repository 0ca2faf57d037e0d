from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cwz_web.imaging import tree_checks
from cwz_web.imaging.compositing import Pixels
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine, Plan
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.imaging.expressions import parse_expression
from cwz_web.imaging.findings import MAX_MESSAGE_LENGTH
from cwz_web.imaging.layers import ShapeLayer
from tests.factories import jpeg

RED = Source.of(jpeg(color=(250, 0, 0)))
WHITE, BLACK, GREEN = [255, 255, 255], [0, 0, 0], [0, 255, 0]


def template(*layers: dict[str, Any], **more: Any) -> ImageTemplate:
    fields = [
        {"name": "brand", "label": "Brand", "type": "color"},
        {"name": "stock", "label": "Stock", "type": "number"},
        {"name": "name", "label": "Name"},
    ]
    canvas = {"width": 100, "height": 100}
    return ImageTemplate.model_validate({"version": 3, "canvas": canvas, "fields": fields, "layers": layers, **more})


def plan(*layers: dict[str, Any], scale: int = 1) -> Plan:
    return Engine().plan(template(*layers), scale=scale)


def shape(name: str = "s", **more: Any) -> dict[str, Any]:
    return {"type": "shape", "name": name, "fill": "#000000", "x": 0, "y": 0, "width": 50, "height": 50, **more}


def bound(value: str, default: Any) -> dict[str, Any]:
    return {"value": value, "default": default}


def load(reference: str) -> Source:
    if reference != "red":
        raise SourceMissingError("The URL returned 404")
    return RED


def render(plan: Plan, **data: str) -> Pixels:
    values = plan.fill_values(data)
    return plan.compose(values, plan.load_sources(values, load)).pixels[..., :3]


def messages(plan: Plan, **data: str) -> list[str]:
    """Return the findings of a row, which the designer and a rendered image have in common."""
    values = plan.fill_values(data)
    sources = plan.load_sources(values, load)
    found = [finding.message for finding in plan.compose(values, sources).findings]
    assert found == [finding.message for finding in plan.lint(values, sources)]
    return found


def digest(plan: Plan, **data: str) -> str:
    values = plan.fill_values(data)
    return plan.image_digest(values, plan.load_sources(values, load), Output())


def test_color_comes_from_the_data() -> None:
    bound_color = plan(shape(fill=bound("brand", "#000000")))
    assert render(bound_color, brand="#00ff00")[10, 10].tolist() == GREEN
    assert render(bound_color, brand="0f0")[10, 10].tolist() == GREEN
    assert render(bound_color)[10, 10].tolist() == BLACK
    assert bound_color.used_fields == {"brand"}
    assert len({digest(bound_color, brand=color) for color in ("#00ff00", "", "#ff0000")}) == 3


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("name", "is “red”, which cannot be used: String should match pattern"),
        ("stock", "is “5”, which cannot be used"),
        ("amount(name)", "reads “red”, which is not a number"),
    ],
)
def test_default_takes_the_place_of_a_value_that_cannot_be_used(expression: str, reason: str) -> None:
    bound_color = plan(shape(fill=bound(expression, "#00ff00")))
    assert render(bound_color, name="red", stock="5")[10, 10].tolist() == GREEN
    [message] = messages(bound_color, name="red", stock="5")
    assert message.startswith(f"has its default fill: “{expression}” {reason}")
    assert digest(bound_color, name="red", stock="5") != digest(plan(shape(fill="#00ff00")))


def test_length_is_rounded_and_scaled() -> None:
    moved = shape(x=bound("stock * 10 + 0.4", 0), width=bound("stock * 5", 1))
    assert render(plan(moved), stock="4")[10, 38:62, 0].tolist() == [255] * 2 + [0] * 20 + [255] * 2
    assert render(plan(moved, scale=2), stock="4")[10, 78:122, 0].tolist() == [255] * 2 + [0] * 40 + [255] * 2


def test_layer_is_placed_by_its_bound_properties() -> None:
    wide = plan(shape(x=0, width=bound("stock * 10", 10)))
    values = wide.fill_values({"stock": "7"})
    assert [placed.layer.width for placed in wide.place(values, {})] == [70]


def test_opacity_is_a_fraction() -> None:
    faded = plan(shape(opacity=bound("stock / 10", 1)))
    assert render(faded, stock="5")[10, 10].tolist() == [127, 127, 127]
    assert messages(faded, stock="20") == [
        "has its default opacity: “stock / 10” is “2”, which cannot be used: Input should be less than or equal to 1"
    ]


def test_font_size_weight_and_color_of_a_text() -> None:
    text = {"type": "text", "name": "t", "text": "{{ name }}", "x": 0, "y": 0, "width": 100, "height": 50, "size": 20}
    changed = {
        "size": bound("stock * 10", 20),
        "weight": bound("stock > 2 ? 700 : 400", 400),
        "color": bound("brand", "#000000"),
        "font": bound('stock > 2 ? "Lora" : "Inter"', "Inter"),
    }
    row = {"name": "Ab", "stock": "3", "brand": "#ff0000"}
    expected = plan(text | {"size": 30, "weight": 700, "color": "#ff0000", "font": "Lora"})
    bound_text = plan(text | changed)
    assert (render(bound_text, **row) == render(expected, **row)).all()
    assert not (render(bound_text, **row | {"brand": "#0000ff"}) == render(expected, **row)).all()
    assert not (render(bound_text, **row | {"stock": "2"}) == render(expected, **row)).all()
    assert messages(plan(text | {"font": bound("name", "Inter")}), name="Nonsense")


def test_source_and_focus_of_an_image() -> None:
    image = {"type": "image", "name": "i", "x": 0, "y": 0, "width": 50, "height": 50, "missing": "skip"}
    photo = plan({**image, "source": bound("lower(name)", ""), "focus": bound("[stock, 0.5]", "center")})
    assert render(photo, name="RED", stock="1")[10, 10, 0] > 240
    assert render(photo, name="")[10, 10].tolist() == WHITE
    assert photo.content_fields("i") == {"name"}
    values = photo.fill_values({"name": "{{ brand }}"})
    assert list(photo.load_sources(values, load)) == ["{{ brand }}"], "a value has no bindings"


def test_layers_in_a_group_have_bound_properties() -> None:
    group = {"type": "group", "name": "g", "x": 0, "y": 0, "width": 100, "height": 100}
    inside = plan({**group, "opacity": bound("stock", 1), "layers": [shape(fill=bound("brand", "#000000"))]})
    assert render(inside, brand="#00ff00")[10, 10].tolist() == GREEN
    assert render(inside, brand="#00ff00", stock="0")[10, 10].tolist() == WHITE
    assert digest(inside, brand="#00ff00") != digest(inside, brand="#ff0000")


def test_stack_has_bound_properties() -> None:
    stack = {"type": "stack", "name": "k", "width": 100, "height": 100, "padding": 50}
    colored = plan(
        {**stack, "background": bound("brand", "#000000"), "layers": [shape(fill=bound("brand", "#000000"))]}
    )
    for color, pixel in (("#00ff00", GREEN), ("#ffffff", WHITE), ("", BLACK)):
        assert render(colored, brand=color)[10, 10].tolist() == pixel


def test_condition_is_an_expression() -> None:
    condition = plan(shape(show_if='stock < 5 && has_text(name, "sale")'))
    assert render(condition, stock="3", name="Sale")[10, 10].tolist() == BLACK
    assert render(condition, stock="7", name="Sale")[10, 10].tolist() == WHITE
    assert condition.used_fields == {"stock", "name"}
    assert digest(condition, stock="1", name="sale") == digest(condition, stock="2", name="SALE!")
    assert messages(condition, stock="", name="Sale") == []
    assert render(condition, stock="", name="Sale")[10, 10].tolist() == WHITE


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("amount(name) > 5", "is hidden because of its condition: “amount(name) > 5” reads “x”, which is not a number"),
        ("name", "is hidden because of its condition: “name” is neither true nor false, but “x”"),
    ],
)
def test_condition_that_fails_hides_the_layer(expression: str, message: str) -> None:
    condition = plan(shape(show_if=expression))
    assert render(condition, name="x")[10, 10].tolist() == WHITE
    assert messages(condition, name="x") == [message]


def test_expression_without_fields_is_evaluated_for_each_row() -> None:
    assert render(plan(shape(show_if="days_until('2020-01-01') > 0")))[10, 10].tolist() == WHITE
    assert render(plan(shape(fill=bound("'#00ff00'", "#000000"))))[10, 10].tolist() == GREEN


def test_document_has_the_default_and_the_expression() -> None:
    first = template(shape(fill=bound("brand", "#000000")))
    layer = first.layers[0]
    assert isinstance(layer, ShapeLayer)
    assert (layer.fill, layer.bound) == ("#000000", {"fill": "brand"})
    assert ImageTemplate.model_validate(first.canonical()) == first
    assert "bound" not in template(shape()).canonical()["layers"][0]
    schema = ImageTemplate.model_json_schema()["$defs"]["ShapeLayer"]["properties"]
    assert schema["fill"]["anyOf"][1]["properties"]["value"]["type"] == "string"
    assert "anyOf" not in schema["name"]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (shape(fill=bound("brand", "red")), "String should match pattern"),
        (shape(fill=bound("brand +", "#000000")), "The expression is not complete"),
        (shape(fill=bound("brnad", "#000000")), "The layer “s” uses the unknown field brnad"),
        (shape(width={"value": "stock"}), "Enter the width"),
        (shape(bound={"name": "name"}), "name cannot be bound. Use one of: fill"),
        (shape(show_if="stock <"), "The expression is not complete"),
        (shape(show_if="nothing"), "uses the unknown field nothing"),
    ],
)
def test_invalid_expression_of_a_layer(layer: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        template(layer)
    assert message in str(error.value)


def test_number_of_expressions_is_limited_before_they_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_checks, "MAX_EXPRESSIONS", 4)
    layer = shape(x=bound("stock * 2", 0), bound={"y": "stock * 3"}, show_if="stock > 4")
    group = {"type": "group", "name": "g", "width": 9, "height": 9, "layers": [layer]}
    computed = [{"name": "double", "value": "stock * 5"}]
    template(group, computed=computed)
    monkeypatch.setattr(tree_checks, "MAX_EXPRESSIONS", 3)
    compiled = parse_expression.cache_info().misses
    with pytest.raises(ValidationError, match="The template has 4 expressions; the limit is 3"):
        template({**group, "show_if": {"field": "name"}}, computed=computed)
    assert parse_expression.cache_info().misses == compiled


def test_findings_have_a_limited_length() -> None:
    (message,) = messages(plan(shape(fill=bound("name", "#000000"), name="A" * 60)), name="x" * 5000)
    assert len(message) < MAX_MESSAGE_LENGTH
    text = {"type": "text", "name": "t", "text": "a", "size": 9, "width": 9, "height": 9}
    (message, *_) = messages(plan({**text, "font": bound("name", "Inter")}), name="x" * 5000)
    assert len(message) <= MAX_MESSAGE_LENGTH


SPANS: list[dict[str, Any]] = [
    {"text": "Only "},
    {
        "text": "{{ name }}",
        "color": {"value": "brand", "default": "#00aa00"},
        "weight": {"value": "stock < 5 ? 700 : 400"},
        "strike": {"value": "stock == 0", "default": False},
        "highlight": {"value": 'stock < 5 ? "#ffff00" : ""'},
        "scale": {"value": "stock / 10", "default": 1},
    },
]


def span_template(*spans: dict[str, Any]) -> ImageTemplate:
    text = {"type": "text", "name": "t", "spans": spans, "size": 30, "x": 0, "y": 0, "width": 300, "height": 100}
    fields = [
        {"name": "name", "label": "Name"},
        {"name": "brand", "label": "Brand"},
        {"name": "stock", "label": "Stock", "type": "number"},
    ]
    return ImageTemplate.model_validate({"canvas": {"width": 300, "height": 100}, "fields": fields, "layers": [text]})


def test_style_of_a_span_comes_from_the_data() -> None:
    plan, engine = Engine().plan(span_template(*SPANS)), Engine()

    def check(data: dict[str, str], **style: Any) -> None:
        fixed = span_template(SPANS[0], {"text": "{{ name }}", **style})
        expected = engine.plan(fixed)
        values = plan.fill_values({"name": "left", **data})
        composed, wanted = plan.compose(values, {}), expected.compose(expected.fill_values({"name": "left"}), {})
        np.testing.assert_array_equal(composed.pixels, wanted.pixels)
        assert composed.findings == ()

    check({"brand": "#ff0000", "stock": "15"}, color="#ff0000", weight=400, scale=1.5)
    check({"brand": "", "stock": ""}, color="#00aa00")
    check({"brand": "#0000ff", "stock": "4"}, color="#0000ff", weight=700, highlight="#ffff00", scale=0.4)


def test_style_of_a_span_that_cannot_be_used_is_a_finding() -> None:
    plan = Engine().plan(span_template(*SPANS))
    finding, scale = plan.compose(plan.fill_values({"name": "x", "brand": "red", "stock": "0"}), {}).findings
    assert finding.message.startswith("has its default color of span 2: “brand” is “red”, which cannot be used")
    assert scale.message.startswith("has its default scale of span 2: “stock / 10” is “0”")


def test_digest_depends_on_the_styles_of_spans() -> None:
    plan = Engine().plan(span_template(*SPANS))
    rows = [{"brand": brand, "stock": "9"} for brand in ("#ff0000", "#0000ff", "#ff0000")]
    digests = [plan.image_digest(plan.fill_values(row), {}, Output()) for row in rows]
    assert digests[0] == digests[2] != digests[1]
    assert plan.used_fields == {"name", "brand", "stock"}


def test_font_of_a_span_is_loaded_if_the_row_chooses_an_upload() -> None:
    upload = f"upload:{'a' * 64}"
    template = span_template({"text": "x", "font": {"value": "name", "default": "Lora"}})
    plan, asked = Engine().plan(template), list[str]()

    def load(reference: str) -> Source:
        asked.append(reference)
        return Source(b"", reference)

    plan.load_sources(plan.fill_values({"name": upload}), load)
    plan.load_sources(plan.fill_values({"name": "Inter"}), load)
    assert asked == [upload]


def test_bound_properties_of_spans_are_checked_and_counted() -> None:
    with pytest.raises(ValidationError, match=r"position cannot be bound\. Use one of: color, font, highlight"):
        span_template({"text": "x", "bound": {"position": "brand"}})
    with pytest.raises(ValidationError, match="uses the unknown field absent"):
        span_template({"text": "x", "color": {"value": "absent"}})
    many = [{"text": "x", "color": {"value": f'"#{number:06x}"'}, "font": {"value": "name"}} for number in range(30)]
    document = span_template({"text": "x"}).canonical()
    text = document["layers"][0]
    document["layers"] = [text | {"name": str(at), "text": None, "spans": many} for at in range(5)]
    with pytest.raises(ValidationError, match="The template has 300 expressions; the limit is 250"):
        ImageTemplate.model_validate(document)
    schema = ImageTemplate.model_json_schema()["$defs"]["TextSpan"]["properties"]
    assert "value" in schema["color"]["anyOf"][1]["properties"]
    assert "anyOf" not in schema["position"]

"""What the layers of a repeated stack use of its entries: in texts, spans, conditions and bound properties."""

import json
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.imaging import tree_checks
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine, Plan
from cwz_web.imaging.expressions import ExpressionError, parse_expression
from cwz_web.imaging.layers import TextLayer
from cwz_web.imaging.lists import split_list
from cwz_web.imaging.placement import PlacedLayer
from cwz_web.values.formats import ValueFormat, with_format

REVIEWS = json.dumps(
    [
        {"author": "Ada", "stars": 5, "verified": True},
        {"author": "Tom &amp; Jo", "stars": 2.5, "note": None},
        {"author": "", "stars": "soon", "tags": ["old", "long"]},
    ]
)


def template(*layers: dict[str, Any], **more: Any) -> ImageTemplate:
    fields = [
        {"name": "tags", "label": "Tags", "type": "list", "default": "new|sale|eco"},
        {"name": "reviews", "label": "Reviews", "type": "list", "default": REVIEWS},
        {"name": "stock", "label": "Stock", "type": "number", "default": "2"},
        {"name": "plain", "label": "Plain"},
    ]
    canvas = {"width": 400, "height": 300}
    return ImageTemplate.model_validate({"version": 3, "canvas": canvas, "fields": fields, "layers": layers, **more})


def stack(
    *layers: dict[str, Any], field: str = "tags", name: str = "Stack", limit: int = 5, **more: Any
) -> dict[str, Any]:
    repeat = {"field": field, "limit": limit}
    return {"type": "stack", "name": name, "width": 200, "height": 200, "layers": layers, "repeat": repeat, **more}


def shape(name: str = "Dot", **more: Any) -> dict[str, Any]:
    return {"type": "shape", "name": name, "fill": "#000000", "width": 10, "height": 10, **more}


def text(content: str, name: str = "Text", **more: Any) -> dict[str, Any]:
    return {"type": "text", "name": name, "text": content, "size": 12, "width": 90, "height": 20, **more}


def place(plan: Plan, **data: str) -> list[PlacedLayer]:
    values = pickle.loads(pickle.dumps(plan.fill_values(data)))  # noqa: S301 - as a render process gets them
    return [each for layer in plan.place(values, {}) for each in layer.walk()]


def texts(*layers: dict[str, Any], **data: str) -> list[str]:
    """Return the contents of the texts that a row shows."""
    placed = place(Engine().plan(template(*layers)), **data)
    return ["".join(each.planned.texts(each.values)) for each in placed if each.layer.type == "text"]


def messages(*layers: dict[str, Any], **data: str) -> list[str]:
    plan = Engine().plan(template(*layers))
    values = plan.fill_values(data)
    found = [finding.message for finding in plan.compose(values, {}).findings]
    assert found == [finding.message for finding in plan.lint(values, {})]
    return found


def test_texts_and_spans_show_the_entry_its_number_and_their_count() -> None:
    assert texts(stack(text("{{ index }}/{{ count }} {{ item | upper }}"))) == ["1/3 NEW", "2/3 SALE", "3/3 ECO"]
    spans = [{"text": "{{ item }}"}, {"text": " ({{ index }})", "weight": 700}]
    assert texts(stack(text("", text=None, spans=spans), limit=2)) == ["new (1)", "sale (2)"]
    assert texts(stack(text("{{ count }}"), limit=2)) == ["2", "2"]


def test_conditions_use_the_entry() -> None:
    assert texts(stack(text("{{ item }}", show_if='item != "sale"'))) == ["new", "eco"]
    assert texts(stack(text("{{ item }}", show_if="index < count"))) == ["new", "sale"]
    assert texts(stack(text("{{ item }}", show_if={"field": "item", "is": "contains", "value": "E"}))) == [
        "new",
        "sale",
        "eco",
    ]
    assert texts(stack(text("{{ item }}", show_if="index <= stock && item in tags"))) == ["new", "sale"]


def test_bound_properties_use_the_entry() -> None:
    dots = stack(
        shape(width={"value": "index * 10 + stock", "default": 1}, opacity={"value": "index / count", "default": 1})
    )
    found = [each.layer for each in place(Engine().plan(template(dots))) if each.layer.name == "Dot"]
    assert [(dot.width, round(dot.opacity, 2)) for dot in found] == [(12, 0.33), (22, 0.67), (32, 1.0)]


def test_bound_property_is_scaled_once_for_each_entry() -> None:
    plan = Engine().plan(template(stack(shape(width={"value": "index * 10", "default": 1}))), scale=2)
    assert [each.layer.width for each in place(plan) if each.layer.name == "Dot"] == [20, 40, 60]


def test_image_differs_if_an_entry_does() -> None:
    plan = Engine().plan(
        template(stack(shape(fill={"value": 'item == "a" ? "#ff0000" : "#00ff00"', "default": "#000000"})))
    )
    rows = [plan.fill_values({"tags": tags}) for tags in ("a|b", "b|a", "c|a", "a|b|c")]
    digests = [plan.image_digest(row, {}, Output()) for row in rows]
    assert digests[1] == digests[2], "both show the same"
    assert len(set(digests)) == 3
    pixels = [plan.compose(row, {}).pixels for row in rows[:2]]
    assert [[each[5, 5, :3].tolist(), each[15, 5, :3].tolist()] for each in pixels] == [
        [[255, 0, 0], [0, 255, 0]],
        [[0, 255, 0], [255, 0, 0]],
    ]


def test_members_of_an_entry() -> None:
    author = "{{ index }} {{ item.author }} {{ item.stars }} {{ item.verified }} {{ item.none }}|"
    assert texts(stack(text(author), field="reviews")) == ["1 Ada 5 true |", "2 Tom & Jo 2.5  |", "3  soon  |"]
    for condition, shown in (
        ("item.stars > 3", ["Ada"]),
        ("item.verified", ["Ada"]),
        ("empty(item.note) && item.author.startsWith('Tom')", ["Tom & Jo"]),
        ('item.author + "!" == "Tom & Jo!"', ["Tom & Jo"]),
        ("item.stars * 2 == 5", ["Tom & Jo"]),
        ({"field": "item.author", "is": "filled"}, ["Ada", "Tom & Jo"]),
        ({"field": "item.stars", "is": "less", "value": "5"}, ["Tom & Jo"]),
    ):
        assert texts(stack(text("{{ item.author }}", show_if=condition), field="reviews")) == shown, condition


def test_members_of_an_entry_that_is_no_object_are_empty() -> None:
    assert texts(stack(text("{{ item }}:{{ item.name }}"))) == ["new:", "sale:", "eco:"]
    assert texts(stack(text("-{{ item.name }}")), tags='["{broken", "[]"]') == ["-", "-"]


def test_list_in_an_entry_repeats_a_stack_in_the_stack() -> None:
    inner = stack(text("{{ index }}/{{ count }} {{ item }}", show_if="index == count"), name="In", field="item.tags")
    assert texts(stack(inner, field="reviews")) == ["2/2 long"]
    inner = stack(text("{{ item }}", show_if='item != "b"'), name="Inner", field="item")
    assert texts(stack(inner), tags="a;b|b;c") == ["a", "c"]


def test_groups_in_a_repeated_stack_know_the_entry() -> None:
    group = {"type": "group", "name": "Group", "width": 90, "height": 40, "show_if": "index > 1"}
    layers = [text("{{ item }}", show_if="index < 3")]
    assert texts(stack({**group, "layers": layers})) == ["sale"]


def test_finding_names_the_member() -> None:
    layer = text("{{ item.stars | number }}", width=200)
    assert messages(stack(layer, field="reviews")) == ["shows the field “item.stars” as it is: “soon” is not a number"]
    assert messages(stack(text("{{ item }}", show_if="item > 1"), limit=1)) == [
        "is hidden because of its condition: “item > 1” combines values of different types."
        " Convert a text with amount(…), a number with string(…)"
    ]
    color = shape(fill={"value": "item", "default": "#000000"})
    assert "has its default fill: “item” is “new”" in messages(stack(color, limit=1))[0]


def test_entries_have_the_format_of_their_list() -> None:
    prices = with_format('["1.299", 1.5]', ValueFormat(locale="de"))
    layer = text("{{ index }}", show_if="amount(item) > 1000 || amount(item) == 1.5")
    assert texts(stack(layer), tags=prices) == ["1", "2"]


def test_list_is_separated_by_commas_only_in_list_fields() -> None:
    assert texts(stack(text("{{ item }}")), tags="oak, ash,elm") == ["oak", "ash", "elm"]
    assert texts(stack(text("{{ item }}")), tags="1,5; 2,5") == ["1,5", "2,5"]
    assert texts(stack(text("{{ item }}")), tags="1,299") == ["1,299"]
    assert texts(stack(text("{{ item }}"), field="plain"), plain="oak, ash") == ["oak, ash"]


def test_split_list_keeps_objects_and_numbers() -> None:
    entries = split_list('["a", 1.50, true, {"b": "\\ud800"}]')
    assert entries == ["a", "1.5", "true", '{"b": "\\ud800"}']
    assert split_list("[[1]]") == ["[[1]]"]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (text("{{ item }}"), "The layer “Text” uses “item”, which only the layers in a repeated stack have"),
        (text("{{ item.name }}"), "The layer “Text” uses “item.name”, which only"),
        (shape(show_if="index > 1"), "The layer “Dot” uses “index”, which only"),
        (shape(x={"value": "count", "default": 0}), "The layer “Dot” uses “count”, which only"),
        (stack(shape(), show_if="index > 1"), "The layer “Stack” uses “index”, which only"),
        (stack(shape(), field="item"), "The layer “Stack” uses “item”, which only"),
        (
            stack(shape(show_if="prize > 1")),
            "unknown field prize. The template has: count, index, item, plain",
        ),
        (stack(shape(show_if="item.name.first == 1")), "Only item has them, in a repeated stack"),
        (stack(shape(show_if="tags.name == 1")), "Values have no parts: remove “.name”"),
    ],
)
def test_entry_outside_of_a_repeated_stack_is_rejected(layer: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        template(layer)
    assert message in str(error.value)


def test_computed_field_has_no_entry() -> None:
    with pytest.raises(ValidationError, match="The computed field “x” uses “item”, which only the layers"):
        template(computed=[{"name": "x", "value": "item"}])


def test_number_of_repeated_expressions_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_checks, "MAX_REPEATED_EXPRESSIONS", 12)
    inner = stack(shape(show_if="index > 1"), field="item", name="Inner", limit=4)
    template(stack(inner, shape("Other", show_if="stock > 1"), limit=3))
    with pytest.raises(ValidationError, match="evaluate up to 16 expressions; the limit is 12"):
        template(stack(inner, limit=4))


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ("item.name == item.name", {"item.name"}),
        ("item.a + item_a + item_a_", {"item.a", "item_a", "item_a_"}),
        ("item.contains('a')", {"item"}),
        ("item.name.contains('a')", {"item.name"}),
        ("upper(item . name)", {"item.name"}),
        ("tags.exists(item, item == 'a')", {"tags"}),
        ("tags.exists(tag, tag == item.name)", {"tags", "item.name"}),
        ("'item.name' == item", {"item"}),
    ],
)
def test_members_in_expressions(source: str, fields: set[str]) -> None:
    assert parse_expression(source).fields == fields


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tags.exists(item, item.name == 'a')", "“item” is the name of a macro’s item"),
        ("tags.map(item.name, item.name)", "map needs a name and a value"),
        ("a.item.name", "Values have no parts: remove “.item”"),
        ("item.", "is not complete"),
        ("item.name()", "“name” is not a function"),
    ],
)
def test_invalid_members_in_expressions(source: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        parse_expression(source)


def test_bound_styles_of_spans_use_the_entry() -> None:
    spans = [{"text": "{{ item }}", "color": {"value": 'item == "new" ? "#ff0000" : "#0000ff"', "default": "#111111"}}]
    placed = place(Engine().plan(template(stack(text("", text=None, spans=spans)))))
    colors = [each.layer.spans[0].color for each in placed if isinstance(each.layer, TextLayer)]
    assert colors == ["#ff0000", "#0000ff", "#0000ff"]

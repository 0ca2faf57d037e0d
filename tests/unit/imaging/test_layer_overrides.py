"""Overrides of layers: which are possible, what they change, and what they cannot reach."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layer_overrides import (
    InvalidOverrideError,
    LayerOverrideError,
    override_layers,
    schema_of,
)
from cwz_web.imaging.layers import walk_layers
from cwz_web.imaging.text_layers import TextLayer
from tests.factories import nested_document, small_document

OTHER = "upload:" + "a" * 64
ENGINE = Engine()


def template(open_: list[str] | None = None, layer: int = 1, **more: Any) -> ImageTemplate:
    """Return a small template that opens properties of its title, or of another layer."""
    document = small_document()
    document["layers"][layer] |= {"open": open_ or []} | more
    return ImageTemplate.model_validate(document)


def errors_of(overridden: ImageTemplate, overrides: Any, *, is_trusted: bool = False) -> dict[str, str]:
    with pytest.raises(LayerOverrideError) as raised:
        override_layers(overridden, overrides, is_trusted=is_trusted)
    return raised.value.errors


def digest_of(document: ImageTemplate) -> str:
    plan = ENGINE.plan(document)
    return plan.image_digest(plan.fill_values({}), {}, Output())


def test_open_property_is_overridden() -> None:
    changed = override_layers(template(["color", "hidden"]), {"Title": {"color": "#ff0000"}})
    title = changed.find_layer("Title")
    assert title is not None
    assert title.model_dump()["color"] == "#ff0000"


def test_closed_property_is_refused_unless_the_caller_is_trusted() -> None:
    errors = errors_of(template(["color", "hidden"]), {"Title": {"size": 30}})
    assert "Open are: color, hidden" in errors["layers.Title.size"]
    assert "It opens none" in errors_of(template(), {"Title": {"size": 30}})["layers.Title.size"]
    changed = override_layers(template(), {"Title": {"size": 30}}, is_trusted=True)
    assert changed.model_dump()["layers"][1]["size"] == 30


@pytest.mark.parametrize(
    ("overrides", "path", "hint"),
    [
        ({"Titel": {"color": "#ff0000"}}, "layers.Titel", "Did you mean “Title”?"),
        ({"Zzz": {"color": "#ff0000"}}, "layers.Zzz", "There are: Image, Title"),
        ({"Title": {"collor": "#ff0000"}}, "layers.Title.collor", "Did you mean “color”?"),
        ({"Title": {"name": "Other"}}, "layers.Title.name", "no property with this name"),
        ({"Title": {"open": ["size"]}}, "layers.Title.open", "no property with this name"),
        ({"Title": {"color": {"value": "title", "default": "#ff0000"}}}, "layers.Title", "not an expression"),
        ({"Title": {"show_if": "title == 'a'"}}, "layers.Title", "not an expression"),
        ({"Title": {"text": "{{ nothing }}"}}, "layers", "nothing"),
    ],
)
def test_wrong_override_names_what_is_wrong(overrides: Any, path: str, hint: str) -> None:
    document = template(["color", "text", "show_if"])
    if path == "layers":
        with pytest.raises(InvalidOverrideError, match=hint):
            override_layers(document, overrides)
    else:
        assert hint in errors_of(document, overrides)[path]


def test_override_has_the_types_of_the_property() -> None:
    with pytest.raises(InvalidOverrideError) as raised:
        override_layers(template(["color"]), {"Title": {"color": "red"}})
    assert raised.value.error.errors()[0]["loc"][-1] == "color"


def test_overridden_property_is_not_bound_any_more() -> None:
    bound = template(["color"], color={"value": '"#00ff00"', "default": "#000000"})
    changed = override_layers(bound, {"Title": {"color": "#ff0000"}}).find_layer("Title")
    assert changed is not None
    assert changed.bound == {}
    other = override_layers(bound, {"Title": {"size": 20}}, is_trusted=True).find_layer("Title")
    assert other is not None
    assert list(other.bound) == ["color"]


def test_override_counts_in_every_size() -> None:
    size = {"name": "square", "width": 100, "height": 100, "overrides": {"Title": {"size": 10, "x": 1}}}
    document = small_document(sizes=[size])
    changed = override_layers(
        ImageTemplate.model_validate(document), {"Title": {"size": 40, "y": 7}}, is_trusted=True
    ).in_size("square")
    title = changed.find_layer("Title")
    assert title is not None
    assert (title.x, title.y, title.model_dump()["size"]) == (1, 7, 40)


def test_text_takes_the_place_of_spans() -> None:
    document = small_document()
    document["layers"][1] |= {"text": None, "spans": [{"text": "a"}, {"text": "b"}], "open": ["text"]}
    changed = override_layers(ImageTemplate.model_validate(document), {"Title": {"text": "Word"}})
    title = changed.find_layer("Title")
    assert isinstance(title, TextLayer)
    assert (title.text, title.spans) == ("Word", ())
    again = override_layers(changed, {"Title": {"spans": [{"text": "c"}]}}, is_trusted=True).find_layer("Title")
    assert isinstance(again, TextLayer)
    assert (again.text, [span.text for span in again.spans]) == (None, ["c"])


@pytest.mark.parametrize(
    ("source", "more", "is_possible"),
    [
        ("{{ image }}", {}, True),
        ("{{ title }}", {}, True),
        ("https://shop.example/{{ title }}.jpg", {}, False),
        ("{{ price }}", {}, False),
        ("{{ sku }}", {}, False),
        ("upload:" + "b" * 64, {}, False),
        ("upload:" + "b" * 64, {"open": ["source"]}, True),
    ],
)
@pytest.mark.parametrize("value", [OTHER, "https://other.example/a.jpg"])
def test_override_reaches_only_images_that_a_field_could(
    source: str, more: dict[str, Any], is_possible: bool, value: str
) -> None:
    document = small_document()
    document["fields"] += [{"name": "price", "label": "Price", "type": "number"}]
    document["computed"] = [{"name": "sku", "value": '"https://shop.example/" + title'}]
    document["layers"][0] |= {"source": source} | more
    parsed = ImageTemplate.model_validate(document)
    overrides: Any = {"Image": {"source": value}}
    if is_possible:
        assert override_layers(parsed, overrides, is_trusted=True).model_dump()["layers"][0]["source"] == value
    else:
        assert "No field" in errors_of(parsed, overrides, is_trusted=True)["layers.Image.source"]
        assert override_layers(parsed, {"Image": {"source": source}}, is_trusted=True)


def test_source_of_an_override_has_no_bindings() -> None:
    overrides: Any = {"Image": {"source": "https://other.example/{{ title }}"}}
    assert "without {{ }}" in errors_of(template(["source"], 0), overrides)["layers.Image.source"]


def test_override_uses_no_other_uploaded_font() -> None:
    assert "No field" in errors_of(template(), {"Title": {"font": OTHER}}, is_trusted=True)["layers.Title.font"]
    assert override_layers(template(["font"]), {"Title": {"font": OTHER}})
    assert override_layers(template(), {"Title": {"font": "Lora"}}, is_trusted=True)


@pytest.mark.parametrize("name", ["name", "layers", "style", "nothing"])
def test_template_opens_only_properties(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be open"):
        template([name])


def test_opening_a_property_changes_no_image() -> None:
    assert digest_of(template(["color"])) == digest_of(template())


def test_schema_of_a_property_says_its_type() -> None:
    title = template().find_layer("Title")
    assert title is not None
    for name in title.openable():
        assert schema_of(type(title), name)
    assert schema_of(type(title), "hidden")["type"] == "boolean"


# For each type of layer: values that are valid in any of them.
COMMON: dict[str, st.SearchStrategy[Any]] = {
    "x": st.integers(0, 100),
    "y": st.integers(0, 100),
    "opacity": st.sampled_from([0.5, 1]),
    "hidden": st.booleans(),
    "rotation": st.sampled_from([0, 45]),
}
NESTED = ImageTemplate.model_validate(nested_document())
NAMES = [layer.name for layer in walk_layers(NESTED.layers)]
OVERRIDES = st.dictionaries(
    st.sampled_from(NAMES),
    st.fixed_dictionaries({}, optional=COMMON),
    max_size=3,
)


def own(layer: Layer) -> dict[str, Any]:
    """Return a layer's values without the layers in it."""
    return layer.model_dump(exclude={"layers"})


@given(OVERRIDES)
def test_overrides_change_only_their_properties(overrides: dict[str, dict[str, Any]]) -> None:
    changed = override_layers(NESTED, overrides, is_trusted=True)
    assert changed.model_copy(update={"layers": NESTED.layers}).canonical() == NESTED.canonical()
    pairs = zip(walk_layers(NESTED.layers), walk_layers(changed.layers), strict=True)
    for before, after in pairs:
        assert own(after) == own(before) | overrides.get(before.name, {})


@given(OVERRIDES, OVERRIDES)
def test_digest_differs_if_and_only_if_the_visible_design_does(
    first: dict[str, dict[str, Any]], second: dict[str, dict[str, Any]]
) -> None:
    one, two = (override_layers(NESTED, each, is_trusted=True) for each in (first, second))
    is_same = one.visible().digest_parts() == two.visible().digest_parts()
    assert (digest_of(one) == digest_of(two)) == is_same

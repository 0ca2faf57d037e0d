import pytest

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.editing import add_size
from cwz_web.web.design_forms import CHANGES, InvalidDesignError, Selection, change_design, parse_selection
from cwz_web.web.layer_forms import serialize_layer
from tests.factories import small_document


@pytest.fixture
def document() -> ImageTemplate:
    return add_size(ImageTemplate.model_validate(small_document()), "square", 200, 200)


def test_invalid_query_values_fall_back_to_defaults(document: ImageTemplate) -> None:
    selection = parse_selection(
        {"layer": "Title", "row": "x", "zoom": "900", "feed": "nonsense", "size": "gone", "more": "1"}
    )
    assert selection.within(document) == Selection(layer="Title")
    assert parse_selection({"layer": "nobody"}).within(document) == Selection()


def test_query_contains_only_changed_values() -> None:
    assert Selection().query() == ""
    assert Selection(layer="A & B", zoom="200").query() == "layer=A+%26+B&zoom=200"
    assert Selection(layer="A", size="square").query(layer="") == "size=square"


def test_position_in_size_changes_that_size_only(document: ImageTemplate) -> None:
    selection = Selection(layer="Title", size="square")
    layer = document.in_size("square").find_layer("Title")
    assert layer is not None
    changed, _, what = change_design(document, selection, {**serialize_layer(layer), "do": "properties", "x": "3"})
    assert changed.in_size("square").find_layer("Title").x == 3  # type: ignore[union-attr]
    assert changed.find_layer("Title") == document.find_layer("Title")
    assert what == "Title: x"


def test_added_layer_is_selected_and_removed_one_is_not(document: ImageTemplate) -> None:
    changed, selection, _ = change_design(document, Selection(), {"do": "add", "type": "text"})
    assert selection.layer == "Text"
    _, selection, _ = change_design(changed, selection, {"do": "remove", "layer": "Text"})
    assert selection.layer == ""


def test_renamed_layer_stays_selected(document: ImageTemplate) -> None:
    layer = document.find_layer("Title")
    assert layer is not None
    typed = {**serialize_layer(layer), "do": "properties", "name": "Headline"}
    assert change_design(document, Selection(layer="Title"), typed)[1].layer == "Headline"


def test_missing_field_can_be_added_with_the_change(document: ImageTemplate) -> None:
    layer = document.find_layer("Title")
    assert layer is not None
    typed = {**serialize_layer(layer), "do": "properties", "text": "{{ title }} {{ old_price | currency }}"}
    with pytest.raises(InvalidDesignError) as wrong:
        change_design(document, Selection(layer="Title"), typed)
    assert wrong.value.errors == {"missing-field": "old_price"}
    changed, _, _ = change_design(document, Selection(layer="Title"), {**typed, "add": "old_price"})
    assert (changed.fields[-1].name, changed.fields[-1].label) == ("old_price", "Old price")
    with pytest.raises(InvalidDesignError):
        change_design(document, Selection(layer="Title"), {**typed, "add": "title"})


def test_fields_without_name_are_ignored_and_labels_are_derived(document: ImageTemplate) -> None:
    typed = {
        "do": "fields",
        "0.name": "title",
        "1.name": "image",
        "1.type": "image",
        "2.name": " ",
        "3.name": "old_price",
    }
    columns = change_design(document, Selection(), typed)[0].fields
    assert [(column.name, column.label, column.type) for column in columns] == [
        ("title", "Title", "text"),
        ("image", "Image", "image"),
        ("old_price", "Old price", "text"),
    ]


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({}, "do"),
        ({"do": "explode"}, "do"),
        ({"do": "add", "type": "video"}, "type"),
        ({"do": "remove", "layer": "nobody"}, "layer"),
        ({"do": "hide"}, "layer"),
        ({"do": "properties"}, "layer"),
        ({"do": "move", "layer": "Title", "to": "up"}, "to"),
        ({"do": "canvas", "width": "0"}, "width"),
        ({"do": "canvas", "width": "wide"}, "width"),
        ({"do": "fields"}, ""),
        ({"do": "add-size", "width": "0", "height": "10"}, "width"),
        ({"do": "add-size", "name": "square", "width": "10", "height": "10"}, ""),
    ],
)
def test_impossible_change_names_its_form_field(document: ImageTemplate, typed: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidDesignError) as wrong:
        change_design(document, Selection(), typed)
    assert field in {name.rpartition(".")[2] for name in wrong.value.errors}


@pytest.mark.parametrize("do", sorted(CHANGES))
def test_incomplete_change_raises_only_design_errors(document: ImageTemplate, do: str) -> None:
    for selection in (Selection(), Selection(layer="Title"), Selection(size="square")):
        try:
            change_design(document, selection, {"do": do})
        except InvalidDesignError:
            continue

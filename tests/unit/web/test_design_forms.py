import pytest

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.editing import add_size
from cwz_web.imaging.layers import walk_layers
from cwz_web.web.design_forms import (
    CHANGES,
    InvalidDesignError,
    Selection,
    change_design,
    complete_form,
    is_in_stack,
    parse_selection,
    read_current_values,
)
from cwz_web.web.layer_forms import serialize_layer
from tests.factories import nested_document, small_document

NESTED = ImageTemplate.model_validate(nested_document())


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


@pytest.mark.parametrize("name", [layer.name for layer in walk_layers(NESTED.layers)])
def test_completed_form_without_a_change_changes_nothing(name: str) -> None:
    form = complete_form(NESTED, Selection(layer=name), {"do": "properties", "name": "Old", "width": "1"}, ())
    assert change_design(NESTED, Selection(layer=name), form)[0] == NESTED


def test_completed_canvas_has_the_background_of_the_document(document: ImageTemplate) -> None:
    gradient = {"do": "canvas", "background.type": "linear", "background.end": "#000000"}
    changed_elsewhere, _, _ = change_design(document, Selection(), gradient)
    stale = {"do": "canvas", "width": "640", "height": "9", "background.type": "solid", "background": "#ffffff"}
    form = complete_form(changed_elsewhere, Selection(), stale, {"width"})
    changed, _, _ = change_design(changed_elsewhere, Selection(), form)
    assert changed.canvas.background == changed_elsewhere.canvas.background
    assert (changed.canvas.width, changed.canvas.height) == (640, 200)
    none, _, _ = change_design(document, Selection(), {"do": "canvas", "background.type": "none"})
    form = complete_form(none, Selection(), stale, {"background.type"})
    assert change_design(none, Selection(), form)[0].canvas.background == "#ffffff"


def test_completed_field_has_the_default_of_the_document(document: ImageTemplate) -> None:
    stale = {"do": "field", "old": "title", "name": "title", "label": "Headline", "type": "text", "default": "Old"}
    form = complete_form(document, Selection(), stale, {"label"})
    field = change_design(document, Selection(), form)[0].fields[0]
    assert (field.label, field.default) == ("Headline", "Hello")


def test_completed_table_has_the_rows_of_the_document(document: ImageTemplate) -> None:
    def with_rows(**rows: str) -> ImageTemplate:
        return ImageTemplate.model_validate({**document.canonical(), "tables": {"colors": rows}})

    form = {"do": "table", "old": "colors"}
    rendered = with_rows(red="rot", pink="rosa", blue="blau", black="schwarz")
    form |= read_current_values(rendered, Selection(), form)
    form |= {"0.old": "red", "1.old": "pink", "2.old": "blue", "3.old": "black", "4.old": ""}
    changed = {"0.value": "Rot", "3.key": "", "3.value": "", "4.key": "gray", "4.value": "grau"}
    now = with_rows(red="rot", blue="Blau", black="schwarz", green="grün")
    completed = complete_form(now, Selection(), form | changed, set(changed))
    tables = change_design(now, Selection(), completed)[0].tables
    assert tables["colors"] == {"red": "Rot", "blue": "Blau", "gray": "grau", "green": "grün"}


@pytest.mark.parametrize("number", ["01", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_rows_of_a_table_whose_numbers_no_page_has_are_left_out(document: ImageTemplate, number: str) -> None:
    form = {"do": "table", "old": "", "name": "colors", "1.key": "red", "1.value": "rot"}
    form |= {f"{number}.key": "blue", f"{number}.old": "red", f"{number}.value": "blau"}
    completed = complete_form(document, Selection(), form, {f"{number}.key"})
    for each in (form, completed):
        assert change_design(document, Selection(), each)[0].tables == {"colors": {"red": "rot"}}
    del form["1.key"], form["1.value"]
    assert change_design(document, Selection(), form)[0].tables == {"colors": {}}


def test_completed_bound_property_has_the_default_of_the_document(document: ImageTemplate) -> None:
    selection = Selection(layer="Title")
    bound = {"do": "bind", "property": "color", "expression": "title", "default": "#ff0000"}
    document = change_design(document, selection, bound)[0]
    stale = bound | {"expression": "image", "default": "#00ff00"}
    changed = change_design(document, selection, complete_form(document, selection, stale, {"expression"}))[0]
    layer = changed.find_layer("Title")
    assert layer is not None
    assert (layer.bound["color"], layer.color) == ("image", "#ff0000")  # type: ignore[union-attr]
    assert read_current_values(document, selection, {"do": "bind", "property": "size"}) == {}


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
        ({"do": "add-size", "width": "0", "height": "10"}, "width"),
        ({"do": "add-size", "name": "square", "width": "10", "height": "10"}, "name"),
        ({"do": "add-size", "name": "Square ", "width": "10", "height": "10"}, "name"),
        ({"do": "add-size", "width": "200", "height": "200"}, "name"),
        ({"do": "add-size", "name": "nö!", "width": "10", "height": "10"}, "name"),
    ],
)
def test_impossible_change_names_its_form_field(document: ImageTemplate, typed: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidDesignError) as wrong:
        change_design(document, Selection(), typed)
    assert field in {name.rpartition(".")[2] for name in wrong.value.errors}


def test_size_is_named_after_its_dimensions_or_as_entered(document: ImageTemplate) -> None:
    """The document has the size “square” with 200 × 200."""
    changed, selection, _ = change_design(document, Selection(), {"do": "add-size", "width": "20", "height": "30"})
    assert selection.size == "20x30"
    typed = {"do": "add-size", "name": " Sale  banner", "width": "200", "height": "200"}
    changed, selection, _ = change_design(changed, selection, typed)
    assert selection.size == "sale-banner"
    resized, _, _ = change_design(changed, Selection(size="20x30"), {"do": "canvas", "width": "21", "height": "31"})
    _, selection, _ = change_design(resized, Selection(), {"do": "add-size", "width": "20", "height": "30"})
    assert selection.size == "20x30-2"


def test_background_of_the_canvas_becomes_a_gradient_and_a_color_again(document: ImageTemplate) -> None:
    typed = {"do": "canvas", "background.type": "linear", "background": "#ff0000"}
    gradient, _, _ = change_design(document, Selection(), typed)
    assert gradient.canonical()["canvas"]["background"]["end"] == "#c7d2fe"
    turned = typed | {"background.end": "#0000ff", "background.angle": "45"}
    changed = change_design(gradient, Selection(), turned)[0].canonical()["canvas"]["background"]
    assert (changed["start"], changed["end"], changed["angle"]) == ("#ff0000", "#0000ff", 45)
    for kind, background in {"solid": "#ff0000", "none": None}.items():
        plain, _, _ = change_design(gradient, Selection(), typed | {"background.type": kind})
        assert plain.canvas.background == background


def test_impossible_gradient_is_refused(document: ImageTemplate) -> None:
    for values in ({"background.type": "wavy"}, {"background.type": "linear", "background.angle": "900"}):
        with pytest.raises(InvalidDesignError):
            change_design(document, Selection(), {"do": "canvas", **values})


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"background.type": "solid", "background": ""}, "background"),
        ({"background.type": "linear", "background": "red"}, "background"),
        ({"background.type": "linear", "background.end": "red"}, "background.end"),
    ],
)
@pytest.mark.parametrize("size", ["default", "square"])
def test_error_is_at_the_color_that_is_not_valid(
    document: ImageTemplate, size: str, typed: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidDesignError) as wrong:
        change_design(document, Selection(size=size), {"do": "canvas", **typed})
    assert wrong.value.errors == {field: "Enter a color as #rrggbb or #rrggbbaa"}


def test_background_of_a_size_starts_with_that_of_the_canvas(document: ImageTemplate) -> None:
    ink = change_design(document, Selection(), {"do": "canvas", "background": "#101418"})[0]
    typed = {"do": "canvas", "background.type": "solid"}
    own = change_design(ink, Selection(size="square"), typed)[0]
    assert own.canonical()["sizes"][0]["background"] == "#101418"
    assert change_design(own, Selection(size="square"), typed | {"background.type": "none"})[0] == ink


@pytest.mark.parametrize("do", sorted(CHANGES))
def test_incomplete_change_raises_only_design_errors(document: ImageTemplate, do: str) -> None:
    for selection in (Selection(), Selection(layer="Title"), Selection(size="square")):
        try:
            change_design(document, selection, {"do": do})
        except InvalidDesignError:
            continue


@pytest.fixture
def nested() -> ImageTemplate:
    sizes = [{"name": "pinned", "width": 300, "height": 120}]
    return add_size(ImageTemplate.model_validate(nested_document(sizes=sizes)), "scaled", 800, 300)


@pytest.mark.parametrize("size", ["default", "pinned", "scaled"])
def test_unchanged_form_changes_nothing_in_any_size(nested: ImageTemplate, size: str) -> None:
    for layer in walk_layers(nested.in_size(size).layers):
        typed = {**serialize_layer(layer), "do": "properties"}
        assert change_design(nested, Selection(layer=layer.name, size=size), typed)[0] == nested, layer.name


def test_layer_hidden_in_one_size_stays_visible_in_others() -> None:
    size = {"name": "s", "width": 300, "height": 200, "overrides": {"Title": {"hidden": True}}}
    document = ImageTemplate.model_validate(small_document(sizes=[size]))
    layer = document.in_size("s").find_layer("Title")
    assert layer is not None
    typed = {**serialize_layer(layer), "do": "properties", "color": "#123456"}
    changed = change_design(document, Selection(layer="Title", size="s"), typed)[0]
    assert changed.find_layer("Title").hidden is False  # type: ignore[union-attr]


def test_gap_in_size_changes_that_size_only(nested: ImageTemplate) -> None:
    layer = nested.in_size("pinned").find_layer("Card")
    assert layer is not None
    typed = {**serialize_layer(layer), "do": "properties", "gap": "3"}
    changed = change_design(nested, Selection(layer="Card", size="pinned"), typed)[0]
    assert changed.in_size("pinned").find_layer("Card").gap == 3  # type: ignore[union-attr]
    assert changed.find_layer("Card") == nested.find_layer("Card")


def test_layers_of_a_repeated_stack_can_use_its_entry(nested: ImageTemplate) -> None:
    def change(name: str, text: str) -> ImageTemplate:
        layer = nested.find_layer(name)
        assert layer is not None
        return change_design(
            nested, Selection(layer=name), {**serialize_layer(layer), "do": "properties", "text": text}
        )[0]

    assert change("Tag", "{{ item | upper }}").find_layer("Tag").text == "{{ item | upper }}"  # type: ignore[union-attr]
    with pytest.raises(InvalidDesignError) as wrong:
        change("Title", "{{ item }}")
    assert wrong.value.errors == {"missing-field": "item"}


def test_only_layers_in_a_stack_can_fill_it(nested: ImageTemplate) -> None:
    layer = nested.find_layer("Note")
    assert layer is not None
    typed = {**serialize_layer(layer), "do": "properties", "sizing.width": "fill"}
    with pytest.raises(InvalidDesignError, match="needs a stack"):
        change_design(nested, Selection(layer="Note"), typed)
    assert [is_in_stack(nested, name) for name in ("Title", "Prices", "Star", "Note")] == [True, True, False, False]


def test_new_container_is_selected_and_takes_the_next_layer(nested: ImageTemplate) -> None:
    changed, selection, _ = change_design(nested, Selection(), {"do": "add", "type": "stack"})
    assert selection.layer == "Stack"
    changed, selection, _ = change_design(changed, selection, {"do": "add", "type": "text"})
    assert [each.name for each in changed.find_containers(selection.layer)] == ["Stack"]


def test_layer_is_wrapped_and_unwrapped_where_the_page_shows_it(nested: ImageTemplate) -> None:
    boxes = '{"Note": [300, 170, 90, 20], "Card": [20, 10, 200, 180], "Title": [32, 22, 176, 24]}'
    changed, selection, what = change_design(
        nested, Selection(layer="Note"), {"do": "wrap-group", "layer": "Note", "boxes": boxes}
    )
    assert (selection.layer, what) == ("Group", "wrap Note")
    assert changed.find_layer("Group").left == 390 - changed.find_layer("Group").width  # type: ignore[union-attr]
    changed, selection, _ = change_design(nested, Selection(), {"do": "wrap-stack", "layer": "Corner"})
    assert [each.name for each in changed.find_containers("Corner")] == [selection.layer]
    simple = change_design(nested, Selection(), {"do": "remove", "layer": "Tags"})[0]
    changed, selection, _ = change_design(
        simple, Selection(layer="Card"), {"do": "unwrap", "layer": "Card", "boxes": boxes}
    )
    title = changed.find_layer("Title")
    assert title is not None
    assert (title.left, title.top, title.width, title.sizing.width) == (32, 22, 176, "fixed")
    assert selection.layer == ""


@pytest.mark.parametrize("boxes", ["[1]", "{", '{"Note": [1]}', '{"Note": [0, 0, 9999999, 5]}', "[" * 5000])
def test_invalid_boxes_are_rejected(nested: ImageTemplate, boxes: str) -> None:
    with pytest.raises(InvalidDesignError, match="out of date"):
        change_design(nested, Selection(), {"do": "unwrap", "layer": "Badge", "boxes": boxes})

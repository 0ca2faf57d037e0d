"""Changes between two documents, by names of parts and properties."""

from typing import Any

from cwz_web.imaging.document_changes import MAX_TEXT, Change, PropertyChange, list_changes
from cwz_web.imaging.documents import ImageTemplate


def text(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "name": name, "x": 0, "y": 0, "width": 50, "height": 20, "text": name, "size": 12, **more}


def document(*layers: dict[str, Any], **more: Any) -> ImageTemplate:
    canvas = {"width": 100, "height": 100}
    return ImageTemplate.model_validate({"version": 3, "canvas": canvas, "layers": layers, **more})


def test_equal_documents_have_no_changes() -> None:
    assert list_changes(document(text("A")), document(text("A"))) == []


def test_properties_have_their_names_and_values() -> None:
    shadow = {"x": 1, "y": 2, "blur": 3, "color": "#000000"}
    before = document(text("A", shadow=shadow))
    after = document(text("A", shadow={**shadow, "blur": 9}, x=7, hidden=True))
    [change] = list_changes(before, after)
    assert (change.part, change.name, change.kind) == ("layer", "A", "changed")
    found = {" ".join(each.path): (each.before, each.after) for each in change.properties}
    assert found == {"x": ("0", "7"), "shadow blur": ("3", "9"), "hidden": ("no", "yes")}


def test_added_and_removed_layers() -> None:
    assert list_changes(document(text("A"), text("B")), document(text("B"), text("C"))) == [
        Change("layer", "C", "added"),
        Change("layer", "A", "removed"),
    ]


def test_layer_that_moves_among_its_siblings_is_the_only_one_listed() -> None:
    names = ("A", "B", "C", "D")
    before, after = document(*map(text, names)), document(*map(text, ("D", "A", "B", "C")))
    assert list_changes(before, after) == [Change("layer", "D", "changed", (PropertyChange(("order",), "", ""),))]


def test_layer_that_moves_into_a_group_has_another_container() -> None:
    def group(*layers: dict[str, Any]) -> dict[str, Any]:
        return {"type": "group", "name": "G", "x": 0, "y": 0, "width": 90, "height": 90, "layers": list(layers)}

    before, after = document(group(text("A")), text("B")), document(group(text("A"), text("B")))
    assert list_changes(before, after) == [
        Change("layer", "B", "changed", (PropertyChange(("container",), "canvas", "G"),))
    ]


def test_canvas_fields_and_sizes() -> None:
    field = {"name": "title", "label": "Title", "type": "text", "default": "One"}
    story = {"name": "story", "width": 90, "height": 160}
    before = document(text("A"), fields=[field], sizes=[story])
    after = document(
        text("A"),
        fields=[{**field, "default": "Two"}],
        sizes=[{**story, "overrides": {"A": {"x": 4}}}],
        canvas={"width": 120, "height": 100},
    )
    assert list_changes(before, after) == [
        Change("canvas", "", "changed", (PropertyChange(("width",), "100", "120"),)),
        Change("field", "title", "changed", (PropertyChange(("default",), "One", "Two"),)),
        Change("size", "story", "changed", (PropertyChange(("overrides", "A", "x"), "", "4"),)),
    ]


def test_long_values_are_cut() -> None:
    [change] = list_changes(document(text("A")), document(text("A", text="x" * 500)))
    [changed] = change.properties
    assert len(changed.after) == MAX_TEXT

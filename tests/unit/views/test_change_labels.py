"""Labels of the properties that a comparison lists."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from cwz_web.imaging.document_changes import Change, PropertyChange
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.views.change_labels import PROPERTIES, describe_changes

# Those whose keys are names of layers and of properties.
NAMED = ("overrides", "bound")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def is_list(annotation: Any) -> bool:
    return get_origin(annotation) in (tuple, dict) or any(map(is_list, get_args(annotation)))


def paths_of(model: type[BaseModel], within: tuple[str, ...] = ()) -> Iterator[str]:
    for key, field in model.model_fields.items():
        if key in ("name", "layers", *NAMED):
            continue
        yield " ".join([*within, field.alias or key]).replace("_", " ")
        if not is_list(field.annotation):  # the entries of a list are shown as JSON
            for nested in models_in(field.annotation):
                yield from paths_of(nested, (*within, key))


def test_each_property_has_a_label() -> None:
    parts = ("canvas", "layers", "fields", "computed", "sizes")
    models = [model for part in parts for model in models_in(ImageTemplate.model_fields[part].annotation)]
    assert {path for model in models for path in paths_of(model)} | {"container", "order"} == PROPERTIES.keys()


def test_names_of_layers_and_of_entries_of_tables_are_shown_as_they_are() -> None:
    size = Change("size", "story", "changed", (PropertyChange(("overrides", "Big TITLE", "min_size"), "", "4"),))
    table = Change("table", "rates", "changed", (PropertyChange(("aT",), "1", "2"),))
    bound = Change("layer", "Photo", "changed", (PropertyChange(("bound", "max_lines"), "", "{{ lines }}"),))
    found = [(part.part, part.properties[0].name) for part in describe_changes([size, table, bound])]
    assert found == [
        ("Size story", "Big TITLE: Min size"),
        ("Table rates", "aT"),
        ("Layer Photo", "Bound: Max lines"),
    ]

"""The elements that the editor offers are valid layers, and each has a name and an icon."""

import json
from typing import Any

import pytest

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.icons import check_icon
from cwz_web.views.editor_elements import ELEMENT_GROUPS, TEXTS

ELEMENTS = [each for group in ELEMENT_GROUPS for each in group["elements"]]


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda element: element["id"])
def test_element_is_valid(element: dict[str, Any]) -> None:
    fields = [element["field"]] if "field" in element else []
    canvas = {"width": 1080, "height": 1080}
    ImageTemplate.model_validate({"version": 3, "canvas": canvas, "fields": fields, "layers": [element["layer"]]})
    check_icon(element["icon"])
    assert element["label"]


@pytest.mark.parametrize("element", [each for each in ELEMENTS if "bound" in each], ids=lambda element: element["id"])
def test_element_that_shows_fields_is_valid(element: dict[str, Any]) -> None:
    bound = json.loads(json.dumps(element["bound"]).replace("$", ""))
    fields = [{key: field[key] for key in ("name", "label", "type", "default")} for field in bound["fields"]]
    document = {"version": 3, "canvas": {"width": 1080, "height": 1080}, "fields": fields, "layers": [bound["layer"]]}
    ImageTemplate.model_validate(document | {"computed": bound.get("computed", [])})


def test_elements_have_ids_of_their_own() -> None:
    ids = [element["id"] for element in ELEMENTS]
    assert len(set(ids)) == len(ids)


def test_texts_of_elements_are_extracted() -> None:
    texts = {
        text for group in ELEMENT_GROUPS for text in (group["title"], *(each["label"] for each in group["elements"]))
    }
    assert texts == set(TEXTS)

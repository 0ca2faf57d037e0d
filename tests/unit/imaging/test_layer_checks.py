"""Contrast of texts in groups that cut their layers off."""

from typing import Any

import pytest

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.engine import Engine


def _shape(name: str, fill: str) -> dict[str, Any]:
    return {"type": "shape", "name": name, "x": 0, "y": 0, "width": 400, "height": 200, "fill": fill}


def _text(x: int, color: str) -> dict[str, Any]:
    box = {"x": x, "y": 60, "width": 180, "height": 60}
    return {"type": "text", "name": "Text", "text": "Wanderlust", "size": 30, "color": color, **box}


def _group(layers: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"type": "group", "name": "Group", "x": 0, "y": 0, "width": 200, "height": 200, "layers": layers, **more}


def _findings(*layers: dict[str, Any]) -> list[str]:
    document = {"version": 3, "canvas": {"width": 400, "height": 200}, "layers": layers}
    plan = Engine().plan(ImageTemplate.model_validate(document))
    return [finding.code.value for finding in plan.lint({}, {})]


@pytest.mark.parametrize(
    ("more", "expected"), [({}, ["low_contrast"]), ({"clip": True}, []), ({"clip": True, "radius": 20}, [])]
)
def test_layer_that_is_cut_off_is_not_below_a_text(more: dict[str, Any], expected: list[str]) -> None:
    assert _findings(_group([_shape("Dark", "#101010")], **more), _text(210, "#101010")) == expected


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        pytest.param(10, ["low_contrast"], id="visible"),
        pytest.param(210, [], id="cut off completely"),
    ],
)
def test_text_that_is_cut_off_is_not_checked(x: int, expected: list[str]) -> None:
    assert _findings(_group([_text(x, "#eeeeee")], clip=True)) == expected


def test_only_the_visible_part_of_a_text_is_checked() -> None:
    dark = _shape("Dark", "#101010") | {"width": 200}
    assert _findings(dark, _group([_text(140, "#ffffff")])) == ["low_contrast"]
    assert _findings(dark, _group([_text(140, "#ffffff")], clip=True)) == []


def test_groups_in_groups_cut_their_layers_off_together() -> None:
    inner = _group([_shape("Dark", "#101010")], clip=True, name="Inner", width=400)
    assert _findings(_group([inner], clip=True), _text(210, "#101010")) == []

"""Codes that a scanner cannot read are findings of the finished image."""

from typing import Any

import numpy as np
import pytest
import zxingcpp

from cwz_web.imaging.composition import Composition
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.engine import Engine
from tests.factories import small_document

BOX = {"x": 60, "y": 20, "width": 160, "height": 160}
BARS = {"code": "ean13", "content": "4006381333931", "width": 180, "height": 80}
COVER = {"type": "shape", "name": "cover", "fill": "#101020"}


def compose(*more: dict[str, Any], canvas: str = "#ffffff", **values: Any) -> Composition:
    code = {"type": "code", "name": "Code", "content": "https://example.org", **BOX, **values}
    size = {"width": 300, "height": 200, "background": canvas}
    document = small_document(layers=[code, *more], canvas=size)
    plan = Engine().plan(ImageTemplate.model_validate(document))
    return plan.compose(plan.fill_values({}), {})


def problems(*more: dict[str, Any], canvas: str = "#ffffff", **values: Any) -> list[str]:
    findings = compose(*more, canvas=canvas, **values).findings
    assert {finding.code.value for finding in findings} <= {"unscannable"}
    return [finding.message.removeprefix("cannot be scanned reliably: ") for finding in findings]


@pytest.mark.parametrize("more", [{}, BARS], ids=["qr", "ean13"])
@pytest.mark.parametrize("values", [
    {},
    {"color": "#1a237e"},
    {"background": None},
    {"color": "#333333", "background": "#dddddd"},
    {"rotation": 180},
    {"background": {"start": "#ffffff", "end": "#c8d8ff"}},
])  # fmt: skip
def test_usual_code_has_no_finding(values: dict[str, Any], more: dict[str, Any]) -> None:
    assert problems(**values, **more) == []
    assert zxingcpp.read_barcodes(np.ascontiguousarray(compose(**values, **more).pixels[..., :3]))


@pytest.mark.parametrize("more", [{}, BARS], ids=["qr", "ean13"])
@pytest.mark.parametrize(("canvas", "values", "problem"), [
    ("#ffffff", {"color": "#ffffff", "background": "#000000"}, "light on dark"),
    ("#101020", {"color": "#ffffff", "background": None}, "light on dark"),
    ("#ffffff", {"color": "#cccccc"}, "contrast is too low"),
    ("#ffffff", {"color": "#ffee55", "background": "#ffffff"}, "contrast is too low"),
    ("#101020", {"background": None}, "contrast is too low"),
    ("#ffffff", {"opacity": 0.2}, "contrast is too low"),
    ("#ffffff", {"opacity": 0}, "contrast is too low"),
    ("#ffffff", {"color": "#00000000"}, "it is not visible"),
    ("#ffffff", {"color": "#00000000", "background": None}, "it is not visible"),
    ("#101020", {"padding": 0, "width": 100, "height": 100}, "no quiet zone"),
    ("#ffffff", {"x": 0, "y": 0, "padding": 0, "width": 100, "height": 100}, "no quiet zone"),
    ("#ffffff", {"x": -60}, "partly outside"),
])  # fmt: skip
def test_code_that_cannot_be_scanned_is_reported(
    canvas: str, values: dict[str, Any], problem: str, more: dict[str, Any]
) -> None:
    [found] = problems(canvas=canvas, **{**more, **values})
    assert problem in found


def test_round_corners_of_the_background_do_no_harm() -> None:
    assert problems(canvas="#101020", radius=16) == []


def test_red_bars_are_reported_but_a_red_qr_code_is_not() -> None:
    """Red light, which barcode scanners use, does not see red bars."""
    assert problems(color="#e00000") == []
    assert "contrast is too low" in problems(color="#e00000", **BARS)[0]


def test_layer_that_covers_a_code_is_noticed() -> None:
    beside = {**COVER, "x": 195, "y": 0, "width": 105, "height": 200}
    assert "no quiet zone" in problems(beside, padding=0, width=140, height=140)[0]
    assert problems({**beside, "x": 240, "width": 60}, padding=0, width=140, height=140) == []
    assert problems({**COVER, "x": 0, "y": 0, "width": 300, "height": 200}) != []


@pytest.mark.parametrize("y", [0, 20, 70])
def test_layer_that_covers_a_part_of_the_bars_is_noticed(y: int) -> None:
    cover = {**COVER, "x": 0, "width": 300}
    assert problems({**cover, "y": y, "height": 50}, **BARS) != []
    assert problems({**cover, "y": 60, "height": 2}, **BARS) == []


@pytest.mark.parametrize("side", [29, 58, 59, 110, 160])
@pytest.mark.parametrize("values", [{}, {"code": "code128", "content": "A", "height": 9}], ids=["qr", "code128"])
def test_code_of_any_size_is_checked(side: int, values: dict[str, Any]) -> None:
    place = {"x": 20, "y": 20, "width": max(side, 46) if values else side, "padding": 0}
    assert problems(canvas="#ffffff", **{"height": side, **place, **values}) == []
    assert problems(canvas="#ffffff", **{"height": side, **place, **values}, color="#eeeeee") != []


def test_designer_shows_the_finding() -> None:
    code = {"type": "code", "name": "Code", "content": "x", **BOX, "color": "#eeeeee"}
    plan = Engine().plan(ImageTemplate.model_validate(small_document(layers=[code])))
    assert [finding.code.value for finding in plan.lint(plan.fill_values({}), {})] == ["unscannable"]

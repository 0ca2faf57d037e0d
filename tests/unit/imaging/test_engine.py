from typing import Any

import numpy as np
import pytest
import pyvips

from cwz_web.imaging.canvas import Pixels
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.engine import Engine, Plan
from cwz_web.imaging.errors import BadPicture, SourceMissing, UnknownColumns
from cwz_web.imaging.pictures import Source
from tests.factories import jpeg, small_document

RED = Source.of(jpeg(colour=(250, 0, 0)))
BLUE = Source.of(jpeg(colour=(0, 0, 250)))


def load(reference: str) -> Source:
    """`red` and `blue` exist; nothing else does."""
    known = {"red": RED, "blue": BLUE, "broken": Source.of(b"\xff\xd8\xff nonsense")}
    if reference not in known:
        raise SourceMissing("it is not there")
    return known[reference]


def plan_of(layers: list[dict[str, Any]] | None = None, **more: Any) -> Plan:
    document = small_document(**({"layers": layers} if layers is not None else {}), **more)
    return Engine().plan(ImageTemplate.model_validate(document))


def draw(plan: Plan, **data: str) -> Pixels:
    values = plan.values(data)
    return plan.draw(values, plan.load(values, load))[..., :3]


def shape(name: str, colour: str, x: int, **more: Any) -> dict[str, Any]:
    return {"type": "shape", "name": name, "fill": colour, "x": x, "y": 0, "width": 100, "height": 200, **more}


def image(**more: Any) -> dict[str, Any]:
    return {"type": "image", "name": "i", "source": "{{ image }}", "x": 0, "y": 0, "width": 100, "height": 100, **more}


def test_layers_are_drawn_in_order_whether_they_change_or_not() -> None:
    pixels = draw(plan_of([shape("low", "#00ff00", 0), image(), shape("high", "#0000ff", 50)]), image="red")
    assert pixels[150, 20].tolist() == [0, 255, 0]
    assert pixels[50, 20, 0] > 240
    assert pixels[50, 70].tolist() == [0, 0, 255]
    assert pixels[50, 200].tolist() == [255, 255, 255]


def test_one_row_leaves_nothing_in_the_next() -> None:
    plan = plan_of()
    empty = draw(plan, title=" ", image="")
    draw(plan, title="Something long that covers much", image="red")
    assert np.array_equal(draw(plan, title=" ", image=""), empty)


def test_a_hidden_layer_is_not_drawn() -> None:
    plan = plan_of([shape("badge", "#ff0000", 0, show_if={"column": "title"})])
    assert draw(plan, title=" ")[10, 10].tolist() == [255, 255, 255]
    assert draw(plan, title="x")[10, 10].tolist() == [255, 0, 0]


def test_a_layer_that_shows_the_column_it_depends_on_changes_with_it() -> None:
    text = {
        "type": "text",
        "name": "t",
        "text": "{{ title }}",
        "show_if": {"column": "title"},
        "x": 0,
        "y": 0,
        "width": 300,
        "height": 60,
        "size": 30,
    }
    plan = plan_of([text])
    assert not np.array_equal(draw(plan, title="one"), draw(plan, title="three"))


def test_defaults_stand_in_for_what_is_not_given_and_not_for_what_is_empty() -> None:
    plan = plan_of()
    assert plan.values({})["title"] == "Hello"
    assert plan.values({"title": ""})["title"] == ""


def test_unknown_columns_are_named() -> None:
    with pytest.raises(UnknownColumns, match="no column prize; it has title, image"):
        plan_of().values({"prize": "1"})


@pytest.mark.parametrize("reference", ["", "gone", "broken"])
def test_a_missing_picture_is_a_placeholder_or_left_out_or_fails(reference: str) -> None:
    white = [255, 255, 255]
    assert draw(plan_of([image(missing="placeholder", placeholder="#112233")]), image=reference)[2, 2].tolist() == [
        17,
        34,
        51,
    ]
    assert draw(plan_of([image(missing="skip")]), image=reference)[50, 50].tolist() == white
    with pytest.raises((SourceMissing, BadPicture), match="layer “i”"):
        draw(plan_of([image(missing="fail")]), image=reference)


def test_a_static_picture_is_drawn_again_when_its_bytes_change() -> None:
    plan = plan_of([{**image(), "source": "fixed"}])
    values = plan.values({})
    assert plan.draw(values, {"fixed": RED})[50, 50, 0] > 240
    assert plan.draw(values, {"fixed": BLUE})[50, 50, 2] > 240


@pytest.mark.parametrize("radius", [0, 50])
def test_a_rounded_picture_leaves_its_corners(radius: int) -> None:
    pixels = draw(plan_of([image(radius=radius)]), image="red")
    assert (pixels[1, 1].tolist() == [255, 255, 255]) == bool(radius)
    assert pixels[50, 50, 0] > 240


@pytest.mark.parametrize(("fit", "filled"), [("cover", True), ("fill", True), ("contain", False)])
def test_fit(fit: str, filled: bool) -> None:
    pixels = draw(plan_of([image(fit=fit)]), image="red")  # the source is wider than high
    assert (pixels[5, 50, 1] < 60) == filled


@pytest.mark.parametrize("format", list(Format))
def test_every_format_can_be_read_and_holds_no_metadata(format: Format) -> None:
    plan = plan_of()
    values = plan.values({"image": "red"})
    rendered = plan.render(values, plan.load(values, load), Output(format=format))
    picture = pyvips.Image.new_from_buffer(rendered.data, "")
    assert (picture.width, picture.height, picture.bands) == (300, 200, 3)
    assert not [name for name in picture.get_fields() if "exif" in name or "icc" in name or "xmp" in name]


def test_the_same_inputs_give_the_same_bytes_in_another_engine() -> None:
    results = []
    for _ in range(2):
        plan = plan_of()
        values = plan.values({"title": "Same", "image": "red"})
        results.append(plan.render(values, plan.load(values, load), Output()))
    assert results[0].data == results[1].data
    assert results[0].digest == results[1].digest


def test_the_digest_changes_with_everything_that_the_picture_is_made_of_and_nothing_else() -> None:
    columns = [*small_document()["columns"], {"name": "unused", "label": "Unused"}]
    plan = plan_of(columns=columns)

    def digest(plan: Plan, output: Output | None = None, **data: str) -> str:
        values = plan.values(data)
        return plan.picture_digest(values, plan.load(values, load), output or Output())

    same = digest(plan, title="a", image="red")
    assert digest(plan, title="a", image="red", unused="whatever") == same
    others = {
        digest(plan, title="b", image="red"),
        digest(plan, title="a", image="blue"),
        digest(plan, title="a", image="gone"),
        digest(plan, Output(quality=50), title="a", image="red"),
        digest(plan, Output(format=Format.PNG), title="a", image="red"),
        digest(plan_of(columns=columns, canvas={"width": 301, "height": 200}), title="a", image="red"),
    }
    assert len(others | {same}) == 7

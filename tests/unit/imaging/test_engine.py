from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import pyvips

from cwz_web.imaging import engine
from cwz_web.imaging.compositing import Pixels
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.engine import Engine, Plan
from cwz_web.imaging.errors import (
    ImageTooLargeError,
    InvalidBarcodeError,
    InvalidFontError,
    InvalidImageError,
    RenderTimeoutError,
    SourceMissingError,
    UnknownFieldsError,
    UnknownSizeError,
)
from tests.factories import FONT, jpeg, small_document

RED = Source.of(jpeg(color=(250, 0, 0)))
BLUE = Source.of(jpeg(color=(0, 0, 250)))


def load(reference: str) -> Source:
    """`red` and `blue` exist; nothing else does."""
    known = {"red": RED, "blue": BLUE, "broken": Source.of(b"\xff\xd8\xff nonsense")}
    if reference not in known:
        raise SourceMissingError("it is not there")
    return known[reference]


def plan_of(layers: list[dict[str, Any]] | None = None, **more: Any) -> Plan:
    document = small_document(**({"layers": layers} if layers is not None else {}), **more)
    return Engine().plan(ImageTemplate.model_validate(document))


def render(plan: Plan, **data: str) -> Pixels:
    values = plan.values(data)
    return plan.compose(values, plan.load(values, load))[..., :3]


def shape(name: str, color: str, x: int, **more: Any) -> dict[str, Any]:
    return {"type": "shape", "name": name, "fill": color, "x": x, "y": 0, "width": 100, "height": 200, **more}


def image(**more: Any) -> dict[str, Any]:
    return {"type": "image", "name": "i", "source": "{{ image }}", "x": 0, "y": 0, "width": 100, "height": 100, **more}


def test_layers_are_rendered_in_order_whether_they_change_or_not() -> None:
    pixels = render(plan_of([shape("low", "#00ff00", 0), image(), shape("high", "#0000ff", 50)]), image="red")
    assert pixels[150, 20].tolist() == [0, 255, 0]
    assert pixels[50, 20, 0] > 240
    assert pixels[50, 70].tolist() == [0, 0, 255]
    assert pixels[50, 200].tolist() == [255, 255, 255]


def test_one_row_leaves_nothing_in_the_next() -> None:
    plan = plan_of()
    empty = render(plan, title=" ", image="")
    render(plan, title="Something long that covers much", image="red")
    assert np.array_equal(render(plan, title=" ", image=""), empty)


def test_a_hidden_layer_is_not_rendered() -> None:
    plan = plan_of([shape("badge", "#ff0000", 0, show_if={"column": "title"})])
    assert render(plan, title=" ")[10, 10].tolist() == [255, 255, 255]
    assert render(plan, title="x")[10, 10].tolist() == [255, 0, 0]


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
    assert not np.array_equal(render(plan, title="one"), render(plan, title="three"))


def test_defaults_stand_in_for_what_is_not_given_and_not_for_what_is_empty() -> None:
    plan = plan_of()
    assert plan.values({})["title"] == "Hello"
    assert plan.values({"title": ""})["title"] == ""


def test_unknown_columns_are_named() -> None:
    with pytest.raises(UnknownFieldsError, match="no column prize; it has title, image"):
        plan_of().values({"prize": "1"})


@pytest.mark.parametrize("reference", ["", "gone", "broken"])
def test_a_missing_image_is_a_placeholder_or_left_out_or_fails(reference: str) -> None:
    white = [255, 255, 255]
    assert render(plan_of([image(missing="placeholder", placeholder="#112233")]), image=reference)[2, 2].tolist() == [
        17,
        34,
        51,
    ]
    assert render(plan_of([image(missing="skip")]), image=reference)[50, 50].tolist() == white
    with pytest.raises((SourceMissingError, InvalidImageError), match="layer “i”"):
        render(plan_of([image(missing="fail")]), image=reference)


def test_a_static_image_is_rendered_again_when_its_bytes_change() -> None:
    plan = plan_of([{**image(), "source": "fixed"}])
    values = plan.values({})
    assert plan.compose(values, {"fixed": RED})[50, 50, 0] > 240
    assert plan.compose(values, {"fixed": BLUE})[50, 50, 2] > 240


@pytest.mark.parametrize("radius", [0, 50])
def test_a_rounded_image_leaves_its_corners(radius: int) -> None:
    pixels = render(plan_of([image(radius=radius)]), image="red")
    assert (pixels[1, 1].tolist() == [255, 255, 255]) == bool(radius)
    assert pixels[50, 50, 0] > 240


@pytest.mark.parametrize(("fit", "filled"), [("cover", True), ("fill", True), ("contain", False)])
def test_fit(fit: str, filled: bool) -> None:
    pixels = render(plan_of([image(fit=fit)]), image="red")  # the source is wider than high
    assert (pixels[5, 50, 1] < 60) == filled


@pytest.mark.parametrize("format", list(Format))
def test_every_format_can_be_read_and_holds_no_metadata(format: Format) -> None:
    plan = plan_of()
    values = plan.values({"image": "red"})
    image = pyvips.Image.new_from_buffer(plan.render(values, plan.load(values, load), Output(format=format)), "")
    assert (image.width, image.height, image.bands) == (300, 200, 3)
    assert not [name for name in image.get_fields() if "exif" in name or "icc" in name or "xmp" in name]


def test_the_same_inputs_give_the_same_bytes_in_another_engine() -> None:
    results = []
    for _ in range(2):
        plan = plan_of()
        values = plan.values({"title": "Same", "image": "red"})
        found = plan.load(values, load)
        results.append((plan.render(values, found, Output()), plan.image_digest(values, found, Output())))
    assert results[0] == results[1]


def test_the_digest_changes_with_everything_that_the_image_is_made_of_and_nothing_else() -> None:
    columns = [*small_document()["columns"], {"name": "unused", "label": "Unused"}]
    plan = plan_of(columns=columns)

    def digest(plan: Plan, output: Output | None = None, **data: str) -> str:
        values = plan.values(data)
        return plan.image_digest(values, plan.load(values, load), output or Output())

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


def text(name: str, words: str, **more: Any) -> dict[str, Any]:
    box = {"x": 0, "y": 0, "width": 300, "height": 60, "size": 30}
    return {"type": "text", "name": name, "text": words, **box, **more}


@pytest.mark.parametrize(
    ("condition", "value", "shown"),
    [
        ({"is": "filled"}, "x", True),
        ({"is": "filled"}, " ", False),
        ({"is": "empty"}, " ", True),
        ({"is": "equal", "value": "SALE"}, "sale", True),
        ({"is": "different", "value": "sale"}, "sale", False),
        ({"is": "contains", "value": "sal"}, "Big SALE", True),
        ({"is": "more", "value": "10"}, "€ 9.90", False),
        ({"is": "more", "value": "10"}, "1.200,00", True),
        ({"is": "less", "value": "10"}, "-3", True),
        ({"is": "less", "value": "10"}, "soon", False),
    ],
)
def test_a_layer_is_shown_when_its_condition_holds(condition: dict[str, str], value: str, shown: bool) -> None:
    plan = plan_of([shape("badge", "#ff0000", 0, show_if={"column": "title", **condition})])
    assert (render(plan, title=value)[10, 10].tolist() == [255, 0, 0]) == shown


def test_a_hidden_layer_is_never_rendered_and_its_image_never_loaded() -> None:
    plan = plan_of([image(hidden=True, missing="fail"), shape("s", "#ff0000", 200, hidden=True)])
    assert render(plan, image="gone")[10, 210].tolist() == [255, 255, 255]


def test_a_image_falls_back_on_another_and_then_on_a_placeholder() -> None:
    plan = plan_of([image(missing="fallback", fallback="blue")])
    for reference in ("", "gone", "broken"):
        assert render(plan, image=reference)[50, 50, 2] > 240
    assert render(plan, image="red")[50, 50, 0] > 240
    nothing = plan_of([image(missing="fallback", fallback="gone", placeholder="#112233")])
    assert render(nothing, image="gone")[2, 2].tolist() == [17, 34, 51]


def test_a_circle_and_grey_and_a_border() -> None:
    round_ = render(plan_of([image(mask="circle")]), image="red")
    assert round_[3, 3].tolist() == [255, 255, 255]
    assert round_[50, 50, 0] > 240
    gray = render(plan_of([image(grayscale=True)]), image="red")[50, 50]
    assert gray[0] == gray[1] == gray[2]
    framed = render(plan_of([image(border={"color": "#00ff00", "width": 4})]), image="red")
    assert framed[1, 50].tolist() == [0, 255, 0]


def test_a_background_shows_where_the_image_does_not_reach() -> None:
    pixels = render(plan_of([image(fit="contain", background="#0000ff")]), image="red")
    assert pixels[3, 50].tolist() == [0, 0, 255]


@pytest.mark.parametrize(("focus", "color"), [([0, 0.5], 0), ([1, 0.5], 2), ("center", None)])
def test_the_focus_stays_in_sight(focus: Any, color: int | None) -> None:
    left, right = (pyvips.Image.black(100, 60) + c for c in ([250, 0, 0], [0, 0, 250]))
    both = left.join(right, "horizontal").cast("uchar").copy(interpretation="srgb").jpegsave_buffer(Q=95)
    plan = plan_of([image(width=60, height=60, focus=focus, source="both")])
    pixels = plan.compose(plan.values({}), {"both": Source.of(both)})[:60, :60, :3]
    means = pixels.reshape(-1, 3).mean(axis=0)
    if color is None:
        assert means[0] == pytest.approx(means[2], abs=12)
    else:
        assert means[color] > 235


def test_attention_finds_what_renders_the_eye() -> None:
    plain = pyvips.Image.black(400, 100) + [200, 200, 200]
    marked = plain.draw_rect([250, 20, 20], 330, 30, 40, 40, fill=True)
    image = Source.of(marked.cast("uchar").copy(interpretation="srgb").pngsave_buffer())
    plan = plan_of([image(width=100, height=100, focus="attention", source="p")])
    pixels = plan.compose(plan.values({}), {"p": image})[:100, :100, :3].astype(int)
    assert (pixels[..., 0] - pixels[..., 1] > 150).sum() > 800


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_photo_that_lies_on_its_side_is_put_upright(orientation: int) -> None:
    upright = pyvips.Image.black(80, 40) + [250, 0, 0]
    lying = upright.copy(interpretation="srgb").cast("uchar")
    lying.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    data = lying.jpegsave_buffer(Q=95)
    plan = plan_of([image(fit="contain", source="p")])
    pixels = plan.compose(plan.values({}), {"p": Source.of(data)})
    wide = orientation in (1, 3)
    assert (pixels[50, 5, 1] < 60) == wide
    assert (pixels[5, 50, 1] < 60) == (not wide)


def test_a_transparent_image_lets_through_what_lies_below() -> None:
    png = (pyvips.Image.black(50, 50) + [0, 0, 250, 128]).cast("uchar").copy(interpretation="srgb").pngsave_buffer()
    plan = plan_of([shape("low", "#ff0000", 0), image(source="p")])
    below = plan.compose(plan.values({}), {"p": Source.of(png)})[50, 50, :3]
    assert below.tolist() == pytest.approx([127, 0, 125], abs=3)


def test_a_format_is_a_image_of_its_own_size_with_moved_layers() -> None:
    overrides = {"s": {"x": 10, "y": 250}, "t": {"hidden": True}}
    formats = [{"name": "tall", "width": 100, "height": 300, "overrides": overrides}]
    layers = [shape("s", "#ff0000", 0, width=20, height=20), shape("t", "#00ff00", 100)]
    template = ImageTemplate.model_validate(small_document(layers=layers, formats=formats))
    plan = Engine().plan(template, "tall")
    pixels = render(plan)
    assert pixels.shape[:2] == (300, 100)
    assert pixels[260, 20].tolist() == [255, 0, 0]
    assert pixels[5, 5].tolist() == [255, 255, 255]
    with pytest.raises(UnknownSizeError, match="no format wide; it has default, tall"):
        Engine().plan(template, "wide")


def test_another_format_changes_no_name_of_this_ones_images() -> None:
    one = small_document()
    other = small_document(formats=[{"name": "tall", "width": 100, "height": 300}])
    plans = [Engine().plan(ImageTemplate.model_validate(document)) for document in (one, other)]
    assert plans[0].digest == plans[1].digest


def test_a_scaled_image_has_more_pixels_of_the_same_card() -> None:
    template = ImageTemplate.model_validate(small_document())
    small, large = (Engine().plan(template, scale=scale) for scale in (1, 3))
    values = small.values({"title": "Sharp", "image": "red"})
    images = [plan.compose(values, plan.load(values, load))[..., :3] for plan in (small, large)]
    assert images[1].shape == (600, 900, 3)
    shrunk = pyvips.Image.new_from_array(images[1]).shrink(3, 3).numpy()
    assert np.abs(shrunk.astype(int) - images[0].astype(int)).mean() < 6
    image = pyvips.Image.new_from_buffer(large.render(values, large.load(values, load), Output(scale=3)), "")
    assert (image.width, image.height) == (900, 600)


def test_a_image_of_too_many_pixels_is_refused_before_it_is_rendered() -> None:
    huge = ImageTemplate.model_validate(small_document(canvas={"width": 4000, "height": 4000}))
    Engine().plan(huge)
    with pytest.raises(ImageTooLargeError, match="25 million"):
        Engine().plan(huge, scale=2)


def test_images_that_are_too_much_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_SOURCE_BYTES", 100)
    with pytest.raises(ImageTooLargeError):
        render(plan_of([image()]), image="red")


def test_a_render_has_a_time_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RENDER_SECONDS", -1.0)
    with pytest.raises(RenderTimeoutError):
        render(plan_of([text("t", "{{ title }}")]), title="x")


def test_a_code_that_can_not_be_rendered_fails_the_row_and_names_its_layer() -> None:
    code = {"type": "code", "name": "Bars", "code": "ean13", "content": "{{ title }}", "x": 0, "y": 0}
    plan = plan_of([{**code, "width": 200, "height": 100}])
    with pytest.raises(InvalidBarcodeError, match="layer “Bars” cannot be rendered: “soon” is not 12 or 13 digits"):
        render(plan, title="soon")
    assert (render(plan, title="4006381333931") == 0).any()


def test_stars_without_a_number_are_not_rendered() -> None:
    stars = {"type": "rating", "name": "r", "value": "{{ title }}", "x": 0, "y": 0, "width": 200, "height": 40}
    plan = plan_of([stars])
    assert (render(plan, title="new") == 255).all()
    assert not (render(plan, title="4,5 of 5") == 255).all()


def test_a_workspaces_font_is_loaded_as_images_are() -> None:
    reference = f"upload:{'a' * 64}"
    plan = plan_of([text("t", "{{ title }}", font=reference)])
    values = plan.values({"title": "Sphinx"})
    found = plan.load(values, lambda name: {reference: Source.of(FONT.read_bytes())}[name])
    theirs = plan.compose(values, found)
    named = plan_of([text("t", "{{ title }}", font="Caveat", weight=700)])
    assert np.array_equal(theirs, named.compose(values, {}))
    with pytest.raises(SourceMissingError, match="The font of the layer “t” is missing: it is not there"):
        plan.load(values, load)
    with pytest.raises(InvalidFontError):
        plan.compose(values, {reference: RED})


def test_a_gradient_can_lie_below_everything() -> None:
    plan = plan_of([], canvas={"width": 300, "height": 200, "background": {"start": "#ff0000", "end": "#0000ff"}})
    pixels = render(plan)
    assert pixels[1, 150, 0] > 245
    assert pixels[198, 150, 2] > 245


@pytest.mark.parametrize("more", [{"progressive": True}, {"palette": True, "format": Format.PNG}])
def test_other_ways_to_write_a_image(more: dict[str, Any]) -> None:
    plan = plan_of()
    values = plan.values({"image": "red"})
    found = plan.load(values, load)
    plain, other = Output(format=more.get("format", Format.JPEG)), Output(**more)
    assert plan.image_digest(values, found, plain) != plan.image_digest(values, found, other)
    image = pyvips.Image.new_from_buffer(plan.render(values, found, other), "")
    assert (image.width, image.height) == (300, 200)
    if "palette" in more:
        assert image.get("palette") == 1
    else:
        assert image.get("interlaced") == 1


def test_lint_says_what_should_be_looked_at_beside_its_layer() -> None:
    layers = [
        image(missing="skip"),
        text("long", "{{ title }}", y=100, width=60),
        text("tight", "{{ title }}", y=100, width=60, min_size=28),
        text("pale", "Pale", y=60, color="#dddddd"),
        text("strange", "𓀀", y=140, height=50),
        {"type": "rating", "name": "stars", "value": "{{ title }}", "x": 0, "y": 0, "width": 20, "height": 20},
        {"type": "code", "name": "bars", "code": "ean13", "content": "{{ title }}", "x": 0, "y": 0}
        | {"width": 200, "height": 100},
        {**image(source="red", width=290, height=190), "name": "big"},
    ]
    plan = plan_of(layers)
    values = plan.values({"title": "Many words, and no end of them", "image": "gone"})
    found = {finding.layer: finding.check.value for finding in plan.lint(values, plan.load(values, load))}
    assert found == {
        "i": "dead_image",
        "long": "overflow",
        "tight": "below_minimum",
        "pale": "low_contrast",
        "strange": "missing_glyph",
        "stars": "no_number",
        "bars": "bad_code",
        "big": "upscaled",
    }


def test_lint_finds_nothing_where_there_is_nothing() -> None:
    plan = plan_of([text("fine", "{{ title }}"), image(y=80, width=40, height=40)])
    values = plan.values({"title": "Short", "image": "red"})
    assert plan.lint(values, plan.load(values, load)) == []


def test_contrast_is_that_with_what_lies_below() -> None:
    dark_box = text("t", "White", color="#ffffff", background="#101010")
    pale_box = text("t", "White", color="#ffffff", background="#eeeeee")
    for layer, expected in ((dark_box, []), (pale_box, ["low_contrast"])):
        plan = plan_of([layer])
        assert [finding.check.value for finding in plan.lint(plan.values({}), {})] == expected


def test_many_threads_render_what_one_does() -> None:
    plan = plan_of()
    rows = [{"title": f"Row {number} 👍 é", "image": ("red", "blue", "gone")[number % 3]} for number in range(60)]

    def image(row: dict[str, str]) -> bytes:
        values = plan.values(row)
        return plan.render(values, plan.load(values, load), Output())

    alone = [image(row) for row in rows]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(image, rows)) == alone

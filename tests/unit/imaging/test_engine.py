from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import pyvips

from cwz_web.imaging import engine, layer_rendering
from cwz_web.imaging.byte_cache import ByteCache
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
from cwz_web.imaging.filters import FILTERS, Filter
from cwz_web.imaging.template_parts import Canvas
from cwz_web.imaging.text_fitting import FittedText, fit_text
from cwz_web.imaging.text_layers import TextLayer
from cwz_web.values.formats import Unclear
from tests.factories import FONT, jpeg, small_document

RED = Source.of(jpeg(color=(250, 0, 0)))
BLUE = Source.of(jpeg(color=(0, 0, 250)))


def load(reference: str) -> Source:
    """Load `red`, `blue` or the damaged image `broken`."""
    known = {"red": RED, "blue": BLUE, "broken": Source.of(b"\xff\xd8\xff nonsense")}
    if reference not in known:
        raise SourceMissingError("The URL returned 404")
    return known[reference]


def load_named(reference: str) -> Source:
    """Load an image as `ImageSources` does: a row without a reference names no image."""
    if not reference:
        raise SourceMissingError("The row has no photo", is_unnamed=True)
    return load(reference)


def create_plan(layers: list[dict[str, Any]] | None = None, **values: Any) -> Plan:
    document = small_document(**({"layers": layers} if layers is not None else {}), **values)
    return Engine().plan(ImageTemplate.model_validate(document))


def render(plan: Plan, **data: str) -> Pixels:
    values = plan.fill_values(data)
    return plan.compose(values, plan.load_sources(values, load)).pixels[..., :3]


def shape(name: str, color: str, x: int, **more: Any) -> dict[str, Any]:
    return {"type": "shape", "name": name, "fill": color, "x": x, "y": 0, "width": 100, "height": 200, **more}


def image(**more: Any) -> dict[str, Any]:
    return {"type": "image", "name": "i", "source": "{{ image }}", "x": 0, "y": 0, "width": 100, "height": 100, **more}


def test_static_and_changing_layers_are_rendered_in_order() -> None:
    pixels = render(create_plan([shape("low", "#00ff00", 0), image(), shape("high", "#0000ff", 50)]), image="red")
    assert pixels[150, 20].tolist() == [0, 255, 0]
    assert pixels[50, 20, 0] > 240
    assert pixels[50, 70].tolist() == [0, 0, 255]
    assert pixels[50, 200].tolist() == [255, 255, 255]


def test_row_does_not_affect_the_next_row() -> None:
    plan = create_plan()
    empty = render(plan, title=" ", image="")
    render(plan, title="Something long that covers much", image="red")
    assert np.array_equal(render(plan, title=" ", image=""), empty)


def test_layer_whose_condition_is_false_is_not_rendered() -> None:
    plan = create_plan([shape("badge", "#ff0000", 0, show_if={"field": "title"})])
    assert render(plan, title=" ")[10, 10].tolist() == [255, 255, 255]
    assert render(plan, title="x")[10, 10].tolist() == [255, 0, 0]


def test_layer_changes_with_the_field_of_its_condition() -> None:
    text = {
        "type": "text",
        "name": "t",
        "text": "{{ title }}",
        "show_if": {"field": "title"},
        "x": 0,
        "y": 0,
        "width": 300,
        "height": 60,
        "size": 30,
    }
    plan = create_plan([text])
    assert not np.array_equal(render(plan, title="one"), render(plan, title="three"))


def test_default_replaces_a_missing_value_and_not_an_empty_one() -> None:
    plan = create_plan()
    assert plan.fill_values({})["title"] == "Hello"
    assert plan.fill_values({"title": ""})["title"] == ""


def test_unknown_field_is_rejected() -> None:
    with pytest.raises(UnknownFieldsError, match=r"Unknown field: prize\. The template has: title, image"):
        create_plan().fill_values({"prize": "1"})


@pytest.mark.parametrize("reference", ["", "gone", "broken"])
def test_missing_image_is_a_placeholder_or_skipped_or_fails(reference: str) -> None:
    white = [255, 255, 255]
    assert render(create_plan([image(missing="placeholder", placeholder="#112233")]), image=reference)[
        2, 2
    ].tolist() == [
        17,
        34,
        51,
    ]
    assert render(create_plan([image(missing="skip")]), image=reference)[50, 50].tolist() == white
    with pytest.raises((SourceMissingError, InvalidImageError), match="layer “i”"):
        render(create_plan([image(missing="fail")]), image=reference)


def test_static_image_is_rendered_again_if_its_bytes_change() -> None:
    plan = create_plan([{**image(), "source": "fixed"}])
    values = plan.fill_values({})
    assert plan.compose(values, {"fixed": RED}).pixels[50, 50, 0] > 240
    assert plan.compose(values, {"fixed": BLUE}).pixels[50, 50, 2] > 240


@pytest.mark.parametrize("radius", [0, 50])
def test_radius_clips_the_corners(radius: int) -> None:
    pixels = render(create_plan([image(radius=radius)]), image="red")
    assert (pixels[1, 1].tolist() == [255, 255, 255]) == bool(radius)
    assert pixels[50, 50, 0] > 240


@pytest.mark.parametrize(("fit", "filled"), [("cover", True), ("fill", True), ("contain", False)])
def test_fit(fit: str, filled: bool) -> None:
    pixels = render(create_plan([image(fit=fit)]), image="red")  # the source is wider than its height
    assert (pixels[5, 50, 1] < 60) == filled


@pytest.mark.parametrize("format", list(Format))
def test_every_file_format_is_readable_and_has_no_metadata(format: Format) -> None:
    plan = create_plan()
    values = plan.fill_values({"image": "red"})
    image = pyvips.Image.new_from_buffer(
        plan.render(values, plan.load_sources(values, load), Output(format=format)).data, ""
    )
    assert (image.width, image.height, image.bands) == (300, 200, 3)
    assert not [name for name in image.get_fields() if "exif" in name or "icc" in name or "xmp" in name]


def test_equal_inputs_result_in_equal_bytes_and_digests() -> None:
    results = []
    for _ in range(2):
        plan = create_plan()
        values = plan.fill_values({"title": "Same", "image": "red"})
        sources = plan.load_sources(values, load)
        results.append((plan.render(values, sources, Output()).data, plan.image_digest(values, sources, Output())))
    assert results[0] == results[1]


def test_digest_depends_on_all_inputs_of_the_image_and_nothing_else() -> None:
    fields = [*small_document()["fields"], {"name": "unused", "label": "Unused"}]
    plan = create_plan(fields=fields)

    def digest(plan: Plan, output: Output | None = None, **data: str) -> str:
        values = plan.fill_values(data)
        return plan.image_digest(values, plan.load_sources(values, load), output or Output())

    same = digest(plan, title="a", image="red")
    assert digest(plan, title="a", image="red", unused="whatever") == same
    others = {
        digest(plan, title="b", image="red"),
        digest(plan, title="a", image="blue"),
        digest(plan, title="a", image="gone"),
        digest(plan, Output(quality=50), title="a", image="red"),
        digest(plan, Output(format=Format.PNG), title="a", image="red"),
        digest(create_plan(fields=fields, canvas={"width": 301, "height": 200}), title="a", image="red"),
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
def test_condition(condition: dict[str, str], value: str, shown: bool) -> None:
    plan = create_plan([shape("badge", "#ff0000", 0, show_if={"field": "title", **condition})])
    assert (render(plan, title=value)[10, 10].tolist() == [255, 0, 0]) == shown


def test_hidden_layer_is_not_rendered_and_its_image_not_loaded() -> None:
    plan = create_plan([image(hidden=True, missing="fail"), shape("s", "#ff0000", 200, hidden=True)])
    assert render(plan, image="gone")[10, 210].tolist() == [255, 255, 255]


def test_fallback_image_and_then_the_placeholder() -> None:
    plan = create_plan([image(missing="fallback", fallback="blue")])
    for reference in ("", "gone", "broken"):
        assert render(plan, image=reference)[50, 50, 2] > 240
    assert render(plan, image="red")[50, 50, 0] > 240
    nothing = create_plan([image(missing="fallback", fallback="gone", placeholder="#112233")])
    assert render(nothing, image="gone")[2, 2].tolist() == [17, 34, 51]


def test_circle_grayscale_and_border() -> None:
    circle = render(create_plan([image(mask="circle")]), image="red")
    assert circle[3, 3].tolist() == [255, 255, 255]
    assert circle[50, 50, 0] > 240
    gray = render(create_plan([image(grayscale=True)]), image="red")[50, 50]
    assert gray[0] == gray[1] == gray[2]
    framed = render(create_plan([image(border={"color": "#00ff00", "width": 4})]), image="red")
    assert framed[1, 50].tolist() == [0, 255, 0]


def test_background_is_visible_beside_a_contained_image() -> None:
    pixels = render(create_plan([image(fit="contain", background="#0000ff")]), image="red")
    assert pixels[3, 50].tolist() == [0, 0, 255]


@pytest.mark.parametrize(("focus", "color"), [([0, 0.5], 0), ([1, 0.5], 2), ("center", None)])
def test_focus_is_kept_by_cropping(focus: Any, color: int | None) -> None:
    left, right = (pyvips.Image.black(100, 60) + c for c in ([250, 0, 0], [0, 0, 250]))
    both = left.join(right, "horizontal").cast("uchar").copy(interpretation="srgb").jpegsave_buffer(Q=95)
    plan = create_plan([image(width=60, height=60, focus=focus, source="both")])
    pixels = plan.compose(plan.fill_values({}), {"both": Source.of(both)}).pixels[:60, :60, :3]
    means = pixels.reshape(-1, 3).mean(axis=0)
    if color is None:
        assert means[0] == pytest.approx(means[2], abs=12)
    else:
        assert means[color] > 235


def test_zoom_shows_less_of_a_photo_around_its_focus() -> None:
    bands = pyvips.Image.black(100, 100).join(pyvips.Image.black(100, 100) + 240, "horizontal")
    source = Source.of(bands.cast("uchar").copy(interpretation="b-w").pngsave_buffer())

    def right_edge(**more: Any) -> float:
        plan = create_plan([image(width=100, height=100, focus=[0.5, 0.5], source="p", **more)])
        pixels = plan.compose(plan.fill_values({}), {"p": source}).pixels[:100, :100, 0]
        return float((pixels > 120).mean())

    assert right_edge() == pytest.approx(0.5, abs=0.02)
    assert right_edge(zoom=4) == pytest.approx(0.5, abs=0.02)
    closer = create_plan([image(width=100, height=100, focus=[0.6, 0.5], source="p", zoom=4)])
    pixels = closer.compose(closer.fill_values({}), {"p": source}).pixels[:100, :100, 0]
    # 25 pixels of the photo around 120, all of them right of its middle.
    assert (pixels > 120).mean() > 0.98


@pytest.mark.parametrize("focus", ["attention", "face"])
def test_zoom_keeps_the_salient_part(focus: str) -> None:
    plain = pyvips.Image.black(400, 100) + [200, 200, 200]
    marked = plain.draw_rect([250, 20, 20], 330, 30, 40, 40, fill=True)
    source = Source.of(marked.cast("uchar").copy(interpretation="srgb").pngsave_buffer())
    plan = create_plan([image(width=100, height=100, focus=focus, source="p", zoom=2)])
    pixels = plan.compose(plan.fill_values({}), {"p": source}).pixels[:100, :100, :3].astype(int)
    assert (pixels[..., 0] - pixels[..., 1] > 150).sum() > 3000


def test_attention_crops_to_the_salient_part() -> None:
    plain = pyvips.Image.black(400, 100) + [200, 200, 200]
    marked = plain.draw_rect([250, 20, 20], 330, 30, 40, 40, fill=True)
    source = Source.of(marked.cast("uchar").copy(interpretation="srgb").pngsave_buffer())
    plan = create_plan([image(width=100, height=100, focus="attention", source="p")])
    pixels = plan.compose(plan.fill_values({}), {"p": source}).pixels[:100, :100, :3].astype(int)
    assert (pixels[..., 0] - pixels[..., 1] > 150).sum() > 800


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = pyvips.Image.black(80, 40) + [250, 0, 0]
    sideways = upright.copy(interpretation="srgb").cast("uchar")
    sideways.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    data = sideways.jpegsave_buffer(Q=95)
    plan = create_plan([image(fit="contain", source="p")])
    pixels = plan.compose(plan.fill_values({}), {"p": Source.of(data)}).pixels
    wide = orientation in (1, 3)
    assert (pixels[50, 5, 1] < 60) == wide
    assert (pixels[5, 50, 1] < 60) == (not wide)


def test_transparent_image_is_blended_with_layers_below() -> None:
    png = (pyvips.Image.black(50, 50) + [0, 0, 250, 128]).cast("uchar").copy(interpretation="srgb").pngsave_buffer()
    plan = create_plan([shape("low", "#ff0000", 0), image(source="p")])
    below = plan.compose(plan.fill_values({}), {"p": Source.of(png)}).pixels[50, 50, :3]
    assert below.tolist() == pytest.approx([127, 0, 125], abs=3)


def test_size_has_its_own_canvas_and_overrides() -> None:
    overrides = {"s": {"x": 10, "y": 250}, "t": {"hidden": True}}
    sizes = [{"name": "tall", "width": 100, "height": 300, "overrides": overrides}]
    layers = [shape("s", "#ff0000", 0, width=20, height=20), shape("t", "#00ff00", 100)]
    template = ImageTemplate.model_validate(small_document(layers=layers, sizes=sizes))
    plan = Engine().plan(template, "tall")
    pixels = render(plan)
    assert pixels.shape[:2] == (300, 100)
    assert pixels[260, 20].tolist() == [255, 0, 0]
    assert pixels[5, 5].tolist() == [255, 255, 255]
    with pytest.raises(UnknownSizeError, match=r"Unknown size: wide\. The template has: default, tall"):
        Engine().plan(template, "wide")


def test_digest_does_not_depend_on_other_sizes() -> None:
    one = small_document()
    other = small_document(sizes=[{"name": "tall", "width": 100, "height": 300}])
    plans = [Engine().plan(ImageTemplate.model_validate(document)) for document in (one, other)]
    assert plans[0].digest == plans[1].digest


def test_scaled_image_is_the_same_with_more_pixels() -> None:
    template = ImageTemplate.model_validate(small_document())
    small, large = (Engine().plan(template, scale=scale) for scale in (1, 3))
    values = small.fill_values({"title": "Sharp", "image": "red"})
    images = [plan.compose(values, plan.load_sources(values, load)).pixels[..., :3] for plan in (small, large)]
    assert images[1].shape == (600, 900, 3)
    shrunk = pyvips.Image.new_from_array(images[1]).shrink(3, 3).numpy()
    assert np.abs(shrunk.astype(int) - images[0].astype(int)).mean() < 6
    image = pyvips.Image.new_from_buffer(
        large.render(values, large.load_sources(values, load), Output(scale=3)).data, ""
    )
    assert (image.width, image.height) == (900, 600)


def test_image_with_too_many_pixels_is_rejected() -> None:
    huge = ImageTemplate.model_validate(small_document(canvas={"width": 4000, "height": 4000}))
    Engine().plan(huge)
    with pytest.raises(ImageTooLargeError, match="25 million"):
        Engine().plan(huge, scale=2)


def test_sources_with_too_many_bytes_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_SOURCE_BYTES", 100)
    with pytest.raises(ImageTooLargeError):
        render(create_plan([image()]), image="red")


def test_rendering_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RENDER_SECONDS", -1.0)
    with pytest.raises(RenderTimeoutError):
        render(create_plan([text("t", "{{ title }}")]), title="x")


def test_layout_of_a_stack_has_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RENDER_SECONDS", -1.0)
    monkeypatch.setattr(engine.LayerRenderer, "fit_text", lambda *_: pytest.fail("A text was fitted"))
    stack = {"type": "stack", "name": "s", "width": 100, "height": 100, "layers": [text("t", "{{ title }}")]}
    plan = create_plan([stack])
    values = plan.fill_values({"title": "x"})
    with pytest.raises(RenderTimeoutError):
        plan.compose(values, {})
    with pytest.raises(RenderTimeoutError):
        plan.lint(values, {})


def test_invalid_code_fails_the_row_and_names_the_layer() -> None:
    code = {"type": "code", "name": "Bars", "code": "ean13", "content": "{{ title }}", "x": 0, "y": 0}
    plan = create_plan([{**code, "width": 200, "height": 100}])
    with pytest.raises(
        InvalidBarcodeError, match="layer “Bars” cannot be rendered: “soon” does not have 12 or 13 digits"
    ):
        render(plan, title="soon")
    assert (render(plan, title="4006381333931") == 0).any()


def test_upca_number_in_an_ean13_layer_is_reported() -> None:
    code = {"type": "code", "name": "Bars", "code": "ean13", "content": "{{ title }}", "x": 0, "y": 0}
    plan = create_plan([{**code, "width": 200, "height": 100}])
    for number, expected in (("036000291452", ["value_unclear"]), ("4006381333931", []), ("400638133393", [])):
        findings = plan.compose(plan.fill_values({"title": number}), {}).findings
        assert [finding.code.value for finding in findings] == expected


def test_rating_without_a_number_is_not_rendered() -> None:
    stars = {"type": "rating", "name": "r", "value": "{{ title }}", "x": 0, "y": 0, "width": 200, "height": 40}
    plan = create_plan([stars])
    assert (render(plan, title="new") == 255).all()
    assert not (render(plan, title="4,5 of 5") == 255).all()


def test_uploaded_font_is_loaded_as_a_source() -> None:
    reference = f"upload:{'a' * 64}"
    plan = create_plan([text("t", "{{ title }}", font=reference)])
    values = plan.fill_values({"title": "Sphinx"})
    sources = plan.load_sources(values, lambda name: {reference: Source.of(FONT.read_bytes())}[name])
    uploaded = plan.compose(values, sources).pixels
    installed = create_plan([text("t", "{{ title }}", font="Caveat", weight=700)])
    assert np.array_equal(uploaded, installed.compose(values, {}).pixels)
    with pytest.raises(SourceMissingError, match="The font of the layer “t” is missing: the URL returned 404"):
        plan.load_sources(values, load)
    with pytest.raises(InvalidFontError):
        plan.compose(values, {reference: RED})


def test_fallback_image_that_becomes_available_is_rendered() -> None:
    plan = create_plan([image(missing="fallback", fallback="blue", placeholder="#112233")])
    values = plan.fill_values({"image": "gone"})
    missing = SourceMissingError("The URL returned 404")
    first = plan.compose(values, {"gone": missing, "blue": missing}).pixels
    second = plan.compose(values, {"gone": missing, "blue": BLUE}).pixels
    assert first[5, 5, :3].tolist() == [0x11, 0x22, 0x33]
    assert second[5, 5, 2] > 240


def test_layers_whose_content_stays_the_same_are_not_rendered_again() -> None:
    group = {"type": "group", "name": "g", "width": 100, "height": 100, "rotation": 30, "layers": [image()]}
    plan = create_plan([text("t", "{{ title }}", y=100), group])
    values = plan.fill_values({"title": "One", "image": "red"})
    first = plan.compose(values, {"red": RED}).pixels
    # An image that cannot be decoded, under the same digest.
    second = plan.compose({**values, "title": "Two"}, {"red": Source(b"", RED.digest)})
    assert np.array_equal(first[:100], second.pixels[:100])
    assert not np.array_equal(first[100:], second.pixels[100:])
    assert [finding.code.value for finding in second.findings] == ["upscaled"]


def test_canvas_can_have_a_gradient() -> None:
    plan = create_plan([], canvas={"width": 300, "height": 200, "background": {"start": "#ff0000", "end": "#0000ff"}})
    pixels = render(plan)
    assert pixels[1, 150, 0] > 245
    assert pixels[198, 150, 2] > 245


@pytest.mark.parametrize("options", [{"progressive": True}, {"palette": True, "format": Format.PNG}])
def test_progressive_jpeg_and_palette_png(options: dict[str, Any]) -> None:
    plan = create_plan()
    values = plan.fill_values({"image": "red"})
    sources = plan.load_sources(values, load)
    plain, other = Output(format=options.get("format", Format.JPEG)), Output(**options)
    assert plan.image_digest(values, sources, plain) != plan.image_digest(values, sources, other)
    image = pyvips.Image.new_from_buffer(plan.render(values, sources, other).data, "")
    assert (image.width, image.height) == (300, 200)
    if "palette" in options:
        assert image.get("palette") == 1
    else:
        assert image.get("interlaced") == 1


@pytest.mark.parametrize("condition", [{"field": "title", "is": "more", "value": "3"}, "amount(title) > 3"])
def test_digest_depends_on_the_findings_of_conditions(condition: Any) -> None:
    """The image is the same, but a cached one has its findings."""
    plan = create_plan([shape("s", "#ff0000", 0, show_if=condition)])
    digests = {plan.image_digest(plan.fill_values({"title": title}), {}, Output()) for title in ("1", "2", "soon")}
    assert len(digests) == 2


def test_digest_depends_on_the_text_that_is_no_rating() -> None:
    plan = create_plan([{"type": "rating", "name": "r", "value": "{{ title }}", "width": 100, "height": 20}])
    texts = ("4.5", "4,5", "soon", "later")
    assert len({plan.image_digest(plan.fill_values({"title": text}), {}, Output()) for text in texts}) == 3


def test_cache_does_not_keep_long_texts() -> None:
    keys: list[Any] = []

    class Cache(ByteCache[Any]):
        def put(self, key: Any, value: Any) -> Any:
            keys.append(key)
            return super().put(key, value)

    plan = Plan(ImageTemplate.model_validate(small_document(layers=[text("t", "{{ title }}")])), 1, Cache(10**6))
    for end in ("a", "b"):
        plan.compose(plan.fill_values({"title": "x" * 3000 + end}), {})
    assert max(len(part) for key in keys for part in key if isinstance(part, str)) < 1000
    assert len([key for key in keys if key[0] == "layer"]) == 2


def test_each_filter_runs_once_for_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setitem(FILTERS, "upper", Filter(lambda text: calls.append(text) or Unclear("is unclear")))
    plan = create_plan([text("t", "{{ title | upper }}, {{ title | upper }}")])
    image = plan.compose(plan.fill_values({"title": "Mug"}), {})
    assert calls == ["Mug", "Mug"]
    message = "shows the field “title” as it is: “Mug” is unclear"
    assert [finding.message for finding in image.findings] == [message] * 2


def test_edited_layer_alone_is_rendered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[str] = []

    def fit(layer: TextLayer, *more: Any) -> FittedText:
        fitted.append(layer.name)
        return fit_text(layer, *more)

    monkeypatch.setattr(layer_rendering, "fit_text", fit)
    shared = Engine()
    for color in ("#ff0000", "#00ff00"):
        document = small_document(layers=[text("same", "{{ title }}"), text("edited", "{{ title }}", color=color)])
        edited = render(shared.plan(ImageTemplate.model_validate(document)), title="Mug")
        alone = render(Engine().plan(ImageTemplate.model_validate(document)), title="Mug")
        assert np.array_equal(edited, alone)
    assert fitted == ["same", "edited", "same", "edited", "edited", "same", "edited"]


def test_edit_of_an_upper_layer_keeps_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[Canvas] = []
    background = engine.render_background
    monkeypatch.setattr(engine, "render_background", lambda canvas: rendered.append(canvas) or background(canvas))
    shared = Engine()
    low = {"type": "shape", "name": "low", "x": 0, "y": 0, "width": 300, "height": 90}
    documents = [
        small_document(layers=[low | {"fill": fill}, text("t", "{{ title }}", color=color)], canvas=canvas)
        for canvas in ({"width": 300, "height": 200}, {"width": 300, "height": 200, "background": "#eeeeee"})
        for fill in ("#aabbcc", "#ccbbaa")
        for color in ("#ff0000", "#00ff00")
    ]
    for document in documents:
        template = ImageTemplate.model_validate(document)
        assert np.array_equal(render(shared.plan(template)), render(Engine().plan(template)))
    assert len(rendered) - len(documents) == 4, "one for each canvas and lower layer, beside those of the new engines"


def test_product_of_a_photo_is_found_once_for_all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bytes] = []
    monkeypatch.setattr(layer_rendering, "find_product", lambda data: found.append(data))
    plan = create_plan([image(fit="trim"), image(name="small", width=50, fit="trim")])
    render(plan, image="red")
    assert found == [RED.data]


def test_lint_reports_findings_of_every_type() -> None:
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
    plan = create_plan(layers)
    values = plan.fill_values({"title": "Many words, and no end of them", "image": "gone"})
    found = {finding.layer: finding.code.value for finding in plan.lint(values, plan.load_sources(values, load))}
    assert found == {
        "i": "photo_missing",
        "long": "overflow",
        "tight": "below_minimum",
        "pale": "low_contrast",
        "strange": "missing_glyph",
        "stars": "value_unclear",
        "bars": "bad_code",
        "big": "upscaled",
    }


def test_lint_reports_nothing_for_a_good_image() -> None:
    plan = create_plan([text("fine", "{{ title }}"), image(y=80, width=40, height=40)])
    values = plan.fill_values({"title": "Short", "image": "red"})
    assert plan.lint(values, plan.load_sources(values, load)) == []


def test_contrast_is_measured_with_the_background_of_the_text() -> None:
    dark_box = text("t", "White", color="#ffffff", background="#101010")
    pale_box = text("t", "White", color="#ffffff", background="#eeeeee")
    for layer, expected in ((dark_box, []), (pale_box, ["low_contrast"])):
        plan = create_plan([layer])
        assert [finding.code.value for finding in plan.lint(plan.fill_values({}), {})] == expected


def test_threads_render_the_same_images_as_one_thread() -> None:
    plan = create_plan()
    rows = [{"title": f"Row {number} 👍 é", "image": ("red", "blue", "gone")[number % 3]} for number in range(60)]

    def image(row: dict[str, str]) -> bytes:
        values = plan.fill_values(row)
        return plan.render(values, plan.load_sources(values, load), Output()).data

    alone = [image(row) for row in rows]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(image, rows)) == alone


def test_rendered_image_has_the_findings_of_all_its_layers() -> None:
    layers = [
        image(source="gone", missing="skip"),
        text("long", "{{ title }}", y=100, width=60),
        text("pale", "Pale", y=60, color="#dddddd"),
    ]
    plan = create_plan(layers)
    values = plan.fill_values({"title": "Many words, and no end of them"})
    for _ in range(2):  # the second image takes the static layers from the cache
        findings = plan.render(values, plan.load_sources(values, load), Output()).findings
        assert [(each.code.value, each.layer) for each in findings] == [("photo_missing", "i"), ("overflow", "long")]
        assert findings[0].message == "has no image: the URL returned 404"


def stack(*layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "stack", "name": "Stack", "width": 200, "height": 200, "layers": list(layers), **more}


IN_STACKS = {
    "a stack": [stack(image(missing="skip"))],
    "a stack in a stack": [stack(stack(image(missing="skip"), name="Inner", sizing={"width": "hug", "height": "hug"}))],
    "a group in a stack": [
        stack({"type": "group", "name": "Group", "width": 90, "height": 90, "layers": [image(missing="skip")]})
    ],
    "a stack in a group": [
        {"type": "group", "name": "Group", "width": 90, "height": 90, "layers": [stack(image(missing="skip"))]}
    ],
    "a list": [stack(image(source="{{ item }}", missing="skip"), repeat={"field": "image", "limit": 3})],
}


@pytest.mark.parametrize("layers", IN_STACKS.values(), ids=IN_STACKS)
def test_photo_that_a_stack_leaves_out_is_a_finding_if_the_row_names_one(layers: list[dict[str, Any]]) -> None:
    kind = "list" if "repeat" in layers[0] else "image"
    plan = create_plan(layers, fields=[{"name": "image", "label": "Image", "type": kind}])
    for reference, expected in (("gone", ["has no image: the URL returned 404"]), ("", []), ("red", [])):
        values = plan.fill_values({"image": reference})
        sources = plan.load_sources(values, load_named)
        for findings in (plan.render(values, sources, Output()).findings, plan.lint(values, sources)):
            assert [each.message for each in findings if each.code.value == "photo_missing"] == expected


def test_missing_static_photo_in_a_stack_is_a_finding_of_each_image() -> None:
    plan = create_plan([stack(image(source="gone", missing="skip")), text("t", "{{ title }}")])
    values = plan.fill_values({"title": "Mug"})
    for _ in range(2):  # the second image takes the stack from the cache
        [finding] = plan.render(values, plan.load_sources(values, load), Output()).findings
        assert (finding.code.value, finding.layer) == ("photo_missing", "i")


def test_photo_of_a_hidden_layer_is_no_finding() -> None:
    hidden = stack(image(missing="skip", show_if={"field": "title"}), stack(image(missing="skip") | {"name": "j"}))
    hidden["layers"][1] |= {"name": "Inner", "show_if": {"field": "title"}}
    plan = create_plan([hidden])
    values = plan.fill_values({"title": "", "image": "gone"})
    assert plan.lint(values, plan.load_sources(values, load)) == []


def test_reason_of_a_missing_static_image_is_that_of_this_row() -> None:
    plan = create_plan([image(source="fixed")])
    for reason in ("The URL returned 503", "The URL returned 404"):
        [finding] = plan.compose(plan.fill_values({}), {"fixed": SourceMissingError(reason)}).findings
        assert finding.message == f"has no image: the URL returned {reason[-3:]}"


@pytest.mark.parametrize("background", [None, "#33669980"])
def test_transparent_canvas(background: str | None) -> None:
    layers = [shape("low", "#ff0000", 0), image(x=100), shape("top", "#0000ff80", 150)]
    plan = create_plan(layers, canvas={"width": 300, "height": 200, "background": background})
    values = plan.fill_values({"image": "red"})
    composition = plan.compose(values, plan.load_sources(values, load))
    below = [51, 102, 153, 128] if background else [255, 255, 255, 0]
    assert composition.has_alpha
    assert composition.pixels[150, 270].tolist() == below
    assert composition.pixels[10, 10].tolist() == [255, 0, 0, 255]
    assert composition.pixels[50, 120, 3] == 255
    assert composition.pixels[150, 200].tolist() == ([17, 34, 221, 192] if background else [0, 0, 255, 128])
    small = pyvips.Image.new_from_buffer(composition.encode(Output(format=Format.PNG), 150), "").numpy()
    assert small.shape == (100, 150, 4)
    assert np.abs(small[75, 135].astype(int) - below)[3] <= 1


def test_code_on_a_transparent_canvas_is_checked_on_white() -> None:
    code = {
        "type": "code",
        "name": "c",
        "content": "x",
        "x": 0,
        "y": 0,
        "width": 100,
        "height": 100,
        "background": None,
    }
    plan = create_plan([code], canvas={"width": 100, "height": 100, "background": None})
    assert plan.compose(plan.fill_values({}), {}).findings == ()
    assert plan.lint(plan.fill_values({}), {}) == []


def test_opaque_canvas_has_no_alpha() -> None:
    plan = create_plan([], canvas={"width": 30, "height": 20, "background": "#112233ff"})
    assert not plan.compose(plan.fill_values({}), {}).has_alpha


def test_polygon_mask_fade_and_outline_of_an_image() -> None:
    triangle = {"mask": "polygon", "mask_points": [[0.5, 0], [1, 1], [0, 1]]}
    pixels = render(create_plan([image(**triangle, outline={"color": "#00ff00", "width": 4})]), image="blue")
    assert pixels[90, 50].tolist() == pytest.approx([0, 0, 250], abs=8)
    assert pixels[50, 22].tolist() == pytest.approx([0, 255, 0], abs=8), "left of the edge at 25"
    assert pixels[20, 10].tolist() == [255, 255, 255]
    faded = render(create_plan([image(fade={"angle": 0, "start": 0.2})]), image="blue")
    assert faded[50, 5].tolist() == pytest.approx([0, 0, 250], abs=8)
    assert faded[50, 97, 0] > 230


def test_adjustments_of_two_layers_are_cached_apart() -> None:
    layers = [image(), image(name="dark", x=100, adjust={"brightness": 0.5}), image(name="gray", x=200, duotone={})]
    pixels = render(create_plan(layers), image="red")
    assert pixels[50, 50, 0] > 240
    assert pixels[50, 150].tolist() == pytest.approx([125, 0, 0], abs=4)
    assert np.ptp(pixels[50, 250]) == 0

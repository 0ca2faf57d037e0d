"""Texts with several styles."""

from hashlib import sha256
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cwz_web.imaging.compositing import Patch
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.findings import FindingCode
from cwz_web.imaging.text import RenderedText, render_text
from cwz_web.imaging.text_layers import TextLayer
from cwz_web.imaging.text_runs import Typeface, join_spans

SAMPLES = [
    "Summer sale: up to 50% off",
    "مرحبا بكم في متجرنا",
    "ฉันรักประเทศไทยมากที่สุดในโลก",
    "日本の限定商品が入荷しました",
    "한국어 띄어쓰기는",
    "Hi 👩‍👩‍👧 ❤\ufe0f é\u0301",
    "שלום עולם 123",
]
Span = dict[str, Any]


def layer(**values: Any) -> TextLayer:
    defaults = {"type": "text", "name": "t", "x": 0, "y": 0, "width": 600, "height": 160, "size": 40, "max_lines": 3}
    return TextLayer.model_validate(defaults | values)


def render(*spans: Span, **values: Any) -> RenderedText:
    text_layer = layer(spans=spans, **values)
    typefaces = {font: Typeface(font) for font in text_layer.fonts()}
    return render_text(text_layer, [span["text"] for span in spans], typefaces)


def render_plain(text: str, **values: Any) -> RenderedText:
    text_layer = layer(text=text, **values)
    return render_text(text_layer, [text], {text_layer.font: Typeface(text_layer.font)})


def has_equal_pixels(one: RenderedText, other: RenderedText) -> bool:
    return len(one.patches) == len(other.patches) and all(
        (a.x, a.y) == (b.x, b.y) and np.array_equal(a.mask(), b.mask()) and np.array_equal(a.color, b.color)
        for a, b in zip(one.patches, other.patches, strict=True)
    )


def ink_of(patch: Patch, color: tuple[int, int, int]) -> np.ndarray:
    """Return where the letters of a color are."""
    assert isinstance(patch.color, np.ndarray)
    return (patch.color[..., :3] == color).all(axis=2) & (patch.mask() > 200)


@given(st.sampled_from(SAMPLES), st.lists(st.integers(0, 30), max_size=5), st.sampled_from([260, 600]))
@settings(max_examples=25)
def test_spans_of_one_style_render_as_one_text(text: str, cuts: list[int], width: int) -> None:
    """Also where a cut is within a word, a joined letter or an emoji."""
    at = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    spans = [{"text": text[start:end]} for start, end in pairwise(at)]
    assert has_equal_pixels(render(*spans, width=width), render_plain(text, width=width))


@given(st.text(max_size=60), st.sampled_from([0, 5]))
@settings(max_examples=25)
def test_single_span_without_style_renders_as_text(text: str, spacing: int) -> None:
    values: dict[str, Any] = {"min_size": 14, "width": 200, "letter_spacing": spacing}
    assert has_equal_pixels(render({"text": text}, **values), render_plain(text, **values))


@pytest.mark.parametrize("width", [180, 600])
@pytest.mark.parametrize("text", SAMPLES)
def test_color_moves_no_letter(text: str, width: int) -> None:
    """Letters are joined, and lines are broken, across spans."""
    middle = len(text) // 2
    [plain] = render_plain(text, width=width, height=400, max_lines=7).patches
    spans: list[Span] = [{"text": text[:middle]}, {"text": text[middle:], "color": "#e4572e"}]
    [colored] = render(*spans, width=width, height=400, max_lines=7).patches
    assert (plain.x, plain.y, plain.shape) == (colored.x, colored.y, colored.shape)
    difference = np.abs(plain.mask().astype(int) - colored.mask().astype(int))
    assert difference.max() <= 90, "overlapping letters of two colors"
    assert (difference > 2).mean() < 0.01


@given(st.lists(st.text(max_size=15), min_size=1, max_size=10), st.integers(0, 10))
def test_order_of_spans_is_kept(texts: list[str], styled: int) -> None:
    spans = [{"text": text, "strike": at == styled} for at, text in enumerate(texts)]
    typefaces = {"Inter": Typeface("Inter")}
    joined, runs = join_spans(layer(spans=[{"text": "x"} for _ in spans]), texts, typefaces)
    assert (joined, runs) == ("".join(texts), ())
    parsed = [{**span, "text": "x"} for span in spans]
    joined, runs = join_spans(layer(spans=parsed), texts, typefaces)
    assert joined == "".join(texts)
    struck = "".join(text for text, span in zip(texts, spans, strict=True) if span["strike"])
    if struck:
        run = next(run for run in runs if run.style.strike)
        assert joined[run.start :].startswith(struck)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"text": st.text(st.characters() | st.sampled_from("<&>\"'{ \n\u200b\u00ad"), max_size=20)},
            optional={
                "weight": st.sampled_from([100, 700]),
                "scale": st.sampled_from([0.1, 0.5, 2, 4]),
                "font": st.sampled_from(["Lora", "Caveat"]),
                "position": st.sampled_from(["super", "sub"]),
                "color": st.just("#ff000080"),
                "highlight": st.just("#ffff00"),
                "underline": st.booleans(),
            },
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=25)
def test_any_spans_are_rendered_within_their_width(spans: list[Span]) -> None:
    parsed = [{**span, "text": "x"} for span in spans]
    text_layer = layer(spans=parsed, width=200, height=60, size=20, min_size=10, case="title")
    typefaces = {font: Typeface(font) for font in text_layer.fonts()}
    rendered = render_text(text_layer, [span["text"] for span in spans], typefaces)
    assert all(patch.shape[1] <= 280 for patch in rendered.patches)


@pytest.mark.parametrize("hostile", ["<b>x</b>", "&amp;", "</span>", '"><span size="1">', "<sup>x</sup>"])
def test_markup_is_text(hostile: str) -> None:
    spans: list[Span] = [{"text": "a "}, {"text": hostile, "strike": True, "scale": 0.9}]
    words = [{"text": "a "}, {"text": hostile.replace("<", "‹"), "strike": True, "scale": 0.9}]
    rendered, expected = (render(*each, width=2000).patches[-1] for each in (spans, words))
    assert rendered.shape[1] == pytest.approx(expected.shape[1], abs=60)
    assert rendered.shape[1] > 100 or hostile == "&amp;"


def test_each_run_has_its_color() -> None:
    spans: list[Span] = [{"text": "ab "}, {"text": "cd ", "color": "#ff0000"}, {"text": "ef", "color": "#0000ff80"}]
    [letters] = render(*spans).patches
    columns = [np.flatnonzero(ink_of(letters, color).any(axis=0)) for color in [(17, 17, 17), (255, 0, 0)]]
    assert columns[0].max() < columns[1].min()
    assert isinstance(letters.color, np.ndarray)
    blue = (letters.color[..., 2] > 200) & (letters.color[..., 0] < 50)
    assert letters.mask()[blue].max() == pytest.approx(128, abs=2)


def test_scale_keeps_the_baseline_and_superscript_the_height() -> None:
    """The digits of the cents are as high as those of the price."""
    spans: list[Span] = [{"text": "H"}, {"text": "H", "color": "#ff0000", "scale": 0.5}]
    for position, top, bottom in [("normal", False, True), ("super", True, False)]:
        [letters] = render(spans[0], {**spans[1], "position": position}).patches
        large, small = (np.flatnonzero(ink_of(letters, color).any(axis=1)) for color in [(17, 17, 17), (255, 0, 0)])
        assert bool(abs(large.min() - small.min()) <= 1) is top
        assert bool(abs(large.max() - small.max()) <= 1) is bottom
        assert len(small) == pytest.approx(len(large) / 2, abs=1)


@pytest.mark.parametrize("other", [{"scale": 0.4}, {"font": "Oswald"}, {"position": "super"}, {"position": "sub"}])
def test_other_sizes_move_no_line(other: Span) -> None:
    [plain] = render_plain("H x H\nH").patches
    [letters] = render({"text": "H "}, {"text": "x", **other}, {"text": " H\nH"}).patches
    assert (plain.y, plain.shape[0]) == (letters.y, letters.shape[0])


def test_lines_are_as_high_as_the_largest_span() -> None:
    small = render({"text": "a\nb\n"}, {"text": "c", "scale": 2}, height=310)
    assert not small.is_cut
    assert render({"text": "a\nb\n"}, {"text": "c", "scale": 2}, height=200).is_cut


def test_highlight_is_behind_its_span_in_each_line() -> None:
    text = "a highlight on two lines"
    *marks, letters = render(
        {"text": "Here is "}, {"text": text, "highlight": "#ffe066"}, width=360, height=200
    ).patches
    assert [mark.color for mark in marks] == [(255, 224, 102)] * len(marks)
    assert len(marks) == 2
    assert marks[0].x > letters.x + 60, "the first span has no highlight"
    assert marks[1].x <= letters.x
    assert marks[1].y - marks[0].y == 48
    assert all(mark.shape[0] == 48 for mark in marks)


def test_shrunk_and_cut_spans() -> None:
    spans: list[Span] = [{"text": "A rather long title "}, {"text": "for such a small box", "weight": 800}]
    shrunk, cut = render(*spans, width=400, max_lines=1, min_size=10), render(*spans, width=400, max_lines=1)
    assert (shrunk.is_cut, cut.is_cut) == (False, True)
    assert shrunk.patches[-1].shape[1] <= 400
    assert 10 < shrunk.font_size < 40


def test_long_word_across_spans_is_reduced_before_it_is_broken() -> None:
    spans: list[Span] = [{"text": "Donaudampfschifffahrts"}, {"text": "gesellschaft", "weight": 800}]
    shrunk = render(*spans, width=400, min_size=10)
    assert shrunk.patches[-1].shape[0] < shrunk.font_size * 1.5


def test_word_across_spans_is_hyphenated_as_a_whole() -> None:
    values: dict[str, Any] = {"width": 260, "height": 300, "max_lines": 5, "hyphens": "auto", "language": "de"}
    plain = render_plain("Donaudampfschifffahrtsgesellschaft", **values).patches[-1]
    spans: list[Span] = [{"text": "Donaudampfsch"}, {"text": "ifffahrtsgesellschaft", "color": "#222222"}]
    colored = render(*spans, **values).patches[-1]
    assert np.array_equal(plain.mask() > 128, colored.mask() > 128)


def test_missing_characters_of_each_font_are_reported() -> None:
    assert render({"text": "a𓀀"}, {"text": "b\ue000", "font": "Lora"}).missing == ("\ue000", "𓀀")


RED_TO_BLUE = {"start": "#ff0000", "end": "#0000ff", "angle": 0}


def test_gradient_extends_over_the_ink_of_its_letters() -> None:
    [plain] = render_plain("Hamburg HH").patches
    [letters] = render_plain("Hamburg HH", gradient=RED_TO_BLUE, color="#11111180").patches
    assert np.abs(letters.mask().astype(int) - plain.mask()).max() <= 2, "the color has no effect"
    assert isinstance(letters.color, np.ndarray)
    assert letters.color[10, 1, :3].tolist() == pytest.approx([254, 0, 0], abs=4)
    assert letters.color[10, -2, :3].tolist() == pytest.approx([0, 0, 254], abs=4)
    [part, rest] = render({"text": "Hamburg "}, {"text": "HH", "gradient": RED_TO_BLUE}).patches
    assert (part.shape[1], rest.shape[1]) == (pytest.approx(53, abs=3), plain.shape[1])
    assert part.x > rest.x + 100


def test_emoji_in_a_gradient_keep_their_colors() -> None:
    [gradient, emoji] = render_plain("Hi 👍", gradient=RED_TO_BLUE).patches
    [plain] = render_plain("Hi 👍").patches
    assert np.array_equal(emoji.mask()[:, -30:], plain.mask()[:, -30:])
    assert gradient.shape[1] < emoji.shape[1] - 30


@pytest.mark.parametrize("text", SAMPLES)
@pytest.mark.parametrize("line", ["strike", "underline"])
def test_lines_of_letters_move_none(text: str, line: str) -> None:
    plain, lined = (render_plain(text, **values).patches[-1] for values in ({}, {line: True}))
    rows = slice(plain.y - lined.y, plain.y - lined.y + plain.shape[0])
    columns = slice(plain.x - lined.x, plain.x - lined.x + plain.shape[1])
    assert (lined.mask()[rows, columns].astype(int) - plain.mask() >= -2).mean() > 0.999
    assert lined.mask().sum() > plain.mask().sum() * 1.05


def test_span_leaves_out_the_line_of_its_layer() -> None:
    assert has_equal_pixels(render({"text": "ab", "strike": False}, strike=True), render_plain("ab"))


@pytest.mark.parametrize("font", ["Inter", "Montserrat", "Lora"])
def test_tabular_figures_have_one_width(font: str) -> None:
    def width(text: str, figures: str) -> int:
        return render_plain(f"|{text}|", figures=figures, font=font).patches[-1].shape[1]

    assert width("1111", "tabular") == width("8888", "tabular")


def test_outline_is_outside_inside_or_on_both_sides() -> None:
    def outlined(position: str) -> tuple[Patch, Patch]:
        stroke = {"color": "#ff0000", "width": 4, "position": position}
        one, other = render_plain("HO", weight=900, stroke=stroke).patches
        return one, other

    outside, letters = outlined("outside")
    assert outside.shape[1] == letters.shape[1] + 8
    letters, center = outlined("center")
    assert center.shape[1] == letters.shape[1] + 4
    letters, inside = outlined("inside")
    assert inside.shape == letters.shape
    assert (inside.mask() <= letters.mask()).all()
    assert 0.3 < inside.mask().sum() / letters.mask().sum() < 0.9


@pytest.mark.parametrize("align", ["start", "center", "end"])
def test_box_of_each_line_fits_its_line(align: str) -> None:
    values: dict[str, Any] = {"background": "#222222", "padding": 12, "box": "lines", "line_height": 1.6, "height": 300}
    *boxes, letters = render_plain("One long line\ntwo\nthree 👍", align=align, **values).patches
    assert [box.shape[0] for box in boxes] == [64, 64, 64]
    assert [two.y - one.y for one, two in pairwise(boxes)] == [64, 64]
    assert min(box.x for box in boxes) == pytest.approx(letters.x - 12, abs=2)
    assert max(box.x + box.shape[1] for box in boxes) == pytest.approx(letters.x + letters.shape[1] + 12, abs=2)
    assert boxes[1].shape[1] < boxes[2].shape[1] < boxes[0].shape[1]
    wrapped, _, _ = render_plain("One long line two", width=boxes[0].shape[1] + 60, align=align, **values).patches
    assert wrapped.shape[1] == pytest.approx(boxes[0].shape[1], abs=4), "without the blank at the end of the line"
    assert render_plain("", **values).patches == ()


GOLDEN: list[tuple[list[Span], dict[str, Any], str]] = [
    (
        [
            {"text": "Now "},
            {"text": "€ 19", "weight": 700, "scale": 2},
            {"text": "90", "weight": 700, "position": "super", "scale": 1},
            {"text": "  "},
            {"text": "€ 29.90", "strike": True, "color": "#888888"},
        ],
        {},
        "a6459bc93f8f3300",
    ),
    (
        [
            {"text": "Up to "},
            {"text": "50%", "highlight": "#ffe066", "weight": 700},
            {"text": " off "},
            {"text": "مرحبا", "underline": True, "color": "#e4572e"},
            {"text": " 日本 👍", "font": "Lora", "italic": True},
        ],
        {"letter_spacing": 2, "background": "#f3f4f6", "padding": 12},
        "073a894a483af15e",
    ),
    (
        [
            {"text": "Some "},
            {"text": "gradient", "gradient": RED_TO_BLUE, "weight": 800},
            {"text": " & color ", "color": "#0a7d33"},
            {"text": "👍 مرحبا 19", "gradient": {**RED_TO_BLUE, "type": "radial"}, "underline": False},
        ],
        {"underline": True, "figures": "tabular", "stroke": {"color": "#ffe066", "width": 3, "position": "center"}},
        "e03cdd91529536a4",
    ),
    (
        [{"text": "A box behind each "}, {"text": "line", "color": "#ffe066", "weight": 800}, {"text": " مرحبا"}],
        {
            "box": "lines",
            "background": {"start": "#1155cc", "end": "#7a1fa2", "angle": 0},
            "color": "#ffffff",
            "padding": 10,
            "radius": 12,
            "line_height": 1.6,
            "align": "center",
            "width": 420,
            "balance": True,
        },
        "7f7cc4a315534006",
    ),
]


@pytest.mark.parametrize(("spans", "values", "digest"), GOLDEN)
def test_golden(spans: list[Span], values: dict[str, Any], digest: str) -> None:
    """Looked at when they were recorded."""
    pixels = compose(spans, **values)
    assert sha256(np.ascontiguousarray(pixels[..., :3]).tobytes()).hexdigest()[:16] == digest


def template(spans: list[Span], **values: Any) -> ImageTemplate:
    text_layer = {"type": "text", "name": "t", "x": 0, "y": 0, "width": 600, "height": 160, "size": 40, "max_lines": 3}
    return ImageTemplate.model_validate(
        {
            "version": 3,
            "canvas": {"width": 600, "height": 160},
            "fields": [{"name": name, "label": name} for name in ("price", "old_price")],
            "layers": [{**text_layer, "spans": spans, **values}],
        }
    )


def compose(spans: list[Span], **values: Any) -> np.ndarray:
    return Engine().plan(template(spans, **values)).compose({"price": "", "old_price": ""}, {}).pixels


def test_spans_are_bound() -> None:
    bound: list[Span] = [{"text": "{{ price }}"}, {"text": " {{ old_price }}", "strike": True}]
    plan = Engine().plan(template(bound))
    assert plan.used_fields == {"price", "old_price"}
    values = {"price": "19", "old_price": "29"}
    expected = compose([{"text": "19"}, {"text": " 29", "strike": True}])
    assert np.array_equal(plan.compose(values, {}).pixels, expected)
    assert plan.compose({**values, "old_price": ""}, {}).pixels.tobytes() == compose([{"text": "19"}]).tobytes()


def test_low_contrast_of_one_span_is_reported() -> None:
    plan = Engine().plan(template([{"text": "Read "}, {"text": "this", "color": "#eeeeee"}]))
    assert [finding.code for finding in plan.lint({"price": "", "old_price": ""}, {})] == [FindingCode.LOW_CONTRAST]
    dark: Span = {"text": "this", "color": "#eeeeee", "highlight": "#111111"}
    plan = Engine().plan(template([{"text": "Read "}, dark]))
    assert plan.lint({"price": "", "old_price": ""}, {}) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "Enter either a text or spans"),
        ({"text": "x", "spans": [{"text": "y"}]}, "Enter either a text or spans"),
        ({"spans": [{"text": "x"}] * 31}, "at most 30"),
        ({"spans": [{"text": "x", "scale": 4}], "size": 400}, "A span is 1600 pixels high; the limit is 1000"),
        ({"spans": [{"text": "x", "font": "Papyrus"}]}, "Unknown font: Papyrus"),
        ({"spans": [{"text": "{{ x"}]}, "is not closed"),
    ],
)
def test_invalid_spans_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        layer(**values)

import resource
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.imaging import text as text_module
from cwz_web.imaging.compositing import Patch
from cwz_web.imaging.fonts import FAMILIES
from cwz_web.imaging.layers import TextLayer


def layer(**values: Any) -> TextLayer:
    defaults = {"type": "text", "name": "t", "text": "x", "x": 0, "y": 0, "width": 400, "height": 100, "size": 40}
    return TextLayer.model_validate(defaults | values)


def render_letters(layer: TextLayer, text: str) -> Patch | None:
    """Render the letters of a layer without a box or a stroke."""
    patches = text_module.render_text(layer, text).patches
    return patches[-1] if patches else None


def bottom_of(patch: Any) -> int:
    return int(patch.y + patch.alpha.shape[0])


def test_words_with_and_without_descenders_share_a_baseline() -> None:
    plain, tall, low = (render_letters(layer(), text) for text in ("xxx", "HHH", "xgx"))
    assert None not in (plain, tall, low)
    assert bottom_of(plain) == pytest.approx(bottom_of(tall), abs=1)
    assert plain.y > tall.y
    assert plain.y == pytest.approx(low.y, abs=1)
    assert bottom_of(low) > bottom_of(plain)


def test_markup_is_rendered_as_text() -> None:
    tag, entity = render_letters(layer(), "<b>bold</b>"), render_letters(layer(), "&amp;")
    bold, sign = render_letters(layer(), "bold"), render_letters(layer(), "&")
    assert None not in (tag, entity, bold, sign)
    assert tag.alpha.shape[1] > bold.alpha.shape[1] * 1.5
    assert entity.alpha.shape[1] > sign.alpha.shape[1] * 2


def test_long_text_is_reduced_and_then_cut() -> None:
    text = "A rather long title for such a small box"
    whole = render_letters(layer(width=2000), text)
    shrunk = render_letters(layer(width=600, min_size=20), text)
    cut = render_letters(layer(width=200, min_size=20), text)
    assert None not in (whole, shrunk, cut)
    assert shrunk.alpha.shape[1] <= 600
    assert shrunk.alpha.shape[0] < whole.alpha.shape[0]
    assert cut.alpha.shape[1] <= 200
    assert cut.alpha.shape[0] < 30, "one line"


def test_number_of_lines_is_limited() -> None:
    patch = render_letters(layer(width=250, height=110, max_lines=2, line_height=1.2), "word " * 60)
    assert patch is not None
    assert bottom_of(patch) <= 110


def test_word_wider_than_the_box_is_broken() -> None:
    patch = render_letters(layer(width=120, height=500, max_lines=9), "Donaudampfschifffahrtsgesellschaft")
    assert patch is not None
    assert patch.alpha.shape[1] <= 122


@pytest.mark.parametrize(("align", "low", "high"), [("start", 0, 20), ("center", 150, 200), ("end", 330, 390)])
def test_alignment(align: str, low: int, high: int) -> None:
    patch = render_letters(layer(align=align), "ii")
    assert patch is not None
    assert low <= patch.x <= high


@pytest.mark.parametrize(("valign", "low", "high"), [("top", 0, 20), ("middle", 120, 150), ("bottom", 250, 280)])
def test_vertical_alignment(valign: str, low: int, high: int) -> None:
    patch = render_letters(layer(valign=valign, height=300), "H")
    assert patch is not None
    assert low <= patch.y <= high


@pytest.mark.parametrize("text", ["", "   ", "\n\n", "\u200d", "\x00\x07", "\ud800"])
def test_invisible_text_renders_nothing(text: str) -> None:
    assert render_letters(layer(), text) is None


@pytest.mark.parametrize("text", ["Schöne Grüße", "Привет", "مرحبا 123", "日本語", "שלום", "สวัสดี", "नमस्ते", "👩‍👩‍👧 hi"])
def test_scripts_have_glyphs(text: str) -> None:
    """A missing glyph is always the same box; real glyphs differ."""
    rendered, boxes = render_letters(layer(), text), render_letters(layer(), "\U000e0fff" * 3)
    assert rendered is not None
    assert boxes is None or not np.array_equal(rendered.alpha, boxes.alpha)


@given(st.text(max_size=120))
@settings(max_examples=60)
def test_any_text_fits_its_width(text: str) -> None:
    patch = render_letters(layer(width=180, height=60, min_size=14, size=24, max_lines=2), text)
    assert patch is None or (patch.alpha.ndim == 2 and patch.alpha.shape[1] <= 240)


def render(text: str, **values: Any) -> text_module.RenderedText:
    return text_module.render_text(layer(**values), text)


def test_long_word_is_reduced_before_it_is_broken() -> None:
    word = "Donaudampfschifffahrtsgesellschaftskapitän"
    shrunk = render(word, width=400, height=200, max_lines=3, min_size=12)
    assert not shrunk.is_cut
    assert shrunk.patches[-1].shape[0] < shrunk.font_size * 1.5, "the word is on one line"
    assert render(word, width=400, height=200, max_lines=3).font_size == 40, "without a minimum size it is broken"


def test_text_that_cannot_fit_is_not_rendered_in_full() -> None:
    """2,000 letters of 1,000 pixels would take gigabytes of memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rendered = render("W" * 2000, width=4000, height=4000, size=1000, min_size=900, max_lines=50)
    assert rendered.is_cut
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000


@pytest.mark.parametrize(
    ("case", "expected"), [("upper", "STRASSE ÉCOLE"), ("lower", "strasse école"), ("title", "Strasse École")]
)
def test_case(case: str, expected: str) -> None:
    one, other = render("Strasse École", case=case, width=900), render(expected, width=900)
    assert np.array_equal(one.patches[-1].mask(), other.patches[-1].mask())


def test_hugging_box_has_the_width_of_the_text() -> None:
    values: dict[str, Any] = {"background": "#ff0000", "padding": 10, "hug": True, "width": 390}
    short, long = (render(text, **values).patches for text in ("ab", "abcdefgh"))
    assert short[0].shape[1] == short[1].shape[1] + 20
    assert short[0].shape[1] < long[0].shape[1] < 390
    assert short[0].shape[0] == long[0].shape[0] == 48 + 20, "a line and the padding"
    assert render("", **values).patches == ()
    assert render("", **(values | {"hug": False})).patches[0].shape == (100, 390)


@pytest.mark.parametrize("align", ["start", "center", "end"])
def test_hugging_box_is_aligned_with_the_text(align: str) -> None:
    box, letters = render("ab", align=align, background="#ff0000", padding=10, hug=True).patches
    assert letters.x - box.x == 10
    assert 0 <= box.x <= 400 - box.shape[1]


def test_stroke_is_below_and_around_the_letters() -> None:
    stroke, letters = render("H", stroke={"color": "#ff0000", "width": 4}).patches
    assert stroke.color == (255, 0, 0)
    assert (stroke.x, stroke.y) == (letters.x - 4, letters.y - 4)
    assert stroke.shape == (letters.shape[0] + 8, letters.shape[1] + 8)


def test_justified_lines_fill_the_width() -> None:
    text = "One two three four five six Donaudampfschifffahrt seven"
    ragged, even = (render(text, align=align, size=20, max_lines=5).patches[-1] for align in ("start", "justify"))
    assert ragged.shape[1] < even.shape[1]
    assert even.shape[1] == pytest.approx(400, abs=3)


@pytest.mark.parametrize("emoji", ["👍🏽", "👩‍👩‍👧‍👦", "🇩🇪", "❤️", "🏳️‍🌈"])
def test_joined_emoji_is_one_glyph_in_color(emoji: str) -> None:
    [rendered] = render(emoji).patches
    assert isinstance(rendered.color, np.ndarray)
    assert rendered.shape[1] < 60, "one glyph, not its parts side by side"
    covered = rendered.color[rendered.mask() > 200][:, :3].astype(int)
    assert len(np.unique(covered, axis=0)) > 20


def test_skin_tones_differ() -> None:
    light, dark = (render(text).patches[0].color for text in ("👍🏻", "👍🏿"))
    assert isinstance(light, np.ndarray)
    assert not np.array_equal(light, dark)


def test_text_beside_emoji_keeps_its_color() -> None:
    [rendered] = render("Hi 👍", color="#ff0000").patches
    assert isinstance(rendered.color, np.ndarray)
    left = rendered.color[:, :20][rendered.mask()[:, :20] > 250]
    assert (left[:, :3] == [255, 0, 0]).all()


def test_right_to_left_text_starts_on_the_right() -> None:
    [arabic] = render("مرحبا 123").patches
    [latin] = render("hello 123").patches
    assert latin.x < 20
    assert arabic.x + arabic.shape[1] > 380


def test_unsupported_character_is_reported_and_replaced() -> None:
    rendered = render("a𓀀b")
    assert rendered.missing == ("𓀀",)
    assert np.array_equal(rendered.patches[-1].mask(), render("a\ufffdb").patches[-1].mask())
    assert render("Ελληνικά 日本 한국 👍🏽 é\u0301\u200d").missing == ()


def test_han_characters_depend_on_the_language() -> None:
    """The same character looks different in a Japanese and in a Chinese text."""

    def first(text: str) -> Any:
        return render(text, size=80, width=900).patches[-1].mask()[:, :60]

    assert not np.array_equal(first("直す"), first("直到"))


def test_every_family_looks_different() -> None:
    masks = [render("Hamburg", font=font, width=900).patches[-1].mask() for font in FAMILIES]
    assert len({mask.tobytes() for mask in masks}) == len(FAMILIES)


def test_joined_emoji_is_not_cut() -> None:
    rendered = render("👩‍👩‍👧‍👦" * 12, width=300)
    [patch] = rendered.patches
    assert rendered.is_cut
    assert isinstance(patch.color, np.ndarray)

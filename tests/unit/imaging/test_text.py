import resource
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.imaging import text as lettering
from cwz_web.imaging.compositing import Patch
from cwz_web.imaging.fonts import FAMILIES
from cwz_web.imaging.layers import TextLayer


def layer(**more: Any) -> TextLayer:
    given = {"type": "text", "name": "t", "text": "x", "x": 0, "y": 0, "width": 400, "height": 100, "size": 40}
    return TextLayer.model_validate(given | more)


def render_text(layer: TextLayer, text: str) -> Patch | None:
    """The letters alone, when nothing else is rendered."""
    patches = lettering.render_text(layer, text).patches
    return patches[-1] if patches else None


def bottom_of(patch: Any) -> int:
    return int(patch.y + patch.alpha.shape[0])


def test_words_with_and_without_descenders_stand_on_one_baseline() -> None:
    plain, tall, low = (render_text(layer(), text) for text in ("xxx", "HHH", "xgx"))
    assert None not in (plain, tall, low)
    assert bottom_of(plain) == pytest.approx(bottom_of(tall), abs=1)
    assert plain.y > tall.y
    assert plain.y == pytest.approx(low.y, abs=1)
    assert bottom_of(low) > bottom_of(plain)


def test_text_is_never_markup() -> None:
    tag, entity = render_text(layer(), "<b>bold</b>"), render_text(layer(), "&amp;")
    bold, sign = render_text(layer(), "bold"), render_text(layer(), "&")
    assert None not in (tag, entity, bold, sign)
    assert tag.alpha.shape[1] > bold.alpha.shape[1] * 1.5
    assert entity.alpha.shape[1] > sign.alpha.shape[1] * 2


def test_a_long_text_gets_smaller_and_then_an_ellipsis() -> None:
    text = "A rather long title for such a small box"
    whole = render_text(layer(width=2000), text)
    shrunk = render_text(layer(width=600, min_size=20), text)
    cut = render_text(layer(width=200, min_size=20), text)
    assert None not in (whole, shrunk, cut)
    assert shrunk.alpha.shape[1] <= 600
    assert shrunk.alpha.shape[0] < whole.alpha.shape[0]
    assert cut.alpha.shape[1] <= 200
    assert cut.alpha.shape[0] < 30, "one line"


def test_lines_stay_within_their_number_and_box() -> None:
    patch = render_text(layer(width=250, height=110, max_lines=2, line_height=1.2), "word " * 60)
    assert patch is not None
    assert bottom_of(patch) <= 110


def test_a_word_wider_than_the_box_is_broken() -> None:
    patch = render_text(layer(width=120, height=500, max_lines=9), "Donaudampfschifffahrtsgesellschaft")
    assert patch is not None
    assert patch.alpha.shape[1] <= 122


@pytest.mark.parametrize(("align", "low", "high"), [("start", 0, 20), ("center", 150, 200), ("end", 330, 390)])
def test_alignment(align: str, low: int, high: int) -> None:
    patch = render_text(layer(align=align), "ii")
    assert patch is not None
    assert low <= patch.x <= high


@pytest.mark.parametrize(("valign", "low", "high"), [("top", 0, 20), ("middle", 120, 150), ("bottom", 250, 280)])
def test_vertical_alignment(valign: str, low: int, high: int) -> None:
    patch = render_text(layer(valign=valign, height=300), "H")
    assert patch is not None
    assert low <= patch.y <= high


@pytest.mark.parametrize("text", ["", "   ", "\n\n", "\u200d", "\x00\x07", "\ud800"])
def test_nothing_visible_renders_nothing(text: str) -> None:
    assert render_text(layer(), text) is None


@pytest.mark.parametrize("text", ["Schöne Grüße", "Привет", "مرحبا 123", "日本語", "שלום", "สวัสดี", "नमस्ते", "👩‍👩‍👧 hi"])
def test_scripts_have_glyphs(text: str) -> None:
    """A missing glyph is rendered as the same box whatever the character is; real ones differ."""
    rendered, boxes = render_text(layer(), text), render_text(layer(), "\U000e0fff" * 3)
    assert rendered is not None
    assert boxes is None or not np.array_equal(rendered.alpha, boxes.alpha)


@given(st.text(max_size=120))
@settings(max_examples=60)
def test_any_text_stays_in_its_width(text: str) -> None:
    patch = render_text(layer(width=180, height=60, min_size=14, size=24, max_lines=2), text)
    assert patch is None or (patch.alpha.ndim == 2 and patch.alpha.shape[1] <= 240)


def lettered(text: str, **more: Any) -> lettering.Lettering:
    return lettering.render_text(layer(**more), text)


def test_a_long_word_gets_smaller_before_it_is_broken() -> None:
    word = "Donaudampfschifffahrtsgesellschaftskapitän"
    shrunk = lettered(word, width=400, height=200, max_lines=3, min_size=12)
    assert not shrunk.cut
    assert shrunk.patches[-1].shape[0] < shrunk.size * 1.5, "it stands on one line"
    assert lettered(word, width=400, height=200, max_lines=3).size == 40, "without leave to shrink it is broken"


def test_a_text_that_can_not_fit_is_not_rendered_whole_first() -> None:
    """2,000 letters of 1,000 pixels would be gigabytes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rendered = lettered("W" * 2000, width=4000, height=4000, size=1000, min_size=900, max_lines=50)
    assert rendered.cut
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000


@pytest.mark.parametrize(
    ("case", "shown"), [("upper", "STRASSE ÉCOLE"), ("lower", "strasse école"), ("title", "Strasse École")]
)
def test_letters_can_be_changed(case: str, shown: str) -> None:
    one, other = lettered("Strasse École", case=case, width=900), lettered(shown, width=900)
    assert np.array_equal(one.patches[-1].mask(), other.patches[-1].mask())


def test_a_box_that_hugs_is_as_wide_as_the_text() -> None:
    more: dict[str, Any] = {"background": "#ff0000", "padding": 10, "hug": True, "width": 390}
    short, long = (lettered(text, **more).patches for text in ("ab", "abcdefgh"))
    assert short[0].shape[1] == short[1].shape[1] + 20
    assert short[0].shape[1] < long[0].shape[1] < 390
    assert short[0].shape[0] == long[0].shape[0] == 48 + 20, "a line and the padding"
    assert lettered("", **more).patches == ()
    assert lettered("", **(more | {"hug": False})).patches[0].shape == (100, 390)


@pytest.mark.parametrize("align", ["start", "center", "end"])
def test_a_box_that_hugs_stays_with_the_alignment(align: str) -> None:
    box, letters = lettered("ab", align=align, background="#ff0000", padding=10, hug=True).patches
    assert letters.x - box.x == 10
    assert 0 <= box.x <= 400 - box.shape[1]


def test_an_outline_lies_below_and_around_the_letters() -> None:
    rim, letters = lettered("H", stroke={"color": "#ff0000", "width": 4}).patches
    assert rim.color == (255, 0, 0)
    assert (rim.x, rim.y) == (letters.x - 4, letters.y - 4)
    assert rim.shape == (letters.shape[0] + 8, letters.shape[1] + 8)


def test_lines_can_be_justified() -> None:
    text = "One two three four five six Donaudampfschifffahrt seven"
    ragged, even = (lettered(text, align=align, size=20, max_lines=5).patches[-1] for align in ("start", "justify"))
    assert ragged.shape[1] < even.shape[1]
    assert even.shape[1] == pytest.approx(400, abs=3)


@pytest.mark.parametrize("emoji", ["👍🏽", "👩‍👩‍👧‍👦", "🇩🇪", "❤️", "🏳️‍🌈"])
def test_emoji_are_one_image_in_their_own_colors(emoji: str) -> None:
    [rendered] = lettered(emoji).patches
    assert isinstance(rendered.color, np.ndarray)
    assert rendered.shape[1] < 60, "one sign, not its parts beside each other"
    covered = rendered.color[rendered.mask() > 200][:, :3].astype(int)
    assert len(np.unique(covered, axis=0)) > 20


def test_skin_tones_differ() -> None:
    light, dark = (lettered(text).patches[0].color for text in ("👍🏻", "👍🏿"))
    assert isinstance(light, np.ndarray)
    assert not np.array_equal(light, dark)


def test_a_text_beside_emoji_keeps_its_color() -> None:
    [rendered] = lettered("Hi 👍", color="#ff0000").patches
    assert isinstance(rendered.color, np.ndarray)
    left = rendered.color[:, :20][rendered.mask()[:, :20] > 250]
    assert (left[:, :3] == [255, 0, 0]).all()


def test_right_to_left_begins_at_the_right() -> None:
    [arabic] = lettered("مرحبا 123").patches
    [latin] = lettered("hello 123").patches
    assert latin.x < 20
    assert arabic.x + arabic.shape[1] > 380


def test_what_no_font_has_is_named_and_rendered_as_a_sign_for_it() -> None:
    rendered = lettered("a𓀀b")
    assert rendered.missing == ("𓀀",)
    assert np.array_equal(rendered.patches[-1].mask(), lettered("a\ufffdb").patches[-1].mask())
    assert lettered("Ελληνικά 日本 한국 👍🏽 é\u0301\u200d").missing == ()


def test_han_characters_follow_their_language() -> None:
    """The same character, as a Japanese, a Korean and a Chinese text renders it."""

    def first(text: str) -> Any:
        return lettered(text, size=80, width=900).patches[-1].mask()[:, :60]

    assert not np.array_equal(first("直す"), first("直到"))


def test_the_same_words_in_another_font_look_different() -> None:
    masks = [lettered("Hamburg", font=font, width=900).patches[-1].mask() for font in FAMILIES]
    assert len({mask.tobytes() for mask in masks}) == len(FAMILIES)


def test_an_emoji_is_never_cut_in_two() -> None:
    rendered = lettered("👩‍👩‍👧‍👦" * 12, width=300)
    [patch] = rendered.patches
    assert rendered.cut
    assert isinstance(patch.color, np.ndarray)

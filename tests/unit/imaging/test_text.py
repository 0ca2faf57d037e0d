from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.imaging import text as lettering
from cwz_web.imaging.canvas import Patch
from cwz_web.imaging.layers import TextLayer


def layer(**more: Any) -> TextLayer:
    given = {"type": "text", "name": "t", "text": "x", "x": 0, "y": 0, "width": 400, "height": 100, "size": 40}
    return TextLayer.model_validate(given | more)


def draw_text(layer: TextLayer, text: str) -> Patch | None:
    """The letters alone, when nothing else is drawn."""
    patches = lettering.draw_text(layer, text).patches
    return patches[-1] if patches else None


def bottom_of(patch: Any) -> int:
    return int(patch.y + patch.alpha.shape[0])


def test_words_with_and_without_descenders_stand_on_one_baseline() -> None:
    plain, tall, low = (draw_text(layer(), text) for text in ("xxx", "HHH", "xgx"))
    assert None not in (plain, tall, low)
    assert bottom_of(plain) == pytest.approx(bottom_of(tall), abs=1)
    assert plain.y > tall.y
    assert plain.y == pytest.approx(low.y, abs=1)
    assert bottom_of(low) > bottom_of(plain)


def test_text_is_never_markup() -> None:
    tag, entity = draw_text(layer(), "<b>bold</b>"), draw_text(layer(), "&amp;")
    bold, sign = draw_text(layer(), "bold"), draw_text(layer(), "&")
    assert None not in (tag, entity, bold, sign)
    assert tag.alpha.shape[1] > bold.alpha.shape[1] * 1.5
    assert entity.alpha.shape[1] > sign.alpha.shape[1] * 2


def test_a_long_text_gets_smaller_and_then_an_ellipsis() -> None:
    text = "A rather long title for such a small box"
    whole = draw_text(layer(width=2000), text)
    shrunk = draw_text(layer(width=600, min_size=20), text)
    cut = draw_text(layer(width=200, min_size=20), text)
    assert None not in (whole, shrunk, cut)
    assert shrunk.alpha.shape[1] <= 600
    assert shrunk.alpha.shape[0] < whole.alpha.shape[0]
    assert cut.alpha.shape[1] <= 200
    assert cut.alpha.shape[0] < 30, "one line"


def test_lines_stay_within_their_number_and_box() -> None:
    patch = draw_text(layer(width=250, height=110, max_lines=2, line_height=1.2), "word " * 60)
    assert patch is not None
    assert bottom_of(patch) <= 110


def test_a_word_wider_than_the_box_is_broken() -> None:
    patch = draw_text(layer(width=120, height=500, max_lines=9), "Donaudampfschifffahrtsgesellschaft")
    assert patch is not None
    assert patch.alpha.shape[1] <= 122


@pytest.mark.parametrize(("align", "low", "high"), [("start", 0, 20), ("centre", 150, 200), ("end", 330, 390)])
def test_alignment(align: str, low: int, high: int) -> None:
    patch = draw_text(layer(align=align), "ii")
    assert patch is not None
    assert low <= patch.x <= high


@pytest.mark.parametrize(("valign", "low", "high"), [("top", 0, 20), ("middle", 120, 150), ("bottom", 250, 280)])
def test_vertical_alignment(valign: str, low: int, high: int) -> None:
    patch = draw_text(layer(valign=valign, height=300), "H")
    assert patch is not None
    assert low <= patch.y <= high


@pytest.mark.parametrize("text", ["", "   ", "\n\n", "\u200d", "\x00\x07", "\ud800"])
def test_nothing_visible_draws_nothing(text: str) -> None:
    assert draw_text(layer(), text) is None


@pytest.mark.parametrize("text", ["Schöne Grüße", "Привет", "مرحبا 123", "日本語", "שלום", "สวัสดี", "नमस्ते", "👩‍👩‍👧 hi"])
def test_scripts_have_glyphs(text: str) -> None:
    """A missing glyph is drawn as the same box whatever the character is; real ones differ."""
    drawn, boxes = draw_text(layer(), text), draw_text(layer(), "\U000e0fff" * 3)
    assert drawn is not None
    assert boxes is None or not np.array_equal(drawn.alpha, boxes.alpha)


@given(st.text(max_size=120))
@settings(max_examples=60, deadline=None)
def test_any_text_stays_in_its_width(text: str) -> None:
    patch = draw_text(layer(width=180, height=60, min_size=14, size=24, max_lines=2), text)
    assert patch is None or (patch.alpha.ndim == 2 and patch.alpha.shape[1] <= 240)

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cwz_web.imaging.text import RenderedText, render_text
from cwz_web.imaging.text_fitting import FittedText, fit_text
from cwz_web.imaging.text_layers import TextLayer
from cwz_web.imaging.text_runs import Typeface

INTER = {"Inter": Typeface("Inter")}
THREE = "Solid oak, oiled by hand in a small workshop\nTwo drawers\nDelivered"


def layer(**values: Any) -> TextLayer:
    defaults = {"type": "text", "name": "t", "x": 0, "y": 0, "width": 300, "height": 300, "size": 20, "max_lines": 20}
    return TextLayer.model_validate(defaults | ({} if "spans" in values else {"text": "x"}) | values)


def fit(text: str, **values: Any) -> FittedText:
    return fit_text(layer(**values), [text], INTER, 300, values.get("height", 300))


def render(*texts: str, **values: Any) -> RenderedText:
    return render_text(layer(**values), texts, INTER)


def rows(rendered: RenderedText) -> list[tuple[int, int]]:
    """Return the first and the last row of ink of each line."""
    letters = rendered.patches[-1]
    ink = np.flatnonzero(np.diff(np.pad(letters.mask().any(axis=1), 1).astype(np.int8)))
    return [(letters.y + int(first), letters.y + int(last)) for first, last in ink.reshape(-1, 2)]


def left_edges(rendered: RenderedText) -> list[int]:
    """Return the first column of ink of each line."""
    letters = rendered.patches[-1]
    mask = letters.mask()
    return [
        letters.x + int(np.flatnonzero(mask[top - letters.y : bottom - letters.y].any(axis=0))[0])
        for top, bottom in rows(rendered)
    ]


def test_gap_is_between_paragraphs_and_not_between_their_lines() -> None:
    text = "HHHHHH " * 5 + "\nH\nH"
    close, apart = rows(render(text)), rows(render(text, paragraph_gap=1.5))
    moved = [after[0] - before[0] for before, after in zip(close, apart, strict=True)]
    assert moved == [0, 0, 30, 60]
    assert (fit(text).height, fit(text, paragraph_gap=1.5).height) == (4 * 24, 4 * 24 + 60)


def test_text_without_gap_and_list_is_as_before() -> None:
    plain, spaced = render("One\nTwo"), render("One\nTwo", paragraph_gap=0.01)
    np.testing.assert_array_equal(plain.patches[-1].mask(), spaced.patches[-1].mask())
    assert (plain.patches[-1].x, plain.patches[-1].y) == (spaced.patches[-1].x, spaced.patches[-1].y)


def test_gaps_count_for_the_size_and_the_number_of_lines() -> None:
    text = "One\nTwo\nThree"
    assert render(text, height=80, min_size=6).font_size == 20
    shrunk = render(text, height=80, min_size=6, paragraph_gap=1)
    assert shrunk.font_size == 14
    assert rows(shrunk)[-1][1] <= 80
    assert render(text, height=80, paragraph_gap=1).is_cut


@pytest.mark.parametrize("valign", ["top", "middle", "bottom"])
def test_paragraphs_are_aligned_as_a_whole(valign: str) -> None:
    placed = rows(render("H\nH", valign=valign, paragraph_gap=2, height=200))
    # The lines and the gap take 88 pixels.
    [[first, _], _] = placed
    assert first == {"top": 5, "middle": 61, "bottom": 117}[valign]


def test_lines_of_a_list_are_indented_beside_their_markers() -> None:
    edges = left_edges(render(THREE, list_style="bullets"))
    assert len(edges) == 4
    # The second line has no marker.
    assert edges[0] == edges[2] < edges[1]
    assert edges[1] == pytest.approx(edges[0] + 14, abs=4)
    assert fit("\n" + THREE + "\n", list_style="bullets").lines == 4


def test_numbers_are_counted_and_end_in_one_column() -> None:
    text = "\n".join(["Item"] * 10)
    one, ten = left_edges(render(text, list_style="numbers"))[8:]
    assert ten < one
    blank = fit("One\n\nTwo", list_style="numbers")
    assert blank.lines == 3
    # A blank line has no number.
    assert rows(render("One\n\nTwo", list_style="numbers"))[1][0] > 48
    np.testing.assert_array_equal(
        render("One\n\nTwo", list_style="numbers").patches[-1].mask()[-20:],
        render("One\nTwo", list_style="numbers").patches[-1].mask()[-20:],
    )


@pytest.mark.parametrize("values", [{}, {"direction": "rtl"}])
def test_marker_is_on_the_right_of_a_paragraph_from_right_to_left(values: dict[str, Any]) -> None:
    text = "Two" if values else "درجان"
    plain, marked = render(text, **values), render(text, list_style="bullets", **values)
    [before], [after] = ([letters.x + letters.shape[1] for letters in each.patches[-1:]] for each in (plain, marked))
    assert after == pytest.approx(before, abs=3)
    gaps = np.flatnonzero(~marked.patches[-1].mask().any(axis=0))
    bullet = marked.patches[-1].mask()[:, gaps[-1] + 1 :]
    assert bullet.shape[1] == pytest.approx(6, abs=3)


def test_marker_has_the_style_of_the_first_letters() -> None:
    spans = [{"text": "One\n", "color": "#ff0000", "strike": True, "highlight": "#00ff00"}, {"text": "Two"}]
    letters = render("One\n", "Two", spans=spans, list_style="bullets").patches[-1]
    assert isinstance(letters.color, np.ndarray)
    marks = letters.color[:, :6, :3][letters.mask()[:, :6] > 250]
    assert sorted({tuple(map(int, color)) for color in marks}) == [(17, 17, 17), (255, 0, 0)]


def test_highlights_and_boxes_of_lines_follow_the_paragraphs() -> None:
    spans = [{"text": "HH\n"}, {"text": "HH", "highlight": "#ffee00"}]
    highlight, letters = render("HH\n", "HH", spans=spans, paragraph_gap=2, list_style="bullets").patches
    assert (highlight.y, highlight.y + highlight.shape[0]) == (64, 88)
    assert highlight.x > letters.x + 8
    boxes = render("HH\nHH", paragraph_gap=2, box="lines", background="#ffee00").patches[:-1]
    assert [box.y for box in boxes] == [0, 64]


def test_character_that_no_font_has_is_reported_as_a_bullet() -> None:
    assert render("One", list_style="bullets", bullet="\ue000").missing == ("\ue000",)
    assert render("One", list_style="bullets", bullet="✓").missing == ()


@given(
    st.lists(
        st.sampled_from(["word", "two words", "", "a much longer text that is wrapped", "مرحبا", "日本語"]), max_size=6
    ),
    st.sampled_from(["none", "bullets", "numbers"]),
    st.sampled_from([0.0, 0.5, 2.0]),
    st.integers(20, 300),
)
@settings(max_examples=30)
def test_paragraphs_stay_within_their_box(parts: list[str], list_style: str, gap: float, height: int) -> None:
    values = layer(list_style=list_style, paragraph_gap=gap, height=height, min_size=6)
    rendered = render_text(values, ["\n".join(parts)], INTER)
    for patch in rendered.patches:
        assert patch.x >= -3
        assert patch.x + patch.shape[1] <= 303
        assert rendered.is_cut or patch.y + patch.shape[0] <= height + 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"list_style": "bullets", "align": "center"}, r"A list cannot have the align center\. Use start or justify"),
        ({"list_style": "numbers", "bullet": "x"}, r"Only a list of bullets has a bullet\. Set list_style to bullets"),
        ({"list_style": "bullets", "bullet": " "}, "pattern"),
        ({"paragraph_gap": 6}, "less than or equal to 5"),
    ],
)
def test_invalid_paragraphs_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        layer(**values)

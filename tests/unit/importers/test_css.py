"""Colors and shadows of CSS."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.importers.css import CssShadow, read_color, read_shadows


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("tomato", "#ff6347"),
        (" #FFF ", "#ffffff"),
        ("#12345678", "#12345678"),
        ("rgb(51, 51, 51)", "#333333"),
        ("rgba(0, 0, 0, 0.5)", "#00000080"),
        ("hsl(120 100% 50% / 100%)", "#00ff00"),
        ("transparent", "#00000000"),
        ("currentcolor", None),
        ("url(https://images.example)", None),
        ("expression(alert(1))", None),
        ("rgb(" * 200, None),
        ("red;", None),
        ("", None),
    ],
)
def test_colors(text: str, color: str | None) -> None:
    assert read_color(text) == color


def test_shadows() -> None:
    shadows = read_shadows("inset 1px 2px 3px 4px rgba(0, 0, 0, 0.5), red -1px 0", "#111111")
    assert shadows == [
        CssShadow("#00000080", 1, 2, 3, 4, inset=True),
        CssShadow("#ff0000", -1, 0, 0, 0, inset=False),
    ]
    assert read_shadows("none", "#111111") == []
    assert read_shadows("1px 2px", "#111111") == [CssShadow("#111111", 1, 2, 0, 0, inset=False)]


@pytest.mark.parametrize("text", ["1px", "1em 2em", "1px 2px,", "1e999px 2px", "url(a) 1px 2px", "x" * 501])
def test_what_is_no_shadow(text: str) -> None:
    assert read_shadows(text, "#111111") is None


@given(st.text(alphabet="rgbhsl()#%,/ .0123456789e-+pxinset\\\"'\x00", max_size=60))
def test_any_text_is_a_color_or_none(text: str) -> None:
    color = read_color(text)
    assert color is None or len(color) in (7, 9)
    read_shadows(text, "#111111")

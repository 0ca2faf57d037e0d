"""Every code is read back by a reader that knows nothing of us."""

from typing import Any

import numpy as np
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.imaging.barcodes import qr_png, render_code
from cwz_web.imaging.compositing import blank, lay
from cwz_web.imaging.errors import InvalidBarcodeError
from cwz_web.imaging.layers import CodeLayer


def layer(**more: Any) -> CodeLayer:
    given = {"type": "code", "name": "c", "content": "x", "x": 20, "y": 10, "width": 300, "height": 300}
    return CodeLayer.model_validate(given | more)


def read(code: CodeLayer, content: str) -> list[tuple[str, str]]:
    canvas = blank(340, 320, (255, 255, 255))
    patch = render_code(code, content)
    assert patch is not None
    lay(canvas, patch)
    found = zxingcpp.read_barcodes(np.ascontiguousarray(canvas[..., :3]))
    return [(each.format.name, each.text) for each in found]


@pytest.mark.parametrize("content", ["https://example.org/p/1?a=b&c=d", "Grüße 日本 👍", "0"])
def test_a_qr_code_says_what_it_was_given(content: str) -> None:
    assert read(layer(), content) == [("QRCode", content)]


@pytest.mark.parametrize("correction", ["L", "M", "Q", "H"])
def test_every_correction_can_be_read(correction: str) -> None:
    assert read(layer(correction=correction), "https://example.org") == [("QRCode", "https://example.org")]


@pytest.mark.parametrize(("kind", "given_", "read_"), [
    ("code128", "SKU-00123 a~", ("Code128", "SKU-00123 a~")),
    ("ean13", "4006381333931", ("EAN13", "4006381333931")),
    ("ean13", "400638133393", ("EAN13", "4006381333931")),
])  # fmt: skip
def test_barcodes_say_what_they_were_given(kind: str, given_: str, read_: tuple[str, str]) -> None:
    assert read(layer(code=kind, height=120), given_) == [read_]


@pytest.mark.parametrize(("more", "content", "saying"), [
    ({"code": "ean13"}, "4006381333930", "last digit"),
    ({"code": "ean13"}, "12345", "12 or 13 digits"),
    ({"code": "ean13"}, "４００６３８１３３３９３", "12 or 13 digits"),
    ({"code": "ean13"}, "400638133393a", "12 or 13 digits"),
    ({"code": "code128"}, "über", "ASCII"),
    ({"width": 40, "height": 40}, "https://example.org/long", "too small"),
    ({"code": "code128", "width": 50}, "SKU-00123", "too small"),
    ({}, "x" * 1001, "1001 characters"),
])  # fmt: skip
def test_what_a_code_can_not_hold_is_refused_in_words(more: dict[str, Any], content: str, saying: str) -> None:
    with pytest.raises(InvalidBarcodeError, match=saying):
        render_code(layer(**more), content)


def test_an_empty_content_renders_nothing() -> None:
    assert render_code(layer(), "  ") is None


@given(st.text(max_size=60))
@settings(max_examples=40)
def test_any_text_is_rendered_or_refused(content: str) -> None:
    for kind in ("qr", "code128", "ean13"):
        try:
            render_code(layer(code=kind), content)
        except InvalidBarcodeError:
            assert kind != "qr"


def test_modules_are_whole_pixels_so_that_edges_are_sharp() -> None:
    patch = render_code(layer(width=311, height=307), "https://example.org")
    assert patch is not None
    assert set(np.unique(patch.mask())) == {0, 255}


def test_the_code_for_phones_is_a_png() -> None:
    assert qr_png("otpauth://totp/x").startswith(b"\x89PNG")

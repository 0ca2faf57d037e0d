"""Codes are decoded by an independent library (ZXing)."""

from typing import Any

import numpy as np
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.imaging.barcodes import qr_png, render_code
from cwz_web.imaging.compositing import blend_patch, new_canvas
from cwz_web.imaging.errors import InvalidBarcodeError
from cwz_web.imaging.layers import CodeLayer


def layer(**values: Any) -> CodeLayer:
    defaults = {"type": "code", "name": "c", "content": "x", "x": 20, "y": 10, "width": 300, "height": 300}
    return CodeLayer.model_validate(defaults | values)


def read(code: CodeLayer, content: str) -> list[tuple[str, str]]:
    canvas = new_canvas(340, 320, (255, 255, 255))
    patch = render_code(code, content)
    assert patch is not None
    blend_patch(canvas, patch)
    barcodes = zxingcpp.read_barcodes(np.ascontiguousarray(canvas[..., :3]))
    return [(each.format.name, each.text) for each in barcodes]


@pytest.mark.parametrize("content", ["https://example.org/p/1?a=b&c=d", "Grüße 日本 👍", "0"])
def test_qr_code_encodes_its_content(content: str) -> None:
    assert read(layer(), content) == [("QRCode", content)]


@pytest.mark.parametrize("correction", ["L", "M", "Q", "H"])
def test_qr_code_of_every_error_correction_level_is_readable(correction: str) -> None:
    assert read(layer(correction=correction), "https://example.org") == [("QRCode", "https://example.org")]


@pytest.mark.parametrize(("code", "content", "decoded"), [
    ("code128", "SKU-00123 a~", ("Code128", "SKU-00123 a~")),
    ("ean13", "4006381333931", ("EAN13", "4006381333931")),
    ("ean13", "400638133393", ("EAN13", "4006381333931")),
])  # fmt: skip
def test_barcode_encodes_its_content(code: str, content: str, decoded: tuple[str, str]) -> None:
    assert read(layer(code=code, height=120), content) == [decoded]


@pytest.mark.parametrize(("values", "content", "message"), [
    ({"code": "ean13"}, "4006381333930", "check digit"),
    ({"code": "ean13"}, "12345", "12 or 13 digits"),
    ({"code": "ean13"}, "４００６３８１３３３９３", "12 or 13 digits"),
    ({"code": "ean13"}, "400638133393a", "12 or 13 digits"),
    ({"code": "code128"}, "über", "ASCII"),
    ({"width": 40, "height": 40}, "https://example.org/long", "too small"),
    ({"code": "code128", "width": 50}, "SKU-00123", "too small"),
    ({}, "x" * 1001, "1001 characters"),
])  # fmt: skip
def test_invalid_content_is_rejected_with_a_message(values: dict[str, Any], content: str, message: str) -> None:
    with pytest.raises(InvalidBarcodeError, match=message):
        render_code(layer(**values), content)


def test_empty_content_renders_nothing() -> None:
    assert render_code(layer(), "  ") is None


@given(st.text(max_size=60))
@settings(max_examples=40)
def test_any_text_is_rendered_or_rejected(content: str) -> None:
    for code in ("qr", "code128", "ean13"):
        try:
            render_code(layer(code=code), content)
        except InvalidBarcodeError:
            assert code != "qr"


def test_edges_of_modules_are_sharp() -> None:
    patch = render_code(layer(width=311, height=307), "https://example.org")
    assert patch is not None
    assert set(np.unique(patch.mask())) == {0, 255}


def test_qr_code_of_the_second_factor_is_a_png() -> None:
    assert qr_png("otpauth://totp/x").startswith(b"\x89PNG")

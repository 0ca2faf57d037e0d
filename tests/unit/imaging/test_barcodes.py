"""Codes are decoded by an independent library (ZXing)."""

from typing import Any

import numpy as np
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.imaging.barcodes import is_upca, qr_png, render_code
from cwz_web.imaging.compositing import blend_patch, new_canvas
from cwz_web.imaging.errors import InvalidBarcodeError
from cwz_web.imaging.layers import CodeLayer


def layer(**values: Any) -> CodeLayer:
    defaults = {"type": "code", "name": "c", "content": "x", "x": 20, "y": 10, "width": 300, "height": 300}
    return CodeLayer.model_validate(defaults | values)


def read(code: CodeLayer, content: str) -> list[tuple[str, str]]:
    canvas = new_canvas(340, 320, (255, 255, 255))
    rendered = render_code(code, content)
    assert rendered is not None
    blend_patch(canvas, rendered.patch)
    barcodes = zxingcpp.read_barcodes(np.ascontiguousarray(canvas[..., :3]))
    return [(each.format.name, each.text) for each in barcodes]


@pytest.mark.parametrize("content", ["https://example.org/p/1?a=b&c=d", "Grüße 日本 👍", "0"])
def test_qr_code_encodes_its_content(content: str) -> None:
    assert read(layer(), content) == [("QRCode", content)]


@pytest.mark.parametrize("correction", ["L", "M", "Q", "H"])
def test_qr_code_of_every_error_correction_level_is_readable(correction: str) -> None:
    assert read(layer(correction=correction), "https://example.org") == [("QRCode", "https://example.org")]


# ZXing reports a UPC-A number as the EAN-13 number that it is, too.
UPCA = ("EAN13", "0036000291452")


@pytest.mark.parametrize(("code", "content", "decoded"), [
    ("code128", "SKU-00123 a~", ("Code128", "SKU-00123 a~")),
    ("ean13", "4006381333931", ("EAN13", "4006381333931")),
    ("ean13", "400638133393", ("EAN13", "4006381333931")),
    ("ean13", "978-3-16-148410-0", ("EAN13", "9783161484100")),
    ("ean13", " 4\u00a0006381\u2009333931 ", ("EAN13", "4006381333931")),
    ("ean13", "036000291452", UPCA),
    ("upca", "036000291452", UPCA),
    ("upca", "0 36000-29145", UPCA),
    ("ean8", "96385074", ("EAN8", "96385074")),
    ("ean8", "9638\u20135074", ("EAN8", "96385074")),
    ("ean8", "9638507", ("EAN8", "96385074")),
    ("ean13", "４００６３８１３３３９３１", ("EAN13", "4006381333931")),
    ("ean13", "978－3－16\u3000148410０", ("EAN13", "9783161484100")),
    ("ean13", "０３６０００２９１４５２", UPCA),
    ("upca", "０３６０００２９１４５２", UPCA),
    ("gtin", "９６３８５０７４", ("EAN8", "96385074")),
    ("code128", "ＳＫＵ－００１", ("Code128", "SKU-001")),
    ("gtin", "9638-5074", ("EAN8", "96385074")),
    ("gtin", "036000291452", UPCA),
    ("gtin", "4006381333931", ("EAN13", "4006381333931")),
    ("gtin", "04006381333931", ("EAN13", "4006381333931")),
])  # fmt: skip
def test_barcode_encodes_its_content(code: str, content: str, decoded: tuple[str, str]) -> None:
    assert read(layer(code=code, height=120), content) == [decoded]


@pytest.mark.parametrize(("values", "content", "message"), [
    ({"code": "ean13"}, "4006381333930", "check digit"),
    ({"code": "ean13"}, "12345", "12 or 13 digits"),
    ({"code": "ean13"}, "４００６３８１３３３９３０", "check digit"),
    ({"code": "ean13"}, "400638133393²", "12 or 13 digits"),
    ({"code": "ean13"}, "٤٠٠٦٣٨١٣٣٣٩٣", "12 or 13 digits"),
    ({"code": "code128"}, "10²", "ASCII"),
    ({"code": "ean13"}, "400638133393a", "12 or 13 digits"),
    ({"code": "ean13"}, "--", "12 or 13 digits"),
    ({"code": "upca"}, "036000291453", "check digit"),
    ({"code": "upca"}, "4006381333931", "11 or 12 digits"),
    ({"code": "ean8"}, "96385075", "check digit"),
    ({"code": "ean8"}, "036000291452", "7 or 8 digits"),
    ({"code": "gtin"}, "36000291452", "leading zeros may be lost"),
    ({"code": "gtin"}, "14006381333938", "8, 12 or 13 digits"),
    ({"code": "gtin"}, "036000291453", "check digit"),
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
    for code in ("qr", "code128", "ean13", "ean8", "upca", "gtin"):
        try:
            render_code(layer(code=code), content)
        except InvalidBarcodeError:
            assert code != "qr"


@given(st.integers(min_value=0, max_value=10**12 - 1))
@settings(max_examples=40)
def test_number_with_and_without_its_check_digit_has_the_same_bars(number: int) -> None:
    plain = f"{number:012}"
    check = -sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(plain)) % 10
    code = layer(code="ean13")
    if not is_upca(plain):
        one, other = render_code(code, plain), render_code(code, f"{plain[:6]}-{plain[6:]} {check}")
        assert one is not None
        assert other is not None
        assert np.array_equal(one.patch.mask(), other.patch.mask())


def test_edges_of_modules_are_sharp() -> None:
    rendered = render_code(layer(width=311, height=307), "https://example.org")
    assert rendered is not None
    assert set(np.unique(rendered.patch.mask())) == {0, 255}


def test_qr_code_of_the_second_factor_is_a_png() -> None:
    assert qr_png("otpauth://totp/x").startswith(b"\x89PNG")

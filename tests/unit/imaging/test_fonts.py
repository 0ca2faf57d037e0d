import io
import struct
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import brotli
import numpy as np
import pytest
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables.DefaultTable import DefaultTable
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging import fonts, text, text_runs
from cwz_web.imaging.errors import InvalidFontError
from cwz_web.imaging.text_layers import TextLayer
from cwz_web.imaging.woff2 import check_decompressed_size, end_of_directory
from tests.factories import FONT
from tests.installation import ROOT

OTHER = ROOT / "node_modules/@expo-google-fonts/lora/400Regular/Lora_400Regular.ttf"


def render(content: str, typeface: text_runs.Typeface) -> np.ndarray:
    values = {"type": "text", "name": "t", "text": "x", "x": 0, "y": 0, "width": 900, "height": 100, "size": 40}
    return text.render_text(TextLayer.model_validate(values), [content], {"Inter": typeface}).patches[-1].mask()


def upload(path: Path) -> text_runs.Typeface:
    data = path.read_bytes()
    return text_runs.Typeface(*fonts.use_font(data, sha256(data).hexdigest()))


def test_names_are_read_from_the_font() -> None:
    assert fonts.check_font(FONT.read_bytes()) == ("Caveat", "Bold")


def test_uploaded_font_renders_like_the_installed_one() -> None:
    assert np.array_equal(render("Sphinx", upload(OTHER)), render("Sphinx", text_runs.Typeface("Lora")))


def woff2(path: Path) -> bytes:
    font, data = TTFont(path), io.BytesIO()
    font.flavor = "woff2"
    font.save(data)
    return data.getvalue()


def test_woff2_font_renders_like_the_same_ttf_font() -> None:
    data = woff2(OTHER)
    assert fonts.check_font(data) == ("Lora", "Regular")
    uploaded = text_runs.Typeface(*fonts.use_font(data, sha256(data).hexdigest()))
    assert np.array_equal(render("Sphinx", uploaded), render("Sphinx", text_runs.Typeface("Lora")))


def test_woff2_bomb_is_rejected_while_it_is_decompressed() -> None:
    data = woff2(FONT)
    bomb = brotli.compress(bytes(100_000_000), quality=1)
    tables = struct.unpack_from(">H", data, 12)[0]
    directory = data[48 : end_of_directory(data, tables)]
    with pytest.raises(InvalidFontError, match="larger than 10 MB when decompressed"):
        fonts.check_font(data[:20] + struct.pack(">L", len(bomb)) + data[24:48] + directory + bomb)


@given(st.binary(max_size=200))
def test_any_woff2_directory_is_read_or_rejected(data: bytes) -> None:
    with suppress(InvalidFontError):
        check_decompressed_size(b"wOF2" + data, 1000)


SAMPLES = {
    "Armenian": "Հայերեն",
    "Georgian": "ქართული",
    "Bengali": "বাংলা",
    "Gurmukhi": "ਪੰਜਾਬੀ",
    "Gujarati": "ગુજરાતી",
    "Oriya": "ଓଡ଼ିଆ",
    "Tamil": "தமிழ்",
    "Telugu": "తెలుగు",
    "Kannada": "ಕನ್ನಡ",
    "Malayalam": "മലയാളം",
    "Sinhala": "සිංහල",
    "Khmer": "ភាសាខ្មែរ",
    "Lao": "ພາສາລາວ",
    "Burmese": "မြန်မာ",
    "Ethiopic": "አማርኛ",
    "dingbats": "✂✓✗✦❖➔",
    "arrows": "←→↗⇒⟶⤴",
    "symbols": "☎✈★☂♫⚙⌘",
    "mathematical letters": "𝐁𝒜𝔹𝟙∑√≈",
}


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES.keys())
def test_script_has_a_fallback(sample: str) -> None:
    values = {"type": "text", "name": "t", "text": "x", "x": 0, "y": 0, "width": 900, "height": 100, "size": 40}
    layer, typefaces = TextLayer.model_validate(values), {"Inter": text_runs.Typeface("Inter")}
    rendered = text.render_text(layer, [sample], typefaces)
    assert rendered.missing == ()
    boxes = text.render_text(layer, ["\ufffd" * len(sample)], typefaces)
    assert not np.array_equal(rendered.patches[-1].mask(), boxes.patches[-1].mask())


@pytest.mark.parametrize("symbol", "☎✈✔☀♥⚠")
def test_symbol_without_variation_selector_has_its_text_style(symbol: str) -> None:
    text_style = render(f"x{symbol}x", text_runs.Typeface("Inter"))
    assert np.array_equal(text_style, render(f"x{symbol}\ufe0ex", text_runs.Typeface("Inter")))
    assert not np.array_equal(text_style, render(f"x{symbol}\ufe0fx", text_runs.Typeface("Inter")))


def test_icon_of_a_private_use_area_is_missing() -> None:
    assert fonts.find_missing_characters("Inter", "a\ue800b\U000f0000\uffff") == ["\ue800", "\uffff", "\U000f0000"]
    assert fonts.find_missing_characters("Inter", "a\u200b\ufe0f\U000e0001 \u00a0\u00ad") == []


@pytest.mark.parametrize("family", sorted(fonts.FAMILIES))
def test_private_use_character_is_missing_in_installed_fonts(family: str) -> None:
    """The symbols that Inter, JetBrains Mono or the emoji font have there are not what a text means by them."""
    characters = ["\ue000", "\ue0a0", "\uf6c3", "\uf8ff", "\U000fe4e5"]
    assert fonts.find_missing_characters(family, "a" + "".join(characters)) == characters
    typeface = text_runs.Typeface(family)
    assert np.array_equal(render("\ue000x", typeface), render("\ufffdx", typeface))


def test_private_use_character_of_an_uploaded_font_is_rendered() -> None:
    font, data = TTFont(OTHER), io.BytesIO()
    for table in font["cmap"].tables:
        table.cmap[0xE000] = "A"
    font.save(data)
    icons = text_runs.Typeface(*fonts.use_font(data.getvalue(), sha256(data.getvalue()).hexdigest()))
    assert fonts.find_missing_characters(icons.family, "\ue000\ue002\uf8ff") == ["\ue002", "\uf8ff"]
    assert np.array_equal(render("\ue000", icons), render("A", icons))
    assert np.array_equal(render("x\ue002", icons), render("x\ufffd", icons))


def test_fallback_moves_no_baseline_of_an_uploaded_font() -> None:
    uploaded = upload(OTHER)

    def baseline(content: str) -> int:
        values = {"type": "text", "name": "t", "text": "x", "x": 0, "y": 0, "width": 900, "height": 100, "size": 40}
        patch = text.render_text(TextLayer.model_validate(values), [content], {"Inter": uploaded}).patches[-1]
        return patch.y + int(np.nonzero(patch.mask()[:, :20].max(axis=1) > 120)[0].max())

    assert {baseline(f"H {other}") for other in ("x", "日本", "مرحبا", "नमस्ते", "👍")} == {baseline("H")}


def test_fonts_of_the_same_name_are_not_confused() -> None:
    renamed = TTFont(OTHER)
    for number in (1, 4, 16):
        renamed["name"].setName("Caveat", number, 3, 1, 0x409)
    data = io.BytesIO()
    renamed.save(data)
    uploaded = text_runs.Typeface(*fonts.use_font(data.getvalue(), sha256(data.getvalue()).hexdigest()))
    assert not np.array_equal(render("Sphinx", uploaded), render("Sphinx", upload(FONT)))
    assert not np.array_equal(render("Sphinx", uploaded), render("Sphinx", text_runs.Typeface("Caveat")))


def test_uploaded_font_is_never_a_fallback_of_another_font() -> None:
    """It supports a character that no installed font supports; a text in another font still lacks it."""
    font = TTFont(OTHER)
    for table in font["cmap"].tables:
        table.cmap[0xA4D0] = "A"
    data = io.BytesIO()
    font.save(data)
    uploaded = text_runs.Typeface(*fonts.use_font(data.getvalue(), sha256(data.getvalue()).hexdigest()))
    assert fonts.find_missing_characters(uploaded.family, "ꓐ") == []
    assert np.array_equal(render("ꓐ", uploaded), render("A", uploaded))
    assert fonts.find_missing_characters("Lora", "ꓐ") == ["ꓐ"]
    assert np.array_equal(render("ꓐ", text_runs.Typeface("Lora")), render("\ufffd", text_runs.Typeface("Lora")))


def test_unused_tables_of_an_uploaded_font_are_removed() -> None:
    font = TTFont(FONT)
    font["DSIG"] = DefaultTable("DSIG")
    font["DSIG"].data = b"\0" * 8
    data = io.BytesIO()
    font.save(data)
    _, path = fonts.use_font(data.getvalue(), sha256(data.getvalue()).hexdigest())
    assert "DSIG" not in TTFont(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "TTF, OTF or WOFF2"),
        (b"not a font at all", "TTF, OTF or WOFF2"),
        (b"wOF2" + b"\0" * 100, "damaged"),
        (b"wOF2" + b"\xff" * 100, "damaged"),
        (b"ttcf" + b"\0" * 100, "TTF, OTF or WOFF2"),
        (b"\0\1\0\0" + b"\xff" * 200, "damaged"),
        (FONT.read_bytes()[:5000], "damaged"),
        (b"\0\1\0\0" + bytes(fonts.MAX_FONT_BYTES), "larger than 10 MB"),
    ],
    ids=["empty", "text", "woff2", "woff2 noise", "collection", "noise", "truncated", "large"],
)
def test_invalid_font_is_rejected_with_a_message(data: bytes, message: str) -> None:
    with pytest.raises(InvalidFontError, match=message):
        fonts.check_font(data)


def test_font_without_characters_is_rejected() -> None:
    font = TTFont(FONT)
    for table in font["cmap"].tables:
        table.cmap.clear()
    data = io.BytesIO()
    font.save(data)
    with pytest.raises(InvalidFontError, match="no outlines"):
        fonts.check_font(data.getvalue())


def test_font_with_too_many_characters_is_rejected() -> None:
    """A single group of 12 bytes can name all character codes (OpenType, cmap, format 12)."""
    groups = struct.pack(">LLL", 0, 0x10FFFF, 0)
    subtable = struct.pack(">HHLLL", 12, 0, 16 + len(groups), 0, 1) + groups
    font, table, data = TTFont(FONT), DefaultTable("cmap"), io.BytesIO()
    table.data = struct.pack(">HHHHL", 0, 1, 3, 10, 12) + subtable
    font.tables["cmap"] = table
    font.save(data)
    with pytest.raises(InvalidFontError, match="characters; the limit is 100,000"):
        fonts.check_font(data.getvalue())


def test_damaged_font_is_read_or_rejected() -> None:
    whole = FONT.read_bytes()
    random = np.random.default_rng(7)
    for _ in range(20):
        damaged = bytearray(whole)
        for at in random.integers(0, min(len(whole), 4000), 40):
            damaged[at] = int(random.integers(0, 256))
        try:
            fonts.check_font(bytes(damaged))
        except InvalidFontError:
            continue


def test_every_family_is_installed_and_supports_ascii() -> None:
    for family in fonts.FAMILIES | fonts.FALLBACKS:
        assert fonts.find_missing_characters(family, "A") == []
    assert len(fonts.fonts_version()) == 12

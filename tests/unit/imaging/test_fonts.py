import io
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables.DefaultTable import DefaultTable

from cwz_web.imaging import fonts, text
from cwz_web.imaging.errors import InvalidFontError
from cwz_web.imaging.layers import TextLayer
from tests.factories import FONT
from tests.installation import ROOT

OTHER = ROOT / "node_modules/@expo-google-fonts/lora/400Regular/Lora_400Regular.ttf"


def letters(words: str, typeface: text.Typeface, **more: Any) -> np.ndarray:
    given = {"type": "text", "name": "t", "text": "x", "x": 0, "y": 0, "width": 900, "height": 100, "size": 40} | more
    return text.render_text(TextLayer.model_validate(given), words, typeface).patches[-1].mask()


def used(path: Path) -> text.Typeface:
    data = path.read_bytes()
    return text.Typeface(*fonts.use_font(data, sha256(data).hexdigest()))


def test_a_font_tells_its_name() -> None:
    assert fonts.check_font(FONT.read_bytes()) == ("Caveat", "Bold")


def test_a_font_that_was_brought_renders_as_the_installed_one() -> None:
    assert np.array_equal(letters("Sphinx", used(OTHER)), letters("Sphinx", text.Typeface("Lora")))


def test_two_fonts_of_the_same_name_are_never_taken_for_each_other() -> None:
    renamed = TTFont(OTHER)
    for number in (1, 4, 16):
        renamed["name"].setName("Caveat", number, 3, 1, 0x409)
    data = io.BytesIO()
    renamed.save(data)
    theirs = text.Typeface(*fonts.use_font(data.getvalue(), sha256(data.getvalue()).hexdigest()))
    assert not np.array_equal(letters("Sphinx", theirs), letters("Sphinx", used(FONT)))
    assert not np.array_equal(letters("Sphinx", theirs), letters("Sphinx", text.Typeface("Caveat")))


def test_a_font_that_was_brought_never_stands_in_for_anothers_letters() -> None:
    """It has a sign that no installed font has; a text in another font still misses it."""
    font = TTFont(OTHER)
    for table in font["cmap"].tables:
        table.cmap[0xA4D0] = "A"
    data = io.BytesIO()
    font.save(data)
    theirs = text.Typeface(*fonts.use_font(data.getvalue(), sha256(data.getvalue()).hexdigest()))
    assert fonts.missing_characters(theirs.family, "ꓐ") == []
    assert np.array_equal(letters("ꓐ", theirs), letters("A", theirs))
    assert fonts.missing_characters("Lora", "ꓐ") == ["ꓐ"]
    assert np.array_equal(letters("ꓐ", text.Typeface("Lora")), letters("\ufffd", text.Typeface("Lora")))


def test_what_a_font_needs_not_is_left_out() -> None:
    font = TTFont(FONT)
    font["DSIG"] = DefaultTable("DSIG")
    font["DSIG"].data = b"\0" * 8
    data = io.BytesIO()
    font.save(data)
    _, path = fonts.use_font(data.getvalue(), sha256(data.getvalue()).hexdigest())
    assert "DSIG" not in TTFont(path)


@pytest.mark.parametrize(
    ("data", "saying"),
    [
        (b"", "TTF or OTF"),
        (b"not a font at all", "TTF or OTF"),
        (b"wOF2" + b"\0" * 100, "TTF or OTF"),
        (b"ttcf" + b"\0" * 100, "TTF or OTF"),
        (b"\0\1\0\0" + b"\xff" * 200, "damaged"),
        (FONT.read_bytes()[:5000], "damaged"),
        (b"\0\1\0\0" + bytes(fonts.MAX_FONT_BYTES), "larger than 10 MB"),
    ],
    ids=["empty", "text", "woff2", "collection", "noise", "truncated", "large"],
)
def test_what_is_no_font_is_refused_in_words(data: bytes, saying: str) -> None:
    with pytest.raises(InvalidFontError, match=saying):
        fonts.check_font(data)


def test_a_font_without_letters_is_refused() -> None:
    font = TTFont(FONT)
    for table in font["cmap"].tables:
        table.cmap.clear()
    data = io.BytesIO()
    font.save(data)
    with pytest.raises(InvalidFontError, match="no letters"):
        fonts.check_font(data.getvalue())


def test_a_font_that_says_it_has_every_letter_is_refused() -> None:
    """In 28 bytes: a group of character codes (OpenType, cmap, format 12)."""
    groups = struct.pack(">LLL", 0, 0x10FFFF, 0)
    subtable = struct.pack(">HHLLL", 12, 0, 16 + len(groups), 0, 1) + groups
    font, table, data = TTFont(FONT), DefaultTable("cmap"), io.BytesIO()
    table.data = struct.pack(">HHHHL", 0, 1, 3, 10, 12) + subtable
    font.tables["cmap"] = table
    font.save(data)
    with pytest.raises(InvalidFontError, match="letters; 100,000 are the most"):
        fonts.check_font(data.getvalue())


def test_noise_in_a_font_is_refused_or_read_and_never_fails_otherwise() -> None:
    whole = FONT.read_bytes()
    random = np.random.default_rng(7)
    for _ in range(60):
        damaged = bytearray(whole)
        for at in random.integers(0, min(len(whole), 4000), 40):
            damaged[at] = int(random.integers(0, 256))
        try:
            fonts.check_font(bytes(damaged))
        except InvalidFontError:
            continue


def test_every_family_is_installed_with_a_file_of_its_regular_weight() -> None:
    for family in fonts.FAMILIES | fonts.FALLBACKS:
        assert fonts.missing_characters(family, "A") == []
    assert len(fonts.fonts_version()) == 12

"""Fonts of templates: TTF files of npm packages, and font files that workspaces upload.

fontconfig is configured with these files only; system fonts are never used, so that an image looks the same on every
machine. Characters that a font lacks come from the fallback fonts, in a fixed order. Characters that no font supports
are rendered as U+FFFD, so that an upload of one workspace never replaces a glyph in an image of another.
"""

import io
import json
import os
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from fontTools.ttLib import TTFont

from cwz_web.i18n import gettext_lazy, number_lazy
from cwz_web.imaging.errors import InvalidFontError
from cwz_web.imaging.woff2 import WOFF2, check_decompressed_size

# The families that users can choose, with their npm packages.
FAMILIES = {
    "Bebas Neue": "bebas-neue",
    "Caveat": "caveat",
    "DM Sans": "dm-sans",
    "Dancing Script": "dancing-script",
    "Inter": "inter",
    "JetBrains Mono": "jetbrains-mono",
    "Lora": "lora",
    "Montserrat": "montserrat",
    "Oswald": "oswald",
    "Playfair Display": "playfair-display",
    "Poppins": "poppins",
    "Roboto Slab": "roboto-slab",
    "Space Grotesk": "space-grotesk",
}
# The fallbacks, in order, with their npm packages.
FALLBACKS = {
    "Inter": "inter",
    "Noto Sans": "noto-sans",
    "Noto Sans Arabic": "noto-sans-arabic",
    "Noto Sans Hebrew": "noto-sans-hebrew",
    "Noto Sans Devanagari": "noto-sans-devanagari",
    "Noto Sans Thai": "noto-sans-thai",
    "Noto Sans Armenian": "noto-sans-armenian",
    "Noto Sans Georgian": "noto-sans-georgian",
    "Noto Sans Bengali": "noto-sans-bengali",
    "Noto Sans Gurmukhi": "noto-sans-gurmukhi",
    "Noto Sans Gujarati": "noto-sans-gujarati",
    "Noto Sans Oriya": "noto-sans-oriya",
    "Noto Sans Tamil": "noto-sans-tamil",
    "Noto Sans Telugu": "noto-sans-telugu",
    "Noto Sans Kannada": "noto-sans-kannada",
    "Noto Sans Malayalam": "noto-sans-malayalam",
    "Noto Sans Sinhala": "noto-sans-sinhala",
    "Noto Sans Khmer": "noto-sans-khmer",
    "Noto Sans Lao": "noto-sans-lao",
    "Noto Sans Myanmar": "noto-sans-myanmar",
    "Noto Sans Ethiopic": "noto-sans-ethiopic",
    # Before the emoji, so that a symbol without U+FE0F has its text style.
    "Noto Sans Symbols": "noto-sans-symbols",
    "Noto Sans Symbols 2": "noto-sans-symbols-2",
    "Noto Sans Math": "noto-sans-math",
    "Noto Color Emoji": "noto-color-emoji",
    "Noto Sans JP": "noto-sans-jp",
    "Noto Sans SC": "noto-sans-sc",
    "Noto Sans KR": "noto-sans-kr",
}
HAN_FAMILIES = {"Noto Sans JP", "Noto Sans SC", "Noto Sans KR"}
HAN_OF_LANGUAGE = {"ja": "Noto Sans JP", "ko": "Noto Sans KR", "zh": "Noto Sans SC"}
EMOJI = "Noto Color Emoji"
REPLACEMENT = "\ufffd"
MAX_FONT_BYTES = 10 * 1024 * 1024
# A font has at most 65,535 glyphs. The set of its characters takes about 110 bytes for each.
MAX_FONT_CHARACTERS = 100_000
# The height of capital letters of a font that does not say it, relative to the font size.
CAP_HEIGHT = 0.7
# The bit of OS/2.fsSelection.
USE_TYPO_METRICS = 1 << 7
# The tables that are kept of an uploaded font: outlines, metrics and shaping; no bitmaps and no programs.
KEPT_TABLES = {
    "CFF ", "CFF2", "GDEF", "GPOS", "GSUB", "HVAR", "MVAR", "OS/2", "STAT", "VORG", "avar", "cmap", "cvar", "cvt ",
    "fpgm", "fvar", "gasp", "glyf", "gvar", "head", "hhea", "hmtx", "kern", "loca", "maxp", "name", "post", "prep",
}  # fmt: skip

# Letters that a font has if it supports a script, or a group of languages.
SCRIPTS = {
    "Latin": "aZéñß",
    "Central European": "ąčěłőř",
    "Vietnamese": "ạếỡữ",
    "Cyrillic": "Яжы",
    "Greek": "Ωλή",
    "Hebrew": "אש",
    "Arabic": "اعي",
    "Devanagari": "अकह",
    "Thai": "กฮ",
}
_style_folder = re.compile(r"\A([1-9]00)[A-Za-z]+?(_Italic)?\Z")

CONFIGURATION = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
{directories}
  <cachedir>{cache}</cachedir>
  <alias binding="same"><family>emoji</family><prefer><family>{emoji}</family></prefer></alias>
  <match target="pattern">
    <edit name="family" mode="append_last" binding="strong">{fallbacks}</edit>
  </match>
</fontconfig>
"""


@dataclass(frozen=True)
class FontMetrics:
    """Metrics of a font, relative to the font size.

    Attributes:
        baseline: the ascent minus the descent. Of two fonts with the same line height, the one with the larger value
            has the lower baseline.
        deepest: how far glyphs extend below the baseline at most.
        cap_height: the height of capital letters.
    """

    baseline: float
    deepest: float
    cap_height: float


_east_asian = re.compile(r"[\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
# The folder or the file of each family.
_installed: dict[str, Path] = {}
_FOLDER = ""  # the key of the folder for uploaded fonts


def install_fonts(node_modules: Path, folder: Path) -> None:
    """Configure fontconfig. Call this once in a process, before the first text is rendered.

    Args:
        node_modules: the folder of the installed npm packages.
        folder: a folder for the configuration, fontconfig's cache and uploaded fonts.

    Raises:
        FileNotFoundError: a font package is not installed.
    """
    packages = {
        family: (node_modules / "@expo-google-fonts" / name).resolve()
        for family, name in (FAMILIES | FALLBACKS).items()
    }
    for package in packages.values():
        if not package.is_dir():
            raise FileNotFoundError(f"The font package {package.name} is not installed. Run npm ci")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"fonts-{os.getpid()}.conf"
    path.write_text(
        CONFIGURATION.format(
            directories="\n".join(f"  <dir>{package}</dir>" for package in packages.values()),
            cache=folder.resolve() / "cache",
            emoji=EMOJI,
            fallbacks="".join(f"<string>{family}</string>" for family in FALLBACKS),
        )
    )
    path = path.rename(folder / "fonts.conf")
    os.environ["FONTCONFIG_FILE"] = str(path.resolve())
    _installed.clear()
    _installed.update(packages, **{_FOLDER: folder.resolve()})
    fonts_version.cache_clear()
    _supported_characters.cache_clear()
    font_metrics.cache_clear()


@lru_cache(maxsize=1)  # constant after install_fonts
def fonts_version() -> str:
    """Return an identifier of the installed font packages and their versions."""
    packages = (json.loads((_installed[family] / "package.json").read_text()) for family in FAMILIES | FALLBACKS)
    return sha256(" ".join(f"{each['name']}@{each['version']}" for each in packages).encode()).hexdigest()[:12]


def find_missing_characters(family: str, text: str) -> list[str]:
    """Return the visible characters of a text that neither the font nor a fallback supports.

    What a character of a private use area means, only an uploaded font knows: other fonts have unrelated symbols there.
    """
    if text.isascii():
        return []  # a test checks that every family supports ASCII
    visible = {character for character in text if _has_glyph(character)} - _invisible
    private = {character for character in visible if unicodedata.category(character) == "Co"}
    if family not in FAMILIES:
        private -= _supported_characters(family)
    missing = visible - private
    for each in (family, *FALLBACKS):
        if not missing:
            break
        missing -= _supported_characters(each)
    return sorted(missing | private)


def _has_glyph(character: str) -> bool:
    """Return whether a character is visible, also one of a private use area, or newer than Python's Unicode."""
    return character != " " and (character.isprintable() or unicodedata.category(character) in ("Co", "Cn"))


def find_fallback_characters(family: str, text: str) -> frozenset[str]:
    """Return the visible characters of a text that the font does not support."""
    if text.isascii():
        return frozenset()
    return frozenset(each for each in set(text) - _supported_characters(family) - _invisible if not each.isspace())


def fallback_families(characters: frozenset[str]) -> set[str]:
    """Return the fallback fonts that support the characters; for each character, the first one."""
    families, missing = set(), set(characters)
    for family in FALLBACKS:
        if not missing:
            break
        supported = missing & _supported_characters(family)
        if supported:
            families.add(family)
            missing -= supported
    return families


@lru_cache(maxsize=128)  # font metadata, not data of requests
def font_metrics(family: str) -> FontMetrics:
    """Return the metrics of a font, as HarfBuzz chooses them (`hb_font_get_h_extents`)."""
    with TTFont(_regular_file(family), lazy=True) as font:
        em, line, os2 = font["head"].unitsPerEm, font["hhea"], font["OS/2"]
        ascent, descent = line.ascent, line.descent
        if os2.fsSelection & USE_TYPO_METRICS or not (ascent or descent):
            ascent, descent = os2.sTypoAscender, os2.sTypoDescender
        # Fonts with an OS/2 table before version 2 do not say it.
        cap_height = getattr(os2, "sCapHeight", 0) / em or CAP_HEIGHT
        return FontMetrics((ascent + descent) / em, max(os2.usWinDescent, -descent) / em, cap_height)


def has_color_glyphs(family: str, text: str) -> bool:
    """Return whether a part of the text is rendered with color glyphs, as emoji are."""
    if text.isascii():
        return False
    unsupported = set(text) - _supported_characters(family)
    return "\ufe0f" in text or not unsupported.isdisjoint(_supported_characters(EMOJI))


def font_families(family: str, text: str, language: str | None = None) -> str:
    """Return the families for Pango. Han characters get the font for the language, or for other letters of the text."""
    if text.isascii() or not _east_asian.search(text):
        return family
    others = [name for name in FALLBACKS if name not in HAN_FAMILIES]
    han = HAN_OF_LANGUAGE.get((language or "").partition("-")[0])
    if han is None and any("\u3040" <= character <= "\u30ff" for character in text):
        han = "Noto Sans JP"
    elif han is None and any("\uac00" <= character <= "\ud7a3" for character in text):
        han = "Noto Sans KR"
    return ",".join([family, *others, han or "Noto Sans SC"])


def list_font_files(family: str) -> dict[str, str]:
    """Return the files of a built-in font by weight (`700`, `700 italic`): `inter/700Bold/Inter_700Bold.ttf`."""
    package = _installed[family]
    files = {}
    for folder in sorted(package.iterdir()):
        if found := _style_folder.match(folder.name):
            path = min(folder.glob("*.ttf"))
            files[f"{found[1]} italic" if found[2] else found[1]] = f"{package.name}/{folder.name}/{path.name}"
    return files


def list_scripts(family: str) -> list[str]:
    """Return the names of the scripts that a font supports without a fallback."""
    supported = _supported_characters(family)
    return [script for script, letters in SCRIPTS.items() if supported.issuperset(letters)]


def check_font(data: bytes) -> tuple[str, str]:
    """Return the names of the family and the style of a font file. Raises InvalidFontError."""
    font = _open_font(data)
    name = font["name"]
    return name.getBestFamilyName() or "Unnamed", name.getBestSubFamilyName() or "Regular"


def use_font(data: bytes, digest: str) -> tuple[str, Path]:
    """Prepare an uploaded font for Pango. Raises InvalidFontError.

    The family is renamed after the file's digest, so that fonts of two workspaces are never confused.

    Returns:
        The new family name and the path of the font file.
    """
    family = f"cwz{digest[:24]}"
    path = _installed[_FOLDER] / f"{family}.ttf"
    if not path.exists():
        font = _open_font(data)
        for table in set(font.keys()) - KEPT_TABLES - {"GlyphOrder"}:
            del font[table]
        font.flavor = None
        names = font["name"]
        names.names = []
        for number, text in ((1, family), (2, "Regular"), (4, family), (6, family)):
            names.setName(text, number, 3, 1, 0x409)
        temporary = path.with_suffix(f".{os.getpid()}")
        font.save(temporary)
        temporary.rename(path)
    _installed[family] = path
    return family, path


def delete_font_file(digest: str) -> None:
    """Delete the prepared file of an uploaded font.

    If another workspace uses the font, it is prepared again.
    """
    (_installed[_FOLDER] / f"cwz{digest[:24]}.ttf").unlink(missing_ok=True)


def _open_font(data: bytes) -> TTFont:
    if len(data) > MAX_FONT_BYTES:
        raise InvalidFontError(gettext_lazy("The font is larger than %(max)s MB", max=MAX_FONT_BYTES // 1024**2))
    if data[:4] not in (b"\0\1\0\0", b"OTTO", b"true", WOFF2):
        raise InvalidFontError(gettext_lazy("The file is not a supported font. Use a TTF, OTF or WOFF2 file"))
    try:
        if data.startswith(WOFF2):
            check_decompressed_size(data, MAX_FONT_BYTES)
        font = TTFont(io.BytesIO(data), lazy=False, fontNumber=0)
        for table in ("head", "hhea", "hmtx", "maxp", "OS/2", "name", "post"):
            font[table]
        characters = font.getBestCmap()
        if not characters or not ("glyf" in font or "CFF " in font or "CFF2" in font):
            raise InvalidFontError(gettext_lazy("The font has no outlines"))
        if len(characters) > MAX_FONT_CHARACTERS:
            count = len(characters)
            raise InvalidFontError(
                gettext_lazy(
                    "The font has %(number)s characters; the limit is %(max)s",
                    number=number_lazy(count),
                    max=number_lazy(MAX_FONT_CHARACTERS),
                )
            )
        for glyph in list(characters.values())[:100]:
            font.getGlyphSet()[glyph].width  # noqa: B018 - reading it is the check
    except InvalidFontError:
        raise
    except Exception:  # fontTools raises errors of many types for a damaged table
        raise InvalidFontError(gettext_lazy("The font is damaged and cannot be read")) from None
    return font


@lru_cache(maxsize=128)  # font metadata, not data of requests
def _supported_characters(family: str) -> frozenset[str]:
    """Return the characters that a font supports."""
    with TTFont(_regular_file(family), lazy=True) as font:
        return frozenset(map(chr, font.getBestCmap()))


def _regular_file(family: str) -> Path:
    installed = _installed[family]
    return installed if installed.is_file() else min((installed / "400Regular").glob("*.ttf"))


# Characters without a glyph that affect their neighbors: joiners, direction marks, variation selectors.
_invisible = {
    chr(code) for code in (0xAD, 0x34F, 0x61C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF)
}
_invisible |= {chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0020, 0xE0080), *range(0xE0100, 0xE01F0))}

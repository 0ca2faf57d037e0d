"""The fonts that templates may use: TTF files of npm packages, and files that a workspace brings.

fontconfig finds them through a file of our own, and no system font is ever used, so that an image looks the same on
every machine. What the chosen font lacks comes from the fallbacks, always in the same order; what none of them has is
named, and rendered as U+FFFD, so that one workspace's file never stands in for a letter of another's text.
"""

import io
import json
import os
import re
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from fontTools.ttLib import TTFont, TTLibError

from cwz_web.imaging.errors import InvalidFontError

# What a person chooses from -> the npm package that brings it.
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
# For the characters that those lack, in the order in which they are asked.
FALLBACKS = {
    "Inter": "inter",
    "Noto Sans": "noto-sans",
    "Noto Sans Arabic": "noto-sans-arabic",
    "Noto Sans Hebrew": "noto-sans-hebrew",
    "Noto Sans Devanagari": "noto-sans-devanagari",
    "Noto Sans Thai": "noto-sans-thai",
    "Noto Color Emoji": "noto-color-emoji",
    "Noto Sans JP": "noto-sans-jp",
    "Noto Sans SC": "noto-sans-sc",
    "Noto Sans KR": "noto-sans-kr",
}
HAN = {"Noto Sans JP", "Noto Sans SC", "Noto Sans KR"}
EMOJI = "Noto Color Emoji"
MISSING = "\ufffd"
MAX_FONT_BYTES = 10 * 1024 * 1024
# No font has more glyphs than 65,535. What one has is remembered, 110 bytes for each.
MAX_LETTERS = 100_000
# What is kept of a font that somebody brings: its outlines, its metrics and how it is shaped; no images, no scripts.
TABLES = {
    "CFF ", "CFF2", "GDEF", "GPOS", "GSUB", "HVAR", "MVAR", "OS/2", "STAT", "VORG", "avar", "cmap", "cvar", "cvt ",
    "fpgm", "fvar", "gasp", "glyf", "gvar", "head", "hhea", "hmtx", "kern", "loca", "maxp", "name", "post", "prep",
}  # fmt: skip

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

_east_asian = re.compile(r"[\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_installed: dict[str, Path] = {}


def install_fonts(node_modules: Path, folder: Path) -> None:
    """Tell fontconfig where the fonts are. Call it once in a process, before the first text is rendered.

    Arguments:
        node_modules: the installed front-end packages.
        folder: a folder for the configuration, fontconfig's cache, and the files of workspaces.
    Raises FileNotFoundError when a package is not installed.
    """
    packages = {
        family: (node_modules / "@expo-google-fonts" / name).resolve()
        for family, name in (FAMILIES | FALLBACKS).items()
    }
    for package in packages.values():
        if not package.is_dir():
            raise FileNotFoundError(f"The font package {package.name} is not installed; run npm ci")
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
    _installed.update(packages, **{"": folder.resolve()})
    for remembered in (fonts_version, _coverage):
        remembered.cache_clear()


@lru_cache(maxsize=1)
def fonts_version() -> str:
    """A name for the installed fonts; it changes when any of their packages does."""
    packages = (json.loads((_installed[family] / "package.json").read_text()) for family in FAMILIES | FALLBACKS)
    return sha256(" ".join(f"{each['name']}@{each['version']}" for each in packages).encode()).hexdigest()[:12]


def missing_characters(family: str, text: str) -> list[str]:
    """The visible characters of a text that neither the font nor any fallback has."""
    if text.isascii():
        return []  # every family has these, as a test asks
    left = {character for character in text if character.isprintable() and character != " "} - _invisible
    for each in (family, *FALLBACKS):
        if not left:
            break
        left -= _coverage(each)
    return sorted(left)


def holds_emoji(family: str, text: str) -> bool:
    """Whether a part of the text is rendered in colors, as emoji are."""
    if text.isascii():
        return False
    return "\ufe0f" in text or not (set(text) - _coverage(family)).isdisjoint(_coverage(EMOJI))


def families(family: str, text: str) -> str:
    """What Pango is asked for: the font, and for Han characters the one that renders them as the text's language does."""
    if text.isascii() or not _east_asian.search(text):
        return family
    others = [name for name in FALLBACKS if name not in HAN]
    if any("\u3040" <= character <= "\u30ff" for character in text):
        return ",".join([family, *others, "Noto Sans JP"])
    if any("\uac00" <= character <= "\ud7a3" for character in text):
        return ",".join([family, *others, "Noto Sans KR"])
    return ",".join([family, *others, "Noto Sans SC"])


def check_font(data: bytes) -> tuple[str, str]:
    """The family's and the style's name of a font file. Raises InvalidFontError, which says what is wrong with it."""
    font = _open(data)
    name = font["name"]
    return name.getBestFamilyName() or "Unnamed", name.getBestSubFamilyName() or "Regular"


def use_font(data: bytes, digest: str) -> tuple[str, Path]:
    """Make a font that a workspace brought ready for Pango. Returns the family to ask for, and its file.

    The family is named by the file's content, so that no two workspaces' fonts are ever taken for each other.
    Raises InvalidFontError.
    """
    family = f"cwz{digest[:24]}"
    path = _installed[""] / f"{family}.ttf"
    if not path.exists():
        font = _open(data)
        for table in set(font.keys()) - TABLES - {"GlyphOrder"}:
            del font[table]
        names = font["name"]
        names.names = []
        for number, text in ((1, family), (2, "Regular"), (4, family), (6, family)):
            names.setName(text, number, 3, 1, 0x409)
        fresh = path.with_suffix(f".{os.getpid()}")
        font.save(fresh)
        fresh.rename(path)
    _installed[family] = path
    return family, path


def forget_font(digest: str) -> None:
    """Remove this machine's copy of a font that a workspace brought; if others brought it too, it is made again."""
    (_installed[""] / f"cwz{digest[:24]}.ttf").unlink(missing_ok=True)


def _open(data: bytes) -> TTFont:
    if len(data) > MAX_FONT_BYTES:
        raise InvalidFontError(f"The font is larger than {MAX_FONT_BYTES // 1024**2} MB")
    if data[:4] not in (b"\0\1\0\0", b"OTTO", b"true"):
        raise InvalidFontError("This is not a font that can be used: bring a TTF or OTF file")
    try:
        font = TTFont(io.BytesIO(data), lazy=False, fontNumber=0)
        for table in ("head", "hhea", "hmtx", "maxp", "OS/2", "name", "post"):
            font[table]
        letters = font.getBestCmap()
        if not letters or not ("glyf" in font or "CFF " in font or "CFF2" in font):
            raise InvalidFontError("The font has no letters that can be used")
        if len(letters) > MAX_LETTERS:
            raise InvalidFontError(f"The font says that it has {len(letters):,} letters; {MAX_LETTERS:,} are the most")
        for glyph in list(letters.values())[:100]:
            font.getGlyphSet()[glyph].width  # noqa: B018 - that it can be read is what is asked
    except InvalidFontError:
        raise
    except (TTLibError, Exception):  # fontTools raises whatever a broken table makes it stumble over
        raise InvalidFontError("The font is damaged and cannot be read") from None
    return font


@lru_cache(maxsize=64)
def _coverage(family: str) -> frozenset[str]:
    """The characters that a font has."""
    place = _installed[family]
    path = place if place.is_file() else min((place / "400Regular").glob("*.ttf"))
    with TTFont(path, lazy=True) as font:
        return frozenset(map(chr, font.getBestCmap()))


# They shape what stands beside them and are not rendered themselves: joiners, marks of direction, variation selectors.
_invisible = {
    chr(code) for code in (0xAD, 0x34F, 0x61C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF)
}
_invisible |= {chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0020, 0xE0080), *range(0xE0100, 0xE01F0))}

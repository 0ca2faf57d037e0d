"""The fonts that templates may use: TTF files of npm packages, found by fontconfig through a file of our own.

No system font is ever used, so that a picture looks the same on every machine.
"""

import os
from pathlib import Path

# What a person chooses from -> the npm package that brings it.
FAMILIES = {
    "Inter": "inter",
    "Playfair Display": "playfair-display",
    "Space Grotesk": "space-grotesk",
}
# For the characters that those lack: Pango falls back to whichever of these has them.
FALLBACKS = (
    "noto-sans-arabic",
    "noto-sans-devanagari",
    "noto-sans-hebrew",
    "noto-sans-jp",
    "noto-sans-thai",
    "noto-emoji",
)

CONFIGURATION = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
{directories}
  <cachedir>{cache}</cachedir>
</fontconfig>
"""


def install_fonts(node_modules: Path, folder: Path) -> None:
    """Tell fontconfig where the fonts are. Call it once in a process, before the first text is drawn.

    Arguments:
        node_modules: the installed front-end packages.
        folder: a folder for the configuration and fontconfig's cache.
    Raises FileNotFoundError when a package is not installed.
    """
    packages = [node_modules / "@expo-google-fonts" / name for name in (*FAMILIES.values(), *FALLBACKS)]
    for package in packages:
        if not package.is_dir():
            raise FileNotFoundError(f"The font package {package.name} is not installed; run npm ci")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"fonts-{os.getpid()}.conf"
    directories = "\n".join(f"  <dir>{package.resolve()}</dir>" for package in packages)
    path.write_text(CONFIGURATION.format(directories=directories, cache=folder.resolve() / "cache"))
    path = path.rename(folder / "fonts.conf")
    os.environ["FONTCONFIG_FILE"] = str(path.resolve())

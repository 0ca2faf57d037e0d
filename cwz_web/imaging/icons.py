"""Icons of the npm package lucide-static, which shapes show by name."""

import json
import re
from difflib import get_close_matches
from functools import reduce
from pathlib import Path

from cwz_web.i18n import gettext
from cwz_web.imaging.errors import InvalidImageError
from cwz_web.imaging.svg import sanitize_svg

PACKAGE = "lucide-static"
# The side of the square that the icons are designed on, and the width of their lines.
GRID, LINE_WIDTH = 24, 2
MAX_SUGGESTIONS = 5
POPULAR = (
    *("shopping-cart", "shopping-bag", "truck", "package", "gift", "tag", "badge-percent", "percent", "star"),
    *("heart", "check", "circle-check", "x", "plus", "minus", "arrow-right", "arrow-left", "arrow-up-right"),
    *("chevron-right", "zap", "flame", "sparkles", "award", "trophy", "crown", "medal", "thumbs-up", "clock"),
    *("calendar", "map-pin", "phone", "mail", "globe", "credit-card", "wallet", "banknote", "shield-check"),
    *("lock", "leaf", "recycle", "sun", "snowflake", "droplet", "house", "store", "car", "plane", "bed"),
    *("coffee", "utensils", "shirt", "camera", "music", "smartphone"),
)

_root = re.compile(r"\A<svg[^>]*>(.*)</svg>\Z", re.DOTALL)
# The file of each icon by its name.
_installed: dict[str, Path] = {}


def install_icons(node_modules: Path) -> None:
    """List the icons. Call this once in a process, before the first document is validated.

    Args:
        node_modules: the folder of the installed npm packages.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    files = {file.stem: file for file in (node_modules / PACKAGE / "icons").glob("*.svg")}
    if not files:
        raise FileNotFoundError(f"The icon package {PACKAGE} is not installed. Run npm ci")
    _installed.clear()
    _installed.update(files)


def icons_version() -> str:
    """Return an identifier of the installed icons."""
    package = next(iter(_installed.values())).parent.parent / "package.json"
    return f"{PACKAGE}@{json.loads(package.read_text())['version']}"


def check_icon(name: str) -> str:
    """Return the name of an icon. Raises ValueError, which suggests near names, if there is none."""
    if name in _installed:
        return name
    near = get_close_matches(name.lower().replace(" ", "-").replace("_", "-"), _installed, MAX_SUGGESTIONS)
    raise ValueError(
        gettext("There is no icon “%(name)s”. Did you mean %(names)s?", name=name, names=reduce(_join_or, near))
        if near
        else gettext("There is no icon “%(name)s”. The names are at https://lucide.dev/icons", name=name)
    )


def _join_or(one: str, other: str) -> str:
    return gettext("%(one)s or %(other)s", one=one, other=other)


def find_icons(text: str, limit: int) -> list[str]:
    """Return the names of icons whose names or tags contain all words of a text, the nearest first.

    Without a text, these are icons that product images often show.
    """
    words = text.lower().replace("-", " ").split()
    if not words:
        return [name for name in POPULAR if name in _installed][:limit]
    folder = next(iter(_installed.values())).parent.parent
    tags: dict[str, list[str]] = json.loads((folder / "tags.json").read_text())
    wanted = "-".join(words)
    ranks = {}
    for name in _installed:
        known = " ".join([name.replace("-", " "), *tags.get(name, [])])
        if all(word in known for word in words):
            ranks[name] = (name != wanted, not name.startswith(wanted), wanted not in name, name)
    return sorted(ranks, key=ranks.__getitem__)[:limit]


def read_icon(name: str) -> str:
    """Return the SVG elements of an icon, without colors and without the width of its lines."""
    match = _root.match(sanitize_svg(_installed[name].read_bytes()).decode())
    if match is None:
        raise InvalidImageError(f"The icon “{name}” is no SVG image")
    return match[1]

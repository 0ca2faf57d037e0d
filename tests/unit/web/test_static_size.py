"""The size of scripts and style sheets: pages outside the editor load at most 60 KB, compressed."""

import gzip
import re
from pathlib import Path

import cwz_web

PACKAGE = Path(cwz_web.__file__).parent
NODE_MODULES = PACKAGE.parent / "node_modules"
MAX_BYTES = 60 * 1000
# As the static views of cwz_web/web/rendering.py have them.
FOLDERS = {"app": PACKAGE / "static", "htmx": NODE_MODULES / "htmx.org" / "dist"}
_reference = re.compile(r"\{\{ static \}\}/(app|htmx)/([\w./-]+\.(?:js|css))")
_import = re.compile(r"""from "\./([\w-]+\.js)\"""")


def referenced_files() -> set[Path]:
    """Return what any template outside the editor loads, and what these scripts import."""
    templates = PACKAGE / "templates"
    others = [path for path in templates.rglob("*.jinja2") if path.parent.name not in ("editor", "development")]
    found = {FOLDERS[folder] / name for path in others for folder, name in _reference.findall(path.read_text())}
    return found | {file.parent / name for file in found for name in _import.findall(file.read_text())}


def test_all_scripts_and_styles_outside_the_editor_are_small() -> None:
    """More than a page loads: no page has the scripts of all others."""
    files = referenced_files()
    assert {"components.css", "app.js", "htmx.min.js", "uploader.js"} <= {file.name for file in files}
    assert sum(len(gzip.compress(file.read_bytes())) for file in files) <= MAX_BYTES

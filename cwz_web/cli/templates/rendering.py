"""The engine without a server: it needs the npm packages with fonts and icons, and nothing else of an installation."""

import atexit
import os
import shutil
import tempfile
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import cwz_web
from cwz_web.cli.templates.folder import TemplateFolder

NODE_MODULES = "CWZ_NODE_MODULES"


class EngineError(Exception):
    """Images cannot be rendered here; the message says why."""


def find_node_modules() -> Path | None:
    """Return the folder of the npm packages: the one that the environment names, or that of the checkout."""
    if named := os.environ.get(NODE_MODULES):
        return Path(named)
    beside = Path(cwz_web.__file__).parent.parent / "node_modules"
    return beside if beside.is_dir() else None


@lru_cache(maxsize=1)
def prepare_icons() -> bool:
    """Load the names of icons, without which documents with icons are not valid. Return whether they are there."""
    from cwz_web.imaging.icons import install_icons

    folder = find_node_modules()
    try:
        if folder is not None:
            install_icons(folder)
    except FileNotFoundError:
        return False
    return folder is not None


@lru_cache(maxsize=1)
def prepare_engine() -> None:
    """Configure fonts and icons, before something is rendered. Raises EngineError."""
    from cwz_web.imaging.fonts import install_fonts

    folder = find_node_modules()
    if folder is None or not prepare_icons():
        raise EngineError(
            f"The npm packages with fonts and icons are not installed: run `npm ci`, or set {NODE_MODULES}"
        )
    try:
        install_fonts(folder, _font_folder(folder))
    except FileNotFoundError as error:
        raise EngineError(str(error)) from None


def _font_folder(node_modules: Path) -> Path:
    """Return a folder for the configuration of fonts and for those of uploads; a temporary one if there is no home."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "cwz" / f"fonts-{sha256(str(node_modules.resolve()).encode()).hexdigest()[:12]}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        temporary = tempfile.mkdtemp(prefix="cwz-fonts-")
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return Path(temporary)
    return folder


def add_upload(folder: TemplateFolder, data: bytes, name: str) -> str:
    """Store a file in a folder as the server would store it, and return its digest.

    Args:
        folder: the folder; its index is saved by the caller.
        data: an image or a font.
        name: its name.

    Raises:
        EngineError: the file is not supported, damaged or too large.
        FolderError: the file cannot be written.
    """
    from cwz_web.imaging.errors import ImagingError
    from cwz_web.imaging.uploads import prepare_upload

    prepare_engine()  # fonts have thumbnails
    try:
        prepared = prepare_upload(data)
    except ImagingError as error:
        raise EngineError(str(error)) from None
    return folder.write_upload(prepared.source.data, prepared.content_type, name or prepared.title)

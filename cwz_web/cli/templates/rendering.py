"""The engine without a server: it needs the npm packages with fonts and icons, and nothing else of an installation."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import cwz_web
from cwz_web.cli.templates.folder import MAX_SAMPLES_BYTES, TemplateFolder, parse_rows, read_file
from cwz_web.cli.templates.json_files import JsonError, parse_json

if TYPE_CHECKING:  # imported when something is rendered: they take a second
    from cwz_web.generation.image_service import PreparedImage
    from cwz_web.imaging.composition import Composition, RenderedImage
    from cwz_web.imaging.documents import ImageTemplate
    from cwz_web.imaging.encoders import Output
    from cwz_web.imaging.findings import Finding
    from cwz_web.storage.uploads import Uploads

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


class LocalRenderer:
    """Renders documents in this process, as an installation of the same version does.

    Photos of rows are fetched from public URLs, once. Uploads come from files.

    Args:
        read_upload: returns the upload of a digest, or None.

    Raises:
        EngineError: fonts or icons are not installed.
    """

    def __init__(self, read_upload: Callable[[str], bytes | None]) -> None:
        from cwz_web.generation.image_service import ImageService
        from cwz_web.generation.image_sources import ImageSources
        from cwz_web.imaging.engine import Engine
        from cwz_web.net.client import Fetcher

        prepare_engine()
        self._service = ImageService(Engine(), ImageSources(Fetcher()))
        self._uploads = _file_uploads(read_upload)

    def validate(self, document: Any) -> "ImageTemplate":
        """Return the template of a document. Raises EngineError."""
        from cwz_web.imaging.brand import NO_BRAND
        from cwz_web.web.document_errors import check_document

        template, errors = check_document(document, NO_BRAND)
        if template is None:
            raise EngineError("; ".join(f"{path}: {message}" for path, message in errors.items()))
        return template

    def prepare(self, template: "ImageTemplate", row: Mapping[str, str], output: "Output") -> "PreparedImage":
        """Load what an image is rendered from. Raises EngineError."""
        from cwz_web.imaging.errors import ImagingError

        try:
            return self._service.prepare(self._uploads, template, row, output)
        except ImagingError as error:
            raise EngineError(str(error)) from None

    def render(self, image: "PreparedImage") -> "RenderedImage":
        """Render and encode an image. Raises EngineError."""
        from cwz_web.imaging.errors import ImagingError

        try:
            return self._service.render(image)
        except ImagingError as error:
            raise EngineError(str(error)) from None

    def compose(self, image: "PreparedImage") -> "Composition":
        """Render an image as pixels. Raises EngineError."""
        from cwz_web.i18n import use_locale
        from cwz_web.imaging.errors import ImagingError

        try:
            with use_locale(None):
                return image.plan.compose(image.values, self._service.process(image).all_sources)
        except ImagingError as error:
            raise EngineError(str(error)) from None

    def lint(self, image: "PreparedImage") -> "list[Finding]":
        """Return what the designer would show beside the layers of an image. Raises EngineError."""
        from cwz_web.imaging.errors import ImagingError

        try:
            return self._service.lint(image)
        except ImagingError as error:
            raise EngineError(str(error)) from None

    def close(self) -> None:
        """End the processes of image processors."""
        self._service.close()


def _file_uploads(read_upload: Callable[[str], bytes | None]) -> "Uploads":
    from cwz_web.storage.contract import ObjectNotFoundError
    from cwz_web.storage.uploads import Uploads

    class FileUploads(Uploads):
        """Uploads in files, without a workspace or a bucket."""

        def get(self, digest: str, max_bytes: int) -> bytes:
            data = read_upload(digest)
            if data is None or len(data) > max_bytes:
                raise ObjectNotFoundError("The folder has no such upload")
            return data

    return FileUploads(UUID(int=0), (), lambda spec: None)  # type: ignore[arg-type, return-value]


def render_file(
    file: Path, fields: Path | None, output: Path, *, size: str, scale: int, quality: int
) -> "RenderedImage":
    """Render a document to an image file.

    Args:
        file: the document; uploads are in the folder beside it.
        fields: a JSON file with the values of fields; None for the default values.
        output: the image; its extension is the format.
        size: one of the template's sizes.
        scale: pixels of the image per pixel of the canvas.
        quality: 1 to 100.

    Raises:
        EngineError: the document, the size or the format is not valid, or the image cannot be rendered or written.
        FolderError: a file cannot be read.
    """
    from cwz_web.imaging.encoders import Format, Output

    extension = output.suffix.lower().removeprefix(".").replace("jpeg", "jpg")
    if extension not in [*Format]:
        raise EngineError(f"{output}: name the image with one of these extensions: {', '.join(Format)}")
    folder = TemplateFolder(file.parent)
    try:
        document = parse_json(folder.read_document(file.name) or b"")
    except JsonError as error:
        raise EngineError(f"{file}:{error.line}: {error}") from None
    rows = parse_rows(read_file(fields, MAX_SAMPLES_BYTES) or b"", str(fields)) if fields else [{}]
    if len(rows) != 1:
        raise EngineError(f"{fields}: write one object with values")
    renderer = LocalRenderer(folder.read_upload)
    try:
        options = Output(size=size, scale=scale, quality=quality, format=Format(extension))
        rendered = renderer.render(renderer.prepare(renderer.validate(document), rows[0], options))
        output.write_bytes(rendered.data)
    except OSError as error:
        raise EngineError(f"{output} cannot be written: {error.strerror}") from None
    finally:
        renderer.close()
    return rendered

"""A folder with templates in files: documents, uploads by digest, sample rows, and an index.

Its content may come from another author's pull request, and names of templates from any server: file names are made of
a few characters, nothing is read or written through a symbolic link, and files have limits of their size.
"""

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cwz_web.cli.templates.json_files import JsonError, format_json, parse_json

INDEX = "cwz-templates.json"
UPLOADS, SAMPLES = "uploads", "samples"
# Four bytes for each of the characters that a document can have (imaging/document_length.py).
MAX_DOCUMENT_BYTES = 2_000_000
MAX_INDEX_BYTES = 8_000_000
MAX_SAMPLES_BYTES = 4_000_000
# A stored file can be larger than what was uploaded, as the server allows it.
MAX_UPLOAD_BYTES = 32 * 1024 * 1024
MAX_STEM = 80
# By content type, and by how a file begins.
UPLOAD_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/avif": "avif",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "font/woff2": "woff2",
    "font/sfnt": "ttf",
}
# Names of devices on Windows, where the repository may be checked out as well.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(10))}
_document_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.json")
_upload_name = re.compile(rf"([0-9a-f]{{64}})\.(?:{'|'.join({*UPLOAD_EXTENSIONS.values()})})")

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=rf"^{_document_name.pattern}$")]


class FolderError(Exception):
    """A file of the folder cannot be read or written; the message says which, and why."""


class Entry(BaseModel):
    """What is known of the template of a file.

    Attributes:
        id: None for a template that is not on the server yet.
        name: its name on the server.
        version: the published version that the file was last in agreement with.
        etag: that of the server then; empty if the server has a draft that the file does not have.
        digest: of the file's JSON then, so that a change of the file is noticed.
    """

    model_config = ConfigDict(extra="forbid")

    id: UUID | None = None
    name: Annotated[str, Field(max_length=200)] = ""
    version: Annotated[int, Field(ge=0)] = 0
    etag: Annotated[str, Field(max_length=200, pattern=r"^[!-~]*$")] = ""
    digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""


class Index(BaseModel):
    """The index: what is known of the templates by file, and the names of uploads by digest."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    templates: dict[FileName, Entry] = {}
    uploads: dict[Digest, Annotated[str, Field(max_length=200)]] = {}


class TemplateFolder:
    """A folder with templates in files.

    Args:
        root: its path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index = self._read_index()

    def documents(self) -> list[str]:
        """Return the names of all files with documents. Raises FolderError for a name that is not allowed."""
        if not self.root.is_dir():
            return []
        names = sorted(entry.name for entry in os.scandir(self.root) if entry.name.endswith(".json"))
        names = [name for name in names if name != INDEX and not name.startswith(".")]
        for name in names:
            if not _document_name.fullmatch(name):
                raise FolderError(f"{name!a}: name the file with letters, digits, _ and -, such as sale-card.json")
        return names

    def find_file(self, template_id: UUID) -> str | None:
        """Return the file of a template, or None."""
        return next((name for name, entry in self.index.templates.items() if entry.id == template_id), None)

    def choose_name(self, slug: str) -> str:
        """Return the name of a new file for a template: safe on all systems, and like no other file's."""
        from slugify import slugify

        stem = slugify(slug[:200], max_length=MAX_STEM) or "template"
        if stem in _DEVICES or f"{stem}.json" == INDEX:
            stem += "-template"
        taken = {name.casefold() for name in self.index.templates}
        number, name = 1, f"{stem}.json"
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}.json"
        return name

    def read_document(self, name: str) -> bytes | None:
        """Return the text of a document; None if there is no such file. Raises FolderError."""
        if not _document_name.fullmatch(name) or name == INDEX:
            raise FolderError(f"{name!a} is not the name of a template's file")
        return read_file(self.root / name, MAX_DOCUMENT_BYTES)

    def write_document(self, name: str, document: Any) -> None:
        """Write a document. Raises FolderError."""
        if not _document_name.fullmatch(name) or name == INDEX:
            raise FolderError(f"{name!a} is not the name of a template's file")
        write_file(self.root / name, format_json(document).encode())

    def read_samples(self, name: str) -> list[dict[str, str]]:
        """Return the sample rows of the template of a file. Raises FolderError."""
        path = self._subfolder(SAMPLES) / name
        data = read_file(path, MAX_SAMPLES_BYTES)
        return parse_rows(data, f"{SAMPLES}/{name}") if data is not None else []

    def uploads(self) -> dict[str, Path]:
        """Return the files of uploads by the digests in their names, which are not verified."""
        folder = self._subfolder(UPLOADS)
        found = {}
        for entry in os.scandir(folder) if folder.is_dir() else ():
            if named := _upload_name.fullmatch(entry.name):
                found[named[1]] = folder / entry.name
        return found

    def read_upload(self, digest: str) -> bytes | None:
        """Return an upload, or None if the folder does not have it.

        Raises:
            FolderError: the file has another content than its name says.
        """
        path = self.uploads().get(digest)
        data = read_file(path, MAX_UPLOAD_BYTES) if path else None
        if data is not None and path is not None and sha256(data).hexdigest() != digest:
            raise FolderError(f"{UPLOADS}/{path.name}: the content of the file has another SHA-256 than its name")
        return data

    def write_upload(self, data: bytes, content_type: str, name: str) -> str:
        """Write an upload, with its name in the index, and return its digest."""
        digest = sha256(data).hexdigest()
        extension = UPLOAD_EXTENSIONS.get(content_type)
        if extension is None:
            raise FolderError(f"An upload of the type {content_type[:50]!a} is not supported")
        write_file(self._subfolder(UPLOADS) / f"{digest}.{extension}", data)
        self.index.uploads.setdefault(digest, name[:200])
        return digest

    def save_index(self) -> None:
        """Write the index, if it has changed."""
        content = format_json(self.index.model_dump(mode="json"), sort_keys=True).encode()
        if content != read_file(self.root / INDEX, MAX_INDEX_BYTES):
            write_file(self.root / INDEX, content)

    def _read_index(self) -> Index:
        data = read_file(self.root / INDEX, MAX_INDEX_BYTES)
        if data is None:
            return Index()
        try:
            return Index.model_validate(parse_json(data))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))[:200]
            raise FolderError(f"{INDEX}: {place!a}: {first['msg']}") from None
        except JsonError as error:
            raise FolderError(f"{INDEX}:{error.line}: {error}") from None

    def _subfolder(self, name: str) -> Path:
        path = self.root / name
        if path.is_symlink():
            raise FolderError(f"{path} is a symbolic link, which is not followed")
        return path


def write_file(path: Path, data: bytes) -> None:
    """Write a file as a whole: it is replaced when it is complete, as is a symbolic link. Raises FolderError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "wb") as file:
            file.write(data)
        temporary.replace(path)
    except OSError as error:
        raise FolderError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_file(path: Path, max_bytes: int) -> bytes | None:
    """Return the content of a file; None if there is none.

    Raises:
        FolderError: it is not a regular file, is too large, or cannot be read.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FolderError(f"{path} is not a file")
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        is_link = path.is_symlink()
        reason = "it is a symbolic link, which is not followed" if is_link else error.strerror
        raise FolderError(f"{path} cannot be read: {reason}") from None
    if len(data) > max_bytes:
        raise FolderError(f"{path} is larger than {max_bytes // 1_000_000} MB")
    return data


def is_document_name(name: str) -> bool:
    """Return whether a file of this name can be a document."""
    return bool(_document_name.fullmatch(name))


def upload_digest(name: str) -> str:
    """Return the digest in the name of an upload's file; empty if it is none."""
    named = _upload_name.fullmatch(name)
    return named[1] if named else ""


def parse_rows(data: bytes, name: str) -> list[dict[str, str]]:
    """Return sample rows: a JSON list of objects, or one object. Raises FolderError."""
    try:
        value = parse_json(data)
    except JsonError as error:
        raise FolderError(f"{name}:{error.line}: {error}") from None
    rows = [value] if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FolderError(f'{name}: write a list of objects, such as [{{"title": "Mug"}}]')
    return [dict(_texts(row)) for row in rows]


def _texts(row: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the values of a row as the texts that a template's fields have; lists and objects stay JSON."""
    for key, value in row.items():
        if value is not None:
            yield key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

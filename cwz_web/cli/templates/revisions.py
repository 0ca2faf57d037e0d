"""Revisions of a folder that working files are compared with: a commit, another folder, or an installation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cwz_web.cli.templates.client import Client
from cwz_web.cli.templates.folder import (
    INDEX,
    MAX_DOCUMENT_BYTES,
    MAX_UPLOAD_BYTES,
    UPLOADS,
    TemplateFolder,
    is_document_name,
    upload_digest,
)
from cwz_web.cli.templates.git_history import GitHistory
from cwz_web.cli.templates.json_files import JsonError, parse_json


@dataclass(frozen=True)
class Revision:
    """A revision of templates.

    Attributes:
        label: what it is, for people.
        documents: the documents by file; a text is no valid JSON.
        read_upload: returns an upload by digest, or None.
    """

    label: str
    documents: Mapping[str, Any]
    read_upload: Callable[[str], bytes | None]


def working_files(folder: TemplateFolder) -> Revision:
    """Return the files as they are now. Raises FolderError."""
    documents = {name: _parse(folder.read_document(name) or b"") for name in folder.documents()}
    return Revision("working files", documents, folder.read_upload)


def other_folder(path: Path) -> Revision:
    """Return the files of another folder. Raises FolderError."""
    return _labeled(working_files(TemplateFolder(path)), f"folder {path}")


def commit(folder: TemplateFolder, revision: str) -> Revision:
    """Return the files of the folder at a commit. Raises GitError."""
    history = GitHistory(folder.root)
    found = history.resolve(revision)
    names = [name for name in history.list_files(found) if is_document_name(name) and name != INDEX]
    texts = ((name, history.read(found, name, MAX_DOCUMENT_BYTES)) for name in names)
    uploads = {upload_digest(name): name for name in history.list_files(found, f"{UPLOADS}/")}

    def read_upload(digest: str) -> bytes | None:
        data = folder.read_upload(digest)
        if data is None and digest in uploads:
            return history.read(found, f"{UPLOADS}/{uploads[digest]}", MAX_UPLOAD_BYTES)
        return data

    documents = {name: _parse(text) for name, text in texts if text is not None}
    return Revision(f"{revision} ({found[:10]})", documents, read_upload)


def installation(folder: TemplateFolder, client: Client, *, published: bool) -> Revision:
    """Return the templates of an installation: as they were pulled, or as they are published now.

    Raises:
        ApiError: a request failed.
    """
    documents = {}
    for name in folder.documents():
        entry = folder.index.templates.get(name)
        if entry is None or entry.id is None:
            continue
        if published:
            template = client.find_template(entry.id)
            document = template.document if template else None
        else:
            document = client.get_version(entry.id, entry.version)
        if document is not None:
            documents[name] = document
    downloaded: dict[str, bytes | None] = {}

    def read_upload(digest: str) -> bytes | None:
        data = folder.read_upload(digest)
        if data is None and digest not in downloaded:
            downloaded[digest] = client.download_upload(digest)
        return data if data is not None else downloaded[digest]

    return Revision("published version" if published else "pulled version", documents, read_upload)


def _labeled(revision: Revision, label: str) -> Revision:
    return Revision(label, revision.documents, revision.read_upload)


def _parse(data: bytes) -> Any:
    try:
        return parse_json(data)
    except JsonError as error:
        return str(error)

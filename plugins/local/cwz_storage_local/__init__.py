"""The local folder as a ConnectWyze storage provider: a directory on the server's own disk.

The operator sets the directory (`cwz.storage.local.root` in the .ini file); a workspace cannot choose one.
"""

import json
import mimetypes
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from cwz_web.storage import (
    Bucket,
    BucketContext,
    Capability,
    Fields,
    InvalidSettingsError,
    ObjectAttributes,
    ObjectExistsError,
    ObjectInfo,
    ObjectNotFoundError,
    PermissionDeniedError,
    StorageProvider,
    StorageUnreachableError,
    check_key,
    hookimpl,
)

PARTIAL = ".partial-"
# Metadata that the file name does not imply is stored in a file beside the object; no key may begin like its name.
METADATA = ".metadata-"
CHUNK_BYTES = 256 * 1024


class LocalProvider(StorageProvider[Fields, Fields]):
    """Opens the operator's folder. A workspace enters nothing."""

    api_version = 1
    name = "local"
    label = "Local folder"
    icon = "folder"
    public_access_advice = "Let a web server or a CDN serve the folder, with the headers of docs/operations.md"
    capabilities = frozenset({Capability.RANGE, Capability.MULTIPART})
    settings_model = Fields
    credentials_model = Fields

    def open(self, context: BucketContext[Fields, Fields]) -> "LocalBucket":
        """Open the folder of the operator's `root`, and create it if it does not exist."""
        if not context.operator.get("root"):
            raise InvalidSettingsError("The operator has to set cwz.storage.local.root in the .ini file")
        with _storage_errors("the folder"):
            root = Path(context.operator["root"]).absolute()
            root.mkdir(parents=True, exist_ok=True)
            return LocalBucket(root.resolve(strict=True))


class LocalBucket(Bucket):
    """Objects as files below one folder. Symbolic links below it are not followed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str,
        cache_control: str = "",
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> None:
        """Write a temporary file and rename it, so that no reader sees half a file, even after a crash."""
        path = self._path(key)
        values = {"content_type": content_type, "cache_control": cache_control, "metadata": dict(metadata or {})}
        with _storage_errors(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._reject_links(path)
            partial = path.with_name(f"{PARTIAL}{secrets.token_hex(8)}")
            try:
                with open(partial, "xb") as file:
                    for part in [body] if isinstance(body, bytes) else iter(lambda: body.read(CHUNK_BYTES), b""):
                        file.write(part)
                    file.flush()
                    os.fsync(file.fileno())
                self._publish(partial, path, values, if_absent)
            finally:
                partial.unlink(missing_ok=True)

    def put_object(self, key: str, body: bytes, attributes: ObjectAttributes) -> None:
        """Write a file without its attributes, but the content type: the application sends the headers of its images.

        Each image would have a second file for them.
        """
        self.put(key, body, content_type=attributes.content_type)

    def _publish(self, partial: Path, path: Path, values: dict[str, Any], if_absent: bool) -> None:
        metadata_path = path.with_name(f"{METADATA}{path.name}")
        if if_absent:
            os.link(partial, path)  # atomic; fails when the path exists
        if values == _default_metadata(path):
            metadata_path.unlink(missing_ok=True)
        else:
            metadata_path.write_text(json.dumps(values))
        if not if_absent:
            os.replace(partial, path)

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a file, or a part of it."""
        with _storage_errors(key), self._open(key) as file:
            file.seek(start)
            return file.read(-1 if length is None else length)

    def stream(self, key: str) -> Iterator[bytes]:
        """Read a file in parts."""
        with _storage_errors(key):
            file = self._open(key)
        return self._parts(file)

    def _parts(self, file: BinaryIO) -> Iterator[bytes]:
        with file:
            yield from iter(lambda: file.read(CHUNK_BYTES), b"")

    def head(self, key: str) -> ObjectInfo:
        """Read the size and metadata of a file."""
        path = self._path(key)
        with _storage_errors(key):
            self._reject_links(path)
            if not path.is_file():
                raise FileNotFoundError
            return ObjectInfo(key, path.stat().st_size, **_read_metadata(path))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Walk the folder of the prefix."""
        self._check_root()
        folder = prefix.rpartition("/")[0]
        start = self._path(folder) if folder else self._root
        for path in sorted(start.rglob("*")) if start.is_dir() else ():
            key = path.relative_to(self._root).as_posix()
            if (
                key.startswith(prefix)
                and not path.name.startswith((PARTIAL, METADATA))
                and not path.is_symlink()
                and path.is_file()
            ):
                yield ObjectInfo(key, path.stat().st_size)

    def delete(self, key: str) -> None:
        """Delete a file and the folders that become empty."""
        path = self._path(key)
        with _storage_errors(key), suppress(FileNotFoundError):
            self._reject_links(path)
            path.unlink()
            path.with_name(f"{METADATA}{path.name}").unlink(missing_ok=True)
            with suppress(OSError):
                for folder in path.parents:
                    if folder == self._root:
                        break
                    folder.rmdir()

    def _path(self, key: str) -> Path:
        parts = check_key(key).split("/")
        self._check_root()
        if parts[-1].startswith((PARTIAL, METADATA)):
            raise InvalidSettingsError(f"The last part of an object's key cannot begin with {PARTIAL} or {METADATA}")
        return self._root.joinpath(*parts)

    def _check_root(self) -> None:
        if not self._root.is_dir():
            raise StorageUnreachableError(
                "The folder of the local storage does not exist; the operator has to restore it"
            )

    def _open(self, key: str) -> BinaryIO:
        path = self._path(key)
        self._reject_links(path)
        return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")

    def _reject_links(self, path: Path) -> None:
        if path.parent.resolve() != path.parent or path.is_symlink():
            raise PermissionError


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.with_name(f"{METADATA}{path.name}").read_text())
    except FileNotFoundError:
        return _default_metadata(path)
    return values


def _default_metadata(path: Path) -> dict[str, Any]:
    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return {"content_type": content_type, "cache_control": "", "metadata": {}}


@contextmanager
def _storage_errors(name: str) -> Iterator[None]:
    """Translate the errors of the operating system. `name` is the key, for the messages."""
    try:
        yield
    except FileExistsError:
        raise ObjectExistsError(f"{name} exists already in the local folder") from None
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ObjectNotFoundError(f"{name} does not exist in the local folder") from None
    except PermissionError:
        raise PermissionDeniedError(
            f"The server cannot access {name}; check the owner and mode of the local folder"
        ) from None
    except OSError as error:
        raise StorageUnreachableError(f"The local folder failed: {error.strerror}; check its disk") from error


@hookimpl
def cwz_storage_providers() -> list[LocalProvider]:
    """Return the provider of this distribution."""
    return [LocalProvider()]

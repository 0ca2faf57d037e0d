"""The local folder as a ConnectWyze storage provider: a directory on the server's own disk.

The operator sets the directory (`cwz.storage.local.root` in the .ini); a workspace cannot choose one.
"""

import json
import mimetypes
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel

from cwz_web.storage import (
    API_VERSION,
    BasicBucket,
    Capability,
    Fields,
    InvalidSettingsError,
    ObjectExistsError,
    ObjectInfo,
    ObjectNotFoundError,
    Opening,
    PermissionDeniedError,
    StorageProvider,
    StorageUnreachableError,
    check_key,
    hookimpl,
)

PARTIAL = ".partial-"
# What is told of an object beyond what its name says lies beside it, under a name that no object can have.
TOLD = ".told-"
CHUNK = 256 * 1024


class LocalSettings(Fields):
    """A workspace has nothing to say about a local folder."""


class LocalProvider:
    """Opens the operator's folder."""

    api_version = API_VERSION
    name = "local"
    label = "Local folder"
    icon = "folder"
    help_url = ""
    capabilities = frozenset({Capability.RANGE, Capability.MULTIPART})
    settings_model: type[BaseModel] = LocalSettings
    credentials_model: type[BaseModel] = LocalSettings

    def hosts(self, settings: BaseModel, operator: Mapping[str, str]) -> Iterable[str]:
        """None: a folder needs no network."""
        return ()

    def open(self, opening: Opening) -> "LocalBucket":
        """Open the folder named by the operator's `root`, making it when it is not there."""
        if not opening.operator.get("root"):
            raise InvalidSettingsError("The operator has to set cwz.storage.local.root in the .ini file")
        with _storage_errors("the folder"):
            root = Path(opening.operator["root"]).absolute()
            root.mkdir(parents=True, exist_ok=True)
            return LocalBucket(root.resolve(strict=True))


class LocalBucket(BasicBucket):
    """Objects as files below one folder. A symbolic link below it is never followed."""

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
        """Write beside the final place and rename, so that nobody sees half a file, even after a crash."""
        path = self._path(key)
        told = {"content_type": content_type, "cache_control": cache_control, "metadata": dict(metadata or {})}
        with _storage_errors(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._refuse_links(path)
            partial = path.with_name(f"{PARTIAL}{secrets.token_hex(8)}")
            try:
                with open(partial, "xb") as file:
                    for part in [body] if isinstance(body, bytes) else iter(lambda: body.read(CHUNK), b""):
                        file.write(part)
                    file.flush()
                    os.fsync(file.fileno())
                self._finish(partial, path, told, if_absent)
            finally:
                partial.unlink(missing_ok=True)

    def _finish(self, partial: Path, path: Path, told: dict[str, Any], if_absent: bool) -> None:
        beside = path.with_name(f"{TOLD}{path.name}")
        if if_absent:
            os.link(partial, path)  # fails, in one step, when there is one
        if told == self._guessed(path):
            beside.unlink(missing_ok=True)
        else:
            beside.write_text(json.dumps(told))
        if not if_absent:
            os.replace(partial, path)

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a whole file, or a part of it."""
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
            yield from iter(lambda: file.read(CHUNK), b"")

    def head(self, key: str) -> ObjectInfo:
        """Size, and what was told of it."""
        path = self._path(key)
        with _storage_errors(key):
            self._refuse_links(path)
            if not path.is_file():
                raise FileNotFoundError
            return ObjectInfo(key, path.stat().st_size, **self._told(path))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Walk the folder that the prefix lies in."""
        self._look()
        inside = prefix.rpartition("/")[0]
        start = self._path(inside) if inside else self._root
        for path in sorted(start.rglob("*")) if start.is_dir() else ():
            key = path.relative_to(self._root).as_posix()
            if (
                key.startswith(prefix)
                and not path.name.startswith((PARTIAL, TOLD))
                and not path.is_symlink()
                and path.is_file()
            ):
                yield ObjectInfo(key, path.stat().st_size)

    def delete(self, key: str) -> None:
        """Remove a file, and the folders that are empty then."""
        path = self._path(key)
        with _storage_errors(key), suppress(FileNotFoundError):
            self._refuse_links(path)
            path.unlink()
            path.with_name(f"{TOLD}{path.name}").unlink(missing_ok=True)
            with suppress(OSError):
                for folder in path.parents:
                    if folder == self._root:
                        break
                    folder.rmdir()

    def _path(self, key: str) -> Path:
        parts = check_key(key).split("/")
        self._look()
        if parts[-1].startswith((PARTIAL, TOLD)):
            raise InvalidSettingsError("An object's name may not begin like a file of the storage itself")
        return self._root.joinpath(*parts)

    def _look(self) -> None:
        if not self._root.is_dir():
            raise StorageUnreachableError("The folder of the local storage is gone; its operator has to bring it back")

    def _open(self, key: str) -> BinaryIO:
        path = self._path(key)
        self._refuse_links(path)
        return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")

    def _told(self, path: Path) -> dict[str, Any]:
        try:
            told: dict[str, Any] = json.loads(path.with_name(f"{TOLD}{path.name}").read_text())
        except FileNotFoundError:
            return self._guessed(path)
        return told

    def _guessed(self, path: Path) -> dict[str, Any]:
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return {"content_type": kind, "cache_control": "", "metadata": {}}

    def _refuse_links(self, path: Path) -> None:
        if path.parent.resolve() != path.parent or path.is_symlink():
            raise PermissionError


@contextmanager
def _storage_errors(what: str) -> Iterator[None]:
    """The errors of the operating system in the contract's words."""
    try:
        yield
    except FileExistsError:
        raise ObjectExistsError(f"{what} is in the local folder already") from None
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ObjectNotFoundError(f"{what} is not in the local folder") from None
    except PermissionError:
        raise PermissionDeniedError(
            f"The server may not use {what}; check the owner and rights of the local folder"
        ) from None
    except OSError as error:
        raise StorageUnreachableError(
            f"The local folder does not work ({error.strerror}); is its disk full?"
        ) from error


@hookimpl
def cwz_storage_providers() -> Iterable[StorageProvider]:
    """The provider of this distribution."""
    return [LocalProvider()]

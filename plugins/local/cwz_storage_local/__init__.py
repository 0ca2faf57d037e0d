"""The local folder as a ConnectWyze storage provider: a directory on the server's own disk.

The operator sets the directory (`cwz.storage.local.root` in the .ini); a workspace can not choose one.
"""

import mimetypes
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from cwz_web.storage import (
    API_VERSION,
    BadSettings,
    NotFound,
    NotPermitted,
    ObjectInfo,
    StorageProvider,
    Unreachable,
    check_key,
    hookimpl,
)

PARTIAL = ".partial-"


class LocalSettings(BaseModel):
    """A workspace has nothing to say about a local folder."""

    model_config = ConfigDict(extra="forbid")


class LocalProvider:
    """Opens the operator's folder."""

    api_version = API_VERSION
    name = "local"
    label = "Local folder"
    settings_model = LocalSettings

    def open(self, settings: BaseModel, operator: Mapping[str, str]) -> "LocalBucket":
        """Open the folder named by the operator's `root`, making it when it is not there."""
        if not operator.get("root"):
            raise BadSettings("The operator has to set cwz.storage.local.root in the .ini file")
        with _storage_errors("the folder"):
            root = Path(operator["root"]).absolute()
            root.mkdir(parents=True, exist_ok=True)
            return LocalBucket(root.resolve(strict=True))


class LocalBucket:
    """Objects as files below one folder. A symbolic link below it is never followed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Write beside the final place and rename, so that nobody sees half a file, even after a crash."""
        path = self._path(key)
        with _storage_errors(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._refuse_links(path)
            partial = path.with_name(f"{PARTIAL}{secrets.token_hex(8)}")
            try:
                with open(partial, "xb") as file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, path)
            finally:
                partial.unlink(missing_ok=True)

    def get(self, key: str) -> bytes:
        """Read a whole file."""
        path = self._path(key)
        with _storage_errors(key):
            self._refuse_links(path)
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                return file.read()

    def head(self, key: str) -> ObjectInfo:
        """Size and, by the key's ending, content type."""
        path = self._path(key)
        with _storage_errors(key):
            self._refuse_links(path)
            if not path.is_file():
                raise FileNotFoundError
            return self._info(path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Walk the folder that the prefix lies in."""
        inside = prefix.rpartition("/")[0]
        start = self._path(inside) if inside else self._root
        for path in sorted(start.rglob("*")) if start.is_dir() else ():
            key = path.relative_to(self._root).as_posix()
            if (
                key.startswith(prefix)
                and not path.name.startswith(PARTIAL)
                and not path.is_symlink()
                and path.is_file()
            ):
                yield self._info(path)

    def delete(self, key: str) -> None:
        """Remove a file, and the folders that are empty then."""
        path = self._path(key)
        with _storage_errors(key), suppress(FileNotFoundError):
            self._refuse_links(path)
            path.unlink()
            with suppress(OSError):
                for folder in path.parents:
                    if folder == self._root:
                        break
                    folder.rmdir()

    def _path(self, key: str) -> Path:
        return self._root.joinpath(*check_key(key).split("/"))

    def _refuse_links(self, path: Path) -> None:
        if path.parent.resolve() != path.parent or path.is_symlink():
            raise PermissionError

    def _info(self, path: Path) -> ObjectInfo:
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return ObjectInfo(path.relative_to(self._root).as_posix(), path.stat().st_size, kind)


@contextmanager
def _storage_errors(what: str) -> Iterator[None]:
    """The errors of the operating system in the contract's words."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise NotFound(f"{what} is not in the local folder") from None
    except PermissionError:
        raise NotPermitted(f"The server may not use {what}; check the owner and rights of the local folder") from None
    except OSError as error:
        raise Unreachable(f"The local folder does not work ({error.strerror}); is its disk full?") from error


@hookimpl
def cwz_storage_providers() -> Iterable[StorageProvider]:
    """The provider of this distribution."""
    return [LocalProvider()]

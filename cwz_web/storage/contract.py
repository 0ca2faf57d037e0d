"""The contract between the application and a storage plugin: a provider, the bucket it opens, one family of errors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pydantic import BaseModel

API_VERSION = 1
MAX_KEY_BYTES = 1024


class StorageError(Exception):
    """Something about the storage; the message says what a person can do about it and holds no secret."""


class BadSettings(StorageError):
    """The connection's settings, or the operator's, can not work."""


class NotFound(StorageError):
    """There is no such object."""


class NotPermitted(StorageError):
    """The storage refuses this to us."""


class Unreachable(StorageError):
    """The storage does not answer; trying again later may help."""


@dataclass(frozen=True)
class ObjectInfo:
    """What is known of a stored object. `size` is in bytes."""

    key: str
    size: int
    content_type: str


@runtime_checkable
class Bucket(Protocol):
    """A place for objects. Safe to use from several threads. Every method raises only StorageErrors."""

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store an object whole, in place of one of the same key; nobody ever sees half of it."""

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises NotFound."""

    def head(self, key: str) -> ObjectInfo:
        """What is known of an object. Raises NotFound."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects whose key begins with the prefix, by key."""

    def delete(self, key: str) -> None:
        """Remove an object. One that is not there is no error."""


@runtime_checkable
class StorageProvider(Protocol):
    """What a plugin registers. An instance holds no state of any connection."""

    @property
    def api_version(self) -> int:
        """The version of this contract that the plugin was written for."""

    @property
    def name(self) -> str:
        """2 to 31 lower-case letters, digits and underscores; stands in the database, so it never changes."""

    @property
    def label(self) -> str:
        """What people read."""

    @property
    def settings_model(self) -> type[BaseModel]:
        """What a workspace types in, and how it is checked."""

    def open(self, settings: BaseModel, operator: Mapping[str, str]) -> Bucket:
        """Open a bucket for validated settings.

        Arguments:
            settings: an instance of settings_model: what the workspace typed.
            operator: the .ini keys `cwz.storage.<name>.*`: what the operator decided.
        Raises BadSettings.
        """


def check_key(key: str) -> str:
    """The key, when it is one that every provider takes: relative, without empty or dotted parts, 1,024 bytes at most.

    Raises BadSettings for any other.
    """
    parts = key.split("/")
    unsafe = any(part in ("", ".", "..") for part in parts) or "\\" in key or not key.isprintable()
    if unsafe or len(key.encode("utf-8", "replace")) > MAX_KEY_BYTES:
        raise BadSettings("An object's key must be a relative path without empty, '.' or '..' parts")
    return key

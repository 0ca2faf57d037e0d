"""The contract between the application and a storage plugin: a provider, the bucket it opens, one family of errors."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from cwz_web.net.guard import Outbound

API_VERSION = 1
MAX_KEY_BYTES = 1024


class StorageError(Exception):
    """Something about the storage; the message says what a person can do about it and holds no secret."""


class InvalidSettingsError(StorageError):
    """The connection's settings, or the operator's, cannot work."""


class InvalidCredentialsError(StorageError):
    """The storage does not know these credentials."""


class BucketNotFoundError(StorageError):
    """The bucket is not there."""


class ObjectNotFoundError(StorageError):
    """There is no such object."""


class ObjectTooLargeError(StorageError):
    """The object is larger than whoever asks for it takes."""


class ObjectExistsError(StorageError):
    """There is such an object, and it was to be put only if there was none."""


class PermissionDeniedError(StorageError):
    """The storage refuses this to us."""


class ClockSkewError(StorageError):
    """The storage refuses the request because this machine's clock is wrong."""


class StorageUnreachableError(StorageError):
    """The storage does not answer; trying again later may help."""


class StorageThrottledError(StorageUnreachableError):
    """The storage wants fewer requests; trying again later helps."""


class BlockedAddressError(StorageError):
    """The storage's address leads where no request of ours may go."""


class Capability(StrEnum):
    """What a provider's buckets can do besides the basics."""

    RANGE = "range"  # read a part of an object
    MULTIPART = "multipart"  # put a large stream in parts
    PRESIGNED_GET = "presigned-get"
    PRESIGNED_PUT = "presigned-put"
    PUBLIC_URL = "public-url"  # an object has an address that works without a signature


class Fields(BaseModel):
    """What a workspace types in for a connection. The form is made of it: of a field's title, description and examples.

    A pattern in it ends with `\\Z`, never with `$`, which lets a line break through.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)


@dataclass(frozen=True)
class ObjectInfo:
    """What is known of a stored object. `size` is in bytes; a list tells key and size for certain, `head` the rest."""

    key: str
    size: int
    content_type: str = "application/octet-stream"
    cache_control: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Bucket(Protocol):
    """A place for objects. Safe to use from several threads. Every method raises only StorageErrors.

    What a bucket cannot do, it refuses with InvalidSettingsError; its provider's capabilities say what that is.
    """

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
        """Store an object whole, in place of one of the same key; nobody ever sees half of it.

        Arguments:
            body: bytes, or a file that is read to its end.
            metadata: names of small letters, digits and hyphens; values in ASCII.
            if_absent: raise ObjectExistsError instead of replacing one.
        """

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """The object's bytes, or, with RANGE, `length` of them from `start` (fewer where it ends). Raises ObjectNotFoundError."""

    def stream(self, key: str) -> Iterator[bytes]:
        """The object's bytes in parts, of which only one is held. Raises ObjectNotFoundError before the first one."""

    def head(self, key: str) -> ObjectInfo:
        """What is known of an object. Raises ObjectNotFoundError."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects whose key begins with the prefix, by key, however many there are."""

    def delete(self, key: str) -> None:
        """Remove an object. One that is not there is no error."""

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove objects, however many."""

    def presign_get(self, key: str, seconds: int) -> str:
        """A URL that reads the object, for so many seconds, for whoever has it."""

    def presign_put(self, key: str, seconds: int, *, content_type: str) -> str:
        """A URL that stores the object by HTTP PUT with this Content-Type, for so many seconds."""

    def public_url(self, key: str) -> str:
        """The object's address without a signature; whether it is open is the bucket's own affair."""


class ReadWriteBucket(Protocol):
    """As much of a Bucket as rendering needs."""

    def stream(self, key: str) -> Iterator[bytes]:
        """As in Bucket."""

    def head(self, key: str) -> ObjectInfo:
        """As in Bucket."""

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """As in Bucket, for a key that `head` did not find."""


def read_at_most(bucket: ReadWriteBucket, key: str, most: int) -> bytes:
    """An object of so many bytes at most: the bucket is the customer's, and what lies there may be anything by now.

    Raises ObjectTooLargeError, ObjectNotFoundError, and the storage's other errors.
    """
    parts, size = [], 0
    for part in bucket.stream(key):
        parts.append(part)
        size += len(part)
        if size > most:
            raise ObjectTooLargeError(
                f"What lies in the storage in the place of an image is larger than {most // 1024**2} MB"
            )
    return b"".join(parts)


class BasicBucket(ABC):
    """What a bucket can do without knowing how: derive from it, and write the rest of Bucket."""

    @abstractmethod
    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """As in Bucket."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """As in Bucket."""

    def stream(self, key: str) -> Iterator[bytes]:
        """The object in one part. What can send more than small ones does better."""
        return iter([self.get(key)])

    def delete_many(self, keys: Iterable[str]) -> None:
        """One after the other."""
        for key in keys:
            self.delete(key)

    def presign_get(self, key: str, seconds: int) -> str:
        """Refused."""
        raise not_able("give signed addresses")

    def presign_put(self, key: str, seconds: int, *, content_type: str) -> str:
        """Refused."""
        raise not_able("take uploads by a signed address")

    def public_url(self, key: str) -> str:
        """Refused."""
        raise not_able("give public addresses")


@dataclass(frozen=True)
class Opening:
    """Everything that a bucket is opened with.

    Arguments:
        settings, credentials: instances of the provider's two models.
        operator: the .ini keys `cwz.storage.<name>.*`: what the operator decided.
        outbound: the only way out: connections that are checked (see `cwz_web.net.guard`).
    """

    settings: BaseModel
    credentials: BaseModel
    operator: Mapping[str, str]
    outbound: Outbound


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
    def icon(self) -> str:
        """The name of an icon of `lucide-static`."""

    @property
    def help_url(self) -> str:
        """Where it is said how to find the values; may be empty."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What its buckets can do."""

    @property
    def settings_model(self) -> type[BaseModel]:
        """What a workspace types in that may be shown again."""

    @property
    def credentials_model(self) -> type[BaseModel]:
        """What a workspace types in that is never shown again: its fields are SecretStr."""

    def hosts(self, settings: BaseModel, operator: Mapping[str, str]) -> Iterable[str]:
        """Every host that a bucket of these settings may talk to, as `host` (port 443) or `host:port`."""

    def open(self, opening: Opening) -> Bucket:
        """Open a bucket. Asks the network nothing yet. Raises InvalidSettingsError, or InvalidCredentialsError."""


def check_key(key: str) -> str:
    """The key, when it is one that every provider takes: relative, without empty or dotted parts, 1,024 bytes at most.

    Raises InvalidSettingsError for any other.
    """
    parts = key.split("/")
    unsafe = any(part in ("", ".", "..") for part in parts) or "\\" in key or not key.isprintable()
    if unsafe or len(key.encode("utf-8", "replace")) > MAX_KEY_BYTES:
        raise InvalidSettingsError("An object's key must be a relative path without empty, '.' or '..' parts")
    return key


def not_able(what: str) -> InvalidSettingsError:
    """The refusal of something that a provider does not declare."""
    return InvalidSettingsError(f"This storage cannot {what}")

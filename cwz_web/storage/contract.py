"""The contract between the application and a storage plugin: provider, bucket, capabilities and errors."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO, ClassVar, Generic, Protocol, TypeVar

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.net.guard import OutboundPolicy
from cwz_web.plugin_fields import Fields

API_VERSION = 1
MAX_KEY_BYTES = 1024
_UNKNOWN_HOST = gettext_noop("The storage's host is unknown, or not on the public internet")

SettingsT = TypeVar("SettingsT", bound="Fields")
CredentialsT = TypeVar("CredentialsT", bound="Fields")


class StorageError(Exception):
    """A storage operation failed. The message says what to do about it and holds no secret."""


class InvalidSettingsError(StorageError):
    """The connection's settings, or the operator's, cannot work."""


class InvalidCredentialsError(StorageError):
    """The storage rejects the credentials."""


class BucketNotFoundError(StorageError):
    """The bucket does not exist."""


class ObjectNotFoundError(StorageError):
    """The object does not exist."""


class ObjectTooLargeError(StorageError):
    """The object is larger than the caller reads."""


class ObjectExistsError(StorageError):
    """The object exists already, and the caller passed `if_absent`."""


class PermissionDeniedError(StorageError):
    """The credentials do not allow this operation."""


class UnsupportedOperationError(StorageError):
    """The provider does not declare the capability that this operation needs."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"This storage does not support {operation}")


class ClockSkewError(StorageError):
    """The storage rejects the request because this machine's clock is wrong."""


class StorageUnreachableError(StorageError):
    """The storage does not respond; a retry may help."""


class StorageThrottledError(StorageUnreachableError):
    """The storage limits the request rate; a later retry helps."""


class BlockedAddressError(StorageUnreachableError):
    """The storage's host is undeclared, unknown, or resolves to an address that is not public.

    The message does not say which: internal names must not be found by trying.
    """

    def __init__(self, message: str = _UNKNOWN_HOST) -> None:
        super().__init__(gettext(message))


class Capability(StrEnum):
    """What a provider's buckets support beyond the required operations."""

    RANGE = "range"  # read a part of an object
    MULTIPART = "multipart"  # upload a large stream in parts
    PRESIGNED_GET = "presigned-get"
    PRESIGNED_PUT = "presigned-put"
    PUBLIC_URL = "public-url"  # an object has a URL that works without a signature
    ATTRIBUTES = "attributes"  # objects keep all attributes, and those who fetch them get them as headers


@dataclass(frozen=True)
class ObjectAttributes:
    """What a storage keeps with an object.

    Args:
        content_type: Media type.
        cache_control: The Cache-Control header of the object.
        content_disposition: The Content-Disposition header of the object, in ASCII.
        metadata: Names of lower-case letters, digits and hyphens; values in ASCII.
    """

    content_type: str
    cache_control: str = ""
    content_disposition: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """The attributes without the metadata, as the headers of a response."""
        headers = {
            "Content-Type": self.content_type,
            "Cache-Control": self.cache_control,
            "Content-Disposition": self.content_disposition,
        }
        return {name: value for name, value in headers.items() if value}


@dataclass(frozen=True)
class PresignedUpload:
    """A URL that stores an object by an HTTP PUT with exactly these headers."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class ObjectInfo:
    """Metadata of a stored object. `list` guarantees key and size (in bytes), `head` everything.

    `content_disposition` is that of `put_object`.
    """

    key: str
    size: int
    content_type: str = "application/octet-stream"
    cache_control: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    content_disposition: str = ""


class ReadBucket(Protocol):
    """The part of Bucket that reads an object."""

    def stream(self, key: str) -> Iterator[bytes]:
        """See Bucket.stream."""


class Bucket(ABC):
    """Objects by key. Thread-safe. Every method raises StorageErrors only.

    A subclass implements `put`, `get`, `head`, `list` and `delete`, and whatever else its provider declares. The
    operations of an undeclared capability raise UnsupportedOperationError.
    """

    @abstractmethod
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
        """Store an object atomically, replacing one of the same key.

        Args:
            key: See `check_key`.
            body: The content, or a file that is read to its end.
            content_type: Media type.
            cache_control: The Cache-Control header of the object.
            metadata: Names of lower-case letters, digits and hyphens; values in ASCII.
            if_absent: Raise ObjectExistsError instead of replacing an object.
        """

    @abstractmethod
    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Return an object's bytes; with RANGE, at most `length` bytes from offset `start`.

        Raises:
            ObjectNotFoundError: There is no such object.
        """

    @abstractmethod
    def head(self, key: str) -> ObjectInfo:
        """Return an object's metadata.

        Raises:
            ObjectNotFoundError: There is no such object.
        """

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Return all objects whose key begins with the prefix, sorted by key."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete an object. A missing object is not an error."""

    def put_object(self, key: str, body: bytes, attributes: ObjectAttributes) -> None:
        """Store an object with all its attributes, as `put` does. Override it with the capability ATTRIBUTES.

        By default, the Content-Disposition is left out.
        """
        self.put(
            key,
            body,
            content_type=attributes.content_type,
            cache_control=attributes.cache_control,
            metadata=attributes.metadata,
        )

    def stream(self, key: str) -> Iterator[bytes]:
        """Return an object's bytes in parts. Override it where objects can be large.

        Raises:
            ObjectNotFoundError: There is no such object; raised by the call, before the first part is read.
        """
        return iter([self.get(key)])

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete any number of objects. Override it where the storage has a bulk operation."""
        for key in keys:
            self.delete(key)

    def presign_get(self, key: str, seconds: int) -> str:
        """Return a URL that reads the object without credentials for so many seconds."""
        raise UnsupportedOperationError("presigned URLs")

    def presign_put(self, key: str, seconds: int, *, content_type: str) -> str:
        """Return a URL that stores the object by an HTTP PUT with this Content-Type."""
        raise UnsupportedOperationError("presigned uploads")

    def presign_upload(self, key: str, seconds: int, attributes: ObjectAttributes) -> PresignedUpload:
        """Return a URL that stores the object with all its attributes. Override it with the capability ATTRIBUTES.

        By default, only the Content-Type is stored.
        """
        url = self.presign_put(key, seconds, content_type=attributes.content_type)
        return PresignedUpload(url, {"Content-Type": attributes.content_type})

    def public_url(self, key: str) -> str:
        """Return the object's unsigned URL. Whether it is public depends on the bucket's own access rules."""
        raise UnsupportedOperationError("public URLs")


@dataclass(frozen=True)
class BucketContext(Generic[SettingsT, CredentialsT]):
    """What `StorageProvider.open` gets.

    Args:
        settings: An instance of the provider's `settings_model`.
        credentials: An instance of the provider's `credentials_model`.
        operator: The .ini settings `cwz.storage.<provider>.*`, without that prefix.
        outbound: The only way to the network; see `cwz_web.net.guard`.
    """

    settings: SettingsT
    credentials: CredentialsT
    operator: Mapping[str, str]
    outbound: OutboundPolicy


class StorageProvider(ABC, Generic[SettingsT, CredentialsT]):
    """What a plugin registers. An instance holds no state of a connection.

    Attributes:
        api_version: The version of this contract that the plugin was written for.
        name: 2 to 31 lower-case letters, digits and underscores. It is stored in the database: never change it.
        label: The provider's name in the interface.
        icon: The name of an icon of lucide.dev.
        help_url: A page that explains where to find the settings and credentials.
        public_access_advice: What to do in the storage so that everyone can read its objects, as a sentence without a
            full stop. The connection test says it if the public URL of a connection refuses access.
        capabilities: What its buckets support.
        settings_model: What a workspace enters and may see again.
        credentials_model: What a workspace enters and never sees again: its fields are SecretStr.
    """

    api_version: ClassVar[int]
    name: ClassVar[str]
    label: ClassVar[str]
    icon: ClassVar[str] = "hard-drive"
    help_url: ClassVar[str] = ""
    public_access_advice: ClassVar[str] = ""
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    settings_model: type[SettingsT]
    credentials_model: type[CredentialsT]

    def hosts(self, settings: SettingsT, operator: Mapping[str, str]) -> Iterable[str]:
        """Return every host that such a bucket connects to; none by default.

        A host is `host` (port 443) or `host:port`.
        """
        return ()

    @abstractmethod
    def open(self, context: BucketContext[SettingsT, CredentialsT]) -> Bucket:
        """Open a bucket without a network request.

        Raises:
            InvalidSettingsError: The settings cannot work.
            InvalidCredentialsError: The credentials cannot be read.
        """


def check_key(key: str) -> str:
    """Return the key if every provider supports it.

    Such a key is a relative path without empty or dotted parts, of at most 1,024 bytes.

    Raises:
        InvalidSettingsError: Any other key.
    """
    parts = key.split("/")
    is_unsafe = any(part in ("", ".", "..") for part in parts) or "\\" in key or not key.isprintable()
    if is_unsafe or len(key.encode("utf-8", "replace")) > MAX_KEY_BYTES:
        raise InvalidSettingsError("An object's key must be a relative path without empty, '.' or '..' parts")
    return key


def read_at_most(bucket: ReadBucket, key: str, max_bytes: int) -> bytes:
    """Return an object of limited size.

    The bucket is the customer's: anything may have replaced the object.

    Raises:
        ObjectTooLargeError: The object has more than `max_bytes`.
        ObjectNotFoundError: There is no such object.
    """
    parts, size = [], 0
    for part in bucket.stream(key):
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            raise ObjectTooLargeError(
                gettext("The stored object is larger than %(size)s MB", size=max_bytes // 1024**2)
            )
    return b"".join(parts)


def find_size(bucket: Bucket, key: str) -> int | None:
    """Return the size of an object in bytes, or None if it does not exist."""
    try:
        return bucket.head(key).size
    except ObjectNotFoundError:
        return None

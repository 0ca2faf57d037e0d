"""Storage: where a workspace keeps its images. Each provider is a plugin.

A plugin imports only what is exported here, `cwz_web.storage.http`, and in its tests `cwz_web.storage.testing`;
docs/storage-plugins.md is its guide. Modules: the contract (`contract.py`), the hook (`hookspecs.py`), a client for
HTTP storage (`http.py`), the registry of installed providers (`plugins.py`), a workspace's connections (`models.py`,
`connections.py`), the headers of images (`image_objects.py`), public URLs (`public_urls.py`), the connection test
(`connection_test.py`, nightly in `tasks.py`), and uploads (`uploads.py`).
"""

from cwz_web.net.guard import OutboundPolicy
from cwz_web.plugin_fields import Fields
from cwz_web.storage.contract import (
    API_VERSION,
    BlockedAddressError,
    Bucket,
    BucketContext,
    BucketNotFoundError,
    Capability,
    ClockSkewError,
    InvalidCredentialsError,
    InvalidSettingsError,
    ObjectAttributes,
    ObjectExistsError,
    ObjectInfo,
    ObjectNotFoundError,
    ObjectTooLargeError,
    PermissionDeniedError,
    PresignedUpload,
    StorageError,
    StorageProvider,
    StorageThrottledError,
    StorageUnreachableError,
    UnsupportedOperationError,
    check_key,
)
from cwz_web.storage.hookspecs import hookimpl

__all__ = [
    "API_VERSION",
    "BlockedAddressError",
    "Bucket",
    "BucketContext",
    "BucketNotFoundError",
    "Capability",
    "ClockSkewError",
    "Fields",
    "InvalidCredentialsError",
    "InvalidSettingsError",
    "ObjectAttributes",
    "ObjectExistsError",
    "ObjectInfo",
    "ObjectNotFoundError",
    "ObjectTooLargeError",
    "OutboundPolicy",
    "PermissionDeniedError",
    "PresignedUpload",
    "StorageError",
    "StorageProvider",
    "StorageThrottledError",
    "StorageUnreachableError",
    "UnsupportedOperationError",
    "check_key",
    "hookimpl",
]

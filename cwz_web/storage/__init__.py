"""Storage: where a workspace keeps its images. Providers are plugins; this package knows none by name.

A plugin needs only what is exported here, and its tests `cwz_web.storage.testing`. In: the contract (`contract.py`),
the hook (`hookspecs.py`), the manager that finds plugins (`plugins.py`), a workspace's connections (`models.py`,
`connections.py`), the test of a connection (`trial.py`). docs/storage-plugins.md says how to write a plugin.
"""

from cwz_web.net.guard import Outbound
from cwz_web.storage.contract import (
    API_VERSION,
    BasicBucket,
    BlockedAddressError,
    Bucket,
    BucketNotFoundError,
    Capability,
    ClockSkewError,
    Fields,
    InvalidCredentialsError,
    InvalidSettingsError,
    ObjectExistsError,
    ObjectInfo,
    ObjectNotFoundError,
    ObjectTooLargeError,
    Opening,
    PermissionDeniedError,
    StorageError,
    StorageProvider,
    StorageThrottledError,
    StorageUnreachableError,
    check_key,
    not_able,
)
from cwz_web.storage.hookspecs import hookimpl

__all__ = [
    "API_VERSION",
    "ObjectExistsError",
    "InvalidCredentialsError",
    "InvalidSettingsError",
    "BasicBucket",
    "Bucket",
    "Capability",
    "ClockSkewError",
    "Fields",
    "BucketNotFoundError",
    "ObjectNotFoundError",
    "PermissionDeniedError",
    "ObjectInfo",
    "Opening",
    "Outbound",
    "StorageError",
    "StorageProvider",
    "StorageThrottledError",
    "ObjectTooLargeError",
    "StorageUnreachableError",
    "BlockedAddressError",
    "check_key",
    "hookimpl",
    "not_able",
]

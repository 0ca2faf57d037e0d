"""Storage: where a workspace keeps its pictures. Providers are plugins; this package knows none by name.

A plugin needs only what is exported here. In: the contract (`contract.py`), the hook (`hookspecs.py`), the manager that
finds plugins (`plugins.py`), a workspace's connections (`models.py`, `connections.py`).
"""

from cwz_web.storage.contract import (
    API_VERSION,
    BadSettings,
    Bucket,
    NotFound,
    NotPermitted,
    ObjectInfo,
    StorageError,
    StorageProvider,
    Unreachable,
    check_key,
)
from cwz_web.storage.hookspecs import hookimpl

__all__ = [
    "API_VERSION",
    "BadSettings",
    "Bucket",
    "NotFound",
    "NotPermitted",
    "ObjectInfo",
    "StorageError",
    "StorageProvider",
    "Unreachable",
    "check_key",
    "hookimpl",
]

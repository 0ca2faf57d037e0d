"""The hook of a storage plugin, and the marker that implements it."""

from collections.abc import Iterable
from typing import Any

import pluggy

from cwz_web.storage.contract import StorageProvider

PROJECT = "cwz.storage"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def cwz_storage_providers() -> Iterable[StorageProvider[Any, Any]]:  # type: ignore[empty-body]
    """Return the storage providers of this plugin."""

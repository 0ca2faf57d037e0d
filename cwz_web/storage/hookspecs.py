"""The one hook of a storage plugin, and the marker for implementing it."""

from collections.abc import Iterable

import pluggy

from cwz_web.storage.contract import StorageProvider

PROJECT = "cwz.storage"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def cwz_storage_providers() -> Iterable[StorageProvider]:  # type: ignore[empty-body]
    """The storage providers that this plugin brings."""

"""A least-recently-used cache that is limited by the bytes of its values, not by their number."""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

import cachetools

V = TypeVar("V")

# The size that is assumed for an entry beside its pixels: its key and its objects.
ENTRY_BYTES = 1024


class ByteCache(Generic[V]):
    """A cache of bytes, or of objects that have an `nbytes`. Safe for several threads.

    Args:
        max_bytes: the limit for all values together. A larger value is not cached at all.
    """

    def __init__(self, max_bytes: int) -> None:
        self._values: cachetools.LRUCache[Hashable, V] = cachetools.LRUCache(max_bytes, getsizeof=_size_of)
        self._lock = Lock()

    def get(self, key: Hashable) -> V | None:
        """Return the cached value, or None."""
        with self._lock:
            return self._values.get(key)

    def put(self, key: Hashable, value: V) -> V:
        """Cache a value, and return it."""
        with self._lock:
            if _size_of(value) <= self._values.maxsize:
                self._values[key] = value
        return value

    def get_or_create(self, key: Hashable, create: Callable[[], V]) -> V:
        """Return the cached value; create and cache it first if there is none.

        Two threads that miss the same key at once both create the value.
        """
        value = self.get(key)
        return value if value is not None else self.put(key, create())


def _size_of(value: object) -> int:
    return (len(value) if isinstance(value, bytes) else int(getattr(value, "nbytes", 0))) + ENTRY_BYTES

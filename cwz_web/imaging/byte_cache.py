"""Remembering what was made, up to a number of bytes; the least recently used goes first. Safe for several threads."""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, Generic, TypeVar

import cachetools

F = TypeVar("F", bound=Callable[..., Any])
V = TypeVar("V")

NOTHING_BYTES = 64  # what an entry without pixels is taken for


class ByteCache(Generic[V]):
    """Values by key: bytes, or what tells its size by `nbytes`; one larger than all of the memory is not kept."""

    def __init__(self, max_bytes: int) -> None:
        self._kept: cachetools.LRUCache[Hashable, V] = cachetools.LRUCache(max_bytes, getsizeof=size_of)
        self._lock = Lock()

    def get(self, key: Hashable) -> V | None:
        """What is remembered, if it still is."""
        with self._lock:
            return self._kept.get(key)

    def keep(self, key: Hashable, value: V) -> V:
        """Remember a value, and give it back."""
        with self._lock:
            if size_of(value) <= self._kept.maxsize:
                self._kept[key] = value
        return value


def remembered(max_bytes: int) -> Callable[[F], F]:
    """Decorate a function of hashable arguments, so that its results are remembered."""
    cache: cachetools.LRUCache[Any, Any] = cachetools.LRUCache(max_bytes, getsizeof=size_of)
    decorator: Callable[[F], F] = cachetools.cached(cache, lock=Lock())  # type: ignore[assignment]
    return decorator


def size_of(value: object) -> int:
    """How many bytes a value takes, roughly."""
    return (len(value) if isinstance(value, bytes) else int(getattr(value, "nbytes", 0))) + NOTHING_BYTES

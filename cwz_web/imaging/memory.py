"""Remembering what a function gave, up to a number of bytes."""

from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

import cachetools

F = TypeVar("F", bound=Callable[..., Any])

NOTHING_BYTES = 64  # what an entry without pixels is taken for


def remembered(max_bytes: int) -> Callable[[F], F]:
    """Decorate a function of hashable arguments whose results know their `nbytes`. Safe for several threads."""
    cache: cachetools.LRUCache[Any, Any] = cachetools.LRUCache(
        max_bytes, getsizeof=lambda value: getattr(value, "nbytes", 0) + NOTHING_BYTES
    )
    decorator: Callable[[F], F] = cachetools.cached(cache, lock=Lock())  # type: ignore[assignment]
    return decorator

"""Answers that take long: only so many at once, so that threads are left for everybody else's.

A download holds its thread for as long as it takes, and that is up to whoever downloads it: eight slow ones would keep
a web process of eight threads from answering anybody. What is kept in a file needs no place while it is sent, for
waitress sends files by itself.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

# Of the eight threads that the .ini files have.
PLACES = 4
PLACES_EACH = 2


class StreamLimitError(Exception):
    """As many as there may be at once."""


class StreamLimiter:
    """The places of a process. Safe to use from several threads."""

    def __init__(self, places: int = PLACES, each: int = PLACES_EACH) -> None:
        self._places, self._each = places, each
        self._taken: Counter[UUID] = Counter()
        # Taken again by its own thread when the collector lets go of a body in the middle of `_take`.
        self._lock = threading.RLock()

    @contextmanager
    def place(self, workspace_id: UUID, *, when: bool = True) -> Iterator[None]:
        """A place for as long as the block takes, when that is long. Raises StreamLimitError."""
        if not when:
            yield
            return
        self._take(workspace_id)
        try:
            yield
        finally:
            self._give_back(workspace_id)

    def sent(self, workspace_id: UUID, parts: Iterator[bytes]) -> Iterator[bytes]:
        """The parts of a body, with a place until the last is sent or nobody takes them any more. Raises StreamLimitError."""
        self._take(workspace_id)
        return _Parts(self, workspace_id, parts)

    def _take(self, workspace_id: UUID) -> None:
        with self._lock:
            if self._taken.total() >= self._places or self._taken[workspace_id] >= self._each:
                raise StreamLimitError
            self._taken[workspace_id] += 1

    def _give_back(self, workspace_id: UUID) -> None:
        with self._lock:
            self._taken[workspace_id] -= 1
            if not self._taken[workspace_id]:
                del self._taken[workspace_id]


class _Parts:
    """What the server goes through and closes; one that it never gets, since an error came between, is let go of."""

    def __init__(self, answers: StreamLimiter, workspace_id: UUID, parts: Iterator[bytes]) -> None:
        self._answers, self._parts = answers, parts
        self._workspace_id: UUID | None = workspace_id

    def __iter__(self) -> "_Parts":
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """Give the place back, once, and let go of where the parts come from."""
        workspace_id, self._workspace_id = self._workspace_id, None
        if workspace_id is not None:
            self._answers._give_back(workspace_id)
        close = getattr(self._parts, "close", None)  # as servers do (PEP 3333)
        if close is not None:
            close()

    __del__ = close

"""A limit on concurrent slow requests, so that threads remain for all others.

A slow request counts many rows, copies a large object, or waits for the identity provider of a workspace. Sending a
file to a slow client is no such request: waitress sends files without occupying a thread.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

# The .ini files configure eight threads.
MAX_SLOW_REQUESTS = 4
MAX_PER_WORKSPACE = 2


class SlowRequestLimitError(Exception):
    """The limit on concurrent slow requests is reached."""


class SlowRequestLimiter:
    """Counts the slow requests of a process, in total and by workspace. Thread-safe."""

    def __init__(self, total: int = MAX_SLOW_REQUESTS, per_workspace: int = MAX_PER_WORKSPACE) -> None:
        self._total, self._per_workspace = total, per_workspace
        self._running: Counter[UUID] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def slot(self, workspace_id: UUID, *, when: bool = True) -> Iterator[None]:
        """Occupy a slot while the block runs.

        Args:
            when: Whether the block is slow; if not, it needs no slot.

        Raises:
            SlowRequestLimitError: No slot is free.
        """
        if not when:
            yield
            return
        with self._lock:
            if self._running.total() >= self._total or self._running[workspace_id] >= self._per_workspace:
                raise SlowRequestLimitError
            self._running[workspace_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[workspace_id] -= 1
                if not self._running[workspace_id]:
                    del self._running[workspace_id]

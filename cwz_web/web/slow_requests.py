"""A limit on concurrent slow requests, so that threads remain for all others.

A slow request counts many rows, or copies a large object. Sending a file to a slow client is no such request: waitress
sends files without occupying a thread. Requests that wait for other servers have a limit of their own (outbound.py).
"""

import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

# The .ini files configure 24 threads.
MAX_SLOW_REQUESTS = 4
MAX_PER_WORKSPACE = 2
# Images that are rendered for strangers with a link; a browser loads six at once.
MAX_SHARED_IMAGES = 8
MAX_SHARED_IMAGES_PER_NETWORK = 6
# Large feeds that are sent without compression: each occupies the disk until its reader has it.
MAX_UNPACKED_FEEDS = 4
# Requests that wait for the end of a run.
MAX_WAITING, MAX_WAITING_PER_WORKSPACE = 3, 2


class SlowRequestLimitError(Exception):
    """The limit on concurrent slow requests is reached."""


class SlowRequestLimiter:
    """Counts the slow requests of a process, in total and by caller. Thread-safe."""

    def __init__(self, total: int = MAX_SLOW_REQUESTS, per_caller: int = MAX_PER_WORKSPACE) -> None:
        self._total, self._per_caller = total, per_caller
        self._running = 0
        self._by_caller: Counter[Hashable] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def slot(self, *callers: Hashable, when: bool = True) -> Iterator[None]:
        """Occupy a slot while the block runs.

        Args:
            callers: Whose slots are limited: a workspace, or several callers at once.
            when: Whether the block is slow; if not, it needs no slot.

        Raises:
            SlowRequestLimitError: No slot is free.
        """
        if not when:
            yield
            return
        with self._lock:
            if self._running >= self._total or any(self._by_caller[key] >= self._per_caller for key in callers):
                raise SlowRequestLimitError
            self._running += 1
            self._by_caller.update(callers)
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._by_caller -= Counter(callers)  # without what is 0 then

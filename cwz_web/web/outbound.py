"""A limit on concurrent requests that wait for other servers, so that threads remain for all others.

A server that never answers would otherwise occupy a thread for each request that asks it: photos of on-demand images,
tests of feeds and storage, identity providers, Stripe, Slack. A request holds one slot, however many servers it asks;
beyond the limit, it is refused at once (503, `Retry-After`). Workers have no requests, and no limit here.

A server that a tenant names, and that keeps requests waiting, is left alone for a while: otherwise strangers could
occupy all slots with it, time after time.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import cachetools
from pyramid.threadlocal import get_current_request

from cwz_web.web.rate_limit_subjects import find_subjects
from cwz_web.web.request import Request
from cwz_web.web.slow_requests import SlowRequestLimiter, SlowRequestLimitError

# The .ini files configure 24 threads.
MAX_OUTBOUND_REQUESTS = 16
MAX_PER_CALLER = 8
MAX_PER_TARGET = 4
# A target that kept a request waiting for so long is left alone for so long.
SLOW_SECONDS = 3.0
REST_SECONDS = 30
MAX_TARGETS = 1000
# Whose requests count together.
CALLERS = ("workspace", "network")


class OutboundRequests:
    """Counts the requests of a process that wait for other servers: in total, by workspace, network and target."""

    def __init__(self) -> None:
        self._callers = SlowRequestLimiter(MAX_OUTBOUND_REQUESTS, MAX_PER_CALLER)
        self._targets = SlowRequestLimiter(MAX_OUTBOUND_REQUESTS, MAX_PER_TARGET)
        # Not a cache of data, but a circuit breaker.
        self._resting: cachetools.TTLCache[str, None] = cachetools.TTLCache(MAX_TARGETS, REST_SECONDS)
        self._lock = threading.Lock()

    @contextmanager
    def slot(self, target: str | None = None) -> Iterator[None]:
        """Occupy a slot while the block runs, unless the current request has one.

        The current request is looked up: what fetches is far below the view, and knows no request.

        Args:
            target: The server, with the workspace that names it, if a stranger can cause the request.

        Raises:
            SlowRequestLimitError: No slot is free, or the target was slow a moment ago.
        """
        request: Request | None = get_current_request()
        if request is None or request.has_outbound_slot:
            yield
            return
        with ExitStack() as slots:
            slots.enter_context(self._callers.slot(*find_subjects(request, CALLERS).items()))
            if target is not None:
                slots.enter_context(self._target_slot(target))
            request.has_outbound_slot = True
            try:
                yield
            finally:
                request.has_outbound_slot = False

    @contextmanager
    def _target_slot(self, target: str) -> Iterator[None]:
        with self._lock:
            if target in self._resting:
                raise SlowRequestLimitError
        started = time.monotonic()
        try:
            with self._targets.slot(target):
                yield
        finally:
            if time.monotonic() - started > SLOW_SECONDS:
                with self._lock:
                    self._resting[target] = None

"""A limit on concurrent requests that wait for other servers, so that threads remain for all others.

A server that never answers would otherwise occupy a thread for each request that asks it: photos of on-demand images,
tests of feeds and storage, identity providers, Stripe, Slack. A request holds one place, however many servers it asks;
beyond the limit, it is refused at once (503, `Retry-After`). Workers have no requests, and no limit here.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from pyramid.threadlocal import get_current_request

from cwz_web.web.rate_limit_subjects import find_subjects
from cwz_web.web.request import Request
from cwz_web.web.slow_requests import SlowRequestLimiter

# The .ini files configure 24 threads.
MAX_OUTBOUND_REQUESTS = 16
MAX_PER_CALLER = 8
# Whose requests count together.
CALLERS = ("workspace", "network")


class OutboundRequests:
    """Counts the requests of a process that wait for other servers, in total, by workspace and by network."""

    def __init__(self) -> None:
        self._limiter = SlowRequestLimiter(MAX_OUTBOUND_REQUESTS, MAX_PER_CALLER)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Occupy a place while the block runs, unless the current request has one.

        The current request is looked up: what fetches is far below the view, and knows no request.

        Raises:
            SlowRequestLimitError: No place is free.
        """
        request: Request | None = get_current_request()
        if request is None or request.has_outbound_place:
            yield
            return
        with self._limiter.slot(*find_subjects(request, CALLERS).items()):
            request.has_outbound_place = True
            try:
                yield
            finally:
                request.has_outbound_place = False

"""Transports that send a request again after a failure that passes.

Every POST has an `Idempotency-Key`, and the other methods are idempotent: to send a request twice does its work once.
A body that is read from a file or a generator is sent once, since it is not in memory.
"""

import asyncio
import random
import time
import uuid
from dataclasses import dataclass

import httpx

from connectwyze.errors import read_problem

IDEMPOTENCY_KEY = "Idempotency-Key"
# 429 and 503 say when to try again; 502 and 504 come from proxies.
PASSING_STATUSES = frozenset({429, 502, 503, 504})
FIRST_WAIT = 0.5

Outcome = httpx.Response | httpx.TransportError


@dataclass(frozen=True)
class RetryPolicy:
    """When a request is sent again.

    Args:
        retries: how many times at most.
        max_wait: the longest wait between two attempts, in seconds; if the server asks for a longer one, its response
            is the result.
    """

    retries: int = 4
    max_wait: float = 60.0

    def wait_after(self, attempt: int, request: httpx.Request, outcome: Outcome) -> float | None:
        """Return the seconds to wait until a request is sent again; None if the outcome is its result.

        Args:
            attempt: the number of the attempt, from 0.
            request: the request.
            outcome: the response, read already, or why there was none.
        """
        if attempt >= self.retries or not _is_in_memory(request):
            return None
        if isinstance(outcome, httpx.Response):
            if not _may_pass(attempt, outcome):
                return None
            stated: str = outcome.headers.get(
                "Retry-After", ""
            )  # RFC 9110, section 10.2.3; the API does not send dates
            if stated.isascii() and stated.isdigit():
                return float(stated) if float(stated) <= self.max_wait else None
        return min(self.max_wait, FIRST_WAIT * 2.0**attempt) * random.uniform(0.5, 1.0)  # noqa: S311


class RetryTransport(httpx.BaseTransport):
    """A transport that sends requests again."""

    def __init__(self, transport: httpx.BaseTransport, policy: RetryPolicy) -> None:
        self._transport, self._policy = transport, policy

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, again if needed, and return the last response."""
        _add_idempotency_key(request)
        attempt = 0
        while (wait := self._policy.wait_after(attempt, request, outcome := self._send(request))) is not None:
            time.sleep(wait)
            attempt += 1
        return _result(outcome)

    def _send(self, request: httpx.Request) -> Outcome:
        try:
            response = self._transport.handle_request(request)
            if not response.is_success:
                response.read()
        except httpx.TransportError as error:
            return error
        return response

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


class AsyncRetryTransport(httpx.AsyncBaseTransport):
    """A transport for asyncio that sends requests again."""

    def __init__(self, transport: httpx.AsyncBaseTransport, policy: RetryPolicy) -> None:
        self._transport, self._policy = transport, policy

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, again if needed, and return the last response."""
        _add_idempotency_key(request)
        attempt = 0
        while (wait := self._policy.wait_after(attempt, request, outcome := await self._send(request))) is not None:
            await asyncio.sleep(wait)
            attempt += 1
        return _result(outcome)

    async def _send(self, request: httpx.Request) -> Outcome:
        try:
            response = await self._transport.handle_async_request(request)
            if not response.is_success:
                await response.aread()
        except httpx.TransportError as error:
            return error
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


def _result(outcome: Outcome) -> httpx.Response:
    if isinstance(outcome, httpx.TransportError):
        raise outcome
    return outcome


def _add_idempotency_key(request: httpx.Request) -> None:
    if request.method == "POST" and IDEMPOTENCY_KEY not in request.headers:
        request.headers[IDEMPOTENCY_KEY] = str(uuid.uuid4())


def _is_in_memory(request: httpx.Request) -> bool:
    try:
        request.content  # noqa: B018
    except httpx.RequestNotRead:
        return False
    return True


def _may_pass(attempt: int, response: httpx.Response) -> bool:
    if response.status_code in PASSING_STATUSES:
        return True
    # The connection of an earlier attempt was lost while the server went on with it.
    return attempt > 0 and response.status_code == 409 and read_problem(response).get("code") == "request_in_flight"

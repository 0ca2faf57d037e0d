"""An HTTP client for providers: guarded connections, limits of time and size, retries, and errors of the contract.

Redirects are never followed: a request with credentials goes to the host that the provider has declared, or nowhere.
"""

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, BinaryIO

import requests

from cwz_web.feeds.limits import MAX_BYTES
from cwz_web.feeds.providers.contract import (
    InvalidResponseError,
    SourceContext,
    SourceThrottledError,
    SourceUnreachableError,
)
from cwz_web.i18n import gettext, number
from cwz_web.net.client import BlockedRequestError
from cwz_web.net.guard import is_blocked_error

TIMEOUT = (3, 30)  # seconds to connect, and between two reads
MAX_ANSWER_BYTES = 16 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
# Answers that another attempt may replace (RFC 9110, 6585).
RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
MAX_RETRIES = 6
FIRST_WAIT = 1.0
MAX_WAIT = 60.0
# A page never needs a longer time; a download may take until the deadline.
ANSWER_SECONDS = 60.0
# An endless list of pages ends here.
MAX_REQUESTS = 100_000
HEADERS = {"User-Agent": "ConnectWyze/1", "Accept": "application/json"}


@dataclass(frozen=True)
class Answer:
    """The answer of an API: its status, headers, and JSON (None for a body that is none)."""

    status: int
    headers: Mapping[str, str]
    json: Any


class SourceClient:
    """Sends the requests of one fetch.

    Args:
        context: The fetch.
        service: The name of the service in messages.
        headers: Headers of each request to the API, such as the credentials; downloads do not have them.
        auth: User name and password of HTTP basic authentication.
        throttled_wait: The seconds to wait after a 429 without Retry-After; by default, they grow.
        reset_header: The header of a 429 with the milliseconds to wait, of a service without Retry-After.
    """

    def __init__(
        self,
        context: SourceContext[Any, Any],
        service: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        throttled_wait: float | None = None,
        reset_header: str = "",
    ) -> None:
        self._context, self._service = context, service
        self._throttled_wait, self._reset_header = throttled_wait, reset_header
        self._api = self._session(lambda: min(ANSWER_SECONDS, self.remaining), MAX_ANSWER_BYTES)
        self._api.headers.update({**HEADERS, **(headers or {})})
        self._api.auth = auth
        self._downloads = self._session(lambda: self.remaining, None)
        self._requests = 0

    def _session(self, seconds: Callable[[], float], max_bytes: int | None) -> requests.Session:
        return self._context.outbound.guard(requests.Session(), 1, seconds=seconds, max_bytes=max_bytes)

    @property
    def remaining(self) -> float:
        """The seconds until the deadline; at least a moment, since 0 would mean none."""
        return max(self._context.deadline - time.monotonic(), 0.001)

    def request(self, method: str, url: str, *, is_repeatable: bool = True, **options: Any) -> Answer:
        """Send a request to the API, again after a temporary error.

        Args:
            method: The HTTP method.
            url: The URL.
            is_repeatable: Whether the request may be sent again if it is not known what the first one did. Without it,
                only an answer that says that nothing was done (429) is followed by another attempt.
            options: As `requests.request` takes them: `json`, `params`, `data`, `headers`.

        Returns:
            The answer with any status but those that are retried.

        Raises:
            SourceThrottledError: The service limits the request rate for longer than the fetch may wait.
            SourceUnreachableError: The service does not respond.
            InvalidResponseError: The answer is a redirect, or too large.
        """
        for attempt in range(MAX_RETRIES + 1):
            self._count()
            is_last = attempt == MAX_RETRIES
            try:
                response = self._send(method, url, options)
            except SourceUnreachableError:
                if is_last or self._context.is_preview or not is_repeatable:
                    raise
                self.wait(FIRST_WAIT * 2**attempt)
                continue
            if response.status_code not in RETRIED_STATUSES:
                return Answer(response.status_code, response.headers, parse_json(response.content))
            is_throttled = response.status_code == HTTPStatus.TOO_MANY_REQUESTS
            if is_last or ((self._context.is_preview or not is_repeatable) and not is_throttled):
                break
            self.wait(self._seconds_to_wait(response, attempt, is_throttled=is_throttled))
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise self.throttled_error()
        raise SourceUnreachableError(
            gettext(
                "%(service)s has an internal error (HTTP %(status)s); try again later",
                service=self._service,
                status=response.status_code,
            )
        )

    def wait(self, seconds: float) -> None:
        """Wait, unless that would exceed the deadline. Raises SourceThrottledError."""
        seconds = min(max(seconds, 0.0), MAX_WAIT)
        if seconds >= self.remaining:
            raise self.throttled_error()
        self._context.wait(seconds)

    def throttled_error(self) -> SourceThrottledError:
        """Return the error of a service that limits the request rate for longer than the fetch may wait."""
        return SourceThrottledError(
            gettext("%(service)s limits the request rate or is slow; try again later", service=self._service)
        )

    def invalid_response_error(self) -> InvalidResponseError:
        """Return the error of an answer that is not as documented."""
        return InvalidResponseError(
            gettext("The answer of %(service)s is not the expected one; check the settings", service=self._service)
        )

    def download(self, url: str, file: BinaryIO, max_bytes: int = 2 * MAX_BYTES) -> None:
        """Download a file without the credentials. Its host must be declared, as that of any request.

        Raises:
            SourceUnreachableError: The download failed.
            InvalidResponseError: The answer is no file, or too large.
        """
        self._count()
        with (
            self._errors(),
            self._downloads.get(url, timeout=TIMEOUT, allow_redirects=False, stream=True) as response,
        ):
            if response.status_code != HTTPStatus.OK:
                raise self.invalid_response_error()
            size = 0
            for part in response.iter_content(CHUNK_BYTES):
                file.write(part)
                size += len(part)
                if size > max_bytes:
                    raise InvalidResponseError(
                        gettext("The response is larger than %(number)s MB", number=number(max_bytes // 1024**2))
                    )
        file.seek(0)

    def _count(self) -> None:
        self._requests += 1
        if self._requests > MAX_REQUESTS or self._context.deadline <= time.monotonic():
            raise SourceUnreachableError(
                gettext("%(service)s takes too long to send all rows; try again later", service=self._service)
            )

    def _send(self, method: str, url: str, options: Mapping[str, Any]) -> requests.Response:
        with self._errors():
            response = self._api.request(method, url, timeout=TIMEOUT, allow_redirects=False, **options)
        if response.is_redirect or response.is_permanent_redirect:
            raise InvalidResponseError(
                gettext("%(service)s redirects to another URL; enter the final one", service=self._service)
            )
        return response

    def _seconds_to_wait(self, response: requests.Response, attempt: int, *, is_throttled: bool) -> float:
        if (stated := _retry_after(response.headers.get("Retry-After", ""))) is not None:
            return stated
        reset = response.headers.get(self._reset_header, "")
        if re.fullmatch("[0-9]{1,9}", reset):
            return int(reset) / 1000
        if is_throttled and self._throttled_wait is not None:
            return self._throttled_wait
        return FIRST_WAIT * 2.0**attempt

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the errors of `requests` into the contract's, whose texts hold no URL."""
        try:
            yield
        except (BlockedRequestError, requests.RequestException, ValueError) as error:
            if is_blocked_error(error):
                raise SourceUnreachableError(
                    gettext("The host of %(service)s is unknown, or not on the public internet", service=self._service)
                ) from None
            text = gettext("%(service)s does not respond; try again later", service=self._service)
            raise SourceUnreachableError(text) from None


def parse_json(data: bytes) -> Any:
    """Return the JSON of an answer; None for anything else, such as JSON that is nested too deeply."""
    try:
        return json.loads(data, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return None


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not valid JSON")


def _retry_after(value: str) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, section 10.2.3); Shopify sends decimals."""
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return seconds if math.isfinite(seconds) else None
    try:
        return parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None

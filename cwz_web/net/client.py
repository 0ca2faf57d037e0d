"""An HTTP client that resolves a host once, checks every address, and connects to a checked address.

No state of a fetch reaches another one, since all workspaces share the client: there are no cookies and no cached
credentials, and a request with secrets or a body has a connection of its own, which servers may bind a session to.

It is built on httpcore, whose network backend is public API; httpx opens its own connections.
"""

import io
import math
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import urljoin

import certifi
import httpcore
import httpx

from cwz_web.i18n import gettext, gettext_lazy, gettext_noop
from cwz_web.net.content_encoding import ContentEncodingError, decode_body
from cwz_web.net.resolution import Resolver, find_public_address, resolve
from cwz_web.net.urls import MAX_URL_LENGTH, percent_encode

MAX_REDIRECTS = 5
ALLOWED_PORTS = {80, 443}
MAX_HOST_LENGTH = 253
CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0
KEEPALIVE_SECONDS = 15.0
TIMEOUTS = {"connect": CONNECT_SECONDS, "read": READ_SECONDS, "write": READ_SECONDS, "pool": READ_SECONDS}
HEADERS = {"User-Agent": "ConnectWyze/1", "Accept": "*/*", "Accept-Encoding": "identity"}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Only a request with one of these is answered with 304 (RFC 9110, section 15.4.5).
CONDITIONS = frozenset({"if-none-match", "if-modified-since"})
# Request Timeout, Too Early, Too Many Requests (RFC 9110, 8470, 6585), and what servers and proxies answer when they
# are overloaded.
TEMPORARY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
MAX_RETRY_AFTER = 3600.0

# The deadline of the current fetch on the monotonic clock. Connections outlive a fetch, so they look it up here. A
# server that sends a byte every few seconds, in the head or the body, never reaches the timeout between two reads.
_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


# For forms.
INVALID_PORT = gettext_noop("The port must be a number from 1 to 65535")
PUBLIC_ONLY = gettext_noop("This URL cannot be fetched: only public http and https URLs are allowed")
UNKNOWN_HOST = gettext_noop("This URL cannot be fetched: its host is unknown, or not on the public internet")
REDIRECTED_INWARD = gettext_noop("This URL cannot be fetched: it redirects to a URL that is not on the public internet")
TOO_LARGE = gettext_noop("The response is larger than %(number)s MB")


class FetchError(Exception):
    """The URL could not be fetched. The text is for users and reveals nothing of the internal network.

    It is English, since findings are stored with it, and translated where it is shown.

    Attributes:
        is_temporary: whether a later attempt may succeed.
        retry_after: how many seconds the server wants the client to wait.
    """

    is_temporary = False
    retry_after = 0.0


class BlockedRequestError(FetchError):
    """The URL is ambiguous, or leads to a host or address that may not be reached."""

    def __init__(self, message: str = PUBLIC_ONLY) -> None:
        super().__init__(gettext_lazy(message))


class InvalidPortError(BlockedRequestError):
    """The URL has the port 0."""

    def __init__(self) -> None:
        super().__init__(gettext_noop("This URL cannot be fetched: the port must be a number from 1 to 65535"))


class HostUnreachableError(FetchError):
    """The host does not respond; its other URLs would fail, too."""

    is_temporary = True


class UnknownHostError(BlockedRequestError, HostUnreachableError):
    """The host is unknown, or one of its addresses is internal: the message does not say which."""

    def __init__(self, message: str = UNKNOWN_HOST) -> None:
        super().__init__(message)


class ConnectionLimitError(FetchError):
    """Other fetches occupy all connections of this process."""

    is_temporary = True


class ResponseInterruptedError(FetchError):
    """The response began late or ended early."""

    is_temporary = True


class ResponseStatusError(FetchError):
    """The server answered with an error status."""

    def __init__(self, status: int, retry_after: float = 0.0) -> None:
        self.status, self.retry_after = status, retry_after
        self.is_temporary = status in TEMPORARY_STATUSES
        super().__init__(gettext_lazy("The server answered with status %(status)s", status=status))


class RedirectRefusedError(FetchError):
    """A redirect or a next page leads to a host that the caller does not allow.

    Attributes:
        host: The host.
        finding: Where the redirect or the next page leads.
    """

    def __init__(self, host: str, message: str = gettext_noop("The URL redirects to %(host)s")) -> None:
        self.host = host[:MAX_HOST_LENGTH]
        self.finding = gettext(message, host=self.host)
        super().__init__(
            gettext("%(finding)s. Allow this host under Change source, or use the final URL", finding=self.finding)
        )


class ResponseTooLargeError(FetchError):
    """The response is larger than the caller's limit."""


@dataclass(frozen=True)
class FetchedBody:
    """A fetched body, and the validators of the next conditional request.

    `data` is None when the server answered a conditional request with 304, and empty when the body went to a file.
    `is_complete` is False when the caller wanted only the beginning of the body. `is_length_known` is False if the
    server did not state the length of the body, so that it may end early. `links` is the Link header; `content_type`
    and `cache_control` are empty without these headers.
    """

    data: bytes | None
    etag: str | None
    last_modified: str | None
    is_complete: bool = True
    is_length_known: bool = True
    links: str = ""
    content_type: str = ""
    cache_control: str = ""


class _DeadlineStream(httpcore.NetworkStream):
    """A connection whose reads and writes end at the deadline of the current fetch."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        remaining = _deadline.get() - time.monotonic()
        if remaining <= 0:
            raise httpcore.ReadTimeout
        return self._stream.read(max_bytes, min(timeout or READ_SECONDS, remaining))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        remaining = _deadline.get() - time.monotonic()
        if remaining <= 0:
            raise httpcore.WriteTimeout
        self._stream.write(buffer, min(timeout or READ_SECONDS, remaining))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class PinnedBackend(httpcore.SyncBackend):
    """Opens connections to checked addresses only.

    Args:
        allow: `host:port` pairs that the operator allows although they are private.
        resolver: Returns the IP addresses of a host and port.
    """

    def __init__(self, allow: Iterable[str] = (), resolver: Resolver = resolve) -> None:
        self._allow = frozenset(allow)
        self._resolver = resolver

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """Resolve a host, check its IP addresses, and connect to a checked one.

        One internal address among several blocks the host.
        """
        is_allowed = f"{host}:{port}" in self._allow
        if not is_allowed and port not in ALLOWED_PORTS:
            raise BlockedRequestError(gettext_noop("This URL cannot be fetched: only the ports 80 and 443 are allowed"))
        address = find_public_address(self._resolver, host, port, is_allowed=is_allowed)
        if address is None:
            raise UnknownHostError
        return _DeadlineStream(super().connect_tcp(address, port, timeout, local_address, socket_options))

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        """Refuse: a Unix socket is never outbound."""
        raise BlockedRequestError


class Fetcher:
    """Fetches public URLs. Thread-safe. Ignores proxies and credentials of the environment.

    Args:
        allow: `host:port` pairs that the operator allows although they are private.
        resolver: Returns the IP addresses of a host and port.
        admit: Entered for the time of each request; it limits how many run at once, by raising an error of its own.
    """

    def __init__(
        self,
        allow: Iterable[str] = (),
        resolver: Resolver = resolve,
        admit: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._admit = admit
        self._ssl_context = ssl.create_default_context(cafile=certifi.where())
        self._backend = PinnedBackend(allow, resolver)
        self._anonymous = self._create_pool(max_connections=32, max_keepalive=16)

    def close(self) -> None:
        """Close all connections."""
        self._anonymous.close()

    def get(self, url: str, *, max_bytes: int, seconds: float = 20.0) -> bytes:
        """Return the body of a public URL; see `fetch`."""
        return self.fetch(url, max_bytes=max_bytes, seconds=seconds).data or b""

    def post(self, url: str, body: bytes, headers: Mapping[str, str], *, seconds: float) -> int:
        """Send a POST request to a public URL without following redirects, and return the response's status.

        Args:
            url: The URL.
            body: The request's body.
            headers: The request's headers.
            seconds: The limit of the whole request.

        Raises:
            BlockedRequestError: The URL leads inward, or is ambiguous.
            FetchError: The request failed.
        """
        with (
            self._admit(),
            _time_limit(seconds),
            self._create_pool(max_connections=1) as pool,
            _stream(pool, "POST", check_url(url), headers, body) as response,
        ):
            return response.status

    def fetch(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        secret_headers: Mapping[str, str] | None = None,
        file: BinaryIO | None = None,
        max_bytes: int,
        seconds: float,
        stop_after: int | None = None,
        allows_redirect: Callable[[str], bool] | None = None,
    ) -> FetchedBody:
        """Send a GET request to a public URL, following redirects.

        Args:
            url: The URL.
            headers: Headers for every server, also after a redirect.
            secret_headers: Headers for the URL's own origin only.
            file: Receives the body; by default, the body is in the result.
            max_bytes: The largest body.
            seconds: The limit of the whole fetch.
            stop_after: So many bytes of the body suffice, as do fewer that arrived within the time limit.
            allows_redirect: Says whether a redirect may lead to a host, in ASCII; by default, to any.

        Raises:
            BlockedRequestError: The URL or a redirect leads inward, or is ambiguous.
            RedirectRefusedError: `allows_redirect` refused a host.
            ResponseTooLargeError: The body is larger than `max_bytes`.
            FetchError: The fetch failed; the message says why.
        """
        start, origin = url, _origin(check_url(url))
        with self._admit(), _time_limit(seconds), self._select_pool(secret_headers) as pool:
            for _ in range(MAX_REDIRECTS + 1):
                with _explain_redirect(is_redirected=url != start):
                    checked = check_url(url)
                if url != start and allows_redirect is not None and not allows_redirect(ascii_host(checked)):
                    raise RedirectRefusedError(ascii_host(checked))
                if _origin(checked) != origin:
                    secret_headers = None  # not sent again after a detour: the other server has chosen the path
                with (
                    _explain_redirect(is_redirected=url != start),
                    _stream(pool, "GET", checked, {**(headers or {}), **(secret_headers or {})}) as response,
                ):
                    location = _header(response, b"location")
                    if response.status == HTTPStatus.NOT_MODIFIED and not _is_conditional(headers or {}):
                        raise ResponseStatusError(response.status)
                    if response.status not in REDIRECTS or location is None:
                        return _read_result(response, file, max_bytes, stop_after)
                    url = _redirect_target(url, location)
        raise FetchError(gettext_lazy("The URL redirects more than %(number)s times", number=MAX_REDIRECTS))

    def _create_pool(self, max_connections: int, max_keepalive: int = 0) -> httpcore.ConnectionPool:
        return httpcore.ConnectionPool(
            ssl_context=self._ssl_context,
            max_connections=max_connections,
            max_keepalive_connections=max_keepalive,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=self._backend,
        )

    @contextmanager
    def _select_pool(self, secret_headers: Mapping[str, str] | None) -> Iterator[httpcore.ConnectionPool]:
        """Yield the shared pool, or one for this fetch only if it sends secrets."""
        if secret_headers:
            with self._create_pool(max_connections=1) as pool:
                yield pool
        else:
            yield self._anonymous


@contextmanager
def _stream(
    pool: httpcore.ConnectionPool, method: str, url: httpx.URL, headers: Mapping[str, str], body: bytes | None = None
) -> Iterator[httpcore.Response]:
    target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    sent = [(b"Host", url.netloc)]
    sent += [(name.encode(), value.encode()) for name, value in {**HEADERS, **headers}.items()]
    with pool.stream(method, target, headers=sent, content=body, extensions={"timeout": TIMEOUTS}) as response:
        yield response


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Limit the time of the requests inside, and translate their errors. Raises HostUnreachableError."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    except httpcore.ConnectTimeout:
        raise HostUnreachableError(gettext_lazy("The server did not respond in time")) from None
    except httpcore.PoolTimeout:  # no fault of the server
        raise ConnectionLimitError(gettext_lazy("Too many photos and files are fetched at once")) from None
    except httpcore.TimeoutException:
        raise ResponseInterruptedError(gettext_lazy("The server did not respond in time")) from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol):
        raise HostUnreachableError(gettext_lazy("The server could not be reached")) from None
    finally:
        _deadline.reset(token)


def check_url(url: str) -> httpx.URL:
    """Parse a URL. Raises BlockedRequestError for one that two parsers could read as two different hosts."""
    if len(url) > MAX_URL_LENGTH or not url.isascii() or not url.isprintable() or "\\" in url or " " in url:
        raise BlockedRequestError
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise BlockedRequestError from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or "%" in parsed.host:
        raise BlockedRequestError
    if parsed.port == 0:  # httpcore would use the default port, others refuse it
        raise InvalidPortError
    return parsed.copy_with(fragment=None)


def ascii_host(url: httpx.URL) -> str:
    """Return the host of a URL as it is resolved: an international name in Punycode."""
    return url.raw_host.decode("ascii")


@contextmanager
def _explain_redirect(*, is_redirected: bool) -> Iterator[None]:
    """Say that it is a redirect, and not the caller's URL, that leads to a blocked host."""
    try:
        yield
    except UnknownHostError as error:  # temporary: a name server may know the host a minute later
        raise (UnknownHostError(REDIRECTED_INWARD) if is_redirected else error) from None
    except BlockedRequestError as error:
        raise (BlockedRequestError(REDIRECTED_INWARD) if is_redirected else error) from None


def _redirect_target(url: str, location: str) -> str:
    """Return where a redirect leads, with the characters encoded that servers forget to encode."""
    return urljoin(url, percent_encode(location.encode("latin-1")))


def _is_conditional(headers: Mapping[str, str]) -> bool:
    return not CONDITIONS.isdisjoint(map(str.lower, headers))


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _header(response: httpcore.Response, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in response.headers if key.lower() == name), None)


def _read_result(
    response: httpcore.Response, file: BinaryIO | None, max_bytes: int, stop_after: int | None
) -> FetchedBody:
    etag, last_modified = _header(response, b"etag"), _header(response, b"last-modified")
    if response.status == HTTPStatus.NOT_MODIFIED:
        return FetchedBody(None, etag, last_modified)
    if response.status != HTTPStatus.OK:
        raise ResponseStatusError(response.status, _retry_after(_header(response, b"retry-after")))
    memory, length = io.BytesIO(), _header(response, b"content-length")
    if stop_after is None and length and length.isdecimal() and int(length[:20]) > max_bytes:
        raise ResponseTooLargeError(gettext_lazy(TOO_LARGE, number=max_bytes // 1024**2))
    is_complete = _read_body(response, file or memory, max_bytes, stop_after)
    is_length_known = length is not None
    links = ", ".join(value.decode("latin-1") for key, value in response.headers if key.lower() == b"link")
    return FetchedBody(
        memory.getvalue(),
        etag,
        last_modified,
        is_complete,
        is_length_known,
        links,
        content_type=_header(response, b"content-type") or "",
        cache_control=_header(response, b"cache-control") or "",
    )


def _read_body(response: httpcore.Response, body: BinaryIO, max_bytes: int, stop_after: int | None) -> bool:
    """Copy the response's body. Return whether it is complete."""
    size = 0
    try:
        for part in decode_body(response.iter_stream(), _header(response, b"content-encoding")):
            body.write(part)
            size += len(part)
            if size > max_bytes:
                raise ResponseTooLargeError(gettext_lazy(TOO_LARGE, number=max_bytes // 1024**2))
            if stop_after is not None and size >= stop_after:
                return False
            if time.monotonic() > _deadline.get():
                raise httpcore.ReadTimeout
    except httpcore.TimeoutException:
        if stop_after is None or not size:
            raise ResponseInterruptedError(gettext_lazy("The server took too long to send the response")) from None
        return False
    except ContentEncodingError as error:
        raise FetchError(str(error)) from None
    except (httpcore.RemoteProtocolError, EOFError):
        raise ResponseInterruptedError(
            gettext_lazy("The server closed the connection before the end of the response")
        ) from None
    return True


def _retry_after(value: str | None) -> float:
    """Return the seconds of a Retry-After header (RFC 9110, section 10.2.3), 0 without a valid one."""
    if value is None:
        return 0.0
    try:
        seconds = float(value) if value.strip().isdecimal() else _seconds_until(value)
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds_until(date: str) -> float:
    parsed = parsedate_to_datetime(date)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() - time.time()

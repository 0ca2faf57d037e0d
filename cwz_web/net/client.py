"""An HTTP client that resolves a name once, checks every address, and connects to the address that it checked."""

import io
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import urljoin

import certifi
import httpcore
import httpx

from cwz_web.net.addresses import is_public

MAX_REDIRECTS = 5
ALLOWED_PORTS = {80, 443}
CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0

Resolver = Callable[[str, int], list[str]]
# When what this thread fetches has to be over, on the monotonic clock. A server that sends a byte every few seconds,
# as a header or as a body, never times out by itself.
_ends: ContextVar[float] = ContextVar("ends", default=math.inf)


class FetchError(Exception):
    """The address could not be fetched. The message is for people and tells nothing of what lies inside the network."""


class RequestRefusedError(FetchError):
    """An address that is not to be fetched at all."""

    def __init__(self) -> None:
        super().__init__("This address may not be fetched: only public http and https addresses are")


class HostUnreachableError(FetchError):
    """The host does not answer at all; another address there would fare no better."""


class ResponseTooLargeError(FetchError):
    """The answer is larger than was asked for."""


def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a host, by the system's resolver."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True)
class Fetched:
    """What was fetched: the body, or None when it has not changed; and by what the next request can ask for that.

    `whole` is False when only the beginning of the body was wanted, and is there.
    """

    data: bytes | None
    etag: str | None
    last_modified: str | None
    whole: bool = True


class _Timed(httpcore.NetworkStream):
    """A connection on which nothing is waited for longer than the fetch may take."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = _ends.get() - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return self._stream.read(max_bytes, min(timeout or READ_SECONDS, left))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class PinnedBackend(httpcore.SyncBackend):
    """Opens connections for httpcore, to checked addresses only.

    Arguments:
        allow: `host:port` pairs that the operator opened although they are private.
        resolver: host and port to IP addresses.
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
        """Resolve, check, connect. One internal address among several refuses them all."""
        allowed = f"{host}:{port}" in self._allow
        if not allowed and port not in ALLOWED_PORTS:
            raise RequestRefusedError
        try:
            addresses = self._resolver(host, port)
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("unknown host") from None
        if not addresses or not (allowed or all(map(is_public, addresses))):
            raise RequestRefusedError
        return _Timed(super().connect_tcp(addresses[0], port, timeout, local_address, socket_options))

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        """A socket of this machine is never outbound."""
        raise RequestRefusedError


class Fetcher:
    """Fetches what a URL names. Keeps its connections; safe to use from several threads.

    Neither proxies nor credentials of the environment are used.
    """

    def __init__(self, allow: Iterable[str] = (), resolver: Resolver = resolve) -> None:
        transport = httpx.HTTPTransport(trust_env=False)
        transport._pool = httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context(cafile=certifi.where()),
            max_connections=32,
            max_keepalive_connections=16,
            keepalive_expiry=15,
            network_backend=PinnedBackend(allow, resolver),
        )
        self._client = httpx.Client(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            headers={"User-Agent": "ConnectWyze/1", "Accept-Encoding": "identity"},
        )

    def get(self, url: str, *, max_bytes: int, seconds: float = 20.0) -> bytes:
        """The body of a public URL. As fetch(), for one that is asked without conditions."""
        fetched = self.fetch(url, max_bytes=max_bytes, seconds=seconds)
        if fetched.data is None:
            raise FetchError("The server answered with status 304")
        return fetched.data

    def post(self, url: str, body: bytes, headers: Mapping[str, str], *, seconds: float) -> int:
        """Send something to a public URL. Returns the status of the answer, whatever it is: no redirect is followed.

        Arguments:
            seconds: how long everything together may take.
        Raises Refused, or another FetchError that says what happened.
        """
        checked = check_url(url)
        with _in_time(seconds), self._client.stream("POST", checked, content=body, headers=dict(headers)) as response:
            return response.status_code

    def fetch(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        secret_headers: Mapping[str, str] | None = None,
        into: BinaryIO | None = None,
        max_bytes: int,
        seconds: float,
        enough: int | None = None,
    ) -> Fetched:
        """What a public URL names, or that it has not changed.

        Arguments:
            headers: sent to whoever the address leads to.
            secret_headers: sent to the address's own origin, and never to another that it redirects to.
            into: a file that the body is written to, instead of into memory; `data` is then empty.
            max_bytes: the largest body that is read.
            seconds: how long everything together may take.
            enough: so many bytes will do, or what has come when the time is over.
        Raises Refused, ResponseTooLargeError, or another FetchError that says what happened.
        """
        origin = _origin(check_url(url))
        with _in_time(seconds):
            for _ in range(MAX_REDIRECTS + 1):
                checked = check_url(url)
                sent = dict(headers or {}) | (dict(secret_headers or {}) if _origin(checked) == origin else {})
                with self._client.stream("GET", checked, headers=sent) as response:
                    if not response.has_redirect_location:
                        return _fetched(response, into, max_bytes, enough)
                    url = urljoin(url, response.headers.get("Location", ""))
        raise FetchError(f"The address was redirected more than {MAX_REDIRECTS} times")


@contextmanager
def _in_time(seconds: float) -> Iterator[None]:
    """What is done inside ends after so many seconds. Raises Unreached when it did, or when nobody answered."""
    token = _ends.set(time.monotonic() + seconds)
    try:
        yield
    except httpx.TimeoutException:
        raise HostUnreachableError("The server did not answer in time") from None
    except httpx.HTTPError:
        raise HostUnreachableError("The server could not be reached") from None
    finally:
        _ends.reset(token)


def check_url(url: str) -> httpx.URL:
    """The URL, rebuilt from its parts. Raises Refused for one that two parsers could read as two different hosts."""
    if len(url) > 2048 or not url.isascii() or not url.isprintable() or "\\" in url or " " in url:
        raise RequestRefusedError
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise RequestRefusedError from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or "%" in parsed.host:
        raise RequestRefusedError
    return parsed.copy_with(fragment=None)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _fetched(response: httpx.Response, into: BinaryIO | None, max_bytes: int, enough: int | None) -> Fetched:
    etag, last_modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
    if response.status_code == httpx.codes.NOT_MODIFIED:
        return Fetched(None, etag, last_modified)
    if response.status_code != 200:
        raise FetchError(f"The server answered with status {response.status_code}")
    body = io.BytesIO() if into is None else into
    whole = _read(response, body, max_bytes, enough)
    return Fetched(body.getvalue() if isinstance(body, io.BytesIO) else b"", etag, last_modified, whole)


def _read(response: httpx.Response, body: BinaryIO, max_bytes: int, enough: int | None) -> bool:
    """Read the answer's body. Returns whether it is whole."""
    size = 0
    try:
        for part in response.iter_raw():
            body.write(part)
            size += len(part)
            if size > max_bytes:
                raise ResponseTooLargeError(f"The answer is larger than {max_bytes // 1024**2} MB")
            if enough is not None and size >= enough:
                return False
            if time.monotonic() > _ends.get():
                raise httpx.ReadTimeout("")
    except httpx.TimeoutException:
        if enough is None or not size:
            raise FetchError("The server took too long to send its answer") from None
        return False
    except httpx.RemoteProtocolError:
        raise FetchError("The server broke off its answer before the end") from None
    return True

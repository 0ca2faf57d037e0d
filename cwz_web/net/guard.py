"""The SSRF guard of third-party SDKs: connections to declared hosts and public addresses only.

boto3 and google-cloud-storage send requests with urllib3. `OutboundPolicy` gives urllib3 a connection class that checks
where the socket is opened: the host must be declared by the provider, is resolved once, every address must be public,
and the socket connects to the checked address. Redirects, DNS rebinding and ambiguous URLs fail here as well, since
each needs a connection. Proxies and CA bundles of the environment are ignored.

The SDKs' timeouts apply between two reads. A server that sends a byte at a time could hold a thread forever, so each
response has a deadline, too.
"""

import socket
from collections.abc import Callable, Iterable
from http.cookiejar import DefaultCookiePolicy
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.response import HTTPResponse
from urllib3.util import connection as urllib3_connection

from cwz_web.net.client import BlockedRequestError, UnknownHostError
from cwz_web.net.deadlines import deadline_response
from cwz_web.net.resolution import Resolver, find_public_address, resolve

HTTPS_PORT = 443
CA_FILE = certifi.where()
# How long reading a response may take, from its first byte to its last. Plugins read large objects in parts of 8 MB.
RESPONSE_SECONDS = 60.0


class OutboundPolicy:
    """The hosts that one storage connection, or one identity provider, may reach.

    Args:
        hosts: The hosts that the provider declares, as `host` (port 443) or `host:port`; None for port 443 of any host.
        allow: `host:port` pairs that the operator allows although they are private or use plain HTTP.
        resolver: Returns the IP addresses of a host and port.
    """

    def __init__(self, hosts: Iterable[str] | None, allow: Iterable[str] = (), resolver: Resolver = resolve) -> None:
        self._hosts = (
            None if hosts is None else frozenset(host if ":" in host else f"{host}:{HTTPS_PORT}" for host in hosts)
        )
        self._allow = frozenset(allow)
        self._resolver = resolver

    def resolve_address(self, host: str, port: int, *, secure: bool) -> str:
        """Return the IP address to connect to.

        Args:
            host: The host name of the request.
            port: Its port.
            secure: The connection uses TLS.

        Raises:
            BlockedRequestError: The host is undeclared, or TLS is missing.
            UnknownHostError: The host cannot be resolved, or an address is not public.
        """
        authority = f"{host.lower()}:{port}"
        is_allowed = authority in self._allow
        if not self.is_declared(authority, port) or not (secure or is_allowed):
            raise BlockedRequestError
        address = find_public_address(self._resolver, host, port, is_allowed=is_allowed)
        if address is None:
            raise UnknownHostError
        return address

    def is_secure(self, url: str) -> bool:
        """Return whether a URL is one that connections may be opened to: https, or allowed by the operator."""
        try:
            parts = urlsplit(url)
            return parts.scheme == "https" or (
                parts.scheme == "http" and f"{(parts.hostname or '').lower()}:{parts.port or 80}" in self._allow
            )
        except ValueError:
            return False

    def is_declared(self, authority: str, port: int) -> bool:
        """Return whether connections to a `host:port` may be opened, if its address is public."""
        if self._hosts is None:
            return port == HTTPS_PORT or authority in self._allow
        return authority in self._hosts

    def pool_classes(
        self, http: type = HTTPConnection, https: type = HTTPSConnection, seconds: Callable[[], float] | None = None
    ) -> dict[str, type]:
        """Return guarded pools for `urllib3.PoolManager.pool_classes_by_scheme`.

        Args:
            http: The connection class to guard.
            https: The TLS connection class to guard.
            seconds: Returns how long reading a response may take, from first byte to last; by default, a minute.
        """
        attributes = {"outbound": self, "response_class": deadline_response(seconds or (lambda: RESPONSE_SECONDS))}
        classes: dict[str, type] = {}
        for scheme, pool, connection in (("http", HTTPConnectionPool, http), ("https", HTTPSConnectionPool, https)):
            guarded = type("Guarded" + connection.__name__, (_GuardedConnection, connection), dict(attributes))
            classes[scheme] = type("Guarded" + pool.__name__, (pool,), {"ConnectionCls": guarded})
        return classes

    def guard(
        self,
        session: requests.Session,
        connections: int = 32,
        *,
        seconds: Callable[[], float] | None = None,
        max_bytes: int | None = None,
    ) -> requests.Session:
        """Return the session, with guarded connections, without cookies and settings of the environment.

        Args:
            session: The session.
            connections: The number of connections kept.
            seconds: Returns how long reading a response may take, from first byte to last; by default, a minute.
            max_bytes: The largest body; by default, callers read it in parts.
        """
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.verify = CA_FILE
        session.max_redirects = 3
        adapter = _GuardedAdapter(self, seconds, max_bytes, pool_maxsize=connections)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session


class _GuardedConnection(HTTPConnection):
    """Opens sockets to checked addresses only."""

    outbound: OutboundPolicy

    # urllib3 has no public hook between the name lookup and the connection. This is the method that its own SOCKS
    # support overrides (urllib3.contrib.socks), so it is stable.
    def _new_conn(self) -> socket.socket:
        secure = isinstance(self, HTTPSConnection)
        address = self.outbound.resolve_address(self.host, self.port, secure=secure)
        options: dict[str, Any] = {"source_address": self.source_address, "socket_options": self.socket_options}
        try:
            return urllib3_connection.create_connection((address, self.port), self.timeout, **options)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"{self.host} did not respond in time") from error
        except OSError as error:
            raise NewConnectionError(self, f"{self.host} did not respond") from error


class _GuardedAdapter(HTTPAdapter):
    """Sends the requests of a session through guarded connections."""

    def __init__(
        self, outbound: OutboundPolicy, seconds: Callable[[], float] | None, max_bytes: int | None, **options: Any
    ) -> None:
        self._outbound, self._seconds, self._max_bytes = outbound, seconds, max_bytes
        super().__init__(**options)

    def send(self, *args: Any, **options: Any) -> requests.Response:
        """Send a request; read the body of the response, if it is limited."""
        response = super().send(*args, **options)
        return response if self._max_bytes is None else _read_bounded(response, self._max_bytes)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Create the pool manager."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._outbound.pool_classes(seconds=self._seconds)


def _read_bounded(response: requests.Response, max_bytes: int) -> requests.Response:
    """Return the response with its body in memory. Raises requests.ConnectionError if it is too large or incomplete."""
    raw = response.raw
    try:
        body = raw.read(max_bytes + 1, decode_content=True)
    except (HTTPError, OSError) as error:
        raise requests.ConnectionError("the response is incomplete") from error
    finally:
        raw.close()
    if len(body) > max_bytes:
        raise requests.ConnectionError("the response is too large")
    response.raw = HTTPResponse(BytesIO(body), status=raw.status, preload_content=False)
    return response


def is_blocked_error(error: BaseException | None) -> bool:
    """Return whether a BlockedRequestError is the cause of an SDK's error, at any depth."""
    pending = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        if isinstance(current, BlockedRequestError):
            return True
        seen.add(id(current))
        # botocore keeps the cause in `kwargs`, urllib3 in `reason`, requests in `args`.
        kwargs = getattr(current, "kwargs", None)
        pending += [
            kwargs.get("error") if isinstance(kwargs, dict) else None,
            getattr(current, "reason", None),
            current.__cause__,
            current.__context__,
            *current.args,
        ]
    return False

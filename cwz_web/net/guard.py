"""Connections of foreign SDKs, checked where the socket is opened: only declared hosts, only public addresses.

botocore and google's libraries speak through urllib3. Here is the class that opens its sockets: it looks whether the
host was declared, resolves it once, refuses whatever is not public, and connects to the address that it checked. A
redirect, a rebound name or an odd URL ends here as well, since each of them needs a connection. Neither proxies nor
certificates of the environment are used.

Timeouts of these SDKs are between bytes. Whoever owns the host could hold a thread for ever with a byte now and then:
so an answer has to come at a pace, too.
"""

import io
import socket
import time
from collections.abc import Iterable
from http.client import HTTPResponse
from typing import Any

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util import connection as urllib3_connection

from cwz_web.net.addresses import is_public
from cwz_web.net.client import RequestRefusedError, Resolver, resolve

HTTPS_PORT = 443
CA_FILE = certifi.where()
# For how long an answer may be waited for in all, and how many of its bytes buy another second.
ANSWER_SECONDS = 60.0
BYTES_A_SECOND = 16 * 1024


class Outbound:
    """Where one storage connection may go.

    Arguments:
        hosts: what the provider declares, as `host` (port 443) or `host:port`.
        allow: `host:port` pairs that the operator opened although they are private, or speak plain http.
        resolver: host and port to IP addresses.
    """

    def __init__(self, hosts: Iterable[str], allow: Iterable[str] = (), resolver: Resolver = resolve) -> None:
        self.hosts = frozenset(host if ":" in host else f"{host}:{HTTPS_PORT}" for host in hosts)
        self._allow = frozenset(allow)
        self._resolver = resolver

    def address_of(self, host: str, port: int, *, secure: bool) -> str:
        """The address to connect to. Raises Refused, and OSError when the name is not known."""
        where = f"{host.lower()}:{port}"
        allowed = where in self._allow
        if where not in self.hosts or not (secure or allowed):
            raise RequestRefusedError
        addresses = self._resolver(host, port)
        if not addresses:
            raise OSError("unknown host")
        if not (allowed or all(map(is_public, addresses))):
            raise RequestRefusedError
        return addresses[0]

    def pool_classes(self, http: type = HTTPConnection, https: type = HTTPSConnection) -> dict[str, type]:
        """Pools for urllib3's `PoolManager.pool_classes_by_scheme`, over connections of the given classes."""
        classes: dict[str, type] = {}
        for scheme, pool, connection in (("http", HTTPConnectionPool, http), ("https", HTTPSConnectionPool, https)):
            guarded = type("Guarded" + connection.__name__, (_Guarded, connection), {"outbound": self})
            classes[scheme] = type("Guarded" + pool.__name__, (pool,), {"ConnectionCls": guarded})
        return classes

    def guard(self, session: requests.Session, connections: int = 32) -> requests.Session:
        """Let a session of `requests` go out this way, and take nothing from the environment."""
        session.trust_env = False
        session.verify = CA_FILE
        session.max_redirects = 3
        adapter = _Adapter(self, pool_maxsize=connections)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session


class _Paced(io.RawIOBase):
    """What a socket receives, as long as it comes fast enough. The time that whoever reads takes is not counted."""

    def __init__(self, raw: Any, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock
        self._left = ANSWER_SECONDS

    def readable(self) -> bool:
        """As files are."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """As files do. Raises TimeoutError."""
        patience = self._sock.gettimeout()
        if self._left <= 0:
            raise TimeoutError("the answer is too slow")
        self._sock.settimeout(self._left if patience is None else min(patience, self._left))
        begun = time.monotonic()
        try:
            received: int | None = self._raw.readinto(buffer)
        finally:
            self._sock.settimeout(patience)
        self._left += (received or 0) / BYTES_A_SECOND - (time.monotonic() - begun)
        return received

    def close(self) -> None:
        """Let go of the socket."""
        self._raw.close()
        super().close()


class _PacedResponse(HTTPResponse):
    """An answer that is read at a pace."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Paced(self.fp.detach(), sock))


class _Guarded(HTTPConnection):
    """Opens urllib3's sockets, to checked addresses only."""

    outbound: Outbound
    response_class = _PacedResponse

    def _new_conn(self) -> socket.socket:
        secure = isinstance(self, HTTPSConnection)
        try:
            address = self.outbound.address_of(self.host, self.port, secure=secure)
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, f"{self.host} is not known") from error
        options: dict[str, Any] = {"source_address": self.source_address, "socket_options": self.socket_options}
        try:
            return urllib3_connection.create_connection((address, self.port), self.timeout, **options)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"{self.host} did not answer in time") from error
        except OSError as error:
            raise NewConnectionError(self, f"{self.host} did not answer") from error


class _Adapter(HTTPAdapter):
    """requests' way to urllib3."""

    def __init__(self, outbound: Outbound, **options: Any) -> None:
        self._outbound = outbound
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Let the pools make guarded connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._outbound.pool_classes()


def refusal_in(error: BaseException | None) -> bool:
    """Whether an SDK's error was, at the bottom of it, a refusal of ours."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, RequestRefusedError):
            return True
        seen.add(id(error))
        inner = getattr(error, "kwargs", {}).get("error") if isinstance(getattr(error, "kwargs", None), dict) else None
        reason = getattr(error, "reason", None)
        causes = (inner, reason, error.__cause__, error.__context__, *error.args)
        error = next((cause for cause in causes if isinstance(cause, BaseException) and id(cause) not in seen), None)
    return False

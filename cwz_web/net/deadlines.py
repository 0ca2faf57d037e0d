"""Deadlines of responses that SDKs read with urllib3 and requests.

Their timeouts apply between two reads: a server that sends a byte every few seconds, in the head or the body, would
hold a thread for hours.
"""

import io
import socket
import time
from collections.abc import Callable
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class DeadlineReader(io.RawIOBase):
    """The bytes of a socket until a deadline.

    Args:
        raw: The unbuffered file of the socket.
        sock: The socket, whose timeout applies to each read until then.
        seconds: From now to the deadline.
    """

    def __init__(self, raw: Any, sock: socket.socket, seconds: float) -> None:
        self._raw, self._sock = raw, sock
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read into the buffer. Raises TimeoutError at the deadline."""
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the response takes too long")
        timeout = self._sock.gettimeout()
        self._sock.settimeout(remaining if timeout is None else min(timeout, remaining))
        try:
            received: int | None = self._raw.readinto(buffer)
        finally:
            self._sock.settimeout(timeout)
        return received

    def close(self) -> None:
        self._raw.close()
        super().close()


def deadline_response(seconds: Callable[[], float]) -> type[HTTPResponse]:
    """Return a response class whose head and body have to arrive within some seconds, for `response_class`."""

    class DeadlineResponse(HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
            super().__init__(sock, *args, **options)
            self.fp = io.BufferedReader(DeadlineReader(self.fp.detach(), sock, seconds()))

    return DeadlineResponse


class DeadlineAdapter(HTTPAdapter):
    """Sends the requests of a session; each response has to arrive within some seconds.

    Args:
        seconds: From the first byte of the response to its last.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Create the pool manager."""
        super().init_poolmanager(*args, **options)
        response_class = deadline_response(lambda: self._seconds)
        classes: dict[str, type] = {}
        for scheme, pool, connection in (
            ("http", HTTPConnectionPool, HTTPConnection),
            ("https", HTTPSConnectionPool, HTTPSConnection),
        ):
            limited = type("Deadline" + connection.__name__, (connection,), {"response_class": response_class})
            classes[scheme] = type("Deadline" + pool.__name__, (pool,), {"ConnectionCls": limited})
        self.poolmanager.pool_classes_by_scheme = classes

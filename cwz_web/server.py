"""The server of an .ini file's `[server:main]`: waitress, with limits on request bodies and a graceful stop.

waitress receives a whole body before the application sees the request. Bodies are therefore small
(`max_request_body_size`), except at the few URLs that accept files, and the number of large bodies at once is limited.
"""

import copy
import errno
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, Self
from weakref import WeakSet

import waitress
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import BaseWSGIServer
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge

from cwz_web.feeds.limits import MAX_BYTES
from cwz_web.ops.health import draining

# A file and the form around it.
MAX_FILE_BODY = MAX_BYTES + 1024 * 1024
MAX_CONCURRENT_FILES = 8
# The size line and the trailers of a chunked body.
MAX_CHUNK_LINE = 8 * 1024
POLL_SECONDS = 0.25
FINISH_SECONDS = 30.0
MANY_BLANKS = re.compile(rb"[ \t]{100}")
FILE_PATHS = re.compile(r"/w/[^/]+/feeds/(?:new|[^/]+/import)|/v1/feeds/[^/]+/imports")


def server_factory(
    global_config: dict[str, str], listen: str, drain_seconds: str = "0", **options: str
) -> Callable[[Any], None]:
    """Create the server of an .ini file (`use = egg:cwz-web`).

    Args:
        listen: The host and port to listen on. The environment variable PORT overrides the port.
        drain_seconds: How long to keep accepting requests after a stop signal, while `/readyz` answers 503: the time
            that a load balancer needs to notice.
        options: Other options of waitress.
    """
    host, _, port = listen.rpartition(":")
    listen_on = f"{host}:{os.environ.get('PORT') or port}"

    def serve(app: Any) -> None:
        stop = StopSignal.install()
        connections: dict[int, Any] = {}
        try:
            server = create_server(app, connections, listen=listen_on, **options)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise SystemExit(f"{listen_on} is already in use. Choose another port: PORT=6544") from None
        server.print_listen("Serving on http://{}:{}")
        try:
            _run(connections, stop, float(drain_seconds))
        except KeyboardInterrupt:
            pass  # the second signal
        finally:
            draining.clear()
            server.task_dispatcher.shutdown()
            # waitress leaves connections open: clients would wait as long as the process lives.
            wasyncore.close_all(connections)

    return serve


def create_server(app: Any, connections: dict[int, Any], **options: Any) -> Any:
    """Create a listening server; `wasyncore.loop` with its connections runs it.

    Args:
        connections: The socket map, which the server fills.
        options: Options of waitress.
    """
    # waitress has no option for the parser, and creates its channels itself.
    HTTPChannel.parser_class = Parser
    return waitress.create_server(app, map=connections, **options)


def _run(connections: dict[int, Any], stop: "StopSignal", drain_seconds: float) -> None:
    """Serve until a stop signal, then finish the requests in progress, which waitress on its own would drop."""

    def poll_until(condition: Callable[[], bool], seconds: float = float("inf")) -> None:
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            wasyncore.loop(POLL_SECONDS, map=connections, count=1, use_poll=True)

    poll_until(lambda: stop.count > 0)
    draining.set()
    poll_until(lambda: False, drain_seconds)
    for listener in [each for each in connections.values() if isinstance(each, BaseWSGIServer)]:
        wasyncore.dispatcher.close(listener)  # its own close() also ends what wakes this loop when a response is ready
    poll_until(lambda: not _has_requests(connections), FINISH_SECONDS)


def _has_requests(connections: dict[int, Any]) -> bool:
    """Close the idle connections, and return whether a request is in progress on any other."""
    busy = False
    for channel in [each for each in connections.values() if isinstance(each, HTTPChannel)]:
        if channel.requests or channel.request is not None or channel.total_outbufs_len:
            busy = True
        else:
            channel.handle_close()
    return busy


class StopSignal:
    """Counts the stop signals that the process received.

    Not a threading.Event: setting one takes a lock, and a signal handler can interrupt the handler that holds it.
    """

    count = 0

    @classmethod
    def install(cls) -> Self:
        """Handle SIGINT and SIGTERM. The second signal raises KeyboardInterrupt; later ones are ignored."""
        stop = cls()

        def handle(*_: Any) -> None:
            stop.count += 1
            if stop.count == 2:
                raise KeyboardInterrupt

        _on_stop_signals(handle)
        return stop


class TooManyFiles(Error):  # type: ignore[misc]  # noqa: N818 - a response, named as waitress names its own
    """503: too many large files are being uploaded."""

    code = 503
    reason = "Service Unavailable"


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """waitress' parser, with a larger body limit where files are accepted and with linear parsing time."""

    file_parsers: ClassVar[WeakSet["Parser"]] = WeakSet()
    adj: Any
    error: Any
    too_large: Error | None = None

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the request line and the headers, and set the body limit."""
        # waitress' header pattern backtracks on blanks in quadratic time: 128 KB took three minutes.
        if MANY_BLANKS.search(header_plus):
            raise ParsingError("A header contains too many blanks")
        try:
            super().parse_header(header_plus)
        except ValueError:  # urllib.parse on `http://[`; waitress would log a traceback and close the connection
            raise ParsingError("The URL is invalid") from None
        self.too_large = RequestEntityTooLarge(f"The limit is {self.adj.max_request_body_size // 1024**2} MB")
        if self.command != "POST" or not FILE_PATHS.fullmatch(self.path):
            return
        if len(self.file_parsers) >= MAX_CONCURRENT_FILES:
            self.too_large = TooManyFiles("Too many large files are being uploaded. Try again in a minute")
            return
        self.too_large = RequestEntityTooLarge(f"A file can have at most {MAX_BYTES // 1024**2} MB")
        self.file_parsers.add(self)
        self.adj = copy.copy(self.adj)
        self.adj.max_request_body_size = MAX_FILE_BODY

    def received(self, data: bytes) -> int:
        """Parse more bytes of the request; replace waitress' message for a body that is too large."""
        consumed: int = super().received(data)
        if isinstance(self.error, RequestEntityTooLarge):
            self.error = self.too_large
        # waitress rescans an unfinished control line from its beginning with every packet.
        elif self.chunked and len(self.body_rcv.control_line) + len(self.body_rcv.trailer) > MAX_CHUNK_LINE:
            self.error, self.completed = BadRequest("The chunked body is invalid"), True
        return consumed


def stop_on_signals() -> None:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt.

    SIGINT too: a shell starts background jobs with SIGINT ignored.
    """
    _on_stop_signals(_interrupt)


def _on_stop_signals(handler: Callable[..., None]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handler)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt

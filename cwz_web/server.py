"""The server of an .ini file's `[server:main]`: waitress, on the port that the environment's PORT names, if it does.

It takes a whole body before anybody looks at it, whoever sends it: so bodies are small (`max_request_body_size`), but
for the few addresses that take files, and of large ones only so many are taken at once.
"""

import copy
import errno
import gc
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
from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge

from cwz_web.feeds.limits import MAX_BYTES
from cwz_web.ops.health import draining

# With room for the form around the file.
MAX_FILE = MAX_BYTES + 1024 * 1024
FILES_AT_ONCE = 8
# What stands before and after a chunk that is not its content.
MAX_CHUNK_LINE = 8 * 1024
LOOK_SECONDS = 0.25
FINISH_SECONDS = 30.0
_many_blanks = re.compile(rb"[ \t]{100}")
_takes_files = re.compile(r"/w/[^/]+/feeds/(?:new|[^/]+/import)|/v1/feeds/[^/]+/imports")


def server_factory(
    global_config: dict[str, str], listen: str, drain_seconds: str = "0", **options: str
) -> Callable[[Any], None]:
    """For `use = egg:cwz-web`.

    Arguments:
        listen: host and port to listen on.
        drain_seconds: for how long, once told to stop, requests are still taken while `/readyz` says 503: the time that
            the proxy in front needs to find that out.
        options: what else waitress takes.
    """
    host, _, port = listen.rpartition(":")
    address = f"{host}:{os.environ.get('PORT') or port}"

    def serve(app: Any) -> None:
        told = StopSignal.by_signals()
        connections: dict[int, Any] = {}
        try:
            server = create_server(app, connections, listen=address, **options)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise SystemExit(f"{address} is taken. Name another port in the environment: PORT=6544") from None
        server.print_listen("Serving on http://{}:{}")
        # What is there by now stays for good: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        try:
            _serve(connections, told, float(drain_seconds))
        except KeyboardInterrupt:
            pass  # told a second time
        finally:
            draining.clear()
            server.task_dispatcher.shutdown()
            # waitress leaves them open: whoever asked would wait for an answer as long as the process lives.
            wasyncore.close_all(connections)

    return serve


def create_server(app: Any, connections: dict[int, Any], **options: Any) -> Any:
    """The server, which listens already; `wasyncore.loop` with its connections has it work.

    Arguments:
        options: what waitress takes.
    """
    HTTPChannel.parser_class = Parser
    threads = Threads()
    server = waitress.create_server(app, map=connections, _dispatcher=threads, **options)
    threads.set_thread_count(server.adj.threads)
    return server


def _serve(connections: dict[int, Any], told: "StopSignal", drain: float) -> None:
    """Serve until told to stop; then finish what is at hand. waitress by itself would drop it."""
    while not told.times:
        wasyncore.loop(LOOK_SECONDS, map=connections, count=1, use_poll=True)
    draining.set()
    begun = time.monotonic()
    while time.monotonic() < begun + drain:
        wasyncore.loop(LOOK_SECONDS, map=connections, count=1, use_poll=True)
    for part in list(connections.values()):
        if isinstance(part, BaseWSGIServer):
            part.del_channel(connections)
            part.socket.close()
    while time.monotonic() < begun + drain + FINISH_SECONDS:
        busy = 0
        for channel in [part for part in connections.values() if isinstance(part, HTTPChannel)]:
            if channel.requests or channel.request is not None or channel.total_outbufs_len:
                busy += 1
            else:
                channel.handle_close()
        if not busy:
            return
        wasyncore.loop(LOOK_SECONDS, map=connections, count=1, use_poll=True)


class StopSignal:
    """How many times the process was told to stop.

    No threading.Event: it takes a lock, and a handler that holds one waits for itself when the next signal comes.
    """

    times = 0

    @classmethod
    def by_signals(cls) -> Self:
        """By SIGINT or SIGTERM. The second one raises KeyboardInterrupt; further ones would break into the closing."""
        told = cls()

        def tell(*_: Any) -> None:
            told.times += 1
            if told.times == 2:
                raise KeyboardInterrupt

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, tell)
        return told


class Threads(ThreadedTaskDispatcher):  # type: ignore[misc]
    """waitress' own, where the thread that worked last has the next request: what it needs is in a processor's cache
    still. An image is there a twentieth earlier than when the one works that has been idle for longest."""

    def __init__(self) -> None:
        super().__init__()
        self.queue_cv = LastFirst(self.lock)


class LastFirst:
    """As threading.Condition, where who began to wait last is woken first.

    Arguments:
        lock: is held by whoever calls a method.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._asleep: list[threading.Lock] = []

    def wait(self) -> None:
        """Sleep until woken; meanwhile others may have the lock."""
        mine = threading.Lock()
        mine.acquire()
        self._asleep.append(mine)
        self._lock.release()
        try:
            mine.acquire()
        finally:
            self._lock.acquire()

    def notify(self) -> None:
        """Wake one, if any sleeps."""
        if self._asleep:
            self._asleep.pop().release()

    def notify_all(self) -> None:
        """Wake all."""
        while self._asleep:
            self.notify()


class Busy(Error):  # type: ignore[misc]
    """Too many large files are on their way."""

    code = 503
    reason = "Service Unavailable"


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """waitress' own, with more room for the body where a file is taken."""

    on_their_way: ClassVar[WeakSet["Parser"]] = WeakSet()
    adj: Any
    error: Any
    refusal: Error | None = None

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head of a request, and decide how large its body may be."""
        # waitress' pattern of a header tries each way to part the blanks before its value: 128 KB took three minutes.
        if _many_blanks.search(header_plus):
            raise ParsingError("A header has more blanks than any needs")
        try:
            super().parse_header(header_plus)
        except ValueError:  # of urllib.parse, for `http://[`; waitress would close the connection and log a trace
            raise ParsingError("The address cannot be read") from None
        self.refusal = RequestEntityTooLarge(f"{self.adj.max_request_body_size // 1024**2} MB are the most here")
        if self.command != "POST" or not _takes_files.fullmatch(self.path):
            return
        if len(self.on_their_way) >= FILES_AT_ONCE:
            self.refusal = Busy("Several large files are on their way. Try again in a minute")
            return
        self.refusal = RequestEntityTooLarge(f"A file may have {MAX_BYTES // 1024**2} MB at most")
        self.on_their_way.add(self)
        self.adj = copy.copy(self.adj)
        self.adj.max_request_body_size = MAX_FILE

    def received(self, data: bytes) -> int:
        """Take some of a request, and refuse a body that is too large in plain words."""
        consumed: int = super().received(data)
        if isinstance(self.error, RequestEntityTooLarge):
            self.error = self.refusal
        # waitress looks through a line that does not end from its beginning, whenever some of it has come.
        elif self.chunked and len(self.body_rcv.control_line) + len(self.body_rcv.trailer) > MAX_CHUNK_LINE:
            self.error, self.completed = BadRequest("The body is not sent in chunks as it says"), True
        return consumed


def stop_on_signals() -> None:
    """Let SIGINT and SIGTERM end the process as Ctrl-C does: requests finish, and what was started is stopped.

    SIGINT too: a shell's background job inherits it ignored.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt

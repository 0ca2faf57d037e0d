"""The server of an .ini file's `[server:main]`: waitress, with our parser (request_parser.py) and a graceful stop."""

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import waitress
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer

from cwz_web.ops.health import draining
from cwz_web.web.admission import BodyAdmission
from cwz_web.web.request_parser import Channel

POLL_SECONDS = 0.25
FINISH_SECONDS = 30.0


def server_factory(
    global_config: dict[str, str], listen: str, drain_seconds: str = "0", **options: str
) -> Callable[[Any], None]:
    """Create the server of an .ini file (`use = egg:cwz-web`).

    It returns after a stop signal; a second one raises KeyboardInterrupt, which `pserve` and `cwz serve` expect.

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
            with _recording(app):
                _run(connections, stop, float(drain_seconds))
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
    registry = getattr(app, "registry", None)  # none: an application without users
    channel_class = partial(
        Channel,
        admission=BodyAdmission(registry) if registry else None,
        is_production=registry is not None and not registry["services"].settings.development,
    )
    server = waitress.create_server(app, map=connections, **options)
    # waitress has no option for its channels.
    for listener in [each for each in connections.values() if isinstance(each, BaseWSGIServer)]:
        listener.channel_class = channel_class
    return server


@contextmanager
def _recording(app: Any) -> Iterator[None]:
    """Let the application write its logs of API requests and of fetches of feeds while the block runs."""
    registry = getattr(app, "registry", None)  # none: an application without users
    if registry is None:
        yield
        return
    with registry["services"].api_requests.running(), registry["services"].feed_fetches.running():
        yield


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

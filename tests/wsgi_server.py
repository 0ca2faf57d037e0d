"""The server of the product in a thread of the test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from waitress import wasyncore

from cwz_web.server import create_server


@contextmanager
def serving(app: Any, *, port: int = 0, threads: int = 2, **options: Any) -> Iterator[int]:
    """Serve an application in a thread, and yield the port.

    The thread ends before its sockets are closed: waitress cannot poll a socket that another thread closes.
    """
    connections: dict[int, Any] = {}
    server = create_server(app, connections, listen=f"127.0.0.1:{port}", threads=threads, **options)
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            wasyncore.loop(timeout=0.1, map=connections, count=1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.effective_port
    finally:
        stopping.set()
        thread.join()
        server.task_dispatcher.shutdown()
        wasyncore.close_all(connections)

"""What the worker commands have in common: stop with the parent process, and serve metrics."""

import os
import signal
import sys
import threading

from prometheus_client import start_http_server


def stop_with_parent() -> None:
    """Stop this process, as SIGTERM does, when its standard input ends: its parent has ended."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def serve_metrics(address: str) -> None:
    """Serve this process' metrics at `host:port`; nothing if it is empty."""
    if address:
        host, _, port = address.rpartition(":")
        start_http_server(int(port), host)


def _wait_for_parent() -> None:
    # Unbuffered: a thread that waits inside a buffered reader disturbs the interpreter's shutdown.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)

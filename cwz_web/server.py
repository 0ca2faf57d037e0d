"""The server of an .ini file's `[server:main]`: waitress, on the port that the environment's PORT names, if it does."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import waitress


def server_factory(global_config: dict[str, str], listen: str, **options: str) -> Callable[[Any], None]:
    """For `use = egg:cwz-web`.

    Arguments:
        listen: host and port to listen on.
        options: what else waitress takes.
    """
    host, _, port = listen.rpartition(":")
    address = f"{host}:{os.environ.get('PORT') or port}"

    def serve(app: Any) -> None:
        stop_on_signals()
        waitress.serve(app, listen=address, **options)

    return serve


def stop_on_signals() -> None:
    """Let SIGINT and SIGTERM end the process as Ctrl-C does: requests finish, and what was started is stopped.

    SIGINT too: a shell's background job inherits it ignored.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt

"""The server of an .ini file's `[server:main]`: waitress, on the port that the environment's PORT names, if it does."""

import os
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
        waitress.serve(app, listen=address, **options)

    return serve

"""Resolving hosts: an internal name is refused like an unknown one, in the same words and after the same time.

Otherwise a tenant could ask for one name after the other, and learn which ones the internal network has.
"""

import socket
import time
from collections.abc import Callable

from cwz_web.net.addresses import is_public

# The refusal of a host takes at least this long; a name server answers sooner, whether it knows the name or not.
REFUSAL_SECONDS = 0.5

Resolver = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """Return the IP addresses of a host from the system's resolver."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def find_public_address(resolver: Resolver, host: str, port: int, *, is_allowed: bool) -> str | None:
    """Return the IP address to connect to; None if the host is unknown or one of its addresses is not public.

    Args:
        resolver: Returns the IP addresses of a host and port.
        host: The host.
        port: The port.
        is_allowed: The operator allows the host although it is private.
    """
    started = time.monotonic()
    try:
        addresses = resolver(host, port)
    except (OSError, UnicodeError):
        addresses = []
    if addresses and (is_allowed or all(map(is_public, addresses))):
        return addresses[0]
    time.sleep(max(started + REFUSAL_SECONDS - time.monotonic(), 0))
    return None

"""Public IP addresses.

The list is our own, since `ipaddress` of Python 3.11 calls several internal addresses global.

Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890), RFC 6052 (NAT64), RFC 3056 (6to4),
RFC 4380 (Teredo).
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

BLOCKED_IPV4 = [
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",  # the Azure platform
    )
]
# Only global unicast is public, except for what is reserved or wraps an IPv4 address.
GLOBAL_UNICAST = IPv6Network("2000::/3")
BLOCKED_IPV6 = [
    IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "2620:4f:8000::/48")
]
DNS_PORT = 53
NAT64 = IPv6Network("64:ff9b::/96")
_address_and_port = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})")


def split_port(text: str, default: int) -> tuple[str, int]:
    """Return the IP address and the port of `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1` or `[2001:db8::1]:53`.

    Raises:
        ValueError: The text is no IP address, or the port is invalid.
    """
    found = _address_and_port.fullmatch(text)
    if found is None:
        return str(ip_address(text)), default
    if not 0 < int(found["port"]) < 65536:
        raise ValueError("The port must be a number from 1 to 65535")
    address = IPv6Address(found["v6"]) if found["v6"] else IPv4Address(found["v4"])
    return str(address), int(found["port"])


def is_public(address: str) -> bool:
    """Return whether a text is an IP address of the public internet."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        if parsed.scope_id is not None:
            return False
        inner = parsed.ipv4_mapped
        if parsed in NAT64:
            inner = IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is None:
            return parsed in GLOBAL_UNICAST and not any(parsed in block for block in BLOCKED_IPV6)
        parsed = inner
    return not any(parsed in block for block in BLOCKED_IPV4)

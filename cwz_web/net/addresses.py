"""Which addresses the outside world has.

The list is our own: `ipaddress` of Python 3.11 calls several internal ones global.

Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890), RFC 6052 (NAT64), RFC 3056 (6to4),
RFC 4380 (Teredo).
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

REFUSED_IPV4 = [
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
        "168.63.129.16/32",  # the Azure platform's own address
    )
]
# Only global unicast is taken, and of it not what is reserved or wraps an IPv4 address.
GLOBAL_UNICAST = IPv6Network("2000::/3")
REFUSED_IPV6 = [
    IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "2620:4f:8000::/48")
]
NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address is one that a stranger's server may have. Anything that is no address is not."""
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
            return parsed in GLOBAL_UNICAST and not any(parsed in block for block in REFUSED_IPV6)
        parsed = inner
    return not any(parsed in block for block in REFUSED_IPV4)

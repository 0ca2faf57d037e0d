"""Sites: hosts of one registrable domain, as the Public Suffix List (https://publicsuffix.org) defines it."""

import re
from functools import cache

from publicsuffixlist import PublicSuffixList

# The last label of an IPv4 address in any notation (https://url.spec.whatwg.org/#ends-in-a-number-checker).
_number = re.compile(r"\d+|0x[\da-f]*", re.IGNORECASE)


def is_same_site(host: str, other: str) -> bool:
    """Return whether two hosts, in ASCII, are the same or belong to one registrable domain.

    An IP address, a name without a dot and a public suffix (co.uk, github.io) have none.
    """
    host, other = _normalize(host), _normalize(other)
    if host == other:
        return True
    if _is_address(host) or _is_address(other):
        return False
    domain = _load_suffixes().privatesuffix(host)
    return domain is not None and domain == _load_suffixes().privatesuffix(other)


@cache
def _load_suffixes() -> PublicSuffixList:
    """Load the list, which takes a tenth of a second, with the first fetch that is redirected."""
    return PublicSuffixList()


def _normalize(host: str) -> str:
    return host.lower().removesuffix(".")


def _is_address(host: str) -> bool:
    return ":" in host or _number.fullmatch(host.rpartition(".")[2]) is not None

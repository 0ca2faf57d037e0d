"""Where a feed may be fetched from: the site of its URL, and hosts that users have allowed for it."""

import re
from collections.abc import Collection

import idna

from cwz_web.feeds.share_links import download_domain
from cwz_web.i18n import gettext, ngettext
from cwz_web.net.sites import is_same_site

MAX_HOSTS = 10
_host = re.compile(r"(?=.{1,253}\Z)[a-z\d_-]{1,63}(?:\.[a-z\d_-]{1,63})*|[\da-f:]{2,39}")


def is_allowed(host: str, source_host: str, allowed: Collection[str]) -> bool:
    """Return whether a redirect or a next page may lead to a host.

    Args:
        host: The host, in ASCII.
        source_host: The host of the feed's URL, in ASCII.
        allowed: Other hosts that users have allowed. The download hosts of services are allowed with them.
    """
    name = host.lower().removesuffix(".")
    downloads = [domain for each in (source_host, *allowed) if (domain := download_domain(each))]
    return name in allowed or is_same_site(name, source_host) or name.endswith(tuple(f".{each}" for each in downloads))


def check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Return host names in ASCII and lower case, each once. Raises ValueError for what is no host name."""
    checked = tuple(dict.fromkeys(map(_check_host, hosts)))
    if len(checked) > MAX_HOSTS:
        raise ValueError(ngettext("Enter at most %(count)s host", "Enter at most %(count)s hosts", MAX_HOSTS))
    return checked


def split_hosts(text: str) -> tuple[str, ...]:
    """Return the hosts of a text that separates them by blanks, commas or lines."""
    return tuple(text.replace(",", " ").split())


def _check_host(text: str) -> str:
    try:
        host = text.lower().removesuffix(".") if text.isascii() else idna.encode(text, uts46=True).decode()
    except idna.IDNAError:
        host = ""
    if not _host.fullmatch(host):
        raise ValueError(gettext("Enter host names such as cdn.example.net, without https:// and path"))
    return host

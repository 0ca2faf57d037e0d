"""URLs of installations that clients send API keys to."""

import ipaddress
import re

import httpx

# Parsers disagree about some of them; the others are parts that the URL of an installation does not have.
_refused = re.compile(r"[\\@?#\s\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class InsecureUrlError(ValueError):
    """The URL of the installation is not HTTPS, so that others could read the API key."""


def check_installation_url(url: str, *, allow_http: bool) -> str:
    """Return the URL of an installation without a slash at its end.

    Args:
        url: The URL that the user gave.
        allow_http: Whether it may be unencrypted beyond this machine.

    Raises:
        InsecureUrlError: It is unencrypted, and may not be.
        ValueError: It is no URL of an installation.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("The URL of the installation is not valid: write one such as https://images.example.com")
    if _refused.search(url):
        raise ValueError("The URL of the installation has no user, no query, no fragment, no space and no backslash")
    if parsed.scheme == "http" and not allow_http and not _is_loopback(parsed.host):
        raise InsecureUrlError(f"An API key is not sent to {parsed.host} without TLS. Use https, or --allow-http")
    return str(parsed).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""The public base URL of a connection: a CDN, a custom domain or a public bucket, which serves its objects to everyone.

The URL of an object is the base URL, a slash and the object's key. It is used once a test has fetched an object from it
(decision 57).
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote
from uuid import UUID

import httpx

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.net.client import (
    BlockedRequestError,
    FetchedBody,
    Fetcher,
    FetchError,
    RedirectRefusedError,
    ResponseStatusError,
    ascii_host,
    check_url,
)
from cwz_web.net.guard import OutboundPolicy
from cwz_web.storage.contract import Bucket, ObjectAttributes, StorageError, StorageProvider

MAX_BASE_URL_LENGTH = 300
# An object of a key is never changed: another image has another key.
CACHE_CONTROL = "public, max-age=31536000, immutable"
FETCH_SECONDS = 4.0
MAX_PROBE_BYTES = 64 * 1024
# Characters of a header that a message shows.
MAX_SHOWN = 100
PNG = "image/png"
# An image of one pixel: some CDNs treat images otherwise than text.
PROBE_IMAGE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000b4944415478da636000020000050001e9fadcd80000000049454e44ae426082"
)
MAX_PORT = 65535
PROBE_ATTRIBUTES = ObjectAttributes(PNG, CACHE_CONTROL, 'inline; filename="connection-test.png"', {"probe": "true"})
_PORTS = {"https": 443, "http": 80}
# What a path may have without percent-encoding (RFC 3986), which parsers do not normalize in the same way.
_PATH_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@")
ACCESS_REFUSED = gettext_noop("The public URL refuses access (HTTP %(status)s). %(advice)s")
NOT_FOUND = gettext_noop(
    "The public URL has no object where one was just written (HTTP %(status)s). Check that it leads to the root of this"
    " bucket: an object is at the base URL, a slash and its key. %(advice)s"
)
ANY_ADVICE = gettext_noop("Allow everyone to read the objects of this bucket")


def normalize_base_url(text: str) -> str:
    """Return a base URL without a slash at its end; empty for an empty text.

    Raises:
        ValueError: It is not a URL that objects can be below: it has credentials, a query, or parts such as `..`.
    """
    if not text:
        return ""
    if "?" in text or "#" in text:
        raise ValueError(gettext("Enter the URL without a query and a fragment"))
    try:
        url = check_url(text)
        is_valid = (url.port or 0) <= MAX_PORT
    except BlockedRequestError:
        is_valid = False
    if not is_valid:
        message = gettext("Enter a URL such as https://images.example.com, without a user name and a password")
        raise ValueError(message)
    path = text.partition("://")[2].partition("/")[2].rstrip("/")
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") or not _PATH_CHARACTERS.issuperset(part) for part in parts):
        raise ValueError(gettext("Enter a URL whose path has no empty parts, no dots alone and no encoded characters"))
    port = "" if url.port is None else f":{url.port}"
    host = f"[{ascii_host(url)}]" if ":" in ascii_host(url) else ascii_host(url)
    return f"{url.scheme}://{host}{port}" + "".join(f"/{part}" for part in parts)


def check_base_url_policy(base_url: str, outbound: OutboundPolicy) -> None:
    """Check that a normalized base URL is one that the application may fetch, as far as that shows without a look-up.

    Raises:
        ValueError: It is not https at port 443, and the operator has not allowed its host.
    """
    url = httpx.URL(base_url)
    port = url.port or _PORTS[url.scheme]
    if not outbound.is_secure(base_url) or not outbound.is_declared(f"{ascii_host(url)}:{port}", port):
        raise ValueError(gettext("Enter a URL that begins with https:// and has no port"))


def public_url(base_url: str, key: str) -> str:
    """Return the URL of an object below a base URL, with its key percent-encoded."""
    return f"{base_url}/{quote(key)}"


@dataclass(frozen=True)
class PublicAccess:
    """What tests the public base URL of a connection.

    Args:
        base_url: The base URL, normalized.
        fetch: Fetches a URL through the guard, as `Fetcher.fetch` does.
        advice: What to do in the storage so that everyone can read its objects; in English.
    """

    base_url: str
    fetch: Callable[..., FetchedBody]
    advice: str = ANY_ADVICE

    @classmethod
    def of(cls, base_url: str, fetcher: Fetcher, provider: StorageProvider[Any, Any] | None) -> Self | None:
        """Return what tests the public base URL of a connection; None without one."""
        advice = provider.public_access_advice if provider else ""
        return cls(base_url, fetcher.fetch, advice or ANY_ADVICE) if base_url else None

    def check(self, bucket: Bucket, workspace_id: UUID) -> None:
        """Write an image, fetch it from its public URL, compare both, and delete it.

        Raises:
            StorageError: The bucket or the public URL failed; the message says what to do.
        """
        key = f"{workspace_id}/images/probe-{secrets.token_hex(8)}.png"
        try:
            bucket.put_object(key, PROBE_IMAGE, PROBE_ATTRIBUTES)
            self._compare(self._fetch(public_url(self.base_url, key)))
        finally:
            bucket.delete(key)

    def _fetch(self, url: str) -> FetchedBody:
        try:
            return self.fetch(url, max_bytes=MAX_PROBE_BYTES, seconds=FETCH_SECONDS, allows_redirect=lambda host: False)
        except RedirectRefusedError as error:
            message = gettext(
                "The public URL redirects to %(host)s. Enter the URL that answers itself", host=error.host
            )
            raise StorageError(message) from None
        except ResponseStatusError as error:
            raise StorageError(self._explain(error.status)) from None
        except FetchError as error:
            raise StorageError(gettext("The public URL does not work. %(reason)s", reason=str(error))) from None

    def _explain(self, status: int) -> str:
        match status:
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                return gettext(ACCESS_REFUSED, status=status, advice=self.advice)
            case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
                return gettext(NOT_FOUND, status=status, advice=self.advice)
        return gettext(
            "The public URL answers with an error (HTTP %(status)s). Check the CDN or the domain", status=status
        )

    def _compare(self, fetched: FetchedBody) -> None:
        content_type = fetched.content_type.partition(";")[0].strip().lower()
        if content_type != PNG:
            message = gettext(
                "The public URL sends the Content-Type “%(found)s” instead of “%(expected)s”. Let the CDN send the"
                " headers of the storage",
                found=content_type[:MAX_SHOWN],
                expected=PNG,
            )
            raise StorageError(message)
        if fetched.data != PROBE_IMAGE:
            message = gettext(
                "The public URL sends other bytes than were stored. Turn off what changes images in the CDN, and check"
                " that the URL leads to this bucket"
            )
            raise StorageError(message)
        if _directives(fetched.cache_control) != _directives(CACHE_CONTROL):
            message = gettext(
                "The public URL sends the Cache-Control “%(found)s” instead of “%(expected)s”. Let the CDN send the"
                " headers of the storage",
                found=fetched.cache_control[:MAX_SHOWN],
                expected=CACHE_CONTROL,
            )
            raise StorageError(message)


def _directives(cache_control: str) -> set[str]:
    return {directive.strip().lower() for directive in cache_control.split(",")}

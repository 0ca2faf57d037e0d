"""An HTTP client for plugins: guarded connections, timeouts, and errors of the storage contract."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, ParseError

import requests
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from cwz_web.i18n import gettext
from cwz_web.net.client import BlockedRequestError
from cwz_web.net.guard import OutboundPolicy, is_blocked_error
from cwz_web.storage.contract import (
    BlockedAddressError,
    BucketNotFoundError,
    InvalidCredentialsError,
    InvalidSettingsError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StorageError,
    StorageThrottledError,
    StorageUnreachableError,
    check_key,
)

TIMEOUT = (3, 15)  # seconds to connect, and between two reads
CHUNK_BYTES = 256 * 1024


class HttpClient:
    """Sends requests to the objects below one URL. Thread-safe.

    Args:
        outbound: The context's policy; only hosts that the provider declares are reachable, by https.
        base_url: The URL of the bucket.
        auth: User name and password of HTTP basic authentication.
        errors: The error and its message by HTTP status, where it differs from `error_for_status`.
    """

    def __init__(
        self,
        outbound: OutboundPolicy,
        base_url: str,
        *,
        auth: tuple[str, str] | None = None,
        errors: Mapping[int, tuple[type[StorageError], str]] | None = None,
    ) -> None:
        self._session = outbound.guard(requests.Session())
        self._session.auth = auth
        self._base_url = base_url.rstrip("/")
        self._errors = errors or {}

    def url(self, key: str) -> str:
        """Return the URL of an object. Raises InvalidSettingsError for a key that `check_key` rejects."""
        return f"{self._base_url}/{quote(check_key(key))}"

    def request(self, method: str, key: str | None, **options: Any) -> requests.Response:
        """Send a request for an object, without following redirects.

        Args:
            method: The HTTP method.
            key: The object's key; None is the base URL itself, whose 404 is a BucketNotFoundError.
            options: As `requests.request` takes them: `data`, `headers`, `params`, `stream`, ...

        Raises:
            StorageError: The connection failed, or the status is not 2xx; see `error_for_status`.
        """
        url = f"{self._base_url}/" if key is None else self.url(key)
        with request_errors():
            response = self._session.request(method, url, timeout=TIMEOUT, allow_redirects=False, **options)
        status = response.status_code
        if 200 <= status < 300:
            return response
        response.close()
        if status in self._errors:
            error_class, message = self._errors[status]
            raise error_class(message)
        if status == HTTPStatus.NOT_FOUND and key is None:
            raise BucketNotFoundError(gettext("The storage has nothing at this URL; check the settings"))
        raise error_for_status(status)

    def request_xml(self, method: str, key: str | None, **options: Any) -> Element:
        """Send a request and parse the XML of its response.

        Arguments and errors are those of `request`; invalid XML raises StorageUnreachableError.
        """
        try:
            root: Element = fromstring(self.request(method, key, **options).content)
        except (ParseError, DefusedXmlException):
            raise StorageUnreachableError(
                gettext("The server's response is not the expected XML; check the URL")
            ) from None
        return root

    def stream(self, key: str) -> Iterator[bytes]:
        """Send a GET request and return the body in parts. Raises StorageErrors."""
        return _parts(self.request("GET", key, stream=True))


def error_for_status(status: int) -> StorageError:
    """Return the contract's error for an HTTP status that is not 2xx."""
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return InvalidCredentialsError(gettext("The storage rejects these credentials; enter valid ones"))
        case HTTPStatus.FORBIDDEN:
            return PermissionDeniedError(gettext("The credentials must allow reading, writing, listing and deleting"))
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
            return ObjectNotFoundError(gettext("The object does not exist"))
        case HTTPStatus.PRECONDITION_FAILED:
            return ObjectExistsError(gettext("The object exists already"))
        case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
            return StorageThrottledError(gettext("The storage limits the request rate; try again later"))
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            text = gettext("The storage has an internal error (HTTP %(status)s); try again later", status=status)
            return StorageUnreachableError(text)
    text = gettext("The storage rejects the request (HTTP %(status)s); check the settings", status=status)
    return InvalidSettingsError(text)


@contextmanager
def request_errors() -> Iterator[None]:
    """Turn the errors of `requests` into the contract's."""
    try:
        yield
    except (BlockedRequestError, requests.RequestException) as error:
        if is_blocked_error(error):
            raise BlockedAddressError from None
        raise StorageUnreachableError(gettext("The storage does not respond; try again later")) from None


def _parts(response: requests.Response) -> Iterator[bytes]:
    with request_errors(), response:
        yield from response.iter_content(CHUNK_BYTES)

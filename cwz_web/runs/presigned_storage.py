"""A render worker's buckets. The worker holds no storage credentials.

`PresignedBucket` talks to the storage through presigned URLs, one object at a time, each valid for a few minutes.
`RelayedBucket` reads and stores through the web application, for providers that cannot presign URLs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, Self, TypeVar
from uuid import UUID

import requests
from urllib3.exceptions import HTTPError

from cwz_web.net.client import BlockedRequestError
from cwz_web.net.guard import OutboundPolicy, is_blocked_error
from cwz_web.runs.protocol import (
    MAX_IMAGE_BYTES,
    ObjectBody,
    ObjectRequest,
    ObjectResponse,
    ObjectSize,
    ObjectSizeRequest,
    PresignedUrls,
    PresignedUrlsRequest,
    ReadObjectRequest,
    RunFinished,
    RunFinishedError,
    StorageFailure,
    StoreImageRequest,
)
from cwz_web.storage.contract import (
    BlockedAddressError,
    BucketNotFoundError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StorageError,
    StorageThrottledError,
    StorageUnreachableError,
)
from cwz_web.storage.image_objects import NO_LABEL, ImageLabel
from cwz_web.storage.plugins import DelegatedConnection

TIMEOUT = (5, 60)
# Bytes that are read of a response whose body does not matter, so that its connection can be used again.
DRAIN_BYTES = 16 * 1024
PART_BYTES = 256 * 1024
STATUS_ERRORS: dict[int, tuple[type[StorageError], str]] = {
    403: (PermissionDeniedError, "The storage rejected the presigned URL"),
    404: (BucketNotFoundError, "The storage does not have this bucket"),
    429: (StorageThrottledError, "The storage limits the rate of requests"),
    503: (StorageThrottledError, "The storage limits the rate of requests"),
}

Response = TypeVar("Response", bound=ObjectResponse)


class ObjectClient(Protocol):
    """What a bucket needs of the client of the web application."""

    def access_object(self, request: ObjectRequest) -> ObjectResponse:
        """Return presigned URLs of an object, or read or store it through the web application."""


class _WebClient:
    """Requests about the objects of one connection, for one run."""

    def __init__(self, client: ObjectClient, run_id: UUID, connection: DelegatedConnection) -> None:
        self._client = client
        self._common = {
            "workspace_id": connection.workspace_id,
            "run_id": run_id,
            "connection_id": connection.connection_id,
        }

    def presign(self, key: str, label: ImageLabel = NO_LABEL) -> PresignedUrls:
        return self._send(PresignedUrlsRequest(**self._common, key=key, label=label), PresignedUrls)

    def size(self, key: str, label: ImageLabel) -> int | None:
        return self._send(ObjectSizeRequest(**self._common, key=key, label=label), ObjectSize).size

    def read(self, key: str) -> bytes | None:
        return self._send(ReadObjectRequest(**self._common, key=key), ObjectBody).body

    def store(self, key: str, body: bytes, label: ImageLabel) -> None:
        self._send(StoreImageRequest(**self._common, key=key, body=body, label=label), ObjectSize)

    def _send(self, request: ObjectRequest, response_type: type[Response]) -> Response:
        response = self._client.access_object(request)
        if isinstance(response, RunFinished):
            raise RunFinishedError
        if isinstance(response, StorageFailure):
            raise (StorageUnreachableError if response.is_temporary else StorageError)(response.message)
        if not isinstance(response, response_type):
            raise StorageError("The web application sent an unexpected response; is it of another version?")
        return response


class RelayedBucket:
    """A bucket behind the web application, for one chunk. Thread-safe.

    Args:
        client: the client of the web application.
        run_id: the run that the chunk belongs to.
        connection: the connection of the bucket.
    """

    def __init__(self, client: ObjectClient, run_id: UUID, connection: DelegatedConnection) -> None:
        self._web = _WebClient(client, run_id, connection)

    def stream(self, key: str) -> Iterator[bytes]:
        """As in Bucket."""
        body = self._web.read(key)
        if body is None:
            raise ObjectNotFoundError("The storage does not have this object")
        yield body

    def find_image(self, key: str, label: ImageLabel) -> int | None:
        """As in ImageBucket."""
        return self._web.size(key, label)

    def put_image(self, key: str, body: bytes, label: ImageLabel, *, content_type: str) -> None:
        """As in ImageBucket; the web application derives the content type from the key."""
        if len(body) > MAX_IMAGE_BYTES:
            raise StorageError(
                f"The image is larger than {MAX_IMAGE_BYTES // 1024**2} MB, the limit for storage without presigned"
                " URLs. Choose a smaller size or a format with more compression"
            )
        self._web.store(key, body, label)


class PresignedBucket:
    """A bucket over presigned URLs, for one chunk. Thread-safe; a context manager that closes its connections.

    Args:
        client: the client of the web application, which presigns the URLs.
        run_id: the run that the chunk belongs to.
        connection: the connection of the bucket.
        outbound: restricts requests to the storage's hosts.
    """

    def __init__(
        self, client: ObjectClient, run_id: UUID, connection: DelegatedConnection, outbound: OutboundPolicy
    ) -> None:
        self._web = _WebClient(client, run_id, connection)
        self._session = outbound.guard(requests.Session())
        self._uploads: dict[str, PresignedUrls] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self._session.close()

    def stream(self, key: str) -> Iterator[bytes]:
        """As in Bucket."""
        with self._send("GET", self._web.presign(key).get) as response:
            if response.status_code == 404:
                raise ObjectNotFoundError("The storage does not have this object")
            _raise_for_status(response)
            while part := _read(response, PART_BYTES):
                yield part

    def find_image(self, key: str, label: ImageLabel) -> int | None:
        """As in ImageBucket. The URL of an image that does not exist is kept for `put_image`.

        A storage without permission to list objects answers 403 for a missing one, so 403 means "missing" here.
        """
        urls = self._web.presign(key, label)
        self._uploads[key] = urls
        with self._send("GET", urls.get, headers={"Range": "bytes=0-0"}) as response:
            if response.status_code not in (403, 404, 416):
                _raise_for_status(response)
                size = response.headers.get("Content-Range", "").rpartition("/")[2]
                size = size or response.headers.get("Content-Length", "")
                if size.isdecimal():
                    self._uploads.pop(key, None)  # another row with the same image may have taken it
                    return int(size)
        return None

    def put_image(self, key: str, body: bytes, label: ImageLabel, *, content_type: str) -> None:
        """As in ImageBucket. The headers are signed with the URL, so the storage refuses others."""
        urls = self._uploads.pop(key, None) or self._web.presign(key, label)
        headers = {"Content-Type": content_type, **urls.put_headers}
        with self._send("PUT", urls.put or "", body, headers) as response:
            _raise_for_status(response)

    @contextmanager
    def _send(
        self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """Send a request; then drain the rest of a small response, so that the connection is reused."""
        try:
            response = self._session.request(
                method, url, data=body, headers=headers, timeout=TIMEOUT, stream=True, allow_redirects=False
            )
        except (BlockedRequestError, requests.RequestException) as error:
            if is_blocked_error(error):
                raise BlockedAddressError from None
            # The error's text contains the presigned URL.
            raise StorageUnreachableError("The storage does not respond") from None
        with response:
            try:
                yield response
            finally:
                _read(response, DRAIN_BYTES)


def _read(response: requests.Response, max_bytes: int) -> bytes:
    """Read at most so many bytes of the body. Raise StorageUnreachableError."""
    try:
        data: bytes = response.raw.read(max_bytes, decode_content=False)
    except (HTTPError, OSError):
        raise StorageUnreachableError("The storage closed the connection too early") from None
    return data


def _raise_for_status(response: requests.Response) -> None:
    """Raise the StorageError that a response's status stands for."""
    if response.status_code in STATUS_ERRORS:
        error_type, message = STATUS_ERRORS[response.status_code]
        raise error_type(message)
    if response.status_code >= 500:
        raise StorageUnreachableError(f"The storage answered with status {response.status_code}")
    if response.status_code >= 300:
        raise StorageError(f"The storage answered with status {response.status_code}")

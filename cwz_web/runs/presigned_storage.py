"""Storage for a worker that holds no credentials: the web application signs an address for each object it may touch.

Only for connections whose provider can sign addresses for reading and for storing (`Providers.lend`). A worker may read
the originals of a workspace and store its images, one key at a time, for a few minutes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, Self
from uuid import UUID

import requests
from sqlalchemy.orm import Session
from urllib3.exceptions import HTTPError

from cwz_web.imaging.encoders import Format
from cwz_web.net.client import RequestRefusedError
from cwz_web.net.guard import Outbound, refusal_in
from cwz_web.runs.models import Run
from cwz_web.runs.protocol import Address, AskAddress, RunGoneError, Trouble
from cwz_web.storage.connections import CHOSEN_GONE
from cwz_web.storage.contract import (
    BlockedAddressError,
    BucketNotFoundError,
    ObjectInfo,
    ObjectNotFoundError,
    PermissionDeniedError,
    StorageError,
    StorageThrottledError,
    StorageUnreachableError,
)
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import DelegatedConnection, Place, Providers

LENT_SECONDS = 300
TIMEOUT = (5, 60)
SMALL = 16 * 1024
PART_BYTES = 256 * 1024
ANSWERS: dict[int, tuple[type[StorageError], str]] = {
    403: (PermissionDeniedError, "The storage refused the signed address"),
    404: (BucketNotFoundError, "The storage does not know the bucket"),
    429: (StorageThrottledError, "The storage wants fewer requests"),
    503: (StorageThrottledError, "The storage wants fewer requests"),
}


def delegated_connection(db: Session, ask: AskAddress) -> Place | None:
    """The connection that a worker asks about; None when it was removed. Raises Gone when the run is not there."""
    if db.get(Run, (ask.workspace_id, ask.run_id)) is None:
        raise RunGoneError
    connection = db.get(Connection, (ask.workspace_id, ask.connection_id))
    return connection.place if connection else None


def lend(providers: Providers, place: Place | None, key: str) -> Address | Trouble:
    """The addresses of an object. Nothing is asked of the storage, so that no request here waits for it."""
    if place is None:
        return Trouble(message=CHOSEN_GONE, passing=False)
    try:
        bucket = providers.open(place)
        read = bucket.presign_get(key, LENT_SECONDS)
        extension = key.partition(".")[2]
        if not extension:
            return Address(read=read)
        content_type = Format(extension).content_type
        return Address(read=read, store=bucket.presign_put(key, LENT_SECONDS, content_type=content_type))
    except StorageError as error:
        return Trouble(message=str(error)[:500], passing=isinstance(error, StorageUnreachableError))


class AddressClient(Protocol):
    """A worker's way to ask for addresses."""

    def address(self, ask: AskAddress) -> Address | Trouble:
        """An address to read or store an object."""


class PresignedBucket:
    """A worker's bucket over signed addresses, for one chunk. Safe to use from several threads; to be closed.

    Arguments:
        client: how to ask the web application.
        run_id: for which run.
        outbound: the way to the storage's hosts.
    """

    def __init__(self, client: AddressClient, run_id: UUID, place: DelegatedConnection, outbound: Outbound) -> None:
        self._client = client
        self._about = {"workspace_id": place.workspace_id, "run_id": run_id, "connection_id": place.connection_id}
        self._session = outbound.guard(requests.Session())
        self._to_store: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self._session.close()

    def stream(self, key: str) -> Iterator[bytes]:
        """As in Bucket."""
        with self._send("GET", self._ask(key).read) as response:
            if response.status_code == 404:
                raise ObjectNotFoundError("The storage does not have it")
            _check(response)
            while part := _read(response, PART_BYTES):
                yield part

    def head(self, key: str) -> ObjectInfo:
        """As in Bucket, for an image; one that is not there may be put afterwards.

        A storage that does not let us list says 403 of what is not there, so that is no refusal yet.
        """
        address = self._ask(key)
        self._to_store[key] = address.store or ""
        with self._send("GET", address.read, headers={"Range": "bytes=0-0"}) as response:
            if response.status_code not in (403, 404, 416):
                _check(response)
                size = response.headers.get("Content-Range", "").rpartition("/")[2]
                size = size or response.headers.get("Content-Length", "")
                if size.isdecimal():
                    del self._to_store[key]
                    return ObjectInfo(key, int(size))
            raise ObjectNotFoundError("There is no such image yet")

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """As in Bucket, for an image that `head` did not find."""
        with self._send("PUT", self._to_store.pop(key), body, {"Content-Type": content_type}) as response:
            _check(response)

    def _ask(self, key: str) -> Address:
        answer = self._client.address(AskAddress(**self._about, key=key))
        if isinstance(answer, Trouble):
            raise StorageUnreachableError(answer.message) if answer.passing else StorageError(answer.message)
        return answer

    @contextmanager
    def _send(
        self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """Send a request; its answer is read to a small end, without which the connection could not be used again."""
        try:
            response = self._session.request(
                method, url, data=body, headers=headers, timeout=TIMEOUT, stream=True, allow_redirects=False
            )
        except (RequestRefusedError, requests.RequestException) as error:
            if refusal_in(error):
                raise BlockedAddressError("The storage's address leads where no request of ours may go") from None
            # The error's text has the signed address in it.
            raise StorageUnreachableError("The storage does not answer") from None
        with response:
            try:
                yield response
            finally:
                _read(response, SMALL)


def _read(response: requests.Response, at_most: int) -> bytes:
    """What the storage sends, or the beginning of it. Raises Unreachable."""
    try:
        data: bytes = response.raw.read(at_most, decode_content=False)
    except (HTTPError, OSError):
        raise StorageUnreachableError("The storage broke off its answer") from None
    return data


def _check(response: requests.Response) -> None:
    """Raise the StorageError that an answer stands for."""
    if response.status_code in ANSWERS:
        kind, saying = ANSWERS[response.status_code]
        raise kind(saying)
    if response.status_code >= 500:
        raise StorageUnreachableError(f"The storage answered with status {response.status_code}")
    if response.status_code >= 300:
        raise StorageError(f"The storage answered with status {response.status_code}")

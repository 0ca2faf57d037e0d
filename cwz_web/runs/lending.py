"""Storage for a worker that holds no credentials: the web application signs an address for each object it may touch.

Only for connections whose provider can sign addresses for reading and for storing (`Providers.lend`). A worker may read
the originals of a workspace and store its pictures, one key at a time, for a few minutes.
"""

from typing import Protocol, Self
from uuid import UUID

import requests
from sqlalchemy.orm import Session

from cwz_web.imaging.encoders import Format
from cwz_web.imaging.pictures import MAX_BYTES
from cwz_web.net.client import Refused
from cwz_web.net.guard import Outbound, refusal_in
from cwz_web.runs.models import Run
from cwz_web.runs.protocol import Address, AskAddress, Gone, Trouble
from cwz_web.storage.contract import (
    NoSuchBucket,
    NotFound,
    NotPermitted,
    ObjectInfo,
    StorageError,
    Throttled,
    Unreachable,
    UnsafeAddress,
)
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import Lent, Place, Providers

LENT_SECONDS = 300
TIMEOUT = (5, 60)
ANSWERS: dict[int, tuple[type[StorageError], str]] = {
    403: (NotPermitted, "The storage refused the signed address"),
    404: (NoSuchBucket, "The storage does not know the bucket"),
    429: (Throttled, "The storage wants fewer requests"),
    503: (Throttled, "The storage wants fewer requests"),
}


def lent_place(db: Session, ask: AskAddress) -> Place:
    """The connection that a worker asks about. Raises Gone when it, or the run, is not there any more."""
    connection = db.get(Connection, (ask.workspace_id, ask.connection_id))
    if connection is None or db.get(Run, (ask.workspace_id, ask.run_id)) is None:
        raise Gone
    return connection.place


def lend(providers: Providers, place: Place, key: str) -> Address | Trouble:
    """An address to read an original, or to store a picture unless it is there. Talks to the storage."""
    try:
        bucket = providers.open(place)
        picture, _, extension = key.rpartition(".")
        if not picture:
            return Address(url=bucket.presign_get(key, LENT_SECONDS))
        try:
            return Address(size=bucket.head(key).size)
        except NotFound:
            content_type = Format(extension).content_type
            return Address(url=bucket.presign_put(key, LENT_SECONDS, content_type=content_type))
    except StorageError as error:
        return Trouble(message=str(error)[:500], passing=isinstance(error, Unreachable))


class AddressClient(Protocol):
    """A worker's way to ask for addresses."""

    def address(self, ask: AskAddress) -> Address | Trouble:
        """An address to read or store an object."""


class LentBucket:
    """A worker's bucket over signed addresses, for one chunk. Safe to use from several threads; to be closed.

    Arguments:
        client: how to ask the web application.
        run_id: for which run.
        outbound: the way to the storage's hosts.
    """

    def __init__(self, client: AddressClient, run_id: UUID, place: Lent, outbound: Outbound) -> None:
        self._client = client
        self._about = {"workspace_id": place.workspace_id, "run_id": run_id, "connection_id": place.connection_id}
        self._session = outbound.guard(requests.Session())
        self._to_store: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self._session.close()

    def get(self, key: str) -> bytes:
        """As in Bucket, at most as many bytes as a picture may have."""
        address = self._ask(key)
        with self._send("GET", address.url) as response:
            if response.status_code == 404:
                raise NotFound("The storage does not have it")
            _check(response)
            try:
                data: bytes = response.raw.read(MAX_BYTES + 1, decode_content=False)
            except Exception as error:  # whatever urllib3 raises when a connection breaks
                raise Unreachable("The storage broke off its answer") from error
            return data

    def head(self, key: str) -> ObjectInfo:
        """As in Bucket, for a picture; one that is not there may be put afterwards."""
        address = self._ask(key)
        if address.size is None:
            self._to_store[key] = address.url or ""
            raise NotFound("There is no such picture yet")
        return ObjectInfo(key, address.size)

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """As in Bucket, for a picture that `head` did not find."""
        with self._send("PUT", self._to_store.pop(key), body, {"Content-Type": content_type}) as response:
            _check(response)

    def _ask(self, key: str) -> Address:
        answer = self._client.address(AskAddress(**self._about, key=key))
        if isinstance(answer, Trouble):
            raise Unreachable(answer.message) if answer.passing else StorageError(answer.message)
        return answer

    def _send(
        self, method: str, url: str | None, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> requests.Response:
        try:
            return self._session.request(
                method, url or "", data=body, headers=headers, timeout=TIMEOUT, stream=True, allow_redirects=False
            )
        except (Refused, requests.RequestException) as error:
            if refusal_in(error):
                raise UnsafeAddress("The storage's address leads where no request of ours may go") from None
            # The error's text has the signed address in it.
            raise Unreachable("The storage does not answer") from None


def _check(response: requests.Response) -> None:
    """Raise the StorageError that an answer stands for."""
    if response.status_code in ANSWERS:
        kind, saying = ANSWERS[response.status_code]
        raise kind(saying)
    if response.status_code >= 500:
        raise Unreachable(f"The storage answered with status {response.status_code}")
    if response.status_code >= 300:
        raise StorageError(f"The storage answered with status {response.status_code}")

"""A bucket of Google Cloud Storage, over google-cloud-storage (plugins/firebase stores there too).

Nothing of the environment is used: no GOOGLE_APPLICATION_CREDENTIALS, no STORAGE_EMULATOR_HOST, no metadata server.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, BinaryIO

import google.auth.exceptions
import requests
from google.api_core import exceptions as api
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import storage
from google.cloud.storage.blob import Blob
from google.oauth2 import service_account
from google.resumable_media.common import DataCorruption, InvalidResponse

from cwz_storage_gcs import ENDPOINT
from cwz_web.net.client import RequestRefusedError
from cwz_web.net.guard import refusal_in
from cwz_web.storage import (
    BlockedAddressError,
    BucketNotFoundError,
    ClockSkewError,
    InvalidCredentialsError,
    InvalidSettingsError,
    ObjectExistsError,
    ObjectInfo,
    ObjectNotFoundError,
    Outbound,
    PermissionDeniedError,
    StorageError,
    StorageThrottledError,
    StorageUnreachableError,
    check_key,
)

TIMEOUT = (3, 15)
PART_BYTES = 8 * 1024 * 1024
SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
AT_ONCE = 8
_make_credentials: Any = service_account.Credentials.from_service_account_info


def service_account_of(info: Mapping[str, Any]) -> service_account.Credentials:
    """Credentials of a checked key file. Raises InvalidCredentialsError when its private key cannot be read."""
    try:
        made: service_account.Credentials = _make_credentials(info, scopes=SCOPES)
    except (ValueError, TypeError):
        raise InvalidCredentialsError("The private key in the key file cannot be read; download a new key") from None
    return made


def make_client(outbound: Outbound, credentials: service_account.Credentials, emulator: str | None) -> storage.Client:
    """A client whose every connection, those for access tokens as well, goes through the guard."""
    if emulator:
        session = outbound.guard(requests.Session())
    else:
        tokens = Request(outbound.guard(requests.Session()))
        session = outbound.guard(AuthorizedSession(credentials, auth_request=tokens))  # type: ignore[no-untyped-call]
    return storage.Client(
        project=credentials.project_id,
        credentials=credentials,
        _http=session,
        client_options={"api_endpoint": emulator or ENDPOINT},
    )


class GcsBucket:
    """Objects of one bucket."""

    def __init__(self, client: storage.Client, name: str, credentials: service_account.Credentials) -> None:
        self._client = client
        self._bucket = client.bucket(name)
        self._credentials = credentials

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str,
        cache_control: str = "",
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> None:
        """One request for bytes; a resumable upload in parts for a stream."""
        blob = self._blob(key)
        blob.metadata = dict(metadata or {})
        if cache_control:
            blob.cache_control = cache_control
        condition = {"if_generation_match": 0} if if_absent else {}
        file = io.BytesIO(body) if isinstance(body, bytes) else body
        size = len(body) if isinstance(body, bytes) else None
        blob.chunk_size = None if isinstance(body, bytes) else PART_BYTES
        with _storage_errors():
            blob.upload_from_file(
                file, size=size, content_type=content_type, timeout=TIMEOUT, retry=None, checksum=None, **condition
            )

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """The object, or a part of it."""
        if length == 0:
            self.head(key)
            return b""
        part = {"start": start, "end": None if length is None else start + length - 1} if start or length else {}
        with _storage_errors(), suppress(api.RequestRangeNotSatisfiable):
            data: bytes = self._blob(key).download_as_bytes(raw_download=True, timeout=TIMEOUT, retry=None, **part)
            return data
        return b""

    def stream(self, key: str) -> Iterator[bytes]:
        """The object in parts; one request for a small one."""
        return self._parts(key, self.get(key, 0, PART_BYTES))

    def _parts(self, key: str, part: bytes) -> Iterator[bytes]:
        start = 0
        while part:
            yield part
            start += len(part)
            part = self.get(key, start, PART_BYTES) if len(part) == PART_BYTES else b""

    def head(self, key: str) -> ObjectInfo:
        """What is known of an object."""
        blob = self._blob(key)
        with _storage_errors():
            blob.reload(timeout=TIMEOUT, retry=None)
        return ObjectInfo(key, blob.size, blob.content_type or "", blob.cache_control or "", blob.metadata or {})

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Page by page."""
        with _storage_errors():
            for blob in self._client.list_blobs(self._bucket, prefix=prefix or None, timeout=TIMEOUT, retry=None):
                yield ObjectInfo(blob.name, blob.size)

    def delete(self, key: str) -> None:
        """Remove an object."""
        with suppress(ObjectNotFoundError), _storage_errors():
            self._blob(key).delete(timeout=TIMEOUT, retry=None)

    def delete_many(self, keys: Iterable[str]) -> None:
        """One by one, several at a time: the JSON API has nothing better since its batches are bound to other hosts."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(self.delete, keys):
                pass

    def presign_get(self, key: str, seconds: int) -> str:
        """A signed URL (V4) for reading."""
        return self._signed(key, seconds, method="GET")

    def presign_put(self, key: str, seconds: int, *, content_type: str) -> str:
        """A signed URL (V4) for storing."""
        return self._signed(key, seconds, method="PUT", content_type=content_type)

    def public_url(self, key: str) -> str:
        """The object's address at the storage."""
        return str(self._blob(key).public_url)

    def _signed(self, key: str, seconds: int, **how: str) -> str:
        url = self._blob(key).generate_signed_url(
            version="v4",
            expiration=timedelta(seconds=seconds),
            credentials=self._credentials,
            api_access_endpoint=self._client._connection.API_BASE_URL,
            **how,
        )
        return str(url)

    def _blob(self, key: str) -> Blob:
        return self._bucket.blob(check_key(key))


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Google's errors in the contract's words."""
    try:
        yield
    except api.RequestRangeNotSatisfiable:
        raise
    except api.GoogleAPICallError as error:
        raise _refusal(int(error.code or 0), str(error.message)) from None
    except InvalidResponse as error:
        raise _refusal(error.response.status_code, error.response.text) from None
    except google.auth.exceptions.RefreshError as error:
        if refusal_in(error):
            raise BlockedAddressError("The storage's address leads where no request of ours may go") from None
        if "iat" in str(error) or "clock" in str(error).lower():
            raise ClockSkewError("This server's clock is wrong; its operator has to set it") from None
        raise InvalidCredentialsError(
            "Google does not accept this key any more; make a new one and type it in"
        ) from None
    except (
        RequestRefusedError,
        google.auth.exceptions.GoogleAuthError,
        requests.RequestException,
        DataCorruption,
    ) as error:
        if refusal_in(error):
            raise BlockedAddressError("The storage's address leads where no request of ours may go") from None
        raise StorageUnreachableError("The storage does not answer; it is tried again later") from None


def _refusal(status: int, text: str) -> StorageError:
    match status:
        case 401:
            return InvalidCredentialsError("Google does not accept this key; make a new one and type it in")
        case 403:
            return PermissionDeniedError(
                "The service account may not do this; give it Storage Object Admin on this bucket"
            )
        case 404 if "specified bucket" in text.lower():
            return BucketNotFoundError("There is no bucket of this name; look for a typing mistake")
        case 404:
            return ObjectNotFoundError("There is no such object")
        case 412:
            return ObjectExistsError("There is such an object already")
        case 429 | 503:
            return StorageThrottledError("The storage wants fewer requests; it is tried again later")
        case _ if status >= 500:
            return StorageUnreachableError("The storage has a problem of its own; it is tried again later")
    return InvalidSettingsError(f"The storage refuses the request (HTTP {status})")

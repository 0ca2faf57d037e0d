"""A bucket of Google Cloud Storage, with google-cloud-storage; also the base of plugins/firebase.

Nothing comes from the environment: no GOOGLE_APPLICATION_CREDENTIALS, no STORAGE_EMULATOR_HOST, no metadata server.
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
from cwz_web.net.client import BlockedRequestError
from cwz_web.net.guard import is_blocked_error
from cwz_web.storage import (
    BlockedAddressError,
    Bucket,
    BucketNotFoundError,
    ClockSkewError,
    InvalidCredentialsError,
    ObjectAttributes,
    ObjectInfo,
    ObjectNotFoundError,
    OutboundPolicy,
    PermissionDeniedError,
    PresignedUpload,
    StorageError,
    StorageUnreachableError,
    check_key,
)
from cwz_web.storage.http import error_for_status

TIMEOUT = (3, 15)
PART_BYTES = 8 * 1024 * 1024
SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
DELETE_THREADS = 8


def service_account_of(info: Mapping[str, Any]) -> service_account.Credentials:
    """Return the credentials of a checked key file. Raises InvalidCredentialsError for an invalid private key."""
    from_info: Any = service_account.Credentials.from_service_account_info
    try:
        credentials: service_account.Credentials = from_info(info, scopes=SCOPES)
    except (ValueError, TypeError):
        raise InvalidCredentialsError("The private key in the key file is not valid; download a new key") from None
    return credentials


def make_client(
    outbound: OutboundPolicy, credentials: service_account.Credentials, emulator: str | None
) -> storage.Client:
    """Return a client that sends every request, also those for access tokens, through the guard."""
    if emulator:
        session = outbound.guard(requests.Session())
    else:
        tokens = Request(outbound.guard(requests.Session()))
        session = outbound.guard(AuthorizedSession(credentials, auth_request=tokens))  # type: ignore[no-untyped-call]
    return storage.Client(
        project=credentials.project_id,
        credentials=credentials,
        _http=session,  # private, but the only parameter for the session: the SSRF guard has to open its sockets
        client_options={"api_endpoint": emulator or ENDPOINT},
    )


class GcsBucket(Bucket):
    """Objects of one bucket."""

    def __init__(
        self, client: storage.Client, name: str, credentials: service_account.Credentials, endpoint: str
    ) -> None:
        self._client = client
        self._endpoint = endpoint
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
        """Send one request for bytes, and a resumable upload for a file."""
        attributes = ObjectAttributes(content_type, cache_control, metadata=metadata or {})
        self._upload(key, body, attributes, **({"if_generation_match": 0} if if_absent else {}))

    def put_object(self, key: str, body: bytes, attributes: ObjectAttributes) -> None:
        """Send one request."""
        self._upload(key, body, attributes)

    def _upload(self, key: str, body: bytes | BinaryIO, attributes: ObjectAttributes, **condition: int) -> None:
        blob = self._blob(key)
        blob.metadata = dict(attributes.metadata)
        if attributes.cache_control:
            blob.cache_control = attributes.cache_control
        if attributes.content_disposition:
            blob.content_disposition = attributes.content_disposition
        file = io.BytesIO(body) if isinstance(body, bytes) else body
        size = len(body) if isinstance(body, bytes) else None
        blob.chunk_size = None if isinstance(body, bytes) else PART_BYTES
        with _storage_errors():
            blob.upload_from_file(
                file,
                size=size,
                content_type=attributes.content_type,
                timeout=TIMEOUT,
                retry=None,
                checksum=None,
                **condition,
            )

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read an object, or a part of it."""
        if length == 0:
            self.head(key)
            return b""
        part = {"start": start, "end": None if length is None else start + length - 1} if start or length else {}
        with _storage_errors(), suppress(api.RequestRangeNotSatisfiable):
            data: bytes = self._blob(key).download_as_bytes(raw_download=True, timeout=TIMEOUT, retry=None, **part)
            return data
        return b""

    def stream(self, key: str) -> Iterator[bytes]:
        """Read an object in parts, a request each."""
        return self._parts(key, self.get(key, 0, PART_BYTES))

    def _parts(self, key: str, part: bytes) -> Iterator[bytes]:
        start = 0
        while part:
            yield part
            start += len(part)
            part = self.get(key, start, PART_BYTES) if len(part) == PART_BYTES else b""

    def head(self, key: str) -> ObjectInfo:
        """Read the metadata of an object."""
        blob = self._blob(key)
        with _storage_errors():
            blob.reload(timeout=TIMEOUT, retry=None)
        return ObjectInfo(
            key,
            blob.size,
            blob.content_type or "",
            blob.cache_control or "",
            blob.metadata or {},
            blob.content_disposition or "",
        )

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """List the objects page by page."""
        with _storage_errors():
            for blob in self._client.list_blobs(self._bucket, prefix=prefix or None, timeout=TIMEOUT, retry=None):
                yield ObjectInfo(blob.name, blob.size)

    def delete(self, key: str) -> None:
        """Delete an object."""
        with suppress(ObjectNotFoundError), _storage_errors():
            self._blob(key).delete(timeout=TIMEOUT, retry=None)

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete objects in several threads: batches of the JSON API use other hosts."""
        with ThreadPoolExecutor(DELETE_THREADS) as pool:
            for _ in pool.map(self.delete, keys):
                pass

    def presign_get(self, key: str, seconds: int) -> str:
        """Return a presigned URL (V4) for GET."""
        return self._presign(key, seconds, method="GET")

    def presign_put(self, key: str, seconds: int, *, content_type: str) -> str:
        """Return a presigned URL (V4) for PUT."""
        return self._presign(key, seconds, method="PUT", content_type=content_type)

    def presign_upload(self, key: str, seconds: int, attributes: ObjectAttributes) -> PresignedUpload:
        """Return a presigned URL (V4) for PUT whose signature includes the headers of the attributes."""
        headers = attributes.headers | {f"x-goog-meta-{name}": value for name, value in attributes.metadata.items()}
        return PresignedUpload(self._presign(key, seconds, method="PUT", headers=dict(headers)), headers)

    def public_url(self, key: str) -> str:
        """Return the object's URL at storage.googleapis.com."""
        return str(self._blob(key).public_url)

    def _presign(self, key: str, seconds: int, **options: Any) -> str:
        url = self._blob(key).generate_signed_url(
            version="v4",
            expiration=timedelta(seconds=seconds),
            credentials=self._credentials,
            api_access_endpoint=self._endpoint,
            **options,
        )
        return str(url)

    def _blob(self, key: str) -> Blob:
        return self._bucket.blob(check_key(key))


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Translate Google's errors."""
    try:
        yield
    except api.RequestRangeNotSatisfiable:
        raise
    except api.GoogleAPICallError as error:
        raise _error_for_status(int(error.code or 0), str(error.message)) from None
    except InvalidResponse as error:
        raise _error_for_status(error.response.status_code, error.response.text) from None
    except google.auth.exceptions.RefreshError as error:
        if is_blocked_error(error):
            raise BlockedAddressError from None
        if "iat" in str(error) or "clock" in str(error).lower():
            raise ClockSkewError("This server's clock is wrong; the operator has to correct it") from None
        raise InvalidCredentialsError("Google rejects this key; create a new one and enter it") from None
    except (
        BlockedRequestError,
        google.auth.exceptions.GoogleAuthError,
        requests.RequestException,
        DataCorruption,
    ) as error:
        if is_blocked_error(error):
            raise BlockedAddressError from None
        raise StorageUnreachableError("The storage does not respond; try again later") from None


def _error_for_status(status: int, text: str) -> StorageError:
    match status:
        case 401:
            return InvalidCredentialsError("Google rejects this key; create a new one and enter it")
        case 403:
            return PermissionDeniedError("Grant the service account the role Storage Object Admin on this bucket")
        case 404 if "specified bucket" in text.lower():
            return BucketNotFoundError("The bucket does not exist; check its name")
    return error_for_status(status)

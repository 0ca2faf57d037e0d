"""A bucket that speaks S3, with boto3: for AWS, and for compatible storage (plugins/r2).

Nothing comes from the environment: no AWS_* variable, no ~/.aws, no instance metadata, no proxy.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.awsrequest import AWSHTTPConnection, AWSHTTPSConnection
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConstantProvider
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import URLLib3Session
from botocore.parsers import ResponseParserError

from cwz_storage_s3 import S3Credentials
from cwz_web.net.guard import CA_FILE, is_blocked_error
from cwz_web.storage import (
    BlockedAddressError,
    Bucket,
    BucketNotFoundError,
    ClockSkewError,
    InvalidCredentialsError,
    InvalidSettingsError,
    ObjectAttributes,
    ObjectExistsError,
    ObjectInfo,
    ObjectNotFoundError,
    OutboundPolicy,
    PermissionDeniedError,
    PresignedUpload,
    StorageError,
    StorageThrottledError,
    StorageUnreachableError,
    check_key,
)
from cwz_web.storage.http import error_for_status

CONNECT_SECONDS, READ_SECONDS = 3, 15
CONNECTIONS = 32
PART_BYTES = 8 * 1024 * 1024
DELETE_BATCH = 1000

# The error and its message by S3 error code or HTTP status.
ERRORS: dict[str, tuple[type[StorageError], str]] = {
    **dict.fromkeys(
        ("InvalidAccessKeyId", "InvalidToken", "ExpiredToken", "Unauthorized", "401"),
        (InvalidCredentialsError, "The storage rejects this access key; create a new one and enter it"),
    ),
    "SignatureDoesNotMatch": (
        InvalidCredentialsError,
        "The secret does not match the access key; enter both again",
    ),
    "NoSuchBucket": (BucketNotFoundError, "The bucket does not exist; check its name"),
    **dict.fromkeys(("NoSuchKey", "404"), (ObjectNotFoundError, "The object does not exist")),
    **dict.fromkeys(
        ("PreconditionFailed", "ConditionalRequestConflict", "412"),
        (ObjectExistsError, "The object exists already"),
    ),
    **dict.fromkeys(
        ("AccessDenied", "AllAccessDisabled", "403"),
        (PermissionDeniedError, "Allow the access key to read, write, list and delete in this bucket"),
    ),
    "RequestTimeTooSkewed": (ClockSkewError, "This server's clock is wrong; the operator has to correct it"),
    **dict.fromkeys(
        ("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "429", "503"),
        (StorageThrottledError, "The storage limits the request rate; try again later"),
    ),
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "307"),
        (InvalidSettingsError, "The bucket is in another region; change the region"),
    ),
}


def known_regions() -> frozenset[str]:
    """Return the S3 regions of every partition, from botocore's data."""
    session = _session()
    return frozenset(
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("s3", partition_name=partition)
    )


@lru_cache(maxsize=256)
def region_host(region: str, endpoint_type: str) -> str:
    """Return the host of S3 in a region, from botocore's data."""
    config = Config(
        use_dualstack_endpoint="dualstack" in endpoint_type,
        use_fips_endpoint="fips" in endpoint_type,
        ignore_configured_endpoint_urls=True,
        s3={"us_east_1_regional_endpoint": "regional"},
    )
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    client = _session().create_client("s3", region_name=region, config=config, verify=CA_FILE, **keys)
    return str(urlsplit(client.meta.endpoint_url).hostname)


def host_of(endpoint: str) -> str:
    """Return `host:port` of an endpoint."""
    parts = urlsplit(endpoint)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def make_client(
    outbound: OutboundPolicy,
    *,
    endpoint: str,
    region: str,
    credentials: S3Credentials,
    path_style: bool,
) -> Any:
    """Return a boto3 client that sends every request through the guard."""
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=CONNECTIONS,
        proxies={},
        ignore_configured_endpoint_urls=True,
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if path_style else "virtual"},
    )
    client = boto3.session.Session(botocore_session=_fresh_session()).client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=credentials.access_key_id.get_secret_value(),
        aws_secret_access_key=credentials.secret_access_key.get_secret_value(),
        verify=CA_FILE,
        config=config,
    )
    # A response from a handler of "before-send" takes the place of botocore's own request.
    session = _GuardedSession(outbound)
    client.meta.events.register_first("before-send.s3", lambda request, **_: session.send(request))
    client.meta.events.register_last("before-parameter-build.s3", _never_redirect)
    return client


def _never_redirect(context: dict[str, Any], **_: Any) -> None:
    """Keep botocore from following a redirect to another region: the customer corrects the region instead."""
    if "s3_redirect" in context:
        context["s3_redirect"]["redirected"] = True


class S3Bucket(Bucket):
    """Objects of one bucket."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

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
        """Send one request for a body of one part, and a multipart upload for a larger one."""
        params = _attribute_params(ObjectAttributes(content_type, cache_control, metadata=metadata or {}))
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        first = body if isinstance(body, bytes) else body.read(PART_BYTES)
        with _storage_errors():
            if isinstance(body, bytes) or len(first) < PART_BYTES:
                self._client.put_object(**self._params(key), Body=first, **params, **condition)
            else:
                self._put_parts(key, first, body, params, condition)

    def put_object(self, key: str, body: bytes, attributes: ObjectAttributes) -> None:
        """Send one request."""
        with _storage_errors():
            self._client.put_object(**self._params(key), Body=body, **_attribute_params(attributes))

    def _put_parts(
        self, key: str, first: bytes, rest: BinaryIO, params: dict[str, Any], condition: dict[str, str]
    ) -> None:
        upload = self._params(key) | {
            "UploadId": self._client.create_multipart_upload(**self._params(key), **params)["UploadId"]
        }
        try:
            parts: list[dict[str, Any]] = []
            part = first
            while part:
                number = len(parts) + 1
                done = self._client.upload_part(**upload, PartNumber=number, Body=part)
                parts.append({"PartNumber": number, "ETag": done["ETag"]})
                part = rest.read(PART_BYTES)
            self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **condition)
        except BaseException:
            self._client.abort_multipart_upload(**upload)
            raise

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read an object, or a part of it."""
        if length == 0:
            self.head(key)
            return b""
        return self._read(key, start, length)[0]

    def stream(self, key: str) -> Iterator[bytes]:
        """Read an object in parts, a request each."""
        return self._parts(key, *self._read(key, 0, PART_BYTES))

    def _parts(self, key: str, part: bytes, etag: str) -> Iterator[bytes]:
        start = 0
        while part:
            yield part
            start += len(part)
            part = self._read(key, start, PART_BYTES, IfMatch=etag)[0] if len(part) == PART_BYTES else b""

    def _read(self, key: str, start: int, length: int | None, **condition: str) -> tuple[bytes, str]:
        """Return bytes and the ETag of the object."""
        options = self._params(key) | condition
        if start or length is not None:
            options["Range"] = f"bytes={start}-{start + length - 1 if length else ''}"
        try:
            with _storage_errors():
                response = self._client.get_object(**options)
                with response["Body"] as body:
                    return body.read(), response["ETag"]
        except _RangeNotSatisfiableError:
            return b"", ""
        except ObjectExistsError:
            raise StorageUnreachableError("The object changed while it was read; try again") from None

    def head(self, key: str) -> ObjectInfo:
        """Read the metadata of an object."""
        with _storage_errors():
            found = self._client.head_object(**self._params(key))
        return ObjectInfo(
            key,
            found["ContentLength"],
            found.get("ContentType", ""),
            found.get("CacheControl", ""),
            found.get("Metadata", {}),
            found.get("ContentDisposition", ""),
        )

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """List the objects page by page."""
        with _storage_errors():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix):
                for found in page.get("Contents", ()):
                    yield ObjectInfo(found["Key"], found["Size"])

    def delete(self, key: str) -> None:
        """Delete an object."""
        with _storage_errors():
            self._client.delete_object(**self._params(key))

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete a thousand objects in a request."""
        objects = [{"Key": check_key(key)} for key in keys]
        for start in range(0, len(objects), DELETE_BATCH):
            batch = {"Objects": objects[start : start + DELETE_BATCH], "Quiet": True}
            with _storage_errors():
                errors = self._client.delete_objects(Bucket=self._name, Delete=batch).get("Errors")
            if errors:
                default = (StorageUnreachableError, "Some objects could not be deleted; try again later")
                error_class, message = ERRORS.get(errors[0].get("Code", ""), default)
                raise error_class(message)

    def presign_get(self, key: str, seconds: int) -> str:
        """Return a presigned URL for GET."""
        with _storage_errors():
            return str(self._client.generate_presigned_url("get_object", Params=self._params(key), ExpiresIn=seconds))

    def presign_put(self, key: str, seconds: int, *, content_type: str) -> str:
        """Return a presigned URL for PUT."""
        with _storage_errors():
            params = self._params(key) | {"ContentType": content_type}
            return str(self._client.generate_presigned_url("put_object", Params=params, ExpiresIn=seconds))

    def presign_upload(self, key: str, seconds: int, attributes: ObjectAttributes) -> PresignedUpload:
        """Return a presigned URL for PUT whose signature includes the headers of the attributes."""
        params = self._params(key) | _attribute_params(attributes)
        headers = attributes.headers | {f"x-amz-meta-{name}": value for name, value in attributes.metadata.items()}
        with _storage_errors():
            url = self._client.generate_presigned_url("put_object", Params=params, ExpiresIn=seconds)
        return PresignedUpload(str(url), headers)

    def _params(self, key: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": check_key(key)}


def _attribute_params(attributes: ObjectAttributes) -> dict[str, Any]:
    """Return the attributes as the parameters of a request; empty ones are left out."""
    params = {
        "ContentType": attributes.content_type,
        "CacheControl": attributes.cache_control,
        "ContentDisposition": attributes.content_disposition,
        "Metadata": dict(attributes.metadata),
    }
    return {name: value for name, value in params.items() if value}


class _GuardedSession(URLLib3Session):  # type: ignore[misc]
    """botocore's HTTP session with guarded connections."""

    def __init__(self, outbound: OutboundPolicy) -> None:
        super().__init__(
            verify=CA_FILE, proxies={}, timeout=(CONNECT_SECONDS, READ_SECONDS), max_pool_connections=CONNECTIONS
        )
        # Private, but the only way to botocore's connection pools: the SSRF guard has to open its sockets.
        self._manager.pool_classes_by_scheme = outbound.pool_classes(AWSHTTPConnection, AWSHTTPSConnection)


class _RangeNotSatisfiableError(Exception):
    """The range begins after the end of the object."""


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Translate botocore's errors."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "InvalidRange":
            raise _RangeNotSatisfiableError from None
        if known := ERRORS.get(code) or ERRORS.get(str(status)):
            error_class, message = known
            raise error_class(message) from None
        raise error_for_status(status) from None
    except BotoCoreError as error:
        if is_blocked_error(error):
            raise BlockedAddressError from None
        raise StorageUnreachableError("The storage does not respond; try again later") from None
    except ResponseParserError:
        raise StorageUnreachableError("The server at the storage's URL does not speak S3") from None


@lru_cache(maxsize=1)
def _session() -> botocore.session.Session:
    return _fresh_session()


def _fresh_session() -> botocore.session.Session:
    """Return a botocore session that ignores the environment and ~/.aws."""
    session = botocore.session.Session()
    values = session.get_component("config_store")
    for name, (_, _, default, _) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items():
        values.set_config_provider(name, ConstantProvider(default))
    for name, value in {
        "config_file": os.devnull,
        "credentials_file": os.devnull,
        "ca_bundle": CA_FILE,
    }.items():
        values.set_config_provider(name, ConstantProvider(value))
    return session

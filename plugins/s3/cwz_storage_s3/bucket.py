"""A bucket that speaks S3, over boto3: for AWS and for whoever speaks the same (plugins/r2).

Nothing of the environment is used: no AWS_* variable, no ~/.aws, no instance metadata, no proxy.
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
from pydantic import SecretStr

from cwz_web.net.guard import CA_FILE, refusal_in
from cwz_web.storage import (
    BasicBucket,
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

CONNECT_SECONDS, READ_SECONDS = 3, 15
CONNECTIONS = 32
PART_BYTES = 8 * 1024 * 1024
DELETE_AT_ONCE = 1000

# What S3 says -> the contract's error, and what a person can do about it.
SAYINGS: dict[str, tuple[type[StorageError], str]] = {
    **dict.fromkeys(
        ("InvalidAccessKeyId", "InvalidToken", "ExpiredToken", "Unauthorized", "401"),
        (InvalidCredentialsError, "The storage does not know this access key; make a new one and type it in"),
    ),
    "SignatureDoesNotMatch": (
        InvalidCredentialsError,
        "The secret does not belong to the access key; type both in again",
    ),
    "BucketNotFoundError": (BucketNotFoundError, "There is no bucket of this name; look for a typing mistake"),
    **dict.fromkeys(("NoSuchKey", "404"), (ObjectNotFoundError, "There is no such object")),
    **dict.fromkeys(
        ("PreconditionFailed", "ConditionalRequestConflict", "412"),
        (ObjectExistsError, "There is such an object already"),
    ),
    **dict.fromkeys(
        ("AccessDenied", "AllAccessDisabled", "403"),
        (
            PermissionDeniedError,
            "The access key may not do this; allow it to read, write, list and delete in this bucket",
        ),
    ),
    "RequestTimeTooSkewed": (ClockSkewError, "This server's clock is wrong; its operator has to set it"),
    **dict.fromkeys(
        ("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "429"),
        (StorageThrottledError, "The storage wants fewer requests; it is tried again later"),
    ),
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "307"),
        (InvalidSettingsError, "The bucket lies in another region; correct the region"),
    ),
}


def known_regions() -> frozenset[str]:
    """The regions that botocore knows for S3, in every partition."""
    session = _session()
    return frozenset(
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("s3", partition_name=partition)
    )


@lru_cache(maxsize=256)
def region_host(region: str, kind: str) -> str:
    """The host of S3 in a region, from botocore's partition data."""
    config = Config(
        use_dualstack_endpoint="dualstack" in kind,
        use_fips_endpoint="fips" in kind,
        ignore_configured_endpoint_urls=True,
        s3={"us_east_1_regional_endpoint": "regional"},
    )
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    client = _session().create_client("s3", region_name=region, config=config, verify=CA_FILE, **keys)
    return str(urlsplit(client.meta.endpoint_url).hostname)


def host_of(endpoint: str) -> str:
    """`host:port` of an operator's endpoint."""
    parts = urlsplit(endpoint)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def make_client(
    outbound: Outbound,
    *,
    endpoint: str,
    region: str,
    access_key_id: SecretStr,
    secret_access_key: SecretStr,
    path_style: bool,
) -> Any:
    """A boto3 client whose every connection goes through the guard."""
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
        aws_access_key_id=access_key_id.get_secret_value(),
        aws_secret_access_key=secret_access_key.get_secret_value(),
        verify=CA_FILE,
        config=config,
    )
    client._endpoint.http_session = _GuardedSession(outbound)
    client.meta.events.register_last("before-parameter-build.s3", _never_redirect)
    return client


def _never_redirect(context: dict[str, Any], **more: Any) -> None:
    """Let botocore not follow a bucket into another region: the customer corrects the region instead."""
    if "s3_redirect" in context:
        context["s3_redirect"]["redirected"] = True


class S3Bucket(BasicBucket):
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
        """One request for what fits into a part; parts for more."""
        told: dict[str, Any] = {"ContentType": content_type, "Metadata": dict(metadata or {})}
        if cache_control:
            told["CacheControl"] = cache_control
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        first = body if isinstance(body, bytes) else body.read(PART_BYTES)
        with _storage_errors():
            if isinstance(body, bytes) or len(first) < PART_BYTES:
                self._client.put_object(**self._at(key), Body=first, **told, **condition)
            else:
                self._put_parts(key, first, body, told, condition)

    def _put_parts(
        self, key: str, first: bytes, rest: BinaryIO, told: dict[str, Any], condition: dict[str, str]
    ) -> None:
        upload = self._at(key) | {"UploadId": self._client.create_multipart_upload(**self._at(key), **told)["UploadId"]}
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
        """The object, or a part of it."""
        if length == 0:
            self.head(key)
            return b""
        wanted = {}
        if start or length is not None:
            wanted["Range"] = f"bytes={start}-{start + length - 1 if length else ''}"
        try:
            with _storage_errors(), self._client.get_object(**self._at(key), **wanted)["Body"] as body:
                data: bytes = body.read()
                return data
        except _RangeNotSatisfiableError:
            return b""

    def stream(self, key: str) -> Iterator[bytes]:
        """The object in parts."""
        with _storage_errors():
            body = self._client.get_object(**self._at(key))["Body"]
        return self._parts(body)

    def _parts(self, body: Any) -> Iterator[bytes]:
        with _storage_errors(), body:
            yield from body.iter_chunks(256 * 1024)

    def head(self, key: str) -> ObjectInfo:
        """What is known of an object."""
        with _storage_errors():
            found = self._client.head_object(**self._at(key))
        return ObjectInfo(
            key,
            found["ContentLength"],
            found.get("ContentType", ""),
            found.get("CacheControl", ""),
            found.get("Metadata", {}),
        )

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Page by page."""
        with _storage_errors():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix):
                for found in page.get("Contents", ()):
                    yield ObjectInfo(found["Key"], found["Size"])

    def delete(self, key: str) -> None:
        """Remove an object."""
        with _storage_errors():
            self._client.delete_object(**self._at(key))

    def delete_many(self, keys: Iterable[str]) -> None:
        """A thousand in a request."""
        waiting = [{"Key": check_key(key)} for key in keys]
        for begin in range(0, len(waiting), DELETE_AT_ONCE):
            some = {"Objects": waiting[begin : begin + DELETE_AT_ONCE], "Quiet": True}
            with _storage_errors():
                refused = self._client.delete_objects(Bucket=self._name, Delete=some).get("Errors")
            if refused:
                kind, saying = SAYINGS.get(
                    refused[0].get("Code", ""), (StorageUnreachableError, "Some objects could not be removed")
                )
                raise kind(saying)

    def presign_get(self, key: str, seconds: int) -> str:
        """A signed URL for reading."""
        with _storage_errors():
            return str(self._client.generate_presigned_url("get_object", Params=self._at(key), ExpiresIn=seconds))

    def presign_put(self, key: str, seconds: int, *, content_type: str) -> str:
        """A signed URL for storing."""
        with _storage_errors():
            told = self._at(key) | {"ContentType": content_type}
            return str(self._client.generate_presigned_url("put_object", Params=told, ExpiresIn=seconds))

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": check_key(key)}


class _GuardedSession(URLLib3Session):  # type: ignore[misc]
    """botocore's way out, through guarded connections."""

    def __init__(self, outbound: Outbound) -> None:
        super().__init__(
            verify=CA_FILE, proxies={}, timeout=(CONNECT_SECONDS, READ_SECONDS), max_pool_connections=CONNECTIONS
        )
        self._manager.pool_classes_by_scheme = outbound.pool_classes(AWSHTTPConnection, AWSHTTPSConnection)


class _RangeNotSatisfiableError(Exception):
    """A part was asked for that begins behind the object's end."""


@contextmanager
def _storage_errors() -> Iterator[None]:
    """S3's errors in the contract's words."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "InvalidRange":
            raise _RangeNotSatisfiableError from None
        kind, saying = SAYINGS.get(code) or SAYINGS.get(str(status)) or _by_status(status)
        raise kind(saying) from None
    except BotoCoreError as error:
        if refusal_in(error):
            raise BlockedAddressError("The storage's address leads where no request of ours may go") from None
        raise StorageUnreachableError("The storage does not answer; it is tried again later") from None
    except ResponseParserError:
        raise StorageUnreachableError("What answers at the storage's address does not speak S3") from None


def _by_status(status: int) -> tuple[type[StorageError], str]:
    if status == 503:
        return StorageThrottledError, "The storage wants fewer requests; it is tried again later"
    if status >= 500:
        return StorageUnreachableError, "The storage has a problem of its own; it is tried again later"
    return InvalidSettingsError, f"The storage refuses the request (HTTP {status})"


@lru_cache(maxsize=1)
def _session() -> botocore.session.Session:
    return _fresh_session()


def _fresh_session() -> botocore.session.Session:
    """A botocore session that finds every setting at its default, whatever the environment and ~/.aws say."""
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

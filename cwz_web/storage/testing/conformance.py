"""The test cases of the conformance suite. Each failure names the operation, the expected and the actual result."""

import copy
import io
import logging
import os
import pickle
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar

import pytest
import requests
from pydantic import BaseModel, ValidationError

from cwz_web.net.guard import OutboundPolicy
from cwz_web.storage.contract import (
    API_VERSION,
    Bucket,
    BucketContext,
    BucketNotFoundError,
    Capability,
    InvalidCredentialsError,
    InvalidSettingsError,
    ObjectAttributes,
    ObjectExistsError,
    ObjectInfo,
    ObjectNotFoundError,
    PermissionDeniedError,
    StorageError,
    StorageProvider,
    StorageUnreachableError,
    UnsupportedOperationError,
)

MIB = 1024 * 1024
PNG = "image/png"
HOSTILE_KEYS = ("", "/", "/etc/passwd", "../up", "a/../b", "a//b", "a/./b", "a\\b", "a/", "a\x00b", "a\nb", "x" * 1025)
UNUSUAL_KEYS = (
    "a b/ü.png",
    "日本語/絵.png",
    "plus+and%25percent.png",
    "q?x=1&y=#f.png",
    "'quotes\".png",
    "emoji-🎉.png",
    "~tilde",
)
# What can fail, and the error that the plugin has to raise. The fixture `broken_bucket` causes each of them.
FAILURES: dict[str, type[StorageError]] = {
    "credentials": InvalidCredentialsError,
    "bucket": BucketNotFoundError,
    "permission": PermissionDeniedError,
    "down": StorageUnreachableError,
}
MAX_SHOWN = 200
ATTRIBUTES = ObjectAttributes(
    content_type=PNG,
    cache_control="public, max-age=31536000, immutable",
    content_disposition="inline; filename=\"Cup 1.png\"; filename*=UTF-8''T%C3%A4sse%201.png",
    metadata={"row-key": "T%C3%A4sse/1", "template-version": "3"},
)


@dataclass(frozen=True)
class ProviderSetup:
    """A provider, and everything that opens its bucket in the tests.

    Args:
        provider: The provider under test.
        settings: The values of its `settings_model`.
        credentials: The values of its `credentials_model`.
        operator: The .ini settings `cwz.storage.<provider>.*`.
        allow: `host:port` pairs that may be private and use plain HTTP, such as a test server on 127.0.0.1.
    """

    provider: StorageProvider[Any, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    operator: Mapping[str, str] = field(default_factory=dict)
    allow: Iterable[str] = ()

    def bucket(self, **changes: Any) -> Bucket:
        """Open the bucket.

        Args:
            changes: Values to replace, as `settings`, `credentials`, `operator` (mappings) or `allow` (a list).
        """
        operator = {**self.operator, **changes.get("operator", {})}
        settings = self.provider.settings_model.model_validate({**self.settings, **changes.get("settings", {})})
        values = {**self.credentials, **changes.get("credentials", {})}
        credentials = self.provider.credentials_model.model_validate(values)
        allow = [*self.allow, *changes.get("allow", ())]
        outbound = OutboundPolicy(self.provider.hosts(settings, operator), allow)
        return self.provider.open(BucketContext(settings, credentials, operator, outbound))

    @contextmanager
    def worker_session(self) -> Iterator[requests.Session]:
        """Yield the session of a render worker: it reaches the provider's declared hosts only."""
        settings = self.provider.settings_model.model_validate(self.settings)
        with requests.Session() as session:
            yield OutboundPolicy(self.provider.hosts(settings, self.operator), self.allow).guard(session)

    def supports(self, capability: Capability) -> bool:
        """Return whether the provider declares a capability."""
        return capability in self.provider.capabilities


def expect(operation: str, expected: object, actual: object) -> None:
    """Fail unless both are equal, and say of which operation."""
    assert actual == expected, f"{operation}: expected {_shorten(expected)}, got {_shorten(actual)}"


@contextmanager
def expect_error(operation: str, expected: type[Exception]) -> Iterator[list[Exception]]:
    """Fail unless the block raises this error, and say of which operation. Yields a list that gets the error."""
    caught: list[Exception] = []
    try:
        yield caught
    except expected as error:
        caught.append(error)
        return
    except Exception as error:
        raise AssertionError(
            f"{operation}: expected {expected.__name__}, got {type(error).__name__}: {_shorten(error)}"
        ) from error
    raise AssertionError(f"{operation}: expected {expected.__name__}, got no error")


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}... ({len(text):,} characters)"


def expect_attributes(operation: str, setup: ProviderSetup, info: ObjectInfo) -> None:
    """Fail unless an object has ATTRIBUTES, or only the content type without the capability."""
    expect(f"head after {operation}: content_type", ATTRIBUTES.content_type, info.content_type)
    if setup.supports(Capability.ATTRIBUTES):
        expect(f"head after {operation}: cache_control", ATTRIBUTES.cache_control, info.cache_control)
        expect(f"head after {operation}: content_disposition", ATTRIBUTES.content_disposition, info.content_disposition)
        expect(f"head after {operation}: metadata", dict(ATTRIBUTES.metadata), dict(info.metadata))


class ProviderConformance:
    """The definition of a provider, a round trip, presigned URLs and errors.

    Use this class alone for a provider that opens the bucket class of another, fully tested provider.
    """

    @pytest.fixture
    def provider_setup(self) -> ProviderSetup:
        """Return the provider under test. Override it."""
        raise NotImplementedError("override the fixture `provider_setup`")

    @pytest.fixture
    def broken_bucket(self, provider_setup: ProviderSetup) -> Callable[[str], Bucket]:
        """Return a function that opens a bucket with a failure, one of FAILURES. Override it.

        Call `pytest.skip` in it only for a failure that cannot happen to this kind of storage.
        """
        raise NotImplementedError("override the fixture `broken_bucket`")

    @pytest.fixture
    def bucket(self, provider_setup: ProviderSetup) -> Bucket:
        return provider_setup.bucket()

    @pytest.fixture
    def folder(self, bucket: Bucket) -> Iterator[str]:
        """Yield a prefix for this test alone, and delete its objects afterwards."""
        prefix = f"conformance/{secrets.token_hex(6)}"
        yield prefix
        bucket.delete_many([info.key for info in bucket.list(f"{prefix}/")])

    def test_provider_implements_the_contract(self, provider_setup: ProviderSetup) -> None:
        provider = provider_setup.provider
        assert isinstance(provider, StorageProvider), "derive the provider from cwz_web.storage.StorageProvider"
        expect("api_version", API_VERSION, provider.api_version)
        assert provider.label, "label: expected a text, got an empty one"
        assert provider.capabilities <= set(Capability), "capabilities: expected members of Capability only"

    def test_open_returns_a_bucket(self, bucket: Bucket) -> None:
        assert isinstance(bucket, Bucket), f"open: expected a cwz_web.storage.Bucket, got {type(bucket).__name__}"

    def test_unknown_fields_are_rejected(self, provider_setup: ProviderSetup) -> None:
        for model in (provider_setup.provider.settings_model, provider_setup.provider.credentials_model):
            with expect_error(f"{model.__name__} with an unknown field", ValidationError) as caught:
                model.model_validate({"unknown_field": "x"})
            assert "unknown_field" in str(caught[0]), f"{model.__name__}: derive it from cwz_web.storage.Fields"

    def test_fields_have_titles_and_descriptions(self, provider_setup: ProviderSetup) -> None:
        for model in (provider_setup.provider.settings_model, provider_setup.provider.credentials_model):
            for name, info in model.model_fields.items():
                assert info.title, f"{model.__name__}.{name}: expected a title, got none"
                assert info.description, f"{model.__name__}.{name}: expected a description, got none"

    def test_hosts_are_names_with_optional_ports(self, provider_setup: ProviderSetup) -> None:
        settings = provider_setup.provider.settings_model.model_validate(provider_setup.settings)
        for host in provider_setup.provider.hosts(settings, {}):
            expect("hosts: lower case", host.lower(), host)
            assert not {"/", "*", "@"} & set(host), f"hosts: expected `host` or `host:port`, got {host!r}"

    def test_round_trip(self, bucket: Bucket, folder: str) -> None:
        bucket.put(f"{folder}/a.png", b"image", content_type=PNG)
        expect("get after put", b"image", bucket.get(f"{folder}/a.png"))
        expect("list after put", [f"{folder}/a.png"], [info.key for info in bucket.list(f"{folder}/")])
        bucket.delete(f"{folder}/a.png")
        with expect_error("get after delete", ObjectNotFoundError):
            bucket.get(f"{folder}/a.png")

    def test_presigned_get(self, provider_setup: ProviderSetup, bucket: Bucket, folder: str) -> None:
        if not provider_setup.supports(Capability.PRESIGNED_GET):
            with expect_error("presign_get, which is not declared", UnsupportedOperationError):
                bucket.presign_get(f"{folder}/a", 60)
            return
        bucket.put(f"{folder}/a ü.png", b"image", content_type=PNG)
        with provider_setup.worker_session() as session:
            response = session.get(bucket.presign_get(f"{folder}/a ü.png", 60), timeout=10)
        expect("GET of a presigned URL", (200, b"image"), (response.status_code, response.content))

    def test_presigned_put(self, provider_setup: ProviderSetup, bucket: Bucket, folder: str) -> None:
        if not provider_setup.supports(Capability.PRESIGNED_PUT):
            with expect_error("presign_put, which is not declared", UnsupportedOperationError):
                bucket.presign_put(f"{folder}/a", 60, content_type=PNG)
            return
        url = bucket.presign_put(f"{folder}/a", 60, content_type=PNG)
        with provider_setup.worker_session() as session:
            response = session.put(url, data=b"uploaded", headers={"Content-Type": PNG}, timeout=10)
        assert response.ok, f"PUT to a presigned URL: expected a status of 2xx, got {response.status_code}"
        expect("get after a presigned PUT", b"uploaded", bucket.get(f"{folder}/a"))

    def test_put_object(self, provider_setup: ProviderSetup, bucket: Bucket, folder: str) -> None:
        bucket.put_object(f"{folder}/a.png", b"image", ATTRIBUTES)
        expect("get after put_object", b"image", bucket.get(f"{folder}/a.png"))
        expect_attributes("put_object", provider_setup, bucket.head(f"{folder}/a.png"))
        bucket.put_object(f"{folder}/a.png", b"second", ObjectAttributes("text/plain"))
        expect("get after a second put_object", b"second", bucket.get(f"{folder}/a.png"))
        info = bucket.head(f"{folder}/a.png")
        found = info.content_type, info.cache_control, info.content_disposition, dict(info.metadata)
        expect("head after a second put_object", ("text/plain", "", "", {}), found)

    def test_attributes_are_sent_as_headers(self, provider_setup: ProviderSetup, bucket: Bucket, folder: str) -> None:
        if not {Capability.ATTRIBUTES, Capability.PRESIGNED_GET} <= provider_setup.provider.capabilities:
            pytest.skip("ATTRIBUTES and PRESIGNED_GET are not both declared")
        bucket.put_object(f"{folder}/a.png", b"image", ATTRIBUTES)
        with provider_setup.worker_session() as session:
            response = session.get(bucket.presign_get(f"{folder}/a.png", 60), timeout=10)
        sent = {name: response.headers.get(name, "") for name in ATTRIBUTES.headers}
        expect("headers of an object with attributes", ATTRIBUTES.headers, sent)

    def test_presigned_upload(self, provider_setup: ProviderSetup, bucket: Bucket, folder: str) -> None:
        if not provider_setup.supports(Capability.PRESIGNED_PUT):
            with expect_error("presign_upload, which is not declared", UnsupportedOperationError):
                bucket.presign_upload(f"{folder}/a", 60, ATTRIBUTES)
            return
        upload = bucket.presign_upload(f"{folder}/a", 60, ATTRIBUTES)
        with provider_setup.worker_session() as session:
            response = session.put(upload.url, data=b"uploaded", headers=dict(upload.headers), timeout=10)
        assert response.ok, f"PUT to a presigned upload: expected a status of 2xx, got {response.status_code}"
        expect("get after a presigned upload", b"uploaded", bucket.get(f"{folder}/a"))
        expect_attributes("presign_upload", provider_setup, bucket.head(f"{folder}/a"))

    def test_presigned_url_holds_expiry_and_signature(
        self, provider_setup: ProviderSetup, bucket: Bucket, folder: str
    ) -> None:
        if not provider_setup.supports(Capability.PRESIGNED_GET):
            pytest.skip("PRESIGNED_GET is not declared")
        url = bucket.presign_get(f"{folder}/a", 77)
        assert "77" in url, f"presign_get: expected the expiry of 77 seconds in the URL, got {_shorten(url)}"
        assert "ignature=" in url, f"presign_get: expected a signature in the URL, got {_shorten(url)}"
        assert url != bucket.presign_get(f"{folder}/b", 77), "presign_get: expected another URL for another key"

    def test_public_url(self, provider_setup: ProviderSetup, bucket: Bucket, folder: str) -> None:
        if not provider_setup.supports(Capability.PUBLIC_URL):
            with expect_error("public_url, which is not declared", UnsupportedOperationError):
                bucket.public_url(f"{folder}/a")
            return
        url = bucket.public_url(f"{folder}/a b")
        assert url.startswith(("https://", "http://127.0.0.1")), f"public_url: expected an https URL, got {url!r}"
        assert " " not in url, f"public_url: expected a quoted key, got {url!r}"

    @pytest.mark.parametrize("failure", FAILURES)
    def test_failures_raise_the_errors_of_the_contract(
        self, broken_bucket: Callable[[str], Bucket], failure: str
    ) -> None:
        bucket = broken_bucket(failure)
        operations: dict[str, Callable[[], object]] = {
            "put": lambda: bucket.put("conformance/a", b"x", content_type=PNG),
            "list": lambda: list(bucket.list("conformance/")),
        }
        for operation, call in operations.items():
            with expect_error(f"{operation} with the failure {failure!r}", FAILURES[failure]) as caught:
                call()
            message = str(caught[0])
            assert len(message) > 20, f"{operation}: expected a message that says what to do, got {message!r}"

    def test_secrets_are_hidden(
        self, provider_setup: ProviderSetup, broken_bucket: Callable[[str], Bucket], caplog: pytest.LogCaptureFixture
    ) -> None:
        """No repr, no error and no log record from INFO up shows a secret; below INFO, SDKs log their requests."""
        caplog.set_level(logging.DEBUG)
        model: type[BaseModel] = provider_setup.provider.credentials_model
        texts = {
            "repr of the bucket": repr(provider_setup.bucket()),
            "repr of the provider": repr(provider_setup.provider),
            "repr of the credentials": repr(model.model_validate(provider_setup.credentials)),
        }
        for failure in ("credentials", "down"):
            try:
                broken_bucket(failure).put("conformance/a", b"x", content_type=PNG)
            except StorageError as error:
                texts[f"error of {failure!r}"] = f"{error} {error!r} {error.__cause__!r}"
        for number, record in enumerate(caplog.records):
            if record.levelno >= logging.INFO:
                texts[f"log record {number} of {record.name}"] = f"{record.getMessage()} {record.exc_info}"
        for secret in filter(None, provider_setup.credentials.values()):
            for source, text in texts.items():
                assert secret not in text, f"{source}: expected no secret, got one"

    def test_provider_holds_no_state(self, provider_setup: ProviderSetup) -> None:
        before = copy.deepcopy(vars(provider_setup.provider))
        provider_setup.bucket()
        expect("attributes of the provider after open", before, vars(provider_setup.provider))
        assert pickle.dumps(before)


class StorageConformance(ProviderConformance):
    """The whole suite: what every storage provider has to do.

    Attributes:
        listing_size: A number of objects that the storage returns in several pages.
    """

    listing_size: ClassVar[int] = 1005

    def test_empty_object(self, bucket: Bucket, folder: str) -> None:
        bucket.put(f"{folder}/empty", b"", content_type=PNG)
        expect("get of an empty object", b"", bucket.get(f"{folder}/empty"))
        expect("head of an empty object: size", 0, bucket.head(f"{folder}/empty").size)
        expect("stream of an empty object", b"", b"".join(bucket.stream(f"{folder}/empty")))

    def test_every_byte_value(self, bucket: Bucket, folder: str) -> None:
        body = bytes(range(256)) * 40
        bucket.put(f"{folder}/bytes", body, content_type=PNG)
        expect("get of every byte value", body, bucket.get(f"{folder}/bytes"))

    def test_put_of_20_mib_of_bytes(self, bucket: Bucket, folder: str) -> None:
        body = os.urandom(MIB) * 20
        bucket.put(f"{folder}/large", body, content_type=PNG)
        assert bucket.get(f"{folder}/large") == body, "get of 20 MiB: expected the bytes of put, got others"

    def test_put_of_20_mib_as_a_file(self, bucket: Bucket, folder: str) -> None:
        body = os.urandom(MIB) * 20 + b"end"
        bucket.put(f"{folder}/stream", io.BytesIO(body), content_type=PNG)
        expect("head after put of a file: size", len(body), bucket.head(f"{folder}/stream").size)
        streamed = b"".join(bucket.stream(f"{folder}/stream"))
        assert streamed == body, "stream of 20 MiB: expected the bytes of put, got others"

    def test_abandoned_streams_release_their_connections(self, bucket: Bucket, folder: str) -> None:
        body = os.urandom(MIB) * 20
        bucket.put(f"{folder}/large", body, content_type=PNG)
        for _ in range(40):  # more than a pool has connections
            assert body.startswith(next(bucket.stream(f"{folder}/large"))), (
                "first part of stream: expected the beginning"
            )
        expect("head after 40 abandoned streams: size", len(body), bucket.head(f"{folder}/large").size)

    def test_put_of_short_and_empty_files(self, bucket: Bucket, folder: str) -> None:
        for body in (b"", b"short"):
            bucket.put(f"{folder}/short", io.BytesIO(body), content_type=PNG)
            expect(f"get after put of a file of {len(body)} bytes", body, bucket.get(f"{folder}/short"))

    def test_head_returns_everything_given_to_put(self, bucket: Bucket, folder: str) -> None:
        metadata = {"template": "card", "row-7": "value"}
        bucket.put(f"{folder}/a", b"12345", content_type=PNG, cache_control="max-age=60", metadata=metadata)
        info = bucket.head(f"{folder}/a")
        expect("head: key, size, content_type", (f"{folder}/a", 5, PNG), (info.key, info.size, info.content_type))
        expect("head: cache_control", "max-age=60", info.cache_control)
        expect("head: metadata", metadata, dict(info.metadata))

    def test_put_replaces_content_and_metadata(self, bucket: Bucket, folder: str) -> None:
        bucket.put(f"{folder}/a", b"one", content_type=PNG, metadata={"old": "yes"})
        bucket.put(f"{folder}/a", b"second", content_type="text/plain")
        info = bucket.head(f"{folder}/a")
        expect("get after a second put", b"second", bucket.get(f"{folder}/a"))
        expect("head after a second put", ("text/plain", {}), (info.content_type, dict(info.metadata)))

    def test_put_if_absent(self, bucket: Bucket, folder: str) -> None:
        bucket.put(f"{folder}/a", b"first", content_type=PNG, if_absent=True)
        with expect_error("put(if_absent=True) of an existing key", ObjectExistsError):
            bucket.put(f"{folder}/a", b"second", content_type=PNG, if_absent=True)
        expect("get after a refused put", b"first", bucket.get(f"{folder}/a"))

    def test_delete_of_a_missing_object_is_no_error(self, bucket: Bucket, folder: str) -> None:
        bucket.delete(f"{folder}/missing")
        bucket.delete(f"{folder}/missing")

    def test_delete_many(self, bucket: Bucket, folder: str) -> None:
        keys = [f"{folder}/{number}" for number in range(12)]
        for key in keys:
            bucket.put(key, b"x", content_type=PNG)
        bucket.delete_many([*keys[:10], f"{folder}/missing"])
        expect("list after delete_many", sorted(keys[10:]), [info.key for info in bucket.list(f"{folder}/")])
        bucket.delete_many([])

    @pytest.mark.parametrize("operation", ["get", "head", "stream"])
    def test_missing_object(self, bucket: Bucket, folder: str, operation: str) -> None:
        with expect_error(f"{operation} of a missing object", ObjectNotFoundError):
            getattr(bucket, operation)(f"{folder}/missing")

    @pytest.mark.parametrize("name", UNUSUAL_KEYS)
    def test_unusual_keys_are_stored_unchanged(self, bucket: Bucket, folder: str, name: str) -> None:
        key = f"{folder}/{name}"
        bucket.put(key, name.encode(), content_type=PNG)
        expect(f"get of {name!r}", name.encode(), bucket.get(key))
        expect(f"list with {name!r}", [key], [info.key for info in bucket.list(f"{folder}/")])

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_hostile_keys_are_rejected(self, bucket: Bucket, key: str) -> None:
        operations: dict[str, Callable[[], object]] = {
            "put": lambda: bucket.put(key, b"x", content_type=PNG),
            "get": lambda: bucket.get(key),
            "head": lambda: bucket.head(key),
            "delete": lambda: bucket.delete(key),
            "delete_many": lambda: bucket.delete_many([key]),
        }
        for operation, call in operations.items():
            with expect_error(f"{operation} of {_shorten(key)}; call check_key(key)", InvalidSettingsError):
                call()

    def test_keys_are_case_sensitive(self, bucket: Bucket, folder: str) -> None:
        bucket.put(f"{folder}/A", b"upper", content_type=PNG)
        bucket.put(f"{folder}/a", b"lower", content_type=PNG)
        expect("get of the key in upper case", b"upper", bucket.get(f"{folder}/A"))

    def test_list_by_prefix_is_sorted(self, bucket: Bucket, folder: str) -> None:
        for name in ("b", "ab/1", "a/2", "a/1"):
            bucket.put(f"{folder}/{name}", b"xyz", content_type=PNG)
        for prefix, names in (
            ("a/", ["a/1", "a/2"]),
            ("a", ["a/1", "a/2", "ab/1"]),
            ("", ["a/1", "a/2", "ab/1", "b"]),
            ("nothing/", []),
        ):
            keys = [f"{folder}/{name}" for name in names]
            expect(f"list of the prefix {prefix!r}", keys, [info.key for info in bucket.list(f"{folder}/{prefix}")])
        expect("list: sizes", {3}, {info.size for info in bucket.list(f"{folder}/")})

    def test_list_of_several_pages(self, bucket: Bucket, folder: str) -> None:
        keys = [f"{folder}/{number:04}" for number in range(self.listing_size)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: bucket.put(key, b"x", content_type=PNG), keys))
        listed = [info.key for info in bucket.list(f"{folder}/")]
        expect(f"list of {len(keys)} objects: number", len(keys), len(listed))
        expect(f"list of {len(keys)} objects: order", keys, listed)
        expect("first keys of an unfinished list", keys[:3], [i.key for i in islice(bucket.list(f"{folder}/"), 3)])
        bucket.delete_many(keys)
        expect("list after delete_many of everything", [], list(bucket.list(f"{folder}/")))

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [(0, 3, b"012"), (4, 2, b"45"), (7, None, b"789"), (8, 100, b"89"), (0, 0, b""), (50, 5, b"")],
    )
    def test_range(
        self,
        provider_setup: ProviderSetup,
        bucket: Bucket,
        folder: str,
        start: int,
        length: int | None,
        expected: bytes,
    ) -> None:
        if not provider_setup.supports(Capability.RANGE):
            pytest.skip("RANGE is not declared")
        bucket.put(f"{folder}/a", b"0123456789", content_type=PNG)
        expect(f"get(key, {start}, {length}) of 0123456789", expected, bucket.get(f"{folder}/a", start, length))

    def test_concurrent_use_of_one_bucket(self, bucket: Bucket, folder: str) -> None:
        def store(number: int) -> bool:
            bucket.put(f"{folder}/{number}", str(number).encode() * 500, content_type=PNG)
            return bucket.get(f"{folder}/{number}") == str(number).encode() * 500

        with ThreadPoolExecutor(12) as pool:
            expect("48 round trips in 12 threads: correct ones", 48, sum(pool.map(store, range(48))))

    def test_concurrent_put_if_absent_has_one_winner(self, bucket: Bucket, folder: str) -> None:
        def store(number: int) -> bool:
            try:
                bucket.put(f"{folder}/one", str(number).encode(), content_type=PNG, if_absent=True)
            except ObjectExistsError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            expect("8 concurrent put(if_absent=True): successful ones", 1, sum(pool.map(store, range(8))))

"""AWS S3 against moto's server, and against error responses that moto never sends."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from cwz_storage_s3 import S3Credentials, S3Provider, S3Settings
from cwz_storage_s3.bucket import S3Bucket, known_regions, region_host
from pydantic import ValidationError

from cwz_web.storage import (
    BlockedAddressError,
    Bucket,
    ClockSkewError,
    InvalidCredentialsError,
    InvalidSettingsError,
    PermissionDeniedError,
    StorageError,
    StorageThrottledError,
    StorageUnreachableError,
)
from cwz_web.storage.testing import ProviderSetup, StorageConformance
from tests.emulators import BUCKET, fixed_response_server, host_of, moto_server, s3_error

KEYS = {"access_key_id": "AKIA" + "CANARY0000000001", "secret_access_key": "canary/secret/0000000000000000001"}
SETTINGS = {"region": "eu-central-1", "bucket": BUCKET}
ERROR_RESPONSES = {
    "credentials": (403, "InvalidAccessKeyId"),
    "permission": (403, "AccessDenied"),
    "down": (500, "InternalError"),
}


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, moto_server() as url:
        patch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "25")  # objects in a page
        yield url


def setup_at(url: str) -> ProviderSetup:
    return ProviderSetup(S3Provider(), SETTINGS, KEYS, {"endpoint": url}, [host_of(url)])


class TestS3(StorageConformance):
    listing_size = 60  # three pages

    @pytest.fixture
    def provider_setup(self, moto: str) -> ProviderSetup:
        return setup_at(moto)

    @pytest.fixture
    def broken_bucket(self, provider_setup: ProviderSetup) -> Iterator[Callable[[str], Bucket]]:
        with ExitStack() as stack:

            def broken(failure: str) -> Bucket:
                if failure == "bucket":
                    return provider_setup.bucket(settings={"bucket": "no-such-bucket"})
                status, code = ERROR_RESPONSES[failure]
                return setup_at(stack.enter_context(fixed_response_server(status, s3_error(code)))).bucket()

            yield broken


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "SignatureDoesNotMatch", InvalidCredentialsError),
        (400, "ExpiredToken", InvalidCredentialsError),
        (401, "Unauthorized", InvalidCredentialsError),
        (403, "RequestTimeTooSkewed", ClockSkewError),
        (503, "SlowDown", StorageThrottledError),
        (429, "TooManyRequests", StorageThrottledError),
        (301, "PermanentRedirect", InvalidSettingsError),
        (400, "IllegalLocationConstraintException", InvalidSettingsError),
        (403, "SomethingNew", PermissionDeniedError),
        (502, "x", StorageUnreachableError),
        (418, "Teapot", InvalidSettingsError),
    ],
)
def test_error_responses_raise_the_errors_of_the_contract(status: int, code: str, expected: type[StorageError]) -> None:
    with fixed_response_server(status, s3_error(code)) as url, pytest.raises(expected):
        setup_at(url).bucket().put("a", b"x", content_type="image/png")


def test_response_that_is_not_xml_is_a_storage_error() -> None:
    with fixed_response_server(200, "a captive portal <") as url, pytest.raises(StorageUnreachableError):
        list(setup_at(url).bucket().list())


def test_closed_port_is_unreachable() -> None:
    with pytest.raises(StorageUnreachableError):
        ProviderSetup(S3Provider(), SETTINGS, KEYS, {"endpoint": "http://127.0.0.1:9"}, ["127.0.0.1:9"]).bucket().head(
            "a"
        )


def test_request_deletes_at_most_1000_objects(moto: str) -> None:
    bucket, sizes = setup_at(moto).bucket(), []
    assert isinstance(bucket, S3Bucket)

    def record(params: dict[str, Any], **_: object) -> None:
        sizes.append(len(params["Delete"]["Objects"]))

    bucket._client.meta.events.register("before-parameter-build.s3.DeleteObjects", record)
    bucket.delete_many(f"absent/{number}" for number in range(2005))
    assert sizes == [1000, 1000, 5]


def test_environment_is_ignored(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAFROMTHEENVIRONMENT",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_SESSION_TOKEN": "a-token",
        "AWS_PROFILE": "unknown-profile",
        "AWS_CONFIG_FILE": "/nowhere/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
        "AWS_DEFAULT_REGION": "mars-north-1",
        "AWS_REGION": "mars-north-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_CA_BUNDLE": "/nowhere/ca.pem",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_MAX_ATTEMPTS": "nonsense",
        "AWS_DATA_PATH": "/nowhere",
        "REQUESTS_CA_BUNDLE": "/nowhere/ca.pem",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = setup_at(moto).bucket()
    bucket.put("environment", b"x", content_type="image/png")
    assert bucket.get("environment") == b"x"
    url = bucket.presign_get("environment", 60)
    assert KEYS["access_key_id"] in url
    assert "Security-Token" not in url
    assert url.startswith(moto)
    assert region_host("eu-central-1", "standard") == "s3.eu-central-1.amazonaws.com"
    assert os.environ["AWS_PROFILE"] == "unknown-profile"


@pytest.mark.parametrize(
    ("region", "endpoint", "host"),
    [
        ("eu-central-1", "standard", "s3.eu-central-1.amazonaws.com"),
        ("us-east-1", "standard", "s3.us-east-1.amazonaws.com"),
        ("cn-north-1", "standard", "s3.cn-north-1.amazonaws.com.cn"),
        ("us-west-2", "dualstack", "s3.dualstack.us-west-2.amazonaws.com"),
        ("us-west-2", "fips", "s3-fips.us-west-2.amazonaws.com"),
        ("us-west-2", "dualstack-fips", "s3-fips.dualstack.us-west-2.amazonaws.com"),
    ],
)
def test_hosts_are_those_of_the_region(region: str, endpoint: str, host: str) -> None:
    settings = S3Settings(region=region, bucket="our-images", endpoint=endpoint)  # type: ignore[arg-type]
    assert list(S3Provider().hosts(settings, {})) == [host, f"our-images.{host}"]


@pytest.mark.parametrize("bucket", ["our-images", "our.images"])
def test_private_address_of_a_declared_host_is_blocked(bucket: str) -> None:
    """The host resolves to this machine: blocked before a packet leaves."""
    from cwz_web.net.guard import OutboundPolicy
    from cwz_web.storage import BucketContext

    resolved: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        resolved.append(host)
        return ["127.0.0.1"]

    settings = S3Settings(region="eu-central-1", bucket=bucket)
    outbound = OutboundPolicy(S3Provider().hosts(settings, {}), resolver=resolver)
    bucket_at_aws = S3Provider().open(BucketContext(settings, S3Credentials.model_validate(KEYS), {}, outbound))
    with pytest.raises(BlockedAddressError):
        bucket_at_aws.put("a", b"x", content_type="image/png")
    assert set(resolved) <= set(S3Provider().hosts(settings, {}))
    assert resolved


@pytest.mark.parametrize(
    "change",
    [
        {"region": "eu-central-1\n"},
        {"region": "mars-north-1"},
        {"region": "eu-central-1.evil.test/#"},
        {"region": ""},
        {"bucket": "Upper"},
        {"bucket": "a"},
        {"bucket": "a..b"},
        {"bucket": "our-images\u00a0"},
        {"bucket": "xn--bcher-kva"},
        {"bucket": "sthree-configurator"},
        {"bucket": "amzn-s3-demo-images"},
        {"bucket": "images-abcdefghijklmnopqrstuvwxyz123456-s3alias"},
        {"bucket": "images--ol-s3"},
        {"bucket": "images.mrap"},
        {"bucket": "images--use1-az4--x-s3"},
        {"bucket": "images--table-s3"},
        {"bucket": "evil.test/"},
        {"bucket": "a@b"},
        {"bucket": "127.0.0.1"},
        {"bucket": "bucket\n"},
        {"bucket": "-bucket"},
        {"endpoint": "http://127.0.0.1"},
        {"endpoint_url": "http://127.0.0.1"},
    ],
)
def test_settings_with_another_host_are_rejected(change: dict[str, str]) -> None:
    if change == {"region": "eu-central-1\n"} or change == {"bucket": "bucket\n"}:
        # White space around a value is removed.
        [(name, value)] = change.items()
        assert getattr(S3Settings.model_validate(SETTINGS | change), name) == value.strip()
        return
    with pytest.raises(ValidationError):
        S3Settings.model_validate(SETTINGS | change)


def test_regions_of_every_partition_are_known() -> None:
    assert {"eu-central-1", "us-east-1", "cn-north-1", "us-gov-west-1"} <= known_regions()


def test_stream_of_a_replaced_object_fails(moto: str) -> None:
    bucket = setup_at(moto).bucket()
    bucket.put("replaced", bytes(9 * 1024 * 1024), content_type="image/png")
    parts = bucket.stream("replaced")
    next(parts)
    bucket.put("replaced", b"x" * 9 * 1024 * 1024, content_type="image/png")
    with pytest.raises(StorageUnreachableError, match="changed while it was read"):
        list(parts)

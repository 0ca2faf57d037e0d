"""Google Cloud Storage against an emulator, and against error responses that the emulator never sends."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cwz_storage_gcs import GcsProvider, GcsSettings, GoogleCredentials, read_service_account
from pydantic import ValidationError

from cwz_web.net.guard import OutboundPolicy
from cwz_web.storage import (
    BlockedAddressError,
    Bucket,
    BucketContext,
    InvalidCredentialsError,
    PermissionDeniedError,
    StorageError,
    StorageThrottledError,
    StorageUnreachableError,
)
from cwz_web.storage.testing import ProviderSetup, StorageConformance
from tests.emulators import BUCKET, fixed_response_server, gcs_emulator, google_error, host_of, service_account

ERROR_STATUS = {"credentials": 401, "permission": 403, "down": 500}


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with gcs_emulator() as url:
        yield url


def setup_at(url: str) -> ProviderSetup:
    account = {"service_account": service_account()}
    return ProviderSetup(GcsProvider(), {"bucket": BUCKET}, account, {"endpoint": url}, [host_of(url)])


class TestGcs(StorageConformance):
    listing_size = 30  # the emulator returns all objects in one response

    @pytest.fixture
    def provider_setup(self, emulator: str) -> ProviderSetup:
        return setup_at(emulator)

    @pytest.fixture
    def broken_bucket(self, provider_setup: ProviderSetup) -> Iterator[Callable[[str], Bucket]]:
        with ExitStack() as stack:

            def broken(failure: str) -> Bucket:
                if failure == "bucket":
                    body = google_error(404, "The specified bucket does not exist.")
                    return setup_at(stack.enter_context(fixed_response_server(404, body, "application/json"))).bucket()
                status = ERROR_STATUS[failure]
                body = google_error(status, "no")
                return setup_at(stack.enter_context(fixed_response_server(status, body, "application/json"))).bucket()

            yield broken


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, InvalidCredentialsError),
        (403, PermissionDeniedError),
        (429, StorageThrottledError),
        (503, StorageThrottledError),
        (502, StorageUnreachableError),
    ],
)
def test_error_responses_raise_the_errors_of_the_contract(status: int, expected: type[StorageError]) -> None:
    with fixed_response_server(status, google_error(status, "no"), "application/json") as url:
        bucket = setup_at(url).bucket()
        for attempt in (
            lambda: bucket.put("a", b"x", content_type="image/png"),
            lambda: bucket.get("a"),
            lambda: bucket.head("a"),
            lambda: bucket.delete("a"),
        ):
            with pytest.raises(expected):
                attempt()


def test_closed_port_is_unreachable() -> None:
    with pytest.raises(StorageUnreachableError):
        setup_at("http://127.0.0.1:9").bucket().head("a")


def test_environment_is_ignored(emulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/key.json",
        "GOOGLE_CLOUD_PROJECT": "another-project",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9",
        "GOOGLE_API_USE_CLIENT_CERTIFICATE": "true",
        "GOOGLE_CLOUD_UNIVERSE_DOMAIN": "evil.test",
        "GCE_METADATA_HOST": "127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "REQUESTS_CA_BUNDLE": "/nowhere/ca.pem",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = setup_at(emulator).bucket()
    bucket.put("environment", b"x", content_type="image/png")
    assert bucket.get("environment") == b"x"
    resolved: list[str] = []
    with pytest.raises(BlockedAddressError):
        bucket_at_google(resolved).get("a")
    assert set(resolved) <= {"storage.googleapis.com", "oauth2.googleapis.com"}


def bucket_at_google(resolved: list[str], address: str = "127.0.0.1") -> Bucket:
    """Open the bucket as in production, with every host resolving to this address."""

    def resolver(host: str, port: int) -> list[str]:
        resolved.append(host)
        return [address]

    settings = GcsSettings(bucket=BUCKET)
    credentials = GoogleCredentials(service_account=service_account())  # type: ignore[arg-type]
    outbound = OutboundPolicy(GcsProvider().hosts(settings, {}), resolver=resolver)
    return GcsProvider().open(BucketContext(settings, credentials, {}, outbound))


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_private_address_is_blocked(address: str) -> None:
    resolved: list[str] = []
    with pytest.raises(BlockedAddressError):
        bucket_at_google(resolved, address).put("a", b"x", content_type="image/png")
    assert set(resolved) == {"oauth2.googleapis.com"}, "the access token is requested first"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"type": "external_account"}, "external_account"),
        ({"type": "authorized_user"}, "authorized_user"),
        ({"type": "impersonated_service_account"}, "impersonated"),
        ({"type": None}, "service account"),
        ({"token_uri": "https://evil.test/token"}, "token_uri"),
        ({"token_uri": "http://169.254.169.254/token"}, "token_uri"),
        ({"universe_domain": "evil.test"}, "universe_domain"),
        ({"private_key": None}, "private_key"),
        ({"client_email": 7}, "client_email"),
    ],
)
def test_other_types_of_credentials_are_rejected(changed: dict[str, object], message: str) -> None:
    text = service_account(**changed)
    with pytest.raises(ValidationError, match=message) as refusal:
        GoogleCredentials(service_account=text)  # type: ignore[arg-type]
    assert "BEGIN PRIVATE KEY" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "no json", "[]", "[" * 9000, "7"])
def test_invalid_key_file_is_rejected(text: str) -> None:
    with pytest.raises(ValidationError):
        GoogleCredentials(service_account=text)  # type: ignore[arg-type]


def test_key_file_is_reduced_to_known_fields_and_google_urls() -> None:
    found = read_service_account(service_account(token_uri=None, auth_uri="https://evil.test", quota_project_id="x"))
    assert found["token_uri"] == "https://oauth2.googleapis.com/token"
    assert "auth_uri" not in found
    assert "quota_project_id" not in found


def test_invalid_private_key_is_reported() -> None:
    broken = service_account(private_key="-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
    with pytest.raises(ValidationError, match="download a new key"):
        GoogleCredentials(service_account=broken)  # type: ignore[arg-type]


# A key of 512 bits, which cryptography does not generate any more; it protects nothing.
SHORT_KEY = "\n".join(
    (
        "-----BEGIN PRIVATE KEY-----",
        "MIIBVAIBADANBgkqhkiG9w0BAQEFAASCAT4wggE6AgEAAkEAs6Pnq719fVQHUhbV",  # pragma: allowlist secret
        "d21kQGxR19v3dVllC++3u0CTahipkW7jf0lLj0XC7yzpGq6gPCObB4bcj0jrvjdX",  # pragma: allowlist secret
        "Ws8AGQIDAQABAkALfZB0C8rbGWTee1dsLDMda9BQXmGVwAIWoV6/O4IyZwXfldLw",  # pragma: allowlist secret
        "AViNvITaycIN/keS71SMg2E1tgw3HF2zG04BAiEA7OtFyoKQPyH4Sjxdz8Sto0/7",  # pragma: allowlist secret
        "MPjquW63xwNRqwSCLS0CIQDCG6zaGMwRXlYbbYUIQHy9Vj10FPclgNtJDmdVaFCq",  # pragma: allowlist secret
        "HQIgCLKif0rHzOmMWf1ZXFVWIpa/HA8nXuNnr9C5YNPri4kCIQDAU/uo/fj1HKvk",  # pragma: allowlist secret
        "8VdnHb57PAAYDM31cv/UG1l33qxOYQIgPaUVkiHFNu/4/kSnW6vTfr6u6oqLm+ZB",  # pragma: allowlist secret
        "Kai7Cqp1CBo=",  # pragma: allowlist secret
        "-----END PRIVATE KEY-----",
    )
)


@pytest.mark.parametrize("kind", ["512 bits", "1024 bits", "EC", "Ed25519"])
def test_key_that_google_does_not_issue_is_refused(kind: str) -> None:
    keys: dict[str, Any] = {
        "1024 bits": lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505
        "EC": lambda: ec.generate_private_key(ec.SECP256R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    encoding = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem = keys[kind]().private_bytes(*encoding).decode() if kind in keys else SHORT_KEY
    with pytest.raises(ValidationError, match=r"download a new key") as refusal:
        GoogleCredentials(service_account=service_account(private_key=pem))  # type: ignore[arg-type]
    assert "BEGIN" not in str(refusal.value)


INVALID_BUCKETS = ["Upper", "a", "a..b", "evil.test/", "a b", "../x", "our-images\u00a0"]
RESERVED_BUCKETS = ["goog-x", "google", "192.168.5.4", "xn--a-b", "a.xn--b"]


@pytest.mark.parametrize("bucket", [*INVALID_BUCKETS, *RESERVED_BUCKETS])
def test_invalid_bucket_name_is_rejected(bucket: str) -> None:
    with pytest.raises(ValidationError):
        GcsSettings(bucket=bucket)

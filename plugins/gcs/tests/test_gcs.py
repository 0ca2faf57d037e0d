"""Google Cloud Storage, against an emulator, and against every refusal that the emulator never makes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from cwz_storage_gcs import GcsProvider, GcsSettings, GoogleCredentials, read_service_account
from pydantic import ValidationError

from cwz_web.net.guard import Outbound
from cwz_web.storage import (
    BlockedAddressError,
    Bucket,
    InvalidCredentialsError,
    Opening,
    PermissionDeniedError,
    StorageError,
    StorageThrottledError,
    StorageUnreachableError,
)
from cwz_web.storage.testing import Opened, StorageConformance
from tests.emulators import BUCKET, answering, gcs_emulator, google_error, host_of, service_account

ACCOUNT = service_account()
REFUSALS = {"credentials": 401, "permission": 403, "down": 500}


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with gcs_emulator() as address:
        yield address


def at(address: str) -> Opened:
    account = {"service_account": ACCOUNT}
    return Opened(GcsProvider(), {"bucket": BUCKET}, account, {"endpoint": address}, [host_of(address)])


class TestGcs(StorageConformance):
    @pytest.fixture
    def opened(self, emulator: str) -> Opened:
        return at(emulator)

    @pytest.fixture
    def break_with(self, opened: Opened) -> Iterator[Callable[[str], Bucket]]:
        with ExitStack() as stack:

            def broken(kind: str) -> Bucket:
                if kind == "bucket":
                    body = google_error(404, "The specified bucket does not exist.")
                    return at(stack.enter_context(answering(404, body, "application/json"))).bucket()
                status = REFUSALS[kind]
                body = google_error(status, "no")
                return at(stack.enter_context(answering(status, body, "application/json"))).bucket()

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
def test_each_refusal_has_its_word(status: int, expected: type[StorageError]) -> None:
    with answering(status, google_error(status, "no"), "application/json") as address:
        bucket = at(address).bucket()
        for attempt in (
            lambda: bucket.put("a", b"x", content_type="image/png"),
            lambda: bucket.get("a"),
            lambda: bucket.head("a"),
            lambda: bucket.delete("a"),
        ):
            with pytest.raises(expected):
                attempt()


def test_nothing_listens() -> None:
    with pytest.raises(StorageUnreachableError):
        at("http://127.0.0.1:9").bucket().head("a")


def test_nothing_of_the_environment_is_used(emulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/key.json",
        "GOOGLE_CLOUD_PROJECT": "somebody-elses",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9",
        "GOOGLE_API_USE_CLIENT_CERTIFICATE": "true",
        "GOOGLE_CLOUD_UNIVERSE_DOMAIN": "evil.test",
        "GCE_METADATA_HOST": "127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "REQUESTS_CA_BUNDLE": "/nowhere/ca.pem",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = at(emulator).bucket()
    bucket.put("environment", b"x", content_type="image/png")
    assert bucket.get("environment") == b"x"
    asked: list[str] = []
    with pytest.raises(BlockedAddressError):
        production(asked).get("a")
    assert set(asked) <= {"storage.googleapis.com", "oauth2.googleapis.com"}


def production(asked: list[str], address: str = "127.0.0.1") -> Bucket:
    """The bucket as in production, but that every name resolves to an address within."""

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return [address]

    settings = GcsSettings(bucket=BUCKET)
    credentials = GoogleCredentials(service_account=ACCOUNT)  # type: ignore[arg-type]
    outbound = Outbound(GcsProvider().hosts(settings, {}), resolver=resolver)
    return GcsProvider().open(Opening(settings, credentials, {}, outbound))


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_a_name_that_leads_within_is_refused_before_a_packet_leaves(address: str) -> None:
    asked: list[str] = []
    with pytest.raises(BlockedAddressError):
        production(asked, address).put("a", b"x", content_type="image/png")
    assert set(asked) == {"oauth2.googleapis.com"}, "the token is asked for first"


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
def test_other_credentials_are_refused_by_name(changed: dict[str, object], message: str) -> None:
    text = service_account(**changed)
    with pytest.raises(ValidationError, match=message) as refusal:
        GoogleCredentials(service_account=text)  # type: ignore[arg-type]
    assert "BEGIN PRIVATE KEY" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "no json", "[]", "[" * 9000, "7"])
def test_what_is_no_key_file_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        GoogleCredentials(service_account=text)  # type: ignore[arg-type]


def test_a_key_file_keeps_only_what_is_needed_and_googles_own_addresses() -> None:
    found = read_service_account(service_account(token_uri=None, auth_uri="https://evil.test", quota_project_id="x"))
    assert found["token_uri"] == "https://oauth2.googleapis.com/token"
    assert "auth_uri" not in found
    assert "quota_project_id" not in found


def test_a_private_key_that_is_none_is_said_so() -> None:
    broken = service_account(private_key="-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
    with pytest.raises(InvalidCredentialsError, match="download a new key"):
        Opened(GcsProvider(), {"bucket": BUCKET}, {"service_account": broken}).bucket()


@pytest.mark.parametrize("bucket", ["Upper", "a", "a..b", "evil.test/", "a b", "../x"])
def test_a_bucket_that_is_none_is_refused(bucket: str) -> None:
    with pytest.raises(ValidationError):
        GcsSettings(bucket=bucket)

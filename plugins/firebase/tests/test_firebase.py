"""Firebase Storage against an emulator. The bucket class is that of plugins/gcs, which has the whole suite."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from cwz_storage_firebase import FirebaseProvider, FirebaseSettings
from cwz_storage_gcs import GoogleCredentials
from pydantic import ValidationError

from cwz_web.net.guard import OutboundPolicy
from cwz_web.storage import BlockedAddressError, Bucket, BucketContext
from cwz_web.storage.testing import ProviderConformance, ProviderSetup
from tests.emulators import BUCKET, fixed_response_server, gcs_emulator, google_error, host_of, service_account

ERROR_STATUS = {"credentials": 401, "permission": 403, "down": 500}


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with gcs_emulator() as url:
        yield url


def setup_at(url: str) -> ProviderSetup:
    account = {"service_account": service_account()}
    return ProviderSetup(FirebaseProvider(), {"bucket": BUCKET}, account, {"endpoint": url}, [host_of(url)])


class TestFirebase(ProviderConformance):
    @pytest.fixture
    def provider_setup(self, emulator: str) -> ProviderSetup:
        return setup_at(emulator)

    @pytest.fixture
    def broken_bucket(self, provider_setup: ProviderSetup) -> Iterator[Callable[[str], Bucket]]:
        with ExitStack() as stack:

            def broken(failure: str) -> Bucket:
                status = ERROR_STATUS.get(failure, 404)
                body = google_error(status, "The specified bucket does not exist." if failure == "bucket" else "no")
                return setup_at(stack.enter_context(fixed_response_server(status, body, "application/json"))).bucket()

            yield broken


def test_public_url_is_that_of_firebase(emulator: str) -> None:
    url = setup_at(emulator).bucket().public_url("a b/ü.png")
    assert url == f"https://firebasestorage.googleapis.com/v0/b/{BUCKET}/o/a%20b%2F%C3%BC.png?alt=media"


def test_emulator_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("FIREBASE_STORAGE_EMULATOR_HOST", "127.0.0.1:9")
    resolved: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        resolved.append(host)
        return ["127.0.0.1"]

    settings = FirebaseSettings(bucket="our-app.firebasestorage.app")
    credentials = GoogleCredentials(service_account=service_account())  # type: ignore[arg-type]
    outbound = OutboundPolicy(FirebaseProvider().hosts(settings, {}), resolver=resolver)
    bucket = FirebaseProvider().open(BucketContext(settings, credentials, {}, outbound))
    with pytest.raises(BlockedAddressError):
        bucket.get("a")
    assert set(resolved) == {"oauth2.googleapis.com"}


def test_invalid_private_key_is_reported() -> None:
    broken = service_account(private_key="nonsense")
    with pytest.raises(ValidationError):
        ProviderSetup(FirebaseProvider(), {"bucket": BUCKET}, {"service_account": broken}).bucket()

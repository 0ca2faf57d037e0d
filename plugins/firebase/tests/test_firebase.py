"""Firebase Storage, against an emulator."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from cwz_storage_firebase import FirebaseProvider, FirebaseSettings
from cwz_storage_gcs import GoogleCredentials

from cwz_web.net.guard import Outbound
from cwz_web.storage import BlockedAddressError, Bucket, InvalidCredentialsError, Opening
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
    return Opened(FirebaseProvider(), {"bucket": BUCKET}, account, {"endpoint": address}, [host_of(address)])


class TestFirebase(StorageConformance):
    many = 25  # the bucket is that of Google Cloud Storage, whose pages are tried there

    @pytest.fixture
    def opened(self, emulator: str) -> Opened:
        return at(emulator)

    @pytest.fixture
    def break_with(self, opened: Opened) -> Iterator[Callable[[str], Bucket]]:
        with ExitStack() as stack:

            def broken(kind: str) -> Bucket:
                status = REFUSALS.get(kind, 404)
                body = google_error(status, "The specified bucket does not exist." if kind == "bucket" else "no")
                return at(stack.enter_context(answering(status, body, "application/json"))).bucket()

            yield broken


def test_its_public_addresses_are_firebases_own(emulator: str) -> None:
    url = at(emulator).bucket().public_url("a b/ü.png")
    assert url == f"https://firebasestorage.googleapis.com/v0/b/{BUCKET}/o/a%20b%2F%C3%BC.png?alt=media"


def test_the_emulators_variable_is_ignored_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("FIREBASE_STORAGE_EMULATOR_HOST", "127.0.0.1:9")
    asked: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    settings = FirebaseSettings(bucket="our-app.firebasestorage.app")
    credentials = GoogleCredentials(service_account=ACCOUNT)  # type: ignore[arg-type]
    outbound = Outbound(FirebaseProvider().hosts(settings, {}), resolver=resolver)
    bucket = FirebaseProvider().open(Opening(settings, credentials, {}, outbound))
    with pytest.raises(BlockedAddressError):
        bucket.get("a")
    assert set(asked) == {"oauth2.googleapis.com"}


def test_a_private_key_that_is_none_is_said_so() -> None:
    broken = service_account(private_key="nonsense")
    with pytest.raises(InvalidCredentialsError):
        Opened(FirebaseProvider(), {"bucket": BUCKET}, {"service_account": broken}).bucket()

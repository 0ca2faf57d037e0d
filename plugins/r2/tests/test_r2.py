"""Cloudflare R2, against moto's server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from cwz_storage_r2 import R2Provider, R2Settings
from cwz_storage_s3 import S3Credentials
from pydantic import ValidationError

from cwz_web.net.guard import Outbound
from cwz_web.storage import BlockedAddressError, Bucket, Opening
from cwz_web.storage.testing import Opened, StorageConformance
from tests.emulators import BUCKET, answering, host_of, moto_server, s3_error

KEYS = {"access_key_id": "canary00000000000000000000000001", "secret_access_key": "canary" + "0" * 58}
SETTINGS = {"account_id": "0123456789abcdef0123456789abcdef", "bucket": BUCKET}
REFUSALS = {"credentials": (401, "Unauthorized"), "permission": (403, "AccessDenied"), "down": (500, "InternalError")}


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as address:
        yield address


def at(address: str) -> Opened:
    return Opened(R2Provider(), SETTINGS, KEYS, {"endpoint": address}, [host_of(address)])


class TestR2(StorageConformance):
    many = 25  # the bucket is that of S3, whose pages are tried there

    @pytest.fixture
    def opened(self, moto: str) -> Opened:
        return at(moto)

    @pytest.fixture
    def break_with(self, opened: Opened) -> Iterator[Callable[[str], Bucket]]:
        with ExitStack() as stack:

            def broken(kind: str) -> Bucket:
                if kind == "bucket":
                    return opened.bucket(settings={"bucket": "no-such-bucket"})
                status, code = REFUSALS[kind]
                return at(stack.enter_context(answering(status, s3_error(code)))).bucket()

            yield broken


@pytest.mark.parametrize(
    ("jurisdiction", "host"),
    [
        ("default", "0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com"),
        ("eu", "0123456789abcdef0123456789abcdef.eu.r2.cloudflarestorage.com"),
        ("fedramp", "0123456789abcdef0123456789abcdef.fedramp.r2.cloudflarestorage.com"),
    ],
)
def test_it_goes_to_the_accounts_host_and_nowhere_else(jurisdiction: str, host: str) -> None:
    settings = R2Settings.model_validate(SETTINGS | {"jurisdiction": jurisdiction})
    assert list(R2Provider().hosts(settings, {})) == [f"{host}:443"]
    asked: list[str] = []

    def resolver(name: str, port: int) -> list[str]:
        asked.append(name)
        return ["169.254.169.254"]

    outbound = Outbound(R2Provider().hosts(settings, {}), resolver=resolver)
    bucket = R2Provider().open(Opening(settings, S3Credentials.model_validate(KEYS), {}, outbound))
    with pytest.raises(BlockedAddressError):
        bucket.get("a")
    assert set(asked) == {host}


@pytest.mark.parametrize(
    "change",
    [
        {"account_id": "evil.test/#"},
        {"account_id": "0123456789ABCDEF0123456789ABCDEF"},
        {"account_id": "0123456789abcdef0123456789abcde"},
        {"account_id": "0123456789abcdef0123456789abcdef.evil.test"},
        {"account_id": "0123456789abcdef0123456789abcde\n"},
        {"jurisdiction": "evil"},
        {"bucket": "../other"},
        {"endpoint": "http://127.0.0.1"},
    ],
)
def test_settings_that_lead_elsewhere_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        R2Settings.model_validate(SETTINGS | change)

"""Cloudflare R2 against moto's server. The bucket class is that of plugins/s3, which has the whole suite."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from cwz_storage_r2 import R2Provider, R2Settings
from cwz_storage_s3 import S3Credentials
from pydantic import ValidationError

from cwz_web.net.guard import OutboundPolicy
from cwz_web.storage import BlockedAddressError, Bucket, BucketContext
from cwz_web.storage.testing import ProviderConformance, ProviderSetup
from tests.emulators import BUCKET, fixed_response_server, host_of, moto_server, s3_error

KEYS = {"access_key_id": "canary00000000000000000000000001", "secret_access_key": "canary" + "0" * 58}
SETTINGS = {"account_id": "0123456789abcdef0123456789abcdef", "bucket": BUCKET}
ERROR_RESPONSES = {
    "credentials": (401, "Unauthorized"),
    "permission": (403, "AccessDenied"),
    "down": (500, "InternalError"),
}


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


def setup_at(url: str) -> ProviderSetup:
    return ProviderSetup(R2Provider(), SETTINGS, KEYS, {"endpoint": url}, [host_of(url)])


class TestR2(ProviderConformance):
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
    ("jurisdiction", "host"),
    [
        ("default", "0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com"),
        ("eu", "0123456789abcdef0123456789abcdef.eu.r2.cloudflarestorage.com"),
        ("fedramp", "0123456789abcdef0123456789abcdef.fedramp.r2.cloudflarestorage.com"),
    ],
)
def test_host_is_that_of_the_account(jurisdiction: str, host: str) -> None:
    settings = R2Settings.model_validate(SETTINGS | {"jurisdiction": jurisdiction})
    assert list(R2Provider().hosts(settings, {})) == [f"{host}:443"]
    resolved: list[str] = []

    def resolver(name: str, port: int) -> list[str]:
        resolved.append(name)
        return ["169.254.169.254"]

    outbound = OutboundPolicy(R2Provider().hosts(settings, {}), resolver=resolver)
    bucket = R2Provider().open(BucketContext(settings, S3Credentials.model_validate(KEYS), {}, outbound))
    with pytest.raises(BlockedAddressError):
        bucket.get("a")
    assert set(resolved) == {host}


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
def test_settings_with_another_host_are_rejected(change: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        R2Settings.model_validate(SETTINGS | change)

"""The operator's own storage: one bucket, in which each workspace reaches its own prefix only."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from cwz_web.settings import IncludedStorage
from cwz_web.storage import Bucket, Capability, InvalidSettingsError, ObjectAttributes
from cwz_web.storage.included import INCLUDED, WorkspaceBucket
from cwz_web.storage.plugins import ConnectionSpec, ProviderRegistry

OURS, THEIRS = UUID(int=1), UUID(int=2)
CALLS: dict[str, Callable[[Bucket, str], object]] = {
    "put": lambda bucket, key: bucket.put(key, b"x", content_type="text/plain"),
    "get": lambda bucket, key: bucket.get(key),
    "head": lambda bucket, key: bucket.head(key),
    "list": lambda bucket, key: list(bucket.list(key)),
    "delete": lambda bucket, key: bucket.delete(key),
    "stream": lambda bucket, key: list(bucket.stream(key)),
    "delete_many": lambda bucket, key: bucket.delete_many([f"{OURS}/a", key]),
    "presign_get": lambda bucket, key: bucket.presign_get(key, 60),
    "presign_put": lambda bucket, key: bucket.presign_put(key, 60, content_type="text/plain"),
    "put_object": lambda bucket, key: bucket.put_object(key, b"x", ObjectAttributes("text/plain")),
    "presign_upload": lambda bucket, key: bucket.presign_upload(key, 60, ObjectAttributes("text/plain")),
    "public_url": lambda bucket, key: bucket.public_url(key),
}
FOREIGN = (f"{THEIRS}/a", f"{OURS}/../{THEIRS}/a", "a", str(OURS), f"{OURS}x/a", "")


def registry(root: Path, **included: Any) -> ProviderRegistry:
    storage = IncludedStorage.model_validate({"provider": "local", **included})
    return ProviderRegistry({"local": {"root": str(root)}}, included=storage)


def open_included(providers: ProviderRegistry, workspace_id: UUID) -> Bucket:
    spec = ConnectionSpec(workspace_id=workspace_id, connection_id=UUID(int=9), provider=INCLUDED, settings="{}")
    return providers.open(spec)


def test_every_operation_of_a_bucket_is_guarded() -> None:
    operations = {name for name, _ in inspect.getmembers(Bucket, inspect.isfunction) if not name.startswith("_")}
    assert operations == CALLS.keys()
    assert operations <= vars(WorkspaceBucket).keys()


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("key", FOREIGN)
def test_keys_of_other_workspaces_are_rejected(tmp_path: Path, operation: str, key: str) -> None:
    providers = registry(tmp_path)
    open_included(providers, THEIRS).put(f"{THEIRS}/a", b"secret", content_type="text/plain")
    if operation == "list" and not key:
        assert list(open_included(providers, OURS).list()) == []
        return
    with pytest.raises(InvalidSettingsError, match="another workspace"):
        CALLS[operation](open_included(providers, OURS), key)
    assert open_included(providers, THEIRS).get(f"{THEIRS}/a") == b"secret"


def test_a_workspace_uses_its_own_prefix(tmp_path: Path) -> None:
    bucket = open_included(registry(tmp_path), OURS)
    bucket.put(f"{OURS}/a", b"x", content_type="text/plain")
    assert [info.key for info in bucket.list()] == [f"{OURS}/a"]
    bucket.delete_many([f"{OURS}/a"])
    assert list(bucket.list(f"{OURS}/")) == []


def test_provider_has_the_capabilities_and_hosts_of_its_target() -> None:
    credentials = SecretStr('{"access_key_id": "AKIAEXAMPLE0", "secret_access_key": "planted-canary"}')
    options = {"provider": "s3", "credentials": credentials, "bucket": "our-images", "region": "eu-central-1"}
    providers = ProviderRegistry({}, included=IncludedStorage.model_validate(options))
    provider = providers.get(INCLUDED)
    assert provider is not None
    assert Capability.PRESIGNED_PUT in provider.capabilities
    spec = ConnectionSpec(workspace_id=OURS, connection_id=UUID(int=9), provider=INCLUDED, settings="{}")
    delegated = providers.delegate(spec)
    assert (delegated.is_presigned, "our-images.s3.eu-central-1.amazonaws.com" in delegated.hosts) == (True, True)
    assert "our-images" in providers.open(spec).presign_get(f"{OURS}/a", 60)
    assert "canary" not in repr(provider) + repr(spec)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"provider": "tape"}, "tape is not installed"),
        ({"provider": "s3", "bucket": "our-images", "region": "eu-central-1"}, "not valid: access_key_id"),
        ({"provider": "s3", "bucket": "x", "region": "eu-central-1"}, "not valid: bucket"),
    ],
)
def test_invalid_settings_are_reported_and_stop_nothing(tmp_path: Path, options: Any, reason: str) -> None:
    providers = registry(tmp_path, **options)
    assert providers.get(INCLUDED) is None
    assert providers.get("local") is not None
    assert reason in providers.load_errors[INCLUDED]

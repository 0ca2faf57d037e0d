import base64
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

from cwz_web.crypto import KeyRing
from cwz_web.storage import (
    Bucket,
    BucketContext,
    Fields,
    InvalidCredentialsError,
    InvalidSettingsError,
    StorageProvider,
    hookimpl,
    plugins,
)
from cwz_web.storage.plugins import ConnectionSpec, ProviderRegistry

RING = KeyRing([bytes(range(32))])


class Settings(Fields):
    folder: str


class Credentials(Fields):
    token: str = ""


class MemoryProvider(StorageProvider[Settings, Credentials]):
    """Its bucket is the context that it was opened with."""

    api_version = 1
    name = "memory"
    label = "Memory"
    settings_model = Settings
    credentials_model = Credentials

    def hosts(self, settings: Settings, operator: Mapping[str, str]) -> Iterable[str]:
        return ["storage.example.com"]

    def open(self, context: BucketContext[Settings, Credentials]) -> Bucket:
        return context  # type: ignore[return-value]


def spec_of(provider: str = "memory", encrypted_credentials: str = "", **settings: str) -> ConnectionSpec:
    return ConnectionSpec(
        workspace_id=UUID(int=1),
        connection_id=UUID(int=2),
        provider=provider,
        settings=json.dumps(settings),
        encrypted_credentials=encrypted_credentials,
    )


def with_secrets(spec: ConnectionSpec, **secrets: str) -> ConnectionSpec:
    envelope = RING.encrypt(json.dumps(secrets), *spec.context)
    return spec.model_copy(update={"encrypted_credentials": base64.b64encode(envelope).decode()})


def install(monkeypatch: pytest.MonkeyPatch, **plugin_by_name: Any) -> None:
    """Let these plugins be the only installed ones."""

    class Point(EntryPoint):
        def load(self) -> Any:
            plugin = plugin_by_name[self.name]
            if isinstance(plugin, Exception):
                raise plugin
            return plugin

    points = [Point(name, "nowhere", "cwz.storage") for name in plugin_by_name]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)


def module_with(hook: Any) -> ModuleType:
    module = ModuleType("plugin")
    module.cwz_storage_providers = hook  # type: ignore[attr-defined]
    return module


def plugin(*providers: Any) -> Any:
    @hookimpl
    def cwz_storage_providers() -> Iterable[Any]:
        return providers

    return module_with(cwz_storage_providers)


def names(blocked: tuple[str, ...] = ()) -> list[str]:
    return [provider.name for provider in ProviderRegistry({}, blocked)]


def test_local_plugin_is_found_by_its_entry_point() -> None:
    assert "local" in names()
    assert "local" not in names(blocked=("local",))


def test_bucket_is_opened_with_validated_settings_and_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, good=plugin(MemoryProvider()))
    providers = ProviderRegistry({"memory": {"limit": "3"}}, resolver=lambda host, port: ["93.184.216.34"])
    context: Any = providers.open(spec_of(folder="x"))
    assert (context.settings, context.operator) == (Settings(folder="x"), {"limit": "3"})
    assert context.outbound.resolve_address("storage.example.com", 443, secure=True) == "93.184.216.34"
    assert providers.open(spec_of(folder="x")) is context
    with pytest.raises(InvalidSettingsError, match="settings of Memory are not valid: folder"):
        providers.open(spec_of())
    with pytest.raises(InvalidSettingsError, match="not installed on this server"):
        providers.open(spec_of("tape"))


def test_secrets_can_be_decrypted_for_their_own_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, good=plugin(MemoryProvider()))
    providers = ProviderRegistry({}, ring=RING)
    spec = with_secrets(spec_of(folder="x"), token="canary-1177")
    context: Any = providers.open(spec)
    assert context.credentials.token == "canary-1177"
    assert "canary" not in repr(spec)
    for other in ({"workspace_id": UUID(int=3)}, {"connection_id": UUID(int=3)}):
        with pytest.raises(InvalidCredentialsError, match="cannot be decrypted") as error:
            providers.open(spec.model_copy(update=other))
        assert "canary" not in str(error.value)
    with pytest.raises(InvalidCredentialsError, match="no keys"):
        ProviderRegistry({}).open(spec)


class MisspelledHook:
    @hookimpl
    def cwz_storage_provider(self) -> Iterable[Any]:
        return []


def plugin_with(**attributes: Any) -> Any:
    return plugin(type("Other", (MemoryProvider,), attributes)())


class WithoutLabel(StorageProvider[Settings, Credentials]):
    api_version = 1
    name = "unlabeled"
    settings_model = Settings
    credentials_model = Credentials

    def open(self, context: BucketContext[Settings, Credentials]) -> Bucket:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (ImportError("no module named boto9"), "no module named boto9"),
        (MisspelledHook(), "cwz_storage_provider"),
        (plugin(object()), "not derived from StorageProvider"),
        (plugin(WithoutLabel()), "does not define label"),
        (plugin_with(api_version=99), "written for version 99"),
        (plugin_with(name="Bad Name"), "name must be"),
        (plugin(None), "not derived from StorageProvider"),
    ],
    ids=["import error", "misspelled hook", "no provider", "no label", "other version", "bad name", "none"],
)
def test_broken_plugin_is_skipped_with_a_reason(monkeypatch: pytest.MonkeyPatch, broken: Any, reason: str) -> None:
    install(monkeypatch, broken=broken, good=plugin(MemoryProvider()))
    assert names() == ["memory"]
    assert reason in ProviderRegistry({}).load_errors["broken"]


def test_hook_that_raises_does_not_affect_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    @hookimpl
    def cwz_storage_providers() -> Iterable[Any]:
        raise RuntimeError("broken")

    install(monkeypatch, broken=module_with(cwz_storage_providers), good=plugin(MemoryProvider()))
    assert names() == ["memory"]


def test_second_provider_of_a_name_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, one=plugin(MemoryProvider()), two=plugin(MemoryProvider()))
    assert names() == ["memory"]

import base64
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from cwz_web.crypto import KeyRing
from cwz_web.storage import (
    API_VERSION,
    Capability,
    Fields,
    InvalidCredentialsError,
    InvalidSettingsError,
    BucketContext,
    check_key,
    hookimpl,
    plugins,
)
from cwz_web.storage.plugins import ConnectionSpec, ProviderRegistry

RING = KeyRing([bytes(range(32))])


class Settings(Fields):
    folder: str


class Secrets(Fields):
    token: str = ""


class Provider:
    api_version = API_VERSION
    name = "memory"
    label = "Memory"
    icon = "cloud"
    help_url = ""
    capabilities = frozenset[Capability]()
    settings_model = Settings
    credentials_model = Secrets

    def hosts(self, settings: BaseModel, operator: Mapping[str, str]) -> Iterable[str]:
        return ["storage.example.com"]

    def open(self, opening: BucketContext) -> Any:
        return opening


def place(provider: str = "memory", sealed: str = "", **settings: str) -> ConnectionSpec:
    return ConnectionSpec(
        workspace_id=UUID(int=1),
        connection_id=UUID(int=2),
        provider=provider,
        settings=json.dumps(settings),
        sealed=sealed,
    )


def seal(where: ConnectionSpec, **secrets: str) -> ConnectionSpec:
    envelope = RING.encrypt(json.dumps(secrets), *where.context)
    return where.model_copy(update={"sealed": base64.b64encode(envelope).decode()})


def install(monkeypatch: pytest.MonkeyPatch, **plugin_by_name: Any) -> None:
    """Make it so that these plugins, and no others, are installed."""

    class Point(EntryPoint):
        def load(self) -> Any:
            plugin = plugin_by_name[self.name]
            if isinstance(plugin, Exception):
                raise plugin
            return plugin

    points = [Point(name, "nowhere", "cwz.storage") for name in plugin_by_name]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)


def module(hook: Any) -> ModuleType:
    made = ModuleType("plugin")
    made.cwz_storage_providers = hook  # type: ignore[attr-defined]
    return made


def plugin(*providers: Any) -> Any:
    @hookimpl
    def cwz_storage_providers() -> Iterable[Any]:
        return providers

    return module(cwz_storage_providers)


def names(blocked: tuple[str, ...] = ()) -> list[str]:
    return [provider.name for provider in ProviderRegistry({}, blocked)]


def test_the_local_plugin_is_installed_like_any_other() -> None:
    assert "local" in names()
    assert "local" not in names(blocked=("local",))


def test_a_provider_gets_checked_settings_and_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, good=plugin(Provider()))
    providers = ProviderRegistry({"memory": {"limit": "3"}})
    opening: Any = providers.open(place(folder="x"))
    assert (opening.settings, opening.operator) == (Settings(folder="x"), {"limit": "3"})
    assert opening.outbound.hosts == {"storage.example.com:443"}
    assert providers.open(place(folder="x")) is opening, "kept for its next use"
    with pytest.raises(InvalidSettingsError, match="Memory are not valid"):
        providers.open(place())
    with pytest.raises(InvalidSettingsError, match="not available on this server"):
        providers.open(place("tape"))


def test_secrets_open_in_their_own_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, good=plugin(Provider()))
    providers = ProviderRegistry({}, ring=RING)
    sealed = seal(place(folder="x"), token="canary-1177")
    opening: Any = providers.open(sealed)
    assert opening.credentials.token == "canary-1177"
    assert "canary" not in repr(sealed)
    for other in ({"workspace_id": UUID(int=3)}, {"connection_id": UUID(int=3)}):
        with pytest.raises(InvalidCredentialsError, match="copied from elsewhere") as refusal:
            providers.open(sealed.model_copy(update=other))
        assert "canary" not in str(refusal.value)
    with pytest.raises(InvalidCredentialsError):
        ProviderRegistry({}).open(sealed)


def test_a_plugin_that_is_left_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, broken=ImportError("no module named boto9"), good=plugin(Provider()))
    assert ProviderRegistry({}).left_out == {"broken": "no module named boto9"}


class Misspelt:
    @hookimpl
    def cwz_storage_provider(self) -> Iterable[Any]:
        return []


def old(**given: Any) -> Any:
    return plugin(type("Old", (Provider,), given)())


@pytest.mark.parametrize(
    "broken",
    [
        ImportError("no module named boto9"),
        Misspelt(),
        plugin(object()),
        old(api_version=99),
        old(name="Bad Name"),
        plugin(None),
    ],
    ids=["does not import", "misspelt hook", "no provider", "other version", "bad name", "nothing"],
)
def test_a_broken_plugin_is_left_out_and_stops_nothing(monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    install(monkeypatch, broken=broken, good=plugin(Provider()))
    assert names() == ["memory"]


def test_a_hook_that_fails_takes_no_other_plugin_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    @hookimpl
    def cwz_storage_providers() -> Iterable[Any]:
        raise RuntimeError("at the wrong time")

    install(monkeypatch, broken=module(cwz_storage_providers), good=plugin(Provider()))
    assert names() == ["memory"]


def test_the_second_provider_of_a_name_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, one=plugin(Provider()), two=plugin(Provider()))
    assert names() == ["memory"]


@pytest.mark.parametrize("key", ["a", "a/b.jpg", "ünï/codé", "a b"])
def test_good_keys(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", ".", "../a", "a/../b", "a\\b", "a\x00b", "a\nb", "a" * 1025])
def test_bad_keys(key: str) -> None:
    with pytest.raises(InvalidSettingsError):
        check_key(key)

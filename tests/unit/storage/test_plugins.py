from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from cwz_web.storage import API_VERSION, BadSettings, check_key, hookimpl, plugins
from cwz_web.storage.plugins import Providers


class Settings(BaseModel):
    folder: str


class Provider:
    api_version = API_VERSION
    name = "memory"
    label = "Memory"
    settings_model = Settings

    def open(self, settings: BaseModel, operator: Mapping[str, str]) -> Any:
        return settings, operator


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
    return [provider.name for provider in Providers({}, blocked)]


def test_the_local_plugin_is_installed_like_any_other() -> None:
    assert "local" in names()
    assert "local" not in names(blocked=("local",))


def test_a_provider_gets_checked_settings_and_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, good=plugin(Provider()))
    providers = Providers({"memory": {"limit": "3"}})
    assert providers.open("memory", {"folder": "x"}) == (Settings(folder="x"), {"limit": "3"})
    with pytest.raises(BadSettings, match="Memory are not valid"):
        providers.open("memory", {})
    with pytest.raises(BadSettings, match="not available on this server"):
        providers.open("tape", {})


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
    with pytest.raises(BadSettings):
        check_key(key)

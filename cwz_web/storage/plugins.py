"""Finding the storage plugins: entry points of the group `cwz.storage`, checked before anything uses them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points

import pluggy
import structlog
from pydantic import BaseModel, ValidationError

from cwz_web.storage import hookspecs
from cwz_web.storage.contract import API_VERSION, BadSettings, Bucket, StorageProvider

log = structlog.get_logger()


class Providers:
    """The providers that are installed, by name, and the operator's settings for each.

    A plugin that can not be imported, or declares nonsense, is logged and left out: it never stops the application.
    """

    def __init__(self, operator: Mapping[str, Mapping[str, str]], blocked: Iterable[str] = ()) -> None:
        self._operator = operator
        self._by_name: dict[str, StorageProvider] = {}
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        for name in blocked:
            manager.set_blocked(name)
        for point in entry_points(group=hookspecs.PROJECT):
            if not manager.is_blocked(point.name):
                self._load(manager, point)

    def _load(self, manager: pluggy.PluginManager, point: EntryPoint) -> None:
        """Add one plugin's providers, or log why it has none that can be used."""
        try:
            plugin = point.load()
            manager.register(plugin, point.name)
            manager.check_pending()  # without it a misspelt hook is ignored in silence
            others = [other for other in manager.get_plugins() if other is not plugin]
            answers = manager.subset_hook_caller("cwz_storage_providers", others)()
            for provider in (provider for answer in answers for provider in answer):
                self._add(provider, point.name)
        except Exception as error:
            log.error("storage plugin left out", plugin=point.name, reason=str(error))
            if manager.has_plugin(point.name):
                manager.unregister(name=point.name)

    def _add(self, provider: StorageProvider, plugin: str) -> None:
        if problem := self._problem(provider):
            log.error("storage provider left out", plugin=plugin, reason=problem)
        else:
            self._by_name[provider.name] = provider

    def __iter__(self) -> Iterator[StorageProvider]:
        return iter(self._by_name.values())

    def get(self, name: str) -> StorageProvider | None:
        """The provider of that name, or None when its plugin is not installed."""
        return self._by_name.get(name)

    def open(self, name: str, settings: Mapping[str, object]) -> Bucket:
        """Open a bucket. Raises BadSettings when the provider is gone or does not take the settings."""
        provider = self.get(name)
        if provider is None:
            raise BadSettings(f"The storage provider {name} is not available on this server")
        try:
            checked: BaseModel = provider.settings_model.model_validate(settings)
        except ValidationError as error:
            raise BadSettings(
                f"The settings of {provider.label} are not valid: {error.error_count()} problem(s)"
            ) from None
        return provider.open(checked, self._operator.get(name, {}))

    def _problem(self, provider: object) -> str | None:
        if not isinstance(provider, StorageProvider):
            return "it does not have everything that a StorageProvider has"
        if provider.api_version != API_VERSION:
            return f"it was written for version {provider.api_version} of the contract, not {API_VERSION}"
        if not re.fullmatch(r"[a-z][a-z0-9_]{1,30}", provider.name):
            return "its name must be 2 to 31 lower-case letters, digits and underscores"
        if provider.name in self._by_name:
            return "another plugin has a provider of that name"
        return None

"""The registry of feed sources: the providers of this distribution, and plugins of the group `cwz.feed_sources`."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol

import pluggy
import structlog
from pydantic import BaseModel

from cwz_web.feeds.providers import hookspecs
from cwz_web.feeds.providers.contract import API_VERSION, FeedSourceProvider, SourceContext
from cwz_web.net.guard import OutboundPolicy
from cwz_web.net.resolution import Resolver, resolve
from cwz_web.plugin_loading import find_contract_problem, load_plugin
from cwz_web.settings import Settings

log = structlog.get_logger()

# The modules of this distribution, by the name that turns them off (`cwz.plugins.block`).
INCLUDED = {
    name: f"cwz_web.feeds.providers.{name}"
    for name in ("shopify", "woocommerce", "bigcommerce", "google_sheets", "airtable", "ftps", "sftp")
}
# Modules that need a library of an extra of the same name.
EXTRAS = {"sftp": "asyncssh"}
# The URL of a feed that has no provider.
RESERVED_NAMES = {"url", "file", "api"}


class Connected(Protocol):
    """What connects to a service: a feed source, or a shop that images are written to."""

    @property
    def name(self) -> str:
        """The name whose operator settings apply."""

    def hosts(self, settings: Any, operator: Mapping[str, str]) -> Iterable[str]:
        """Return the hosts that it connects to."""


class SourceRegistry:
    """The installed providers by name. A plugin that cannot be loaded is logged and skipped.

    Args:
        operator: The .ini settings `cwz.feed_sources.<provider>.*`, by provider.
        blocked: Plugins that the operator turned off.
        allow: `host:port` pairs that may be reached although they are private.
        resolver: Returns the IP addresses of a host and port.

    Attributes:
        load_errors: Why a plugin was skipped, by plugin.
    """

    def __init__(
        self,
        operator: Mapping[str, Mapping[str, str]] | None = None,
        blocked: Iterable[str] = (),
        *,
        allow: Iterable[str] = (),
        resolver: Resolver = resolve,
    ) -> None:
        self._operator, self._allow, self._resolver = operator or {}, tuple(allow), resolver
        self._by_name: dict[str, FeedSourceProvider[Any, Any]] = {}
        self.load_errors: dict[str, str] = {}
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        for name in blocked:
            manager.set_blocked(name)
        for name, module in INCLUDED.items():
            if not manager.is_blocked(name):
                self._load(manager, name, partial(import_module, module))
        for point in entry_points(group=hookspecs.PROJECT):
            if not manager.is_blocked(point.name):
                self._load(manager, point.name, point.load)

    @classmethod
    def of(cls, settings: Settings) -> "SourceRegistry":
        """Load the plugins of an installation."""
        return cls(settings.feed_sources, settings.plugins.block, allow=settings.network.allow)

    def __iter__(self) -> Iterator[FeedSourceProvider[Any, Any]]:
        return iter(self._by_name.values())

    def get(self, name: str) -> FeedSourceProvider[Any, Any] | None:
        """Return a provider, or None when its plugin is not installed."""
        return self._by_name.get(name)

    def hosts(self, provider: Connected, settings: BaseModel) -> tuple[str, ...]:
        """Return the hosts that a source connects to."""
        return tuple(provider.hosts(settings, self._operator.get(provider.name, {})))

    def context(
        self,
        provider: Connected,
        settings: BaseModel,
        credentials: BaseModel,
        *,
        seconds: float,
        is_preview: bool = False,
        changed_since: datetime | None = None,
    ) -> SourceContext[Any, Any]:
        """Return what a provider needs to fetch rows within so many seconds."""
        return SourceContext(
            settings,
            credentials,
            self._operator.get(provider.name, {}),
            OutboundPolicy(self.hosts(provider, settings), self._allow, self._resolver),
            time.monotonic() + seconds,
            is_preview,
            changed_since,
        )

    def _load(self, manager: pluggy.PluginManager, name: str, load: Callable[[], object]) -> None:
        """Add a plugin's providers, or record why it has none."""
        try:
            for provider in load_plugin(manager, name, load, "cwz_feed_sources"):
                self._add(provider, name)
        except ModuleNotFoundError as error:
            if error.name and EXTRAS.get(name) == error.name:
                self.load_errors[name] = f"it needs an extra: pip install cwz-web[{name}]"
            else:
                self._skip(name, str(error))
        except Exception as error:
            self._skip(name, str(error))

    def _add(self, provider: Any, plugin: str) -> None:
        if problem := self._problem(provider):
            self._skip(plugin, problem)
        else:
            self._by_name[provider.name] = provider

    def _skip(self, plugin: str, reason: str) -> None:
        log.error("feed source plugin skipped", plugin=plugin, reason=reason)
        self.load_errors[plugin] = reason

    def _problem(self, provider: Any) -> str:
        attributes = ("label", "summary", "settings_model", "credentials_model")
        if problem := find_contract_problem(provider, FeedSourceProvider, API_VERSION, attributes):
            return problem
        if provider.name in RESERVED_NAMES:
            return "its name must be another one, not url, file or api"
        return "another plugin has a provider of this name" if provider.name in self._by_name else ""

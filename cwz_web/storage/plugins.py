"""Finding the storage plugins: entry points of the group `cwz.storage`, checked before anything uses them."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from threading import Lock
from uuid import UUID

import cachetools
import pluggy
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from cwz_web.crypto import DecryptionError, KeyRing
from cwz_web.net.client import Resolver, resolve
from cwz_web.net.guard import Outbound
from cwz_web.settings import Settings
from cwz_web.storage import hookspecs
from cwz_web.storage.contract import (
    API_VERSION,
    Bucket,
    Capability,
    InvalidCredentialsError,
    InvalidSettingsError,
    Opening,
    StorageProvider,
)

log = structlog.get_logger()

# Clients are costly to build and cheap to keep.
KEPT_BUCKETS = 256
SIGNED_ADDRESSES = {Capability.PRESIGNED_GET, Capability.PRESIGNED_PUT}


class Place(BaseModel):
    """Everything that a bucket of a saved connection is opened with. The secrets in it are encrypted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace_id: UUID
    connection_id: UUID
    provider: str
    settings: str  # JSON
    sealed: str = ""  # base64 of the envelope

    @property
    def context(self) -> tuple[str, ...]:
        """What the envelope is bound to: copied to another row, it does not open."""
        return ("connections", str(self.workspace_id), str(self.connection_id), self.provider, "credentials")


class DelegatedConnection(BaseModel):
    """A connection as a worker gets it that may use its objects by signed address only: without settings or secrets.

    `hosts` are the only ones that its addresses lead to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace_id: UUID
    connection_id: UUID
    hosts: tuple[str, ...]


class Providers:
    """The providers that are installed, by name, and the operator's settings for each.

    A plugin that cannot be imported, or declares nonsense, is logged and left out: it never stops the application.

    Arguments:
        operator: provider to the .ini keys `cwz.storage.<provider>.*`.
        blocked: plugins that the operator does not want.
        allow: `host:port` pairs that may be reached although they are private.
        ring: the keys that open the secrets of connections.
        resolver: host and port to IP addresses.
    """

    def __init__(
        self,
        operator: Mapping[str, Mapping[str, str]],
        blocked: Iterable[str] = (),
        *,
        allow: Iterable[str] = (),
        ring: KeyRing | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        self._operator = operator
        self._allow = tuple(allow)
        self._ring = ring
        self._resolver = resolver
        self._by_name: dict[str, StorageProvider] = {}
        self.left_out: dict[str, str] = {}
        self._kept: cachetools.LRUCache[Place, Bucket] = cachetools.LRUCache(KEPT_BUCKETS)
        self._lock = Lock()
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        for name in blocked:
            manager.set_blocked(name)
        for point in entry_points(group=hookspecs.PROJECT):
            if not manager.is_blocked(point.name):
                self._load(manager, point)

    @classmethod
    def of(cls, settings: Settings) -> "Providers":
        """The plugins, as the operator wants them."""
        return cls(settings.storage, settings.plugins_block, allow=settings.net_allow, ring=settings.ring)

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
            self._leave_out(point.name, str(error))
            if manager.has_plugin(point.name):
                manager.unregister(name=point.name)

    def _add(self, provider: StorageProvider, plugin: str) -> None:
        if problem := self._problem(provider):
            self._leave_out(plugin, problem)
        else:
            self._by_name[provider.name] = provider

    def _leave_out(self, plugin: str, reason: str) -> None:
        log.error("storage plugin left out", plugin=plugin, reason=reason)
        self.left_out[plugin] = reason

    def __iter__(self) -> Iterator[StorageProvider]:
        return iter(self._by_name.values())

    def get(self, name: str) -> StorageProvider | None:
        """The provider of that name, or None when its plugin is not installed."""
        return self._by_name.get(name)

    def open(self, place: Place) -> Bucket:
        """The bucket of a connection, kept for its next use. Raises InvalidSettingsError when the provider is gone or does not
        take the settings, InvalidCredentialsError when the secrets cannot be read."""
        with self._lock:
            bucket = self._kept.get(place)
        if bucket is not None:
            return bucket
        provider = self.get(place.provider)
        if provider is None:
            raise InvalidSettingsError(f"The storage provider {place.provider} is not available on this server")
        try:
            settings = provider.settings_model.model_validate_json(place.settings)
            credentials = provider.credentials_model.model_validate(self._unseal(place))
        except ValidationError as error:
            raise InvalidSettingsError(
                f"The settings of {provider.label} are not valid: {error.error_count()} problem(s)"
            ) from None
        bucket = self.open_unsaved(provider, settings, credentials)
        with self._lock:
            self._kept[place] = bucket
        return bucket

    def open_unsaved(self, provider: StorageProvider, settings: BaseModel, credentials: BaseModel) -> Bucket:
        """A bucket of settings that are not a connection yet. Raises StorageErrors."""
        operator = self._operator.get(provider.name, {})
        outbound = self.outbound(provider.hosts(settings, operator))
        return provider.open(Opening(settings, credentials, operator, outbound))

    def outbound(self, hosts: Iterable[str]) -> Outbound:
        """The way out to a storage's hosts."""
        return Outbound(hosts, self._allow, self._resolver)

    def lend(self, place: Place) -> Place | DelegatedConnection:
        """What a worker gets of a connection: no secrets, where its provider can sign addresses.

        One whose provider is gone, or takes its settings no more, is given as it is: who opens it hears what is wrong.
        """
        provider = self.get(place.provider)
        if provider is None or not provider.capabilities >= SIGNED_ADDRESSES:
            return place
        try:
            settings = provider.settings_model.model_validate_json(place.settings)
        except ValidationError:
            return place
        hosts = provider.hosts(settings, self._operator.get(provider.name, {}))
        return DelegatedConnection(
            workspace_id=place.workspace_id, connection_id=place.connection_id, hosts=tuple(hosts)
        )

    def _unseal(self, place: Place) -> dict[str, str]:
        if not place.sealed:
            return {}
        if self._ring is None:
            raise InvalidCredentialsError("This process has no keys for the secrets of connections")
        try:
            secrets: dict[str, str] = json.loads(self._ring.decrypt(base64.b64decode(place.sealed), *place.context))
        except DecryptionError as error:
            raise InvalidCredentialsError(
                f"The secrets of this connection cannot be read; type them in again ({error})"
            ) from None
        return secrets

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

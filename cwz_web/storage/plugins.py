"""The registry of storage providers: plugins are entry points of the group `cwz.storage`."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from threading import Lock
from typing import Any
from uuid import UUID

import cachetools
import pluggy
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from cwz_web.crypto import DecryptionError, KeyRing
from cwz_web.i18n import gettext
from cwz_web.net.guard import OutboundPolicy
from cwz_web.net.resolution import Resolver, resolve
from cwz_web.plugin_loading import find_contract_problem, load_plugin
from cwz_web.settings import IncludedStorage, Settings
from cwz_web.storage import hookspecs
from cwz_web.storage.contract import (
    API_VERSION,
    Bucket,
    BucketContext,
    Capability,
    InvalidCredentialsError,
    InvalidSettingsError,
    StorageProvider,
)
from cwz_web.storage.included import INCLUDED, IncludedProvider, WorkspaceBucket

log = structlog.get_logger()

# The provider that stores in a folder of this server.
LOCAL = "local"
# Opening a bucket builds an SDK client, which takes tens of milliseconds.
CACHED_BUCKETS = 256
PRESIGNED_CAPABILITIES = {Capability.PRESIGNED_GET, Capability.PRESIGNED_PUT}


class ConnectionSpec(BaseModel):
    """Everything that opens the bucket of a saved connection. Its secrets are encrypted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace_id: UUID
    connection_id: UUID
    provider: str
    settings: str  # JSON
    encrypted_credentials: str = ""  # the encrypted secrets, base64

    @property
    def context(self) -> tuple[str, ...]:
        """The associated data of the encryption: copied to another row, the secrets cannot be decrypted."""
        return ("connections", str(self.workspace_id), str(self.connection_id), self.provider, "credentials")


class DelegatedConnection(BaseModel):
    """A connection as a render worker sees it: without settings and secrets.

    With `is_presigned`, the worker gets presigned URLs, which lead to `hosts` only; else the web application reads and
    stores for it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace_id: UUID
    connection_id: UUID
    is_presigned: bool
    hosts: tuple[str, ...] = ()


class ProviderRegistry:
    """The installed providers by name. A plugin that cannot be loaded is logged and skipped.

    Args:
        operator: The .ini settings `cwz.storage.<provider>.*`, by provider.
        blocked: Plugins that the operator turned off.
        allow: `host:port` pairs that may be reached although they are private.
        ring: The keys that decrypt the secrets of connections.
        included: The operator's own storage, for workspaces that bring none.
        resolver: Returns the IP addresses of a host and port.

    Attributes:
        load_errors: Why a plugin was skipped, by plugin.
    """

    def __init__(
        self,
        operator: Mapping[str, Mapping[str, str]],
        blocked: Iterable[str] = (),
        *,
        allow: Iterable[str] = (),
        ring: KeyRing | None = None,
        included: IncludedStorage | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        self._operator = operator
        self._allow = tuple(allow)
        self._ring = ring
        self._resolver = resolver
        self._by_name: dict[str, StorageProvider[Any, Any]] = {}
        self.load_errors: dict[str, str] = {}
        self._buckets: cachetools.LRUCache[ConnectionSpec, Bucket] = cachetools.LRUCache(CACHED_BUCKETS)
        self._lock = Lock()
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        for name in blocked:
            manager.set_blocked(name)
        for point in entry_points(group=hookspecs.PROJECT):
            if not manager.is_blocked(point.name):
                self._load(manager, point)
        if included is not None and included.provider:
            self._add_included(included)

    @classmethod
    def of(cls, settings: Settings) -> "ProviderRegistry":
        """Load the plugins of an installation."""
        return cls(
            settings.storage,
            settings.plugins.block,
            allow=settings.network.allow,
            ring=settings.secrets.key_ring,
            included=settings.included_storage,
        )

    def __iter__(self) -> Iterator[StorageProvider[Any, Any]]:
        return iter(self._by_name.values())

    def get(self, name: str) -> StorageProvider[Any, Any] | None:
        """Return a provider, or None when its plugin is not installed."""
        return self._by_name.get(name)

    def open(self, spec: ConnectionSpec) -> Bucket:
        """Return the bucket of a connection, from the cache if possible.

        Raises:
            InvalidSettingsError: The provider is not installed, or rejects the settings.
            InvalidCredentialsError: The secrets cannot be decrypted.
        """
        with self._lock:
            bucket = self._buckets.get(spec)
        if bucket is not None:
            return bucket
        provider = self.get(spec.provider)
        if provider is None:
            text = gettext("The storage provider %(name)s is not installed on this server", name=spec.provider)
            raise InvalidSettingsError(text)
        try:
            settings = provider.settings_model.model_validate_json(spec.settings)
            credentials = provider.credentials_model.model_validate(self._decrypt(spec))
        except ValidationError as error:
            fields = _fields_of(error)
            raise InvalidSettingsError(
                gettext(
                    "Some settings of %(provider)s are not valid: %(fields)s", provider=provider.label, fields=fields
                )
            ) from None
        bucket = self.open_unsaved(provider, settings, credentials)
        if provider.name == INCLUDED:
            bucket = WorkspaceBucket(bucket, spec.workspace_id)
        with self._lock:
            self._buckets[spec] = bucket
        return bucket

    def open_unsaved(self, provider: StorageProvider[Any, Any], settings: BaseModel, credentials: BaseModel) -> Bucket:
        """Open the bucket of settings that are not saved as a connection. Raises StorageErrors."""
        operator = self._operator.get(provider.name, {})
        outbound = self.outbound(provider.hosts(settings, operator))
        return provider.open(BucketContext(settings, credentials, operator, outbound))

    def outbound(self, hosts: Iterable[str]) -> OutboundPolicy:
        """Return the policy that allows connections to these hosts."""
        return OutboundPolicy(hosts, self._allow, self._resolver)

    def delegate(self, spec: ConnectionSpec) -> DelegatedConnection:
        """Return what a render worker gets of a connection.

        A provider that is missing, cannot presign URLs or rejects its settings is used through the web application,
        which then reports the error.
        """
        hosts = self._presigned_hosts(spec)
        return DelegatedConnection(
            workspace_id=spec.workspace_id,
            connection_id=spec.connection_id,
            is_presigned=hosts is not None,
            hosts=tuple(hosts or ()),
        )

    def _presigned_hosts(self, spec: ConnectionSpec) -> Iterable[str] | None:
        """Return the hosts of a connection's presigned URLs, or None when it has no such URLs."""
        provider = self.get(spec.provider)
        if provider is None or not provider.capabilities >= PRESIGNED_CAPABILITIES:
            return None
        try:
            settings = provider.settings_model.model_validate_json(spec.settings)
        except ValidationError:
            return None
        return provider.hosts(settings, self._operator.get(provider.name, {}))

    def _decrypt(self, spec: ConnectionSpec) -> dict[str, str]:
        if not spec.encrypted_credentials:
            return {}
        if self._ring is None:
            raise InvalidCredentialsError("This process has no keys to decrypt the secrets of connections")
        try:
            secrets: dict[str, str] = json.loads(
                self._ring.decrypt(base64.b64decode(spec.encrypted_credentials), *spec.context)
            )
        except DecryptionError as error:
            raise InvalidCredentialsError(
                gettext(
                    "The secrets of this connection cannot be decrypted; enter them again (%(reason)s)", reason=error
                )
            ) from None
        return secrets

    def _load(self, manager: pluggy.PluginManager, point: EntryPoint) -> None:
        """Add a plugin's providers, or record why it has none."""
        try:
            for provider in load_plugin(manager, point.name, point.load, "cwz_storage_providers"):
                self._add(provider, point.name)
        except Exception as error:
            self._skip(point.name, str(error))

    def _add_included(self, included: IncludedStorage) -> None:
        """Add the operator's own storage, or record why its settings cannot work."""
        target = self.get(included.provider)
        if target is None:
            self._skip(INCLUDED, f"cwz.included_storage.provider: {included.provider} is not installed")
            return
        secrets = json.loads(included.credentials.get_secret_value() or "{}")
        try:
            settings = target.settings_model.model_validate(included.options)
            credentials = target.credentials_model.model_validate(secrets)
        except ValidationError as error:
            self._skip(INCLUDED, f"settings or credentials of cwz.included_storage are not valid: {_fields_of(error)}")
            return
        operator = self._operator.get(target.name, {})
        self._add(IncludedProvider(target, settings, credentials, operator, included.label), INCLUDED)

    def _add(self, provider: Any, plugin: str) -> None:
        if problem := self._problem(provider):
            self._skip(plugin, problem)
        else:
            self._by_name[provider.name] = provider

    def _skip(self, plugin: str, reason: str) -> None:
        log.error("storage plugin skipped", plugin=plugin, reason=reason)
        self.load_errors[plugin] = reason

    def _problem(self, provider: Any) -> str:
        attributes = ("label", "settings_model", "credentials_model")
        if problem := find_contract_problem(provider, StorageProvider, API_VERSION, attributes):
            return problem
        return "another plugin has a provider of this name" if provider.name in self._by_name else ""


def _fields_of(error: ValidationError) -> str:
    """Return the names of the invalid fields."""
    return ", ".join(sorted({str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}))

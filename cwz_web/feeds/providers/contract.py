"""The contract between the application and the provider of a feed source: provider, context and errors."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Generic, TypeVar

from cwz_web.feeds.providers.rows import RowWriter
from cwz_web.net.client import FetchError
from cwz_web.net.guard import OutboundPolicy
from cwz_web.plugin_fields import Fields

API_VERSION = 1

SettingsT = TypeVar("SettingsT", bound=Fields)
CredentialsT = TypeVar("CredentialsT", bound=Fields)


class SourceError(FetchError):
    """The rows cannot be fetched. The message says what to do about it and holds no secret.

    Args:
        message: A sentence without a full stop. It never repeats what a server sent: that could be the secret.
        field: The setting or credential that has to be changed; "" if none is to blame.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class SourceCredentialsError(SourceError):
    """The service rejects the credentials."""


class SourcePermissionError(SourceError):
    """The credentials do not allow reading the rows."""


class SourceNotFoundError(SourceError):
    """The shop, table or file does not exist."""


class SourceUnreachableError(SourceError):
    """The service does not respond, or its host is not on the public internet."""

    is_temporary = True


class SourceThrottledError(SourceUnreachableError):
    """The service limits the request rate for longer than the fetch may wait."""


class InvalidResponseError(SourceError):
    """The service answers with something else than its documentation says."""


@dataclass(frozen=True)
class SourceContext(Generic[SettingsT, CredentialsT]):
    """What `FeedSourceProvider.fetch` gets.

    Attributes:
        settings: An instance of the provider's `settings_model`.
        credentials: An instance of the provider's `credentials_model`.
        operator: The .ini settings `cwz.feed_sources.<provider>.*`, without that prefix.
        outbound: The only way to the network; see `cwz_web.net.guard`.
        deadline: When the fetch has to end, on the monotonic clock.
        is_preview: A user waits for the first rows: fetch one page, or few.
        changed_since: Fetch only what changed since then; None for all rows. Never set for a provider without
            `group_column`.
        wait: Waits for so many seconds.
    """

    settings: SettingsT
    credentials: CredentialsT
    operator: Mapping[str, str]
    outbound: OutboundPolicy
    deadline: float
    is_preview: bool = False
    changed_since: datetime | None = None
    wait: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class ChangeWebhook:
    """How a service calls a URL when rows change. A call is signed: the base64 of the HMAC-SHA256 of its body.

    Attributes:
        signature_header: The header with the signature.
        topic_header: The header with the topic of a call.
        topics: The topics to register, as the service shows them, in English.
        deletions: The values of `topic_header` that say that something was deleted: then all rows are fetched.
        help: Where to register a URL, as sentences.
        takes_secret: Whether the service takes a secret of ours; otherwise a user enters that of the service.
    """

    signature_header: str
    topic_header: str
    topics: tuple[str, ...]
    deletions: frozenset[str]
    help: str
    takes_secret: bool


class FeedSourceProvider(ABC, Generic[SettingsT, CredentialsT]):
    """What a plugin registers. An instance holds no state of a source.

    Attributes:
        api_version: The version of this contract that the plugin was written for.
        name: 2 to 31 lower-case letters, digits and underscores. It is stored in the database: never change it.
        label: The provider's name in the interface.
        summary: What rows it provides, as a sentence.
        icon: The name of an icon of lucide.dev.
        help: How to create the credentials with the least rights, as sentences.
        help_url: A page that explains it at length.
        group_column: The column with the id of what changes as a whole, such as the product of a variant. With it,
            `fetch` supports `changed_since`: it then writes all rows of each group that has changed.
        change_webhook: How the service says that rows have changed; None if it does not. It needs `group_column`.
        settings_model: What a workspace enters and may see again.
        credentials_model: What a workspace enters and never sees again: its fields are SecretStr.
    """

    api_version: ClassVar[int]
    name: ClassVar[str]
    label: ClassVar[str]
    summary: ClassVar[str]
    icon: ClassVar[str] = "database"
    help: ClassVar[str] = ""
    help_url: ClassVar[str] = ""
    group_column: ClassVar[str] = ""
    change_webhook: ClassVar[ChangeWebhook | None] = None
    settings_model: type[SettingsT]
    credentials_model: type[CredentialsT]

    @abstractmethod
    def hosts(self, settings: SettingsT, operator: Mapping[str, str]) -> Iterable[str]:
        """Return every host that a fetch connects to, as `host` (port 443) or `host:port`.

        Saved credentials are kept when the settings change, unless this or `recipient` changes: then they have to be
        entered again.
        """

    def recipient(self, settings: SettingsT) -> str:
        """Return who gets the credentials, if the hosts do not tell: the URL of one of several sites, or a host key."""
        return ""

    @abstractmethod
    def url(self, settings: SettingsT) -> str:
        """Return the URL that people know the source by. It is shown, logged and exported: it holds no secret."""

    @abstractmethod
    def fetch(self, context: SourceContext[SettingsT, CredentialsT], rows: RowWriter) -> None:
        """Write the rows of the source.

        Args:
            context: Where from and how.
            rows: Receives the rows; or, by `write_part`, a file of a format that can be uploaded.

        Raises:
            SourceError: The rows cannot be fetched, or not all of them: nothing is imported in part.
        """

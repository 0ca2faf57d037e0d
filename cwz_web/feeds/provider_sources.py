"""Sources of a provider: its settings and encrypted credentials, and fetching its rows, in full or what has changed.

What has changed is merged into the file of the last import, so that import, guard and history work on whole files only:
the rows of each group (`group_column`) that has changed replace its former ones. All rows are fetched at least daily,
since a service does not tell what was deleted.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import orjson
import structlog
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from cwz_web.crypto import KeyRing
from cwz_web.feeds.file_types import digest_file, read_sample, truncate_to_line
from cwz_web.feeds.import_files import open_file
from cwz_web.feeds.imports import newest_import_with_file
from cwz_web.feeds.limits import MAX_ROW_BYTES, SAMPLE_ROWS, InvalidFileError
from cwz_web.feeds.models import Feed, FeedSource, ImportState
from cwz_web.feeds.providers.contract import FeedSourceProvider, SourceError
from cwz_web.feeds.providers.plugins import SourceRegistry
from cwz_web.feeds.providers.rows import RowWriter
from cwz_web.feeds.records import Table
from cwz_web.feeds.sources import FetchResult, SecretRequiredError, decrypt_secret, set_secret, set_webhook_secret
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.net.client import FetchError

log = structlog.get_logger()

UNEXPECTED = gettext_noop("Fetching the rows failed because of an internal error")
# A user waits for a preview; its first request may have to get a token.
PREVIEW_SECONDS = 20.0
PREVIEW_ROWS = 50
FETCH_SECONDS = 1800.0
COMPLETE_INTERVAL = timedelta(hours=24)
# Changes of this time before the last fetch are fetched again: clocks differ, and services answer with old data.
OVERLAP = timedelta(minutes=10)


@dataclass(frozen=True)
class SourceInput:
    """Valid settings of a provider. With `credentials` None, a source keeps its saved ones."""

    provider: FeedSourceProvider[Any, Any]
    settings: BaseModel
    credentials: BaseModel | None

    @property
    def url(self) -> str:
        """The URL that people know the source by."""
        return self.provider.url(self.settings)


@dataclass(frozen=True)
class ProviderFetch:
    """What a job needs to fetch the rows of a source outside of a transaction."""

    source: FeedSource
    base: BinaryIO | None
    known_digest: str


def create_source(ring: KeyRing, feed: Feed, entered: SourceInput, *, cron: str | None, time_zone: str) -> FeedSource:
    """Return the source of a new feed."""
    assert entered.credentials is not None  # a new source has no saved ones
    source = FeedSource(
        workspace_id=feed.workspace_id,
        feed_id=feed.id,
        url=entered.url,
        provider=entered.provider.name,
        settings=entered.settings.model_dump(mode="json"),
        cron=cron,
        time_zone=time_zone,
        failures=0,
    )
    set_secret(ring, source, _dump(entered.credentials))
    return source


def change_provider_source(registry: SourceRegistry, ring: KeyRing, source: FeedSource, entered: SourceInput) -> None:
    """Change the settings of a source, and its credentials if new ones are entered.

    Raises:
        SecretRequiredError: The saved credentials must not be sent to the new hosts, or another site there.
    """
    if entered.credentials is None:
        check_saved_credentials(registry, source, entered)
    else:
        set_secret(ring, source, _dump(entered.credentials))
    if source.url != entered.url:  # another shop signs with another secret
        set_webhook_secret(ring, source, "")
    source.settings, source.url = entered.settings.model_dump(mode="json"), entered.url
    source.complete_at = source.changes_since = source.error_message = None
    source.digest, source.failures = "", 0


def check_saved_credentials(registry: SourceRegistry, source: FeedSource, entered: SourceInput) -> None:
    """Raise SecretRequiredError if the saved credentials would be sent elsewhere than they were entered for."""
    provider = entered.provider
    try:
        saved = provider.settings_model.model_validate(source.settings)
        is_same = registry.hosts(provider, saved) == registry.hosts(provider, entered.settings)
        is_same = is_same and provider.recipient(saved) == provider.recipient(entered.settings)
    except ValidationError:  # of an earlier version of the plugin
        is_same = False
    if source.provider != provider.name or not is_same:
        raise SecretRequiredError(gettext("This would be sent to another shop or host than before: enter it again"))


def preview_provider(registry: SourceRegistry, entered: SourceInput, credentials: BaseModel) -> tuple[BinaryIO, Table]:
    """Fetch the first rows of a source.

    Returns:
        The file of these rows, and the rows.

    Raises:
        FetchError: They cannot be fetched.
    """
    context = registry.context(
        entered.provider, entered.settings, credentials, seconds=PREVIEW_SECONDS, is_preview=True
    )
    file = temporary_file()
    rows = RowWriter(file, PREVIEW_ROWS)
    try:
        entered.provider.fetch(context, rows)
        _finish(rows)
        file = truncate_to_line(file) if rows.is_cut else file
        return file, read_sample(file, SAMPLE_ROWS)
    except InvalidFileError as error:
        raise SourceError(str(error)) from None
    except FetchError:
        raise
    except Exception:
        log.exception("feed source failed", provider=entered.provider.name)
        raise SourceError(gettext(UNEXPECTED)) from None


def prepare_fetch(db: Session, source: FeedSource, feed: Feed) -> ProviderFetch:
    """Return what a fetch needs of the database; for only what has changed, that is the file of the last import."""
    newest = newest_import_with_file(db, feed) if _may_fetch_changes(source) else None
    is_base = newest is not None and newest.fetched and newest.state == ImportState.APPLIED
    base = open_file(db, newest) if newest is not None and is_base else None
    return ProviderFetch(source, base, source.digest if feed.item_count else "")


def fetch_provider(registry: SourceRegistry, ring: KeyRing, fetch: ProviderFetch) -> FetchResult:
    """Fetch the rows of a source.

    Returns:
        The file of all rows, or None if it has not changed.

    Raises:
        FetchError: The rows cannot be fetched.
    """
    source = fetch.source
    provider = registry.get(source.provider)
    if provider is None:
        text = gettext("The feed source %(name)s is not installed on this server", name=source.provider)
        raise SourceError(text)
    try:
        settings = provider.settings_model.model_validate(source.settings)
    except ValidationError:
        raise SourceError(
            gettext("Some settings of this source are no longer valid; open the source and save it again")
        ) from None
    credentials = saved_credentials(ring, source, provider)
    is_partial = fetch.base is not None and source.changes_since is not None and bool(provider.group_column)
    since = source.changes_since - OVERLAP if is_partial and source.changes_since else None
    started_at = datetime.now(UTC)
    context = registry.context(provider, settings, credentials, seconds=FETCH_SECONDS, changed_since=since)
    file = temporary_file()
    rows = RowWriter(file)
    try:
        provider.fetch(context, rows)
        if since is not None and fetch.base is not None:
            rows.finish()
            file = _merge(fetch.base, file, provider.group_column)
        else:
            _finish(rows)
    except InvalidFileError as error:
        raise SourceError(str(error)) from None
    digest = digest_file(file)
    changed = None if digest == fetch.known_digest else file
    return FetchResult(
        changed, None, None, digest, changes_since=started_at, complete_at=source.complete_at if since else started_at
    )


def saved_credentials(ring: KeyRing, source: FeedSource, provider: FeedSourceProvider[Any, Any]) -> BaseModel:
    """Return the saved credentials as the provider's model. Raises SourceError if they have to be entered again."""
    try:
        credentials: BaseModel = provider.credentials_model.model_validate(
            json.loads(decrypt_secret(ring, source) or "{}")
        )
    except ValidationError:
        raise SourceError(gettext("The saved credentials are no longer valid; enter them again")) from None
    return credentials


def _dump(credentials: BaseModel) -> str:
    """Return the credentials as JSON in plain text, for their encryption; "" if all are empty."""
    values = {name: getattr(credentials, name) for name in type(credentials).model_fields}
    secrets = {name: value.get_secret_value() for name, value in values.items() if value is not None}
    return json.dumps(secrets) if secrets else ""


def _may_fetch_changes(source: FeedSource) -> bool:
    complete_at = source.complete_at
    return (
        source.changes_since is not None
        and complete_at is not None
        and datetime.now(UTC) - complete_at < COMPLETE_INTERVAL
    )


def _finish(rows: RowWriter) -> None:
    rows.finish()
    if not rows.count:
        raise SourceError(gettext("The source has no rows; check its settings"))


def _merge(base: BinaryIO, changes: BinaryIO, group_column: str) -> BinaryIO:
    """Return the rows of a file, with all rows of the groups that are among the changes replaced by these."""
    changed = {_group_of(line, group_column) for line in _lines(changes)}
    file = temporary_file()
    rows = RowWriter(file)
    for line in _lines(base):
        if _group_of(line, group_column) not in changed:
            rows.write_line(line)
    for line in _lines(changes):
        rows.write_line(line)
    rows.finish()
    return file


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the rows of a file that RowWriter wrote, one a line, with or without brackets of a list."""
    file.seek(0)
    for line in iter(lambda: file.readline(MAX_ROW_BYTES + 4), b""):
        text = line.strip().removeprefix(b"[").removesuffix(b"]").removesuffix(b",")
        if text:
            yield text


def _group_of(line: bytes, column: str) -> str:
    try:
        return str(orjson.loads(line).get(column))
    except (orjson.JSONDecodeError, AttributeError):
        raise SourceError(gettext("The stored rows of the last import cannot be read")) from None

"""Writing the feeds of channels into storage.

The file of a publication is written once: into an object of its own, compressed with gzip, that ConnectWyze serves. A
channel with a connection gets it also at a key that stays, by a single put, which object stores do atomically: a reader
gets the old file or the new one, and never a part of either. A job that is killed before it leaves the old file whole.

Jobs of a workspace's channels run one after the other. One that lost its worker's heartbeat can still run beside its
successor; so each begins a new attempt, and one that finds a later attempt at its end has the file written again.
"""

import gzip
import shutil
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from tempfile import TemporaryFile
from typing import BinaryIO
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.orm import Session

from cwz_web.campaigns.joins import load_columns
from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.publications import get_public
from cwz_web.campaigns.row_fields import today_in
from cwz_web.channels.editing import extension_of, list_channels
from cwz_web.channels.feed import FeedSettings, FeedTooLargeError, write_feed
from cwz_web.channels.field_columns import InvalidMappingError, RowContext
from cwz_web.channels.findings import FeedReport
from cwz_web.channels.mapping import MissingImage
from cwz_web.channels.models import STORED_DIGEST, Channel
from cwz_web.channels.preset import FileFormat
from cwz_web.channels.rows import read_rows
from cwz_web.db.session import FOR_NO_KEY_UPDATE, Database
from cwz_web.feeds.models import Feed
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.i18n import gettext_noop
from cwz_web.imaging.expression_functions import EvaluationContext
from cwz_web.jobs import CHANNELS_QUEUE, defer_once
from cwz_web.notify.webhooks import Event, emit
from cwz_web.runs.output_feed import digest_of_deleted_images
from cwz_web.storage.connections import get_connection
from cwz_web.storage.contract import Bucket, StorageError, find_size
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ConnectionSpec, ProviderRegistry
from cwz_web.storage.public_urls import public_url
from cwz_web.values.formats import DEFAULT_LOCALE
from cwz_web.workspaces.models import Workspace

log = structlog.get_logger()

# Changes with what the same channel and publication are written as.
FORMAT_VERSION = 1
CONTENT_TYPES = {
    FileFormat.CSV: "text/csv; charset=utf-8",
    FileFormat.TSV: "text/tab-separated-values; charset=utf-8",
    FileFormat.XML: "application/xml",
    FileFormat.JSON: "application/json",
    FileFormat.JSON_LINES: "application/x-ndjson",
}
GZIP = "application/gzip"
# Of the object that is replaced with each publication: platforms fetch it once an hour at most.
CACHE_CONTROL = "public, max-age=300"
WRITE_TASK = "channels.write"
MAX_ERROR = 500
PART = 1024 * 1024
# Seconds between attempts at most, while the storage fails.
MAX_WAIT = 300
EMPTY = gettext_noop("All rows are left out. Correct the fields")
UNEXPECTED = gettext_noop("Writing the feed failed. It is tried again")


@dataclass(frozen=True)
class WriteServices:
    """What writing needs.

    Attributes:
        database: the database.
        providers: open the storages.
        signed_urls: sign the URLs of images.
    """

    database: Database
    providers: ProviderRegistry
    signed_urls: SignedUrls


@dataclass(frozen=True)
class _Task:
    """What a job has to write: read in a transaction, and written outside of any.

    The feed with `delivered_digest` was delivered to `delivered_key` before, if the object was not changed since.
    """

    attempt: int
    spec: ConnectionSpec
    connection_id: UUID
    delivered_key: str | None
    format: FileFormat
    is_gzipped: bool
    is_rewritten: bool
    delivered_digest: str | None


@dataclass(frozen=True)
class _Stored:
    """The object that ConnectWyze serves."""

    key: str
    size: int
    digest: str


class ChannelFailedError(Exception):
    """The feed of a channel cannot be written until people change something; the message says what.

    Attributes:
        report: what would have been written; None if nothing could be.
    """

    def __init__(self, message: str, report: FeedReport | None = None) -> None:
        super().__init__(message)
        self.report = report


def enqueue_write(db: Session, channel: Channel, wait: int = 0) -> None:
    """Enqueue a job that writes a channel's feed, if it is not of the public publication, in the caller's transaction.

    Args:
        db: the caller's transaction.
        channel: the channel.
        wait: seconds until the job may start.
    """
    defer_once(
        db,
        WRITE_TASK,
        queue=CHANNELS_QUEUE,
        queueing_lock=f"channel {channel.id}",
        # One workspace does not keep the others waiting.
        lock=f"channels of {channel.workspace_id}",
        wait=wait,
        # A job that waits for its time would hold the later ones with its lock.
        priority=-1 if wait else 0,
        workspace_id=str(channel.workspace_id),
        channel_id=str(channel.id),
    )


def enqueue_writes(db: Session, campaign: Campaign) -> None:
    """Enqueue jobs that write the feeds of all channels of a campaign, in the caller's transaction."""
    for channel in list_channels(db, campaign):
        enqueue_write(db, channel)


def write_channel(services: WriteServices, workspace_id: UUID, channel_id: UUID) -> bool:
    """Write the feed of a channel, unless that of the public publication is written. Return whether it was.

    What fails is enqueued again, later each time, and what was written before stays; an error that is no failure of
    the storage is raised as well. A mapping that cannot be used waits for a change.
    """
    try:
        with services.database.transaction(workspace_id) as db:
            task = _begin(db, services, workspace_id, channel_id)
        if task is None:
            return False
        with TemporaryFile() as zipped:
            with services.database.transaction(workspace_id) as db:
                found = _write_file(db, services.signed_urls, workspace_id, channel_id, zipped)
            if found is None:
                return False
            version, publication_id, report = found
            stored = _store(services, task, workspace_id, channel_id, report, zipped)
        with services.database.transaction(workspace_id) as db:
            is_newest = _record(db, task, channel_id, version, publication_id, report, stored)
        if is_newest:
            _delete_old(services, task, workspace_id, channel_id)
    except ChannelFailedError as error:
        with services.database.transaction(workspace_id) as db:
            _record_error(db, workspace_id, channel_id, str(error), is_final=True)
            channel = db.get(Channel, (workspace_id, channel_id))
            if channel and error.report:
                channel.report = error.report.model_dump(mode="json")
        return False
    except StorageError as error:
        with services.database.transaction(workspace_id) as db:
            _record_error(db, workspace_id, channel_id, str(error))
        return False
    except Exception:
        with services.database.transaction(workspace_id) as db:
            _record_error(db, workspace_id, channel_id, UNEXPECTED)
        raise
    return is_newest


def version_of_feed(db: Session, channel: Channel, publication: Publication, image_urls: ImageUrls) -> str:
    """Return what changes whenever the file of a channel does, apart from the channel's own settings."""
    deleted = digest_of_deleted_images(db, channel.workspace_id)
    parts = (FORMAT_VERSION, publication.id, deleted, image_urls.version)
    return sha256(" ".join(map(str, parts)).encode()).hexdigest()


def row_context(db: Session, campaign: Campaign) -> RowContext:
    """Return what the values of a campaign's rows depend on beside the rows."""
    workspace = db.get_one(Workspace, campaign.workspace_id)
    feed = db.get_one(Feed, (campaign.workspace_id, campaign.feed_id))
    columns, zone = load_columns(db, campaign), ZoneInfo(campaign.time_zone)
    currency = feed.currency or workspace.currency or ""
    evaluation = EvaluationContext(workspace.locale or DEFAULT_LOCALE, currency, today_in(zone))
    return RowContext(columns.types, columns.formats, zone, evaluation)


def feed_settings(db: Session, campaign: Campaign, channel: Channel) -> FeedSettings:
    """Return what a channel writes."""
    return FeedSettings(
        preset=channel.platform,
        format=channel.file_format,
        mappings=channel.mappings,
        on_missing=MissingImage(channel.on_missing),
        context=row_context(db, campaign),
        title=channel.name,
    )


def stable_key(channel: Channel) -> str:
    """Return the key at which a channel's feed is delivered; the token keeps it from being guessed."""
    return f"{channel.workspace_id}/feeds/{channel.token}/{channel.slug}.{extension_of(channel)}"


@dataclass(frozen=True)
class ChannelUrls:
    """Where the feed of a channel is.

    Attributes:
        served: the URL at which ConnectWyze serves it.
        connection: the connection that it is delivered to; None without one.
        public: its URL below the public base URL of the connection; "" without one.
    """

    served: str
    connection: Connection | None
    public: str


def find_urls(db: Session, signed_urls: SignedUrls, channel: Channel) -> ChannelUrls:
    """Return where the feed of a channel is."""
    workspace = db.get_one(Workspace, channel.workspace_id)
    served = signed_urls.channel_feed(workspace, channel.id, extension_of(channel))
    connection = db.get(Connection, (channel.workspace_id, channel.connection_id)) if channel.connection_id else None
    base_url = connection.proven_base_url if connection else ""
    return ChannelUrls(served, connection, public_url(base_url, stable_key(channel)) if base_url else "")


def find_task_target(db: Session, workspace_id: UUID, channel_id: UUID) -> tuple[Channel, Campaign, Publication] | None:
    """Return a channel with its campaign and what is public of it; None if there is nothing to write."""
    channel = db.get(Channel, (workspace_id, channel_id))
    campaign = db.get(Campaign, (workspace_id, channel.campaign_id)) if channel and not channel.deleted_at else None
    if channel is None or campaign is None or campaign.deleted_at:
        return None
    feed = db.get(Feed, (workspace_id, campaign.feed_id))
    publication = get_public(db, campaign)
    if feed is None or feed.deleted_at or publication is None:
        return None
    return channel, campaign, publication


@dataclass(frozen=True)
class ServedFeed:
    """A channel that ConnectWyze serves; without what opens its storage, its feed is not written yet."""

    channel: Channel
    spec: ConnectionSpec | None


def find_served_feed(db: Session, workspace_id: UUID, channel_id: UUID, format: str) -> ServedFeed | None:
    """Return a channel of which something is public, with what opens the storage of its feed; None if there is none.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        channel_id: the channel.
        format: the file format that is asked for.
    """
    target = find_task_target(db, workspace_id, channel_id)
    if target is None or target[0].format != format:
        return None
    channel = target[0]
    has_file = channel.object_key and channel.object_key.endswith(f".{format}.gz")
    connection = db.get(Connection, (workspace_id, channel.object_connection_id)) if has_file else None
    # After an error a job is queued already, or nothing but a change helps.
    if connection is None and not channel.error_message:
        enqueue_write(db, channel)
    return ServedFeed(channel, connection.spec if connection else None)


def rewrite_channel(db: Session, workspace_id: UUID, channel_id: UUID) -> None:
    """Have the feed of a channel written again, although nothing has changed, in the caller's transaction."""
    channel = db.get(Channel, (workspace_id, channel_id))
    if channel is not None and not channel.deleted_at:
        channel.version = None
        enqueue_write(db, channel)


def _begin(db: Session, services: WriteServices, workspace_id: UUID, channel_id: UUID) -> _Task | None:
    target = find_task_target(db, workspace_id, channel_id)
    if target is None:
        return None
    channel, campaign, publication = target
    db.refresh(channel, with_for_update=FOR_NO_KEY_UPDATE)
    image_urls = ImageUrls.load(db, workspace_id, services.signed_urls)
    if channel.version == version_of_feed(db, channel, publication, image_urls) and not channel.error_message:
        return None
    channel.attempt += 1
    # A channel that ConnectWyze alone serves has its file beside the campaign's images.
    connection = get_connection(db, workspace_id, channel.connection_id or campaign.connection_id)
    return _Task(
        attempt=channel.attempt,
        spec=connection.spec,
        connection_id=connection.id,
        delivered_key=stable_key(channel) if channel.connection_id else None,
        format=channel.file_format,
        is_gzipped=channel.is_gzipped,
        is_rewritten=channel.version is None,
        # Without a version, the settings have changed, or it is not known what was delivered.
        delivered_digest=channel.digest if channel.version and not channel.error_message else None,
    )


def _write_file(
    db: Session, signed_urls: SignedUrls, workspace_id: UUID, channel_id: UUID, file: BinaryIO
) -> tuple[str, UUID, FeedReport] | None:
    target = find_task_target(db, workspace_id, channel_id)
    if target is None:
        return None
    channel, campaign, publication = target
    image_urls = ImageUrls.load(db, workspace_id, signed_urls)
    version, settings = version_of_feed(db, channel, publication, image_urls), feed_settings(db, campaign, channel)
    try:
        # Closed before the transaction ends, which an error would otherwise do while rows are read.
        with closing(read_rows(db, campaign, publication, image_urls, settings.columns)) as rows:
            report = write_feed(rows, settings, file, is_gzipped=True)
    except FeedTooLargeError as error:
        raise ChannelFailedError(str(error)) from error
    except InvalidMappingError as error:
        raise ChannelFailedError(error.sentence) from error
    if publication.rows and not report.rows:  # platforms would remove all products
        raise ChannelFailedError(EMPTY, report)
    return version, publication.id, report


def _store(
    services: WriteServices, task: _Task, workspace_id: UUID, channel_id: UUID, report: FeedReport, zipped: BinaryIO
) -> _Stored:
    """Store the file."""
    bucket = services.providers.open(task.spec)
    key = f"{_prefix(workspace_id, channel_id)}{report.digest}.{task.format}.gz"
    stored_size = zipped.seek(0, 2)
    zipped.seek(0)
    stored_digest = file_digest(zipped, "sha256").hexdigest()  # type: ignore[arg-type] # a BinaryIO is enough
    # A damaged object can have the right size.
    if task.is_rewritten or find_size(bucket, key) != stored_size:
        zipped.seek(0)
        bucket.put(key, zipped, content_type=GZIP)
    delivered_size = stored_size if task.is_gzipped else report.size
    is_delivered = (
        task.delivered_digest == report.digest
        and task.delivered_key is not None
        and find_size(bucket, task.delivered_key) == delivered_size
    )
    # An unchanged object keeps its time, by which platforms see that they need not read it again.
    is_newest = not is_delivered and _is_newest_attempt(services.database, task, workspace_id, channel_id)
    if task.delivered_key and is_newest:
        _deliver(bucket, task, zipped)
    return _Stored(key, stored_size, stored_digest)


def _deliver(bucket: Bucket, task: _Task, zipped: BinaryIO) -> None:
    """Replace the object at the key that stays.

    It has no Content-Encoding: object stores send what is stored, also to clients that do not understand gzip.
    """
    assert task.delivered_key
    zipped.seek(0)
    if task.is_gzipped:
        bucket.put(task.delivered_key, zipped, content_type=GZIP, cache_control=CACHE_CONTROL)
        return
    with TemporaryFile() as plain:
        with gzip.open(zipped) as unzipped:
            shutil.copyfileobj(unzipped, plain, PART)
        plain.seek(0)
        content_type = CONTENT_TYPES[task.format]
        bucket.put(task.delivered_key, plain, content_type=content_type, cache_control=CACHE_CONTROL)


def _is_newest_attempt(database: Database, task: _Task, workspace_id: UUID, channel_id: UUID) -> bool:
    with database.transaction(workspace_id) as db:
        channel = db.get(Channel, (workspace_id, channel_id))
        return channel is not None and channel.attempt == task.attempt


def _record(
    db: Session,
    task: _Task,
    channel_id: UUID,
    version: str,
    publication_id: UUID,
    report: FeedReport,
    stored: _Stored,
) -> bool:
    """Record what was written. Return False if a later attempt has begun meanwhile: then it is written again."""
    channel = db.get(Channel, (task.spec.workspace_id, channel_id))
    if channel is None:
        return False
    db.refresh(channel, with_for_update=FOR_NO_KEY_UPDATE)
    if channel.attempt != task.attempt:
        channel.attempt += 1  # so that the other one finds out, too
        channel.version = None
        enqueue_write(db, channel)
        return False
    if channel.digest != report.digest or channel.written_at is None:
        channel.written_at = datetime.now(UTC)
        counts = {"rows": report.rows, "held": report.held_rows, "written_at": channel.written_at}
        emit(db, channel.workspace_id, Event.CHANNEL_WRITTEN, {**_describe(channel), **counts})
    channel.version, channel.publication_id = version, publication_id
    channel.report = {**report.model_dump(mode="json"), STORED_DIGEST: stored.digest}
    channel.digest, channel.size, channel.stored_size = report.digest, report.size, stored.size
    channel.object_key, channel.object_connection_id = stored.key, task.connection_id
    channel.error_message, channel.failures = None, 0
    # What was published or changed while the file was written.
    campaign = db.get_one(Campaign, (channel.workspace_id, channel.campaign_id))
    if campaign.public_id != publication_id:
        enqueue_write(db, channel)
    return True


def _record_error(db: Session, workspace_id: UUID, channel_id: UUID, message: str, *, is_final: bool = False) -> None:
    """Record why a feed was not written, and enqueue it again unless only a change of the channel can help."""
    channel = db.get(Channel, (workspace_id, channel_id))
    if channel is None:
        return
    db.refresh(channel, with_for_update=FOR_NO_KEY_UPDATE)
    channel.error_message = message[:MAX_ERROR]
    channel.failures += 1
    if channel.failures == 1:
        emit(db, workspace_id, Event.CHANNEL_FAILED, {**_describe(channel), "error": channel.error_message})
    log.warning("feed of a channel not written", channel=str(channel_id), reason=channel.error_message)
    if not is_final:
        enqueue_write(db, channel, wait=min(2 ** min(channel.failures, 16), MAX_WAIT))


def _describe(channel: Channel) -> dict[str, str]:
    """Return a channel as webhooks describe it."""
    names = {"name": channel.name, "preset": channel.preset}
    return {"id": str(channel.id), "campaign": str(channel.campaign_id), **names}


def _delete_old(services: WriteServices, task: _Task, workspace_id: UUID, channel_id: UUID) -> None:
    """Delete what was written before, but for the newest of it, which may be sent right now. Failures are logged."""
    with services.database.transaction(workspace_id) as db:
        channel = db.get_one(Channel, (workspace_id, channel_id))
        current = channel.object_key
    try:
        bucket = services.providers.open(task.spec)
        keys = [info.key for info in bucket.list(_prefix(workspace_id, channel_id)) if info.key != current]
        bucket.delete_many(keys)
    except StorageError as error:
        log.warning("old feeds not deleted", channel=str(channel_id), reason=str(error))


def _prefix(workspace_id: UUID, channel_id: UUID) -> str:
    return f"{workspace_id}/feeds/{channel_id}/"

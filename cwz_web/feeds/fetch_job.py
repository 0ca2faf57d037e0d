"""Jobs that fetch and import feeds: fetch outside of a transaction, store the file, import it in one transaction.

A source that fails is retried with exponential backoff. After three consecutive failures the workspace's admins get an
email, and another one when it works again.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy import update
from sqlalchemy.orm import Session

from cwz_web.crypto import KeyRing
from cwz_web.db.session import Database
from cwz_web.feeds.import_files import open_file, store_file
from cwz_web.feeds.import_guard import ReviewReason
from cwz_web.feeds.imports import Progress, create_import, enqueue_import, fail_import, list_imports, run_import
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.models import Feed, FeedImport, FeedSource, ImportState
from cwz_web.feeds.provider_sources import UNEXPECTED, fetch_provider, prepare_fetch
from cwz_web.feeds.providers.plugins import SourceRegistry
from cwz_web.feeds.schedules import next_time
from cwz_web.feeds.sources import FetchResult, decrypt_secret, fetch_source, find_source, source_spec
from cwz_web.i18n import gettext, gettext_noop, ngettext
from cwz_web.jobs import SOURCES_QUEUE, defer_once
from cwz_web.net.client import Fetcher, FetchError
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.topics import Topic
from cwz_web.notify.webhooks import Event, emit
from cwz_web.stored_messages import translate_stored
from cwz_web.workspaces.members import admin_reason, email_admins
from cwz_web.workspaces.models import Workspace

log = structlog.get_logger()

NOTIFY_AFTER_FAILURES = 3
FIRST_RETRY_DELAY = timedelta(minutes=5)
# How often the progress of an import is saved, in seconds.
PROGRESS_INTERVAL = 1.0
# A fetch is delayed at random by up to a tenth of the interval, so that feeds are not all fetched on the hour.
JITTER = 0.1
MAX_JITTER = timedelta(minutes=10)


@dataclass(frozen=True)
class FetchContext:
    """What the jobs need. `url` is the base URL of the installation, for links in emails."""

    database: Database
    fetcher: Fetcher
    ring: KeyRing
    url: str
    sources: SourceRegistry = field(default_factory=SourceRegistry)


def request_fetch(db: Session, feed: Feed, source: FeedSource, started_by: UUID | None = None) -> FeedImport:
    """Enqueue a fetch of a feed.

    Args:
        db: the transaction.
        feed: the feed.
        source: its URL.
        started_by: the account that requests it; None for an API key.

    Returns:
        The import; the queued one if there is one already.
    """
    newest = next(iter(list_imports(db, feed, limit=1)), None)
    if newest is not None and newest.fetched and newest.state == ImportState.QUEUED:
        return newest
    record = create_import(db, feed, file_name=source.file_name, fetched=True, started_by=started_by)
    enqueue_import(db, record)
    return record


def fetch_feed(
    context: FetchContext, workspace_id: UUID, feed_id: UUID, import_id: UUID | None = None, *, may_wait: bool = False
) -> None:
    """Fetch a feed's source and enqueue the import of the file, if it has changed.

    Args:
        context: Services.
        workspace_id: The workspace.
        feed_id: The feed.
        import_id: The import that requested the fetch; None to create one only if the file has changed.
        may_wait: Whether this job may wait for a provider; otherwise another job is enqueued, which may.
    """
    try:
        _fetch_feed(context, workspace_id, feed_id, import_id, may_wait=may_wait)
    except Exception:
        if not may_wait:
            raise
        # The job of a provider is not retried: an error of a plugin would leave the import queued for good.
        log.exception("feed source failed", workspace=str(workspace_id), feed=str(feed_id))
        with context.database.transaction(workspace_id) as db:
            _fail_import(db, workspace_id, import_id, UNEXPECTED)
            _record_failure(db, context, workspace_id, feed_id, UNEXPECTED)


def _fetch_feed(
    context: FetchContext, workspace_id: UUID, feed_id: UUID, import_id: UUID | None, *, may_wait: bool
) -> None:
    provider_fetch = None
    with context.database.transaction(workspace_id) as db:
        source = find_source(db, workspace_id, feed_id)
        feed = db.get(Feed, (workspace_id, feed_id))
        if source is None or feed is None:
            _fail_import(db, workspace_id, import_id, gettext_noop("The feed no longer has a URL"))
            return
        if feed.deleted_at:
            _fail_import(db, workspace_id, import_id, gettext_noop("The feed was deleted"))
            schedule_next_fetch(source)
            return
        if source.paused_at and import_id is None:  # paused after the job was enqueued
            return
        known = source if feed.item_count else None  # an empty feed is imported even if the file has not changed
        if source.provider and not may_wait:
            enqueue_provider_fetch(db, source, import_id)
            return
        if source.provider:
            provider_fetch = prepare_fetch(db, source, feed)
    try:
        if provider_fetch is not None:
            result = fetch_provider(context.sources, context.ring, provider_fetch)
        else:
            result = fetch_source(context.fetcher, source_spec(source), decrypt_secret(context.ring, source), known)
        with context.database.transaction(workspace_id) as db:
            _store_result(db, context, workspace_id, feed_id, result, import_id)
    except FetchError as error:
        with context.database.transaction(workspace_id) as db:
            _fail_import(db, workspace_id, import_id, str(error))
            _record_failure(db, context, workspace_id, feed_id, str(error))


def enqueue_provider_fetch(db: Session, source: FeedSource, import_id: UUID | None) -> None:
    """Enqueue the job that fetches from a provider, which may take long; one on the schedule only once.

    The fetches of a workspace run one after the other, so that slow ones do not delay those of other workspaces.
    """
    defer_once(
        db,
        "feeds.fetch_provider",
        queue=SOURCES_QUEUE,
        queueing_lock=f"feed source {source.feed_id} {import_id or ''}",
        lock=f"feed sources {source.workspace_id}",
        workspace_id=str(source.workspace_id),
        feed_id=str(source.feed_id),
        import_id=str(import_id or ""),
    )


def process_import(context: FetchContext, workspace_id: UUID, import_id: UUID) -> None:
    """Import the file of a queued import, or fetch the file first if it is not stored yet."""
    with context.database.transaction(workspace_id) as db:
        record = db.get(FeedImport, (workspace_id, import_id))
        if record is None or record.state != ImportState.QUEUED:
            return
        feed = db.get_one(Feed, (workspace_id, record.feed_id))
        if feed.deleted_at:
            fail_import(db, record, gettext_noop("The feed was deleted"))
            return
        file = open_file(db, record)
    if file is None:
        fetch_feed(context, workspace_id, record.feed_id, import_id)
        return
    try:
        with context.database.transaction(workspace_id) as db:
            feed = db.get_one(Feed, (workspace_id, record.feed_id))
            feed_import = db.get_one(FeedImport, (workspace_id, import_id))
            run_import(db, feed, feed_import, file, _progress_writer(context.database, record))
            if record.fetched:
                _record_success(db, context, workspace_id, feed)
            if feed_import.fetched and feed_import.state == ImportState.NEEDS_REVIEW:
                _hold_fetched(db, context, feed, feed_import)
    except InvalidFileError as error:
        with context.database.transaction(workspace_id) as db:
            _fail_import(db, workspace_id, import_id, str(error))
            if record.fetched:
                _record_failure(db, context, workspace_id, record.feed_id, str(error))
    log.info("feed import finished", workspace=str(workspace_id), feed=str(record.feed_id), number=record.number)


def schedule_next_fetch(source: FeedSource) -> None:
    """Set when the source is fetched next: by its schedule, or earlier after a failure; never while it is paused.

    The delay after failures grows exponentially.
    """
    now = datetime.now(UTC)
    if source.cron is None or source.paused_at:
        source.next_at = None
        return
    wait = next_time(source.cron, source.time_zone, source.feed_id, now) - now
    if source.failures:
        wait = min(wait, FIRST_RETRY_DELAY * 2 ** min(source.failures - 1, 12))
    jitter = min(wait * JITTER, MAX_JITTER) * random.random()  # noqa: S311 - not a secret
    source.next_at = now + wait + jitter


def _store_result(
    db: Session, context: FetchContext, workspace_id: UUID, feed_id: UUID, result: FetchResult, import_id: UUID | None
) -> None:
    source = db.get_one(FeedSource, (workspace_id, feed_id), with_for_update=True)
    feed = db.get_one(Feed, (workspace_id, feed_id))
    record = db.get_one(FeedImport, (workspace_id, import_id)) if import_id else None
    if result.file is None:
        if record is not None:
            record.state, record.percent, record.finished_at = ImportState.UNCHANGED, 100, datetime.now(UTC)
        _record_success(db, context, workspace_id, feed)
    else:
        record = record or create_import(db, feed, file_name=source.file_name, fetched=True)
        record.length_known = result.is_length_known
        store_file(db, record, result.file)
        enqueue_import(db, record)
    source.etag, source.last_modified, source.digest = result.etag, result.last_modified, result.digest
    source.changes_since, source.complete_at = result.changes_since, result.complete_at
    source.fetched_at = datetime.now(UTC)
    schedule_next_fetch(source)


def _record_success(db: Session, context: FetchContext, workspace_id: UUID, feed: Feed) -> None:
    source = db.get(FeedSource, (workspace_id, feed.id), with_for_update=True)
    if source is None:
        return
    if source.failures >= NOTIFY_AFTER_FAILURES:
        _email_admins(
            db,
            context,
            feed,
            lambda names: (
                gettext("%(feed)s can be fetched again", **names),
                gettext("The feed %(feed)s in %(workspace)s can be fetched again.", **names),
            ),
        )
    source.failures, source.error_message = 0, None


def _record_failure(db: Session, context: FetchContext, workspace_id: UUID, feed_id: UUID, error_message: str) -> None:
    source = db.get(FeedSource, (workspace_id, feed_id), with_for_update=True)
    if source is None:
        return
    source.failures += 1
    source.error_message = error_message[:500]
    # The file has to be fetched again even if it has not changed.
    source.etag = source.last_modified = source.changes_since = None
    source.digest = ""
    schedule_next_fetch(source)
    feed = db.get_one(Feed, (workspace_id, feed_id))
    payload = {"feed": feed.id, "name": feed.name, "error": source.error_message, "failures": source.failures}
    emit(db, workspace_id, Event.FEED_FAILED, payload)
    if source.failures == NOTIFY_AFTER_FAILURES:
        _email_admins(db, context, feed, partial(_describe_failures, error_message))


def _describe_failures(error_message: str, names: Mapping[str, str]) -> tuple[str, str]:
    failed = ngettext(
        "Fetching the feed %(feed)s in %(workspace)s failed %(count)s time in a row.",
        "Fetching the feed %(feed)s in %(workspace)s failed %(count)s times in a row.",
        NOTIFY_AFTER_FAILURES,
        **names,
    )
    return gettext("%(feed)s cannot be fetched", **names), f"{failed} {translate_stored(error_message)}."


def _fail_import(db: Session, workspace_id: UUID, import_id: UUID | None, error_message: str) -> None:
    if import_id is not None:
        fail_import(db, db.get_one(FeedImport, (workspace_id, import_id)), error_message)


def _progress_writer(database: Database, record: FeedImport) -> Progress:
    """Return a callback that saves the progress of an import in its own transaction, so that it is visible."""
    written_at = time.monotonic()

    def write(rows: int, percent: int) -> None:
        nonlocal written_at
        if time.monotonic() - written_at < PROGRESS_INTERVAL:
            return
        written_at = time.monotonic()
        with database.transaction(record.workspace_id) as db:
            this = (FeedImport.workspace_id == record.workspace_id, FeedImport.id == record.id)
            db.execute(update(FeedImport).where(*this).values(rows_read=rows, percent=percent))

    return write


def _hold_fetched(db: Session, context: FetchContext, feed: Feed, record: FeedImport) -> None:
    """Email the workspace's admins why an import needs a review, and fetch the file in any case next time."""
    if source := db.get(FeedSource, (feed.workspace_id, feed.id), with_for_update=True):
        # A cut-off file has the validators of the whole one.
        source.etag = source.last_modified = source.changes_since = None
    reasons = [ReviewReason.model_validate(reason) for reason in record.review_reasons]
    _email_admins(
        db,
        context,
        feed,
        lambda names: (
            gettext("An import of %(feed)s needs your review", **names),
            gettext(
                "The newest file of the feed %(feed)s in %(workspace)s needs your review. Nothing changes until you"
                " apply or discard the import.",
                **names,
            ),
            *map(str, reasons),
        ),
    )


def _email_admins(
    db: Session, context: FetchContext, feed: Feed, write: Callable[[Mapping[str, str]], tuple[str, ...]]
) -> None:
    """Email the workspace's admins about a feed.

    Args:
        db: A transaction in the workspace.
        context: The context of the job.
        feed: The feed.
        write: Returns the subject and the paragraphs, in the current locale, for the names of the feed and workspace.
    """
    workspace = db.get_one(Workspace, feed.workspace_id)

    def build() -> EmailMessage:
        subject, *paragraphs = write({"feed": feed.name, "workspace": workspace.name})
        link = (gettext("View feed"), f"{context.url}/w/{workspace.slug}/feeds/{feed.id}")
        return EmailMessage(subject, tuple(paragraphs), link, admin_reason(workspace.name), Topic.FEEDS)

    email_admins(db, feed.workspace_id, build)

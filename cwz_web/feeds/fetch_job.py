"""Bringing a feed up to date: fetch outside of any transaction, keep the file, import in one, plan the next time.

A source that fails is asked again later and later; after three times in a row the workspace's admins are told, and told
again when it works.
"""

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import update
from sqlalchemy.orm import Session

from cwz_web.crypto import KeyRing
from cwz_web.db.session import Database
from cwz_web.feeds.import_files import keep_file, open_kept
from cwz_web.feeds.imports import Progress, enqueue, fail_import, list_imports, new_import, run_import
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.models import Feed, FeedImport, FeedSource
from cwz_web.feeds.schedules import next_time
from cwz_web.feeds.sources import Fresh, fetch_source, find_source, open_secret, place_of
from cwz_web.net.client import Fetcher, FetchError
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.topics import Topic
from cwz_web.notify.webhooks import Event, emit
from cwz_web.workspaces.members import email_admins
from cwz_web.workspaces.models import Workspace

log = structlog.get_logger()

TELL_AFTER = 3
FIRST_WAIT = timedelta(minutes=5)
# How often a long import says how far it is, in seconds.
PACE = 1.0
# So that a thousand feeds do not all come at the full hour: later by a tenth of the time until then, or ten minutes.
JITTER = 0.1
MAX_JITTER = timedelta(minutes=10)


@dataclass(frozen=True)
class Office:
    """What fetching needs. `url` is the address of the site, for links in mails."""

    database: Database
    fetcher: Fetcher
    ring: KeyRing
    url: str


def ask(db: Session, feed: Feed, source: FeedSource, started_by: UUID | None = None) -> FeedImport:
    """Have a feed fetched and brought in by a job. Where one is on its way already, that one is it."""
    newest = next(iter(list_imports(db, feed, limit=1)), None)
    if newest is not None and newest.fetched and newest.state == "queued":
        return newest
    record = new_import(db, feed, file_name=file_name_of(source.url), fetched=True, started_by=started_by)
    enqueue(db, record)
    return record


def fetch_feed(office: Office, workspace_id: UUID, feed_id: UUID, import_id: UUID | None = None) -> None:
    """Fetch a feed's source, and have what is new brought in.

    Arguments:
        import_id: the import that was asked for; without one it begins when there is anything new.
    """
    with office.database.transaction(workspace_id) as db:
        source = find_source(db, workspace_id, feed_id)
        feed = db.get(Feed, (workspace_id, feed_id))
        if source is None or feed is None:
            _end(db, workspace_id, import_id, "The feed has no address any more")
            return
        if feed.deleted_at:
            plan_next(source)
            return
        known = source if feed.item_count else None  # into an empty feed it has to come, changed or not
    try:
        fresh = fetch_source(office.fetcher, place_of(source), open_secret(office.ring, source), known)
        with office.database.transaction(workspace_id) as db:
            _take(db, office, workspace_id, feed_id, fresh, import_id)
    except FetchError as error:
        with office.database.transaction(workspace_id) as db:
            _end(db, workspace_id, import_id, str(error))
            _note_failure(db, office, workspace_id, feed_id, str(error))


def bring_in(office: Office, workspace_id: UUID, import_id: UUID) -> None:
    """Bring in the file of an import that waits, or fetch it first, when it is to be fetched and is not there yet."""
    with office.database.transaction(workspace_id) as db:
        record = db.get(FeedImport, (workspace_id, import_id))
        if record is None or record.state != "queued":
            return
        file = open_kept(db, record)
        feed = db.get_one(Feed, (workspace_id, record.feed_id))
        if feed.deleted_at:
            fail_import(db, record, "The feed was deleted")
            return
    if file is None:
        fetch_feed(office, workspace_id, record.feed_id, import_id)
        return
    try:
        with office.database.transaction(workspace_id) as db:
            feed = db.get_one(Feed, (workspace_id, record.feed_id))
            mine = db.get_one(FeedImport, (workspace_id, import_id))
            run_import(db, feed, mine, file, _teller(office.database, record))
            if record.fetched:
                _note_success(db, office, workspace_id, feed)
            if mine.fetched and mine.state == "held":
                said = (
                    f"What was fetched for the feed {{}} would remove {mine.removed:,} of its {feed.item_count:,} rows."
                )
                _tell(db, office, feed, "An import of {} waits for you", f"{said} Nothing changes until you decide.")
    except InvalidFileError as error:
        with office.database.transaction(workspace_id) as db:
            _end(db, workspace_id, import_id, str(error))
            if record.fetched:
                _note_failure(db, office, workspace_id, record.feed_id, str(error))
    log.info("feed import ended", workspace=str(workspace_id), feed=str(record.feed_id), number=record.number)


def plan_next(source: FeedSource) -> None:
    """Say when the source is asked again: by its schedule, or, while it fails, ever later, but no later than that."""
    now = datetime.now(UTC)
    if source.cron is None:
        source.next_at = None
        return
    wait = next_time(source.cron, source.time_zone, source.feed_id, now) - now
    if source.failures:
        wait = min(wait, FIRST_WAIT * 2 ** min(source.failures - 1, 12))
    jitter = min(wait * JITTER, MAX_JITTER) * random.random()  # noqa: S311 - nobody gains by guessing it
    source.next_at = now + wait + jitter


def file_name_of(url: str) -> str:
    """What an import is called: the end of the address, without what may be secret in it."""
    path = url.partition("?")[0].rstrip("/")
    return path.rpartition("/")[2][-200:] or path[-200:]


def _take(db: Session, office: Office, workspace_id: UUID, feed_id: UUID, fresh: Fresh, import_id: UUID | None) -> None:
    source = db.get_one(FeedSource, (workspace_id, feed_id), with_for_update=True)
    feed = db.get_one(Feed, (workspace_id, feed_id))
    record = db.get_one(FeedImport, (workspace_id, import_id)) if import_id else None
    if fresh.file is None:
        if record is not None:
            record.state, record.percent, record.finished_at = "unchanged", 100, datetime.now(UTC)
        _note_success(db, office, workspace_id, feed)
    else:
        record = record or new_import(db, feed, file_name=file_name_of(source.url), fetched=True)
        keep_file(db, record, fresh.file)
        enqueue(db, record)
    source.etag, source.last_modified, source.digest = fresh.etag, fresh.last_modified, fresh.digest
    source.fetched_at = datetime.now(UTC)
    plan_next(source)


def _note_success(db: Session, office: Office, workspace_id: UUID, feed: Feed) -> None:
    source = db.get(FeedSource, (workspace_id, feed.id), with_for_update=True)
    if source is None:
        return
    if source.failures >= TELL_AFTER:
        _tell(db, office, feed, "{} is fetched again", "The feed {} can be fetched again.")
    source.failures, source.trouble = 0, None


def _note_failure(db: Session, office: Office, workspace_id: UUID, feed_id: UUID, why: str) -> None:
    source = db.get(FeedSource, (workspace_id, feed_id), with_for_update=True)
    if source is None:
        return
    source.failures += 1
    source.trouble = why[:500]
    # What could not be brought in has to come again, changed or not.
    source.etag = source.last_modified = None
    source.digest = ""
    plan_next(source)
    feed = db.get_one(Feed, (workspace_id, feed_id))
    told = {"feed": feed.id, "name": feed.name, "error": source.trouble, "failures": source.failures}
    emit(db, workspace_id, Event.FEED_FAILED, told)
    if source.failures == TELL_AFTER:
        said = f"The feed {{}} could not be fetched {TELL_AFTER} times in a row. {why}."
        _tell(db, office, feed, "{} cannot be fetched", said)


def _end(db: Session, workspace_id: UUID, import_id: UUID | None, why: str) -> None:
    if import_id is not None:
        fail_import(db, db.get_one(FeedImport, (workspace_id, import_id)), why)


def _teller(database: Database, record: FeedImport) -> Progress:
    """What writes down how far an import is, now and then, beside its own transaction, so that it can be seen."""
    told_at = time.monotonic()

    def tell(rows: int, percent: int) -> None:
        nonlocal told_at
        if time.monotonic() - told_at < PACE:
            return
        told_at = time.monotonic()
        with database.transaction(record.workspace_id) as db:
            mine = (FeedImport.workspace_id == record.workspace_id, FeedImport.id == record.id)
            db.execute(update(FeedImport).where(*mine).values(rows_read=rows, percent=percent))

    return tell


def _tell(db: Session, office: Office, feed: Feed, subject: str, said: str) -> None:
    """Write to the workspace's admins about a feed. Both texts name it with {}."""
    workspace = db.get_one(Workspace, feed.workspace_id)
    reason = f"You get this mail because you are an admin of {workspace.name}."
    link = ("See the feed", f"{office.url}/w/{workspace.slug}/feeds/{feed.id}")
    named = said.replace("{}", f"{feed.name} of {workspace.name}")
    letter = EmailMessage(subject.replace("{}", feed.name), (named,), link, reason, Topic.FEEDS)
    email_admins(db, feed.workspace_id, letter)

"""Bringing a feed up to date from its source: fetch outside of any transaction, import in one, plan the next time.

A source that fails is asked again later and later; after three times in a row the workspace's admins are told, and told
again when it works.
"""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from cwz_web.crypto import KeyRing
from cwz_web.db.session import Database
from cwz_web.feeds.imports import import_file
from cwz_web.feeds.models import Feed, FeedSource
from cwz_web.feeds.sources import Fresh, fetch_source, find_source, open_secret, place_of
from cwz_web.feeds.tables import BadFile
from cwz_web.net.client import Fetcher, FetchError
from cwz_web.notify.letters import Letter
from cwz_web.workspaces.members import tell_admins
from cwz_web.workspaces.models import Workspace

log = structlog.get_logger()

TELL_AFTER = 3
FIRST_WAIT = timedelta(minutes=5)
# So that a thousand hourly feeds do not all come at the full hour: up to a tenth later.
JITTER = 0.1


def refresh_feed(
    database: Database, fetcher: Fetcher, ring: KeyRing, url: str, workspace_id: UUID, feed_id: UUID
) -> str:
    """Fetch a feed's source and import what is new. Returns what happened, in a sentence for people.

    Arguments:
        url: the address of the site, for links in mails.
    """
    with database.transaction(workspace_id) as db:
        source = find_source(db, workspace_id, feed_id)
        feed = db.get(Feed, (workspace_id, feed_id))
        if source is None or feed is None or feed.deleted_at:
            return "The feed has no address any more"
    try:
        fresh = fetch_source(fetcher, place_of(source), open_secret(ring, source), source)
        with database.transaction(workspace_id) as db:
            said = _take(db, workspace_id, feed_id, fresh, url)
    except (FetchError, BadFile) as error:
        with database.transaction(workspace_id) as db:
            said = _note_failure(db, workspace_id, feed_id, str(error), url)
    log.info("feed refreshed", workspace=str(workspace_id), feed=str(feed_id), said=said)
    return said


def plan_next(source: FeedSource) -> None:
    """Say when the source is asked again: by its schedule, or, while it fails, ever later, but no later than that."""
    if source.every is None:
        source.next_at = None
        return
    wait = timedelta(minutes=source.every)
    if source.failures:
        wait = min(wait, FIRST_WAIT * 2 ** min(source.failures - 1, 12))
    source.next_at = datetime.now(UTC) + wait * (1 + random.random() * JITTER)  # noqa: S311 - nobody gains by guessing it


def _take(db: Session, workspace_id: UUID, feed_id: UUID, fresh: Fresh, url: str) -> str:
    source = db.get_one(FeedSource, (workspace_id, feed_id), with_for_update=True)
    feed = db.get_one(Feed, (workspace_id, feed_id))
    said = "Nothing has changed since the last time"
    if fresh.file is not None:
        record = import_file(db, feed, file_name=_file_name(source.url), file=fresh.file)
        waits = record.state == "held"
        said = f"{record.added} new, {record.changed} changed, {record.removed} removed"
        said = f"It would remove {record.removed} rows and waits for you" if waits else said
    if source.failures >= TELL_AFTER:
        _tell(db, workspace_id, feed, url, None)
    source.etag, source.last_modified, source.digest = fresh.etag, fresh.last_modified, fresh.digest
    source.failures, source.trouble, source.fetched_at = 0, None, datetime.now(UTC)
    plan_next(source)
    return said


def _note_failure(db: Session, workspace_id: UUID, feed_id: UUID, why: str, url: str) -> str:
    source = db.get_one(FeedSource, (workspace_id, feed_id), with_for_update=True)
    source.failures += 1
    source.trouble = why[:500]
    plan_next(source)
    if source.failures == TELL_AFTER:
        _tell(db, workspace_id, db.get_one(Feed, (workspace_id, feed_id)), url, why)
    return why


def _tell(db: Session, workspace_id: UUID, feed: Feed, url: str, why: str | None) -> None:
    workspace = db.get_one(Workspace, workspace_id)
    reason = f"You get this mail because you are an admin of {workspace.name}."
    link = ("See the feed", f"{url}/w/{workspace.slug}/feeds/{feed.id}")
    if why is None:
        said: tuple[str, ...] = (f"The feed {feed.name} of {workspace.name} can be fetched again.",)
        letter = Letter(f"{feed.name} is fetched again", said, link, reason)
    else:
        said = (f"The feed {feed.name} of {workspace.name} could not be fetched {TELL_AFTER} times in a row. {why}.",)
        letter = Letter(f"{feed.name} can not be fetched", said, link, reason)
    tell_admins(db, workspace_id, letter)


def _file_name(url: str) -> str:
    """What the import is called: the end of the address, without what may be secret in it."""
    path = url.partition("?")[0].rstrip("/")
    return path.rpartition("/")[2][-200:] or path[-200:]

"""Who fetches the feeds that ConnectWyze serves, counted by minute and by the family of the program.

Fetches are counted in memory and written by a thread, so that a response never waits for the log and never fails with
it. A process that is killed loses what it counted in the last seconds.
"""

import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from cwz_web.channels.models import FeedFetch
from cwz_web.db.session import Database, execute_update
from cwz_web.i18n import gettext, gettext_noop

log = structlog.get_logger()

FLUSH_SECONDS = 2.0
MAX_PENDING = 10_000
RETENTION = timedelta(days=90)
CHART_DAYS = 30
FIRST_ERROR = 400
OTHER = "other"
# Parts of the user agents that platforms document, in the order in which they are looked for.
_AGENTS = (
    ("meta", "facebook|meta-external|facebot"),
    ("google", "google"),
    ("tiktok", "tiktok|bytespider|bytedance"),
    ("pinterest", "pinterest"),
    ("snapchat", "snap"),
    ("bing", "bing|microsoft|msnbot"),
    ("criteo", "criteo"),
)
_patterns = [(family, re.compile(pattern, re.IGNORECASE)) for family, pattern in _AGENTS]
MAX_AGENT = 500
FAMILIES = {
    "meta": "Meta",
    "google": "Google",
    "tiktok": "TikTok",
    "pinterest": "Pinterest",
    "snapchat": "Snapchat",
    "bing": "Bing",
    "criteo": "Criteo",
    OTHER: gettext_noop("Another program"),
}


def family_of(user_agent: str) -> str:
    """Return the family of a program by its user agent, which anyone can forge: it is shown, and decides nothing."""
    text = user_agent[:MAX_AGENT]
    return next((family for family, pattern in _patterns if pattern.search(text)), OTHER)


def family_label(family: str) -> str:
    """Return the name of a family for people."""
    return gettext(FAMILIES.get(family, FAMILIES[OTHER]))


@dataclass
class _Count:
    fetches: int = 0
    failed: int = 0
    size: int = 0


class FetchRecorder:
    """Counts fetches of feeds. One per process; thread-safe.

    Args:
        database: where the counts are written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._pending: dict[tuple[UUID, UUID, UUID, datetime, str], _Count] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write what is counted every few seconds while the block runs, and the rest at its end."""
        stopped = threading.Event()
        thread = threading.Thread(target=self._run, args=[stopped], name="feed-fetches", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
            self.flush()

    def add(
        self, workspace_id: UUID, campaign_id: UUID, source_id: UUID, *, user_agent: str, status: int, size: int
    ) -> None:
        """Count a fetch.

        Args:
            workspace_id: the workspace.
            campaign_id: the campaign.
            source_id: the channel; the campaign for its output feed.
            user_agent: of the client.
            status: of the response.
            size: the bytes of its body.
        """
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        key = (workspace_id, campaign_id, source_id, minute, family_of(user_agent))
        with self._lock:
            if key not in self._pending and len(self._pending) >= MAX_PENDING:
                return
            count = self._pending.setdefault(key, _Count())
            count.fetches += 1
            count.failed += status >= FIRST_ERROR
            count.size += size

    def flush(self) -> None:
        """Write what was counted, each workspace in a transaction of its own."""
        with self._lock:
            pending, self._pending = self._pending, {}
        rows = defaultdict(list)
        for (workspace_id, campaign_id, source_id, minute, family), count in pending.items():
            row = {"workspace_id": workspace_id, "campaign_id": campaign_id, "source_id": source_id}
            rows[workspace_id].append({**row, "minute": minute, "family": family, **vars(count)})
        for workspace_id, own in rows.items():
            statement = insert(FeedFetch)
            added = {
                name: getattr(FeedFetch, name) + getattr(statement.excluded, name)
                for name in ("fetches", "failed", "size")
            }
            keys = ["workspace_id", "source_id", "minute", "family"]
            try:
                with self._database.transaction(workspace_id) as db:
                    db.execute(statement.on_conflict_do_update(index_elements=keys, set_=added), own)
            except SQLAlchemyError as error:
                log.warning("fetches of feeds not logged", rows=len(own), error=type(error).__name__)

    def _run(self, stopped: threading.Event) -> None:
        while not stopped.wait(FLUSH_SECONDS):
            self.flush()


@dataclass(frozen=True)
class LastFetch:
    """The last fetch of a feed."""

    family: str
    at: datetime


@dataclass(frozen=True)
class DayFetches:
    """The fetches of a day.

    Attributes:
        height: in percent of the day with most fetches.
        families: the families of the programs, most fetches first.
        size: how many bytes were sent.
    """

    day: date
    fetches: int
    failed: int
    size: int
    families: tuple[str, ...]
    height: int

    @property
    def labels(self) -> list[str]:
        """The names of the families for people."""
        return [family_label(family) for family in self.families]


def last_fetches(db: Session, workspace_id: UUID, campaign_id: UUID) -> dict[UUID, LastFetch]:
    """Return the last fetch of each feed of a campaign that was not refused, by the id of the channel or campaign."""
    newest = (
        select(FeedFetch.source_id, FeedFetch.family, FeedFetch.minute)
        .where(
            FeedFetch.workspace_id == workspace_id,
            FeedFetch.campaign_id == campaign_id,
            FeedFetch.fetches > FeedFetch.failed,
        )
        .ext(distinct_on(FeedFetch.source_id))
        .order_by(FeedFetch.source_id, FeedFetch.minute.desc(), FeedFetch.family)
    )
    return {row.source_id: LastFetch(row.family, row.minute) for row in db.execute(newest)}


def fetches_by_day(db: Session, workspace_id: UUID, source_id: UUID, days: int = CHART_DAYS) -> list[DayFetches]:
    """Return the fetches of a feed on each of the last days, today last, in UTC."""
    today = datetime.now(UTC).date()
    first = today - timedelta(days=days - 1)
    day = func.date(func.timezone("UTC", FeedFetch.minute))
    counted = select(
        day.label("day"),
        FeedFetch.family,
        func.sum(FeedFetch.fetches).label("fetches"),
        func.sum(FeedFetch.failed).label("failed"),
        func.sum(FeedFetch.size).label("size"),
    ).where(
        FeedFetch.workspace_id == workspace_id,
        FeedFetch.source_id == source_id,
        FeedFetch.minute >= datetime.combine(first, datetime.min.time(), UTC),
    )
    rows = defaultdict(list)
    for row in db.execute(counted.group_by(day, FeedFetch.family).order_by(func.sum(FeedFetch.fetches).desc())):
        rows[row.day].append(row)
    totals = {each: sum(int(row.fetches) for row in own) for each, own in rows.items()}
    highest = max(totals.values(), default=1)
    return [_day(each, rows[each], highest) for each in (first + timedelta(days=number) for number in range(days))]


def _day(day: date, rows: Sequence[Any], highest: int) -> DayFetches:
    def total(name: str) -> int:
        return sum(int(getattr(row, name)) for row in rows)

    families = tuple(str(row.family) for row in rows)
    return DayFetches(
        day, total("fetches"), total("failed"), total("size"), families, total("fetches") * 100 // highest
    )


def delete_old_fetches(db: Session, workspace_id: UUID) -> int:
    """Delete what was counted before RETENTION. Return how many rows there were."""
    old = delete(FeedFetch).where(
        FeedFetch.workspace_id == workspace_id, FeedFetch.minute < datetime.now(UTC) - RETENTION
    )
    return execute_update(db, old)

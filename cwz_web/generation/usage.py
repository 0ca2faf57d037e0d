"""How many pictures a month has made, and the caps on that: exact, however many requests come at once.

A picture counts in one transaction, when it is drawn and before anybody gets it: what fails counts nothing, and whoever
is killed leaves nothing reserved. Whether there is room is looked at before it is drawn as well, so that beyond the cap
nothing is drawn in vain. A run takes its pictures beforehand, and gives back those that it did not have to draw in the
transaction that says so. Months are those of UTC.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import psycopg
from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.orm import Session

from cwz_web.db.session import Database
from cwz_web.generation.keys import KeyOwner
from cwz_web.generation.models import Usage, UsageDay
from cwz_web.metrics import CAPS
from cwz_web.notify.letters import Letter
from cwz_web.notify.topics import Topic
from cwz_web.notify.webhooks import Event, emit
from cwz_web.settings import FREE
from cwz_web.workspaces.access import Standing
from cwz_web.workspaces.members import tell_admins
from cwz_web.workspaces.models import Workspace

# In percent of the workspace's cap: when its admins are told.
WARN_AT = (80, 100)
# What count_picture() (migration 0019) answers with when a cap is reached.
REACHED = "P0402"
READ_ONLY = "This workspace can only be looked at until its plan is paid: see Billing"

_COUNT = text("""
    INSERT INTO usage (workspace_id, subject_id, month, used) VALUES (:workspace, :subject, :month, :pictures)
    ON CONFLICT (workspace_id, subject_id, month) DO UPDATE SET used = usage.used + :pictures
    WHERE CAST(:cap AS bigint) IS NULL OR usage.used + :pictures <= :cap
    RETURNING used
""")


class CapReached(Exception):
    """The month has no room for it. The message says whose."""


@dataclass(frozen=True)
class Meter:
    """What counts pictures: the workspace's own counter, and a key's.

    Attributes:
        cap: pictures a month for the workspace; None for as many as it likes.
        url: the address of the site, for the link in the mail that says that the cap is near.
        key_cap: the same as `cap` for the key.
        closed: whether nothing may be made, because the workspace's plan was not paid.
    """

    workspace_id: UUID
    cap: int | None = None
    url: str = ""
    key_id: UUID | None = None
    key_cap: int | None = None
    closed: bool = False

    @property
    def is_capped(self) -> bool:
        """Whether there is any cap."""
        return self.closed or self.cap is not None or self.key_cap is not None

    def counters(self) -> Iterable[tuple[UUID, int | None, str]]:
        """Each counter, what it may reach, and whose it is: in one order, so that no two wait for each other."""
        yield self.workspace_id, self.cap, "workspace"
        if self.key_id is not None:
            yield self.key_id, self.key_cap, "key"


@dataclass(frozen=True)
class Meters:
    """The installation's terms: what a workspace may make in a month, and where people read about it.

    Attributes:
        plans: what a workspace may make with each plan, in place of `cap`; None where there are no plans.
    """

    cap: int | None = None
    url: str = ""
    plans: Mapping[str, int | None] | None = None

    def of(self, workspace_id: UUID, standing: Standing, key: KeyOwner | None = None) -> Meter:
        """What the pictures of a workspace count against, or those of one of its keys."""
        meter = Meter(workspace_id, self.cap, self.url)
        if self.plans is not None:
            # A plan that the operator has taken away counts as the one that costs nothing.
            cap = self.plans[standing.plan if standing.plan in self.plans else FREE]
            meter = replace(meter, cap=cap, closed=standing.read_only)
        return replace(meter, key_id=key.key_id, key_cap=key.month_cap) if key else meter


def month_of(moment: datetime | None = None) -> date:
    """The month that a moment counts in; now without one."""
    return (moment or datetime.now(UTC)).astimezone(UTC).date().replace(day=1)


def next_month(month: date) -> date:
    """When the counters begin anew."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def used_in(db: Session, workspace_id: UUID, subject_id: UUID, month: date | None = None) -> int:
    """How many pictures count in a month."""
    return db.scalar(select(Usage.used).where(*_mine(workspace_id, subject_id, month or month_of()))) or 0


def used_by(db: Session, workspace_id: UUID) -> dict[UUID, int]:
    """How many pictures each counter of the workspace has in this month: its keys', and its own."""
    mine = select(Usage).where(Usage.workspace_id == workspace_id, Usage.month == month_of())
    return {usage.subject_id: usage.used for usage in db.scalars(mine)}


def used_by_day(db: Session, workspace_id: UUID, days: int = 30) -> list[tuple[date, int]]:
    """How many pictures each of the last days has made, today last."""
    today = datetime.now(UTC).date()
    first = today - timedelta(days=days - 1)
    mine = select(UsageDay.day, UsageDay.used).where(UsageDay.workspace_id == workspace_id, UsageDay.day >= first)
    used = {row.day: row.used for row in db.execute(mine)}
    return [(day, used.get(day, 0)) for day in (first + timedelta(days=number) for number in range(days))]


def check_open(meter: Meter) -> None:
    """See that anything may be made at all. Raises CapReached."""
    if meter.closed:
        raise CapReached(READ_ONLY)


def check_room(database: Database, meter: Meter) -> None:
    """See whether there is room for one more. Raises CapReached."""
    check_open(meter)
    if not meter.is_capped:
        return
    values = month_of(), meter.workspace_id, meter.key_id
    said = database.ask(b"SELECT to_json(room) FROM pictures_used($1, $2, $3) room", *values)
    assert said is not None
    for cap, used, whose in ((meter.cap, said["used"], "workspace"), (meter.key_cap, said["key_used"], "key")):
        if cap is not None and (used or 0) >= cap:
            raise _reached(whose, cap)


def count(db: Session, meter: Meter, pictures: int = 1) -> None:
    """Count pictures. Raises CapReached; then the transaction must be rolled back."""
    check_open(meter)
    for subject_id, cap, whose in meter.counters():
        names = {"workspace": meter.workspace_id, "subject": subject_id, "month": month_of(), "cap": cap}
        fits = cap is None or pictures <= cap
        used = db.scalar(_COUNT, names | {"pictures": pictures}) if fits else None
        if used is None:
            raise _reached(whose, cap or 0)
        if cap is not None and whose == "workspace":
            _warn(db, meter, used - pictures, used, cap)


@contextmanager
def counting_one(database: Database, meter: Meter) -> Iterator[Callable[[], object]]:
    """Count one picture while the rest is done of it: what comes begins to count, and is to be called once.

    At the end of the block it is counted, as by count(); when the block fails, it is not. Raises CapReached, at the end
    as well.
    """
    check_open(meter)
    month = month_of()
    values = month, meter.workspace_id, meter.key_id, meter.cap, meter.key_cap
    counted: list[Callable[[], int]] = []
    try:
        yield lambda: counted.append(database.send(b"SELECT count_picture($1, $2, $3, $4, $5)", *values))
    except BaseException:
        for answer in counted:
            try:
                answer()
            except psycopg.Error:
                continue  # it was not counted
            with database.transaction(meter.workspace_id) as db:
                give_back(db, meter, 1, month)
        raise
    try:
        used = counted[0]()
    except psycopg.Error as error:
        if error.sqlstate != REACHED:
            raise
        whose = error.diag.message_primary or ""
        raise _reached(whose, {"workspace": meter.cap, "key": meter.key_cap}[whose] or 0) from None
    if meter.cap is not None and _crossed(used - 1, used, meter.cap):
        with database.transaction(meter.workspace_id) as db:
            _warn(db, meter, used - 1, used, meter.cap)


def give_back(db: Session, meter: Meter, pictures: int, month: date) -> None:
    """Count pictures of a month no longer: they did not have to be drawn."""
    for subject_id, _, _ in meter.counters():
        mine = _mine(meter.workspace_id, subject_id, month)
        db.execute(update(Usage).where(*mine).values(used=func.greatest(Usage.used - pictures, 0)))


def _mine(workspace_id: UUID, subject_id: UUID, month: date) -> tuple[ColumnElement[bool], ...]:
    return Usage.workspace_id == workspace_id, Usage.subject_id == subject_id, Usage.month == month


def _reached(whose: str, cap: int) -> CapReached:
    CAPS.labels(whose).inc()
    return CapReached(f"This {whose} may make {cap:,} pictures a month, and there is no room for more in this one")


def _crossed(before: int, used: int, cap: int) -> list[int]:
    """The percents at which admins are told that a count has passed."""
    return [percent for percent in WARN_AT if before * 100 < percent * cap <= used * 100]


def _warn(db: Session, meter: Meter, before: int, used: int, cap: int) -> None:
    for percent in _crossed(before, used, cap):
        workspace = db.get_one(Workspace, meter.workspace_id)
        said = f"{workspace.name} has made {used:,} of the {cap:,} pictures that it may make this month."
        more = "Further ones are refused until the month is over." if percent == 100 else ""
        reason = f"You get this mail because you are an admin of {workspace.name}."
        link = ("See the usage", f"{meter.url}/w/{workspace.slug}/keys")
        subject = f"{workspace.name}: {percent} % of this month's pictures"
        told = {"percent": percent, "used": used, "cap": cap, "month": month_of().isoformat()}
        emit(db, meter.workspace_id, Event.CAP_REACHED, told)
        tell_admins(db, meter.workspace_id, Letter(subject, (f"{said} {more}".strip(),), link, reason, Topic.USAGE))

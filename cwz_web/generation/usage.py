"""How many images a month has made, and the caps on that: exact, however many requests come at once.

An image counts in one transaction, when it is rendered and before anybody gets it: what fails counts nothing, and whoever
is killed leaves nothing reserved. Whether there is room is looked at before it is rendered as well, so that beyond the cap
nothing is rendered in vain. A run takes its images beforehand, and gives back those that it did not have to render in the
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
from cwz_web.generation.api_keys import KeyOwner
from cwz_web.generation.models import Usage, UsageDay
from cwz_web.metrics import CAPS
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.topics import Topic
from cwz_web.notify.webhooks import Event, emit
from cwz_web.settings import FREE
from cwz_web.workspaces.access import PlanStatus
from cwz_web.workspaces.members import email_admins
from cwz_web.workspaces.models import Workspace

# In percent of the workspace's cap: when its admins are told.
WARN_AT = (80, 100)
# What count_image() (migration 0019) answers with when a cap is reached.
REACHED = "P0402"
READ_ONLY = "This workspace can only be looked at until its plan is paid: see Billing"

_COUNT = text("""
    INSERT INTO usage (workspace_id, subject_id, month, used) VALUES (:workspace, :subject, :month, :images)
    ON CONFLICT (workspace_id, subject_id, month) DO UPDATE SET used = usage.used + :images
    WHERE CAST(:cap AS bigint) IS NULL OR usage.used + :images <= :cap
    RETURNING used
""")


class QuotaExceededError(Exception):
    """The month has no room for it. The message says whose."""


@dataclass(frozen=True)
class Quota:
    """What counts images: the workspace's own counter, and a key's.

    Attributes:
        cap: images a month for the workspace; None for as many as it likes.
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
class Quotas:
    """The installation's terms: what a workspace may make in a month, and where people read about it.

    Attributes:
        plans: what a workspace may make with each plan, in place of `cap`; None where there are no plans.
    """

    cap: int | None = None
    url: str = ""
    plans: Mapping[str, int | None] | None = None

    def of(self, workspace_id: UUID, plan_status: PlanStatus, key: KeyOwner | None = None) -> Quota:
        """What the images of a workspace count against, or those of one of its keys."""
        quota = Quota(workspace_id, self.cap, self.url)
        if self.plans is not None:
            # A plan that the operator has taken away counts as the one that costs nothing.
            cap = self.plans[plan_status.plan if plan_status.plan in self.plans else FREE]
            quota = replace(quota, cap=cap, closed=plan_status.read_only)
        return replace(quota, key_id=key.key_id, key_cap=key.month_cap) if key else quota


def month_of(moment: datetime | None = None) -> date:
    """The month that a moment counts in; now without one."""
    return (moment or datetime.now(UTC)).astimezone(UTC).date().replace(day=1)


def next_month(month: date) -> date:
    """When the counters begin anew."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def used_in(db: Session, workspace_id: UUID, subject_id: UUID, month: date | None = None) -> int:
    """How many images count in a month."""
    return db.scalar(select(Usage.used).where(*_mine(workspace_id, subject_id, month or month_of()))) or 0


def used_by(db: Session, workspace_id: UUID) -> dict[UUID, int]:
    """How many images each counter of the workspace has in this month: its keys', and its own."""
    mine = select(Usage).where(Usage.workspace_id == workspace_id, Usage.month == month_of())
    return {usage.subject_id: usage.used for usage in db.scalars(mine)}


def used_by_day(db: Session, workspace_id: UUID, days: int = 30) -> list[tuple[date, int]]:
    """How many images each of the last days has made, today last."""
    today = datetime.now(UTC).date()
    first = today - timedelta(days=days - 1)
    mine = select(UsageDay.day, UsageDay.used).where(UsageDay.workspace_id == workspace_id, UsageDay.day >= first)
    used = {row.day: row.used for row in db.execute(mine)}
    return [(day, used.get(day, 0)) for day in (first + timedelta(days=number) for number in range(days))]


def check_open(quota: Quota) -> None:
    """See that anything may be made at all. Raises QuotaExceededError."""
    if quota.closed:
        raise QuotaExceededError(READ_ONLY)


def check_room(database: Database, quota: Quota) -> None:
    """See whether there is room for one more. Raises QuotaExceededError."""
    check_open(quota)
    if not quota.is_capped:
        return
    values = month_of(), quota.workspace_id, quota.key_id
    said = database.ask(b"SELECT to_json(room) FROM images_used($1, $2, $3) room", *values)
    assert said is not None
    for cap, used, whose in ((quota.cap, said["used"], "workspace"), (quota.key_cap, said["key_used"], "key")):
        if cap is not None and (used or 0) >= cap:
            raise _reached(whose, cap)


def count(db: Session, quota: Quota, images: int = 1) -> None:
    """Count images. Raises QuotaExceededError; then the transaction must be rolled back."""
    check_open(quota)
    for subject_id, cap, whose in quota.counters():
        names = {"workspace": quota.workspace_id, "subject": subject_id, "month": month_of(), "cap": cap}
        fits = cap is None or images <= cap
        used = db.scalar(_COUNT, names | {"images": images}) if fits else None
        if used is None:
            raise _reached(whose, cap or 0)
        if cap is not None and whose == "workspace":
            _warn(db, quota, used - images, used, cap)


@contextmanager
def counting_one(database: Database, quota: Quota) -> Iterator[Callable[[], object]]:
    """Count one image while the rest is done of it: what comes begins to count, and is to be called once.

    At the end of the block it is counted, as by count(); when the block fails, it is not. Raises QuotaExceededError, at the end
    as well.
    """
    check_open(quota)
    month = month_of()
    values = month, quota.workspace_id, quota.key_id, quota.cap, quota.key_cap
    counted: list[Callable[[], int]] = []
    try:
        yield lambda: counted.append(database.send(b"SELECT count_image($1, $2, $3, $4, $5)", *values))
    except BaseException:
        for answer in counted:
            try:
                answer()
            except psycopg.Error:
                continue  # it was not counted
            with database.transaction(quota.workspace_id) as db:
                give_back(db, quota, 1, month)
        raise
    try:
        used = counted[0]()
    except psycopg.Error as error:
        if error.sqlstate != REACHED:
            raise
        whose = error.diag.message_primary or ""
        raise _reached(whose, {"workspace": quota.cap, "key": quota.key_cap}[whose] or 0) from None
    if quota.cap is not None and _crossed(used - 1, used, quota.cap):
        with database.transaction(quota.workspace_id) as db:
            _warn(db, quota, used - 1, used, quota.cap)


def give_back(db: Session, quota: Quota, images: int, month: date) -> None:
    """Count images of a month no longer: they did not have to be rendered."""
    for subject_id, _, _ in quota.counters():
        mine = _mine(quota.workspace_id, subject_id, month)
        db.execute(update(Usage).where(*mine).values(used=func.greatest(Usage.used - images, 0)))


def _mine(workspace_id: UUID, subject_id: UUID, month: date) -> tuple[ColumnElement[bool], ...]:
    return Usage.workspace_id == workspace_id, Usage.subject_id == subject_id, Usage.month == month


def _reached(whose: str, cap: int) -> QuotaExceededError:
    CAPS.labels(whose).inc()
    return QuotaExceededError(
        f"This {whose} may make {cap:,} images a month, and there is no room for more in this one"
    )


def _crossed(before: int, used: int, cap: int) -> list[int]:
    """The percents at which admins are told that a count has passed."""
    return [percent for percent in WARN_AT if before * 100 < percent * cap <= used * 100]


def _warn(db: Session, quota: Quota, before: int, used: int, cap: int) -> None:
    for percent in _crossed(before, used, cap):
        workspace = db.get_one(Workspace, quota.workspace_id)
        said = f"{workspace.name} has made {used:,} of the {cap:,} images that it may make this month."
        more = "Further ones are refused until the month is over." if percent == 100 else ""
        reason = f"You get this mail because you are an admin of {workspace.name}."
        link = ("See the usage", f"{quota.url}/w/{workspace.slug}/keys")
        subject = f"{workspace.name}: {percent} % of this month's images"
        told = {"percent": percent, "used": used, "cap": cap, "month": month_of().isoformat()}
        emit(db, quota.workspace_id, Event.CAP_REACHED, told)
        email_admins(
            db, quota.workspace_id, EmailMessage(subject, (f"{said} {more}".strip(),), link, reason, Topic.USAGE)
        )

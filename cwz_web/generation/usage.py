"""Usage: how many images a month has counted, and the quotas of workspaces and API keys.

An image is counted in one transaction after it is encoded and before it is delivered: a failed render counts nothing,
and a killed process leaves nothing reserved. The quota is exact under any concurrency; whether it has room is also
checked before rendering, so that no rejected image is rendered. A run counts its images when it starts and refunds
those that it did not render. Months are in UTC.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.orm import Session

from cwz_web.db.session import Database
from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.generation.models import Usage, UsageDay
from cwz_web.i18n import day_and_month, gettext, gettext_noop, number
from cwz_web.metrics import QUOTA_EXCEEDED
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.topics import Topic
from cwz_web.notify.webhooks import Event, emit
from cwz_web.settings import FREE
from cwz_web.workspaces.access import PlanStatus
from cwz_web.workspaces.members import admin_reason, email_admins
from cwz_web.workspaces.models import Workspace

# Admins get an email when usage reaches these percentages of the workspace's quota.
WARNING_PERCENTAGES = (80, 100)
READ_ONLY_MESSAGE = gettext_noop("This workspace is read-only until its plan is paid. An admin can pay under Billing.")

_QUOTA_EXCEEDED = gettext_noop("This workspace's quota of %(limit)s images per month does not have enough images left")
_KEY_QUOTA_EXCEEDED = gettext_noop("This key's quota of %(limit)s images per month does not have enough images left")

_FIND_USED = text("SELECT used, key_used FROM find_image_usage(:month, :workspace, CAST(:key AS uuid))")
# Only the counters that have room for the images are returned; unnest() keeps the order, in which rows are locked.
_COUNT = text("""
    INSERT INTO usage AS u (workspace_id, subject_id, month, used)
    SELECT CAST(:workspace AS uuid), subject, CAST(:month AS date), CAST(:images AS bigint)
    FROM unnest(CAST(:subjects AS uuid[])) AS subject
    ON CONFLICT (workspace_id, subject_id, month) DO UPDATE SET used = u.used + excluded.used
    WHERE u.used + excluded.used <= coalesce(
        CASE WHEN u.subject_id = u.workspace_id THEN CAST(:limit AS bigint) ELSE CAST(:key_limit AS bigint) END,
        9223372036854775807)
    RETURNING subject_id, used
""")


class QuotaExceededError(Exception):
    """The month's quota is used up. The message names the workspace's or the key's."""


@dataclass(frozen=True)
class Quota:
    """What images count against: the quota of a workspace, and that of an API key.

    Attributes:
        limit: images per month for the workspace; None for no limit.
        url: the URL of the site, for the link in the email about a quota that is nearly used up.
        key_limit: images per month for the key; None for no limit.
        is_read_only: whether nothing may be rendered because the workspace's plan is unpaid.
    """

    workspace_id: UUID
    limit: int | None = None
    url: str = ""
    key_id: UUID | None = None
    key_limit: int | None = None
    is_read_only: bool = False

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return self.is_read_only or self.limit is not None or self.key_limit is not None

    def counters(self) -> Iterable[tuple[UUID, int | None, str]]:
        """Yield each counter's subject, its limit, and what the subject is, in the order of locking."""
        yield self.workspace_id, self.limit, "workspace"
        if self.key_id is not None:
            yield self.key_id, self.key_limit, "key"


@dataclass(frozen=True)
class Quotas:
    """The installation's quotas.

    Attributes:
        limit: images per month for each workspace; None for no limit.
        url: the URL of the site.
        plans: images per month by plan, in place of `limit`; None where there are no plans.
    """

    limit: int | None = None
    url: str = ""
    plans: Mapping[str, int | None] | None = None

    def of(self, workspace_id: UUID, plan_status: PlanStatus, key: ApiKeyIdentity | None = None) -> Quota:
        """Return the quota of a workspace, or of one of its API keys."""
        quota = Quota(workspace_id, self.limit, self.url)
        if self.plans is not None:
            # A plan that the operator has removed counts as the free one.
            limit = self.plans[plan_status.plan if plan_status.plan in self.plans else FREE]
            quota = replace(quota, limit=limit, is_read_only=plan_status.read_only)
        return replace(quota, key_id=key.key_id, key_limit=key.images_per_month) if key else quota


def month_of(moment: datetime | None = None) -> date:
    """Return the month that a moment counts in, by its first day; by default, the current month."""
    return (moment or datetime.now(UTC)).astimezone(UTC).date().replace(day=1)


def next_month(month: date) -> date:
    """Return the first day of the next month, when the counters reset."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def monthly_usage(db: Session, workspace_id: UUID, subject_id: UUID, month: date | None = None) -> int:
    """Return how many images a workspace or an API key has used in a month.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        subject_id: the workspace or the key.
        month: the first day of the month; by default, of the current one.
    """
    return db.scalar(select(Usage.used).where(*_counter(workspace_id, subject_id, month or month_of()))) or 0


def usage_by_subject(db: Session, workspace_id: UUID) -> dict[UUID, int]:
    """Return this month's usage of the workspace, and of each of its keys, by id."""
    counters = select(Usage.subject_id, Usage.used)
    rows = db.execute(counters.where(Usage.workspace_id == workspace_id, Usage.month == month_of()))
    return {row.subject_id: row.used for row in rows}


def usage_by_day(db: Session, workspace_id: UUID, days: int = 30) -> list[tuple[date, int]]:
    """Return the usage of each of the last days, today last."""
    today = datetime.now(UTC).date()
    first = today - timedelta(days=days - 1)
    recent = select(UsageDay.day, UsageDay.used).where(UsageDay.workspace_id == workspace_id, UsageDay.day >= first)
    used = {row.day: row.used for row in db.execute(recent)}
    return [(day, used.get(day, 0)) for day in (first + timedelta(days=number) for number in range(days))]


def check_writable(quota: Quota) -> None:
    """Raise QuotaExceededError if the workspace is read-only."""
    if quota.is_read_only:
        raise QuotaExceededError(gettext(READ_ONLY_MESSAGE))


def check_room(database: Database, quota: Quota, images: int = 1) -> None:
    """Raise QuotaExceededError unless there is room for so many more images. At most one query."""
    check_writable(quota)
    if not quota.is_limited:
        return
    values = {"month": month_of(), "workspace": quota.workspace_id, "key": quota.key_id}
    row = database.query_one(_FIND_USED, values)
    assert row is not None
    for limit, used, subject in ((quota.limit, row.used, "workspace"), (quota.key_limit, row.key_used, "key")):
        if limit is not None and (used or 0) + images > limit:
            raise _quota_exceeded(subject, limit)


def count(db: Session, quota: Quota, images: int = 1) -> None:
    """Count images in one statement.

    Raises:
        QuotaExceededError: There is no room for all of them; the transaction must be rolled back.
    """
    check_writable(quota)
    for _, limit, subject in quota.counters():
        if limit is not None and images > limit:
            raise _quota_exceeded(subject, limit)
    values = {"workspace": quota.workspace_id, "month": month_of(), "images": images}
    values |= {"subjects": [subject_id for subject_id, _, _ in quota.counters()]}
    values |= {"limit": quota.limit, "key_limit": quota.key_limit}
    used = {row.subject_id: row.used for row in db.execute(_COUNT, values)}
    for subject_id, limit, subject in quota.counters():
        if subject_id not in used:
            raise _quota_exceeded(subject, limit or 0)
    if quota.limit is not None:
        _warn(db, quota, used[quota.workspace_id] - images, used[quota.workspace_id], quota.limit)


def refund(db: Session, quota: Quota, images: int, month: date) -> None:
    """Subtract images of a month that did not have to be rendered.

    Args:
        db: a transaction in the workspace.
        quota: the quota that the images were counted against.
        images: how many.
        month: the month in which they were counted.
    """
    for subject_id, _, _ in quota.counters():
        counter = _counter(quota.workspace_id, subject_id, month)
        db.execute(update(Usage).where(*counter).values(used=func.greatest(Usage.used - images, 0)))


def _counter(workspace_id: UUID, subject_id: UUID, month: date) -> tuple[ColumnElement[bool], ...]:
    return Usage.workspace_id == workspace_id, Usage.subject_id == subject_id, Usage.month == month


def _quota_exceeded(subject: str, limit: int) -> QuotaExceededError:
    QUOTA_EXCEEDED.labels(subject).inc()
    message = _KEY_QUOTA_EXCEEDED if subject == "key" else _QUOTA_EXCEEDED
    return QuotaExceededError(gettext(message, limit=number(limit)))


def _crossed(before: int, used: int, limit: int) -> list[int]:
    """Return the warning percentages that usage has just reached."""
    return [percent for percent in WARNING_PERCENTAGES if before * 100 < percent * limit <= used * 100]


def _warn(db: Session, quota: Quota, before: int, used: int, limit: int) -> None:
    for percent in _crossed(before, used, limit):
        workspace = db.get_one(Workspace, quota.workspace_id)
        payload = {"percent": percent, "used": used, "limit": limit, "month": month_of().isoformat()}
        emit(db, quota.workspace_id, Event.QUOTA_REACHED, payload)
        write = partial(_usage_email, workspace, percent, used, limit, f"{quota.url}/w/{workspace.slug}/usage")
        email_admins(db, quota.workspace_id, write)


def _usage_email(workspace: Workspace, percent: int, used: int, limit: int, url: str) -> EmailMessage:
    name = workspace.name
    paragraph = gettext(
        "%(workspace)s has used %(used)s of its %(limit)s images this month.",
        workspace=name,
        used=number(used),
        limit=number(limit),
    )
    if percent == 100:
        end = gettext("Rendering stops until %(day)s.", day=day_and_month(next_month(month_of())))
        paragraph = f"{paragraph} {end}"
    subject = gettext("%(workspace)s: %(percent)s %% of this month's images used", workspace=name, percent=percent)
    return EmailMessage(subject, (paragraph,), (gettext("View usage"), url), admin_reason(name), Topic.USAGE)

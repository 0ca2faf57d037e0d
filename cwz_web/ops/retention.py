"""History grows too old: what each workspace keeps, and for how long, is the operator's and the plan's decision."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import delete, exists, func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, aliased

from cwz_web.db.session import Database, affected
from cwz_web.feeds.models import Feed, FeedImport, FeedSource, Item, ItemOrder, ItemVersion
from cwz_web.generation.models import Usage, UsageDay
from cwz_web.notify.models import Delivery
from cwz_web.settings import FREE, Settings
from cwz_web.workspaces.access import plan_status_of

log = structlog.get_logger()

# Somebody has had time to look at them (/ops).
_OLD_JOBS = text("""
    DELETE FROM procrastinate_jobs WHERE status IN ('failed', 'cancelled', 'aborted') AND id IN (
        SELECT job_id FROM procrastinate_events GROUP BY job_id HAVING max(at) < now() - interval '30 days')
""")

ENDED = ("applied", "unchanged", "discarded", "failed")


@dataclass(frozen=True)
class Keep:
    """How many days things are kept."""

    audit: int
    history: int
    deliveries: int
    usage: int
    deleted: int
    exports: int
    plans: dict[str, int]

    @classmethod
    def of(cls, settings: Settings) -> "Keep":
        """As the operator has it. A plan shortens the history, and lengthens nothing."""
        plans = {name: plan.history for name, plan in settings.plan.items() if plan.history} if settings.billing else {}
        return cls(
            settings.keep_audit_days,
            settings.keep_history_days,
            settings.keep_deliveries_days,
            settings.keep_usage_days,
            settings.keep_deleted_days,
            settings.keep_exports_days,
            plans,
        )

    def history_of(self, plan: str) -> int:
        """The days of history with a plan; one that the operator has taken away counts as the free one."""
        return min(self.history, self.plans.get(plan, self.plans.get(FREE, self.history)))


def forget_old(database: Database, keep: Keep) -> dict[str, int]:
    """Drop what is too old in every workspace, one transaction each. Returns what went, by table."""
    with database.transaction() as db:
        workspaces = list(db.scalars(text("SELECT * FROM all_workspaces()")))
        gone = {"procrastinate_jobs": affected(db, _OLD_JOBS)}
    for workspace_id in workspaces:
        try:
            with database.transaction(workspace_id) as db:
                for table, rows in _forget(db, workspace_id, keep).items():
                    gone[table] = gone.get(table, 0) + rows
        except SQLAlchemyError:
            log.exception("old history stays", workspace=str(workspace_id))  # the others do not wait for it
    log.info("old history dropped", workspaces=len(workspaces), **gone)
    return gone


def _forget(db: Session, workspace_id: UUID, keep: Keep) -> dict[str, int]:
    now = datetime.now(UTC)
    history = now - timedelta(days=keep.history_of(plan_status_of(db, workspace_id).plan))
    usage = (now - timedelta(days=keep.usage)).date()
    later = aliased(FeedImport)
    has_later = exists().where(
        later.workspace_id == workspace_id, later.feed_id == FeedImport.feed_id, later.number > FeedImport.number
    )
    old: dict[Any, tuple[Any, ...]] = {
        # The newest one stays: it says where the rows come from.
        FeedImport: (FeedImport.state.in_(ENDED), FeedImport.created_at < history, has_later),
        ItemVersion: (ItemVersion.replaced_at < history,),
        Delivery: (Delivery.state != "pending", Delivery.created_at < now - timedelta(days=keep.deliveries)),
        Usage: (Usage.month < usage.replace(day=1),),
        UsageDay: (UsageDay.day < usage,),
    }
    gone = {
        model.__tablename__: affected(db, delete(model).where(model.workspace_id == workspace_id, *which))
        for model, which in old.items()
    }
    gone["items"] = _forget_deleted_feeds(db, workspace_id, now - timedelta(days=keep.deleted))
    gone["audit_entries"] = db.scalar(select(func.forget_audit(now - timedelta(days=keep.audit)))) or 0
    return gone


def _forget_deleted_feeds(db: Session, workspace_id: UUID, before: datetime) -> int:
    """Empty the feeds that were deleted long ago. Their names stay, for the runs that were made of them."""
    mine = select(Feed).where(Feed.workspace_id == workspace_id, Feed.deleted_at < before, Feed.columns != [])
    gone = 0
    for feed in db.scalars(mine).all():
        for model in (Item, ItemVersion, ItemOrder, FeedImport, FeedSource):
            of_feed = delete(model).where(model.workspace_id == workspace_id, model.feed_id == feed.id)
            gone += affected(db, of_feed)
        feed.columns, feed.item_count = [], 0
    return gone

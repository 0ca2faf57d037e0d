"""Retention: delete history that is older than the operator's and the plan's limits."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import delete, exists, func, or_, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, aliased

from cwz_web.campaigns.models import Campaign
from cwz_web.channels.fetch_log import delete_old_fetches
from cwz_web.db.pagination import first_id
from cwz_web.db.session import Database, execute_update
from cwz_web.feeds.models import Feed, FeedImport, FeedSource, Item, ItemVersion, SortIndexEntry
from cwz_web.generation.models import ApiRequest, Usage, UsageDay
from cwz_web.notify.models import WebhookDelivery
from cwz_web.settings import FREE, Settings
from cwz_web.workspaces.access import find_plan_status

log = structlog.get_logger()

# Operators see failed jobs on /ops for a month.
_DELETE_OLD_JOBS = text("""
    DELETE FROM procrastinate_jobs WHERE status IN ('failed', 'cancelled', 'aborted') AND id IN (
        SELECT job_id FROM procrastinate_events GROUP BY job_id HAVING max(at) < now() - interval '30 days')
""")

# How many API requests a workspace keeps at most.
MAX_API_REQUESTS = 100_000
FINAL_IMPORT_STATES = ("applied", "unchanged", "discarded", "failed")


@dataclass(frozen=True)
class RetentionPolicy:
    """For how many days records are kept. `plan_history` holds the days of history of each plan that limits them."""

    audit: int
    history: int
    deliveries: int
    usage: int
    deleted: int
    exports: int
    requests: int
    plan_history: dict[str, int]

    @classmethod
    def from_settings(cls, settings: Settings) -> "RetentionPolicy":
        """Return the operator's policy; plans only count where billing is on."""
        kept, has_plans = settings.retention, settings.billing.enabled
        return cls(
            audit=kept.audit_days,
            history=kept.history_days,
            deliveries=kept.delivery_days,
            usage=kept.usage_days,
            deleted=kept.deleted_row_days,
            exports=kept.export_days,
            requests=kept.request_days,
            plan_history={
                name: plan.history_days for name, plan in settings.plan.items() if plan.history_days and has_plans
            },
        )

    def history_days(self, plan: str) -> int:
        """Return the days of history of a plan, which never exceed the operator's.

        A plan that was removed from the settings counts as the free one.
        """
        return min(self.history, self.plan_history.get(plan, self.plan_history.get(FREE, self.history)))


def delete_expired_records(database: Database, policy: RetentionPolicy) -> dict[str, int]:
    """Delete old records of every workspace, in a transaction each.

    Returns:
        The number of deleted rows by table.
    """
    with database.transaction() as db:
        workspaces = list(db.scalars(text("SELECT * FROM all_workspaces()")))
        deleted = {"procrastinate_jobs": execute_update(db, _DELETE_OLD_JOBS)}
    for workspace_id in workspaces:
        try:
            with database.transaction(workspace_id) as db:
                for table, rows in _delete_in_workspace(db, workspace_id, policy).items():
                    deleted[table] = deleted.get(table, 0) + rows
        except SQLAlchemyError:  # an error in one workspace does not stop the others
            log.exception("old records not deleted", workspace=str(workspace_id))
    log.info("old records deleted", workspaces=len(workspaces), **deleted)
    return deleted


def delete_old_api_requests(database: Database, days: int) -> int:
    """Delete the API requests of every workspace that are too old, or too many.

    Args:
        database: The database.
        days: How many days they are kept.

    Returns:
        The number of deleted requests.
    """
    with database.transaction() as db:
        workspaces = list(db.scalars(text("SELECT * FROM all_workspaces()")))
    before, deleted = first_id(datetime.now(UTC) - timedelta(days=days)), 0
    for workspace_id in workspaces:
        try:
            with database.transaction(workspace_id) as db:
                own = ApiRequest.workspace_id == workspace_id
                newest = select(ApiRequest.id).where(own).order_by(ApiRequest.id.desc())
                last = db.scalar(newest.offset(MAX_API_REQUESTS).limit(1))
                deleted += execute_update(db, delete(ApiRequest).where(own, ApiRequest.id < before))
                if last is not None:
                    deleted += execute_update(db, delete(ApiRequest).where(own, ApiRequest.id <= last))
        except SQLAlchemyError:  # an error in one workspace does not stop the others
            log.exception("old api requests not deleted", workspace=str(workspace_id))
    return deleted


def _delete_in_workspace(db: Session, workspace_id: UUID, policy: RetentionPolicy) -> dict[str, int]:
    now = datetime.now(UTC)
    history_start = now - timedelta(days=policy.history_days(find_plan_status(db, workspace_id).plan))
    usage_start = (now - timedelta(days=policy.usage)).date()
    deliveries_start = now - timedelta(days=policy.deliveries)
    later = aliased(FeedImport)
    has_later = exists().where(
        later.workspace_id == workspace_id, later.feed_id == FeedImport.feed_id, later.number > FeedImport.number
    )
    criteria: dict[Any, tuple[Any, ...]] = {
        # The newest import stays: it says where the rows come from.
        FeedImport: (FeedImport.state.in_(FINAL_IMPORT_STATES), FeedImport.created_at < history_start, has_later),
        ItemVersion: (ItemVersion.replaced_at < history_start,),
        WebhookDelivery: (WebhookDelivery.state != "pending", WebhookDelivery.created_at < deliveries_start),
        Usage: (Usage.month < usage_start.replace(day=1),),
        UsageDay: (UsageDay.day < usage_start,),
    }
    deleted = {
        model.__tablename__: execute_update(db, delete(model).where(model.workspace_id == workspace_id, *conditions))
        for model, conditions in criteria.items()
    }
    deleted["feed_fetches"] = delete_old_fetches(db, workspace_id)
    deleted["campaigns"] = _delete_campaigns(db, workspace_id, now - timedelta(days=policy.deleted))
    deleted["items"] = _empty_deleted_feeds(db, workspace_id, now - timedelta(days=policy.deleted))
    deleted["audit_entries"] = db.scalar(select(func.delete_audit_entries(now - timedelta(days=policy.audit)))) or 0
    return deleted


def _delete_campaigns(db: Session, workspace_id: UUID, before: datetime) -> int:
    """Delete the campaigns that were deleted before a time, and those of feeds that were, with their publications."""
    feeds = select(Feed.id).where(Feed.workspace_id == workspace_id, Feed.deleted_at < before)
    is_deleted = or_(Campaign.deleted_at < before, Campaign.feed_id.in_(feeds))
    return execute_update(db, delete(Campaign).where(Campaign.workspace_id == workspace_id, is_deleted))


def _empty_deleted_feeds(db: Session, workspace_id: UUID, before: datetime) -> int:
    """Delete the rows of feeds that were deleted before a time; the feeds' names stay for their runs."""
    feeds = select(Feed).where(Feed.workspace_id == workspace_id, Feed.deleted_at < before, Feed.columns != [])
    deleted = 0
    for feed in db.scalars(feeds).all():
        for model in (Item, ItemVersion, SortIndexEntry, FeedImport, FeedSource):
            rows = delete(model).where(model.workspace_id == workspace_id, model.feed_id == feed.id)
            deleted += execute_update(db, rows)
        feed.columns, feed.item_count = [], 0
    return deleted

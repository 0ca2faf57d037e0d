"""Limits of a plan besides images: members, storage connections, feeds, uploads."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from cwz_web.feeds.models import Feed
from cwz_web.generation.models import Upload
from cwz_web.i18n import ngettext
from cwz_web.settings import FREE, Plan, Settings
from cwz_web.storage.included import INCLUDED
from cwz_web.storage.models import Connection
from cwz_web.workspaces.models import Invitation, Membership, Workspace


class PlanLimit(StrEnum):
    """What a plan limits; the value is the attribute of Plan."""

    MEMBERS = "members"
    CONNECTIONS = "connections"
    FEEDS = "feeds"
    UPLOADS = "uploads"


class PlanLimitError(Exception):
    """A plan's limit is reached; the message names it."""


def find_plan(settings: Settings, name: str) -> Plan:
    """Return a plan by name; the free plan if the operator removed it."""
    return settings.plan[name if name in settings.plan else FREE]


def count_usage(db: Session, workspace_id: UUID) -> Mapping[PlanLimit, int]:
    """Count what a workspace uses of each limit.

    Open invitations count as members, and deleted uploads as long as their files are stored. Included storage does not
    count.
    """
    members = _count(Membership, workspace_id)
    invited = _count(Invitation, workspace_id).where(Invitation.ended_at.is_(None), Invitation.expires_at > func.now())
    feeds = _count(Feed, workspace_id).where(Feed.deleted_at.is_(None))
    connections = _count(Connection, workspace_id).where(Connection.provider != INCLUDED)
    counts: tuple[Any, ...] = (members, invited, connections, feeds, _count(Upload, workspace_id))
    row = db.execute(select(*(each.scalar_subquery() for each in counts))).one()
    return {
        PlanLimit.MEMBERS: row[0] + row[1],
        PlanLimit.CONNECTIONS: row[2],
        PlanLimit.FEEDS: row[3],
        PlanLimit.UPLOADS: row[4],
    }


def check_plan_limit(db: Session, settings: Settings, workspace_id: UUID, limit: PlanLimit) -> None:
    """Check that the workspace may have one more.

    Its row stays locked until the transaction ends.

    Args:
        db: The transaction.
        settings: The plans of the installation.
        workspace_id: The workspace.
        limit: The limit to check.

    Raises:
        PlanLimitError: The limit is reached.
    """
    if not settings.billing.enabled:
        return
    workspace = db.get_one(Workspace, workspace_id, with_for_update=True, populate_existing=True)
    plan = find_plan(settings, workspace.plan)
    maximum: int = getattr(plan, limit)
    if maximum and count_usage(db, workspace_id)[limit] >= maximum:
        raise PlanLimitError(_describe_limit(limit, plan.label, maximum))


def _describe_limit(limit: PlanLimit, plan: str, maximum: int) -> str:
    match limit:
        case PlanLimit.MEMBERS:
            return ngettext(
                "The %(plan)s plan allows %(count)s member. Upgrade the plan to add more",
                "The %(plan)s plan allows %(count)s members. Upgrade the plan to add more",
                maximum,
                plan=plan,
            )
        case PlanLimit.CONNECTIONS:
            return ngettext(
                "The %(plan)s plan allows %(count)s connection. Upgrade the plan to add more",
                "The %(plan)s plan allows %(count)s connections. Upgrade the plan to add more",
                maximum,
                plan=plan,
            )
        case PlanLimit.FEEDS:
            return ngettext(
                "The %(plan)s plan allows %(count)s feed. Upgrade the plan to add more",
                "The %(plan)s plan allows %(count)s feeds. Upgrade the plan to add more",
                maximum,
                plan=plan,
            )
        case PlanLimit.UPLOADS:
            return ngettext(
                "The %(plan)s plan allows %(count)s upload. Upgrade the plan to add more",
                "The %(plan)s plan allows %(count)s uploads. Upgrade the plan to add more",
                maximum,
                plan=plan,
            )


def _count(model: type[Any], workspace_id: UUID) -> Select[Any]:
    return select(func.count()).select_from(model).where(model.workspace_id == workspace_id)

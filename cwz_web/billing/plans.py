"""What a plan has room for, beside images: members, connected storages, feeds."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from cwz_web.feeds.models import Feed
from cwz_web.settings import FREE, Plan, Settings
from cwz_web.storage.models import Connection
from cwz_web.workspaces.models import Invitation, Membership, Workspace


class PlanLimit(StrEnum):
    """What a plan counts; the value is the plan's field, and the word for many of them."""

    MEMBERS = "members"
    CONNECTIONS = "connections"
    FEEDS = "feeds"


class PlanLimitError(Exception):
    """The plan has no room for one more. The message says of what."""


def plan_named(settings: Settings, name: str) -> Plan:
    """A workspace's plan; one that the operator has taken away counts as the one that costs nothing."""
    return settings.plan[name if name in settings.plan else FREE]


def used_of(db: Session, workspace_id: UUID) -> Mapping[PlanLimit, int]:
    """How many there are of each thing. People who are invited have their place already."""
    members = _count(Membership, workspace_id)
    invited = _count(Invitation, workspace_id).where(Invitation.ended_at.is_(None), Invitation.expires_at > func.now())
    feeds = _count(Feed, workspace_id).where(Feed.deleted_at.is_(None))
    counts: tuple[Any, ...] = (members, invited, _count(Connection, workspace_id), feeds)
    found = db.execute(select(*(each.scalar_subquery() for each in counts))).one()
    return {PlanLimit.MEMBERS: found[0] + found[1], PlanLimit.CONNECTIONS: found[2], PlanLimit.FEEDS: found[3]}


def check_room_for(db: Session, settings: Settings, workspace_id: UUID, thing: PlanLimit) -> None:
    """See whether there may be one more. Two who ask at once wait for each other. Raises PlanLimitError."""
    if not settings.billing:
        return
    workspace = db.get_one(Workspace, workspace_id, with_for_update=True, populate_existing=True)
    plan = plan_named(settings, workspace.plan)
    most = getattr(plan, thing)
    if most and used_of(db, workspace_id)[thing] >= most:
        word = thing if most != 1 else thing.removesuffix("s")
        raise PlanLimitError(
            f"The plan {plan.label} has room for {most} {word}, and {'it is' if most == 1 else 'they are'} there"
        )


def _count(model: type[Any], workspace_id: UUID) -> Select[Any]:
    return select(func.count()).select_from(model).where(model.workspace_id == workspace_id)

"""Which workspaces a person belongs to: one of the few questions that cross workspaces."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from cwz_web.workspaces.models import Role


@dataclass(frozen=True)
class PlanStatus:
    """What a workspace may do: its plan, whether a payment for it is missing, and whether the workspace can therefore
    only be looked at. All of it means nothing on an installation without billing."""

    plan: str = "free"
    unpaid: bool = False
    read_only: bool = False


@dataclass(frozen=True)
class Access:
    """A person's place in one workspace."""

    workspace_id: UUID
    slug: str
    name: str
    role: Role
    second_factor_required: bool
    plan_status: PlanStatus


def workspaces_of(db: Session, account_id: UUID) -> list[Access]:
    """The person's workspaces, by name."""
    rows = db.execute(
        text("SELECT m.*, s.* FROM memberships_of(:account) m, standing_of(m.workspace_id) s"), {"account": account_id}
    )
    return [
        Access(
            row.workspace_id,
            row.slug,
            row.name,
            Role(row.role),
            row.second_factor_required,
            PlanStatus(row.plan, row.unpaid, row.read_only),
        )
        for row in rows
    ]


def plan_status_of(db: Session, workspace_id: UUID) -> PlanStatus:
    """What a workspace may do now. Raises NoResultFound."""
    row = db.execute(text("SELECT * FROM standing_of(:workspace)"), {"workspace": workspace_id}).one()
    return PlanStatus(row.plan, row.unpaid, row.read_only)

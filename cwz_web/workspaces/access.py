"""The workspaces of a user: one of the few queries that cross workspaces."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from cwz_web.workspaces.models import Role


@dataclass(frozen=True)
class PlanStatus:
    """The plan of a workspace; without billing, always the default.

    Attributes:
        plan: Name of the plan.
        unpaid: Whether a payment is overdue.
        read_only: Whether the workspace is read-only because of an overdue payment.
    """

    plan: str = "free"
    unpaid: bool = False
    read_only: bool = False


@dataclass(frozen=True)
class Access:
    """A user's access to one workspace."""

    workspace_id: UUID
    slug: str
    name: str
    role: Role
    second_factor_required: bool
    single_sign_on_required: bool
    plan_status: PlanStatus
    time_zone: str


def list_workspaces(db: Session, account_id: UUID) -> list[Access]:
    """Return an account's workspaces, by name."""
    rows = db.execute(
        text("SELECT m.*, s.* FROM memberships_of(:account) m, plan_status_of(m.workspace_id) s"),
        {"account": account_id},
    )
    return [
        Access(
            row.workspace_id,
            row.slug,
            row.name,
            Role(row.role),
            row.second_factor_required,
            row.single_sign_on_required,
            PlanStatus(row.plan, row.unpaid, row.read_only),
            row.time_zone,
        )
        for row in rows
    ]


def find_plan_status(db: Session, workspace_id: UUID) -> PlanStatus:
    """Return the current plan status of a workspace. Raises NoResultFound."""
    row = db.execute(text("SELECT * FROM plan_status_of(:workspace)"), {"workspace": workspace_id}).one()
    return PlanStatus(row.plan, row.unpaid, row.read_only)

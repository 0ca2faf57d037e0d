"""Which workspaces a person belongs to: one of the few questions that cross workspaces."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from cwz_web.workspaces.models import Role


@dataclass(frozen=True)
class Access:
    """A person's place in one workspace."""

    workspace_id: UUID
    slug: str
    name: str
    role: Role
    second_factor_required: bool


def workspaces_of(db: Session, account_id: UUID) -> list[Access]:
    """The person's workspaces, by name."""
    rows = db.execute(
        text("SELECT workspace_id, slug, name, role, second_factor_required FROM memberships_of(:account)"),
        {"account": account_id},
    )
    return [Access(row.workspace_id, row.slug, row.name, Role(row.role), row.second_factor_required) for row in rows]

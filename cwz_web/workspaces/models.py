"""Tables of workspaces and their members."""

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from cwz_web.db.base import Base, Timestamped


class Role(StrEnum):
    """What a member is in a workspace; the permissions of each stand in resources.py."""

    ADMIN = "admin"
    SUPPORT = "support"
    USER = "user"

    @property
    def label(self) -> str:
        return {"admin": "Workspace Admin", "support": "Support Agent", "user": "User"}[self.value]


class Workspace(Timestamped, Base):
    """A tenant. Its slug stands in every address."""

    __tablename__ = "workspaces"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]


class Membership(Timestamped, Base):
    """That a person belongs to a workspace."""

    __tablename__ = "memberships"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[str]

    __table_args__ = (CheckConstraint("role IN ('admin', 'support', 'user')", name="role"),)

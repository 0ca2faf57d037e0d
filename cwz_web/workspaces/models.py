"""Tables of workspaces, their members, invitations, and what was done in them."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from cwz_web.db.base import Base, Timestamped, WorkspaceOwned


class Role(StrEnum):
    """What a member is in a workspace; the permissions of each stand in resources.py."""

    ADMIN = "admin"
    SUPPORT = "support"
    USER = "user"

    @property
    def label(self) -> str:
        return {"admin": "Workspace Admin", "support": "Support Agent", "user": "User"}[self.value]


class Workspace(Timestamped, Base):
    """A tenant. Its slug stands in every address.

    Addresses may be signed with its keys from `signing_oldest` to `signing_number` (generation/signed_urls.py). From
    `read_only_from` on it can be looked at and no more: its plan was not paid (billing/). The entries of its audit log
    up to `audit_dropped` have grown too old; `audit_digest` is what the first one that is left follows.
    """

    __tablename__ = "workspaces"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    second_factor_required: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    signing_number: Mapped[int] = mapped_column(default=1, server_default="1")
    signing_oldest: Mapped[int] = mapped_column(default=1, server_default="1")
    plan: Mapped[str] = mapped_column(default="free", server_default="free")
    read_only_from: Mapped[datetime | None]
    audit_dropped: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    audit_digest: Mapped[str | None]


class Membership(Timestamped, Base):
    """That a person belongs to a workspace."""

    __tablename__ = "memberships"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[str]

    __table_args__ = (CheckConstraint("role IN ('admin', 'support', 'user')", name="role"),)


class Invitation(WorkspaceOwned, Base):
    """A link in a mail that makes the owner of an address a member, once.

    Only the SHA-256 of the link is kept; there is none before its mail has left.
    """

    __tablename__ = "invitations"

    email: Mapped[str]
    role: Mapped[str]
    digest: Mapped[str | None] = mapped_column(unique=True)
    invited_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    __table_args__ = (CheckConstraint("role IN ('admin', 'support', 'user')", name="role"),)

    @property
    def is_open(self) -> bool:
        """Whether it can still be accepted: neither accepted, nor taken back, nor too old."""
        return self.ended_at is None and datetime.now(UTC) < self.expires_at


Index(
    "uq_invitations_open",
    Invitation.workspace_id,
    func.lower(Invitation.email),
    unique=True,
    postgresql_where=Invitation.ended_at.is_(None),
)
Index("ix_invitations_email", func.lower(Invitation.email))


class AuditEntry(Base):
    """Who did what to which thing, from where. Never changed and never removed: the application's role may only add.

    `digest` covers the entry and the digest of the one before it (audit.py), so that a change anywhere shows.
    """

    __tablename__ = "audit_entries"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor_id: Mapped[UUID | None]
    actor: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    address: Mapped[str]
    digest: Mapped[str]

    __table_args__ = (
        Index("ix_audit_entries_actor", "workspace_id", "actor_id", "number"),
        Index("ix_audit_entries_action", "workspace_id", "action", "number"),
    )


class Tombstone(Base):
    """That a workspace or an account was deleted: at once for people, and for good from `purge_at` on.

    It outlives what it stands for, so that a backup from before does not bring that back; then it names nobody.
    `report` says what the purge removed.
    """

    __tablename__ = "tombstones"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    with_images: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    deleted_at: Mapped[datetime]
    purge_at: Mapped[datetime]
    purged_at: Mapped[datetime | None]
    report: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")

    __table_args__ = (
        CheckConstraint("kind IN ('workspace', 'account')", name="kind"),
        Index("ix_tombstones_purge_at", "purge_at", postgresql_where=text("purged_at IS NULL")),
    )

"""Models of workspaces, members, invitations, audit entries and tombstones."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from cwz_web.db.base import Base, Timestamped, WorkspaceOwned
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.values.formats import ValueFormat


class Role(StrEnum):
    """The role of a member; resources/permissions.py defines the permissions of each."""

    ADMIN = "admin"
    SUPPORT = "support"
    USER = "user"

    @property
    def label(self) -> str:
        """Return the name shown in the interface."""
        return gettext(ROLE_LABELS[self])


ROLE_LABELS = {
    Role.ADMIN: gettext_noop("Workspace admin"),
    Role.SUPPORT: gettext_noop("Support agent"),
    Role.USER: gettext_noop("User"),
}


class Workspace(Timestamped, Base):
    """A tenant.

    Attributes:
        slug: Part of the workspace's URLs.
        locale: How values are written that do not say so, such as de or en_GB.
        currency: The currency of prices that do not name one, as an ISO 4217 code.
        time_zone: The time zone of its pages, and of new schedules and campaigns.
        signing_key_number: Number of the newest key for signed URLs (generation/signed_urls.py).
        oldest_signing_key_number: Number of the oldest valid key.
        read_only_from: When the workspace becomes read-only because of an overdue payment (billing/).
        audit_deleted_through: Number of the last audit entry that retention has deleted.
        audit_chain_digest: Digest of that entry, from which the chain continues.
    """

    __tablename__ = "workspaces"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    second_factor_required: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    locale: Mapped[str | None]
    currency: Mapped[str | None]
    time_zone: Mapped[str] = mapped_column(default="UTC", server_default="UTC")
    signing_key_number: Mapped[int] = mapped_column(default=1, server_default="1")
    oldest_signing_key_number: Mapped[int] = mapped_column(default=1, server_default="1")
    plan: Mapped[str] = mapped_column(default="free", server_default="free")
    read_only_from: Mapped[datetime | None]
    audit_deleted_through: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    audit_chain_digest: Mapped[str | None]

    @property
    def value_format(self) -> ValueFormat:
        """The format of values that do not have another one."""
        return ValueFormat(locale=self.locale, currency=self.currency)


class Membership(Timestamped, Base):
    """The membership of an account in a workspace.

    Attributes:
        provider_domain: The verified domain of the address that the member had at the identity provider, or in their
            account before it changed: another address does not evade required single sign-on.
    """

    __tablename__ = "memberships"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[str]
    provider_domain: Mapped[str | None]

    __table_args__ = (CheckConstraint("role IN ('admin', 'support', 'user')", name="role"),)


class Invitation(WorkspaceOwned, Base):
    """An invitation of an email address to a workspace.

    `digest` is the SHA-256 of the link's token; NULL until the email is sent.
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
        """Return whether it can be accepted: neither accepted, nor revoked, nor expired."""
        return self.ended_at is None and datetime.now(UTC) < self.expires_at


Index(
    "uq_invitations_open",
    Invitation.workspace_id,
    func.lower(Invitation.email),
    unique=True,
    postgresql_where=Invitation.ended_at.is_(None),
)
Index("ix_invitations_email", func.lower(Invitation.email))


class IdentityProvider(Timestamped, Base):
    """The OpenID provider of a workspace.

    Attributes:
        default_role: The role of members who join through the provider.
        is_required: Whether members have to use it who have used it before, or have an address in a verified domain.
    """

    __tablename__ = "identity_providers"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    issuer: Mapped[str]
    client_id: Mapped[str]
    encrypted_client_secret: Mapped[bytes]
    default_role: Mapped[str]
    is_required: Mapped[bool]

    __table_args__ = (CheckConstraint("default_role IN ('support', 'user')", name="default_role"),)


class EmailDomain(WorkspaceOwned, Base):
    """A domain of email addresses; at most one workspace has verified it.

    Attributes:
        token: Part of the TXT record that verifies the domain.
    """

    __tablename__ = "email_domains"

    domain: Mapped[str]
    token: Mapped[str]
    verified_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_email_domains_workspace_id_domain", "workspace_id", "domain", unique=True),
        Index("uq_email_domains_verified", "domain", unique=True, postgresql_where=text("verified_at IS NOT NULL")),
    )


class ProviderIdentity(Timestamped, Base):
    """A user of a workspace's provider, identified by issuer and subject, and the member that it is."""

    __tablename__ = "provider_identities"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[UUID]
    email: Mapped[str]

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "account_id"], ["memberships.workspace_id", "memberships.account_id"], ondelete="CASCADE"
        ),
        Index("ix_provider_identities_workspace_id_account_id", "workspace_id", "account_id"),
    )


class RemovedMember(Timestamped, Base):
    """A member whom an admin removed.

    Attributes:
        email_digest: Digest of an email address of the member, in lower case.
        account_id: The account, until it is deleted.
    """

    __tablename__ = "removed_members"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    email_digest: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"), index=True)


class AuditEntry(Base):
    """An action of a user. The application's database role may only insert entries.

    `digest` covers the entry and the digest of the previous one (audit.py), which makes changes detectable.
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
    ip_address: Mapped[str]
    digest: Mapped[str]

    __table_args__ = (
        Index("ix_audit_entries_actor", "workspace_id", "actor_id", "number"),
        Index("ix_audit_entries_action", "workspace_id", "action", "number"),
        Index("ix_audit_entries_at", "workspace_id", "at"),
    )


class Tombstone(Base):
    """The record of a deleted workspace or account, which is purged from `purge_at` on.

    It outlives the purge, so that restoring an older backup does not restore the data; the name is cleared then.
    `report` lists what the purge deleted.
    """

    __tablename__ = "tombstones"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    type: Mapped[str]
    name: Mapped[str]
    with_images: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    deleted_at: Mapped[datetime]
    purge_at: Mapped[datetime]
    purged_at: Mapped[datetime | None]
    report: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")

    __table_args__ = (
        CheckConstraint("type IN ('workspace', 'account')", name="type"),
        Index("ix_tombstones_purge_at", "purge_at", postgresql_where=text("purged_at IS NULL")),
    )

"""Invitations: an admin names an address and a role, its owner follows a link, and is a member."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account, has_email
from cwz_web.accounts.tokens import digest
from cwz_web.db.session import enter_workspace
from cwz_web.workspaces.models import Invitation, Membership, Role, Workspace

LIFETIME = timedelta(days=7)
MOST_OPEN = 200


class InvitationError(Exception):
    """The person cannot be invited, or the invitation not be accepted; the message is for people."""


def invite(db: Session, workspace_id: UUID, *, email: str, role: Role, invited_by: Account) -> Invitation:
    """Invite the owner of an address. Inviting again renews an open invitation, and its older link is dead.

    Raises InvitationError.
    """
    member = (
        select(Membership.account_id)
        .join(Account, Account.id == Membership.account_id)
        .where(Membership.workspace_id == workspace_id, has_email(email))
    )
    if db.scalar(member) is not None:
        raise InvitationError("This person is a member already")
    known = db.scalar(_open(workspace_id).where(func.lower(Invitation.email) == email.lower()))
    if known is None and len(list_invitations(db, workspace_id)) >= MOST_OPEN:
        raise InvitationError(f"{MOST_OPEN} invitations are open; take some back first")
    invitation = known or Invitation(workspace_id=workspace_id, email=email)
    invitation.role, invitation.invited_by = role, invited_by.id
    invitation.digest, invitation.expires_at = None, datetime.now(UTC) + LIFETIME
    db.add(invitation)
    db.flush()
    return invitation


def make_link(invitation: Invitation) -> str:
    """What the mail's link holds: 32 random bytes as hex; any earlier one is dead."""
    plain = secrets.token_hex(32)
    invitation.digest = digest(plain)
    return plain


def list_invitations(db: Session, workspace_id: UUID) -> list[Invitation]:
    """The invitations that nobody has answered, the newest first; those that are too old as well."""
    return list(db.scalars(_open(workspace_id).order_by(Invitation.id.desc())))


def take_back(invitation: Invitation) -> None:
    """Make an invitation worthless."""
    invitation.ended_at = datetime.now(UTC)


def find_invitation(db: Session, link: str) -> tuple[Invitation, Workspace] | None:
    """The open invitation that a link holds, with its workspace, which the session then has entered."""
    found = db.execute(
        text("SELECT workspace_id, id FROM workspace_of_invitation(:digest)"), {"digest": digest(link)}
    ).one_or_none()
    return _open_one(db, found.workspace_id, found.id) if found else None


@dataclass(frozen=True)
class OpenInvitation:
    """An invitation, as the person who is invited sees it."""

    workspace_id: UUID
    id: UUID
    name: str
    role: Role


def open_invitations_of(db: Session, account: Account) -> list[OpenInvitation]:
    """The invitations that wait for a person, whose address is proved: they need no link for these."""
    rows = db.execute(text("SELECT * FROM open_invitations_of(:address)"), {"address": account.email})
    return [OpenInvitation(row.workspace_id, row.id, row.name, Role(row.role)) for row in rows]


def invitation_for(db: Session, account: Account, invitation_id: UUID) -> tuple[Invitation, Workspace] | None:
    """One of those, with its workspace, which the session then has entered."""
    found = next((known for known in open_invitations_of(db, account) if known.id == invitation_id), None)
    return _open_one(db, found.workspace_id, found.id) if found else None


def accept(db: Session, invitation: Invitation, account: Account) -> None:
    """Make a person a member. Raises InvitationError when the invitation is for another address."""
    if account.email.lower() != invitation.email.lower():
        raise InvitationError(f"This invitation is for {invitation.email}")
    if db.get(Membership, (invitation.workspace_id, account.id)) is None:
        db.add(Membership(workspace_id=invitation.workspace_id, account_id=account.id, role=invitation.role))
    invitation.ended_at = datetime.now(UTC)
    db.flush()


def _open_one(db: Session, workspace_id: UUID, invitation_id: UUID) -> tuple[Invitation, Workspace] | None:
    enter_workspace(db, workspace_id)
    invitation = db.get(Invitation, (workspace_id, invitation_id), with_for_update=True)
    workspace = db.get(Workspace, workspace_id)
    return (invitation, workspace) if invitation and workspace and invitation.is_open else None


def _open(workspace_id: UUID) -> Select[Invitation]:
    return select(Invitation).where(Invitation.workspace_id == workspace_id, Invitation.ended_at.is_(None))

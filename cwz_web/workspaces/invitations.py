"""Invitations of members by email."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account, has_email
from cwz_web.accounts.tokens import digest
from cwz_web.db.session import enter_workspace
from cwz_web.i18n import gettext, number
from cwz_web.workspaces.models import Invitation, Membership, Role, Workspace
from cwz_web.workspaces.removed_members import forget_removal

LIFETIME = timedelta(days=7)
MAX_OPEN_INVITATIONS = 200


class InvitationError(Exception):
    """The invitation cannot be sent or accepted; the message can be shown in a form."""


def invite(db: Session, workspace_id: UUID, *, email: str, role: Role, invited_by: Account) -> Invitation:
    """Create an invitation, or renew an open one, whose previous link becomes invalid.

    Args:
        db: A transaction in the workspace.
        workspace_id: The workspace.
        email: The email address of the invitation.
        role: The role that it grants.
        invited_by: The account that invites.

    Raises:
        InvitationError: The address belongs to a member, or too many invitations are open.
    """
    member = (
        select(Membership.account_id)
        .join(Account, Account.id == Membership.account_id)
        .where(Membership.workspace_id == workspace_id, has_email(email))
    )
    if db.scalar(member) is not None:
        raise InvitationError(gettext("This person is already a member"))
    existing = db.scalar(_open(workspace_id).where(func.lower(Invitation.email) == email.lower()))
    if existing is None and len(list_invitations(db, workspace_id)) >= MAX_OPEN_INVITATIONS:
        raise InvitationError(
            gettext(
                "A workspace can have at most %(number)s open invitations. Revoke one first",
                number=number(MAX_OPEN_INVITATIONS),
            )
        )
    invitation = existing or Invitation(workspace_id=workspace_id, email=email)
    invitation.role, invitation.invited_by = role, invited_by.id
    invitation.digest, invitation.expires_at = None, datetime.now(UTC) + LIFETIME
    db.add(invitation)
    db.flush()
    return invitation


def create_token(invitation: Invitation) -> str:
    """Return the token of a new link (32 random bytes as hex); an earlier link becomes invalid."""
    token = secrets.token_hex(32)
    invitation.digest = digest(token)
    return token


def list_invitations(db: Session, workspace_id: UUID) -> list[Invitation]:
    """Return the pending invitations, including expired ones, the newest first."""
    return list(db.scalars(_open(workspace_id).order_by(Invitation.id.desc())))


def revoke_invitation(invitation: Invitation) -> None:
    """Revoke an invitation."""
    invitation.ended_at = datetime.now(UTC)


def find_invitation(db: Session, token: str) -> tuple[Invitation, Workspace] | None:
    """Return the open invitation of a token with its workspace, which the session enters, or None."""
    found = db.execute(
        text("SELECT workspace_id, id FROM workspace_of_invitation(:digest)"), {"digest": digest(token)}
    ).one_or_none()
    return _open_one(db, found.workspace_id, found.id) if found else None


@dataclass(frozen=True)
class OpenInvitation:
    """An invitation as the invited user sees it."""

    workspace_id: UUID
    id: UUID
    name: str
    role: Role


def list_open_invitations(db: Session, account: Account) -> list[OpenInvitation]:
    """Return the open invitations to an account's verified address. Accepting one takes the link of its email."""
    rows = db.execute(text("SELECT * FROM open_invitations_of(:address)"), {"address": account.email})
    return [OpenInvitation(row.workspace_id, row.id, row.name, Role(row.role)) for row in rows]


def find_open_invitation(db: Session, account: Account, invitation_id: UUID) -> tuple[Invitation, Workspace] | None:
    """Return one of an account's open invitations with its workspace, which the session enters, or None."""
    found = next(
        (invitation for invitation in list_open_invitations(db, account) if invitation.id == invitation_id), None
    )
    return _open_one(db, found.workspace_id, found.id) if found else None


def accept_invitation(db: Session, invitation: Invitation, account: Account) -> None:
    """Add the account as a member.

    Raises:
        InvitationError: The invitation is for another email address.
    """
    if account.email.lower() != invitation.email.lower():
        raise InvitationError(
            gettext("This invitation is for %(email)s. Sign in with that account to accept it", email=invitation.email)
        )
    if db.get(Membership, (invitation.workspace_id, account.id)) is None:
        db.add(Membership(workspace_id=invitation.workspace_id, account_id=account.id, role=invitation.role))
        forget_removal(db, invitation.workspace_id, account, account.email)
    invitation.ended_at = datetime.now(UTC)
    db.flush()


def _open_one(db: Session, workspace_id: UUID, invitation_id: UUID) -> tuple[Invitation, Workspace] | None:
    enter_workspace(db, workspace_id)
    invitation = db.get(Invitation, (workspace_id, invitation_id), with_for_update=True)
    workspace = db.get(Workspace, workspace_id)
    return (invitation, workspace) if invitation and workspace and invitation.is_open else None


def _open(workspace_id: UUID) -> Select[Invitation]:
    return select(Invitation).where(Invitation.workspace_id == workspace_id, Invitation.ended_at.is_(None))

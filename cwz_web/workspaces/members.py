"""Members: who belongs to a workspace, in which role; the last admin can neither leave nor be demoted."""

from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.tasks import queue_email
from cwz_web.workspaces.models import Membership, Role, Workspace


class LastAdminError(Exception):
    """Without this member the workspace would have no admin."""


class Member(NamedTuple):
    """A membership, and whose it is."""

    membership: Membership
    account: Account

    @property
    def role(self) -> Role:
        return Role(self.membership.role)


def list_members(db: Session, workspace_id: UUID) -> list[Member]:
    """Everybody in a workspace, by name."""
    rows = db.execute(_members(workspace_id).order_by(func.lower(Account.name), Account.id))
    return [Member(*row) for row in rows]


def email_admins(db: Session, workspace_id: UUID, letter: EmailMessage) -> None:
    """Send a letter to every admin of a workspace who wants such letters, once the transaction has committed."""
    admins = (
        select(Account)
        .join(Membership, Membership.account_id == Account.id)
        .where(Membership.workspace_id == workspace_id, Membership.role == Role.ADMIN)
    )
    for account in db.scalars(admins):
        tell(db, account, letter)


def tell(db: Session, account: Account, letter: EmailMessage) -> None:
    """Send a letter to a person, unless they want none about its topic."""
    if letter.topic not in account.muted:
        queue_email(db, account.email, replace(letter, account=str(account.id)))


def find_member(db: Session, workspace_id: UUID, account_id: UUID) -> Member | None:
    """One member; None for somebody who is none."""
    row = db.execute(_members(workspace_id).where(Membership.account_id == account_id)).one_or_none()
    return Member(*row) if row else None


def change_role(db: Session, membership: Membership, role: Role) -> None:
    """Give a member another role. Raises LastAdminError."""
    if role is not Role.ADMIN:
        _keep_an_admin(db, membership)
    membership.role = role
    db.flush()


def remove_member(db: Session, membership: Membership) -> None:
    """End a membership, at once. Raises LastAdminError."""
    _keep_an_admin(db, membership)
    db.delete(membership)
    db.flush()


def _members(workspace_id: UUID) -> Select[Membership, Account]:
    return (
        select(Membership, Account)
        .join(Account, Account.id == Membership.account_id)
        .where(Membership.workspace_id == workspace_id)
    )


def _keep_an_admin(db: Session, membership: Membership) -> None:
    # Two admins who demote each other at the same time wait for each other here.
    db.execute(select(Workspace.id).where(Workspace.id == membership.workspace_id).with_for_update())
    others = select(func.count()).where(
        Membership.workspace_id == membership.workspace_id,
        Membership.role == Role.ADMIN,
        Membership.account_id != membership.account_id,
    )
    db.refresh(membership)
    if membership.role == Role.ADMIN and not db.scalar(others):
        raise LastAdminError

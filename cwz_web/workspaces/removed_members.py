"""Members whom an admin removed: they do not join again through the identity provider until they are invited.

Email addresses are kept as digests, since they outlive the account.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account
from cwz_web.accounts.tokens import digest
from cwz_web.workspaces.models import Invitation, ProviderIdentity, RemovedMember


def remember_removal(db: Session, workspace_id: UUID, account: Account) -> None:
    """Remember a member who is about to be removed, with the email addresses that the provider has confirmed."""
    confirmed = db.scalars(
        select(ProviderIdentity.email).where(
            ProviderIdentity.workspace_id == workspace_id, ProviderIdentity.account_id == account.id
        )
    )
    values = [
        {"workspace_id": workspace_id, "email_digest": email_digest, "account_id": account.id}
        for email_digest in sorted({_digest(email) for email in (account.email, *confirmed)})
    ]
    db.execute(insert(RemovedMember).values(values).on_conflict_do_nothing())


def may_join(db: Session, workspace_id: UUID, account: Account, email: str) -> bool:
    """Return whether a user of the provider may join: they were not removed, or an invitation is open.

    Args:
        db: A transaction in the workspace.
        workspace_id: The workspace.
        account: The user's account.
        email: The email address that the provider confirms.
    """
    removed = select(RemovedMember.email_digest).where(_of(workspace_id, account, email)).limit(1)
    invited = select(Invitation.id).where(
        Invitation.workspace_id == workspace_id,
        Invitation.ended_at.is_(None),
        Invitation.expires_at > func.now(),
        func.lower(Invitation.email).in_({account.email.lower(), email.lower()}),
    )
    return db.scalar(removed) is None or db.scalar(invited.limit(1)) is not None


def forget_removal(db: Session, workspace_id: UUID, account: Account, email: str) -> None:
    """Forget the removal of a user who is a member again."""
    db.execute(delete(RemovedMember).where(_of(workspace_id, account, email)))


def _of(workspace_id: UUID, account: Account, email: str) -> ColumnElement[bool]:
    return (RemovedMember.workspace_id == workspace_id) & or_(
        RemovedMember.account_id == account.id,
        RemovedMember.email_digest.in_({_digest(account.email), _digest(email)}),
    )


def _digest(email: str) -> str:
    return digest(email.lower())

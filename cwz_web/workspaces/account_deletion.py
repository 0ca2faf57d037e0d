"""Deletion of due accounts, and what it means for their workspaces.

A workspace is deleted with its only admin; in any other workspace, only the membership ends.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import structlog
from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from cwz_web.accounts import emails
from cwz_web.accounts.models import Account
from cwz_web.db.session import enter_workspace
from cwz_web.notify.tasks import enqueue_email
from cwz_web.workspaces.audit import Actor, record
from cwz_web.workspaces.deletion import tombstone_account, tombstone_workspace
from cwz_web.workspaces.models import Role, Workspace

log = structlog.get_logger()


@dataclass(frozen=True)
class WorkspaceOutcome:
    """The effect of an account's deletion on one workspace.

    Attributes:
        is_deleted: Whether the workspace is deleted too; otherwise only the membership ends.
        other_members: Number of other members.
    """

    workspace_id: UUID
    slug: str
    name: str
    is_deleted: bool
    other_members: int


def workspace_outcomes(db: Session, account_id: UUID) -> list[WorkspaceOutcome]:
    """Return the effect of an account's deletion on each of its workspaces."""
    rows = db.execute(text("SELECT * FROM workspace_outcomes_of(:account)"), {"account": account_id})
    return [
        WorkspaceOutcome(
            row.workspace_id, row.slug, row.name, row.role == Role.ADMIN and row.other_admins == 0, row.others
        )
        for row in rows
    ]


def delete_due_accounts(db: Session) -> int:
    """Delete the accounts that are due. Return their number."""
    due = select(Account).where(Account.delete_at <= datetime.now(UTC)).with_for_update(skip_locked=True)
    accounts = list(db.scalars(due))
    for account in accounts:
        _delete(db, account)
    return len(accounts)


def _delete(db: Session, account: Account) -> None:
    for outcome in workspace_outcomes(db, account.id):
        enter_workspace(db, outcome.workspace_id)
        if outcome.is_deleted:
            tombstone_workspace(db, db.get_one(Workspace, outcome.workspace_id))
        else:
            record(db, outcome.workspace_id, Actor(account.id, account.email, ""), "member.leave", account.email)
    enqueue_email(db, account.email, emails.account_deleted(account))
    db.execute(delete(Account).where(Account.id == account.id))
    tombstone_account(db, account.id)
    log.info("account deleted", account=str(account.id))

"""What becomes of workspaces when a person deletes their account, and the deletion itself once it is due.

A workspace that would be left without an admin goes with its last one; in any other, only the membership ends.
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
from cwz_web.notify.tasks import queue_email
from cwz_web.workspaces.audit import Actor, record
from cwz_web.workspaces.deletion import tombstone_account, tombstone_workspace
from cwz_web.workspaces.models import Role, Workspace

log = structlog.get_logger()


@dataclass(frozen=True)
class WorkspaceOutcome:
    """What becomes of one workspace."""

    workspace_id: UUID
    slug: str
    name: str
    is_deleted: bool
    others: int


def workspace_outcomes(db: Session, account_id: UUID) -> list[WorkspaceOutcome]:
    """What becomes of each of a person's workspaces when the person goes."""
    rows = db.execute(text("SELECT * FROM fates_of(:account)"), {"account": account_id})
    return [
        WorkspaceOutcome(
            row.workspace_id, row.slug, row.name, row.role == Role.ADMIN and row.other_admins == 0, row.others
        )
        for row in rows
    ]


def delete_due_accounts(db: Session) -> int:
    """Delete the accounts whose day has come. Returns how many."""
    due = select(Account).where(Account.delete_at <= datetime.now(UTC)).with_for_update(skip_locked=True)
    accounts = list(db.scalars(due))
    for account in accounts:
        _delete(db, account)
    return len(accounts)


def _delete(db: Session, account: Account) -> None:
    for fate in workspace_outcomes(db, account.id):
        enter_workspace(db, fate.workspace_id)
        if fate.is_deleted:
            tombstone_workspace(db, db.get_one(Workspace, fate.workspace_id))
        else:
            record(db, fate.workspace_id, Actor(account.id, account.email, ""), "member.leave", account.email)
    queue_email(db, account.email, emails.deletion_done(account.name))
    db.execute(delete(Account).where(Account.id == account.id))
    tombstone_account(db, account.id)
    log.info("account deleted", account=str(account.id))

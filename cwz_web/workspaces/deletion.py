"""Deletion of workspaces: effective immediately, reversible for fourteen days.

A deleted workspace has a tombstone: no session can enter it (db/session.py), and no query across workspaces returns
it. The purge (ops/purge.py) deletes its rows and releases its slug.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from cwz_web.db.session import enter_workspace, raw_connection
from cwz_web.i18n import gettext, long_date
from cwz_web.jobs import BILLING_QUEUE, MAINTENANCE_QUEUE, app, defer_once
from cwz_web.notify.emails import EmailMessage
from cwz_web.workspaces.audit import Actor, record
from cwz_web.workspaces.members import admin_reason, email_admins
from cwz_web.workspaces.models import Tombstone, Workspace

GRACE = timedelta(days=14)
# The rows are deleted by then even if a storage provider does not respond.
PURGE_DEADLINE = timedelta(days=30)

_SUBSCRIPTION = text("SELECT subscription FROM subscriptions WHERE workspace_id = :workspace")


@dataclass(frozen=True)
class Deletion:
    """A deleted workspace that can still be restored."""

    workspace_id: UUID
    name: str
    purge_at: datetime


def delete_workspace(db: Session, workspace: Workspace, actor: Actor, *, with_images: bool) -> None:
    """Delete a workspace that the session has entered; the session no longer sees its rows afterwards.

    Args:
        db: The database session.
        workspace: The workspace.
        actor: The user who deletes it.
        with_images: Whether the purge also deletes our objects from the customer's storage.
    """
    until = datetime.now(UTC) + GRACE
    record(db, workspace.id, actor, "workspace.delete", workspace.name, {"with_images": with_images})
    email_admins(db, workspace.id, lambda: _deletion_email(workspace, actor, until))
    _add_tombstone(db, workspace, until, with_images=with_images)


def tombstone_workspace(db: Session, workspace: Workspace) -> None:
    """Delete a workspace that the session has entered, irreversibly with the next purge."""
    _add_tombstone(db, workspace, datetime.now(UTC), with_images=False)


def list_deletions(db: Session, account_id: UUID) -> list[Deletion]:
    """Return the deleted workspaces that an account may restore as an admin."""
    rows = db.execute(text("SELECT id, name, purge_at FROM deletions_of(:account)"), {"account": account_id})
    return [Deletion(row.id, row.name, row.purge_at) for row in rows]


def restore_workspace(db: Session, deletion: Deletion, actor: Actor) -> Workspace | None:
    """Restore a deleted workspace and enter it. Return None if the grace period is over."""
    statement = delete(Tombstone).where(Tombstone.id == deletion.workspace_id, Tombstone.purge_at > datetime.now(UTC))
    if not db.execute(statement.returning(Tombstone.id)).all():
        return None
    enter_workspace(db, deletion.workspace_id)
    workspace = db.get(Workspace, deletion.workspace_id)
    if workspace is not None:
        record(db, workspace.id, actor, "workspace.restore", workspace.name)
        enqueue_tombstone_backup(db)
    return workspace


def tombstone_account(db: Session, account_id: UUID) -> None:
    """Add the tombstone of an account, so that restoring an older backup does not restore the account."""
    now = datetime.now(UTC)
    db.add(Tombstone(id=account_id, type="account", name="", deleted_at=now, purge_at=now, purged_at=now))
    enqueue_tombstone_backup(db)


def enqueue_tombstone_backup(db: Session) -> None:
    """Enqueue a job that writes the tombstones beside the backups, after the transaction has committed."""
    defer_once(db, "ops.save_tombstones", queue=MAINTENANCE_QUEUE, queueing_lock="tombstones")


def _add_tombstone(db: Session, workspace: Workspace, purge_at: datetime, *, with_images: bool) -> None:
    _end_subscription(db, workspace.id)
    db.add(
        Tombstone(
            id=workspace.id,
            type="workspace",
            name=workspace.name,
            with_images=with_images,
            deleted_at=datetime.now(UTC),
            purge_at=purge_at,
        )
    )
    db.flush()
    enter_workspace(db, workspace.id)  # the session now finds the tombstone, and sees no rows
    enqueue_tombstone_backup(db)


def _end_subscription(db: Session, workspace_id: UUID) -> None:
    """Cancel a workspace's subscription at Stripe after the transaction has committed."""
    # A text query instead of the model, since billing depends on this package.
    subscription = db.scalar(_SUBSCRIPTION, {"workspace": workspace_id})
    if subscription:
        options: Any = {"connection": raw_connection(db)}
        app.configure_task("billing.cancel_subscription", queue=BILLING_QUEUE, **options).defer(
            subscription=subscription
        )


def _deletion_email(workspace: Workspace, actor: Actor, until: datetime) -> EmailMessage:
    return EmailMessage(
        gettext("%(workspace)s was deleted", workspace=workspace.name),
        (
            gettext(
                "%(actor)s deleted the workspace %(workspace)s. Its members, API keys and image URLs no longer have"
                " access.",
                actor=actor.label,
                workspace=workspace.name,
            ),
            gettext(
                "You can restore it on the Workspaces page until %(day)s. Then it is permanently deleted.",
                day=long_date(until),
            ),
        ),
        (gettext("View workspaces"), "/w"),
        admin_reason(workspace.name),
    )

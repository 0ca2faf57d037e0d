"""Deleting a workspace: at once for people and programs, taken back within fourteen days, and then for good.

What is deleted has a tombstone: nobody can enter such a workspace (db/session.py), and it is in nobody's list. The
purge (ops/purge.py) removes its rows and lets go of its name.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from cwz_web.db.session import enter_workspace, raw_connection
from cwz_web.jobs import BILLING_QUEUE, UPKEEP_QUEUE, app, defer_once
from cwz_web.notify.emails import EmailMessage
from cwz_web.workspaces.audit import Actor, record
from cwz_web.workspaces.members import email_admins
from cwz_web.workspaces.models import Tombstone, Workspace

GRACE = timedelta(days=14)
# Whatever a storage says, the rows are gone by then.
LATEST = timedelta(days=30)

_SUBSCRIPTION = text("SELECT subscription FROM subscriptions WHERE workspace_id = :workspace")


@dataclass(frozen=True)
class Deletion:
    """A workspace that is deleted and can still be brought back."""

    workspace_id: UUID
    name: str
    purge_at: datetime


def begin_workspace_deletion(db: Session, workspace: Workspace, actor: Actor, *, with_images: bool) -> None:
    """Delete a workspace; the session has to have entered it, and sees nothing of it afterwards.

    Arguments:
        with_images: whether the purge empties its storages, as far as we put something there.
    """
    until = datetime.now(UTC) + GRACE
    record(db, workspace.id, actor, "workspace.delete", workspace.name, {"with_images": with_images})
    email_admins(db, workspace.id, _letter(workspace, actor, until))
    _bury(db, workspace, until, with_images=with_images)


def tombstone_workspace(db: Session, workspace: Workspace) -> None:
    """Delete a workspace for good, with the next purge; the session has to have entered it."""
    _bury(db, workspace, datetime.now(UTC), with_images=False)


def deletions_of(db: Session, account_id: UUID) -> list[Deletion]:
    """The deleted workspaces that a person, as their admin, may bring back."""
    rows = db.execute(text("SELECT id, name, purge_at FROM deletions_of(:account)"), {"account": account_id})
    return [Deletion(row.id, row.name, row.purge_at) for row in rows]


def bring_back(db: Session, deletion: Deletion, actor: Actor) -> Workspace | None:
    """Undo a deletion; the session has entered the workspace afterwards. None when its days are over."""
    gone = delete(Tombstone).where(Tombstone.id == deletion.workspace_id, Tombstone.purge_at > datetime.now(UTC))
    if not db.execute(gone.returning(Tombstone.id)).all():
        return None
    enter_workspace(db, deletion.workspace_id)
    workspace = db.get(Workspace, deletion.workspace_id)
    if workspace is not None:
        record(db, workspace.id, actor, "workspace.bring-back", workspace.name)
        queue_tombstones(db)
    return workspace


def tombstone_account(db: Session, account_id: UUID) -> None:
    """Remember that an account was deleted, so that a backup from before does not bring it back."""
    now = datetime.now(UTC)
    db.add(Tombstone(id=account_id, kind="account", name="", deleted_at=now, purge_at=now, purged_at=now))
    queue_tombstones(db)


def queue_tombstones(db: Session) -> None:
    """Have the tombstones beside the backups brought up to date, once the transaction has committed."""
    defer_once(db, "ops.write_tombstones", queue=UPKEEP_QUEUE, once="tombstones")


def _bury(db: Session, workspace: Workspace, purge_at: datetime, *, with_images: bool) -> None:
    _end_subscription(db, workspace.id)
    db.add(
        Tombstone(
            id=workspace.id,
            kind="workspace",
            name=workspace.name,
            with_images=with_images,
            deleted_at=datetime.now(UTC),
            purge_at=purge_at,
        )
    )
    db.flush()
    enter_workspace(db, workspace.id)  # which shuts it
    queue_tombstones(db)


def _end_subscription(db: Session, workspace_id: UUID) -> None:
    """Have a workspace's subscription ended at Stripe, once the transaction has committed."""
    # Not by its model: billing stands on this package.
    subscription = db.scalar(_SUBSCRIPTION, {"workspace": workspace_id})
    if subscription:
        place: Any = {"connection": raw_connection(db)}
        app.configure_task("billing.cancel", queue=BILLING_QUEUE, **place).defer(subscription=subscription)


def _letter(workspace: Workspace, actor: Actor, until: datetime) -> EmailMessage:
    return EmailMessage(
        f"{workspace.name} was deleted",
        (
            f"{actor.label} deleted the workspace {workspace.name}. Nobody can reach it any more, and its images'"
            " addresses do not answer.",
            f"Until {until:%-d %B %Y} you can bring it back, on the page of your workspaces. Then it is gone for good.",
        ),
        ("See your workspaces", "/w"),
        f"You get this mail because you are an admin of {workspace.name}.",
    )

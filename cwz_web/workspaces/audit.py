"""The audit log of a workspace: append-only entries, chained by their digests.

An entry's digest is the SHA-256 of the previous digest and the entry itself as JSON with sorted keys (a canonical form
in the sense of RFC 8785). `find_chain_break` verifies the chain.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from cwz_web.db.session import enter_workspace, leave_workspace, lock_name
from cwz_web.workspaces.access import list_workspaces
from cwz_web.workspaces.models import AuditEntry, Workspace

PAGE_SIZE = 50
MAX_OUTSIDE_ATTEMPTS_PER_HOUR = 60
# The page after a change offers to undo it for this long.
UNDO_TIME = timedelta(minutes=10)
INITIAL_DIGEST = "0" * 64
COLUMNS = ("number", "at", "actor", "action", "target", "details", "ip_address", "digest")

# Shown on the activity page; a test checks that every recorded action has one.
AUDIT_LABELS = {
    "access.outside": "Refused access to a non-member",
    "access.refuse": "Refused permission",
    "access.unknown": "Refused unknown ID",
    "account.passkey-add": "Added passkey to own account",
    "account.passkey-remove": "Removed passkey from own account",
    "auto_run.disable": "Disabled automatic runs",
    "auto_run.enable": "Enabled automatic runs",
    "billing.checkout": "Opened checkout",
    "billing.portal": "Opened billing portal",
    "brand.change": "Changed brand",
    "brand.update": "Updated templates to the brand",
    "feed.apply": "Applied import after review",
    "feed.columns": "Changed columns",
    "feed.connect": "Connected feed source",
    "feed.create": "Created feed",
    "feed.delete": "Deleted feed",
    "feed.discard": "Discarded import after review",
    "feed.currency": "Set feed currency",
    "feed.fetch": "Fetched feed",
    "feed.import": "Imported file",
    "feed.restore": "Restored feed",
    "feed.sample": "Added sample feed",
    "feed.schedule": "Changed feed schedule",
    "feed.source": "Changed feed source",
    "feed.settings": "Changed feed settings",
    "feed.upload": "Uploaded feed",
    "key.create": "Created API key",
    "key.revoke": "Revoked API key",
    "key.rotate": "Rotated API key",
    "member.invite": "Invited member",
    "member.invite-revoke": "Revoked invitation",
    "member.join": "Joined workspace",
    "member.leave": "Left workspace",
    "member.remove": "Removed member",
    "member.role": "Changed member role",
    "run.cancel": "Canceled run",
    "run.retry": "Retried run",
    "run.start": "Started run",
    "run.zip": "Requested zip file",
    "signing.retire": "Retired previous signing key",
    "signing.rotate": "Rotated signing key",
    "slack.choose": "Changed Slack notifications",
    "slack.connect": "Connected Slack",
    "slack.disconnect": "Disconnected Slack",
    "sso.domain-add": "Added email domain",
    "sso.domain-remove": "Removed email domain",
    "sso.domain-verify": "Verified email domain",
    "sso.remove": "Removed single sign-on",
    "sso.save": "Changed single sign-on",
    "storage.change": "Changed storage",
    "storage.connect": "Connected storage",
    "storage.default": "Changed default storage",
    "storage.delete": "Disconnected storage",
    "storage.test": "Tested storage",
    "template.allow_unsigned": "Allowed unsigned URLs",
    "template.comment": "Commented on template",
    "template.comment_edit": "Edited comment on template",
    "template.comment_resolve": "Resolved comment on template",
    "template.comment_reopen": "Reopened comment on template",
    "template.comment_delete": "Deleted comment on template",
    "template.create": "Created template",
    "template.delete": "Deleted template",
    "template.deny_unsigned": "Denied unsigned URLs",
    "template.discard": "Discarded draft",
    "template.draft": "Edited draft",
    "template.edit": "Published template version",
    "template.rename": "Renamed template",
    "template.restore": "Restored template",
    "template.rollback": "Restored template version",
    "template.share": "Shared template by link",
    "template.share_revoke": "Revoked link of template",
    "template.storage": "Changed template storage",
    "template.version_name": "Named template version",
    "upload.add": "Added upload",
    "upload.delete": "Deleted upload",
    "upload.purge": "Deleted upload permanently",
    "upload.rename": "Renamed upload",
    "upload.replace": "Replaced upload",
    "upload.restore": "Restored upload",
    "webhook.add": "Added webhook",
    "webhook.delete": "Deleted webhook",
    "webhook.disable": "Disabled webhook",
    "webhook.enable": "Enabled webhook",
    "webhook.resend": "Resent webhook delivery",
    "webhook.retire": "Retired previous webhook secret",
    "webhook.rotate": "Rotated webhook secret",
    "webhook.test": "Sent test event",
    "workspace.create": "Created workspace",
    "workspace.delete": "Scheduled workspace deletion",
    "workspace.export": "Exported workspace",
    "workspace.restore": "Canceled workspace deletion",
    "workspace.settings": "Changed workspace settings",
}
# Of actions that earlier entries have.
FORMER_LABELS = {"font.add": "Added font", "font.remove": "Removed font"}


@dataclass(frozen=True)
class Actor:
    """The user who acts: account, name at that time, and IP address."""

    account_id: UUID | None
    label: str
    ip_address: str


@dataclass(frozen=True)
class AuditFilter:
    """A filter of entries; empty values match everything."""

    actor: str = ""
    action: str = ""
    since: date | None = None
    until: date | None = None


def record(
    db: Session, workspace_id: UUID, actor: Actor, action: str, target: str, details: dict[str, Any] | None = None
) -> int:
    """Add an entry, in the transaction of the action. Return its number.

    Args:
        db: The database session.
        workspace_id: The workspace.
        actor: The user who acts.
        action: A key of AUDIT_LABELS, such as `member.remove`.
        target: The name of the object.
        details: Further JSON values; never a secret.
    """
    # Serializes the entries of a workspace, since each contains the digest of the previous one.
    lock_name(db, str(workspace_id))
    previous = db.scalar(_newest_first(workspace_id).limit(1))
    entry = AuditEntry(
        workspace_id=workspace_id,
        number=previous.number + 1 if previous else 1,
        at=datetime.now(UTC),
        actor_id=actor.account_id,
        actor=actor.label,
        action=action,
        target=target[:300],
        details=details or {},
        ip_address=actor.ip_address,
    )
    entry.digest = _digest(previous.digest if previous else INITIAL_DIGEST, entry)
    db.add(entry)
    db.flush()
    return entry.number


def find_recent_entry(db: Session, workspace_id: UUID, number: int, actor_id: UUID, action: str) -> AuditEntry | None:
    """Return the entry of an action, if the account did it in the last UNDO_TIME: it can be undone."""
    entry = db.get(AuditEntry, (workspace_id, number))
    is_own = entry is not None and (entry.actor_id, entry.action) == (actor_id, action)
    return entry if entry and is_own and datetime.now(UTC) - entry.at < UNDO_TIME else None


def record_in_all_workspaces(db: Session, actor: Actor, action: str, target: str) -> None:
    """Add an entry to each workspace of a user, about a change of their account. The session leaves its workspace."""
    assert actor.account_id is not None
    for access in list_workspaces(db, actor.account_id):
        enter_workspace(db, access.workspace_id)
        record(db, access.workspace_id, actor, action, target)
    leave_workspace(db)


def record_outside_attempt(db: Session, workspace_id: UUID, target: str, account_id: UUID, ip_address: str) -> None:
    """Add an entry about a signed-in user who is not a member, unless there were many within an hour.

    The entry does not name the user: the workspace's admins have no relation to them. The operator can, by the digest.
    """
    recent = select(func.count()).where(
        AuditEntry.workspace_id == workspace_id,
        AuditEntry.action == "access.outside",
        AuditEntry.at > datetime.now(UTC) - timedelta(hours=1),
    )
    if (db.scalar(recent) or 0) >= MAX_OUTSIDE_ATTEMPTS_PER_HOUR:
        return
    account = hashlib.sha256(f"outside/{workspace_id}/{account_id}".encode()).hexdigest()[:12]
    actor = Actor(None, "A user of another workspace", ip_address)
    record(db, workspace_id, actor, "access.outside", target, {"user": account})


def list_entries(
    db: Session, workspace_id: UUID, filters: AuditFilter, before: int | None = None, limit: int = PAGE_SIZE
) -> list[AuditEntry]:
    """Return a page of entries, newest first.

    Args:
        db: A transaction in the workspace.
        workspace_id: The workspace.
        filters: Which entries.
        before: Only entries before this number.
        limit: At most so many entries.
    """
    query = _filtered(workspace_id, filters)
    if before is not None:
        query = query.where(AuditEntry.number < before)
    return list(db.scalars(query.limit(limit)))


def list_actions(db: Session, workspace_id: UUID) -> list[str]:
    """Return the actions that occur in the log, for the filter."""
    return list(
        db.scalars(
            select(AuditEntry.action)
            .where(AuditEntry.workspace_id == workspace_id)
            .distinct()
            .order_by(AuditEntry.action)
        )
    )


def find_chain_break(db: Session, workspace_id: UUID) -> int | None:
    """Return the number of the first entry that breaks the chain, or None if the chain is intact."""
    workspace = db.get_one(Workspace, workspace_id)
    digest = workspace.audit_chain_digest or INITIAL_DIGEST  # of the newest entry that retention has deleted
    entries = select(AuditEntry).where(AuditEntry.workspace_id == workspace_id).order_by(AuditEntry.number)
    with db.scalars(entries.execution_options(yield_per=500)) as found:
        for number, entry in enumerate(found, start=workspace.audit_deleted_through + 1):
            if entry.number != number or entry.digest != _digest(digest, entry):
                return number
            digest = entry.digest
    return None


def export_rows(db: Session, workspace_id: UUID, filters: AuditFilter) -> Iterator[tuple[object, ...]]:
    """Yield the log as rows of a table, the newest entry first, after the names of the columns."""
    yield COLUMNS
    with db.scalars(_filtered(workspace_id, filters).execution_options(yield_per=500)) as found:
        for entry in found:
            details = json.dumps(entry.details, ensure_ascii=False, sort_keys=True) if entry.details else ""
            values = (entry.number, entry.at.isoformat(), entry.actor, entry.action, entry.target, details)
            yield (*values, entry.ip_address, entry.digest)


def _newest_first(workspace_id: UUID) -> Select[AuditEntry]:
    return select(AuditEntry).where(AuditEntry.workspace_id == workspace_id).order_by(AuditEntry.number.desc())


def _filtered(workspace_id: UUID, filters: AuditFilter) -> Select[AuditEntry]:
    query = _newest_first(workspace_id)
    if filters.actor:
        query = query.where(AuditEntry.actor.icontains(filters.actor, autoescape=True))
    if filters.action:
        query = query.where(AuditEntry.action == filters.action)
    if filters.since:
        query = query.where(AuditEntry.at >= datetime(*filters.since.timetuple()[:3], tzinfo=UTC))
    if filters.until:
        query = query.where(AuditEntry.at < datetime(*filters.until.timetuple()[:3], tzinfo=UTC) + timedelta(days=1))
    return query


def _digest(before: str, entry: AuditEntry) -> str:
    content = {
        "before": before,
        "workspace": str(entry.workspace_id),
        "number": entry.number,
        "at": entry.at.astimezone(UTC).isoformat(),
        "actor_id": str(entry.actor_id),
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "details": entry.details,
        "ip_address": entry.ip_address,
    }
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

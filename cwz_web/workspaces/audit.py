"""The audit log of a workspace: append-only entries, chained by their digests.

An entry's digest is the SHA-256 of the previous digest and the entry itself as JSON with sorted keys (a canonical form
in the sense of RFC 8785). `find_chain_break` verifies the chain.
"""

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, or_, select, text
from sqlalchemy.orm import Session

from cwz_web.db.session import enter_workspace, leave_workspace, lock_name
from cwz_web.i18n import gettext_noop
from cwz_web.workspaces.access import list_workspaces
from cwz_web.workspaces.models import AuditEntry, Workspace

PAGE_SIZE = 50
MAX_SCANNED = 20_000
MAX_EXPORTED = 100_000
MAX_ACTORS = 200
MAX_OUTSIDE_ATTEMPTS_PER_HOUR = 60
INITIAL_DIGEST = "0" * 64
COLUMNS = ("number", "at", "actor", "action", "target", "details", "ip_address", "digest")

# What an entry says after its actor, with the names of the object and of details in braces. A test checks that every
# recorded action has one.
AUDIT_LABELS = {
    "access.outside": gettext_noop("Was refused access to {target}"),
    "access.refuse": gettext_noop("Was refused without the permission for {target}"),
    "access.unknown": gettext_noop("Asked for something that does not exist: {target}"),
    "account.passkey-add": gettext_noop("Added the passkey {target} to their account"),
    "account.passkey-remove": gettext_noop("Removed the passkey {target} from their account"),
    "auto_run.disable": gettext_noop("Turned off automatic runs of {target}"),
    "auto_run.enable": gettext_noop("Turned on automatic runs of {target}"),
    "billing.checkout": gettext_noop("Opened the checkout"),
    "billing.portal": gettext_noop("Opened the billing portal"),
    "brand.change": gettext_noop("Changed the brand"),
    "brand.update": gettext_noop("Updated templates to the brand"),
    "campaign.change": gettext_noop("Changed the campaign {target}"),
    "campaign.create": gettext_noop("Created the campaign {target}"),
    "campaign.delete": gettext_noop("Deleted the campaign {target}"),
    "campaign.pause": gettext_noop("Paused the campaign {target}"),
    "campaign.prepare": gettext_noop("Requested a publication of the campaign {target}"),
    "campaign.restore": gettext_noop("Restored the campaign {target}"),
    "campaign.remove_images": gettext_noop("Removed images that no publication of the campaign {target} shows"),
    "campaign.resume": gettext_noop("Resumed the campaign {target}"),
    "campaign.rules": gettext_noop("Changed the rules of the campaign {target}"),
    "channel.change": gettext_noop("Changed the channel {target}"),
    "channel.create": gettext_noop("Added the channel {target}"),
    "channel.delete": gettext_noop("Deleted the channel {target}"),
    "channel.restore": gettext_noop("Restored the channel {target}"),
    "channel.write": gettext_noop("Requested the feed of the channel {target}"),
    "feed.apply": gettext_noop("Applied an import of {target} after its review"),
    "feed.columns": gettext_noop("Changed the columns of {target}"),
    "feed.connect": gettext_noop("Connected the feed {target} to a source"),
    "feed.create": gettext_noop("Created the feed {target}"),
    "feed.currency": gettext_noop("Set the currency of {target} to {currency}"),
    "feed.delete": gettext_noop("Deleted the feed {target}"),
    "feed.discard": gettext_noop("Discarded an import of {target} after its review"),
    "feed.fetch": gettext_noop("Fetched the feed {target}"),
    "feed.import": gettext_noop("Imported a file into {target}"),
    "feed.pause": gettext_noop("Paused the schedule of {target}"),
    "feed.restore": gettext_noop("Restored the feed {target}"),
    "feed.resume": gettext_noop("Resumed the schedule of {target}"),
    "feed.sample": gettext_noop("Added the sample feed {target}"),
    "feed.schedule": gettext_noop("Changed the schedule of {target}"),
    "feed.source": gettext_noop("Changed the source of {target}"),
    "feed.settings": gettext_noop("Changed the settings of {target}"),
    "feed.upload": gettext_noop("Uploaded a file for the feed {target}"),
    "feed.webhook": gettext_noop("Changed the webhook of {target}"),
    "image.delete": gettext_noop("Deleted {target}"),
    "image.restore": gettext_noop("Restored {target}"),
    "key.create": gettext_noop("Created the API key {target}"),
    "key.revoke": gettext_noop("Revoked the API key {target}"),
    "key.rotate": gettext_noop("Rotated the API key {target}"),
    "member.invite": gettext_noop("Invited {target} as {role}"),
    "member.invite-revoke": gettext_noop("Revoked the invitation of {target}"),
    "member.join": gettext_noop("Joined the workspace as {role}"),
    "member.leave": gettext_noop("Left the workspace"),
    "member.remove": gettext_noop("Removed {target} from the workspace"),
    "member.role": gettext_noop("Changed the role of {target} from {previous_role} to {role}"),
    "publication.approve": gettext_noop("Approved publication {number} of {target}"),
    "publication.decide": gettext_noop("Decided about {rows} rows of publication {number} of {target}"),
    "publication.discard": gettext_noop("Discarded publication {number} of {target}"),
    "publication.publish": gettext_noop("Published publication {number} of {target}"),
    "publication.request_decision": gettext_noop("Requested a decision about publication {number} of {target}"),
    "publication.roll_back": gettext_noop("Rolled {target} back to publication {number}"),
    "run.cancel": gettext_noop("Canceled a run of {target}"),
    "run.retry": gettext_noop("Retried a run of {target}"),
    "run.start": gettext_noop("Started a run of {target}"),
    "run.zip": gettext_noop("Requested a zip of the images of {target}"),
    "shop.change": gettext_noop("Changed the settings of the shop {target}"),
    "shop.check": gettext_noop("Compared the shop {target} with its campaign"),
    "shop.connect": gettext_noop("Connected the shop {target}"),
    "shop.delete": gettext_noop("Disconnected the shop {target}"),
    "shop.disable": gettext_noop("Stopped putting images into the shop {target}"),
    "shop.enable": gettext_noop("Started putting images into the shop {target}"),
    "shop.reconnect": gettext_noop("Changed the connection of the shop {target}"),
    "shop.restore": gettext_noop("Restored the images of the shop {target}"),
    "signing.retire": gettext_noop("Retired the previous signing key"),
    "signing.rotate": gettext_noop("Rotated the signing key"),
    "slack.choose": gettext_noop("Changed the notifications in the Slack channel {target}"),
    "slack.connect": gettext_noop("Connected the Slack workspace {target}"),
    "slack.disconnect": gettext_noop("Disconnected the Slack workspace {target}"),
    "sso.domain-add": gettext_noop("Added the email domain {target}"),
    "sso.domain-remove": gettext_noop("Removed the email domain {target}"),
    "sso.domain-verify": gettext_noop("Verified the email domain {target}"),
    "sso.remove": gettext_noop("Removed single sign-on with {target}"),
    "sso.save": gettext_noop("Changed single sign-on with {target}"),
    "storage.change": gettext_noop("Changed the storage connection {target}"),
    "storage.connect": gettext_noop("Connected the storage {target}"),
    "storage.default": gettext_noop("Made {target} the default storage"),
    "storage.delete": gettext_noop("Disconnected the storage {target}"),
    "storage.test": gettext_noop("Tested the storage {target}"),
    "template.allow_unsigned": gettext_noop("Allowed unsigned URLs of the template {target}"),
    "template.comment": gettext_noop("Commented on the template {target}"),
    "template.comment_edit": gettext_noop("Edited a comment on the template {target}"),
    "template.comment_resolve": gettext_noop("Resolved a comment on the template {target}"),
    "template.comment_reopen": gettext_noop("Reopened a comment on the template {target}"),
    "template.comment_delete": gettext_noop("Deleted a comment on the template {target}"),
    "template.create": gettext_noop("Created the template {target}"),
    "template.delete": gettext_noop("Deleted the template {target}"),
    "template.deny_unsigned": gettext_noop("Denied unsigned URLs of the template {target}"),
    "template.discard": gettext_noop("Discarded the draft of the template {target}"),
    "template.draft": gettext_noop("Edited the draft of the template {target}"),
    "template.edit": gettext_noop("Published the template {target} as version {version}"),
    "template.rename": gettext_noop("Renamed the template {target} to {to}"),
    "template.restore": gettext_noop("Restored the template {target}"),
    "template.rollback": gettext_noop("Restored the template {target} to version {to}, as version {version}"),
    "template.tag": gettext_noop("Changed the tags of the template {target}"),
    "template.share": gettext_noop("Shared the template {target} by link"),
    "template.share_revoke": gettext_noop("Revoked a link of the template {target}"),
    "template.storage": gettext_noop("Changed the storage of the template {target} to {storage}"),
    "template.version_name": gettext_noop("Named a version of the template {target}"),
    "upload.add": gettext_noop("Added the upload {target}"),
    "upload.delete": gettext_noop("Deleted the upload {target}"),
    "upload.purge": gettext_noop("Deleted the upload {target} permanently"),
    "upload.rename": gettext_noop("Renamed the upload {target} to {to}"),
    "upload.replace": gettext_noop("Replaced the upload {target} by {by}"),
    "upload.restore": gettext_noop("Restored the upload {target}"),
    "webhook.add": gettext_noop("Added the webhook {target}"),
    "webhook.delete": gettext_noop("Deleted the webhook {target}"),
    "webhook.disable": gettext_noop("Disabled the webhook {target}"),
    "webhook.enable": gettext_noop("Enabled the webhook {target}"),
    "webhook.resend": gettext_noop("Resent a delivery of the webhook {target}"),
    "webhook.retire": gettext_noop("Retired the previous secret of the webhook {target}"),
    "webhook.rotate": gettext_noop("Rotated the secret of the webhook {target}"),
    "webhook.test": gettext_noop("Sent a test event to the webhook {target}"),
    "workspace.create": gettext_noop("Created the workspace {target}"),
    "workspace.delete": gettext_noop("Scheduled the deletion of the workspace {target}"),
    "workspace.export": gettext_noop("Exported the workspace {target}"),
    "workspace.restore": gettext_noop("Canceled the deletion of the workspace {target}"),
    "workspace.settings": gettext_noop("Changed the settings of the workspace {target}"),
}
# Of actions that earlier entries have.
FORMER_LABELS = {
    "font.add": gettext_noop("Added the font {target}"),
    "font.remove": gettext_noop("Removed the font {target}"),
}
# The areas of the filter: their labels, and what their actions begin with.
AREAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "feeds": (gettext_noop("Feeds"), ("feed",)),
    "templates": (gettext_noop("Templates"), ("template",)),
    "brand": (gettext_noop("Brand and uploads"), ("brand", "upload", "font")),
    "runs": (gettext_noop("Runs and images"), ("run", "auto_run", "image")),
    "campaigns": (gettext_noop("Campaigns"), ("campaign", "channel", "publication", "shop")),
    "storage": (gettext_noop("Storage"), ("storage",)),
    "api": (gettext_noop("API and webhooks"), ("key", "signing", "webhook", "slack")),
    "members": (gettext_noop("Members"), ("member",)),
    "sign-in": (gettext_noop("Sign-in"), ("account", "sso")),
    "workspace": (gettext_noop("Workspace"), ("workspace", "billing")),
    "refusals": (gettext_noop("Refused requests"), ("access",)),
}


def actions_of(area: str) -> frozenset[str]:
    """Return the actions of an area."""
    _, prefixes = AREAS[area]
    return frozenset(action for action in AUDIT_LABELS | FORMER_LABELS if action.partition(".")[0] in prefixes)


@dataclass(frozen=True)
class Actor:
    """The user who acts: account, name at that time, and IP address."""

    account_id: UUID | None
    label: str
    ip_address: str


@dataclass(frozen=True)
class AuditFilter:
    """A filter of entries; empty values match everything.

    Attributes:
        search: In the name or email address of the actor, or in the name of the object, ignoring case.
        actor_id: The account of the actor.
        is_other: Whether the actor has no account: an API key, or a user of another workspace.
        actions: The actions; none for all.
        since: The first day, in UTC.
        until: The last day, in UTC.
    """

    search: str = ""
    actor_id: UUID | None = None
    is_other: bool = False
    actions: Collection[str] = ()
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True)
class EntryPage:
    """A page of entries; `before` is where the next page begins, None on the last."""

    entries: list[AuditEntry]
    before: int | None


def record(
    db: Session, workspace_id: UUID, actor: Actor, action: str, target: str, details: dict[str, Any] | None = None
) -> None:
    """Add an entry, in the transaction of the action.

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


def find_entries(
    db: Session, workspace_id: UUID, filters: AuditFilter, before: int | None = None, limit: int = PAGE_SIZE
) -> EntryPage:
    """Return a page of entries, newest first.

    A page reads at most MAX_SCANNED entries, so that it can have fewer entries than the limit although more follow.

    Args:
        db: A transaction in the workspace.
        workspace_id: The workspace.
        filters: Which entries.
        before: Only entries before this number.
        limit: At most so many entries.
    """
    first, last = _find_numbers(db, workspace_id, filters)
    last = last if before is None else min(last, before - 1)
    oldest = max(first, last - MAX_SCANNED + 1)
    query = _filtered(workspace_id, filters).where(AuditEntry.number.between(oldest, last))
    entries = list(db.scalars(query.limit(limit)))
    next_before = entries[-1].number if len(entries) == limit else oldest
    return EntryPage(entries, next_before if next_before > first else None)


_ACTORS = text("""
    WITH RECURSIVE actor (id) AS (
        (SELECT actor_id FROM audit_entries WHERE workspace_id = :workspace ORDER BY actor_id LIMIT 1)
        UNION ALL
        SELECT (
            SELECT actor_id FROM audit_entries
            WHERE workspace_id = :workspace AND actor_id > actor.id ORDER BY actor_id LIMIT 1
        ) FROM actor WHERE actor.id IS NOT NULL
    )
    SELECT actor.id, latest.actor AS label FROM actor CROSS JOIN LATERAL (
        SELECT actor FROM audit_entries
        WHERE workspace_id = :workspace AND actor_id = actor.id ORDER BY number DESC LIMIT 1
    ) AS latest LIMIT :limit
""")


def list_actors(db: Session, workspace_id: UUID) -> dict[UUID, str]:
    """Return the latest labels of the accounts that occur in the log; an index lookup for each finds the next one."""
    rows = db.execute(_ACTORS, {"workspace": workspace_id, "limit": MAX_ACTORS})
    return {row.id: row.label for row in rows}


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
    """Yield the newest MAX_EXPORTED entries as rows of a table, those that match, after the names of the columns."""
    yield COLUMNS
    first, last = _find_numbers(db, workspace_id, filters)
    newest = AuditEntry.number.between(max(first, last - MAX_EXPORTED + 1), last)
    query = _filtered(workspace_id, filters).where(newest).execution_options(yield_per=500)
    with db.scalars(query) as found:
        for entry in found:
            details = json.dumps(entry.details, ensure_ascii=False, sort_keys=True) if entry.details else ""
            values = (entry.number, entry.at.isoformat(), entry.actor, entry.action, entry.target, details)
            yield (*values, entry.ip_address, entry.digest)


def _newest_first(workspace_id: UUID) -> Select[AuditEntry]:
    return select(AuditEntry).where(AuditEntry.workspace_id == workspace_id).order_by(AuditEntry.number.desc())


def _find_numbers(db: Session, workspace_id: UUID, filters: AuditFilter) -> tuple[int, int]:
    """Return the first and the last number of the days of a filter; numbers grow with the time."""
    own = select(AuditEntry.number).where(AuditEntry.workspace_id == workspace_id)
    first, last = own.order_by(AuditEntry.number), own.order_by(AuditEntry.number.desc())
    if filters.since:
        first = own.where(AuditEntry.at >= _start_of(filters.since)).order_by(AuditEntry.at)
    if filters.until:
        last = own.where(AuditEntry.at < _end_of(filters.until)).order_by(AuditEntry.at.desc())
    return db.scalar(first.limit(1)) or 1, db.scalar(last.limit(1)) or 0


def _start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _end_of(day: date) -> datetime:
    """Return the start of the next day; the last day of the calendar has none."""
    return _start_of(min(day, date.max - timedelta(days=1))) + timedelta(days=1)


def _filtered(workspace_id: UUID, filters: AuditFilter) -> Select[AuditEntry]:
    query = _newest_first(workspace_id)
    if filters.search:
        texts = (AuditEntry.actor, AuditEntry.target)
        query = query.where(or_(*(column.icontains(filters.search, autoescape=True) for column in texts)))
    if filters.actor_id:
        query = query.where(AuditEntry.actor_id == filters.actor_id)
    if filters.is_other:
        query = query.where(AuditEntry.actor_id.is_(None))
    if filters.actions:
        query = query.where(AuditEntry.action.in_(filters.actions))
    if filters.since:
        query = query.where(AuditEntry.at >= _start_of(filters.since))
    if filters.until:
        query = query.where(AuditEntry.at < _end_of(filters.until))
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
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()

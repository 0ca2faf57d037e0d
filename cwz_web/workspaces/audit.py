"""The audit log: who did what to which thing, from where. Entries are only ever added, and chained by their digests.

An entry's digest is SHA-256 over the digest before it and the entry itself as JSON with sorted keys (RFC 8785 in
spirit: one form for one content). `first_break` reads the chain again.
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

from cwz_web.spreadsheets import csv_line
from cwz_web.workspaces.models import AuditEntry, Workspace

PAGE = 50
BEGINNING = "0" * 64
COLUMNS = ("number", "at", "actor", "action", "target", "details", "address", "digest")


@dataclass(frozen=True)
class Actor:
    """Who acts: a person, as they are called at that time; and from which network address."""

    account_id: UUID | None
    label: str
    address: str


@dataclass(frozen=True)
class AuditFilter:
    """Which entries to show; whatever is empty does not restrict."""

    actor: str = ""
    action: str = ""
    since: date | None = None
    until: date | None = None


def record(
    db: Session, workspace_id: UUID, actor: Actor, action: str, target: str, details: dict[str, Any] | None = None
) -> None:
    """Add an entry in the transaction that does what it tells of.

    Arguments:
        action: the field's word and a verb, such as `member.remove`.
        target: what it was done to, in words that people recognise.
        details: what else matters, for JSON; never a secret.
    """
    # One entry of a workspace at a time: each needs the one before it.
    db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(str(workspace_id), 0))))
    last = db.scalar(_newest_first(workspace_id).limit(1))
    entry = AuditEntry(
        workspace_id=workspace_id,
        number=last.number + 1 if last else 1,
        at=datetime.now(UTC),
        actor_id=actor.account_id,
        actor=actor.label,
        action=action,
        target=target[:300],
        details=details or {},
        address=actor.address,
    )
    entry.digest = _digest(last.digest if last else BEGINNING, entry)
    db.add(entry)
    db.flush()


def entries_before(
    db: Session, workspace_id: UUID, wanted: AuditFilter, before: int | None = None, limit: int = PAGE
) -> list[AuditEntry]:
    """A page of the log, the newest first."""
    query = _filtered(workspace_id, wanted)
    if before is not None:
        query = query.where(AuditEntry.number < before)
    return list(db.scalars(query.limit(limit)))


def actions_of(db: Session, workspace_id: UUID) -> list[str]:
    """The actions that the log has, for the filter."""
    return list(
        db.scalars(
            select(AuditEntry.action)
            .where(AuditEntry.workspace_id == workspace_id)
            .distinct()
            .order_by(AuditEntry.action)
        )
    )


def first_break(db: Session, workspace_id: UUID) -> int | None:
    """The number of the first entry that does not follow from the one before it; None when the chain is whole."""
    workspace = db.get_one(Workspace, workspace_id)
    digest = workspace.audit_digest or BEGINNING  # of the newest entry that has grown too old, if one has
    entries = select(AuditEntry).where(AuditEntry.workspace_id == workspace_id).order_by(AuditEntry.number)
    with db.scalars(entries.execution_options(yield_per=500)) as found:
        for number, entry in enumerate(found, start=workspace.audit_dropped + 1):
            if entry.number != number or entry.digest != _digest(digest, entry):
                return number
            digest = entry.digest
    return None


def as_csv(db: Session, workspace_id: UUID, wanted: AuditFilter) -> Iterator[bytes]:
    """The log as CSV (RFC 4180), the newest first, in parts; no cell is a formula."""
    yield csv_line(COLUMNS)
    with db.scalars(_filtered(workspace_id, wanted).execution_options(yield_per=500)) as found:
        for entry in found:
            details = json.dumps(entry.details, ensure_ascii=False, sort_keys=True) if entry.details else ""
            values = (entry.number, entry.at.isoformat(), entry.actor, entry.action, entry.target, details)
            yield csv_line((*values, entry.address, entry.digest))


def _newest_first(workspace_id: UUID) -> Select[AuditEntry]:
    return select(AuditEntry).where(AuditEntry.workspace_id == workspace_id).order_by(AuditEntry.number.desc())


def _filtered(workspace_id: UUID, wanted: AuditFilter) -> Select[AuditEntry]:
    query = _newest_first(workspace_id)
    if wanted.actor:
        query = query.where(AuditEntry.actor.icontains(wanted.actor, autoescape=True))
    if wanted.action:
        query = query.where(AuditEntry.action == wanted.action)
    if wanted.since:
        query = query.where(AuditEntry.at >= datetime(*wanted.since.timetuple()[:3], tzinfo=UTC))
    if wanted.until:
        query = query.where(AuditEntry.at < datetime(*wanted.until.timetuple()[:3], tzinfo=UTC) + timedelta(days=1))
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
        "address": entry.address,
    }
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

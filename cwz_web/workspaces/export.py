"""Everything that is tied to a person, as JSON; no hash and no secret is part of it."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.accounts.google import identities_of
from cwz_web.accounts.models import Account, SignIn, account_columns
from cwz_web.accounts.second_factor import recovery_codes_left
from cwz_web.db.session import enter_workspace
from cwz_web.workspaces.access import Access, workspaces_of
from cwz_web.workspaces.models import AuditEntry


def export_account(db: Session, account: Account) -> dict[str, Any]:
    """The account, its sign-ins, its Google accounts, its workspaces, and what the person did in each."""
    sign_ins = db.scalars(select(SignIn).where(SignIn.account_id == account.id).order_by(SignIn.created_at))
    return {
        "account": {**account_columns(account), "recovery_codes_left": recovery_codes_left(db, account)},
        "google": [
            {"subject": known.subject, "email": known.email, "linked_at": known.created_at}
            for known in identities_of(db, account)
        ],
        "sign_ins": [
            {
                "at": session.created_at,
                "last_seen_at": session.last_seen_at,
                "ended_at": session.ended_at,
                "address": session.address,
                "browser": session.user_agent,
            }
            for session in sign_ins
        ],
        "workspaces": [_of_workspace(db, account, access) for access in workspaces_of(db, account.id)],
    }


def _of_workspace(db: Session, account: Account, access: Access) -> dict[str, Any]:
    enter_workspace(db, access.workspace_id)
    entries = db.scalars(
        select(AuditEntry)
        .where(AuditEntry.workspace_id == access.workspace_id, AuditEntry.actor_id == account.id)
        .order_by(AuditEntry.number)
    )
    return {
        "slug": access.slug,
        "name": access.name,
        "role": access.role,
        "done": [
            {
                "at": entry.at,
                "action": entry.action,
                "target": entry.target,
                "details": entry.details,
                "address": entry.address,
            }
            for entry in entries
        ],
    }
